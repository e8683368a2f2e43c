"""All rows of a store as a workbook that people open, and back.

Every collection is a sheet. What a reader of the file needs stands in the workbook itself, in a sheet of marks that no
program shows; columns are found by their headings, so that people may move them.
"""

from __future__ import annotations

from collections.abc import Collection as Sized
from collections.abc import Mapping, Sequence
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import attrs

from crmcore.errors import NotSupported, SchemaMismatch, StoreCorrupt
from crmcore.storage import Collection, Row, Schema
from crmcore.storage.presentation import Presentation, Unreadable
from crmcore_excel.book import MAX_ROWS
from crmcore_excel.carrying import carry_over
from crmcore_excel.cells import Apart, apart_rows, letters, read_rows, stand_in
from crmcore_excel.drawing import draw, guide_title
from crmcore_excel.filling import filled, filled_with_texts
from crmcore_excel.layout import MARKS, TEXTS, Marks, SheetLayout, lay_out, write_marks
from crmcore_excel.opening import Opened, open_workbook, texts_apart
from crmcore_excel.packages import read_parts, write_package
from crmcore_excel.replacing import cannot_write
from crmcore_excel.showing import keep_rows, names_of, show_rows, without_doubt


@attrs.frozen(kw_only=True)
class Checkpoint:
    """A store's state as a workbook has it.

    ``edited`` says that the content differs from what was written. Then ``unread`` are the places of cells that hold no value
    of their field's type, of rows without an id and of ids that come twice; those rows are not among ``rows``.
    ``digest`` is that of the rows as they were written.
    """

    store_id: str
    sequence: int
    digest: str
    rows: Mapping[str, list[Row]]
    edited: bool
    unread: tuple[str, ...] = ()


def write_checkpoint(
    path: Path,
    schema: Schema,
    rows: Mapping[str, Sized[Row]],
    *,
    store_id: str,
    sequence: int,
    presentation: Presentation | None,
    kept: Path | None = None,
) -> None:
    """Writes all rows of a store as a new workbook, in place of whatever is at ``path``; give it the path of a draft.

    The same input gives the same bytes. ``kept`` is the workbook as a person last saved it: what they made of it is carried
    over. Raises :class:`NotSupported` where a sheet can't hold the rows, or where something in ``kept`` can't be kept, with
    the names in ``details["parts"]``; :class:`QueryError` for a presentation of what isn't there; and the errors of
    :func:`crmcore_excel.replacing.cannot_write`.
    """
    for name in schema.collections:
        if len(rows.get(name, ())) > MAX_ROWS - 1:
            raise NotSupported(
                "a sheet holds 1,048,575 rows; move to SQLite",
                collection=name,
                rows=len(rows[name]),
                limit=MAX_ROWS - 1,
            )
    zone = presentation.zone if presentation else "UTC"
    laid = lay_out(schema, presentation, rows)
    names = names_of(laid, schema, rows)
    sheets = without_doubt(laid, schema, names, rows)
    marks = Marks(
        store_id=store_id,
        sequence=sequence,
        schema=schema,
        zone=zone,
        sheets=sheets,
        digest=digest(rows),
    )
    rows = show_rows(sheets, schema, names, rows)
    guide = () if presentation is None else (guide_title(presentation),)
    opened = None if kept is None else open_workbook(kept, others=guide)
    if opened is not None and _is_someones(opened):
        parts = carry_over(opened, marks, presentation, rows)
    else:
        parts = _drawn(marks, presentation, rows)
    try:
        with path.open("wb") as file:
            write_package(file, parts)
    except OSError as problem:
        raise cannot_write(problem, path) from problem


def is_someones(path: Path) -> bool:
    """Whether a person's work is in the workbook: it was saved by another program once."""
    return _is_someones(open_workbook(path, marks_only=True))


def _is_someones(opened: Opened) -> bool:
    return not opened.sealed or opened.marks.carried


def _drawn(marks: Marks, presentation: Presentation | None, rows: Mapping[str, Sized[Row]]) -> dict[str, bytes | str]:
    """The parts of a workbook drawn anew."""
    drawn = BytesIO()
    parts_of = draw(drawn, marks, presentation, rows)
    parts: dict[str, bytes | str] = {**read_parts(drawn)}
    apart: list[Apart] = []
    for sheet in marks.sheets:
        name = parts_of[sheet.title]
        parts[name], its_apart = filled(parts[name], sheet, marks, rows.get(sheet.collection, ()))
        apart += its_apart
    for title, told in ((MARKS, write_marks(marks)), (TEXTS, apart_rows(apart))):
        parts[parts_of[title]] = filled_with_texts(parts[parts_of[title]], told)
    return parts


