"""Carries calls of `benchmark` and `agent train --pool ray` to the machines of a Ray cluster.

These programs start `python -m strategic_memory_cluster relay`. People use
`strategic-memory-cluster check`, which says what a run would find.
"""

from __future__ import annotations

__version__ = "0.1.0"
