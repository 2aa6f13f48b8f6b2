#!/usr/bin/env python3
"""Writes agent/tests/parity/merlin.json: MERLIN's forward pass, computed from the equations of Wayne et al. 2018
(arXiv:1803.10760) with NumPy, in the order of the paper.

No maintained port has the retroactive writes, and both known ones (HorizonRobotics/alf, yosider/merlin) differ from the
paper elsewhere too, so that this is written from the equations and shares no code with the agent. At step t: prior,
posterior, policy with its read, predictor with the action that was taken, its reads, then the write. One lane plays an
episode of seven steps, in which a row is overwritten four times, and two steps of a second one. Noise is off.

Usage: python3 scripts/parity/merlin.py   (needs numpy)
"""

import json
from pathlib import Path

import numpy as np

OBSERVATION, ACTIONS, HIDDEN, LATENT, ROWS, READS = 3, 2, 4, 2, 3, 2
GAMMA, ALPHA, KL, RETURN = 0.9, 10.0, 1.0, 0.5
INPUTS, WIDTH = OBSERVATION + ACTIONS + 1, 2 * LATENT
STARTS = [True] + [False] * 6 + [True, False]
TANH, LINEAR = np.tanh, lambda x: x

rng = np.random.default_rng(1803)
weights = {}


def parameter(name, rows, columns, scale=0.6):
    """Draws a matrix of weights, rounded to the precision of the agent's numbers."""
    weights[name] = (scale * rng.standard_normal((rows, columns))).astype(np.float32)


def add_layer(name, inputs, outputs):
    parameter(f"core.{name}.weight", inputs, outputs)
    parameter(f"core.{name}.bias", 1, outputs)


