"""Puts the env-server program into the wheel when `STRATEGIC_MEMORY_WHEEL_BINARY` names one.

Such a wheel has a platform tag instead of `any`. `scripts/build-wheel` does all of it.
"""

from __future__ import annotations

import os
import re
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VARIABLE = "STRATEGIC_MEMORY_WHEEL_BINARY"


def platform_tag(program: bytes) -> str:
    """The platforms that the program runs on: on Linux, from the glibc that it asks for."""
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    if not platform.startswith("linux_"):
        return platform
    machine = platform.removeprefix("linux_")
    minors = [int(minor) for minor in re.findall(rb"GLIBC_2\.(\d+)", program)]
    return f"manylinux_2_{max(minors)}_{machine}" if minors else platform


class BinaryHook(BuildHookInterface):  # type: ignore[misc]
    """Adds the program to the package."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it gathers the files."""
        named = os.environ.get(VARIABLE)
        if not named or version == "editable":
            return
        binary = Path(named)
        program = binary.read_bytes()
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag(program)}"
        build_data["force_include"][str(binary)] = f"strategic_memory_envs/_bin/{binary.name}"
