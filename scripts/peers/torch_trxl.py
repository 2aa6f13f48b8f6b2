"""PPO over a Transformer-XL as episodic memory in PyTorch, written anew from CleanRL's PPO-TrXL and its settings.

Each layer attends from the current step to the layer's inputs at the last steps of the episode, which are kept as they
were when they were seen: no gradient flows into them. Learning therefore gathers, for each step, its window from the
rollout's memories. `--published` takes CleanRL's sizes and settings (commit 10ecb84 of vwxyzjn/cleanrl).
"""

import sys

import torch
from common import MemoryTask, advantages, measure, parser
from torch import nn

GAMMA, LAMBDA, CLIP, ENTROPY, VALUE, NORM, RATE = 0.995, 0.95, 0.1, 1e-4, 0.5, 0.25, 2.75e-4
PUBLISHED = {
    "lanes": 32, "rollout": 512, "epochs": 3, "minibatches": 8, "layers": 3, "heads": 4, "dim": 384, "window": 119,
}  # fmt: skip


class Layer(nn.Module):
    """Attention of one query over a window, then a linear layer, both with normalised inputs and a skip."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads, self.scale = heads, dim**-0.5
        width = dim // heads
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.out = nn.Linear(dim, dim)
        self.norm_query, self.norm_window, self.norm_out = (nn.LayerNorm(dim) for _ in range(3))
        self.feed = nn.Sequential(nn.Linear(dim, dim), nn.ReLU())

    def forward(self, x, window, is_filled):
        """`x` `[rows, dim]`, `window` `[rows, places, dim]`, `is_filled` `[rows, places]`."""

        def split(values):
            return values.unflatten(-1, (self.heads, -1))

        entries = split(self.norm_window(window))
        query = self.query(split(self.norm_query(x)))
        scores = torch.einsum("nhd,nkhd->nhk", query, self.key(entries)) * self.scale
        scores = scores.masked_fill(~is_filled[:, None], -1e20).softmax(-1)
        read = torch.einsum("nhk,nkhd->nhd", scores, self.value(entries)).flatten(1)
        x = x + self.out(read)
        return x + self.feed(self.norm_out(x))


class Agent(nn.Module):
    def __init__(self, layers, dim, heads, delay):
        super().__init__()
        self.encoder = nn.Linear(3, dim)
        self.layers = nn.ModuleList(Layer(dim, heads) for _ in range(layers))
        self.hidden = nn.Sequential(nn.Linear(dim, dim), nn.ReLU())
        self.actor, self.critic = nn.Linear(dim, 2), nn.Linear(dim, 1)
        angles = torch.arange(delay)[:, None] * 1e4 ** (-torch.arange(0, dim, 2) / dim)
        self.register_buffer("places", torch.cat([angles.sin(), angles.cos()], dim=1))

    def forward(self, inputs, window, index, is_filled):
        """`window` `[rows, places, layers, dim]`, `index` `[rows, places]`: the steps in it.

        Returns log-probabilities, values, and the inputs of the layers, which are the step's own memory.
        """
        x, memory = self.encoder(inputs), []
        positions = self.places[index]
        for number, layer in enumerate(self.layers):
            memory.append(x.detach())
            x = layer(x, window[:, :, number] + positions, is_filled)
        features = self.hidden(x)
        return self.actor(features).log_softmax(-1), self.critic(features).squeeze(-1), torch.stack(memory, dim=1)


def windows(delay, length):
    """Returns, for each step, the steps in its window, and which places are filled: `[delay, length]` each."""
    steps = torch.arange(delay)[:, None]
    index = torch.arange(length) + (steps - length).clamp(min=0)
    return index, index < steps


def rollout(agent, task, observation, episodes, index, is_filled):
    """Plays whole episodes; all that is returned is `[delay, lanes * episodes, …]`."""
    shape = (task.delay, task.lanes, len(agent.layers), agent.encoder.out_features)
    columns = ([], [], [], [], [], [])
    for _ in range(episodes):
        bank, steps = torch.zeros(shape), []
        for t in range(task.delay):
            inputs = torch.from_numpy(observation)
            places = index[t].expand(task.lanes, -1)
            window = bank[index[t]].transpose(0, 1)
            logs, values, bank[t] = agent(inputs, window, places, is_filled[t].expand(task.lanes, -1))
            actions = torch.distributions.Categorical(logits=logs).sample()
            observation, rewards, _ = task.step(actions.numpy())
            chosen = logs.gather(1, actions[:, None]).squeeze(1)
            steps.append((inputs, actions, chosen, values, torch.from_numpy(rewards)))
        for column, values in zip(columns, [*map(torch.stack, zip(*steps)), bank]):
            column.append(values)
    return observation, [torch.cat(column, dim=1) for column in columns]


def learn(agent, optimiser, batch, sizes, index, is_filled):
    inputs, actions, old, values, rewards, bank = batch
    found = torch.stack(advantages(rewards, values, GAMMA, LAMBDA))
    returns = found + values
    delay, episodes = actions.shape
    for _ in range(sizes["epochs"]):
        for rows in torch.randperm(delay * episodes).chunk(sizes["minibatches"]):
            t, episode = rows // episodes, rows % episodes
            window = bank[index[t], episode[:, None]]
            logs, predicted, _ = agent(inputs[t, episode], window, index[t], is_filled[t])
            ratio = (logs.gather(1, actions[t, episode, None]).squeeze(1) - old[t, episode]).exp()
            chosen = found[t, episode]
            policy = -torch.min(ratio * chosen, ratio.clamp(1 - CLIP, 1 + CLIP) * chosen).mean()
            before, target = values[t, episode], returns[t, episode]
            near = before + (predicted - before).clamp(-CLIP, CLIP)
            value = torch.max((predicted - target).pow(2), (near - target).pow(2)).mean()
            entropy = -(logs.exp() * logs).sum(-1).mean()
            optimiser.zero_grad()
            (policy + VALUE * value - ENTROPY * entropy).backward()
            nn.utils.clip_grad_norm_(agent.parameters(), NORM)
            optimiser.step()


def settings():
    arguments = parser(__doc__)
    arguments.add_argument("--layers", type=int, default=2, help="layers")
    arguments.add_argument("--heads", type=int, default=2, help="heads of the attention")
    arguments.add_argument("--dim", type=int, default=32, help="width")
    arguments.add_argument("--window", type=int, help="steps in a window [the delay]")
    arguments.add_argument("--published", action="store_true", help="CleanRL's sizes and settings instead of these")
    arguments = arguments.parse_args()
    sizes = vars(arguments)
    sizes["window"] = arguments.window or arguments.delay
    if arguments.published:
        sizes.update({name: value for name, value in PUBLISHED.items() if name != "rollout"})
        sizes["episodes"] = max(1, PUBLISHED["rollout"] // arguments.delay)
    sizes["window"] = min(sizes["window"], arguments.delay)
    return sizes


def main():
    sizes = settings()
    torch.set_num_threads(1)
    torch.manual_seed(sizes["seed"])
    delay, lanes = sizes["delay"], sizes["lanes"]
    agent = Agent(sizes["layers"], sizes["dim"], sizes["heads"], delay)
    optimiser = torch.optim.AdamW(agent.parameters(), lr=RATE)
    task = MemoryTask(lanes, delay, sizes["seed"])
    index, is_filled = windows(delay, sizes["window"])
    observation = task.reset()

    def update():
        nonlocal observation
        with torch.no_grad():
            observation, batch = rollout(agent, task, observation, sizes["episodes"], index, is_filled)
        learn(agent, optimiser, batch, sizes, index, is_filled)
        return batch[4].sum(0).mean()

    count = sum(parameter.numel() for parameter in agent.parameters())
    measure(update, lanes * delay * sizes["episodes"], sizes["steps"], count)


if __name__ == "__main__":
    sys.exit(main())
