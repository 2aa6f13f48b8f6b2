#!/usr/bin/env python3
"""Records what the authors' mLSTM computes, for the parity test of `shm` with `memory_gate=scalar`.

    scripts/parity/mlstm.py > agent/tests/parity/mlstm.json

Needs torch and mlstm_kernels (recorded with 2.0.6). Downloads nothing.

The authors' normaliser is max(|n q|, 1). Queries and keys are positive and input gates large here, so that n q exceeds 1.
The normaliser is the last row of the matrix: a 1 at the end of each value, and of the calibration of rows.
"""

import json
import sys

import torch
from mlstm_kernels.torch.recurrent.native_step import mlstm_recurrent_step__native_fw as step

SIZE, STEPS, BATCH = 4, 21, 2


def main() -> None:
    torch.manual_seed(0)
    key, query = torch.rand(2, STEPS, BATCH, 1, SIZE) + 0.1
    value = torch.randn(STEPS, BATCH, 1, SIZE)
    # Logarithms of input gates, and logits of forget gates.
    write, forget = torch.randn(STEPS, BATCH, 1, 1) + 4, torch.randn(STEPS, BATCH, 1, 1) + 1
    state = torch.zeros(BATCH, 1, SIZE, SIZE), torch.zeros(BATCH, 1, SIZE), torch.zeros(BATCH, 1, 1)
    read = []
    for t in range(STEPS):
        h, state = step(*state, query[t], key[t], value[t], write[t], forget[t], eps=0)
        read.append(h)
    one = torch.ones(STEPS, BATCH, 1, 1)

    def rows(tensor: torch.Tensor) -> list[float]:
        return [round(number, 7) for number in tensor.flatten().tolist()]

    case = {
        "batch": BATCH,
        "left": rows(one.expand(-1, -1, -1, SIZE + 1)),
        "right": rows((-forget).sigmoid().expand(-1, -1, -1, SIZE)),
        "value": rows(torch.cat([value, one], dim=-1)),
        "key": rows(write.exp() * key),
        "query": rows(query / SIZE**0.5),
        "read": rows(torch.stack(read)),
    }
    json.dump(case, sys.stdout)
    print()


if __name__ == "__main__":
    main()
