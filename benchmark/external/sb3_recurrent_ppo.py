"""sb3-contrib's RecurrentPPO as a contender. Its state is carried from step to step and reset with each episode."""

import torch
from sb3_contrib import RecurrentPPO
from strategic_memory_envs import contender
from strategic_memory_envs.sb3 import RemoteVecEnv

torch.set_num_threads(1)
NUM_ENVS, NUM_STEPS = 8, 32
task = contender.task()
path = task.workdir / "model.zip"


class Player:
    """Acts in lanes that are played together."""

    def __init__(self, num_envs):
        self.state = None

    def __call__(self, observations, is_first, greedy):
        # Where an episode begins, `predict` resets the lane's state before it reads the observation.
        actions, self.state = model.predict(
            observations, self.state, episode_start=is_first, deterministic=greedy
        )
        return actions


if task.phase == "train":
    envs = RemoteVecEnv(task.spec_id, NUM_ENVS, env_kwargs=task.kwargs)
    model = RecurrentPPO(
        "MlpLstmPolicy",
        envs,
        n_steps=NUM_STEPS,
        batch_size=64,
        learning_rate=3e-3,
        seed=task.seed,
        device="cpu",
        policy_kwargs={"lstm_hidden_size": 32},
    )
    # Whole rollouts only: the server refuses the first step beyond the budget.
    model.learn(task.budget_steps // (NUM_ENVS * NUM_STEPS) * NUM_ENVS * NUM_STEPS)
    model.save(path)
    envs.close()
else:
    model = RecurrentPPO.load(path, device="cpu")
    contender.serve(Player)
