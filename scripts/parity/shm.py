#!/usr/bin/env python3
"""Records what the authors' stable Hadamard memory computes, for the parity test of `shm`.

    scripts/parity/shm.py PATH/TO/shm.py > agent/tests/parity/shm.json

Needs torch, and the file from https://github.com/thaihungle/SHM (recorded at commit 651f9e2). Downloads nothing.

Keys and queries differ by design (a softmax here, a rectifier divided by its sum there), so the case holds what the
authors' module makes of its projections and what it reads.
"""

import importlib.util
import json
import sys

import torch

INPUTS, SIZE, STEPS, BATCH = 3, 4, 21, 2


def main() -> None:
    # The name that the file calls was taken out of torch.
    torch.nn.init.xavier_uniform = torch.nn.init.xavier_uniform_
    spec = importlib.util.spec_from_file_location("reference", sys.argv[1])
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    torch.manual_seed(0)
    module = reference.SHM(INPUTS, INPUTS, SIZE)
    projected = {}
    for name in ["key", "query", "value", "vc_net", "eta"]:
        layer = getattr(module, name)
        layer.weight.data *= 2
        layer.register_forward_hook(lambda _, __, output, name=name: projected.update({name: output}))
    x = torch.randn(BATCH, STEPS, INPUTS)
    with torch.no_grad():
        read, _ = module.matrix_memory_update(x, module.initial_state(x))
        theta = module.retrieve_theta(x, module.theta_matrix)

    def simplex(name: str) -> torch.Tensor:
        rectified = projected[name].relu()
        return rectified / (1e-5 + rectified.sum(dim=-1, keepdim=True))

    def rows(tensor: torch.Tensor) -> list[float]:
        """Time-major: row = step * batch + lane."""
        return [round(number, 8) for number in tensor.transpose(0, 1).flatten().tolist()]

    case = {
        "batch": BATCH,
        "left": rows(theta),
        "right": rows(projected["vc_net"]),
        "value": rows(projected["eta"].sigmoid() * projected["value"]),
        "key": rows(simplex("key")),
        "query": rows(simplex("query")),
        "read": rows(read),
    }
    json.dump(case, sys.stdout)
    print()


if __name__ == "__main__":
    main()
