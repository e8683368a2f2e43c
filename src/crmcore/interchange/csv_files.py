"""Reading delimited text: encoding, delimiter and records, each decided from the content.

A record is a row, numbered as a spreadsheet numbers it: blank lines count, line breaks within quotes do not. Cells are
texts as written, or None where nothing stands.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator

from crmcore.interchange.rejections import rejected

MAX_TEXT_FILE = 128 * 2**20  #: bytes
MAX_ROWS = 1_048_576  #: as many as a sheet has
MAX_CELLS = 10_000_000
DELIMITERS = ",;\t|"
_SAMPLE_RECORDS = 200
_SAMPLE_CHARACTERS = 2**18
_HEAD = 5
_END = "\0"  # No text holds it, so it shows whether the last quotation mark was closed.
_SEPARATOR_LINE = re.compile(r"sep=([,;\t|])\r?\n?", re.IGNORECASE)  # Excel's own way to name a delimiter
_KEPT_AS_TEXT = re.compile(r'="((?:[^"]|"")*)"')
_DOUBLE_BYTE = re.compile(rb"[\x81-\xfe][\x40-\x7e\x80-\xfe]")
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_records(
    content: bytes, *, encoding: str | None = None, delimiter: str | None = None
) -> list[tuple[str | None, ...]]:
    """The records of a text file; trailing blank cells and records are cut.

    Raises ``ImportRejected`` with ``bad_encoding``, ``not_text``, ``open_quote``, ``bad_csv`` or ``too_large``.
    """
    text = decode(content, encoding=encoding)
    if "\0" in text:
        raise rejected("not_text", part=_line(text[: text.index("\0")].encode()))
    named = _SEPARATOR_LINE.match(text)
    separator = delimiter or (named[1] if named else sniff_delimiter(text))
    records: list[tuple[str | None, ...]] = []
    cells = 0
    for number, record in enumerate(_parse(text, separator), 1):
        while record and not record[-1]:
            record.pop()
        cells += len(record)
        if number > MAX_ROWS or cells > MAX_CELLS:
            raise rejected("too_large", part=f"row {number}")
        cells_kept = map(_unwrapped, record) if '="' in "".join(record) else record
        records.append(tuple([cell or None for cell in cells_kept]))
    if named:
        records[0] = ()
    while records and not records[-1]:
        records.pop()
    return records


def decode(content: bytes, *, encoding: str | None = None) -> str:
    """The text of a file, without a byte order mark.

    A given encoding is the last word. Otherwise: the byte order mark; UTF-16 where every second byte of ASCII is NUL;
    UTF-8; GB18030 where the double bytes look Chinese. Nothing is replaced or guessed further: ``bad_encoding``.
    """
    candidate = encoding or _marked(content) or _unmarked_utf16(content)
    if candidate:
        try:
            return content.decode(candidate).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            raise rejected("bad_encoding", part=_line(content[: error.start])) from error
        except (UnicodeError, LookupError) as error:
            raise rejected("bad_encoding") from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        strange = error.start  # Not UTF-8: the double-byte encoding is tried next.
    if b"\0" in content:
        raise rejected("not_text", part=_line(content[: content.index(b"\0")]))
    try:
        text = content.decode("gb18030")
    except UnicodeDecodeError as error:
        raise rejected("bad_encoding", part=_line(content[: max(strange, error.start)])) from error
    if not _looks_chinese(content):
        raise rejected("bad_encoding", part=_line(content[:strange]))
    return text


def _line(before: bytes) -> str:
    """The line that comes to stand after these bytes."""
    lines = before.count(b"\n") + 1
    return f"line {lines}"


def _unwrapped(cell: str) -> str:
    """A cell such as ``="0013"``, by which programs keep a spreadsheet from reading a number, as the text it stands for."""
    found = _KEPT_AS_TEXT.fullmatch(cell)
    return found[1].replace('""', '"') if found else cell


def _marked(content: bytes) -> str | None:
    return next((name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), None)


def _unmarked_utf16(content: bytes) -> str | None:
    """UTF-16 without its mark: every ASCII character of it has a NUL, all of them on the same side."""
    sample = content[:4096]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    # What is all ASCII would be every second byte NUL; among Chinese, a comma and a line end now and then.
    least = len(sample) * 0.4 if sample.isascii() else len(sample) * 0.02
    if (even and odd) or max(even, odd) <= least:
        return None
    return "utf-16-be" if even else "utf-16-le"


def _looks_chinese(content: bytes) -> bool:
    """Western single-byte text also decodes as GB18030: there, what follows a high byte is mostly a plain letter."""
    pairs = _DOUBLE_BYTE.findall(content[:_SAMPLE_CHARACTERS])
    doubles = sum(pair[1] >= 0x80 for pair in pairs)
    return bool(2 * doubles >= len(pairs))


def sniff_delimiter(text: str) -> str:
    """The delimiter that cuts most of the first records into equally many fields, header or title lines included.

    One that does not cut any of the first rows counts half. A tie goes to the one that cuts finer, then to the comma.
    """
    sample = text[:_SAMPLE_CHARACTERS]
    return max(DELIMITERS, key=lambda delimiter: _fit(sample, delimiter))


def _fit(sample: str, delimiter: str) -> tuple[float, int]:
    widths: list[int] = []
    try:
        for record in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter):
            if any(map(str.strip, record)):
                widths.append(len(record))
            if len(widths) == _SAMPLE_RECORDS:
                break
    except csv.Error:
        return 0.0, 0
    cut = Counter(width for width in widths if width > 1)
    if not cut:
        return 0.0, 0
    width, count = max(cut.items(), key=lambda item: (item[1], item[0]))
    agreement = count / len(widths)
    return (agreement if width in widths[:_HEAD] else agreement / 2), width


def _parse(text: str, delimiter: str) -> Iterator[list[str]]:
    source = io.StringIO(text, newline="")
    reader = csv.reader(_with_end(source), delimiter=delimiter)
    number = 0
    try:
        for record in reader:
            if record == [_END]:
                return
            number += 1
            if record and record[-1].endswith(_END):
                raise rejected("open_quote", part=f"row {number}")
            yield record
    except csv.Error as error:
        raise rejected("bad_csv", part=f"row {number + 1}") from error


def _with_end(source: io.StringIO) -> Iterator[str]:
    line = ""
    for line in source:
        yield line
    if line and not line.endswith(("\n", "\r")):
        yield "\n"
    yield _END
