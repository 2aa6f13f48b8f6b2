"""Writes numbers of google-deepmind/dnc, with which a test compares the step of our DNC.

Usage: python scripts/parity/dnc.py CHECKOUT > agent/tests/parity/dnc.json

CHECKOUT is a clone of https://github.com/google-deepmind/dnc (commit f5981c6). It needs Python 3.7 with
tensorflow==1.15.5, dm-sonnet==1.36, tensorflow-probability==0.8 and protobuf<3.21.

The memory access module is run for some steps from its initial state, on random interfaces. Two things differ by
definition and are translated here: strengths are softplus there and oneplus in the paper, and read modes stand in
another order. Its linear layers pick numbers out of the interface. The numbers are all states, and the gradient of
0.5 * sum(words ** 2) over all steps with respect to the interfaces.
"""

import json
import sys

import numpy
import tensorflow as tf

CASES = [dict(slots=4, width=3, heads=2, lanes=2, steps=6), dict(slots=8, width=16, heads=1, lanes=1, steps=4)]
# Names of the linear layers, and the part of an interface that each picks.
LAYERS = {
    "read_keys": 0, "read_strengths": 1, "write_keys": 2, "write_strengths": 3, "erase_vectors": 4,
    "write_vectors": 5, "free_gate": 6, "allocation_gate": 7, "write_gate": 8, "read_mode": 9,
}


def interface_parts(width, heads):
    return [heads * width, heads, width, 1, width, width, heads, 1, 1, 3 * heads]


def oneplus_as_softplus(raw):
    """The number whose softplus is the oneplus of `raw`."""
    return tf.math.log(tf.math.expm1(1.0 + tf.nn.softplus(raw)))


def translated(interface, width, heads):
    """An interface for the reference: strengths through softplus, modes as backward, forward, content."""
    parts = tf.split(interface, interface_parts(width, heads), axis=1)
    for strengths in (1, 3):
        parts[strengths] = oneplus_as_softplus(parts[strengths])
    modes = tf.reshape(parts[9], [-1, heads, 3])
    parts[9] = tf.reshape(tf.gather(modes, [0, 2, 1], axis=2), [-1, 3 * heads])
    return tf.concat(parts, axis=1)


def pick_parts(session, width, heads):
    """Sets each linear layer to pick its part of the interface."""
    lengths = interface_parts(width, heads)
    for variable in tf.global_variables():
        layer, kind = variable.op.name.split("/")[-2:]
        value = numpy.zeros(variable.shape, numpy.float32)
        if kind == "w":
            part = LAYERS[layer]
            first = sum(lengths[:part])
            value[first:first + lengths[part]] = numpy.eye(lengths[part])
        variable.load(value, session)


def flat_state(words, state):
    arrays = [words, state.memory, state.usage, state.write_weights, state.read_weights,
              state.linkage.precedence_weights, state.linkage.link]
    return numpy.concatenate([array.reshape(array.shape[0], -1) for array in arrays], axis=1)


def run(case, rng):
    from dnc import access

    width, heads, lanes = case["width"], case["heads"], case["lanes"]
    shape = (case["steps"], lanes, sum(interface_parts(width, heads)))
    interfaces = rng.uniform(-2.0, 2.0, shape).round(4).astype(numpy.float32)
    tf.reset_default_graph()
    module = access.MemoryAccess(case["slots"], width, heads, 1)
    fed = tf.placeholder(tf.float32, shape)
    state = module.initial_state(lanes)
    outputs, loss = [], 0.0
    for step in range(case["steps"]):
        words, state = module(translated(fed[step], width, heads), state)
        outputs.append((words, state))
        loss += 0.5 * tf.reduce_sum(words ** 2)
    gradient = tf.gradients(loss, fed)[0]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        pick_parts(session, width, heads)
        outputs, gradient = session.run((outputs, gradient), {fed: interfaces})
    states = numpy.stack([flat_state(*output) for output in outputs])
    numbers = lambda array: [float("%.7g" % x) for x in array.flatten()]
    return dict(case, interfaces=numbers(interfaces), states=numbers(states), gradient=numbers(gradient))


def main():
    sys.path.insert(0, sys.argv[1])
    rng = numpy.random.RandomState(0)
    cases = [run(case, rng) for case in CASES]
    source = "google-deepmind/dnc f5981c66ac6fe27978014c314c4aba39f1962ee3, tensorflow " + tf.__version__
    json.dump(dict(source=source, cases=cases), sys.stdout, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
