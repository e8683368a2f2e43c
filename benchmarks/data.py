"""The rows that every contender stores: the same tables, the same indexes, the same values for the same number.

Row ``i`` is a function of ``i`` alone, so any answer can be held against the truth without keeping the truth in memory.
Instants are whole milliseconds since 1970 (UTC), days ISO text, flags 0 or 1, money whole minor units.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

STRICT = " STRICT" if sqlite3.sqlite_version_info >= (3, 37) else ""

Row = tuple[Any, ...]
Family = tuple[Row, list[Row], list[Row]]
"""A customer with its contacts and follow-ups."""


@dataclass(frozen=True, eq=False)
class Table:
    """A table: its columns with the kind of each (``?`` marks one that may be empty), and what is indexed."""

    name: str
    kinds: Mapping[str, str]
    unique: tuple[tuple[str, ...], ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.kinds)

    def ddl(self) -> list[str]:
        """The statements that make the table and its indexes."""
        types = {"text": "TEXT", "day": "TEXT", "integer": "INTEGER", "instant": "INTEGER", "flag": "INTEGER"}
        lines = [
            f"{column} {types[kind.rstrip('?')]}{'' if kind.endswith('?') else ' NOT NULL'}"
            for column, kind in self.kinds.items()
        ]
        made = [f"CREATE TABLE {self.name} ({', '.join(lines)}, PRIMARY KEY (id)){STRICT}"]
        for word, groups in (("UNIQUE INDEX", self.unique), ("INDEX", self.indexes)):
            made += [
                f"CREATE {word} {self.name}_{'_'.join(group)} ON {self.name} ({', '.join(group)})" for group in groups
            ]
        return made


CUSTOMER = Table(
    "customer",
    {
        "id": "text",
        "version": "integer",
        "number": "text",
        "name": "text",
        "short_name": "text?",
        "kind": "text",
        "industry": "text?",
        "scale": "text?",
        "headcount": "integer?",
        "address": "text?",
        "source": "text?",
        "core_need": "text?",
        "tier": "text?",
        "stage": "text",
        "owner": "text",
        "first_contact_on": "day?",
        "last_follow_up_at": "instant?",
        "contract_minor": "integer?",
        "updated_at": "instant",
        "remarks": "text?",
    },
    unique=(("number",),),
    indexes=(("owner", "stage", "number"), ("stage", "number")),
)
CONTACT = Table(
    "contact",
    {
        "id": "text",
        "version": "integer",
        "customer_id": "text",
        "name": "text",
        "title": "text?",
        "phone": "text",
        "email": "text?",
        "decision_maker": "flag",
    },
    indexes=(("customer_id",),),
)
FOLLOW_UP = Table(
    "follow_up",
    {
        "id": "text",
        "version": "integer",
        "customer_id": "text",
        "at": "instant",
        "method": "text",
        "summary": "text",
        "result": "text?",
        "next_on": "day?",
        "state": "text",
        "due_at": "instant",
    },
    indexes=(("customer_id", "at"), ("state", "due_at")),
)
HISTORY = Table(
    "history",
    {
        "id": "text",
        "version": "integer",
        "customer_id": "text",
        "at": "instant",
        "by": "text",
        "action": "text",
        "changes": "text?",
    },
    indexes=(("customer_id", "at"),),
)
TABLES = (CUSTOMER, CONTACT, FOLLOW_UP, HISTORY)

STAGES = ("线索", "意向", "方案", "谈判", "成交")
OWNERS = ("sales.east", "wang.fang", "sales.west", "chen.jie", "liu.yang", "zhao.lei", "sun.li", "zhou.tao")
CONTACTS, FOLLOW_UPS = 2, 5
NOW = 1_700_000_000_000  #: the moment that "overdue" is asked for
DAY = 86_400_000

_INDUSTRIES = ("制造业", "软件和信息技术服务业", "批发业", "教育", None)
_SCALES = ("large", "small_medium", "sole_trader")
_SOURCES = ("展会推广", "同行转介绍", "官网注册", "线下拜访", None)
_TIERS = ("A", "B", "C", None)
_CITIES = ("上海", "深圳", "杭州", "成都", "武汉", "西安")
_TITLES = ("采购经理", "总经理", None)
_METHODS = ("phone", "visit", "email", "wechat")
_RESULTS = ("progressing", "blocked", None)


def _mixed(index: int) -> int:
    """32 well-mixed bits: the values look random and stay a function of the index."""
    bits = (index * 0x9E3779B1 + 0x7F4A7C15) & 0xFFFFFFFF
    bits = ((bits ^ (bits >> 15)) * 0x85EBCA6B) & 0xFFFFFFFF
    return bits ^ (bits >> 13)


def _identity(moment: int, serial: int) -> str:
    """An id in the form of UUIDv7, so that keys sort and index as the library's own do."""
    return f"{moment >> 16:08x}-{moment & 0xFFFF:04x}-7{serial & 0xFFF:03x}-8{serial >> 12 & 0xFFF:03x}-{_mixed(serial):012x}"


