"""What the tests of the workbook store share."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from crmcore.storage import Insert, Row, StoreURL, Update
from crmcore.testing import SCHEMA
from crmcore.testing.kit_schema import group_row
from crmcore_excel import ExcelBackend
from crmcore_excel.places import Places
from crmcore_excel.store import ExcelStore


def url(path: Path, **options: str) -> StoreURL:
    told = "&".join(f"{name}={value}" for name, value in options.items())
    return StoreURL.parse(f"excel:///{quote(str(path))}{'?' * bool(told)}{told}")


def open_store(path: Path, **options: str) -> ExcelStore:
    store = ExcelBackend().open(url(path, **options), SCHEMA)
    assert isinstance(store, ExcelStore)
    return store


def places(path: Path) -> Places:
    return Places(path)


def put(store: ExcelStore, id: str, order: int = 0, version: int = 1) -> None:
    row = group_row(id, version, order=order)
    with store.transaction(write=True) as work:
        work.apply([Insert("group", row) if version == 1 else Update("group", row, version - 1)])


def rows(store: ExcelStore) -> dict[str, Row]:
    with store.transaction() as work:
        return {str(row[0]): row for row in work.scan("group")}


def names(folder: Path) -> set[str]:
    return {child.name for child in folder.iterdir()}
