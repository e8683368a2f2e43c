"""Nobody is kept longer than the playbook says, and nobody goes before."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lives import CANARY, NAME, everything, lived

import crmcore
from crmcore.domain import Contact, Customer
from crmcore.domain.duration import Duration
from crmcore.domain.policies import Label, Retention
from crmcore.errors import PlaybookError
from crmcore.playbooks import load
from crmcore.rules.retention import due_to_go

RULES = """
extends = "standard"
key = "kept"
title = { zh = "保存", en = "kept" }
[retention.quiet_people]
label = { zh = "两年无往来的个人客户", en = "people who were quiet for two years" }
after = "24 months"
kind = "individual"
[retention.lost]
label = { zh = "流失客户", en = "lost customers" }
after = "30 days"
since = "closed"
stages = ["lost"]
action = "delete"
"""
ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime.datetime(2026, 1, 5, 2, 0, tzinfo=datetime.UTC)


@pytest.fixture
def kept(open_crm: Callable[..., crmcore.CRM], tmp_path: Path) -> crmcore.Session:
    (tmp_path / "kept.toml").write_text(RULES, "utf-8")
    return open_crm(tmp_path / "kept.toml").acting_as("steward")


def test_who_was_quiet_for_long_is_erased_and_nobody_else(kept: crmcore.Session, clock: Any) -> None:
    person = lived(kept)
    assert kept.retention.due() == []
    clock.forward(days=700)
    kept.customers.register(name=f"另{NAME}", kind="individual")
    assert kept.retention.due() == []
    clock.forward(days=40)
    (due,) = kept.retention.due()
    assert (due.customer.id, due.rule.key, due.rule.action) == (person.id, "quiet_people", "erase")
    (done,) = kept.retention.run()
    assert done.customer.id == person.id
    left = [row for name, row in everything(kept.crm) if any(CANARY in str(value) for value in row)]
    assert all(f"另{NAME}" in str(row) for row in left)
    assert kept.retention.due() == []
    assert kept.retention.run() == []
    assert kept.crm.audit.verify().faults == ()


def test_what_is_lost_goes_to_the_bin(kept: crmcore.Session, clock: Any) -> None:
    gone = kept.customers.register(name="流失有限公司", industry="制造业")
    kept.customers.register(name="留下有限公司", industry="制造业")
    kept.customers.move(gone, "lost", reason="倒闭")
    clock.forward(days=30)
    assert kept.retention.due() == []
    clock.forward(days=1)
    assert [kept.customer.id for kept in kept.retention.run()] == [gone.id]
    assert [(one.customer.id, one.reason) for one in kept.customers.deleted()] == [(gone.id, "保存期限: 流失客户")]
    kept.customers.restore(gone.number)
    assert [one.customer.id for one in kept.retention.due()] == [gone.id]


def test_one_in_the_bin_is_erased_there(kept: crmcore.Session) -> None:
    person = lived(kept)
    kept.customers.delete(person, "登记错误")
    kept.customers.erase(person.number, reason="本人要求")
    assert [row for _, row in everything(kept.crm) if CANARY in str(row)] == []
    (binned,) = kept.customers.deleted()
    assert binned.customer.name == f"已删除{person.number}"
    assert kept.crm.audit.verify().faults == ()
    assert kept.crm.check().findings == ()


def test_who_is_in_the_bin_is_erased_there_so_long_after_it_was_put_there(kept: crmcore.Session, clock: Any) -> None:
    person = lived(kept)
    firm = kept.customers.register(name="示例科技有限公司", industry="制造业")
    clock.forward(days=400)
    kept.customers.delete(person, "登记错误")
    kept.customers.delete(firm, "登记错误")
    clock.forward(days=700)
    assert kept.retention.due() == []
    clock.forward(days=40)
    (due,) = kept.retention.due()
    assert (due.customer.id, due.rule.key) == (person.id, "quiet_people")
    assert [done.customer.id for done in kept.retention.run()] == [person.id]
    assert [row for _, row in everything(kept.crm) if CANARY in str(row)] == []
    assert {one.customer.number for one in kept.customers.deleted()} == {person.number, firm.number}
    assert kept.retention.due() == []
    assert kept.crm.audit.verify().faults == ()
    assert kept.crm.check().findings == ()


@given(
    days=st.integers(0, 2000),
    after=st.sampled_from(["1 day", "4 weeks", "12 months", "3 years"]),
    since=st.sampled_from(["last_activity", "closed"]),
    stage=st.sampled_from(["prospect", "customer", "lost"]),
    action=st.sampled_from(["erase", "delete"]),
)
def test_a_customer_goes_once_the_time_is_over_and_not_before(
    days: int, after: str, since: Any, stage: str, action: Any
) -> None:
    lifecycle = load("standard").lifecycle
    then = NOW - datetime.timedelta(days=days)
    stamps: dict[str, Any] = {"created_at": then, "created_by": "x", "updated_at": then, "updated_by": "x"}
    customer = Customer(id="c", number="1", name="甲", kind="individual", stage=stage, stage_since=then, **stamps)
    contact = Contact(id="p", customer_id="c", name="甲", **stamps)
    rule = Retention(key="r", label=Label(zh="甲", en="a"), after=Duration.parse(after), since=since, action=action)
    found = due_to_go(customer, [contact], then, [rule], lifecycle, NOW, ZONE)
    stage_ends = lifecycle.stage(stage).outcome in ("won", "lost")
    least, most = {"1 day": (1, 2), "4 weeks": (28, 29), "12 months": (365, 367), "3 years": (1095, 1097)}[after]
    if since == "closed" and not stage_ends:
        assert found is None
    elif days > most:
        assert found is not None
        assert found.due_at <= NOW
    elif days < least:
        assert found is None
    erased = customer.replace(name="已删除1")
    again = due_to_go(erased, [], then, [rule], lifecycle, NOW, ZONE)
    assert again is None or again.rule.action == "delete"


def test_rules_that_say_nothing_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(
        RULES.replace('"24 months"', '"24 hours"').replace('["lost"]', '["gone"]').replace('"closed"', '"ever"'),
        "utf-8",
    )
    with pytest.raises(PlaybookError) as refused:
        load(file)
    assert len(refused.value.problems) >= 1
    file.write_text(RULES.replace('"24 months"', '"24 hours"').replace('["lost"]', '["gone"]'), "utf-8")
    with pytest.raises(PlaybookError) as refused:
        load(file)
    told = "\n".join(refused.value.problems)
    assert "retention.quiet_people.after: is counted in days, weeks, months or years" in told
    assert "retention.lost.stages" in told
