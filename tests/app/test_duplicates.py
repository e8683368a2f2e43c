"""Duplicates: refused before a number is drawn, hinted at with reasons, found by a scan, and told apart."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import crmcore
from crmcore.domain import NumberSeries
from crmcore.errors import DomainError, DuplicateCustomer, Invalid, NotFound
from crmcore.rules.duplicates import Tier
from crmcore_cn.plugin import ChinesePlugin

PHONE = "13800138000"
KEYS = {
    "uscc": {"uscc": "91310000MA1FL0L82X"},
    "name": {"name": "示例科技有限公司"},
    "phone": {"contacts": [{"name": "王总", "phone": PHONE}]},
    "email": {"contacts": [{"name": "王总", "email": "wang@example.com"}]},
    "wechat": {"contacts": [{"name": "王总", "wechat": "wxid_wang"}]},
}


def playbook(folder: Path, **keys: str) -> str:
    told = "\n".join(f'{key} = "{value}"' for key, value in keys.items())
    path = folder / "duplicates.toml"
    path.write_text(
        f'extends = "marketing"\nkey = "own"\ntitle = {{ zh = "自己", en = "Own" }}\n[duplicates]\n{told}\n', "utf-8"
    )
    return str(path)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("strictly", ["refuse", "warn", "ignore"])
def test_a_key_refuses_warns_or_is_ignored_as_the_playbook_says(tmp_path, key: str, strictly: str) -> None:
    told = {**dict.fromkeys(KEYS, "ignore"), key: strictly, "similar": "ignore"}
    with crmcore.open("memory:", playbook(tmp_path, **told)) as crm:
        me = crm.acting_as("hua")
        first = me.customers.register(**{"name": "示例科技有限公司", **KEYS[key]})
        again = {"name": "示例科技有限公司" if key == "name" else "另一家商行", **KEYS[key]}
        found = me.customers.similar(**again)
        if strictly == "ignore":
            assert found == []
        else:
            assert [(one.customer.id, one.same, one.tier) for one in found] == [
                (first.id, (key,), "same" if strictly == "refuse" else "suspect")
            ]
        if strictly == "refuse":
            before = me.customers.listed(NumberSeries)
            with pytest.raises(DuplicateCustomer) as refused:
                me.customers.register(**again)
            assert refused.value.details["number"] == first.number
            assert refused.value.details["same"] == (key,)
            assert me.customers.listed(NumberSeries) == before
            assert me.customers.register(allow_duplicate=True, **again).number != first.number
        else:
            me.customers.register(**again)


def test_two_people_may_share_a_name(me: crmcore.Session) -> None:
    me.customers.register(name="王磊", kind="individual")
    me.customers.register(name="王磊", kind="individual")
    me.customers.register(name="王磊")
    assert me.customers.count() == 3


def test_what_changes_is_asked_about_like_what_is_new(me: crmcore.Session) -> None:
    first = me.customers.register(name="示例科技有限公司")
    other = me.customers.register(name="另一家")
    with pytest.raises(DuplicateCustomer, match=first.number):
        me.customers.update(other, name="示例科技 有限公司")
    me.customers.update(first, remarks="自己不是自己的重复")
    assert me.customers.get(other).name == "另一家"


def test_a_hint_says_why_without_a_value(me: crmcore.Session) -> None:
    me.customers.register(
        name="北方机械有限公司", address="天津市和平区南京路1号", contacts=[{"name": "王磊", "phone": PHONE}]
    )
    (found,) = me.customers.similar(name="北方机械设备有限公司", contacts=[{"phone": "138 0013 8000"}])
    assert found.same == ("phone",)
    assert found.decision is not None
    for language in ("en", "zh-CN"):
        told = found.explain(language)
        assert not any(value in told for value in (PHONE, "北方", "王磊", "天津"))
    assert me.customers.similar() == []
    assert me.customers.similar(name="毫不相干的商行") == []
    with pytest.raises(Invalid):
        me.customers.similar(name="x", urgency="very")


def test_the_hint_follows_what_was_changed_by_whomever(open_crm: Callable[..., crmcore.CRM]) -> None:
    me = open_crm().acting_as("hua")
    wanted = {"name": "北方机械设备有限公司", "contacts": [{"name": "王磊", "email": "wang.lei@example.com"}]}
    kept = {"name": "北方机械有限公司", "contacts": [{"name": "王磊", "email": "wang.lee@example.com"}]}
    number = me.customers.register(**kept).number
    (contact,) = me.contacts.of(number)
    assert [one.customer.number for one in me.customers.similar(**wanted)] == [number]
    me.contacts.update(contact, name="李四", emails=["other@example.org"])
    me.customers.update(number, name="Zenith Harbor Ltd")
    assert me.customers.similar(**wanted) == []
    assert [one.customer.number for one in me.customers.similar(name="Zenith Harbour Ltd")] == [number]
    for place in range(100):
        me.customers.register(name=f"第{place}号完全不同{place * 7919}")
    me.customers.update(number, name="西部能源集团")
    assert [one.customer.number for one in me.customers.similar(name="西部能源集团")] == [number]


@given(
    st.lists(
        st.tuples(st.sampled_from(["甲机械", "甲 机械", "乙贸易"]), st.sampled_from([None, PHONE, "13900139000"])),
        max_size=6,
    )
)
def test_a_scan_is_symmetric_and_finds_what_the_hint_finds(records) -> None:
    with crmcore.open("memory:", "marketing") as crm:
        me = crm.acting_as("hua")
        for name, phone in records:
            people = [{"name": "王", "phone": phone}] if phone else []
            me.customers.register(name=name, contacts=people, allow_duplicate=True)
        found = me.duplicates.scan()
        groups = [one for one in found if one.tier == "same"]
        for one, other in itertools.combinations(groups, 2):
            assert not {each.id for each in one.customers} & {each.id for each in other.customers}
        same_names = {one.id: one.name.replace(" ", "") for one in me.customers.find()}
        together = {each.id: place for place, one in enumerate(groups) for each in one.customers}
        for one, other in itertools.combinations(same_names, 2):
            if same_names[one] == same_names[other]:
                assert together[one] == together[other]


def tiers(me: crmcore.Session) -> list[tuple[Tier, list[str]]]:
    return [(one.tier, [each.name for each in one.customers]) for one in me.duplicates.scan()]


def test_two_registration_numbers_are_never_one_customer(me: crmcore.Session) -> None:
    for code in ("91310000MA1FL0L82X", "91110000600037341L"):
        me.customers.register(name="示例科技有限公司", uscc=code, allow_duplicate=True)
    assert [tier for tier, _ in tiers(me)] == ["suspect"] or all(len(names) == 2 for _, names in tiers(me))
    assert all(one.tier != "same" or len(one.customers) < 2 for one in me.duplicates.scan()) or not tiers(me)


def test_who_was_told_apart_is_not_shown_again(me: crmcore.Session) -> None:
    one = me.customers.register(name="示例甲", contacts=[{"name": "代理", "phone": PHONE}])
    other = me.customers.register(name="完全不同乙", contacts=[{"name": "代理", "phone": PHONE}])
    (found,) = me.duplicates.scan()
    assert {each.id for each in found.customers} == {one.id, other.id}
    assert "phone" in found.pairs[0].same
    judged = me.duplicates.tell_apart(other, one, reason="同一代理")
    assert me.duplicates.tell_apart(one, other) == judged
    assert me.duplicates.scan() == []
    assert me.duplicates.told_apart() == [judged]
    me.duplicates.forget(one, other)
    assert len(me.duplicates.scan()) == 1
    with pytest.raises(DomainError):
        me.duplicates.tell_apart(one, one)
    with pytest.raises(NotFound):
        me.duplicates.tell_apart(one, "nobody")


def test_an_import_does_not_bring_an_absorbed_customer_back(me: crmcore.Session, tmp_path) -> None:
    one = me.customers.register(name="示例甲有限公司")
    other = me.customers.register(name="示例乙有限公司")
    me.customers.merge(one, other)
    path = tmp_path / "customers.csv"
    path.write_text(f"客户编号,客户名称\n{other.number},示例乙有限公司\n,示例乙有限公司\n", "utf-8")
    me.imports.plan(path, table="customers").apply()
    assert me.customers.count() == 1


def test_the_forms_of_a_country_say_which_names_resemble(open_crm: Callable[..., crmcore.CRM]) -> None:
    me = open_crm(plugins=[ChinesePlugin()]).acting_as("hua")
    for name in ("深圳市腾讯计算机系统有限公司", "北京小米科技有限责任公司", "上海汽车集团股份有限公司"):
        me.customers.register(name=name)
    number = me.customers.register(name="天津北方机械有限公司").number
    found = me.customers.similar(name="天津市北方机诫有限公司")
    assert [(one.customer.number, one.tier) for one in found] == [(number, "suspect")]
    assert found[0].names
    assert "北方" not in found[0].explain("zh-CN")
    me.customers.update(number, name="西部能源集团有限公司")
    assert me.customers.similar(name="天津市北方机诫有限公司") == []


@pytest.mark.parametrize(
    ("table", "head", "row"),
    [
        ("opportunities", "客户名称,机会名称,机会编号,销售阶段", "{},机会,OP1,"),
        ("follow_ups", "客户名称,跟进时间,跟进内容", "{},2020-01-05,聊了"),
        ("follow_up_plans", "客户名称,下次跟进时间,核心目标", "{},2030-01-05,再聊"),
    ],
)
def test_rows_that_name_an_absorbed_customer_go_to_the_survivor(
    me: crmcore.Session, tmp_path, table: str, head: str, row: str
) -> None:
    kept, absorbed = (me.customers.register(name=name, industry="x") for name in ("示例甲", "示例乙有限公司"))
    me.customers.merge(kept, absorbed)
    path = tmp_path / "rows.csv"
    path.write_text(f"{head}\n{row.format(absorbed.name)}\n", "utf-8")
    done = me.imports.plan(path, table=table).apply()
    assert (done.created, done.rejected) == (1, 0), done.issues
    use_cases = {"opportunities": me.opportunities, "follow_ups": me.follow_ups, "follow_up_plans": me.plans}
    found = use_cases[table].find(customer=kept) if table == "opportunities" else use_cases[table].of(kept)
    assert [one.customer_id for one in found] == [kept.id]
    path.write_text(f"{head}\n{row.format('从没来过有限公司')}\n", "utf-8")
    assert me.imports.plan(path, table=table).apply().rejected == 1


def test_a_change_is_not_refused_for_a_name_that_stays(me: crmcore.Session) -> None:
    one, other = (me.customers.register(name=name, industry="x") for name in ("示例甲", "示例乙"))
    me.customers.delete(other, reason="误录")
    me.customers.register(name="示例乙", industry="x")
    back = me.customers.restore(other.number)
    assert me.customers.update(back, uscc="91310000MA1FL0L82X").uscc
    with pytest.raises(DuplicateCustomer, match="registration number"):
        me.customers.update(one, uscc="91310000MA1FL0L82X")
    with pytest.raises(DuplicateCustomer, match="the same name"):
        me.customers.update(one, name="示例乙")
