"""Checks an ONNX model and runs it step by step, passing its states along.

Usage: python run_onnx.py MODEL STEPS
STEPS is a JSON file with a list of steps, each an object: input -> nested lists. Inputs that the model does not have are
ignored. Prints a JSON list of the outputs of each step that are not states: output -> nested lists.
"""

import json
import sys

import numpy as np
import onnx
import onnxruntime

DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(bool)": np.bool_}


def main(path: str, steps: str) -> None:
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    states = json.loads(metadata["states"])
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = {value.name: DTYPES[value.type] for value in session.get_inputs()}
    outputs = [value.name for value in session.get_outputs()]
    carried = {state["output"] for state in states}
    results = []
    feed = None
    for step in json.load(open(steps)):
        if feed is None:
            batch = len(step["observation"])
            feed = {s["input"]: np.zeros([batch, *s["shape"]], np.float32) for s in states}
        for name, value in step.items():
            if name in inputs:
                feed[name] = np.array(value, inputs[name])
        found = dict(zip(outputs, session.run(outputs, feed)))
        feed.update({s["input"]: found[s["output"]] for s in states})
        results.append({k: v.tolist() for k, v in found.items() if k not in carried})
    print(json.dumps(results, allow_nan=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
