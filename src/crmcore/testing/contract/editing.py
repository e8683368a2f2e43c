"""People who change the data with another program while the store is closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from typing import Any

import attrs

from crmcore.storage import Capability, CellEdit, Edit, Row, Scalar, Store, Unreadable, Update
from crmcore.testing.clause import Contract, Test, clause
from crmcore.testing.contract.steps import add, everything, opened, write
from crmcore.testing.edit_plan import PRESENTATION, PersonsEdit
from crmcore.testing.harness import Harness
from crmcore.testing.kit_schema import GROUP, VALUES, changed, group_row, values_row

_ROWS = (
    values_row("a", text="one", integer=1, date=date(2024, 1, 31), decimal=Decimal("1.5"), boolean=False),
    values_row("b", text="two"),
    values_row("c"),
)


@contextmanager
def _shown(harness: Harness) -> Iterator[Store]:
    """A handle that was told how people are to see the data."""
    with opened(harness) as store:
        store.present(PRESENTATION)
        yield store


def _begin(harness: Harness) -> dict[str, dict[Scalar, Row]]:
    """Rows that a person can open, and what they are."""
    with _shown(harness) as store:
        add(store, VALUES, *_ROWS)
        add(store, GROUP, group_row("g", order=1))
        return everything(store)


def _edit(harness: Harness, *edits: PersonsEdit) -> None:
    assert harness.edit is not None, "the harness gives no edit, so that no person can be played"
    harness.edit(edits)


def _change(id: str, **values: Scalar) -> PersonsEdit:
    return PersonsEdit(kind="changed", collection="values", id=id, values=values)


def _told(edits: Sequence[Edit]) -> list[Any]:
    """What the edits say, apart from where it stands."""
    told = [
        (
            edit.kind,
            edit.collection,
            edit.id or "",
            sorted((cell.field, str(cell.before), cell.after) for cell in edit.cells),
        )
        for edit in edits
    ]
    return sorted(told, key=lambda one: one[:3])


def _marks(edits: Sequence[Edit]) -> list[str]:
    return sorted(edit.mark for edit in edits)


def _cells(edit: Edit) -> dict[str, CellEdit]:
    return {cell.field: cell for cell in edit.cells}


def _external(id: str, text: str) -> Callable[[Test], Test]:
    return clause(id, text, since=(1, 1), needs=Capability.EXTERNAL_EDITS, given="edit")


class Edited(Contract):
    """S-EDIT: what a person changed is told, and neither taken in nor lost by the store itself."""

    @_external("S-EDIT-01", "A value that a person changed is told: row, field, place, what it was and what it is")
    def test_a_changed_value_is_told(self, harness: Harness) -> None:
        _begin(harness)
        values: dict[str, Scalar] = {
            "text": "new 新",
            "integer": -7,
            "date": date(2025, 2, 28),
            "decimal": Decimal("2.25"),
            "boolean": True,
        }
        _edit(harness, _change("a", **values))
        with _shown(harness) as store:
            (edit,) = store.edits()
            assert (edit.kind, edit.collection, edit.id) == ("changed", "values", "a")
            assert edit.row > 0
            cells = _cells(edit)
            assert set(cells) == set(values)
            for name, value in values.items():
                before = _ROWS[0][VALUES.position(name)]
                assert (cells[name].before, cells[name].after) == (before, value)
                assert type(cells[name].after) is type(value)
                assert cells[name].place

    @_external("S-EDIT-02", "A value that a person took away is told as None, one put where None was likewise")
    def test_a_value_may_go_or_come(self, harness: Harness) -> None:
        _begin(harness)
        _edit(harness, _change("a", text=None), _change("c", text="came"))
        with _shown(harness) as store:
            assert _told(store.edits()) == [
                ("changed", "values", "a", [("text", "one", None)]),
                ("changed", "values", "c", [("text", "None", "came")]),
            ]

    @_external("S-EDIT-03", "A row that a person added is told without an id, one taken away with its id")
    def test_rows_may_go_or_come(self, harness: Harness) -> None:
        _begin(harness)
        _edit(
            harness,
            PersonsEdit(kind="added", collection="group", values={"order": 5, "select": "typed"}),
            PersonsEdit(kind="removed", collection="values", id="b"),
        )
        with _shown(harness) as store:
            found = {edit.kind: edit for edit in store.edits()}
            assert set(found) == {"added", "removed"}
            added, removed = found["added"], found["removed"]
            assert (added.collection, added.id) == ("group", None)
            assert added.row > 0
            assert {name: cell.after for name, cell in _cells(added).items()} == {"order": 5, "select": "typed"}
            assert (removed.collection, removed.id) == ("values", "b")

    @_external("S-EDIT-04", "A text where a value of another type belongs is told as Unreadable, to the letter")
    def test_nonsense_is_told_as_it_stands(self, harness: Harness) -> None:
        _begin(harness)
        _edit(harness, _change("a", integer="about ten", date="下周一"))
        with _shown(harness) as store:
            (edit,) = store.edits()
            cells = _cells(edit)
            assert {name: cell.after for name, cell in cells.items()} == {
                "integer": Unreadable("about ten"),
                "date": Unreadable("下周一"),
            }
            assert cells["integer"].before == 1

    @_external("S-EDIT-05", "The same edits are told, with the same marks, whenever they are read, each with its own")
    def test_marks_stay(self, harness: Harness) -> None:
        _begin(harness)
        _edit(harness, _change("a", text="new"), _change("b", text="new"))
        with _shown(harness) as store:
            first = store.edits()
            assert len(set(_marks(first))) == 2
            assert _marks(store.edits()) == _marks(first)
        with _shown(harness) as store:
            assert _told(store.edits()) == _told(first)
            assert _marks(store.edits()) == _marks(first)

    @_external("S-EDIT-06", "No transaction shows anything of an edit, nor does the store write it down itself")
    def test_edits_are_no_rows(self, harness: Harness) -> None:
        before = _begin(harness)
        _edit(
            harness,
            _change("a", text="new", integer=9),
            PersonsEdit(kind="added", collection="group", values={"order": 5}),
            PersonsEdit(kind="removed", collection="values", id="b"),
        )
        for _ in range(2):
            with _shown(harness) as store:
                assert len(store.edits()) == 3
                assert everything(store) == before

    @_external("S-EDIT-07", "Saved again without a change, the data have no edit")
    def test_saving_is_no_edit(self, harness: Harness) -> None:
        before = _begin(harness)
        _edit(harness)
        with _shown(harness) as store:
            assert list(store.edits()) == []
            assert everything(store) == before
            write(store, Update("values", changed(VALUES, _ROWS[0], text="ours"), 1))
        _edit(harness)
        with _shown(harness) as store:
            assert list(store.edits()) == []

    @_external(
        "S-EDIT-08", "Edits that were settled aren't told again, and the rows are as they were written in between"
    )
    def test_settled_edits_are_over(self, harness: Harness) -> None:
        before = _begin(harness)
        _edit(harness, _change("a", text="taken in"), _change("b", text="refused"))
        taken = changed(VALUES, _ROWS[0], text="taken in")
        with _shown(harness) as store:
            assert len(store.edits()) == 2
            write(store, Update("values", taken, 1))
            store.settle_edits()
            assert list(store.edits()) == []
        for _ in range(2):
            with _shown(harness) as store:
                assert list(store.edits()) == []
                assert everything(store)["values"] == {**before["values"], "a": taken}
            _edit(harness)

    @_external(
        "S-EDIT-09", "Edits that weren't settled are told again, whatever was written and however often it was closed"
    )
    def test_nothing_unsettled_is_lost(self, harness: Harness) -> None:
        _begin(harness)
        _edit(harness, _change("a", text="new"), PersonsEdit(kind="added", collection="group", values={"order": 5}))
        with _shown(harness) as store:
            first = store.edits()
            assert len(first) == 2
            add(store, VALUES, values_row("d", text="ours"))
            write(store, Update("values", changed(VALUES, _ROWS[1], text="ours"), 1))
        with _shown(harness) as store:
            assert _told(store.edits()) == _told(first)
            assert _marks(store.edits()) == _marks(first)
            rows = everything(store)["values"]
            assert (rows["a"], rows["b"][1], set(rows)) == (_ROWS[0], 2, {"a", "b", "c", "d"})

    @_external("S-EDIT-10", "What a person changes after edits were settled is told anew, against what is kept by then")
    def test_edits_go_on(self, harness: Harness) -> None:
        _begin(harness)
        _edit(harness, _change("a", text="first"))
        with _shown(harness) as store:
            (first,) = store.edits()
            write(store, Update("values", changed(VALUES, _ROWS[0], text="first"), 1))
            store.settle_edits()
        _edit(harness, _change("a", text="second"))
        with _shown(harness) as store:
            (second,) = store.edits()
            assert _cells(second)["text"] == attrs.evolve(_cells(second)["text"], before="first", after="second")
            assert second.mark != first.mark

    @clause(
        "S-EDIT-11", "present changes nothing that is kept, and where nobody edits there are no edits", since=(1, 1)
    )
    def test_presenting_changes_nothing(self, harness: Harness) -> None:
        before = _begin(harness)
        with _shown(harness) as store:
            assert everything(store) == before
            assert list(store.edits()) == []
            store.settle_edits()
            assert everything(store) == before
        with opened(harness) as store:
            if Capability.DURABLE in harness.backend.capabilities:
                assert everything(store) == before

    @_external("S-EDIT-12", "The same value typed again is no edit")
    def test_the_same_value_is_no_edit(self, harness: Harness) -> None:
        _begin(harness)
        _edit(harness, _change("a", text="one", integer=1, decimal=Decimal("1.50")))
        with _shown(harness) as store:
            assert list(store.edits()) == []
