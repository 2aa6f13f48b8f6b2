"""Model-free episodic control in NumPy: a table for each action, one observation after another, as published programs do.

Keys, neighbours, capacity and ε are those of our MFEC. A known key is found in a dictionary; the distances to all others
are one expression. The task steps all lanes in one call.
"""

import numpy
from common import MemoryTask, measure, parser

ACTIONS, NEIGHBOURS, CAPACITY, EPSILON, TIME = 2, 11, 10_000, 0.005, 3.0


class Table:
    """Keys with the best return that ever followed them; a full table gives up the row that was not used for longest."""

    def __init__(self, width):
        self.keys = numpy.zeros((CAPACITY, width), "f")
        self.values, self.times = numpy.zeros(CAPACITY, "f"), numpy.zeros(CAPACITY)
        self.rows, self.names = {}, []

    def read(self, key, now):
        row = self.rows.get(key.tobytes())
        if row is not None:
            self.times[row] = now
            return self.values[row]
        used = len(self.names)
        if used <= NEIGHBOURS:
            return numpy.inf
        differences = self.keys[:used] - key
        distances = numpy.einsum("ij,ij->i", differences, differences)
        nearest = numpy.argpartition(distances, NEIGHBOURS)[:NEIGHBOURS]
        self.times[nearest] = now
        return self.values[nearest].mean()

    def write(self, key, value, now):
        name = key.tobytes()
        row = self.rows.get(name)
        if row is not None:
            value = max(value, self.values[row])
        elif len(self.names) < CAPACITY:
            row = len(self.names)
            self.names.append(name)
        else:
            row = int(self.times.argmin())
            del self.rows[self.names[row]]
            self.names[row] = name
        self.rows[name] = row
        self.keys[row], self.values[row], self.times[row] = key, value, now


def main():
    arguments = parser(__doc__)
    arguments.set_defaults(lanes=16, steps=10_000)
    arguments = arguments.parse_args()
    task = MemoryTask(arguments.lanes, arguments.delay, arguments.seed)
    random = numpy.random.default_rng(arguments.seed)
    observations = task.reset()
    size = observations.shape[1]
    width = 1 + arguments.delay * size
    tables = [Table(width) for _ in range(ACTIONS)]
    now = 0

    def act(key):
        if random.random() < EPSILON:
            return int(random.integers(ACTIONS))
        values = numpy.array([table.read(key, now) for table in tables])
        return int(random.choice(numpy.flatnonzero(values == values.max())))

    def episode():
        """Plays one episode in every lane and writes its returns; returns the mean return."""
        nonlocal observations, now
        keys = numpy.zeros((arguments.delay, arguments.lanes, width), "f")
        taken, ended, t = numpy.zeros((arguments.delay, arguments.lanes), int), False, 0
        while not ended:
            if t:
                keys[t] = keys[t - 1]
            keys[t, :, 0] = TIME * t
            keys[t, :, 1 + t * size : 1 + (t + 1) * size] = observations
            now += 1
            taken[t] = [act(key) for key in keys[t]]
            observations, rewards, ended = task.step(taken[t])
            t += 1
        for lane in range(arguments.lanes):
            for step in reversed(range(t)):
                # Only the last action is rewarded, and nothing is discounted.
                now += 1
                tables[taken[step, lane]].write(keys[step, lane], rewards[lane], now)
        return rewards.mean()

    count = ACTIONS * CAPACITY * (width + 2)
    measure(episode, arguments.lanes * arguments.delay, arguments.steps, count)


if __name__ == "__main__":
    main()
