"""Tests of scripts/compare_peers.py with programs that only say how fast they were."""

import contextlib
import io
import os
import signal
import tempfile
import time
import types
import unittest
from pathlib import Path

from loading import load

compare_peers = load("compare_peers.py")

AGENT = """#!/bin/sh
if [ "$1" = list ]; then echo "│ recurrent-ppo    ┆ RecurrentPPO │"; else
echo "$@" >&2
echo '{"steps_per_s": 3000.0, "parameters": 10}'; fi
"""
ONCE = types.SimpleNamespace(rounds=1, delay=16)


class ComparePeers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        agent = Path(folder.name) / "agent"
        agent.write_text(AGENT)
        agent.chmod(0o755)
        before = compare_peers.AGENT, compare_peers.theirs
        self.addCleanup(lambda: [setattr(compare_peers, *pair) for pair in zip(("AGENT", "theirs"), before)])
        compare_peers.AGENT = agent
        compare_peers.theirs = lambda *_: {"steps_per_s": 1000.0, "parameters": 12}

    def printed(self, call):
        """Returns what a call returns and what it prints."""
        with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.redirect_stderr(io.StringIO()):
            result = call()
        return result, text.getvalue()

    def test_a_pairing_prints_both_rates_and_their_ratio(self):
        missed, text = self.printed(lambda: compare_peers.compare("lstm", ONCE))
        self.assertFalse(missed)
        self.assertIn("3,000.0 steps/s (3,000.0 … 3,000.0)  our recurrent-ppo, 10 parameters", text)
        self.assertIn("3.0 x (3.0 … 3.0)", text)

    def test_replayed_transitions_are_compared_where_the_peer_counts_them(self):
        *_, bar = compare_peers.PAIRINGS["drqn-published"]
        compare_peers.PAIRINGS["replay"], compare_peers.TITLES["replay"] = (
            ("recurrent-ppo", ["--train-every=32"], "torch_drqn.py", [], 1, 1, bar), "replay")  # fmt: skip
        self.addCleanup(lambda: (compare_peers.PAIRINGS.pop("replay"), compare_peers.TITLES.pop("replay")))
        compare_peers.theirs = lambda *_: {"steps_per_s": 10.0, "trained_per_s": 2400.0, "parameters": 12}
        missed, text = self.printed(lambda: compare_peers.compare("replay", ONCE))
        # Ours trains on 16 episodes of 16 steps every 32: 8 for each of 3,000 steps.
        self.assertIn("24,000.0 transitions/s", text)
        self.assertIn("10.0 x (10.0 … 10.0)  bar 10 x", text)
        self.assertFalse(missed)

    def test_a_pairing_without_its_algorithm_is_left_out(self):
        missed, text = self.printed(lambda: compare_peers.compare("trxl", ONCE))
        self.assertFalse(missed)
        self.assertIn("left out, because this agent has no algorithm gtrxl", text)

    def test_a_ratio_below_the_bar_is_missed(self):
        *front, _ = compare_peers.PAIRINGS["lstm"]
        compare_peers.PAIRINGS["slow"], compare_peers.TITLES["slow"] = (*front, 10), "slow"
        self.addCleanup(lambda: (compare_peers.PAIRINGS.pop("slow"), compare_peers.TITLES.pop("slow")))
        missed, text = self.printed(lambda: compare_peers.compare("slow", ONCE))
        self.assertTrue(missed)
        self.assertIn("bar 10 x", text)

    def test_a_missing_agent_is_an_error_that_says_how_to_build_it(self):
        compare_peers.AGENT = Path("/nowhere/agent")
        with self.assertRaisesRegex(compare_peers.Failed, "scripts/compare-peers builds it"):
            compare_peers.compare("lstm", ONCE)

    def test_a_program_ends_when_this_one_is_interrupted(self):
        def interrupt(*_):
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGALRM, interrupt)
        self.addCleanup(signal.signal, signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "pid"
            began = time.monotonic()
            with self.assertRaises(KeyboardInterrupt):
                compare_peers.output_of(["sh", "-c", f"echo $$ > {file}; exec sleep 60"])
            self.assertLess(time.monotonic() - began, 10)
            with self.assertRaises(ProcessLookupError):
                os.kill(int(file.read_text()), 0)

    def test_every_pairing_has_a_title_and_a_peer(self):
        self.assertEqual(list(compare_peers.PAIRINGS), list(compare_peers.TITLES))
        for _, _, file, *_ in compare_peers.PAIRINGS.values():
            self.assertTrue((compare_peers.ROOT / "scripts/peers" / file).exists(), file)


if __name__ == "__main__":
    unittest.main()
