"""Runs the programs of the guides unchanged."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import strategic_memory_envs as sme

DOCS = Path(__file__).parents[3] / "docs"
GUIDE = DOCS / "python.md"


def programs(guide: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", guide.read_text(), re.DOTALL)


PROGRAMS = programs(GUIDE)


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_programs_of_the_guide(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(PROGRAMS[number], f"{GUIDE.name}, program {number}", "exec"), {})
    printed = capsys.readouterr().out
    if "20 times 1.0" in PROGRAMS[number]:
        assert printed == f"{[1.0] * 20}\n"


def test_the_guide_has_programs() -> None:
    assert len(PROGRAMS) >= 4
    quick_start = PROGRAMS[0].strip().splitlines()
    assert len(quick_start) <= 12


@pytest.fixture
def service(tmp_path: Path) -> Iterator[str]:
    """URL of a service with the agent that `docs/serving.md` trains."""
    agent = sme.find_binary().with_name("agent")
    if not agent.is_file():
        pytest.fail(f"{agent} is missing: cargo build --release -p agent")
    guide = (DOCS / "serving.md").read_text()
    training = re.search(r"^agent (train .*)$", guide, re.MULTILINE)
    assert training is not None
    subprocess.run([agent, *training[1].split()], cwd=tmp_path, check=True, capture_output=True)
    command = [str(agent), "serve", "--checkpoint", "runs/hard", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("listening on ").strip()
        process.terminate()


def test_the_program_of_the_guide_to_serving(
    service: str, capsys: pytest.CaptureFixture[str]
) -> None:
    program = programs(DOCS / "serving.md")[0]
    assert "http://127.0.0.1:7979" in program
    # Twice, as a reader might: the second run has another session.
    for _ in range(2):
        exec(program.replace("http://127.0.0.1:7979", service), {})
    # Only the last action of an episode is rewarded: earlier ones differ from machine to machine.
    assert capsys.readouterr().out.splitlines() == ["[1, 0]"] * 2
