"""交往记录: the conversations that one cell holds, as ``2024-04-20,…;2024-03-10,…`` (seed 004), taken apart. Pure."""

from __future__ import annotations

import re
from datetime import date, datetime
from zoneinfo import ZoneInfo

import attrs

from crmcore.domain.fields import Unclean
from crmcore.interchange.dates import DateOrder, read_moment
from crmcore.rules.timing import day_start

_DATE = (
    r"(?:(?:\d{4}|\d{2})年\d{1,2}月\d{1,2}[日号]?|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|(?:19|20)\d{6}"
    r"|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2}))"
)
_TIME = r"(?:\s*(?:上午|下午)?\s*\d{1,2}[:时点]\d{1,2}分?(?::\d{2})?)?"
#: A conversation begins with its date, at the beginning of the cell or after the end of another.
_BEGINS = re.compile(
    rf"(?:^|[;\uff1b。|\n])\s*(?:\d{{1,2}}[、)\uff09]\s*)?(?P<when>{_DATE}(?!\d){_TIME})\s*[,\uff0c:\uff1a、\s]*"
)
_RECORDER = re.compile(
    r"\s*[(\uff08]\s*(?:记录人|跟进人|recorder)\s*[:\uff1a]\s*(?P<who>[^()\uff08\uff09]{1,50}?)\s*[)\uff09]\s*$",
    re.IGNORECASE,
)


_DATED = re.compile(rf"(?<!\d){_DATE}(?!\d)")


@attrs.frozen
class Conversation:
    """One conversation of a cell: when it took place (aware), what was said, and who wrote it down where the cell says so."""

    at: datetime
    summary: str
    recorder: str | None = None


@attrs.frozen
class History:
    """The conversations of a cell, the oldest first, and what stands before the first date."""

    conversations: tuple[Conversation, ...]
    rest: str | None = None

    @property
    def dates_within(self) -> bool:
        """Whether what was said names a further date: it may be another conversation that nothing parts from this one."""
        return any(_DATED.search(one.summary) for one in self.conversations)


def read_history(text: str, order: DateOrder | None, zone: ZoneInfo) -> History:
    """What a cell tells of earlier conversations. A text without any date is all ``rest``.

    They are parted by a semicolon, a full stop 。, a bar or a line break, with the date of the next one right behind it.

    A date without a time of day is the beginning of that day in the team's zone. Raises ``Unclean``: ``bad_date`` or
    ``ambiguous_date`` as for any date, ``required`` for a date with nothing said.
    """
    text = text.replace("\r\n", "\n").strip()
    begins = list(_BEGINS.finditer(text))
    if not begins:
        return History((), text or None)
    ends = [*(found.start() for found in begins[1:]), len(text)]
    read = [_read(found, text[found.end() : end], order, zone) for found, end in zip(begins, ends, strict=True)]
    rest = text[: begins[0].start()].strip(" ;\uff1b\n")
    return History(tuple(sorted(read, key=lambda one: one.at)), rest or None)


def _read(found: re.Match[str], said: str, order: DateOrder | None, zone: ZoneInfo) -> Conversation:
    moment = read_moment(found["when"].strip(), order)
    said = said.strip().strip(";\uff1b").strip()
    recorder = _RECORDER.search(said)
    summary = said[: recorder.start()].strip() if recorder else said
    if not summary:
        raise Unclean("required")
    return Conversation(_aware(moment, zone), summary, recorder["who"] if recorder else None)


def _aware(moment: date | datetime, zone: ZoneInfo) -> datetime:
    if not isinstance(moment, datetime):
        return day_start(moment, zone)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
