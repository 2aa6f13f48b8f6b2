#!/usr/bin/env python3
"""Records what minGRU-pytorch computes from fixed weights, for the parity test of `mingru`.

    scripts/parity/mingru.py PATH/TO/minGRU_pytorch/minGRU.py > agent/tests/parity/mingru.json

Needs torch, and the file from https://github.com/lucidrains/minGRU-pytorch (recorded at commit 38b26e1). Downloads
nothing.

That code is the log-space form of the paper, whose candidate is g(u) = u + 1/2 for u >= 0. With weights and inputs that
are not negative, it is the linear form with a bias of 1/2, and so the two forms must agree.
"""

import importlib.util
import json
import sys

import torch

INPUTS, WIDTH, STEPS, LAYERS = 3, 4, 9, 2


def main() -> None:
    spec = importlib.util.spec_from_file_location("reference", sys.argv[1])
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    weights = {}

    def matrix(name: str, rows: int, columns: int) -> torch.Tensor:
        weights[name] = torch.rand(rows, columns)
        return weights[name]

    inputs = torch.rand(STEPS, INPUTS)
    x = torch.tanh(inputs @ matrix("core.embed.weight", INPUTS, WIDTH) + matrix("core.embed.bias", 1, WIDTH))
    for layer in range(1, LAYERS + 1):
        name = f"core.layer{layer}"
        module = reference.minGRU(WIDTH)
        with torch.no_grad():
            candidate, gate = torch.rand(WIDTH, WIDTH), torch.randn(WIDTH, WIDTH)
            module.to_hidden_and_gate.weight.copy_(torch.cat([candidate, gate]))
            h = module(x[None])[0]
        weights[f"{name}.gate_and_candidate.weight"] = torch.cat([gate, candidate]).T
        weights[f"{name}.gate_and_candidate.bias"] = torch.tensor([0.0] * WIDTH + [0.5] * WIDTH)
        output = matrix(f"{name}.output.weight", 2 * WIDTH, WIDTH) / 4
        weights[f"{name}.output.weight"] = output
        x = torch.tanh(torch.cat([h, x], dim=1) @ output + matrix(f"{name}.output.bias", 1, WIDTH) / 4)
        weights[f"{name}.output.bias"] /= 4
    numbers = {name: tensor.flatten().tolist() for name, tensor in weights.items()}
    case = {"inputs": inputs.flatten().tolist(), "weights": numbers, "features": x.flatten().tolist()}
    json.dump(json.loads(json.dumps(case), parse_float=lambda text: round(float(text), 8)), sys.stdout)
    print()


if __name__ == "__main__":
    main()
