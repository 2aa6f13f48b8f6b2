"""Hosts Gymnasium environments for the server: `python -m strategic_memory_envs.host [SPEC ...]`.

The protocol is in `docs/hosting.md`. The rooms. Each one imports only rooms above it:

- `frames`: calls and answers on the standard streams.
- `batches`: rows of observations, actions and infos of lanes, as arrays.
- `lanes`: the environments of a vector, stepped together.
- `catalogue`: the specs, their parameters, and trials of what they can.
- `calls`: answers the calls of the server.
- `__main__`: the command line.
"""
