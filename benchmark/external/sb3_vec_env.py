"""A vector environment of the server for Stable-Baselines3: all lanes by one request."""

import numpy as np
from stable_baselines3.common.vec_env import VecEnv
from strategic_memory_envs import RemoteVectorEnv, contender


class RemoteVecEnv(VecEnv):
    """`num_envs` lanes that begin again in the step that ends them, as Stable-Baselines3 has it."""

    def __init__(self, task: contender.Task, num_envs: int) -> None:
        self.envs = RemoteVectorEnv(
            task.spec_id, num_envs, autoreset_mode="SameStep", seed=task.seed, env_kwargs=task.kwargs
        )
        super().__init__(num_envs, self.envs.single_observation_space, self.envs.single_action_space)

    def reset(self):
        return self.envs.reset()[0]

    def step_async(self, actions):
        self.actions = actions

    def step_wait(self):
        observations, rewards, terminated, truncated, infos = self.envs.step(self.actions)
        over = terminated | truncated
        lanes = [{} for _ in range(self.num_envs)]
        for lane in np.flatnonzero(over):
            lanes[lane]["terminal_observation"] = infos["final_obs"][lane]
            lanes[lane]["TimeLimit.truncated"] = bool(truncated[lane] and not terminated[lane])
        return observations, rewards.astype(np.float32), over, lanes

    def close(self):
        self.envs.close()

    def get_attr(self, attr_name, indices=None):
        return [getattr(self.envs, attr_name)] * self.num_envs

    def set_attr(self, attr_name, value, indices=None):
        raise NotImplementedError("the lanes live on the server")

    def env_method(self, method_name, *method_args, indices=None, **method_kwargs):
        raise NotImplementedError("the lanes live on the server")

    def env_is_wrapped(self, wrapper_class, indices=None):
        return [False] * self.num_envs
