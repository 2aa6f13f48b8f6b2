"""Specs that can be made by name without asking a server first, with their solved thresholds.

Written by `python -m strategic_memory_envs.update_known` from the catalogue of a server.
"""

KNOWN_SPECS: dict[str, float] = {
    "MemoryTask-v0": 0.99,
}
