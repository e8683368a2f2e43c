"""What a store keeps comes back from its workbook exactly."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores_by_hand import PRESENTED

from crmcore.storage import Row
from crmcore.storage.presentation import Presentation
from crmcore.testing import strategies
from crmcore.testing.difficult import DIFFICULT, LONG_TEXTS
from crmcore.testing.kit_schema import FIELD_TYPES, GROUP, KEYS, SCHEMA, VALUES, values_row
from crmcore_excel.checkpoints import read_checkpoint, stored_schema, write_checkpoint

ZONES = ["UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York", "Pacific/Apia"]


def through(folder: Path, rows: dict[str, list[Row]], presentation: Presentation | None = None) -> dict[str, list[Row]]:
    path = folder / "store.xlsx"
    write_checkpoint(path, SCHEMA, rows, store_id="s", sequence=7, presentation=presentation)
    read = read_checkpoint(path, SCHEMA)
    assert (read.store_id, read.sequence, read.edited, read.unread) == ("s", 7, False, ())
    return dict(read.rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("books")


@pytest.mark.parametrize("presentation", [None, PRESENTED], ids=["plain", "presented"])
def test_every_difficult_value_comes_back(folder: Path, presentation: Presentation | None) -> None:
    values = [(type, value) for type in FIELD_TYPES for value in DIFFICULT[type]]
    values += [("text", text) for text in (*LONG_TEXTS, "", "_x005F_", "_x0041_x0042_", "<r>a</r>", "<r>_x0041_</r>")]
    rows = [
        values_row(f"id {place}", 1, **{type: value, f"some_{type}": value})
        for place, (type, value) in enumerate(values)
    ]
    read = through(folder, {"values": rows}, presentation)
    assert read == {"values": rows, "keys": [], "group": []}
    for old, new in zip(rows, read["values"], strict=True):
        assert list(map(type, old)) == list(map(type, new))


@given(
    st.lists(strategies.rows(VALUES), max_size=5, unique_by=lambda row: row[0]),
    st.lists(strategies.rows(KEYS), max_size=3, unique_by=lambda row: row[0]),
    st.lists(strategies.rows(GROUP), max_size=3, unique_by=lambda row: row[0]),
    st.sampled_from(ZONES),
    st.booleans(),
)
def test_any_rows_come_back_under_any_presentation(
    folder: Path, values: list[Row], keys: list[Row], group: list[Row], zone: str, presented: bool
) -> None:
    presentation = Presentation(sheets=PRESENTED.sheets if presented else {}, zone=zone)
    rows = {"values": values, "keys": keys, "group": group}
    assert through(folder, rows, presentation) == rows


def test_the_schema_is_told_by_the_workbook_alone(folder: Path) -> None:
    path = folder / "schema.xlsx"
    write_checkpoint(path, SCHEMA, {}, store_id="s", sequence=0, presentation=PRESENTED)
    assert stored_schema(path).fingerprint == SCHEMA.fingerprint
    assert stored_schema(path).version == SCHEMA.version


def test_the_same_rows_give_the_same_bytes(folder: Path) -> None:
    rows = {"values": [values_row("1", 1, text="客户"), values_row("2")]}
    written = []
    for name in ("one.xlsx", "two.xlsx"):
        write_checkpoint(folder / name, SCHEMA, rows, store_id="s", sequence=1, presentation=PRESENTED)
        written.append((folder / name).read_bytes())
    assert written[0] == written[1]
