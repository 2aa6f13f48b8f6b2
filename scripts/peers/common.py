"""What the peers have in common: the task, the arguments, and the line of JSON that they print."""

import argparse
import json
import time

import numpy


class MemoryTask:
    """MemoryTask-v0 HARD in process, all lanes at once. The cue is the first observation; the last action is judged.

    One call steps every lane, without the cost of an environment each, so that a peer's speed is that of its learning.
    """

    def __init__(self, lanes, delay, seed):
        self.lanes, self.delay = lanes, delay
        self.random = numpy.random.default_rng(seed)

    def reset(self):
        self.steps = 0
        self.cue = self.random.integers(2, size=self.lanes)
        return self._observe(self.cue)

    def step(self, actions):
        """Returns observations, rewards, and whether the episodes ended; a new one then begins at once."""
        self.steps += 1
        if self.steps < self.delay:
            return self._observe(self.random.integers(2, size=self.lanes)), numpy.zeros(self.lanes, "f"), False
        rewards = numpy.where(actions == self.cue, 1.0, -1.0).astype("f")
        return self.reset(), rewards, True

    def _observe(self, first):
        second = self.random.integers(2, size=self.lanes)
        return numpy.stack([first, second, numpy.zeros(self.lanes)], axis=1).astype("f")


def parser(description):
    arguments = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    arguments.add_argument("--delay", type=int, default=16, help="delay of the task")
    arguments.add_argument("--steps", type=int, default=100_000, help="environment steps to measure")
    arguments.add_argument("--lanes", type=int, default=64, help="environments side by side")
    arguments.add_argument("--episodes", type=int, default=1, help="episodes of each lane in a rollout")
    arguments.add_argument("--epochs", type=int, default=5, help="passes over a rollout")
    arguments.add_argument("--minibatches", type=int, default=4, help="minibatches of a pass")
    arguments.add_argument("--seed", type=int, default=0)
    return arguments


def advantages(rewards, values, gamma, gae_lambda):
    """Generalised advantages of whole episodes; `rewards` and `values` are `[steps, episodes]`, any array type."""
    found = [None] * len(rewards)
    following, advantage = 0.0 * values[0], 0.0 * values[0]
    for t in reversed(range(len(rewards))):
        delta = rewards[t] + gamma * following - values[t]
        advantage = delta + gamma * gae_lambda * advantage
        found[t], following = advantage, values[t]
    return found


def measure(update, steps_of_one, steps, parameters, compiles=False, trained=None):
    """Calls `update` until `steps` are done and prints the result; `update` returns the mean return of its episodes.

    Where it compiles, the first update is not counted. `trained`: transitions that learning reads for each step, where
    the rate of these is compared.
    """
    if compiles:
        update()
    done, returns, began = 0, [], time.perf_counter()
    while done < steps:
        returns.append(float(update()))
        done += steps_of_one
    rate = done / (time.perf_counter() - began)
    last = returns[-max(1, len(returns) // 10) :]
    result = {"steps_per_s": rate, "parameters": parameters, "last_return": sum(last) / len(last)}
    if trained is not None:
        result["trained_per_s"] = rate * trained
    print(json.dumps(result), flush=True)
