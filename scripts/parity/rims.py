#!/usr/bin/env python3
"""Records what the public port of RIMs computes, for a test of `agent/src/memory/recurrent/rims.rs`.

Usage: scripts/parity/rims.py CHECKOUT > agent/tests/parity/rims.json

CHECKOUT is a clone of https://github.com/dido1998/Recurrent-Independent-Mechanisms (commit 26aa871 was used); torch is
needed, on a CPU. The weights are waves that the test makes again: number i of parameter k is 0.3 * sin(k + 0.7 i).

The first case has all modules active and calls the port's cell as it is. In the second, two of three are active; there
the port lets them hear what the inactive ones would have become, and the paper what they are. The script takes the
paper's side: it calls the port's input attention, LSTM and communication one after the other, and puts the stored state
of inactive modules between the last two. The port's LSTM and queries have no biases, so ours are zero.
"""

import json
import sys

import numpy as np
import torch

INPUTS, LANES, MODULES, SIZE, ENCODED, KEY, VALUE, HEADS, STEPS = 3, 2, 3, 4, 32, 16, 32, 2, 3

# Parameters in the order of the cell; those without a wave are zero.
SHAPES = {
    "encode.weight": (INPUTS, ENCODED),
    "encode.bias": (1, ENCODED),
    "entry.weight": (ENCODED, KEY + VALUE),
    "modules.query.bias": (1, MODULES * KEY),
    "modules.lstm.bias": (1, MODULES * 4 * SIZE),
    "modules.query.weight": (MODULES * SIZE, KEY),
    "modules.lstm.weight": (MODULES * (VALUE + SIZE), 4 * SIZE),
    "modules.ask.weight": (MODULES * SIZE, 3 * HEADS * SIZE),
    "modules.answer.weight": (MODULES * HEADS * SIZE, SIZE),
}
ZERO = ("modules.query.bias", "modules.lstm.bias")


def wave(shape, phase):
    numbers = 0.3 * np.sin(phase + 0.7 * np.arange(np.prod(shape)))
    return torch.tensor(numbers.reshape(shape), dtype=torch.float32)


def weights():
    return {
        name: torch.zeros(shape) if name in ZERO else wave(shape, place)
        for place, (name, shape) in enumerate(SHAPES.items())
    }


def reference(port, params, active):
    """Returns the port's cell with these weights."""
    cell = port.RIMCell(
        torch.device("cpu"), ENCODED, SIZE, MODULES, active, "LSTM",
        input_key_size=KEY, input_value_size=VALUE, input_query_size=KEY, num_input_heads=1, input_dropout=0.0,
        comm_key_size=SIZE, comm_value_size=SIZE, comm_query_size=SIZE, num_comm_heads=HEADS, comm_dropout=0.0,
    )
    blocks = {
        name: value.reshape(MODULES, -1, value.shape[1])
        for name, value in params.items()
        if name.startswith("modules") and name not in ZERO
    }
    lstm = blocks["modules.lstm.weight"]
    i, f, g, o = lstm.split(SIZE, dim=2)
    lstm = torch.cat([i, f, o, g], dim=2)
    query, key, value = blocks["modules.ask.weight"].split(HEADS * SIZE, dim=2)
    loaded = {
        "key.weight": params["entry.weight"][:, :KEY].T,
        "key.bias": torch.zeros(KEY),
        "value.weight": params["entry.weight"][:, KEY:].T,
        "value.bias": torch.zeros(VALUE),
        "rnn.i2h.w": lstm[:, :VALUE],
        "rnn.h2h.w": lstm[:, VALUE:],
        "query.w": blocks["modules.query.weight"],
        "query_.w": query,
        "key_.w": key,
        "value_.w": value,
        "comm_attention_output.w": blocks["modules.answer.weight"],
    }
    cell.load_state_dict(loaded)
    return cell.eval()


def heard_as_stored(cell, x, h, c):
    """One step in which inactive modules are heard as they are stored."""
    rows = torch.cat([x, torch.zeros_like(x)], dim=1)
    read, mask = cell.input_attention_mask(rows, h)
    new_h, new_c = cell.rnn(read, (h, c))
    chosen = mask.unsqueeze(2).bool()
    told = cell.communication_attention(torch.where(chosen, new_h, h), mask)
    return torch.where(chosen, told, h), torch.where(chosen, new_c, c), mask


def case(port, active):
    params = weights()
    cell = reference(port, params, active)
    h, c = (3.0 * wave((LANES, MODULES, SIZE), phase) for phase in (20, 21))
    steps = []
    for step in range(STEPS):
        x = 3.0 * wave((LANES, INPUTS), 30 + step)
        encoded = torch.tanh(x @ params["encode.weight"] + params["encode.bias"]).unsqueeze(1)
        if active == MODULES:
            h, c = cell(encoded, h, c)
            mask = torch.ones(LANES, MODULES)
        else:
            h, c, mask = heard_as_stored(cell, encoded, h, c)
        flat = [numbers.flatten().tolist() for numbers in (h, c, mask)]
        steps.append({name: [float(f"{x:.7g}") for x in numbers] for name, numbers in zip(("h", "c", "active"), flat)})
    return {"active_modules": active, "steps": steps}


def main():
    sys.path.insert(0, sys.argv[1])
    import RIM as port

    with torch.no_grad():
        cases = [case(port, MODULES), case(port, MODULES - 1)]
    json.dump(cases, sys.stdout)
    print()


if __name__ == "__main__":
    main()
