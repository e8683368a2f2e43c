"""Erasing a person: nothing personal is left, in no file; reports, numbers and chains stay as they were."""

from __future__ import annotations

import datetime
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lives import CANARY, EMAIL, NAME, PHONE, everything, lived

import crmcore
from crmcore.domain import Erasure
from crmcore.errors import Invalid, NotFound, StoreBusy, Veto
from crmcore.plugins import hookimpl
from crmcore.storage.codec import CODECS, SCHEMA
from crmcore.storage.keys import KeyRing
from crmcore.testing.crashes import can_fork, crash_points
from crmcore_sqlite.backend import SqliteBackend
from crmcore_sqlite.settings import Settings
from crmcore_sqlite.store import SqliteStore


def told(crm: crmcore.CRM, word: str = CANARY) -> list[tuple[str, Any]]:
    return [(name, row) for name, row in everything(crm) if any(word in str(value) for value in row)]


def reports(me: crmcore.Session) -> list[Any]:
    """Every table that the library reports, names and other words of the person's left out."""
    first, last = datetime.date(2023, 1, 1), datetime.date(2023, 12, 31)
    found = [
        me.reports.overview(),
        me.reports.funnel(),
        me.reports.customer_funnel(),
        me.reports.forecast(),
        me.reports.due(),
        me.reports.duties(since=first, until=last),
        me.reports.service(since=first, until=last),
        me.reports.risk(),
        me.reports.quality(since=first, until=last),
        me.reports.activity(since=first, until=last),
        me.reports.review(since=first, until=last),
    ]
    tables = [table for one in found for table in (one.tables if hasattr(one, "tables") else (one.table,))]
    return [
        (table.key, [tuple("*" if _is_word(cell) else cell for cell in row) for row in table.rows]) for table in tables
    ]


def _is_word(cell: Any) -> bool:
    return isinstance(cell, str) and (CANARY in cell or "已删除" in cell)


def test_nothing_of_a_person_is_left_and_nothing_else_changes(open_crm: Callable[..., crmcore.CRM]) -> None:
    crm = open_crm("standard")
    me = crm.acting_as("sales.east")
    person = lived(me)
    assert told(crm)
    assert told(crm, PHONE)
    stages = [(visit.stage, visit.since) for visit in me.customers.stages(person)]
    duties = crm.read(lambda transaction: sorted(row[0] for row in transaction.scan("obligations")))
    tables = reports(me)
    assert len(tables) > 20
    before = me.customers.erase(person, reason="本人要求", dry_run=True)
    assert before.dry_run
    assert told(crm)
    assert crm.audit.verify().erased == 0

    done = me.customers.erase(person, reason="本人要求")
    assert (done.number, dict(done.records), done.events) == (person.number, dict(before.records), before.events)
    assert done.cleaned
    assert told(crm) == []
    assert told(crm, PHONE) == []
    assert f"attachment: /scans/{CANARY}.pdf" in done.outside

    found = crm.audit.verify()
    assert found.faults == ()
    assert found.erased == done.events
    assert found.uncleaned == 0
    assert crm.check().findings == ()
    assert reports(me) == tables
    kept = me.customers.get(person.number)
    assert (kept.id, kept.name, kept.stage) == (person.id, f"已删除{person.number}", person.stage)
    assert [(visit.stage, visit.since) for visit in me.customers.stages(kept)] == stages
    assert crm.read(lambda transaction: sorted(row[0] for row in transaction.scan("obligations"))) == duties
    (erasure,) = (CODECS[Erasure].load(row) for name, row in everything(crm) if name == "erasures")
    assert (erasure.subject_id, erasure.by, erasure.reason) == (person.id, "sales.east", "本人要求")

    again = me.customers.erase(person.number, reason="本人要求")
    assert (again.events, again.removed, dict(again.records)) == (0, 0, {})
    assert len([1 for name, _ in everything(crm) if name == "erasures"]) == 1


def test_what_is_done_with_the_customer_afterwards_is_chained_as_ever(me: crmcore.Session) -> None:
    person = lived(me)
    me.customers.erase(person, reason="本人要求")
    me.follow_ups.log(person.number, summary="新的联系")
    me.contacts.add(person.number, name=NAME, phone=PHONE)
    me.customers.erase(person.number, reason="再次要求")
    assert told(me.crm) == []
    assert me.crm.audit.verify().faults == ()


