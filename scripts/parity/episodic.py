"""Prints values of episodic control as JSON, for the test `they_compute_the_equations_of_the_papers` of `learner/episodic`.

MFEC as in equations 1 and 2 of Blundell et al. 2016, arXiv:1606.04460; NEC as in sections 3.1 and 3.2 of Pritzel et al.
2017, arXiv:1703.01988, without the gradient. Histories are the last observations from the left and the weighted time. The
weights of NEC's network are waves that the test computes as well; what is played stands in the file. Tables are small and
keep the rows that were written last.

    python scripts/parity/episodic.py > agent/tests/parity/episodic.json
"""

import json

import numpy as np

INPUTS, WINDOW, TIME, ACTIONS, ROWS, NEIGHBOURS, GAMMA = 2, 3, 3.0, 2, 5, 2, 0.9
HIDDEN, KEY, N_STEP, ALPHA, DELTA = 4, 3, 2, 0.5, 1e-3


def history(observations, t):
    """The last observations up to step t, the oldest first, then zeros; behind the weighted time."""
    last = observations[max(0, t + 1 - WINDOW) : t + 1]
    padded = np.zeros((WINDOW, INPUTS))
    padded[: len(last)] = last
    return np.concatenate([[TIME * t], padded.ravel()])


class Table:
    """Keys, values and what they stand for, the least recently written first."""

    def __init__(self):
        self.rows = []

    def nearest(self, key):
        """Distances and values of the nearest, from the table in the order of its places."""
        found = sorted(((np.sum((row["key"] - key) ** 2), row["place"], row["value"]) for row in self.rows))
        return [(distance, value) for distance, _, value in found[:NEIGHBOURS]]

    def write(self, name, key, value, change):
        known = next((row for row in self.rows if row["name"] == name), None)
        if known:
            self.rows.remove(known)
            place, value = known["place"], change(known["value"], value)
        else:
            place = self.rows.pop(0)["place"] if len(self.rows) == ROWS else len(self.rows)
        self.rows.append({"name": name, "key": key, "value": value, "place": place})


class Mfec:
    def __init__(self):
        self.tables = [Table() for _ in range(ACTIONS)]

    def key(self, observations, t):
        return history(observations, t)

    def values(self, key):
        return [self._value(table.nearest(key)) for table in self.tables]

    @staticmethod
    def _value(found):
        if not found:
            return 0.0
        return found[0][1] if found[0][0] == 0 else np.mean([value for _, value in found])

    def returns(self, rewards, values, beyond):
        found = []
        for reward in reversed(rewards):
            beyond = reward + GAMMA * beyond
            found.insert(0, beyond)
        return found

    change = staticmethod(max)

    def learn(self, observations, actions, rewards, cut_off):
        """One episode; its keys and values are those before it."""
        all_seen = [*observations, cut_off] if cut_off else observations
        keys = [self.key(all_seen, t) for t in range(len(all_seen))]
        values = [max(self.values(key)) for key in keys]
        returns = self.returns(rewards, values, values[len(rewards)] if cut_off else 0.0)
        for t in reversed(range(len(rewards))):
            name = tuple(history(observations, t))
            self.tables[actions[t]].write(name, keys[t], returns[t], self.change)


def wave(shape, phase):
    return 0.6 * np.sin(1.7 * np.arange(np.prod(shape)) + 0.9 * phase).reshape(shape)


class Nec(Mfec):
    SHAPES = {
        "core.hidden.weight": (WINDOW * INPUTS, HIDDEN),
        "core.hidden.bias": (1, HIDDEN),
        "core.output.weight": (HIDDEN, KEY),
        "core.output.bias": (1, KEY),
    }

    def __init__(self):
        super().__init__()
        self.weights = [wave(shape, phase) for phase, shape in enumerate(self.SHAPES.values())]

    def key(self, observations, t):
        x = history(observations, t)
        w, b, v, c = self.weights
        return np.concatenate([x[:1], np.tanh(x[1:] @ w + b[0]) @ v + c[0]])

    @staticmethod
    def _value(found):
        if not found:
            return 0.0
        kernels = np.array([1 / (distance + DELTA) for distance, _ in found])
        return kernels @ [value for _, value in found] / kernels.sum()

    def returns(self, rewards, values, beyond):
        values = [*values[: len(rewards)], beyond]
        found = []
        for t in range(len(rewards)):
            end = min(t + N_STEP, len(rewards))
            found.append(sum(GAMMA ** (i - t) * rewards[i] for i in range(t, end)) + GAMMA ** (end - t) * values[end])
        return found

    @staticmethod
    def change(old, new):
        return old + ALPHA * (new - old)


def main():
    random = np.random.default_rng(0)
    asked = random.integers(2, size=(5, INPUTS)).tolist()
    agents = {"mfec": Mfec(), "nec": Nec()}
    episodes = []
    for _ in range(12):
        steps = int(random.integers(1, 5))
        # The first bits are few, so that histories come again.
        observations = random.integers(2, size=(steps, INPUTS)).tolist()
        episode = {
            "observations": observations,
            "actions": random.integers(ACTIONS, size=steps).tolist(),
            "rewards": random.integers(-2, 3, size=steps).tolist(),
            "cut_off": random.integers(2, size=INPUTS).tolist() if random.random() < 0.4 else None,
        }
        played = dict(episode)
        for name, agent in agents.items():
            agent.learn(**played)
            found = [agent.values(agent.key(asked, t)) for t in range(len(asked))]
            episode[name] = [[round(float(value), 8) for value in row] for row in found]
        episodes.append(episode)
    print(json.dumps({"names": list(Nec.SHAPES), "asked": asked, "episodes": episodes}))


if __name__ == "__main__":
    main()
