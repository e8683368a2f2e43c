"""What makes one Chinese character be written for another: the same sound, or a similar look."""

from collections.abc import Mapping
from enum import IntEnum
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Final

from crmcore_cn.libraries import library

#: How many of a character's readings count; they stand common ones first, and rare ones would make too much sound alike.
COMMON: Final = 2


class Likeness(IntEnum):
    """How easily one character is taken for another."""

    NONE = 0
    NEAR_SOUND = 1
    LOOK = 2
    SOUND = 3
    SAME = 4


@cache
def _syllables() -> tuple[Mapping[int, str], Any]:
    return library("pypinyin.constants").PINYIN_DICT, library("pypinyin.contrib.tone_convert").to_normal


@lru_cache(maxsize=16384)
def readings(character: str) -> frozenset[str]:
    """The syllables that a character is read as, without tones; empty for what isn't Chinese. ``MissingExtra`` without pypinyin."""
    syllables, to_normal = _syllables()
    return frozenset(
        to_normal(syllable) for syllable in syllables.get(ord(character), "").split(",")[:COMMON] if syllable
    )


@lru_cache(maxsize=16384)
def blurred_readings(character: str) -> frozenset[str]:
    """Its syllables with what southern ears take for one another made equal: zh and z, n and l, ing and in …"""
    return frozenset(
        syllable.replace("zh", "z").replace("ch", "c").replace("sh", "s").replace("ng", "n").replace("l", "n")
        for syllable in readings(character)
    )


@cache
def _look_alikes() -> Mapping[str, frozenset[str]]:
    pairs: dict[str, set[str]] = {}
    for line in files("crmcore_cn").joinpath("data/look_alikes.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            one, others = line.split(" ")
            for other in others:
                pairs.setdefault(one, set()).add(other)
                pairs.setdefault(other, set()).add(one)
    return {character: frozenset(others) for character, others in pairs.items()}


@lru_cache(maxsize=65536)
def likeness(one: str, other: str) -> Likeness:
    """How easily the one is written for the other; symmetric."""
    if one == other:
        return Likeness.SAME
    if readings(one) & readings(other):
        return Likeness.SOUND
    if other in _look_alikes().get(one, ()):
        return Likeness.LOOK
    return Likeness.NEAR_SOUND if blurred_readings(one) & blurred_readings(other) else Likeness.NONE
