"""Random tables of permissions in random worlds: what each user sees, asks by and changes is what an oracle says, on every store."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from permission_worlds import Tally, World

from crmcore.domain import Contact, Customer, Referral, User
from crmcore.storage import KeyRing

#: One of each sort: with people of its own, hanging on a customer by either field, and a user.
SOME = (User, Customer, Contact, Referral)


def test_random_tables_agree_with_the_oracle(store_url: str) -> None:
    tally = Tally()
    world = World(store_url, 1, each=1)
    if store_url == "memory:":
        world.compare(tally, actors=4)
    else:
        world.compare(tally, actors=3, classes=SOME)
    world.crm.close()
    assert tally.wrong == []
    assert tally.cases > 1_000


def test_random_tables_agree_with_the_oracle_on_a_workbook(tmp_path: Path) -> None:
    pytest.importorskip("python_calamine")
    tally = Tally()
    world = World(f"excel:///{tmp_path}/crm.xlsx?checkpoint=manual", 3, each=1)
    world.compare(tally, actors=2)
    world.crm.close()
    assert tally.wrong == []


def test_random_tables_agree_with_the_oracle_where_fields_are_encrypted() -> None:
    pytest.importorskip("cryptography")
    tally = Tally()
    world = World("memory:", 4, each=1, keys=KeyRing.generate(date(2026, 1, 5)))
    assert world.crm.playbook.privacy.encrypted
    world.compare(tally, actors=2)
    world.crm.close()
    assert tally.wrong == []
