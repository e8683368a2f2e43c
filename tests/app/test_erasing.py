"""Erasing a person: nothing personal is left, in no file; reports, numbers and chains stay as they were."""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import crmcore
from crmcore.domain import ENTITIES, Erasure
from crmcore.errors import Invalid, NotFound, Veto
from crmcore.plugins import hookimpl
from crmcore.storage.codec import CODECS

#: Whatever stands in a field of the person's. Plain letters and digits, so that no form of a file hides them.
CANARY = "qzkanari"
PHONE, EMAIL, WECHAT = "13800138777", f"{CANARY}@example.com", f"wxid_{CANARY}"
NAME = f"{CANARY}女士"


def lived(me: crmcore.Session) -> crmcore.Customer:
    """A person with every kind of record, and another customer beside it."""
    other = me.customers.register(
        name="旁观有限公司", industry="制造业", contacts=[{"name": "李四", "phones": ["13900139000"]}]
    )
    person = me.customers.register(
        name=NAME,
        kind="individual",
        short_name=f"{CANARY}s",
        address=f"{CANARY}路1号",
        core_need=f"{CANARY}需求",
        remarks=f"{CANARY} {PHONE}",
        decision_makers=[NAME],
        tags=[CANARY],
        custom={"hobby": CANARY},
        contacts=[{"name": NAME, "phones": [PHONE], "emails": [EMAIL], "wechat": WECHAT, "remarks": CANARY}],
    )
    me.follow_ups.log(
        person, summary=f"{NAME}说", participants=[NAME], feedback=CANARY, objection=CANARY, method="phone",
        next_step=CANARY, next_on=datetime.date(2023, 10, 12),
    )  # fmt: skip
    me.plans.add(person, due_on=datetime.date(2023, 10, 20), goal=CANARY, remarks=CANARY)
    me.customers.update(person, remarks=f"又是{CANARY}", reason=f"{NAME}要求")
    deal = me.opportunities.open(name=f"{CANARY}订单", customer=person, expected_amount=crmcore.Money.of(5000))
    me.objections.raise_(person, description=CANARY, type="price", opportunity=deal)
    ticket = me.tickets.open(person, subject=CANARY, description=CANARY).id
    me.tickets.answer(ticket)
    me.tickets.wait(ticket, reason=CANARY)
    me.feedback.receive(person, description=CANARY)
    me.attachments.add(person, name=f"{CANARY}.pdf", place=f"/scans/{CANARY}.pdf")
    me.referrals.make(other, referred=person, referred_on=datetime.date(2023, 10, 9))
    me.referrals.make(person, referred_name=CANARY, referred_reach=PHONE, referred_on=datetime.date(2023, 10, 9))
    me.action_plans.add(f"联系{NAME}", customer=person, owner="hua", due_on=datetime.date(2023, 11, 1))
    me.obligations.waive(me.obligations.of(person)[0], reason=f"{NAME}出国")
    return me.customers.get(person)


def everything(crm: crmcore.CRM) -> Iterator[tuple[str, Any]]:
    with crm.store.transaction() as transaction:
        for cls in ENTITIES:
            for row in transaction.scan(cls.collection):
                yield cls.collection, row


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
