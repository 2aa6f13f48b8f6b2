"""Writes `_known.py` from a server's catalogue: `python -m strategic_memory_envs.update_known`."""

from __future__ import annotations

from pathlib import Path

from . import _known
from .registration import catalogue


def main() -> None:
    """Rewrites the table, and keeps everything before it."""
    path = Path(_known.__file__)
    before, _, _ = path.read_text().partition("KNOWN_SPECS")
    specs = sorted((str(spec["id"]), float(spec["solved_threshold"])) for spec in catalogue())
    rows = "".join(f'    "{spec_id}": {threshold!r},\n' for spec_id, threshold in specs)
    path.write_text(f"{before}KNOWN_SPECS: dict[str, float] = {{\n{rows}}}\n")


if __name__ == "__main__":
    main()
