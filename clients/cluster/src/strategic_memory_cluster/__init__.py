"""Carries the calls of `benchmark --pool ray` to the machines of a Ray cluster.

`python -m strategic_memory_cluster relay` is started by the benchmark. People use
`strategic-memory-cluster check`, which says what a run would find.
"""

from __future__ import annotations

__version__ = "0.1.0"
