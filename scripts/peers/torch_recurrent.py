"""PPO over a recurrent network in PyTorch: LSTM or GRU, observations straight into it, two linear outputs.

The rollout is whole episodes, so that learning is one call of torch's fused recurrent layer over each minibatch, from
a state of zeros. Minibatches are whole lanes. Settings are those of our recurrent PPO.
"""

import sys

import torch
from common import MemoryTask, advantages, measure, parser
from torch import nn

GAMMA, LAMBDA, CLIP, ENTROPY, VALUE, NORM, RATE = 0.99, 0.3, 0.2, 0.01, 0.5, 0.5, 3e-3
CELLS = {"lstm": nn.LSTM, "gru": nn.GRU}


class Agent(nn.Module):
    def __init__(self, cell, hidden):
        super().__init__()
        self.memory = CELLS[cell](3, hidden)
        self.actor, self.critic = nn.Linear(hidden, 2), nn.Linear(hidden, 1)

    def forward(self, inputs, state=None):
        """`inputs` are `[steps, lanes, 3]`; returns log-probabilities, values, and the state after the last step."""
        features, state = self.memory(inputs, state)
        return self.actor(features).log_softmax(-1), self.critic(features).squeeze(-1), state


def rollout(agent, task, observation, episodes):
    """Plays whole episodes; all that is returned is `[delay, lanes * episodes, …]`."""
    columns = ([], [], [], [], [])
    for _ in range(episodes):
        state, steps = None, []
        for _ in range(task.delay):
            inputs = torch.from_numpy(observation)
            logs, values, state = agent(inputs[None], state)
            actions = torch.distributions.Categorical(logits=logs[0]).sample()
            observation, rewards, _ = task.step(actions.numpy())
            chosen = logs[0].gather(1, actions[:, None]).squeeze(1)
            steps.append((inputs, actions, chosen, values[0], torch.from_numpy(rewards)))
        for column, values in zip(columns, zip(*steps)):
            column.append(torch.stack(values))
    return observation, [torch.cat(column, dim=1) for column in columns]


def learn(agent, optimiser, batch, arguments):
    inputs, actions, old, values, rewards = batch
    found = torch.stack(advantages(rewards, values, GAMMA, LAMBDA))
    returns = found + values
    for _ in range(arguments.epochs):
        for lanes in torch.randperm(inputs.shape[1]).chunk(arguments.minibatches):
            logs, predicted, _ = agent(inputs[:, lanes])
            ratio = (logs.gather(2, actions[:, lanes, None]).squeeze(2) - old[:, lanes]).exp()
            chosen = found[:, lanes]
            chosen = (chosen - chosen.mean()) / (chosen.std() + 1e-8)
            policy = -torch.min(ratio * chosen, ratio.clamp(1 - CLIP, 1 + CLIP) * chosen).mean()
            value = 0.5 * (predicted - returns[:, lanes]).pow(2).mean()
            entropy = -(logs.exp() * logs).sum(-1).mean()
            optimiser.zero_grad()
            (policy + VALUE * value - ENTROPY * entropy).backward()
            nn.utils.clip_grad_norm_(agent.parameters(), NORM)
            optimiser.step()


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--cell", choices=CELLS, default="gru", help="recurrent layer")
    arguments.add_argument("--hidden", type=int, default=64, help="units")
    arguments = arguments.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    agent = Agent(arguments.cell, arguments.hidden)
    optimiser = torch.optim.Adam(agent.parameters(), lr=RATE, eps=1e-5)
    task = MemoryTask(arguments.lanes, arguments.delay, arguments.seed)
    observation = task.reset()

    def update():
        nonlocal observation
        with torch.no_grad():
            observation, batch = rollout(agent, task, observation, arguments.episodes)
        learn(agent, optimiser, batch, arguments)
        return batch[4].sum(0).mean()

    count = sum(parameter.numel() for parameter in agent.parameters())
    measure(update, arguments.lanes * arguments.delay * arguments.episodes, arguments.steps, count)


if __name__ == "__main__":
    sys.exit(main())
