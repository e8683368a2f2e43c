"""The cell formats of a workbook, where a value needs another than its cell has: what is shown as a date is read as one."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import attrs

from crmcore_excel.sheetxml import attributes

_FORMATS = re.compile(rb"<((?:[\w.-]+:)?)cellXfs(?=[\s>])([^<>]*)>(.*?)</\1cellXfs>", re.DOTALL)
_NUMBER_FORMAT = re.compile(rb"<(?:[\w.-]+:)?numFmt\s([^<>]*)>")
_NUMBER_FORMATS = re.compile(rb"<((?:[\w.-]+:)?)numFmts(?=[\s>])[^<>]*>")
_OWN_FORMATS = re.compile(rb"<((?:[\w.-]+:)?)numFmts(?=[\s>]).*?</\1numFmts>", re.DOTALL)
_FILLS = re.compile(rb"<((?:[\w.-]+:)?)fills(?=[\s>])[^<>]*>(.*?)</\1fills>", re.DOTALL)
_ROOT = re.compile(rb"<((?:[\w.-]+:)?)styleSheet(?=[\s>])[^<>]*>")
_DATES = {*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)}
_DURATIONS = {46}
_BUILT_IN = {"General": 0, "0": 1, "@": 49}
_FIRST_OWN = 164
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)


@attrs.define
class Styles:
    """The formats of a workbook's part for styles. ``part`` is what it is now."""

    part: bytes
    _formats: list[bytes] | None = None
    _codes: dict[int, str] = attrs.field(factory=dict)
    _made: dict[tuple[int, str], int] = attrs.field(factory=dict)
    _filled: dict[tuple[int, str | None], int] = attrs.field(factory=dict)
    _kinds: dict[int, str] = attrs.field(factory=dict)

    def kind(self, style: int) -> str:
        """What a number in a cell of that style is read as: ``number``, ``date`` or ``duration``."""
        if style not in self._kinds:
            formats = self._read()
            told = attributes(formats[style].partition(b">")[0]) if style < len(formats) else {}
            id = int(told.get("numFmtId", 0))
            code = _LITERAL.sub("", self._codes.get(id, "")).casefold()
            if id in _DURATIONS or "[" in code:
                self._kinds[style] = "duration"
            elif (id in _DATES and id not in self._codes) or set(code.replace("general", "")) & set("ymdhsgab"):
                self._kinds[style] = "date"
            else:
                self._kinds[style] = "number"
        return self._kinds[style]

    def with_format(self, style: int, code: str) -> int:
        """A style like another, but for how a number is shown."""
        made = self._made.get((style, code))
        if made is not None:
            return made
        self._made[style, code] = self._like(style, numFmtId=self._format_id(code), applyNumberFormat=1)
        return self._made[style, code]

    def filled(self, style: int, colour: str | None, ours: str) -> int:
        """A style like another on a ground of that colour (alpha, red, green, blue in hexadecimal). Without a colour the ground
        is taken away that this gave a style before, in ``ours``; any other stays. Raises ValueError without any grounds."""
        if (style, colour) not in self._filled:
            formats = self._read()
            told = attributes(formats[style].partition(b">")[0]) if style < len(formats) else {}
            own = self._fill(ours) if colour or f'rgb="{ours}"'.encode() in self.part else None
            if colour:
                made = self._like(style, fillId=own, applyFill=1)
            elif own is not None and told.get("fillId") == str(own):
                made = self._like(style, fillId=0, applyFill=0)
            else:
                made = style
            self._filled[style, colour] = made
        return self._filled[style, colour]

    def _fill(self, colour: str) -> int:
        """The number of the solid ground of a colour, made where there is none."""
        found = _FILLS.search(self.part)
        if found is None:
            raise ValueError("the workbook names no grounds")
        prefix = found[1].decode()
        one = re.compile(rb"<%sfill(?=[\s/>])[^<>]*>(?:(?<=/>)|.*?</%sfill>)" % (found[1], found[1]), re.DOTALL)
        fills = one.findall(found[2])
        ground = f'<{prefix}fgColor rgb="{colour}"/><{prefix}bgColor indexed="64"/>'
        made = f'<{prefix}fill><{prefix}patternFill patternType="solid">{ground}</{prefix}patternFill></{prefix}fill>'
        for number, fill in enumerate(fills):
            if b'"solid"' in fill and re.search(rb'fgColor\s[^<>]*rgb="%s"' % colour.encode(), fill):
                return number
        whole = f'<{prefix}fills count="{len(fills) + 1}">'.encode() + found[2] + f"{made}</{prefix}fills>".encode()
        self.part = self.part[: found.start()] + whole + self.part[found.end() :]
        return len(fills)

    def _like(self, style: int, **told: Any) -> int:
        """A style like another, but for some attributes."""
        formats = self._read()
        prefix = self._prefix()
        own = formats[style] if style < len(formats) else f"<{prefix}xf/>".encode()
        tag, close, rest = own.partition(b">")
        closed = tag.endswith(b"/")
        gone = re.compile(rb"""\s(?:%s)\s*=\s*(?:"[^"]*"|'[^']*')""" % "|".join(told).encode())
        tag = gone.sub(b"", tag.rstrip(b"/"))
        tag += "".join(f' {name}="{value}"' for name, value in told.items()).encode() + (b"/" if closed else b"")
        formats.append(tag + close + rest)
        found = _FORMATS.search(self.part)
        assert found is not None
        head = re.sub(rb"""\scount\s*=\s*(?:"[^"]*"|'[^']*')""", b"", found[2])
        whole = b"".join(
            (
                *(b"<", found[1], b"cellXfs", head, f' count="{len(formats)}">'.encode()),
                *(found[3], formats[-1], b"</", found[1], b"cellXfs>"),
            )
        )
        self.part = self.part[: found.start()] + whole + self.part[found.end() :]
        return len(formats) - 1

    def _prefix(self) -> str:
        found = _ROOT.search(self.part)
        return found[1].decode() if found else ""

    def _format_id(self, code: str) -> int:
        if code in _BUILT_IN:
            return _BUILT_IN[code]
        known = next((id for id, told in self._codes.items() if told == code), None)
        if known is not None:
            return known
        id, prefix = max([_FIRST_OWN - 1, *self._codes]) + 1, self._prefix()
        told = f'<{prefix}numFmt numFmtId="{id}" formatCode="{code}"/>'
        found = _NUMBER_FORMATS.search(self.part)
        if found and not found[0].endswith(b"/>"):
            tag = re.sub(rb"""\scount\s*=\s*(?:"[^"]*"|'[^']*')""", b"", found[0])[:-1]
            tag += f' count="{len(self._codes) + 1}">'.encode()
            self.part = self.part[: found.start()] + tag + told.encode() + self.part[found.end() :]
        else:
            root = _ROOT.search(self.part)
            assert root is not None
            at = found or root
            whole = f'<{prefix}numFmts count="1">{told}</{prefix}numFmts>'.encode()
            start = found.start() if found else root.end()
            self.part = self.part[:start] + whole + self.part[at.end() :]
        self._codes[id] = code
        return id

    def _read(self) -> list[bytes]:
        if self._formats is None:
            found = _FORMATS.search(self.part)
            content, prefix = (found[3], found[1]) if found else (b"", b"")
            one = re.compile(rb"<%sxf(?=[\s/>])[^<>]*>(?:(?<=/>)|.*?</%sxf>)" % (prefix, prefix), re.DOTALL)
            self._formats = one.findall(content)
            own = _OWN_FORMATS.search(self.part)
            self._codes = {
                int(told.get("numFmtId", 0)): unescape(told.get("formatCode", ""))
                for told in map(attributes, _NUMBER_FORMAT.findall(own[0] if own else b""))
            }
        return self._formats
