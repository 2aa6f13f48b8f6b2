#!/usr/bin/env python3
"""Records what the authors' GaLiTe computes, for the parity test of `shm` with `memory_gate=outer`.

    scripts/parity/galite.py PATH/TO/agalite > agent/tests/parity/galite.json

Needs jax and flax, and a checkout of https://github.com/subho406/agalite (recorded at commit 101acbe). Downloads nothing.

The normaliser is the last row of the matrix: a 1 at the end of each value, and of the calibration of rows.
"""

import json
import sys

import jax
import jax.numpy as jnp
from flax import linen as nn

INPUTS, SIZE, STEPS = 3, 4, 21


def main() -> None:
    # The name that the checkout calls was taken out of jax.
    jax.tree_map = jax.tree.map
    sys.path.insert(0, sys.argv[1])
    from src.models.agalite.galite import MemoryLayer, attention_func

    def positive() -> nn.Module:
        return nn.Sequential([nn.Dense(SIZE), nn.relu])

    layer = MemoryLayer(SIZE, positive, "keyvalue_gated", use_rotary_emb=False)
    keys = jax.random.split(jax.random.key(0), 3)
    inputs = jax.random.normal(keys[0], (STEPS, INPUTS))
    query = jax.random.uniform(keys[1], (STEPS, SIZE)) + 0.1
    state = jnp.zeros((SIZE, SIZE)), jnp.zeros(SIZE), jnp.zeros(STEPS, bool), None
    variables = layer.init(keys[2], inputs, state)
    (matrices, sums), seen = layer.apply(variables, inputs, state, capture_intermediates=True)
    read = attention_func(matrices, sums, query)
    seen = seen["intermediates"]
    (key,), (beta,), (gamma,) = [seen[f"Sequential_{number}"]["__call__"] for number in range(3)]
    # The first layer belongs to the keys.
    (value,) = seen["Dense_1"]["__call__"]
    one = jnp.ones((STEPS, 1))

    def rows(array: jax.Array) -> list[float]:
        return [round(float(number), 7) for number in array.ravel()]

    case = {
        "batch": 1,
        "left": rows(jnp.concatenate([beta, one], axis=1)),
        "right": rows(gamma),
        "value": rows(jnp.concatenate([beta * value, one], axis=1)),
        "key": rows(gamma * key),
        "query": rows(query),
        "read": rows(read),
    }
    json.dump(case, sys.stdout)
    print()


if __name__ == "__main__":
    main()
