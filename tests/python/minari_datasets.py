"""Reads and writes datasets with Minari itself.

Usage: python minari_datasets.py read ROOT ID
       python minari_datasets.py write ROOT ID SPACES EPISODES
       python minari_datasets.py compress ROOT ID
       python minari_datasets.py declare ROOT ID STEPS CHUNK

`read` prints what Minari finds in the dataset ROOT/ID. `write` makes one there: SPACES is a JSON object with the observation and
the action space in Minari's words, EPISODES a list of objects as `read` prints them. `compress` writes the arrays of a dataset anew,
in small chunks that are shuffled and compressed. `declare` replaces the rewards of an episode by so many, in such chunks, of which none
is stored.
"""

import json
import os
import sys
import warnings
from pathlib import Path

import h5py
import numpy as np


def plain(value):
    """Arrays as nested lists, with the type of their numbers next to them."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    return {"dtype": str(value.dtype), "values": value.tolist()}


def read(minari, dataset_id):
    dataset = minari.load_dataset(dataset_id)
    by_path = minari.MinariDataset(Path(dataset.storage.data_path))
    metadata = list(dataset.storage.get_episode_metadata(range(len(dataset))))
    return {
        "id": dataset.spec.dataset_id,
        "total_steps": dataset.total_steps,
        "episodes_by_path": len(by_path),
        "spaces": [repr(dataset.observation_space), repr(dataset.action_space)],
        "env": json.loads(dataset.env_spec.to_json()) if dataset.env_spec else None,
        "episodes": [
            {
                "id": int(episode.id),
                "seed": about.get("seed"),
                "total_steps": int(about["total_steps"]),
                "observations": plain(episode.observations),
                "actions": plain(episode.actions),
                "rewards": plain(episode.rewards),
                "terminations": plain(episode.terminations),
                "truncations": plain(episode.truncations),
                "infos": sorted(episode.infos),
                "is_in_space": all(
                    dataset.action_space.contains(action) for action in episode.actions
                ),
            }
            for episode, about in zip(dataset.iterate_episodes(), metadata, strict=True)
        ],
    }


def columns(space, values, gym):
    """The lists of a step's values that Minari's buffer takes, from nested lists."""
    if isinstance(space, gym.spaces.Dict):
        return {name: columns(part, values[name], gym) for name, part in space.spaces.items()}
    if isinstance(space, gym.spaces.Tuple):
        return tuple(
            columns(part, value, gym) for part, value in zip(space.spaces, values, strict=True)
        )
    # A number by itself is a scalar, as Gymnasium samples it.
    return [np.array(value, space.dtype)[()] for value in values]


def write(minari, dataset_id, spaces, episodes):
    import gymnasium as gym
    from minari.data_collector import EpisodeBuffer
    from minari.serialization import deserialize_space

    observation_space, action_space = map(deserialize_space, spaces)
    buffers = []
    for episode in episodes:
        steps = len(episode["rewards"])
        ends = [False] * (steps - 1) + [True]
        never = [False] * steps
        buffers.append(
            EpisodeBuffer(
                seed=episode.get("seed"),
                options={"delay": 4},
                observations=columns(observation_space, episode["observations"], gym),
                actions=[np.int64(action) for action in episode["actions"]],
                rewards=episode["rewards"],
                terminations=never if episode["is_truncated"] else ends,
                truncations=ends if episode["is_truncated"] else never,
                infos={"note": ["first"] + ["later"] * steps},
            )
        )
    minari.create_dataset_from_buffers(
        dataset_id, buffers, observation_space=observation_space, action_space=action_space
    )


def compress(path):
    """Minari's layout, as other programs may store it: chunks of two rows, shuffled and compressed."""
    arrays = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
        attributes = {name: dict(file[name].attrs) for name in file}
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            if values.dtype.kind == "O":
                continue
            chunks = (min(2, len(values)), *values.shape[1:])
            file.create_dataset(name, data=values, chunks=chunks, compression="gzip", shuffle=True)
        for name, own in attributes.items():
            file[name].attrs.update(own)


def declare(path, steps, chunk):
    with h5py.File(path, "a") as file:
        del file["episode_0/rewards"]
        file.create_dataset(
            "episode_0/rewards", shape=(steps,), dtype="f8", chunks=(chunk,), maxshape=(None,)
        )


def main(command: str, root: str, dataset_id: str, *rest: str) -> None:
    # Minari reads it when it is imported.
    os.environ["MINARI_DATASETS_PATH"] = root
    warnings.simplefilter("ignore")
    import minari

    if command == "write":
        write(minari, dataset_id, *map(json.loads, rest))
    elif command == "compress":
        compress(Path(root) / dataset_id / "data" / "main_data.hdf5")
    elif command == "declare":
        declare(Path(root) / dataset_id / "data" / "main_data.hdf5", *map(int, rest))
    else:
        print(json.dumps(read(minari, dataset_id), allow_nan=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
