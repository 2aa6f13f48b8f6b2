"""A call of the relay's caller."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from .nodes import Shared


@dataclass
class Call:
    """A call without an answer."""

    fields: dict[str, Any]
    """As in its frame; `checkpoint` is the last one that came back."""
    shared: Shared | None
    """The bytes that it names, which stay in Ray's store for its later tries."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def seat(self) -> int | None:
        """The seat whose worker answers it; nothing if any worker may."""
        seat: int | None = self.fields["seat"]
        return seat
