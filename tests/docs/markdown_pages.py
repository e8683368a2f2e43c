"""The pages of the documentation, taken apart: fenced blocks with the comments above them, links and anchors."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import attrs

ROOT = Path(__file__).resolve().parents[2]
_FOUND = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
PAGES = sorted(page for page in _FOUND if "/." not in page.relative_to(ROOT).as_posix())  # a cache may hold a README

_FENCE = re.compile(r"(?P<indent> *)(?P<marks>`{3,})(?P<language>[\w-]*)")
_COMMENT = re.compile(r" *<!-- (?P<note>.+?) -->")
_HEADING = re.compile(r"#{1,6} (?P<text>.+)")
_ANCHOR = re.compile(r'<a id="(?P<id>[^"]+)">')
_LINK = re.compile(r"\[[^\]\[]*\]\((?P<target>[^)\s]+)\)")


@attrs.frozen
class Block:
    """A fenced block. ``line`` is that of its first line of text, from 1; ``notes`` are the comments right above it."""

    page: Path
    line: int
    language: str
    text: str
    notes: tuple[str, ...]

    def note(self, name: str) -> str | None:
        """What a comment ``name: …`` says, "" for a bare ``name``, None where there is none."""
        for note in self.notes:
            key, _, value = note.partition(":")
            if key == name:
                return value.strip()
        return None

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    blocks: list[Block] = []
    notes: list[str] = []
    lines = iter(enumerate(page.read_text("utf-8").splitlines(), 1))
    for _, line in lines:
        if comment := _COMMENT.fullmatch(line):
            notes.append(comment["note"])
            continue
        if fence := _FENCE.fullmatch(line):
            first, body = 0, []
            for number, inner in lines:
                first = first or number
                if inner.strip() == fence["marks"]:
                    break
                body.append(inner)
            text = textwrap.dedent("\n".join(body)) + "\n"
            blocks.append(Block(page, first, fence["language"], text, tuple(notes)))
        notes = []
    return blocks


def prose_of(page: Path) -> str:
    """The page without its fenced blocks."""
    kept, closing = [], None
    for line in page.read_text("utf-8").splitlines():
        fence = _FENCE.fullmatch(line)
        if closing is None and fence:
            closing = fence["marks"]
        elif closing is not None:
            closing = None if line.strip() == closing else closing
        else:
            kept.append(line)
    return "\n".join(kept)


def anchors_of(page: Path) -> list[str]:
    """What a link to a place in the page can name: its headings as GitHub turns them into anchors, and its own."""
    prose = prose_of(page)
    found = []
    for line in prose.splitlines():
        if heading := _HEADING.fullmatch(line):
            words = re.sub(r"[^\w\- ]", "", heading["text"].lower())
            found.append(words.replace(" ", "-"))
    return found + _ANCHOR.findall(prose)


def links_of(page: Path) -> list[str]:
    """The targets of the links of a page."""
    return [found["target"] for found in _LINK.finditer(re.sub(r"`[^`\n]*`", "", prose_of(page)))]
