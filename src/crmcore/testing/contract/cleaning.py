"""What is removed is gone: from the files too, once they were cleaned."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from crmcore.errors import StoreClosed
from crmcore.storage import Delete, Insert, Update
from crmcore.testing.clause import Contract, clause
from crmcore.testing.contract.moving import offered
from crmcore.testing.contract.steps import add, everything, opened, write
from crmcore.testing.harness import Harness
from crmcore.testing.kit_schema import VALUES, values_row

#: What is looked for: plain letters, so that no form of the files hides them, and long enough to fill pages.
_GONE: Final = "qzxjkvwp"
_LONG: Final = 400


def holding(folder: Path, text: str) -> Iterator[Path]:
    """Every file below a folder that holds the text, archives unpacked."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        contents = [path.read_bytes()]
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                contents += [archive.read(name) for name in archive.namelist()]
        if any(text.encode(coding) in content for content in contents for coding in ("utf-8", "utf-16-le")):
            yield path


class Cleaning(Contract):
    """S-CLEAN: nothing is left in the files of what was removed."""

    @clause("S-CLEAN-01", "Cleaning keeps every row, key and version", since=(1, 2), offers="clean")
    def test_cleaning_keeps_every_row(self, harness: Harness) -> None:
        with opened(harness) as store:
            add(store, VALUES, *(values_row(f"{number}", text=f"kept {number}") for number in range(50)))
            write(store, Update("values", values_row("1", 2, text="replaced"), 1), Delete("values", "2", 1))
            before = everything(store)
            offered(store.clean)
            assert everything(store) == before
            write(store, Insert("values", values_row("2")))
        with opened(harness) as store:
            assert everything(store)["values"].keys() == before["values"].keys() | {"2"}
            assert store.check() == []

    @clause(
        "S-CLEAN-02",
        "No file beside the store's own holds what was removed or replaced before, but those that cleaning names",
        since=(1, 2),
        given="file",
        offers="clean",
    )
    def test_nothing_is_left_in_the_files(self, harness: Harness) -> None:
        folder = Path(str(harness.file)).parent
        with opened(harness) as store:
            rows = [values_row(f"{number}", text=f"{_GONE} {number} " * _LONG) for number in range(40)]
            add(store, VALUES, *rows)
        assert list(holding(folder, _GONE)), "what was written is in no file of the store"
        with opened(harness) as store:
            write(
                store,
                *(Update("values", values_row(f"{number}", 2), 1) for number in range(20)),
                *(Delete("values", f"{number}", 1) for number in range(20, 40)),
            )
            named = {Path(told) for told in offered(store.clean)}
            assert [path for path in holding(folder, _GONE) if path not in named] == []
        assert [path for path in holding(folder, _GONE) if path not in named] == []

    @clause("S-CLEAN-03", "After close, cleaning raises StoreClosed", since=(1, 2), offers="clean")
    def test_a_closed_store_is_not_cleaned(self, harness: Harness) -> None:
        with opened(harness) as store:
            offered(store.clean)
        with pytest.raises(StoreClosed):
            store.clean()
