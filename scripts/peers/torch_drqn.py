"""Q-learning over an LSTM in PyTorch, from a replay of whole episodes, with a target network and double Q-learning.

By default with the sizes of our DRQN. `--published` has those of the LSTM-DQN of Ni et al. 2023 (Memory-RL): one lane,
embeddings of 32 numbers for the observation and 16 for the action, an LSTM of 128 units, a head of two layers of 256, 64
episodes every 4 steps, 1,000 stored ones.
"""

from copy import deepcopy

import torch
from common import MemoryTask, measure, parser
from torch import nn

GAMMA, ACTIONS = 0.99, 2


class Network(nn.Module):
    """Values of all actions from observations and previous actions."""

    def __init__(self, published):
        super().__init__()
        if published:
            self.observation, self.action = nn.Linear(3, 32), nn.Linear(ACTIONS, 16)
            self.memory = nn.LSTM(48, 128)
            self.head = nn.Sequential(
                nn.Linear(128, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, ACTIONS)
            )
        else:
            self.observation = self.action = None
            self.memory, self.head = nn.LSTM(3, 64), nn.Linear(64, ACTIONS)

    def forward(self, observations, actions, state=None):
        """`observations` are `[steps, lanes, 3]`, `actions` the previous ones, one-hot; returns values and the state."""
        inputs = observations
        if self.observation is not None:
            inputs = torch.cat([self.action(actions).relu(), self.observation(observations).relu()], dim=-1)
        features, state = self.memory(inputs, state)
        return self.head(features), state


class Replay:
    """The last episodes, all as long as the delay; nothing follows their last action."""

    def __init__(self, episodes, delay):
        self.observations = torch.zeros(delay, episodes, 3)
        self.actions = torch.zeros(delay, episodes, dtype=torch.long)
        self.rewards = torch.zeros(delay, episodes)
        self.next, self.used = 0, 0

    def push(self, observations, actions, rewards):
        count, size = actions.shape[1], self.actions.shape[1]
        rows = (self.next + torch.arange(count)) % size
        self.observations[:, rows], self.actions[:, rows], self.rewards[:, rows] = observations, actions, rewards
        self.next, self.used = (self.next + count) % size, min(self.used + count, size)

    def sample(self, count):
        rows = torch.randint(self.used, (count,))
        return self.observations[:, rows], self.actions[:, rows], self.rewards[:, rows]


def before(actions):
    """Returns the action before each, one-hot; zeros before the first."""
    shown = nn.functional.one_hot(actions, ACTIONS).float()
    return torch.cat([torch.zeros_like(shown[:1]), shown[:-1]])


def learn(network, target, optimiser, batch, published):
    observations, actions, rewards = batch
    previous = before(actions)
    values, _ = network(observations, previous)
    with torch.no_grad():
        # The next value of an episode's last step is 0: the task terminates.
        best = values[1:].argmax(-1, keepdim=True)
        following = target(observations, previous)[0][1:].gather(2, best).squeeze(2)
        goals = rewards.clone()
        goals[:-1] += GAMMA * following
    chosen = values.gather(2, actions[..., None]).squeeze(2)
    loss = nn.functional.mse_loss if published else nn.functional.smooth_l1_loss
    optimiser.zero_grad()
    loss(chosen, goals).backward()
    if not published:
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
    optimiser.step()
    with torch.no_grad():
        rate = 0.005 if published else 0.01
        for slow, fast in zip(target.parameters(), network.parameters()):
            slow.lerp_(fast, rate)


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--published", action="store_true", help="sizes and settings of Memory-RL")
    arguments.add_argument("--batch", type=int, default=16, help="episodes of an optimiser step")
    arguments.add_argument("--every", type=int, default=32, help="environment steps from one optimiser step to the next")
    arguments = arguments.parse_args()
    rate, stored, share, least = 2e-3, 100_000 // arguments.delay, 0.2, 0.02
    if arguments.published:
        arguments.lanes, arguments.batch, arguments.every = 1, 64, 4
        rate, stored, share, least = 3e-4, 1_000, 0.1, 1 / arguments.delay
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    network = Network(arguments.published)
    target = deepcopy(network)
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    task, replay = MemoryTask(arguments.lanes, arguments.delay, arguments.seed), Replay(stored, arguments.delay)
    observation, done, owed = task.reset(), 0, 0.0

    def play():
        """Plays one episode in every lane, ε-greedily."""
        nonlocal observation, done
        steps, state = [], None
        previous = torch.zeros(1, arguments.lanes, ACTIONS)
        for _ in range(arguments.delay):
            inputs = torch.from_numpy(observation)
            values, state = network(inputs[None], previous, state)
            epsilon = max(least, 1 - (1 - least) * done / (share * arguments.steps))
            actions = torch.where(
                torch.rand(arguments.lanes) < epsilon, torch.randint(ACTIONS, (arguments.lanes,)), values[0].argmax(-1)
            )
            observation, rewards, _ = task.step(actions.numpy())
            steps.append((inputs, actions, torch.from_numpy(rewards)))
            previous = nn.functional.one_hot(actions, ACTIONS).float()[None]
            done += arguments.lanes
        return [torch.stack(column) for column in zip(*steps)]

    def update():
        nonlocal owed
        with torch.no_grad():
            played = play()
        replay.push(*played)
        owed += played[1].numel() / arguments.every
        while owed >= 1:
            learn(network, target, optimiser, replay.sample(arguments.batch), arguments.published)
            owed -= 1
        return played[2].sum(0).mean()

    count = sum(parameter.numel() for parameter in network.parameters())
    # A step of an episode that an optimiser step reads is one trained transition.
    trained = arguments.batch * arguments.delay / arguments.every
    measure(update, arguments.lanes * arguments.delay, arguments.steps, count, trained=trained)


if __name__ == "__main__":
    main()
