"""How rows are shown to people, for a store that people open themselves, and what such people changed.

Core hands a :class:`Presentation` to a store after opening it; a store without readers of its own ignores it. Nothing in it
changes what is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import attrs

from crmcore.storage.schema import Scalar


@attrs.frozen(kw_only=True)
class FieldView:
    """A field as people see it. ``choices`` are kept text: what is shown for it; ``scale`` is how many decimal places an
    integer is shown with (money in minor units: 2); ``editable`` says that a person's change is taken in by core's rules,
    ``fillable`` that a new row may fill it in.

    ``listed`` says that the kept text is a JSON list of texts, which may be shown with semicolons between; ``refers`` that it is
    the id of a row of that collection, for which may be shown what the row is called. An edit tells the kept text where
    what is shown can be read as one, else the text as it stands there.
    """

    heading: str
    choices: Mapping[str, str] = attrs.field(factory=dict)
    only_choices: bool = False
    editable: bool = False
    fillable: bool = False
    scale: int = 0
    listed: bool = False
    refers: str | None = None


@attrs.frozen(kw_only=True)
class SheetView:
    """A collection as people see it: its title, and the fields shown, in this order. Others are kept out of sight.

    ``addable`` says that a row which a person adds is taken in by core's rules. ``called`` are the text fields that say what a
    row is called where another one refers to it.
    """

    title: str
    fields: Mapping[str, FieldView]
    addable: bool = False
    called: Sequence[str] = ()


@attrs.frozen(kw_only=True)
class Presentation:
    """What people see of a store: the collections shown, by name and in this order, the lines of a guide, the time zone
    (IANA name) that instants are shown in. Collections that aren't named are kept out of sight."""

    sheets: Mapping[str, SheetView]
    guide: Sequence[str] = ()
    guide_title: str = ""
    zone: str = "UTC"


@attrs.frozen
class Unreadable:
    """What a person wrote where a value of another type belongs.

    ``why`` is known where the program spoiled it: a long number that lost digits, or the error of a formula.
    """

    text: str
    # Not told in the mark of an edit.
    why: Literal["precision_lost", "cell_error"] | None = attrs.field(default=None, kw_only=True, repr=False)


@attrs.frozen(kw_only=True)
class CellEdit:
    """One value that a person changed: where (``客户!C12``), what it was in the store's last version, what stands there now."""

    field: str
    place: str
    before: Scalar
    after: Scalar | Unreadable


@attrs.frozen(kw_only=True)
class Edit:
    """One row that a person changed, added or removed with another program.

    ``mark`` is the same whenever the same edit of the same file is read, so that it is taken in once. ``id`` is None for a row
    added; ``row`` is its number in the sheet (0 for one removed).
    """

    mark: str
    kind: Literal["changed", "added", "removed"]
    collection: str
    id: str | None
    row: int
    cells: tuple[CellEdit, ...] = ()
