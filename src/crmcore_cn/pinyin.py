"""Initials of names in pinyin, for the numbers of customers (seed 001: ``AB20240001``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

from crmcore.rules.normalisation import half_width
from crmcore_cn.libraries import library

_LONGEST_NAME = 4
"""A name of so few characters that begins with a surname is read as one: 曾氏, 仇记."""


@cache
def _readings() -> Mapping[str, str]:
    lines = (files("crmcore_cn") / "data" / "readings.txt").read_text("utf-8").splitlines()
    return dict(line.split() for line in lines if not line.startswith("#"))


def initials(text: str) -> str:
    """The capital initials of its Chinese characters, and its own letters and digits. Others are left out."""
    plain = half_width(text)
    surname = plain[:1] if 1 < len(plain) <= _LONGEST_NAME and plain[:1] in _readings() else ""
    return "".join(_spoken(plain, surname))


def _spoken(plain: str, surname: str) -> Iterator[str]:
    readings = _readings()
    start = at = 0
    while at < len(plain):
        for length in (3, 2, 1):
            word = plain[at : at + length]
            if len(word) == length and word in readings and (length > 1 or (at == 0 and word == surname)):
                yield from (_plainly(plain[start:at]), readings[word])
                start = at = at + length
                break
        else:
            at += 1
    yield _plainly(plain[start:])


def _plainly(text: str) -> str:
    if not text:
        return ""
    if not text.isascii():
        pypinyin = library("pypinyin")
        text = "".join(pypinyin.lazy_pinyin(text, style=pypinyin.Style.FIRST_LETTER, errors=_kept))
    return "".join(sign for sign in text.upper() if sign.isascii() and sign.isalnum())


def _kept(run: str) -> str:
    """What is no Chinese character: letters and digits stand for themselves."""
    return run
