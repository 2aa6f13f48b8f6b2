"""Stable-Baselines3's PPO as a contender: it has no memory, so it can only solve tasks that need none."""

import torch
from stable_baselines3 import PPO
from strategic_memory_envs import contender
from strategic_memory_envs.sb3 import RemoteVecEnv

torch.set_num_threads(1)
NUM_ENVS, NUM_STEPS = 8, 64
task = contender.task()
path = task.workdir / "model.zip"

if task.phase == "train":
    envs = RemoteVecEnv(task.spec_id, NUM_ENVS, env_kwargs=task.kwargs)
    model = PPO("MlpPolicy", envs, n_steps=NUM_STEPS, learning_rate=3e-3, seed=task.seed, device="cpu")
    # Whole rollouts only: the server refuses the first step beyond the budget.
    model.learn(task.budget_steps // (NUM_ENVS * NUM_STEPS) * NUM_ENVS * NUM_STEPS)
    model.save(path)
    envs.close()
else:
    model = PPO.load(path, device="cpu")

    def act(observations, is_first, greedy):
        return model.predict(observations, deterministic=greedy)[0]

    contender.serve(lambda num_envs: act)