def digest(rows: Mapping[str, Sized[Row]]) -> str:
    """A digest of all rows, whatever their order; the same under every version of Python."""
    made = sha256()
    for name in sorted(rows):
        if rows[name]:
            made.update(ascii((name, sorted(rows[name], key=_id))).encode("ascii"))
    return made.hexdigest()


def _id(row: Row) -> Any:
    return row[0]


def stored_digest(path: Path) -> str:
    """The digest of the rows that a workbook was written with. Raises as :func:`read_checkpoint` does."""
    return open_workbook(path, marks_only=True).marks.digest


def stored_schema(path: Path) -> Schema:
    """The schema that the rows of a workbook are kept in. Raises as :func:`read_checkpoint` does, but not for another version."""
    return open_workbook(path, marks_only=True).marks.schema


def read_checkpoint(path: Path, schema: Schema) -> Checkpoint:
    """Reads a store's workbook, as it was written or as a person saved it since.

    Raises :class:`SchemaMismatch` for another program's workbook and for another schema, :class:`StoreCorrupt` with the
    ``part`` that is broken or gone, :class:`StoreUnavailable`.
    """
    opened = open_workbook(path)
    check_schema(opened, schema)
    rows: dict[str, list[Row]] = {}
    unread: list[str] = []
    zone = ZoneInfo(opened.marks.zone)
    apart: dict[str, list[tuple[str, str, str]]] = {}
    for name, field, id, text in texts_apart(opened):
        apart.setdefault(name, []).append((field, id, text))
    for sheet in opened.marks.sheets:
        found = opened.found(sheet)
        collection = schema.collections[sheet.collection]
        reading = read_rows(sheet, collection, found.at, zone)
        read = reading.read(found.rows)
        ids = {row[0] for row in read}
        if reading.failed() or len(ids) < len(read) or None in ids:
            read = _readable(read, sheet, collection, found.at, found.first, unread)
        if sheet.collection in apart:
            put_back(read, collection, apart[sheet.collection])
        rows[sheet.collection] = read
    names = names_of(opened.marks.sheets, schema, rows)
    for sheet in opened.marks.sheets:
        rows[sheet.collection] = keep_rows(sheet, schema, names, rows[sheet.collection])
    if opened.sealed and unread:
        raise StoreCorrupt(f"{path}: the rows can't be read as what they claim to be", path=str(path), part=unread[0])
    # A sealed workbook is as it was written: its parts have the checksums that the seal was made of.
    edited = not opened.sealed and (bool(unread) or digest(rows) != opened.marks.digest)
    return Checkpoint(
        store_id=opened.marks.store_id,
        sequence=opened.marks.sequence,
        digest=opened.marks.digest,
        rows=rows,
        edited=edited,
        unread=tuple(unread),
    )


def check_schema(opened: Opened, schema: Schema) -> None:
    """Raises :class:`SchemaMismatch` for a workbook of another version of the schema, or of other fields."""
    kept = opened.marks.schema
    if (kept.version, kept.fingerprint) != (schema.version, schema.fingerprint):
        raise SchemaMismatch(
            f"{opened.path} keeps its data under another version of the schema",
            path=str(opened.path),
            stored=kept.version,
            expected=schema.version,
        )


def _readable(
    rows: Sequence[Row], sheet: SheetLayout, collection: Collection, at: Sequence[int], first: int, unread: list[str]
) -> list[Row]:
    """The rows that are whole, blank ones left out; the places of what is wrong with the others go to ``unread``."""
    found: dict[Any, Row] = {}
    columns = {column.field: letters(index) for column, index in zip(sheet.columns, at, strict=True)}
    for number, row in enumerate(rows, first):
        if all(value is None for value in row):
            continue
        wrong = [place for place, value in enumerate(row) if isinstance(value, Unreadable)]
        if row[0] is None or row[0] in found:
            wrong.append(0)
        if wrong:
            unread += (f"{sheet.title}!{columns[collection.fields[place].name]}{number}" for place in wrong)
        else:
            found[row[0]] = row
    return list(found.values())


def put_back(rows: list[Row], collection: Collection, texts: Sequence[tuple[str, str, str]]) -> None:
    """Puts the texts that no cell can hold, (field, id, text), in place of what stands for them."""
    places = {row[0]: index for index, row in enumerate(rows)}
    for field, id, text in texts:
        index, place = places.get(id), collection.positions.get(field)
        if index is not None and place is not None and rows[index][place] == stand_in(text):
            rows[index] = (*rows[index][:place], text, *rows[index][place + 1 :])
