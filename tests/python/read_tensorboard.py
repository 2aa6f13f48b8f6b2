"""Reads a folder of event files with TensorBoard's own reader.

Usage: python read_tensorboard.py FOLDER
Prints a JSON object: tag -> [[step, value], ...], a NaN as the string "nan".
"""

import json
import math
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main(folder: str) -> None:
    # A size of 0 keeps every scalar; by default TensorBoard keeps a sample.
    reader = EventAccumulator(folder, size_guidance={"tensors": 0, "scalars": 0})
    reader.Reload()
    curves = {
        tag: [
            [event.step, "nan" if math.isnan(event.value) else event.value]
            for event in reader.Scalars(tag)
        ]
        for tag in reader.Tags()["scalars"]
    }
    print(json.dumps(curves, allow_nan=False))


if __name__ == "__main__":
    main(sys.argv[1])
