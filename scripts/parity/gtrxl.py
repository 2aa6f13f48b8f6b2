"""Prints features of DI-engine's GTrXL as JSON, for the test `it_computes_what_di_engine_computes` of `gtrxl`.

Weights, memory and inputs are waves that the test computes as well, so the file holds results only. The port steps one
observation at a time from a full memory: it pads a shorter one with zeros that take part in attention. Its embedding has
a rectifier, so the embedded inputs are given to it. Its queries come from inputs that are not normalised, unlike in the
paper's equation; here they are made from the normalised ones.

    git clone https://github.com/opendilab/DI-engine
    python scripts/parity/gtrxl.py DI-engine > agent/tests/parity/gtrxl.json
"""

import argparse
import importlib
import json
import math
import sys
import types
from pathlib import Path

import torch

INPUTS, WIDTH, HEADS, LAYERS, WINDOW, LANES, STEPS = 3, 8, 2, 2, 4, 2, 7

# Names and shapes of a layer's parameters, in the order in which they are made.
LAYER = [
    *((f"{part}.weight", (WIDTH, WIDTH)) for part in ("query", "key", "value", "distance")),
    *((f"query.{part}_bias", (1, WIDTH)) for part in ("content", "distance")),
    *(
        (f"{part}.{kind}", (rows, WIDTH))
        for part in ("output", "feed1", "feed2")
        for kind, rows in (("weight", WIDTH), ("bias", 1))
    ),
    *((f"{part}.{kind}", (1, WIDTH)) for part in ("norm1", "norm2") for kind in ("gain", "bias")),
    *(
        (f"{part}.{kind}", shape)
        for part in ("gate1", "gate2")
        for kind, shape in (
            ("gates", (2 * WIDTH, 2 * WIDTH)),
            ("candidate", (2 * WIDTH, WIDTH)),
            ("bias", (1, WIDTH)),
        )
    ),
]


def port(source):
    """Imports the port's module alone: its package needs much that has nothing to do with it."""
    for name in ("ding", "ding.torch_utils", "ding.torch_utils.network"):
        package = types.ModuleType(name)
        package.__path__ = [str(source.joinpath(*name.split(".")))]
        sys.modules[name] = package
    return importlib.import_module("ding.torch_utils.network.gtrxl")


def with_normalised_queries(attention):
    """Lets an attention module ask with the last rows of what it reads."""
    forward = attention.forward

    def asked(inputs, positions, normalised, *rest, **named):
        return forward(normalised[-len(inputs) :], positions, normalised, *rest, **named)

    attention.forward = asked


def wave(shape, phase):
    count = math.prod(shape)
    numbers = [0.6 * math.sin(1.7 * i + 0.9 * phase) for i in range(count)]
    return torch.tensor(numbers, dtype=torch.float64).reshape(shape)


def phases():
    """The phase of every parameter's wave. The port's layers share u and v."""
    names = [("embed.weight", (INPUTS, WIDTH)), ("embed.bias", (1, WIDTH))]
    names += [(f"layer{layer}.{name}", shape) for layer in range(LAYERS) for name, shape in LAYER]
    phase = {name: number for number, (name, _) in enumerate(names)}
    for name, _ in names:
        if name.endswith(("content_bias", "distance_bias")):
            phase[name] = phase["layer0" + name[name.index(".") :]]
    return {name: (shape, phase[name]) for name, shape in names}


def fill(module, weights):
    """Copies the weights, `[inputs, outputs]` here, into the port."""

    def linear(layer, weight, bias=None):
        layer[0].weight.data = weight.T.contiguous()
        layer[0].bias.data = torch.zeros(weight.shape[1]) if bias is None else bias[0]

    module.u.data = weights["layer0.query.content_bias"].reshape(HEADS, -1)
    module.v.data = weights["layer0.query.distance_bias"].reshape(HEADS, -1)
    for number, layer in enumerate(module.layers):
        of = {name: weights[f"layer{number}.{name}"] for name, _ in LAYER}
        linear(layer.attention.attention_q, of["query.weight"])
        linear(layer.attention.attention_kv, torch.cat([of["key.weight"], of["value.weight"]], 1))
        linear(layer.attention.project_pos, of["distance.weight"])
        linear(layer.attention.project, of["output.weight"], of["output.bias"])
        feeds = [block for block in layer.mlp if isinstance(block, torch.nn.Sequential)]
        for block, name in zip(feeds, ("feed1", "feed2"), strict=True):
            linear(block, of[f"{name}.weight"], of[f"{name}.bias"])
        for norm, name in ((layer.layernorm1, "norm1"), (layer.layernorm2, "norm2")):
            norm.weight.data, norm.bias.data = of[f"{name}.gain"][0], of[f"{name}.bias"][0]
        for gate, name in ((layer.gate1, "gate1"), (layer.gate2, "gate2")):
            gates, candidate = of[f"{name}.gates"], of[f"{name}.candidate"]
            parts = {
                "Wr": gates[:WIDTH, :WIDTH],
                "Wz": gates[:WIDTH, WIDTH:],
                "Ur": gates[WIDTH:, :WIDTH],
                "Uz": gates[WIDTH:, WIDTH:],
                "Wg": candidate[:WIDTH],
                "Ug": candidate[WIDTH:],
            }
            for part, weight in parts.items():
                getattr(gate, part).weight.data = weight.T.contiguous()
            gate.bg.data = of[f"{name}.bias"][0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source", type=Path, help="a checkout of DI-engine")
    source = parser.parse_args().source
    torch.set_default_dtype(torch.float64)
    parameters = phases()
    weights = {name: wave(shape, phase) for name, (shape, phase) in parameters.items()}
    module = port(source).GTrXL(
        input_dim=WIDTH,
        head_dim=WIDTH // HEADS,
        embedding_dim=WIDTH,
        head_num=HEADS,
        mlp_num=2,
        layer_num=LAYERS,
        memory_len=WINDOW,
        use_embedding_layer=False,
    ).double()
    fill(module, weights)
    for layer in module.layers:
        with_normalised_queries(layer.attention)
    # The oldest step first. The last matrix holds outputs of the last layer, which nothing reads.
    memory = torch.tensor(
        [
            [
                [
                    [math.sin(0.3 * layer + 0.7 * lane + 1.9 * back + 0.5 * column) for column in range(WIDTH)]
                    for lane in range(LANES)
                ]
                for back in range(WINDOW, 0, -1)
            ]
            for layer in range(LAYERS + 1)
        ]
    )
    module.reset_memory(state=memory)
    features = []
    for step in range(STEPS):
        inputs = torch.tensor(
            [[math.cos(0.8 * step + 1.3 * lane + 2.1 * column) for column in range(INPUTS)] for lane in range(LANES)]
        )
        embedded = inputs @ weights["embed.weight"] + weights["embed.bias"]
        with torch.no_grad():
            logits = module(embedded[None])["logit"][0]
        features.append([round(number, 8) for number in logits.flatten().tolist()])
    sizes = {"inputs": INPUTS, "width": WIDTH, "heads": HEADS, "layers": LAYERS, "window": WINDOW, "lanes": LANES}
    phase = {name: number for name, (_, number) in parameters.items()}
    print(json.dumps({"source": "DI-engine v0.5.3", "sizes": sizes, "phases": phase, "features": features}))


if __name__ == "__main__":
    main()