def test_of_an_enterprise_only_the_person_goes(me: crmcore.Session) -> None:
    acme = me.customers.register(
        name="示例科技有限公司",
        industry="制造业",
        decision_makers=[NAME, "赵六"],
        contacts=[{"name": NAME, "phones": [PHONE], "emails": [EMAIL]}, {"name": "赵六", "phones": ["13700137000"]}],
    )
    me.follow_ups.log(acme, summary=f"{NAME}(+86 138-0013-8777)要求报价", participants=[NAME, "赵六"])
    other = me.customers.register(name="旁观有限公司", industry="制造业", remarks=f"认识{NAME}")
    done = me.customers.erase(acme, NAME, reason="离职,本人要求")
    assert {name for name, _ in told(me.crm)} == {"customers", "events"}  # the other's remarks, which are named
    assert done.mentions == (("customer", other.id),)
    kept = me.customers.get(acme)
    assert (kept.name, kept.decision_makers) == ("示例科技有限公司", ("已删除", "赵六"))
    assert [contact.name for contact in me.contacts.of(kept)] == ["已删除", "赵六"]
    (said,) = me.follow_ups.of(kept)
    assert said.summary == "已删除(+86 已删除)要求报价"
    assert me.crm.audit.verify().faults == ()
    with pytest.raises(NotFound):
        me.customers.erase(acme, NAME, reason="又一次")


def test_why_two_were_told_apart_and_numbers_that_hold_the_name_are_not_forgotten(me: crmcore.Session) -> None:
    acme = me.customers.register(name="示例科技有限公司", industry="制造业", contacts=[{"name": NAME}])
    other = me.customers.register(name="旁观有限公司", industry="制造业")
    order = me.orders.sign(acme, number=f"O-{NAME}", amount=crmcore.Money.of(1))
    referral = me.referrals.make(other, referred_name=NAME)
    me.duplicates.tell_apart(acme, other, reason=f"{NAME}说不是一家")
    done = me.customers.erase(acme, NAME, reason="本人要求")
    assert [pair.reason for pair in me.duplicates.told_apart()] == ["已删除说不是一家"]
    assert set(done.mentions) == {("order", order.id), ("referral", referral.id)}


def test_an_erasure_needs_a_reason(me: crmcore.Session) -> None:
    person = lived(me)
    for reason in ("", " ", None):
        with pytest.raises(Invalid):
            me.customers.erase(person, reason=reason)  # type: ignore[arg-type]
    assert told(me.crm)


def test_a_plugin_may_refuse_for_the_law_may_ask_to_keep(open_crm: Callable[..., crmcore.CRM]) -> None:
    class Hold:
        @hookimpl
        def crm_check(self, change: Any) -> None:
            if change.action == "customer.erased":
                raise Veto("it must be kept for ten years")

    crm = open_crm("standard", plugins=[Hold()])
    me = crm.acting_as("sales.east")
    person = lived(me)
    before = list(everything(crm))
    with pytest.raises(Veto):
        me.customers.erase(person, reason="本人要求")
    assert list(everything(crm)) == before


