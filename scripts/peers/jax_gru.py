"""PPO over a GRU in JAX: the task, the rollout and all epochs of an update are one compiled function.

The task runs in JAX too, so nothing leaves the compiled code. Settings are those of our GRU. The time to compile is
not counted.
"""

import sys

import jax
import jax.numpy as jnp
import optax
from common import measure, parser

GAMMA, LAMBDA, CLIP, ENTROPY, VALUE, NORM, RATE = 0.99, 0.3, 0.2, 0.01, 0.5, 0.5, 3e-3


def fresh(key, hidden):
    """Returns the parameters: gates side by side as reset, update, candidate."""
    orthogonal = jax.nn.initializers.orthogonal()
    keys = jax.random.split(key, 4)
    return {
        "inputs": orthogonal(keys[0], (3, 3 * hidden)),
        "before": orthogonal(keys[1], (hidden, 3 * hidden)),
        "bias": jnp.zeros((2, 3 * hidden)),
        "actor": 0.01 * orthogonal(keys[2], (hidden, 2)),
        "critic": orthogonal(keys[3], (hidden, 1)),
        "outputs": jnp.zeros(3),
    }


def step(parameters, hidden, inputs):
    """Takes one step of the GRU; returns its state, which is its output."""
    gates = jnp.split(inputs @ parameters["inputs"] + parameters["bias"][0], 3, axis=-1)
    before = jnp.split(hidden @ parameters["before"] + parameters["bias"][1], 3, axis=-1)
    reset, keep = (jax.nn.sigmoid(a + b) for a, b in zip(gates[:2], before[:2]))
    candidate = jnp.tanh(gates[2] + reset * before[2])
    return (1 - keep) * candidate + keep * hidden


def outputs(parameters, features):
    logits = features @ parameters["actor"] + parameters["outputs"][:2]
    values = (features @ parameters["critic"])[..., 0] + parameters["outputs"][2]
    return jax.nn.log_softmax(logits), values


def rollout(parameters, key, episodes, delay, hidden_size):
    """Plays one episode in each of `episodes` lanes; what is returned is `[delay, episodes, …]`."""
    noise, acting = jax.random.split(key)
    bits = jax.random.bernoulli(noise, shape=(delay, episodes, 2)).astype(jnp.float32)
    inputs = jnp.concatenate([bits, jnp.zeros((delay, episodes, 1))], axis=-1)

    def play(hidden, at):
        row, key = at
        hidden = step(parameters, hidden, row)
        logs, value = outputs(parameters, hidden)
        action = jax.random.categorical(key, logs)
        chosen = jnp.take_along_axis(logs, action[:, None], axis=1)[:, 0]
        return hidden, (action, chosen, value)

    start = jnp.zeros((episodes, hidden_size))
    _, (actions, chosen, values) = jax.lax.scan(play, start, (inputs, jax.random.split(acting, delay)))
    right = jnp.where(actions[-1] == bits[0, :, 0].astype(jnp.int32), 1.0, -1.0)
    rewards = jnp.zeros((delay, episodes)).at[-1].set(right)
    return inputs, actions, chosen, values, rewards


def generalised(rewards, values):
    """Generalised advantages of whole episodes."""

    def back(carry, at):
        following, advantage = carry
        reward, value = at
        advantage = reward + GAMMA * following - value + GAMMA * LAMBDA * advantage
        return (value, advantage), advantage

    zeros = jnp.zeros(rewards.shape[1])
    return jax.lax.scan(back, (zeros, zeros), (rewards, values), reverse=True)[1]


def loss(parameters, batch):
    inputs, actions, old, found, returns = batch
    start = jnp.zeros((inputs.shape[1], parameters["before"].shape[0]))

    def unroll(hidden, row):
        hidden = step(parameters, hidden, row)
        return hidden, hidden

    _, features = jax.lax.scan(unroll, start, inputs)
    logs, values = outputs(parameters, features)
    ratio = jnp.exp(jnp.take_along_axis(logs, actions[..., None], axis=2)[..., 0] - old)
    found = (found - found.mean()) / (found.std() + 1e-8)
    policy = -jnp.minimum(ratio * found, jnp.clip(ratio, 1 - CLIP, 1 + CLIP) * found).mean()
    value = 0.5 * jnp.square(values - returns).mean()
    entropy = -(jnp.exp(logs) * logs).sum(-1).mean()
    return policy + VALUE * value - ENTROPY * entropy


def compiled(optimiser, arguments):
    """Returns an update as one compiled function of parameters, moments and key."""
    episodes = arguments.lanes * arguments.episodes

    def minibatch(carry, batch):
        parameters, moments = carry
        changes, moments = optimiser.update(jax.grad(loss)(parameters, batch), moments)
        return (optax.apply_updates(parameters, changes), moments), None

    def update(parameters, moments, key):
        playing, shuffling = jax.random.split(key)
        inputs, actions, old, values, rewards = rollout(
            parameters, playing, episodes, arguments.delay, arguments.hidden
        )
        found = generalised(rewards, values)
        rows = (inputs, actions, old, found, found + values)

        def epoch(carry, key):
            order = jax.random.permutation(key, episodes).reshape(arguments.minibatches, -1)
            batches = jax.tree.map(lambda x: jnp.moveaxis(x[:, order], 1, 0), rows)
            return jax.lax.scan(minibatch, carry, batches)

        keys = jax.random.split(shuffling, arguments.epochs)
        (parameters, moments), _ = jax.lax.scan(epoch, (parameters, moments), keys)
        return parameters, moments, rewards.sum(0).mean()

    return jax.jit(update, donate_argnums=(0, 1))


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--hidden", type=int, default=64, help="units")
    arguments = arguments.parse_args()
    if arguments.lanes * arguments.episodes % arguments.minibatches:
        sys.exit("--minibatches must divide --lanes times --episodes")
    optimiser = optax.chain(optax.clip_by_global_norm(NORM), optax.adam(RATE, eps=1e-5))
    key = jax.random.key(arguments.seed)
    parameters = fresh(key, arguments.hidden)
    count = sum(x.size for x in jax.tree.leaves(parameters))
    moments = optimiser.init(parameters)
    one = compiled(optimiser, arguments)

    def update():
        nonlocal parameters, moments, key
        key, use = jax.random.split(key)
        parameters, moments, earned = one(parameters, moments, use)
        return earned.block_until_ready()

    measure(update, arguments.lanes * arguments.delay * arguments.episodes, arguments.steps, count, compiles=True)


if __name__ == "__main__":
    sys.exit(main())
