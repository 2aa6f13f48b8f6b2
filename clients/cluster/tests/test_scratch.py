from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import kill, lives, wait_for

from strategic_memory_cluster import programs
from strategic_memory_cluster.scratch import Scratch
from strategic_memory_cluster.worker import Worker


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The private directory, of this test alone."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return programs.private_directory()


def test_a_folder_lasts_as_long_as_any_process_that_holds_it(tmp_path: Path) -> None:
    own = Scratch(tmp_path)
    (own.path / "file").write_text("kept")
    child = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(own.lock,)
    )
    # As if this process had been killed.
    os.close(own.lock)
    other = Scratch(tmp_path)
    assert (own.path / "file").read_text() == "kept"
    child.communicate(b"\n")
    last = Scratch(tmp_path)
    assert not own.path.exists()
    assert sorted(last.path.parent.iterdir()) == sorted([other.path, last.path])
    other.remove()
    last.remove()
    other.remove()
    assert list(last.path.parent.iterdir()) == []


def test_what_is_no_folder_stays_and_links_are_not_followed(tmp_path: Path) -> None:
    first = Scratch(tmp_path)
    (precious := tmp_path / "precious").mkdir()
    (precious / "file").touch()
    (first.path.parent / "link").symlink_to(precious)
    (first.path.parent / "file").touch()
    Scratch(tmp_path).remove()
    assert (precious / "file").exists()
    assert (first.path.parent / "file").exists()
    first.remove()


def test_the_next_worker_removes_the_folder_of_one_that_was_killed_with_its_parent(
    program: Path, directory: Path
) -> None:
    sha256 = programs.digest(program.read_bytes())
    starts = (
        "import sys, pathlib, time\n"
        "from strategic_memory_cluster.worker import Worker\n"
        "worker = Worker(pathlib.Path(sys.argv[1]), sys.argv[2])\n"
        "print(worker._child.pid, flush=True)\n"
        "time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", starts, program, sha256],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(directory.parent)},
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    [left] = directory.glob("scratch-*/*")
    # In this order, so that the worker cannot remove it.
    kill(worker)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: not lives(worker))
    assert left.exists()
    new = Worker(program, sha256)
    assert not left.exists()
    new.end()
    assert list(directory.glob("scratch-*/*")) == []
    # Programs that are forgotten are files; the folders of workers are left alone.
    for number in range(programs.KEPT + 1):
        content = bytes([number])
        programs.place(programs.digest(content), lambda content=content: content)  # type: ignore[misc]
    assert left.parent.is_dir()