def holding(folder: Path, word: str) -> list[str]:
    """Files that hold the word, archives unpacked."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            contents = [path.read_bytes()]
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    contents += [archive.read(name) for name in archive.namelist()]
            if any(word.encode() in content for content in contents):
                found.append(str(path.relative_to(folder)))
    return found


@pytest.mark.parametrize("url", ["sqlite:///{}/crm.db?journal=truncate", "excel:///{}/crm.xlsx"])
def test_no_file_of_the_store_holds_it(tmp_path: Path, clock: Callable[[], datetime.datetime], url: str) -> None:
    url = url.format(tmp_path.as_posix())
    with crmcore.open(url, "standard", clock=clock) as crm:
        person = lived(crm.acting_as("sales.east"))
    assert holding(tmp_path, CANARY)
    with crmcore.open(url, clock=clock) as crm:
        done = crm.erase(person.number, reason="本人要求", by="steward")
        assert done.cleaned, done.outside
        assert holding(tmp_path, CANARY) + holding(tmp_path, PHONE) == []
    assert holding(tmp_path, CANARY) + holding(tmp_path, PHONE) == []
    with crmcore.open(url, clock=clock) as crm:
        assert crm.audit.verify().faults == ()
        assert crm.check().findings == ()


def test_no_file_of_a_write_ahead_log_holds_it(tmp_path: Path, clock: Callable[[], datetime.datetime]) -> None:
    settings = Settings(str(tmp_path / "crm.db"), 5, "wal")
    with SqliteStore(settings, SCHEMA) as store:
        crm = crmcore.open(store, "standard", clock=clock)
        person = lived(crm.acting_as("sales.east"))
        assert "crm.db-wal" in holding(tmp_path, CANARY)
        done = crm.erase(person.number, reason="本人要求")
        assert done.cleaned
        assert holding(tmp_path, CANARY) + holding(tmp_path, PHONE) == []
    assert holding(tmp_path, CANARY) + holding(tmp_path, PHONE) == []


def test_files_that_a_reader_holds_are_cleaned_later(tmp_path: Path, clock: Callable[[], datetime.datetime]) -> None:
    url = f"sqlite:///{tmp_path.as_posix()}/crm.db?journal=truncate&wait=0.05"
    with crmcore.open(url, "standard", clock=clock) as crm:
        person = lived(crm.acting_as("sales.east"))

        def clean(self: SqliteStore) -> Any:
            raise StoreBusy("a reader holds the file")

        original, SqliteStore.clean = SqliteStore.clean, clean  # type: ignore[method-assign]
        try:
            done = crm.erase(person.number, reason="本人要求")
        finally:
            SqliteStore.clean = original  # type: ignore[method-assign]
        assert not done.cleaned
        assert crm.audit.verify().uncleaned == 1
        assert crm.clean()[0]
        assert crm.audit.verify().uncleaned == 0


def test_what_is_encrypted_is_erased_too(tmp_path: Path, clock: Callable[[], datetime.datetime]) -> None:
    pytest.importorskip("cryptography", reason="encryption needs crmcore[crypto]")
    url = f"sqlite:///{tmp_path.as_posix()}/crm.db?journal=truncate"
    ring = KeyRing.of({"k1": bytes(range(32))})
    with crmcore.open(url, "standard", clock=clock, keys=ring) as crm:
        person = lived(crm.acting_as("sales.east"))
        before = crm.audit.verify()
        assert before.faults == ()
        assert before.keyed
        done = crm.erase(person.number, reason="本人要求")
        assert done.cleaned
        assert told(crm) == []
        assert crm.audit.verify().faults == ()
        assert crm.check().findings == ()
    assert holding(tmp_path, CANARY) + holding(tmp_path, PHONE) == []


def erase_until_killed(open_store: Callable[[Any], Any], acknowledge: Callable[[str], None]) -> None:
    """What a process does that is killed at some call."""
    with open_store(SCHEMA) as store:
        crm = crmcore.open(store)
        acknowledge("open")
        crm.erase(crm.acting_as("x").customers.find(search=CANARY).items[0], reason="本人要求")
        acknowledge("erased")


@pytest.mark.skipif(not can_fork(), reason="needs processes that can be forked")
def test_killed_at_any_call_it_is_erased_or_not_and_can_be_done_again(
    tmp_path: Path, clock: Callable[[], datetime.datetime]
) -> None:
    made, used = tmp_path / "made.db", tmp_path / "used.db"
    with crmcore.open(f"sqlite:///{made.as_posix()}?journal=truncate", "standard", clock=clock) as crm:
        number = lived(crm.acting_as("sales.east")).number

    def reset() -> None:
        for left in tmp_path.glob("used.db*"):
            left.unlink()
        shutil.copy(made, used)

    url = f"sqlite:///{used.as_posix()}?journal=truncate"
    kinds = set()
    for crash in crash_points(SqliteBackend(), url, erase_until_killed, at="calls", reset=reset, most=10):
        with crmcore.open(url, clock=clock) as crm:
            left = crm.read(lambda transaction: transaction.count("erasures"))
            assert bool(told(crm)) == (not left), crash.moment
            assert crm.audit.verify().faults == (), crash.moment
            kinds.add((left, crm.audit.verify().uncleaned))
            crm.erase(number, reason="本人要求")
            assert told(crm) == []
            assert crm.audit.verify().uncleaned == 0
    assert {left for left, _ in kinds} == {0, 1}
    made.unlink()
    assert holding(tmp_path, CANARY) == []


def test_a_person_with_two_files_is_erased_whole_and_the_store_stays_sound(me: crmcore.Session, tmp_path: Path) -> None:
    path = tmp_path / "欧阳明月.csv"
    path.write_text("客户名称,客户类型\n欧阳明月,个人客户\n", "utf-8")
    me.imports.plan(path, source="欧阳明月的名单").apply()
    kept = me.customers.find().items[0]
    other = me.customers.register(name="欧阳明月", kind="individual", allow_duplicate=True)
    me.customers.merge(kept, other)
    me.customers.erase(kept, reason="本人要求")
    assert me.crm.check().findings == ()
    (run,) = me.imports.runs()
    assert "欧阳明月" not in f"{run.files} {run.source}"