def layer(name, x, activation):
    w, b = weights[f"core.{name}.weight"], weights[f"core.{name}.bias"]
    return activation(x.astype(np.float64) @ w.astype(np.float64) + b[0].astype(np.float64))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(name, x, h, c, action=()):
    """Gates i, f, g, o of the input, h and an action together."""
    i, f, g, o = np.split(layer(name, np.concatenate([x, h, action]), LINEAR), 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def read(name, h, memory, filled, heads):
    """Softmax over the filled rows of strength times cosine."""
    interface = layer(name, h, LINEAR)
    keys = interface[: heads * WIDTH].reshape(heads, WIDTH)
    strengths = np.log1p(np.exp(interface[heads * WIDTH :]))
    taken = np.zeros(ROWS)
    reads = []
    for key, strength in zip(keys, strengths):
        w = np.zeros(ROWS)
        if filled:
            rows = memory[:filled]
            cosines = rows @ key / (np.linalg.norm(rows, axis=1) * np.linalg.norm(key))
            e = np.exp(strength * cosines)
            w[:filled] = e / e.sum()
        taken += w
        reads.append(memory.T @ w)
    return np.concatenate(reads), taken


def gaussian(name, x):
    x = layer(f"{name}.1", x, TANH)
    x = layer(f"{name}.2", x, TANH)
    return layer(f"{name}.3", x, LINEAR)


def divergence(q, p):
    (mq, sq), (mp, sp) = np.split(q, 2), np.split(p, 2)
    return np.sum(sp - sq + 0.5 * (np.exp(2 * (sq - sp)) + (mq - mp) ** 2 * np.exp(-2 * sp) - 1))


def fresh():
    return {
        "h": np.zeros(HIDDEN), "c": np.zeros(HIDDEN), "m": np.zeros(READS * WIDTH),
        "ph": np.zeros(HIDDEN), "pc": np.zeros(HIDDEN), "pm": np.zeros(WIDTH),
        "memory": np.zeros((ROWS, WIDTH)), "written": 0, "usage": np.zeros(ROWS), "later": np.zeros(ROWS),
        "last": None,
    }  # fmt: skip


def write(s, z):
    """v_wr marks the row; v_ret = gamma v_ret + (1 - gamma) v_wr of the write before."""
    if s["last"] is not None:
        marked = np.eye(ROWS)[s["last"]]
        s["later"] = GAMMA * s["later"] + (1 - GAMMA) * marked
    row = s["written"] if s["written"] < ROWS else int(np.argmin(s["usage"]))
    s["memory"][row] = 0
    s["later"][row] = 0
    s["memory"] += np.outer(np.eye(ROWS)[row], np.concatenate([z, np.zeros(LATENT)]))
    s["memory"] += np.outer(s["later"], np.concatenate([np.zeros(LATENT), z]))
    s["usage"] *= 1 - 1 / ROWS
    s["usage"][row] = READS + 1
    s["written"] += 1
    s["last"] = row
    return row


def main():
    known = HIDDEN + READS * WIDTH
    add_layer("encoder", INPUTS, HIDDEN)
    for name, inputs in [("prior", known), ("posterior", HIDDEN + known + WIDTH)]:
        add_layer(f"{name}.1", inputs, WIDTH)
        add_layer(f"{name}.2", WIDTH, WIDTH)
        add_layer(f"{name}.3", WIDTH, WIDTH)
    # Inputs of an LSTM are joined in the agent's order: z, reads, h, then the action.
    add_layer("predictor.gates", LATENT + READS * WIDTH + HIDDEN + ACTIONS, 4 * HIDDEN)
    add_layer("predictor.interface", HIDDEN, READS * (WIDTH + 1))
    add_layer("policy.gates", LATENT + WIDTH + HIDDEN, 4 * HIDDEN)
    add_layer("policy.interface", HIDDEN, WIDTH + 1)
    add_layer("policy.features", LATENT + HIDDEN + WIDTH, HIDDEN)
    add_layer("value.features", LATENT + HIDDEN, HIDDEN)
    add_layer("decoder.1", LATENT, HIDDEN)
    add_layer("decoder.2", HIDDEN, INPUTS)
    add_layer("advantage.1", LATENT + ACTIONS, HIDDEN)
    add_layer("advantage.2", HIDDEN, 1)
    add_layer("decoder.start", HIDDEN, 1)

    steps = len(STARTS)
    actions = rng.integers(0, ACTIONS, steps)
    observations, rewards, returns, values = (
        rng.uniform(-1, 1, shape).astype(np.float32) for shape in [(steps, OBSERVATION), steps, steps, steps]
    )
    out = {name: [] for name in ["prior", "posterior", "features", "critic_features", "policy_read", "rows"]}
    kinds = ["reconstruction_loss", "start_loss", "action_loss", "reward_loss", "advantage_loss", "divergence"]
    losses = {name: [] for name in kinds}
    inputs = []
    for t, start in enumerate(STARTS):
        if start:
            s = fresh()
        before = np.zeros(ACTIONS) if start else np.eye(ACTIONS)[actions[t - 1]]
        reward = 0.0 if start else rewards[t - 1]
        x = np.concatenate([observations[t], before, [reward]])
        inputs.append(x)
        # State variable.
        e = layer("encoder", x, TANH)
        prior = gaussian("prior", np.concatenate([s["h"], s["m"]]))
        posterior = prior + gaussian("posterior", np.concatenate([e, s["h"], s["m"], prior]))
        z = posterior[:LATENT]
        # Policy.
        s["ph"], s["pc"] = lstm("policy.gates", np.concatenate([z, s["pm"]]), s["ph"], s["pc"])
        s["pm"], taken = read("policy.interface", s["ph"], s["memory"], min(s["written"], ROWS), 1)
        s["usage"] += taken
        features = layer("policy.features", np.concatenate([z, s["ph"], s["pm"]]), TANH)
        critic = layer("value.features", np.concatenate([z, features]), TANH)
        # Losses.
        hidden = layer("decoder.1", z, TANH)
        decoded = layer("decoder.2", hidden, LINEAR)
        losses["start_loss"].append(ALPHA * (layer("decoder.start", hidden, LINEAR)[0] - start) ** 2)
        losses["reconstruction_loss"].append(ALPHA * np.sum((decoded[:OBSERVATION] - observations[t]) ** 2))
        if not start:
            logits = decoded[OBSERVATION : OBSERVATION + ACTIONS]
            losses["action_loss"].append(ALPHA * (np.log(np.exp(logits).sum()) - logits[actions[t - 1]]))
        losses["reward_loss"].append(ALPHA / 2 * (decoded[-1] - reward) ** 2)
        chosen = np.concatenate([z, np.eye(ACTIONS)[actions[t]]])
        advantage = layer("advantage.2", layer("advantage.1", chosen, TANH), LINEAR)[0]
        losses["advantage_loss"].append(RETURN / 2 * (returns[t] - (values[t] + advantage)) ** 2)
        losses["divergence"].append(KL * divergence(posterior, prior))
        for name, value in [("prior", prior), ("posterior", posterior), ("features", features),
                            ("critic_features", critic), ("policy_read", s["pm"])]:  # fmt: skip
            out[name].append(value.tolist())
        # Predictor, with the action that was taken, and write.
        action = np.eye(ACTIONS)[actions[t]]
        s["h"], s["c"] = lstm("predictor.gates", np.concatenate([z, s["m"]]), s["h"], s["c"], action)
        s["m"], taken = read("predictor.interface", s["h"], s["memory"], min(s["written"], ROWS), READS)
        s["usage"] += taken
        # The agent takes this half of a step together with the next one, and only within an episode.
        if t + 1 < steps and not STARTS[t + 1]:
            out["rows"].append(write(s, z))
    out["memory"] = s["memory"].tolist()
    out["losses"] = {name: float(np.mean(rows)) for name, rows in losses.items()}
    case = {
        "sizes": {"hidden_size": HIDDEN, "latent_size": LATENT, "memory_rows": ROWS, "predictor_reads": READS},
        "weights": {name: w.reshape(-1).tolist() for name, w in weights.items()},
        "inputs": np.array(inputs, np.float32).reshape(-1).tolist(),
        "starts": STARTS, "actions": actions.tolist(), "rewards": rewards.tolist(),
        "returns": returns.tolist(), "values": values.tolist(), "expected": out,
    }  # fmt: skip
    target = Path(__file__).resolve().parents[2] / "agent/tests/parity/merlin.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(case) + "\n")


main()
