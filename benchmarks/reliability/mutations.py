"""Ways to spoil a file, each drawn from a seeded generator: bytes of the whole, of a part that is packed again, of its XML."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

from good_files import packed, parts_of

_TOKENS = (
    *(
        b"",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b'"',
        b'""',
        b"'",
        b",",
        b";",
        b"\t",
        b"\r",
        b"\n",
        b"=",
        b"&",
    ),
    *(b"<", b">", b"/>", b"]]>", b"<!--", b"-->", b"<![CDATA[", b"<?xml?>", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;"),
    *(b"&#0;", b"&#xD800;", b"&#1114112;", b"_x0000_", b"_xD800_", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x1a"),
)
_VALUES = (
    *(
        b"",
        b"0",
        b"-1",
        b"1",
        b"2",
        b"255",
        b"65536",
        b"2147483648",
        b"4294967296",
        b"18446744073709551616",
        b"9" * 400,
    ),
    *(b"1e999", b"-1e999", b"nan", b"inf", b"1E-320", b"0x10", b"1.2.3", b"60", b"61", b"2958466", b"-0.5", b"1e15"),
    *(b"A0", b"A1", b"A1:XFD1048576", b"XFD1048576", b"XFE1", b"A1048577", b"ZZZZZ9999999999", b"a1", b"1A", b"A-1"),
    *(b"s", b"str", b"inlineStr", b"e", b"d", b"b", b"n", b"q", b"true", b"#REF!", b"rId1", b"rId99", b"../../x"),
    *(b"2024-02-30", b"0000-00-00T99:99:99", b"9999-12-31T23:59:60Z", b"PT99999999999H", "合计".encode(), b" " * 300),
    *("\u202e\u200b\ufeff".encode(), b"x" * 40_000, b"123456789012345678", "１３８００".encode(), b"=1+1", b"@SUM(A1)"),
)
_SEPARATOR = re.compile(r"([,;\t]|\r\n)")
_ATTRIBUTE = re.compile(rb"""=\s*"([^"]{0,200})\"""")
_CONTENT = re.compile(rb">([^<]{1,200})<")
_TAG = re.compile(rb"<[^<>]{1,200}>")
_ELEMENT = re.compile(rb"<(\w+)\b[^<>]*>[^<]*</\1>|<\w+[^<>]*/>")

Change = Callable[[bytearray, Random], None]


def mutated(content: bytes, others: Sequence[bytes], random: Random) -> tuple[str, bytes]:
    """How it was spoilt, and what came of it. ``others`` lend what is spliced in."""
    if content.startswith(b"PK") and random.random() < 0.8:
        return _in_a_part(content, random)
    spoilt = bytearray(content)
    if random.random() < 0.15:
        other = random.choice(others)
        return "spliced", bytes(spoilt[: random.randrange(len(spoilt))] + other[random.randrange(len(other)) :])
    if not content.startswith((b"PK", b"\xd0\xcf")) and random.random() < 0.7:
        return _in_its_cells(content, random)
    for _ in range(random.choice((1, 1, 2, 5, 30))):
        random.choice(_BYTES)(spoilt, random)
    return "bytes", bytes(spoilt)


def _in_its_cells(content: bytes, random: Random) -> tuple[str, bytes]:
    """Text stays text of its encoding: cells and separators are gone, doubled, exchanged, or something else."""
    encoding = "utf-16" if content.startswith(b"\xff\xfe") else "gb18030"
    try:
        text = content.decode("utf-8-sig")
        encoding = "utf-8"
    except UnicodeDecodeError:
        text = content.decode(encoding)
    pieces = _SEPARATOR.split(text)
    for _ in range(random.choice((1, 1, 2, 5, 30))):
        at = random.randrange(len(pieces))
        match random.randrange(5):
            case 0:
                pieces[at] = random.choice((*_VALUES, *_TOKENS)).decode("utf-8", "replace")
            case 1:
                pieces[at : at + random.choice((1, 2, 9))] = [""]
            case 2:
                pieces[at:at] = pieces[at : at + 18] * random.choice((1, 1, 100))
            case 3:
                other = random.randrange(len(pieces))
                pieces[at], pieces[other] = pieces[other], pieces[at]
            case _:
                cell, within = pieces[at], random.randrange(len(pieces[at]) + 1)
                strange = random.choice((*_VALUES, *_TOKENS)).decode("utf-8", "replace")
                pieces[at] = cell[:within] + strange + cell[within:]
    return "cells", "".join(pieces).encode(encoding, "replace")


def _in_a_part(content: bytes, random: Random) -> tuple[str, bytes]:
    parts = parts_of(content)
    # The parts with cells and texts are hit most.
    weights = [8 if re.search(r"sheet\d|sharedStrings|content\.xml", name) else 1 for name in parts]
    (name,) = random.choices(list(parts), weights)
    match random.randrange(12):
        case 0:
            del parts[name]
            how = "part left out"
        case 1:
            other = random.choice(list(parts))
            parts[name], parts[other] = parts[other], parts[name]
            how = "parts exchanged"
        case 2 | 3 | 4:
            parts[name] = _changed(parts[name], _BYTES, random)
            how = "bytes of a part"
        case _:
            parts[name] = _changed(parts[name], _XML, random)
            how = "XML of a part"
    spoilt = packed(parts)
    if random.random() < 0.05:  # a directory that says something else than the parts
        entry = spoilt.index(b"PK\x01\x02") + random.randrange(8, 46)
        spoilt = spoilt[:entry] + bytes([random.randrange(256)]) + spoilt[entry + 1 :]
        how = "directory"
    return how, spoilt


def _changed(part: bytes, changes: Sequence[Change], random: Random) -> bytes:
    spoilt = bytearray(part)
    for _ in range(random.choice((1, 1, 1, 2, 5, 20))):
        random.choice(changes)(spoilt, random)
    return bytes(spoilt)


def _place(content: bytearray, random: Random) -> int:
    return random.randrange(len(content) + 1)


def flip(content: bytearray, random: Random) -> None:
    """Another byte in the place of one."""
    if content:
        content[random.randrange(len(content))] = random.randrange(256)


def cut(content: bytearray, random: Random) -> None:
    """The end is gone."""
    del content[_place(content, random) :]


def drop(content: bytearray, random: Random) -> None:
    """A stretch is gone."""
    at = _place(content, random)
    del content[at : at + random.choice((1, 2, 16, 200))]


def double(content: bytearray, random: Random) -> None:
    """A stretch stands twice, or many times."""
    at = _place(content, random)
    stretch = content[at : at + random.choice((1, 4, 50, 500))]
    content[at:at] = stretch * random.choice((1, 1, 2, 50))


def token(content: bytearray, random: Random) -> None:
    """Something that means something, where it should not stand."""
    at = _place(content, random)
    content[at:at] = random.choice(_TOKENS) * random.choice((1, 1, 1, 3))


def _replaced(pattern: re.Pattern[bytes]) -> Change:
    def change(content: bytearray, random: Random) -> None:
        found = list(pattern.finditer(content))
        if found:
            match = random.choice(found)
            start, end = match.span(1)
            content[start:end] = random.choice(_VALUES)

    return change


def _exchanged(content: bytearray, random: Random) -> None:
    """Two tags change places."""
    found = list(_TAG.finditer(content))
    if len(found) > 1:
        one, two = sorted(random.sample(range(len(found)), 2))
        first, second = found[one], found[two]
        tags = first[0], second[0]
        content[second.start() : second.end()] = tags[0]
        content[first.start() : first.end()] = tags[1]


def _without_tag(content: bytearray, random: Random) -> None:
    found = list(_TAG.finditer(content))
    if found:
        match = random.choice(found)
        del content[match.start() : match.end()]


def _element_moved(content: bytearray, random: Random) -> None:
    """An element stands once more, beside another."""
    found = list(_ELEMENT.finditer(content))
    if found:
        copied, beside = random.choice(found)[0], random.choice(found).start()
        content[beside:beside] = copied * random.choice((1, 1, 3, 400))


_BYTES: Sequence[Change] = (flip, cut, drop, double, token)
_XML: Sequence[Change] = (
    *(_replaced(_ATTRIBUTE), _replaced(_ATTRIBUTE), _replaced(_CONTENT), _replaced(_CONTENT)),
    *(_exchanged, _without_tag, _element_moved, token),
)
