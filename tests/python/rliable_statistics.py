"""Computes statistics of scores with the package rliable: reads a JSON object and prints a JSON object.

Input: {"x": [[...]], "y": [[...]], "thresholds": [...]}, scores of shape (runs, tasks).
"""

import json
import sys

import numpy as np
from rliable import library, metrics

RESAMPLES = 2_000

given = json.load(sys.stdin)
x, y = np.array(given["x"]), np.array(given["y"])
thresholds = np.array(given["thresholds"])
# The package uses numpy's global generator.
np.random.seed(0)


def estimate(scores, function):
    values, intervals = library.get_interval_estimates({"a": scores}, function, reps=RESAMPLES)
    return {"values": values["a"].tolist(), "low": intervals["a"][0].tolist(), "high": intervals["a"][1].tolist()}


profile, bounds = library.create_performance_profile({"a": x}, thresholds, reps=RESAMPLES)
answer = {
    "iqm": estimate(x, lambda scores: np.array([metrics.aggregate_iqm(scores)])),
    "improvement": estimate((x, y), lambda x, y: np.array([metrics.probability_of_improvement(x, y)])),
    "profile": {"values": profile["a"].tolist(), "low": bounds["a"][0].tolist(), "high": bounds["a"][1].tolist()},
}
json.dump(answer, sys.stdout)
