"""Entities as tables for a reader: columns called as the playbook calls them, choices by their labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import attrs

from crmcore.app.obligations import Duty
from crmcore.cli.texts import TEXTS
from crmcore.domain import ENTITIES, Entity, Event
from crmcore.domain.event import changes_of
from crmcore.domain.playbook import FIELD_KINDS
from crmcore.domain.policies import Label
from crmcore.errors import Language
from crmcore.metrics import Column, Table
from crmcore.metrics.tables import Cell, ColumnKind, cell_text
from crmcore.playbooks import Playbook

_KINDS: dict[str, ColumnKind] = {"integer": "integer", "day": "date", "instant": "instant", "money": "money"}

MOST_CHANGES = 3  #: that an event shows of what it changed
_TOLD_ELSEWHERE = frozenset({"at", "stage_since", "registrar", "recorder", "outcome", "sequences"})

CUSTOMER_COLUMNS = ("number", "name", "stage", "tier", "owner", "source", "last_follow_up_at")
CONTACT_COLUMNS = ("name", "title", "phones", "emails", "wechat", "decision_maker")
OPPORTUNITY_COLUMNS = (
    "name",
    "stage",
    "owner",
    "product",
    "expected_amount",
    "expected_close_on",
    "amount",
    "closed_on",
)
PLAN_COLUMNS = ("due_on", "method", "goal", "owner", "remarks")
FOLLOW_UP_COLUMNS = ("at", "method", "summary", "result", "next_step", "next_on", "recorder")


_OWN = {key: Label(zh=chinese, en=english) for key, (english, chinese) in TEXTS.items() if key.startswith("event.")}
EVENT_LABELS = {
    **{
        f"event.{cls.entity}.{way}": _OWN[f"event.{way}"]
        for cls in ENTITIES
        for way in ("joined", "left", "import_undone", "erased")
    },
    **_OWN,
}
"""What an event is called, by ``event.`` and its action."""


def spoken(key: str, kind: ColumnKind = "text", text: str | None = None) -> Column:
    """A column whose heading is one of the command's own texts."""
    english, chinese = TEXTS[text or key]
    return Column(key, chinese, english, kind)


def field_column(playbook: Playbook, field: str) -> Column:
    """The column of a dotted field."""
    return Column(
        field.partition(".")[2],
        playbook.label(field, "zh-CN"),
        playbook.label(field, "en"),
        _KINDS.get(FIELD_KINDS[field].name, "text"),
        labels=playbook.vocabulary(field),
    )


def readable(value: Any, zone: ZoneInfo) -> Cell:
    """A field's value as a cell: lists in one line, moments in the team's zone to the minute, a flag as its choice."""
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, bool):
        return "true" if value else None
    if isinstance(value, datetime):
        return f"{value.astimezone(zone):%Y-%m-%d %H:%M}"
    cell: Cell = value
    return cell


def entity_table(
    playbook: Playbook, title: str, entity: str, names: Sequence[str], found: Iterable[Entity], zone: ZoneInfo
) -> Table:
    """Some fields of some entities; ``title`` is a key of the command's texts."""
    english, chinese = TEXTS[title]
    columns = tuple(field_column(playbook, f"{entity}.{name}") for name in names)
    rows = tuple(tuple(readable(getattr(one, name), zone) for name in names) for one in found)
    return Table(title, chinese, english, columns, rows)


def facts(playbook: Playbook, one: Entity, language: Language, zone: ZoneInfo, without: Sequence[str]) -> list[str]:
    """The filled fields of an entity, one a line, in the order in which it declares them."""
    lines = []
    for name in type(one).kinds:
        value = getattr(one, name)
        if name == "custom":
            lines += [f"  {playbook.label(f'{one.entity}.{key}', language)}: {kept}" for key, kept in value.items()]
            continue
        if name in without or value in (None, (), False):
            continue
        column = field_column(playbook, f"{one.entity}.{name}")
        shown = cell_text(column, readable(value, zone), language)
        if isinstance(value, tuple):
            shown = ", ".join(cell_text(column, item, language) for item in value)
        lines.append(f"  {column.title(language)}: {' '.join(shown.split())}")
    return lines


def duty_table(duties: Iterable[Duty], language: Language) -> Table:
    """What is due, as the library sorted it."""
    english, chinese = TEXTS["due"]
    columns = (
        spoken("state"),
        spoken("due_on", "date"),
        spoken("days_overdue", "integer"),
        spoken("number"),
        spoken("name"),
        spoken("duty"),
        spoken("owner"),
    )
    rows = tuple(
        (
            TEXTS[f"state.{duty.state}"][1 if language == "zh-CN" else 0],
            duty.due_on,
            duty.days_overdue or None,
            duty.customer.number if duty.customer else None,
            duty.customer.name if duty.customer else None,
            f"{duty.label.text(language)}: {duty.about}" if duty.about else duty.label.text(language),
            duty.obligation.owner,
        )
        for duty in duties
    )
    return Table("due", chinese, english, columns, rows)


def timeline_table(playbook: Playbook, events: Iterable[Event], language: Language, zone: ZoneInfo) -> Table:
    """What happened, with the changes of each event in one cell."""
    english, chinese = TEXTS["timeline"]
    columns = (spoken("at"), spoken("by"), attrs.evolve(spoken("action"), labels=EVENT_LABELS), spoken("changes"))
    rows = tuple(
        (readable(event.at, zone), event.by, f"event.{event.action}", _changes(playbook, event, language, zone))
        for event in events
    )
    return Table("timeline", chinese, english, columns, rows)


def _changes(playbook: Playbook, event: Event, language: Language, zone: ZoneInfo) -> str:
    """The first changed fields, as ``label: before → after``; of a new record what it became."""
    found = []
    for name, (before, after) in changes_of(event).items():
        field = f"{event.subject}.{name}"
        if name.endswith("_id") or name in _TOLD_ELSEWHERE:
            continue
        was, now = (said(playbook, field, value, language, zone) for value in (before, after))
        found.append(f"{playbook.label(field, language)}: {f'{was} → {now}' if was else now}")
    if event.reason:
        found.append(f"({event.reason})")
    return "; ".join(found[:MOST_CHANGES]) + ("; …" if len(found) > MOST_CHANGES else "")


def said(playbook: Playbook, field: str, value: Any, language: Language, zone: ZoneInfo) -> str:
    """A value as an event keeps it, for a reader."""
    if value is None or value == []:
        return ""
    if isinstance(value, list):
        return ", ".join(said(playbook, field, item, language, zone) for item in value)
    if isinstance(value, dict):
        return " ".join(map(str, value.values()))
    kind = FIELD_KINDS.get(field)
    if kind is not None and kind.name == "instant":
        return str(readable(datetime.fromisoformat(value), zone))
    return playbook.choice_label(field, str(value), language)
