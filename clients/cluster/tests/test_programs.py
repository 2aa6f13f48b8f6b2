from __future__ import annotations

import os
from pathlib import Path

import pytest

from strategic_memory_cluster import programs
from strategic_memory_cluster.programs import Untrusted


def test_a_program_is_fetched_once_and_again_when_it_was_changed(tmp_path: Path) -> None:
    content, fetched = b"a program", []

    def fetch() -> bytes:
        fetched.append(1)
        return content

    sha256 = programs.digest(content)
    path = programs.place(sha256, fetch, tmp_path)
    assert path.read_bytes() == content
    assert path.stat().st_mode & 0o777 == 0o700
    assert programs.place(sha256, fetch, tmp_path) == path
    assert len(fetched) == 1
    path.write_bytes(b"another")
    assert programs.place(sha256, fetch, tmp_path).read_bytes() == content
    assert len(fetched) == 2


def test_another_program_than_the_expected_one_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Untrusted):
        programs.place(programs.digest(b"one"), lambda: b"two", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_few_programs_are_kept(tmp_path: Path) -> None:
    for number in range(programs.KEPT + 3):
        content = bytes([number])
        path = programs.place(programs.digest(content), lambda content=content: content, tmp_path)  # type: ignore[misc]
        os.utime(path, (number, number))
    kept = {path.read_bytes() for path in tmp_path.iterdir()}
    assert kept == {bytes([number]) for number in range(3, programs.KEPT + 3)}


def test_a_directory_of_others_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    directory = programs.private_directory()
    assert programs.private_directory() == directory
    directory.chmod(0o777)
    with pytest.raises(Untrusted):
        programs.private_directory()
    directory.rmdir()
    directory.symlink_to(tmp_path)
    with pytest.raises(Untrusted):
        programs.private_directory()
