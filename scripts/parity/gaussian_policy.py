"""Prints log-probabilities and entropies of mixed actions as JSON, for the test `they_are_those_of_scipy` of
`spaces/actions.rs`.

SciPy's normal and categorical distributions, in double precision. An action is a number, a choice of three and another
number, as rows of the agents' outputs have them: mean, logits, mean, then two logarithms of standard deviations. It needs
numpy and scipy (run with 2.4.6 and 1.17.1).

    python scripts/parity/gaussian_policy.py > agent/tests/parity/gaussian_policy.json
"""

import json

import numpy as np
from scipy.special import log_softmax
from scipy.stats import norm

ROWS = 40


def main():
    rng = np.random.default_rng(7)
    means = rng.normal(0, 2, (ROWS, 2)).astype(np.float32)
    logits = rng.normal(0, 2, (ROWS, 3)).astype(np.float32)
    log_stds = rng.uniform(-4, 2, (ROWS, 2)).astype(np.float32)
    numbers = (means + np.exp(log_stds) * rng.normal(0, 1.5, (ROWS, 2))).astype(np.float32)
    choices = rng.integers(0, 3, ROWS)
    outputs = np.concatenate([means[:, :1], logits, means[:, 1:], log_stds], axis=1)

    normal = norm(means.astype(float), np.exp(log_stds.astype(float)))
    of_choices = log_softmax(logits.astype(float), axis=1)
    log_probs = normal.logpdf(numbers.astype(float)).sum(axis=1) + of_choices[np.arange(ROWS), choices]
    entropies = normal.entropy().sum(axis=1) - (np.exp(of_choices) * of_choices).sum(axis=1)
    print(
        json.dumps(
            {
                "outputs": outputs.tolist(),
                "numbers": numbers.tolist(),
                "choices": choices.tolist(),
                "log_probs": log_probs.tolist(),
                "entropies": entropies.tolist(),
            }
        )
    )


main()
