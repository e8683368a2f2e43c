"""Where time, ids and chance come from when the host hands in none of its own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

Clock: TypeAlias = Callable[[], datetime]
"""Gives the present moment, aware."""
IdSource: TypeAlias = Callable[[], str]
"""Gives a new id at each call: unique for ever, and sortable by the time it was given."""


def new_salt() -> str:
    """128 bits that nobody can guess, as 32 hexadecimal digits."""
    return os.urandom(16).hex()


def system_clock() -> datetime:
    """The machine's clock, in UTC."""
    return datetime.now(UTC)


class UUID7Source:
    """UUIDs of version 7 (RFC 9562), strictly rising within the process, also when the clock stands still or goes back."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def __call__(self) -> str:
        # 48 bits of milliseconds and 12 bits of counter; a new millisecond starts the counter at 0.
        tick = (time.time_ns() // 1_000_000) << 12
        with self._lock:
            self._last = tick = tick if tick > self._last else self._last + 1
        chance = int.from_bytes(os.urandom(8), "big") >> 2
        text = f"{(tick >> 12) << 80 | 7 << 76 | (tick & 0xFFF) << 64 | 2 << 62 | chance:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
