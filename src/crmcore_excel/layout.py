"""Which sheet and column of a store's workbook holds which field, and the marks that say so in the workbook itself."""

from __future__ import annotations

import json
import re
from collections.abc import Collection as Sized
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from crmcore.errors import StoreCorrupt
from crmcore.storage import Collection, FieldType, Row, Schema
from crmcore.storage.presentation import FieldView, Presentation, SheetView
from crmcore_excel.book import free_name

MARKS, TEXTS, LISTS = "crmcore", "crmcore texts", "crmcore lists"
"""Names of our own sheets: the marks, the texts that no cell can hold, the words of drop-downs."""

_FORMAT = 1
_CHUNK = 30_000  #: characters of a mark in one cell
_BROKEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_MAX_HEADING = 250


@attrs.frozen(kw_only=True)
class Column:
    """A field in its sheet. ``choices`` are kept text: what is shown for it, no two shown alike.

    ``listed`` and ``refers`` are as in :class:`FieldView`, ``refers`` where no text can be taken for the name of a row.
    """

    field: str
    type: FieldType
    heading: str
    shown: bool = True
    scale: int = 0
    choices: Mapping[str, str] = attrs.field(factory=dict)
    listed: bool = False
    refers: str | None = None


@attrs.frozen(kw_only=True)
class SheetLayout:
    """A collection's sheet: its columns from left to right, those shown first. ``called`` is as in :class:`SheetView`."""

    collection: str
    title: str
    shown: bool
    columns: tuple[Column, ...]
    called: tuple[str, ...] = ()

    def order(self, collection: Collection) -> tuple[int, ...]:
        """For each column the place of its field in the row."""
        return tuple(collection.position(column.field) for column in self.columns)


@attrs.frozen(kw_only=True)
class Marks:
    """What a workbook says of itself: whose state it is, under which schema and layout, and the digest of its rows.

    ``zone`` is the IANA name of the zone that its instants stand in. ``carried`` says that the workbook is a person's, with our
    rows in it, and not drawn anew.
    """

    store_id: str
    sequence: int
    schema: Schema
    zone: str
    sheets: tuple[SheetLayout, ...]
    digest: str
    carried: bool = False


def lay_out(
    schema: Schema, presentation: Presentation | None, rows: Mapping[str, Sized[Row]]
) -> tuple[SheetLayout, ...]:
    """A sheet per collection, the shown ones first, in the presentation's order.

    ``rows`` are looked at for texts that would be mistaken for a choice's label. Raises :class:`QueryError` for a
    presentation of collections or fields that the schema doesn't have.
    """
    taken = {name.casefold() for name in (MARKS, TEXTS, LISTS)}
    if presentation is None:
        return tuple(_named(collection, taken, shown=True) for collection in schema.collections.values())
    taken.add(free_name(presentation.guide_title, set()).casefold())
    shown = [
        _viewed(schema.collection(name), view, taken, rows.get(name, ())) for name, view in presentation.sheets.items()
    ]
    hidden = [
        _named(collection, taken, shown=False)
        for name, collection in schema.collections.items()
        if name not in presentation.sheets
    ]
    return (*shown, *hidden)


def _named(collection: Collection, taken: set[str], *, shown: bool) -> SheetLayout:
    columns = tuple(Column(field=field.name, type=field.type, heading=field.name) for field in collection.fields)
    return SheetLayout(
        collection=collection.name, title=free_name(collection.name, taken), shown=shown, columns=columns
    )


def _viewed(collection: Collection, view: SheetView, taken: set[str], rows: Iterable[Row]) -> SheetLayout:
    headings = {field.name for field in collection.fields if field.name not in view.fields}
    columns = []
    for name, field in view.fields.items():
        heading = _BROKEN.sub(" ", field.heading).strip()[:_MAX_HEADING] or name
        if heading in headings:
            heading = f"{heading} ({name})"
        headings.add(heading)
        place = collection.position(name)
        columns.append(
            Column(
                field=name,
                type=collection.fields[place].type,
                heading=heading,
                scale=field.scale,
                choices=_choices(field, {row[place] for row in rows}) if field.choices else {},
                listed=field.listed,
                refers=field.refers,
            )
        )
    columns += [
        Column(field=field.name, type=field.type, heading=field.name, shown=False)
        for field in collection.fields
        if field.name not in view.fields
    ]
    for name in view.called:
        collection.position(name)
    return SheetLayout(
        collection=collection.name,
        title=free_name(view.title, taken),
        shown=True,
        columns=tuple(columns),
        called=tuple(view.called),
    )


def _choices(view: FieldView, kept: set[Any]) -> dict[str, str]:
    """The choices whose labels can't be taken for anything else that is kept."""
    others = kept - view.choices.keys()
    found: dict[str, str] = {}
    for key, label in view.choices.items():
        if label and label not in others and label not in found.values() and _BROKEN.search(label) is None:
            found[key] = label
    return found


def write_marks(marks: Marks) -> list[list[str]]:
    """The marks as rows of a sheet: a name, and its text in pieces."""
    told = {
        "format": _FORMAT,
        "store": marks.store_id,
        "sequence": marks.sequence,
        "schema_version": marks.schema.version,
        "schema": marks.schema.fingerprint,
        "zone": marks.zone,
        "layout": [
            attrs.asdict(sheet, filter=lambda attribute, value: value != attribute.default) for sheet in marks.sheets
        ],
        "digest": marks.digest,
        "carried": marks.carried,
    }
    return [[name, *chunks(json.dumps(value, separators=(",", ":")))] for name, value in told.items()]


def read_marks(rows: Iterable[Sequence[Any]]) -> Marks:
    """The marks of a workbook from the rows of their sheet. Raises :class:`StoreCorrupt`."""
    try:
        told = {row[0]: json.loads(joined(row[1:])) for row in rows if row and row[0]}
        if told["format"] != _FORMAT:
            raise StoreCorrupt("the workbook's marks are of another format than this program's", part=MARKS)
        schema = Schema.from_fingerprint(told["schema_version"], told["schema"])
        return Marks(
            store_id=_of(str, told["store"]),
            sequence=_of(int, told["sequence"]),
            schema=schema,
            zone=_of(str, told["zone"]),
            sheets=tuple(_sheet(schema, sheet) for sheet in told["layout"]),
            digest=_of(str, told["digest"]),
            carried=_of(bool, told["carried"]),
        )
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as problem:
        raise StoreCorrupt("the workbook's marks can't be read", part=MARKS) from problem


def _sheet(schema: Schema, told: dict[str, Any]) -> SheetLayout:
    collection = schema.collections[told["collection"]]
    columns = tuple(
        Column(**{**column, "type": collection.fields[collection.positions[column["field"]]].type})
        for column in told["columns"]
    )
    if sorted(column.field for column in columns) != sorted(collection.positions):
        raise ValueError("the layout is not that of the schema")
    return SheetLayout(
        collection=collection.name,
        title=_of(str, told["title"]),
        shown=bool(told["shown"]),
        columns=columns,
        called=tuple(told.get("called", ())),
    )


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(f"a mark is no {kind.__name__}")
    return value


def chunks(text: str) -> list[str]:
    """A text in pieces that cells can hold."""
    return [text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK)] or [""]


def joined(cells: Iterable[Any]) -> str:
    """The text that :func:`chunks` took apart."""
    return "".join(cell for cell in cells if cell)
