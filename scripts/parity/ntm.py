"""Writes numbers of loudinthecloud/pytorch-ntm, with which a test compares the step of our NTM.

Usage: python scripts/parity/ntm.py CHECKOUT > agent/tests/parity/ntm.json

CHECKOUT is a clone of https://github.com/loudinthecloud/pytorch-ntm (commit 3c64937). It needs torch.

Its memory and heads are run for some steps on random interfaces, the write head first, from a random memory and with
every head at the first slot. Two things differ by definition and are translated here: strengths are softplus there and
oneplus with us, and shifts stand in the opposite order. The linear layers of its heads pick numbers out of the
interface. The numbers are all states, and the gradient of 0.5 * sum(words ** 2) over all steps with respect to the
interfaces.
"""

import json
import sys

import torch
import torch.nn.functional as F

CASES = [dict(slots=4, width=3, heads=2, lanes=2, steps=6), dict(slots=8, width=16, heads=1, lanes=1, steps=4)]


def translated(address, width):
    """An address for the reference: strength through softplus, shifts by 1, 0 and -1."""
    key, strength, gate, shifts, sharpening = address.split([width, 1, 1, 3, 1], dim=1)
    strength = torch.log(torch.expm1(1.0 + F.softplus(strength)))
    return torch.cat([key, strength, gate, shifts.flip(1), sharpening], dim=1)


def pass_through(layer):
    with torch.no_grad():
        layer.weight.copy_(torch.eye(layer.out_features, layer.in_features))
        layer.bias.zero_()


def run(case):
    from ntm.head import NTMReadHead, NTMWriteHead
    from ntm.memory import NTMMemory

    slots, width, heads, lanes, steps = (case[name] for name in ("slots", "width", "heads", "lanes", "steps"))
    address = width + 6
    parts = [address, width, width] + [address] * heads
    memory = NTMMemory(slots, width)
    write = NTMWriteHead(memory, address + 2 * width)
    reads = [NTMReadHead(memory, address) for _ in range(heads)]
    pass_through(write.fc_write)
    for head in reads:
        pass_through(head.fc_read)
    memory.mem_bias.uniform_(-1.0, 1.0)
    memory.reset(lanes)
    first = torch.zeros(lanes, slots)
    first[:, 0] = 1.0

    def flat_state(words, weights):
        return torch.cat([*words, memory.memory.flatten(1), *[w - first for w in weights]], dim=1)

    interfaces = (torch.rand(steps, lanes, sum(parts)) * 4.0 - 2.0).requires_grad_()
    weights = [first] * (1 + heads)
    states = [flat_state([torch.zeros(lanes, width)] * heads, weights)]
    loss = 0.0
    for interface in interfaces:
        of_write, erase, add, *of_reads = interface.split(parts, dim=1)
        weights[0] = write(torch.cat([translated(of_write, width), erase, add], dim=1), weights[0])
        words = []
        for number, (head, of_read) in enumerate(zip(reads, of_reads)):
            word, weights[1 + number] = head(translated(of_read, width), weights[1 + number])
            words.append(word)
            loss = loss + 0.5 * (word ** 2).sum()
        states.append(flat_state(words, weights))
    loss.backward()
    numbers = lambda tensor: [float("%.7g" % x) for x in tensor.detach().flatten().tolist()]
    return dict(
        case,
        start=numbers(states[0]),
        interfaces=numbers(interfaces),
        states=numbers(torch.stack(states[1:])),
        gradient=numbers(interfaces.grad),
    )


def main():
    sys.path.insert(0, sys.argv[1])
    torch.manual_seed(0)
    cases = [run(case) for case in CASES]
    source = "loudinthecloud/pytorch-ntm 3c64937cb075e737528ff7ecf02b2c1c6d8347a1, torch " + torch.__version__
    json.dump(dict(source=source, cases=cases), sys.stdout, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
