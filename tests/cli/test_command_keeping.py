"""The verbs that keep data safe: copy, backup, upgrade, check; and what the doctor minds."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crmcore.app import stores
from crmcore.cli import doctor
from crmcore.domain.policies import Label
from crmcore.plugins import open_store
from crmcore.rules import china_days
from crmcore.storage import Collection, Field, Insert, Schema
from crmcore.storage.codec import SCHEMA
from crmcore.storage.upgrades import Step

TODAY = datetime.now(UTC).date()
KEPT = Path(__file__).parents[1] / "storage" / "stores" / "v1" / "story.db"


def damage(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


def test_a_copy_is_told_with_its_digest(command, store) -> None:
    done = command("copy", store, "copy.db", "--json")
    assert done.code == 0
    assert done.json["rows"]["customers"] == 2
    assert done.json["digest"] == command("check", "--store", "copy.db", "--json").json["digest"]
    told = command("copy", "copy.db", "again.db", "--language", "zh-CN")
    assert done.json["digests"]["customers"] in told.out
    assert f"两边内容一致,摘要{done.json['digest']}" in told.err
    again = command("copy", store, "copy.db")
    assert (again.code, again.out) == (1, "")
    assert "[store_unavailable]: the target already holds data" in again.err


def test_a_copy_into_what_keeps_nothing_is_refused(command, store) -> None:
    refused = command("copy", store, "memory:", "--language", "zh-CN")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("error [not_supported]: 目标关闭后不保留任何数据")


def test_a_backup_is_a_store(command, store) -> None:
    assert command("backup", "backup.db", "--store", store, "--json").json == {"file": "backup.db"}
    assert command("list", "--store", "backup.db", "--json") == command("list", "--store", store, "--json")
    again = command("backup", "backup.db", "--store", store)
    assert again.code == 1
    assert "there already" in again.err
    nothing = command("backup", "backup.db", "--store", "memory:")
    assert nothing.code == 1
    assert "copy it to another store" in nothing.err


def test_there_is_nothing_to_upgrade_in_a_store_of_today(command, store) -> None:
    done = command("upgrade", "--store", store)
    assert (done.code, done.out) == (0, "")
    assert done.err == f"the data are in format {SCHEMA.version}, that of this program\n"
    assert command("upgrade", "--store", store, "--json", "--dry-run").json["steps"] == []


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_an_upgrade_says_what_changes_and_where_the_backup_is(command, tmp_path, monkeypatch, language) -> None:
    head = (Field("id", "text", nullable=False), Field("version", "integer", nullable=False))
    old, new = (
        Schema.of(version, [Collection(name="people", fields=(*head, *fields))])
        for version, fields in ((1, [Field("fax", "text")]), (2, [Field("nick", "text")]))
    )
    step = Step(
        source=1, says=Label(zh="取消传真", en="no more faxes"), shapes=["people"], gone={"people.fax": "out of use"}
    )
    monkeypatch.setitem(stores.upgrade.__kwdefaults__, "schema", new)
    monkeypatch.setitem(stores.upgrade.__kwdefaults__, "steps", [step])
    with open_store("sqlite:///old.db", old) as made, made.transaction(write=True) as work:
        work.apply([Insert("people", ("1", 1, "010"))])
    rehearsed = command("upgrade", "--store", "old.db", "--dry-run", "--language", language)
    assert rehearsed.code == 0
    assert "fax" in rehearsed.out
    assert {"en": "nothing was stored", "zh-CN": "未写入任何数据"}[language] in rehearsed.err
    done = command("upgrade", "--store", "old.db", "--language", language)
    assert done.code == 0
    (backup,) = tmp_path.glob("old-format1-*.db")
    assert backup.name in done.err
    assert {"en": "read back and compared", "zh-CN": "已读回核对"}[language] in done.err


def test_a_check_ends_in_6_where_something_is_wrong(command, store, tmp_path) -> None:
    whole = command("check", "--store", store)
    assert (whole.code, whole.out) == (0, "")
    assert "no fault found" in whole.err
    damage(tmp_path / "crm.db", "UPDATE contacts SET customer_id = 'nobody'")
    found = command("check", "--store", store, "--language", "zh-CN")
    assert found.code == 6
    assert "customer_id所指的记录不存在" in found.out
    (finding,) = command("check", "--store", store, "--json").json["findings"]
    assert (finding["kind"], finding["collection"], finding["field"]) == ("reference", "contacts", "customer_id")


@pytest.mark.parametrize("statement", ["UPDATE events SET changes = '{'", "DROP TABLE contacts"])
def test_a_store_that_cannot_be_read_ends_in_6_whichever_verb_reads_it(command, store, tmp_path, statement) -> None:
    number = command("list", "--store", store, "--json").json["items"][0]["number"]
    damage(tmp_path / "crm.db", statement)
    assert command("check", "--store", store).code == 6
    for verb in (["show", number], ["replay", "standard"], ["recompute", "--dry-run"]):
        outcome = command(*verb, "--store", store)
        if "contacts" not in statement or verb[0] == "show":
            assert (outcome.code, "[store_corrupt]" in outcome.err) == (6, True), outcome


@pytest.mark.parametrize(("version", "words"), [(SCHEMA.version + 1, "请更新crmcore"), (0, "crmcore upgrade")])
def test_data_of_another_format_are_refused_and_the_doctor_says_why(command, store, tmp_path, version, words) -> None:
    damage(tmp_path / "crm.db", f"PRAGMA user_version = {version}")
    for verb in (["list"], ["check"], ["doctor"]):
        refused = command(*verb, "--store", store, "--language", "zh-CN")
        assert refused.code == 1
        assert "schema_mismatch" in refused.err
        assert words in refused.err
    told = command("doctor", "--store", store, "--json").json
    assert told["store"]["format"] == version
    assert told["store"]["program_format"] == SCHEMA.version
    assert told["findings"] == []
    assert told["trouble"]["code"] == "schema_mismatch"


@pytest.mark.parametrize("content", [b"x" * 100, b"name,phone\n" * 500])
def test_the_doctor_says_why_a_file_is_no_store(command, tmp_path, content) -> None:
    (tmp_path / "crm.db").write_bytes(content)
    told = command("doctor", "--store", "crm.db", "--json", "--language", "zh-CN")
    assert told.code == 6
    assert told.json["trouble"]["code"] == "store_corrupt"
    assert told.json["crmcore"]


def test_the_doctor_minds_the_end_of_the_calendar(command, store, monkeypatch) -> None:
    left = command("doctor", "--store", store, "--json").json
    days = (china_days.CONFIRMED_UNTIL - TODAY).days
    assert abs(left["playbook"]["calendar_days_left"] - days) <= 1
    for soon, warned in ((days + 2, True), (days - 2, False)):
        monkeypatch.setattr(doctor, "_SOON", soon)
        told = command("doctor", "--store", store, "--json").json["warnings"]
        assert any("confirmed" in text for text in told) == warned


def test_the_doctor_minds_what_it_is_told() -> None:
    facts = {
        "store": {
            "filesystem": "nfs4",
            "wal_reset_bug": True,
            "journal": "wal",
            "sqlite_version": "3.40.1",
            "edits_waiting": 3,
            "open_in": {"file": "~$a.xlsx", "live": False},
        },
        "playbook": {"calendar_days_left": -1, "calendar_confirmed_until": TODAY - timedelta(days=1)},
        "obligations_outdated": True,
        "outbox": {"waiting": 1, "dead": 2},
    }
    keys = [key for key, _ in doctor._warnings(facts)]
    assert keys == [
        "remote",
        "wal_reset_bug",
        "edits_waiting",
        "stale_owner",
        "calendar_over",
        "outdated",
        "dead_letters",
    ]
    assert list(doctor._warnings({"store": {"url": "memory:"}})) == []


def test_a_kept_store_is_checked_after_its_upgrade(command, tmp_path) -> None:
    shutil.copy(KEPT, tmp_path / "old.db")
    assert command("upgrade", "--store", "old.db").code == 0
    assert command("check", "--store", "old.db").code == 0
