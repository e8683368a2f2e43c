"""What an early version kept, moved through every kind of store that lasts and upgraded in each: the same everywhere."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

import crmcore

KEPT = sorted((Path(__file__).parents[1] / "storage" / "stores").glob("v*/story.db"))


@pytest.mark.parametrize("kept", KEPT, ids=lambda path: path.parent.name)
def test_every_store_keeps_copies_and_upgrades_the_same_rows(
    kept: Path, tmp_path: Path, postgres_url: Callable[..., str]
) -> None:
    first = f"sqlite:///{Path(shutil.copy(kept, tmp_path)).as_posix()}"
    stores = [
        first,
        f"excel:///{tmp_path.as_posix()}/客户.xlsx",
        postgres_url(),
        f"sqlite:///{tmp_path.as_posix()}/last.db",
    ]
    copied = [crmcore.copy(source, target) for source, target in pairwise(stores)]
    assert len({(one.digest, one.format) for one in copied}) == 1
    digests = set()
    for url in stores:
        crmcore.upgrade(url, backup=not url.startswith("postgresql"))
        with crmcore.open(url) as crm:
            found = crm.check()
            assert found.findings == ()
            assert crm.audit.verify().faults == ()
            # The chains that begin here have salts of their own.
            alike = {name: one for name, one in found.digests.items() if name not in ("events", "chains", "settings")}
            digests.add((tuple(alike.items()), found.rows["events"], found.rows["chains"]))
    assert len(digests) == 1