def _day(bits: int) -> str:
    return f"20{20 + bits % 4}-{1 + bits % 12:02d}-{1 + bits % 28:02d}"


def number_of(index: int) -> str:
    """The number of customer ``index``."""
    return f"C{index:08d}"


def owner_of(index: int) -> str:
    """The owner of customer ``index``."""
    return OWNERS[_mixed(index) % len(OWNERS)]


def stage_of(index: int) -> str:
    """The stage of customer ``index`` before anything was changed."""
    return STAGES[(_mixed(index) >> 8) % len(STAGES)]


def customer_id_of(index: int) -> str:
    """The id of customer ``index``."""
    return _identity(NOW - 900 * DAY + index * 8, index * 8)


def family(index: int) -> Family:
    """Customer ``index`` with two contacts and five follow-ups, the last of them open."""
    bits = _mixed(index)
    customer_id, made = customer_id_of(index), NOW - 900 * DAY + index * 8
    city = _CITIES[bits % 6]
    customer = (
        customer_id,
        1,
        number_of(index),
        f"{city}示例第{index}科技有限公司",
        f"示例{index}" if bits & 1 else None,
        "enterprise",
        _INDUSTRIES[bits % 5],
        _SCALES[bits % 3],
        bits % 5000 if bits & 2 else None,
        f"{city}市示例路{bits % 999}号{bits % 40}层",
        _SOURCES[(bits >> 3) % 5],
        f"采购设备{bits % 50}台，需在季度末前交付" if bits & 4 else None,
        _TIERS[(bits >> 5) % 4],
        stage_of(index),
        owner_of(index),
        _day(bits),
        NOW - bits % 90 * DAY,
        bits % 10_000_000 if bits & 8 else None,
        made,
        "由行业展会获得，首次沟通顺利" if bits & 16 else None,
    )
    contacts: list[Row] = [
        (
            _identity(made + 1 + each, index * 8 + 1 + each),
            1,
            customer_id,
            f"联系人{index}-{each}",
            _TITLES[(bits + each) % 3],
            f"138{(bits + each) % 100_000_000:08d}",
            f"person{index}.{each}@example.com" if bits & 32 else None,
            each == 0,
        )
        for each in range(CONTACTS)
    ]
    follow_ups: list[Row] = [
        (
            _identity(made + 3 + each, index * 8 + 3 + each),
            1,
            customer_id,
            NOW - (FOLLOW_UPS - each) * 7 * DAY - bits % DAY,
            _METHODS[(bits + each) % 4],
            f"第{each + 1}次沟通：介绍方案，客户询问价格与交付周期",
            _RESULTS[(bits + each) % 3],
            _day(bits + each) if each % 2 else None,
            "open" if each == FOLLOW_UPS - 1 else "done",
            NOW - (FOLLOW_UPS - 1 - each) * 7 * DAY + bits % (60 * DAY) - 30 * DAY,
        )
        for each in range(FOLLOW_UPS)
    ]
    return customer, contacts, follow_ups


def history_row(serial: int, customer_id: str, at: int, before: str, after: str) -> Row:
    """The row that records a move to another stage."""
    changes = f'{{"stage": ["{before}", "{after}"]}}'
    return _identity(at, serial), 1, customer_id, at, "sales.east", "customer.moved", changes


Takes = Mapping[str, Callable[[Any], Any]]
"""What a library wants in place of a stored value, by kind of column."""


def converter(table: Table, takes: Takes) -> Callable[[Row], Row]:
    """From a row as stored to the row a library takes."""
    changed = [
        (place, takes[kind.rstrip("?")]) for place, kind in enumerate(table.kinds.values()) if kind.rstrip("?") in takes
    ]
    if not changed:
        return tuple

    def convert(row: Row) -> Row:
        values = list(row)
        for place, take in changed:
            if values[place] is not None:
                values[place] = take(values[place])
        return tuple(values)

    return convert


class Feed:
    """Families one after the other, made in small portions; the time this takes is kept apart, so it can be subtracted."""

    PORTION = 100

    def __init__(self, count: int, takes: Takes) -> None:
        self.count = count
        self.wall = self.cpu = 0.0
        self._convert = [converter(table, takes) for table in (CUSTOMER, CONTACT, FOLLOW_UP)]

    def __iter__(self) -> Iterator[Family]:
        customer_as, contact_as, follow_up_as = self._convert
        for start in range(0, self.count, self.PORTION):
            wall, cpu = time.perf_counter(), time.process_time()
            portion = [
                (customer_as(customer), list(map(contact_as, contacts)), list(map(follow_up_as, follow_ups)))
                for customer, contacts, follow_ups in map(family, range(start, min(start + self.PORTION, self.count)))
            ]
            self.cpu += time.process_time() - cpu
            self.wall += time.perf_counter() - wall
            yield from portion
