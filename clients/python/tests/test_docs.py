"""The guide's programs run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[3] / "docs" / "python.md"
PROGRAMS = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)


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
