"""Tests of scripts/check-prose: each marker, what is a sentence in each language, areas and the bar."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from loading import SCRIPTS, load

check_prose = load("check-prose")


def sentences(name, text):
    return [sentence for _, sentence in check_prose.sentences(name, text)]


class Markers(unittest.TestCase):
    MARKED = [
        "What is kept of a run is here.",
        "A token lets somebody in.",
        "The log is beside the record.",
        "The client is told the URL.",
        "The run goes on.",
        "The lease is no more.",
        "A list of which one is chosen.",
        "A smaller step mends it.",
        "Requests and those that follow.",
        "The memory takes in an episode.",
    ]

    def test_each_marker_has_a_sentence_and_advice(self):
        hints = [check_prose.advice(sentence) for sentence in self.MARKED]
        self.assertEqual(hints, [hint for _, hint in check_prose.MARKERS])

    def test_plain_english_has_none(self):
        for sentence in (
            "What is a lease?",
            "Returns the state of each lane.",
            "Two systems, measured in turn and taken in turns.",
            "The environment that a session plays is besides its own.",
        ):
            self.assertIsNone(check_prose.advice(sentence), sentence)


class Languages(unittest.TestCase):
    def test_rust(self):
        text = (
            "//! A crate. It has\n//! two sentences.\n\n"
            "/// Code is left out:\n/// ```\n/// let beside = 1; // beside\n/// ```\n/// And this is not.\n"
            'const URL: &str = "http://beside"; // A comment after code.\n'
            '#[error("{path} is not a run: \\\n    delete it")]\nfn f(c: char) { c == \'"\'; }\n/* A block. */'
        )
        self.assertEqual(
            sentences("lib.rs", text),
            [
                "A crate.",
                "It has two sentences.",
                "Code is left out:",
                "And this is not.",
                "A comment after code.",
                "{path} is not a run: delete it",
                "A block.",
            ],
        )

    def test_python_with_docstrings(self):
        text = '"""A module.\n\nA second paragraph."""\nx = "no sentence of this program"\n\n\ndef f():\n    """A function."""\n    # A comment.\n'
        found = sentences("x.py", text)
        self.assertCountEqual(found, ["A module.", "A second paragraph.", "A function.", "A comment."])
        self.assertCountEqual(sentences("script", "#!/usr/bin/env python3\n" + text), found)

    def test_shell(self):
        text = "#!/usr/bin/env bash\n# Runs it.\n# Twice.\necho '#' beside\n"
        self.assertEqual(sentences("script", text), ["Runs it.", "Twice."])

    def test_markdown(self):
        text = "# A heading\n\nOne. Two goes\non lines.\n\n- an item\n- another\n\n| a | table |\n\n```sh\ncode # beside\n```\n"
        self.assertEqual(sentences("x.md", text), ["One.", "Two goes on lines.", "an item", "another"])


class Areas(unittest.TestCase):
    def test_small_areas_are_judged_together(self):
        found = {"large": [100, ["a"]], "small": [60, ["b"]], "tiny": [1, []]}
        self.assertEqual(check_prose.judged(found), {"large": [100, ["a"]], "the rest": [61, ["b"]]})

    def test_the_bar_decides_and_only_tracked_files_count(self):
        with tempfile.TemporaryDirectory() as folder:
            plain = "".join(f"Sentence {number} is plain.\n\n" for number in range(99))
            Path(folder, "page.md").write_text(plain + "It goes on.\n")
            Path(folder, "untracked.md").write_text("It goes on.\n")
            subprocess.run(["git", "init", "--quiet", folder], check=True)
            subprocess.run(["git", "-C", folder, "add", "page.md"], check=True)

            def check(*options):
                command = [sys.executable, SCRIPTS / "check-prose", folder, *options]
                return subprocess.run(command, capture_output=True, text=True)

            self.assertEqual(check().returncode, 0, "1 of 100 is on the bar")
            above = check("--bar", "0.9", "--list")
            self.assertEqual(above.returncode, 1)
            self.assertIn("page.md:199: It goes on.  [continue, resume, keep]", above.stdout)


if __name__ == "__main__":
    unittest.main()
