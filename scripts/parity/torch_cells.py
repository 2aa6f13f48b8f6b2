#!/usr/bin/env python3
"""Records what torch.nn.GRU and torch.nn.LSTM compute from fixed weights, for the parity tests of `gru` and `recurrent-ppo`.

    scripts/parity/torch_cells.py gru > agent/tests/parity/gru.json
    scripts/parity/torch_cells.py lstm > agent/tests/parity/lstm.json

Needs torch (recorded with 2.15.0). Downloads nothing.

torch's update gate is the share of the old state, ours that of the new: as σ(−x) = 1 − σ(x), weights and biases of that
gate change their sign. torch's LSTM has two biases, ours their sum.
"""

import json
import sys

import torch

INPUTS, WIDTH, STEPS = 3, 4, 12


def main() -> None:
    kind = sys.argv[1]
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    cell = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[kind](INPUTS, WIDTH)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.copy_(torch.randn(weight.shape))
        inputs, before = torch.randn(STEPS, INPUTS), [torch.randn(1, WIDTH) for _ in range(2)]
        features, _ = cell(inputs, before[0] if kind == "gru" else tuple(before))
        w_ih, w_hh, b_ih, b_hh = (weight.clone() for weight in cell.parameters())
        weights = {"weight_ih": w_ih.T, "weight_hh": w_hh.T}
        if kind == "gru":
            weights |= {"bias": b_ih[None], "bias_hh": b_hh[None]}
            for weight in weights.values():
                weight[:, WIDTH : 2 * WIDTH] *= -1
        else:
            weights["bias"] = (b_ih + b_hh)[None]
    case = {
        "inputs": inputs.flatten().tolist(),
        "before": [state.flatten().tolist() for state in before[: 1 if kind == "gru" else 2]],
        "weights": {f"core.{kind}.{name}": weight.flatten().tolist() for name, weight in weights.items()},
        "features": features.flatten().tolist(),
    }
    json.dump(json.loads(json.dumps(case), parse_float=lambda text: round(float(text), 8)), sys.stdout)
    print()


if __name__ == "__main__":
    main()
