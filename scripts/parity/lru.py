#!/usr/bin/env python3
"""Records what minimal-LRU computes from fixed weights, for the parity test of `lru`.

    scripts/parity/lru.py PATH/TO/lru/model.py > agent/tests/parity/lru.json

Needs jax and flax, and the file from https://github.com/NicolasZucchet/minimal-LRU (recorded at commit bbd71b1).
Downloads nothing.

The output of a unit there is Re(C h) + D x; here the output of a layer is tanh(W [Re h, Im h, x] + b), so that W is made
of C and D.
"""

import importlib.util
import json
import math
import sys

import jax
import numpy as np

INPUTS, WIDTH, STEPS, LAYERS = 3, 4, 9, 2


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    spec = importlib.util.spec_from_file_location("reference", sys.argv[1])
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    rng = np.random.default_rng(0)
    weights = {}

    def matrix(name: str, rows: int, columns: int) -> np.ndarray:
        weights[name] = rng.normal(size=(rows, columns)) / math.sqrt(rows)
        return weights[name]

    inputs = rng.normal(size=(STEPS, INPUTS))
    x = np.tanh(inputs @ matrix("core.embed.weight", INPUTS, WIDTH) + matrix("core.embed.bias", 1, WIDTH))
    for layer in range(1, LAYERS + 1):
        name = f"core.layer{layer}"
        module = reference.LRU(WIDTH, WIDTH, r_min=0.5, r_max=0.999, max_phase=math.pi / 10)
        variables = module.init(jax.random.key(layer), x)
        y = np.asarray(module.apply(variables, x))
        unit = {key: np.asarray(value) for key, value in variables["params"].items()}
        weights[f"{name}.input.weight"] = np.concatenate([unit["B_re"].T, unit["B_im"].T], axis=1)
        weights[f"{name}.nu"] = unit["nu_log"]
        weights[f"{name}.theta"] = np.exp(unit["theta_log"])
        weights[f"{name}.log_gamma"] = unit["gamma_log"]
        weights[f"{name}.output.weight"] = np.concatenate([unit["C_re"].T, -unit["C_im"].T, np.diag(unit["D"])])
        x = np.tanh(y + matrix(f"{name}.output.bias", 1, WIDTH))

    def numbers(array: np.ndarray) -> list[float]:
        return [round(float(number), 8) for number in np.ravel(array)]

    case = {
        "inputs": numbers(inputs),
        "weights": {name: numbers(array) for name, array in weights.items()},
        "features": numbers(x),
    }
    json.dump(case, sys.stdout)
    print()


if __name__ == "__main__":
    main()
