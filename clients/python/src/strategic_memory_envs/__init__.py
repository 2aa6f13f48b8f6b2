"""Environments of a Strategic Memory server, as Gymnasium environments.

```python
import gymnasium

env = gymnasium.make("strategic_memory_envs:MemoryTask-v0", delay=16)
observation, info = env.reset(seed=7)
```

Without `$STRATEGIC_MEMORY_SERVER` the package starts a server, which ends with the process.
"""

from . import _streams as _streams  # first: a host keeps its streams aside
from ._retry import RetryPolicy
from ._server import LocalServer, find_binary, local_server
from .aio import AsyncRemoteEnv, AsyncRemoteVectorEnv
from .env import RemoteEnv
from .errors import (
    AccessDenied,
    BudgetExceeded,
    EnvGone,
    InvalidAction,
    InvalidArguments,
    LocalServerError,
    NeedsReset,
    ProtocolError,
    QuotaExceeded,
    SeqConflict,
    ServerProblem,
    ServerUnreachable,
    StrategicMemoryError,
    UnknownEnv,
    UnknownSpec,
)
from .registration import catalogue, register_all, register_known
from .vector import RemoteVectorEnv

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "AsyncRemoteEnv",
    "AsyncRemoteVectorEnv",
    "BudgetExceeded",
    "EnvGone",
    "InvalidAction",
    "InvalidArguments",
    "LocalServer",
    "LocalServerError",
    "NeedsReset",
    "ProtocolError",
    "QuotaExceeded",
    "RemoteEnv",
    "RemoteVectorEnv",
    "RetryPolicy",
    "SeqConflict",
    "ServerProblem",
    "ServerUnreachable",
    "StrategicMemoryError",
    "UnknownEnv",
    "UnknownSpec",
    "catalogue",
    "find_binary",
    "local_server",
    "register_all",
    "register_known",
]

register_known()
