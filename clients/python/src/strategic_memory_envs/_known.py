"""Specs that can be made by name without asking a server first, with their solved thresholds.

Written by `python -m strategic_memory_envs.update_known` from the catalogue of a server.
"""

KNOWN_SPECS: dict[str, float] = {
    "AssociativeRecall-v0": 0.925,
    "Autoencode-v0": 0.925,
    "Battleship-v0": 0.578,
    "BitFlip-v0": -3.259,
    "BsuiteDiscountingChain-v0": 1.096,
    "BsuiteMemoryLen-v0": 0.95,
    "BsuiteMemorySize-v0": 0.95,
    "BsuiteUmbrellaChain-v0": 0.95,
    "CartPole-v1": 476.115,
    "Concentration-v0": 0.779,
    "CountRecall-v0": 0.904,
    "EndlessTMaze-v0": 0.95,
    "GridMaze-v0": 0.976,
    "HigherLower-v0": 0.502,
    "LabyrinthEscape-v0": 0.896,
    "LabyrinthExplore-v0": 0.902,
    "MemoryTask-v0": 0.95,
    "MineSweeper-v0": 0.719,
    "MultiarmedBandit-v0": 0.689,
    "NoisyPositionOnlyCartPole-v0": 0.953,
    "NoisyPositionOnlyPendulum-v0": 0.857,
    "Pendulum-v1": -193.035,
    "PersistentRecall-v0": 0.891,
    "PositionOnlyPendulum-v0": 0.88,
    "ReachCell-v0": -6.323,
    "RepeatFirst-v0": 0.925,
    "RepeatPrevious-v0": 0.925,
    "StatelessCartPole-v0": 0.956,
    "TMazeActive-v0": 0.901,
    "TMazeDistractors-v0": 3.678,
    "TMazePassive-v0": 0.902,
    "VelocityOnlyCartPole-v0": 0.956,
}
