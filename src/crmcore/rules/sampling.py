"""Drawing a sample that anybody can draw again: by digest, not by chance (seed 004: 随机抽查 5–10 %). Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def drawn(keys: Iterable[str], percent: int, seed: str) -> list[str]:
    """That share of the keys, rounded up, in the order in which they were drawn.

    The same keys and the same seed give the same sample in any order of the keys; another key more or less changes at most
    the end of it. Raises ValueError for a share outside 1 to 100.
    """
    if not 1 <= percent <= 100:
        raise ValueError("a share is from 1 to 100 percent")
    ranked = sorted(set(keys), key=lambda key: (hashlib.sha256(f"{seed}\0{key}".encode()).digest(), key))
    return ranked[: -(-len(ranked) * percent // 100)]
