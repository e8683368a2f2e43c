"""The verbs about the audit: verify, erase, delete, restore, retain."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import crmcore


def damage(store: str, statement: str) -> None:
    with closing(sqlite3.connect(store.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        assert connection.execute(statement).rowcount > 0


def test_verify_says_that_all_is_well_and_exports_what_it_saw(command, store) -> None:
    done = command("verify", "--store", store, "--export", "kept.json")
    assert (done.code, done.out) == (0, "")
    assert "every entry is as it was written" in done.err
    assert "there is no key" in done.err
    again = command("verify", "--store", store, "--checkpoint", "kept.json", "--json")
    assert (again.code, again.json["faults"], again.json["keyed"]) == (0, [], False)
    assert command("verify", "--store", store, "--export", "kept.json").code == 1  # never over another file


def test_verify_names_what_is_wrong_and_ends_in_6(command, store) -> None:
    number = command("list", "--store", store, "--json").json["items"][0]["number"]
    assert command("verify", "--store", store, "--export", "kept.json").code == 0
    damage(store, "UPDATE events SET by = 'x' WHERE action = 'customer.registered' AND changes LIKE '%北方%'")
    told = command("verify", "--store", store)
    assert told.code == 6
    assert told.out.startswith(f"{number}, entry 1 (")
    assert told.out.rstrip().endswith("was changed")
    chinese = command("verify", "--store", store, "--language", "zh-CN")
    assert "被改动" in chinese.out
    (fault,) = command("verify", "--store", store, "--json").json["faults"]
    assert (fault["kind"], fault["number"], fault["sequence"]) == ("changed", number, 1)
    assert not Path("again.json").exists()
    assert command("verify", "--store", store, "--export", "again.json").code == 6
    assert not Path("again.json").exists()


def test_what_is_no_checkpoint_is_refused(command, store) -> None:
    Path("other.json").write_text("{}", "utf-8")
    refused = command("verify", "--store", store, "--checkpoint", "other.json")
    assert (refused.code, refused.out) == (1, "")
    assert "no checkpoint" in refused.err
    assert command("verify", "--store", store, "--checkpoint", "absent.json").code == 1


def test_erase_is_rehearsed_then_done(command, store) -> None:
    with crmcore.open(store) as crm:
        person = crm.acting_as("x").customers.register(name="王女士", kind="individual", remarks="王女士怕吵")
    asked = command("erase", person.number, "--reason", "本人要求", "--dry-run", "--store", store, "--json")
    assert (asked.code, asked.json["dry_run"], asked.json["records"]) == (0, True, {"customer": 1})
    assert command("show", person.number, "--store", store, "--json").json["customer"]["name"] == "王女士"
    done = command("erase", person.number, "--reason", "本人要求", "--store", store)
    assert (done.code, done.out) == (0, "")
    assert "the files of the store were cleaned" in done.err
    assert "backups" in done.err
    assert "王女士".encode() not in Path(store.removeprefix("sqlite:///")).read_bytes()
    assert command("verify", "--store", store).code == 0
    assert command("erase", "--clean", "--store", store).code == 0


def test_erase_asks_for_what_it_needs(command, store) -> None:
    assert command("erase", "--store", store).code == 2
    assert command("erase", "X", "--store", store).code == 2
    assert command("erase", "X", "--clean", "--store", store).code == 2
    assert command("erase", "X", "--reason", "y", "--store", store).code == 1


def test_what_is_deleted_is_listed_and_restored(command, store) -> None:
    number = command("list", "--store", store, "--json").json["items"][0]["number"]
    assert command("delete", number, "--store", store).code == 2
    assert command("delete", number, "--reason", "重复登记", "--store", store).code == 0
    assert command("show", number, "--store", store).code == 1
    (binned,) = command("restore", "--store", store, "--json").json
    assert (binned["number"], binned["reason"]) == (number, "重复登记")
    assert "重复登记" in command("restore", "--store", store).out
    assert command("restore", number, "--store", store).code == 0
    assert command("restore", "--store", store, "--json").json == []
    assert command("restore", number, "--store", store).code == 1


def test_retain_without_rules_lets_nobody_go(command, store) -> None:
    assert command("retain", "--store", store, "--json").json == []
    assert "nothing was stored" in command("retain", "--dry-run", "--store", store).err
