"""What people change in a store with another program goes through the same use cases as everything else, or is reported."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from edited import EditedStore, World, added, changed, open_edited, removed, rows_of
from hypothesis import given
from hypothesis import strategies as st

import crmcore
from crmcore import Money
from crmcore.app.edits import EDITOR, take_in
from crmcore.app.presenting import SHEETS, presentation_of
from crmcore.domain import ENTITIES, Customer, Event, Ticket
from crmcore.errors import QueryError, Veto
from crmcore.playbooks import BUNDLED, load
from crmcore.storage.codec import CODECS, SCHEMA
from crmcore.storage.memory import MemoryData, MemoryTransaction
from crmcore.storage.presentation import Edit, Presentation, Unreadable
from crmcore.storage.query import Eq, Query

NOW = datetime.datetime(2023, 10, 9, 2, 0, tzinfo=datetime.UTC)


@pytest.fixture
def crm(open_crm: Callable[..., crmcore.CRM]) -> crmcore.CRM:
    return open_crm("standard")


@pytest.fixture
def world(crm: crmcore.CRM) -> World:
    return World(crm)


def codes(report: Any) -> list[tuple[str, str | None]]:
    return [(issue.code, issue.field) for issue in report.issues]


# ---- What people see ----


@pytest.mark.parametrize("language", ["zh-CN", "en"])
@pytest.mark.parametrize("key", BUNDLED)
def test_a_presentation_fits_the_schema_and_tells_its_columns_apart(key, language):
    shown = presentation_of(load(key), language)
    titles = [sheet.title for sheet in shown.sheets.values()] + [shown.guide_title]
    assert len(set(titles)) == len(titles)
    for name, sheet in shown.sheets.items():
        collection = SCHEMA.collection(name)
        for column, view in sheet.fields.items():
            field = collection.field(column)
            assert view.heading != f"{CODECS[SHEETS[name].entity].entity.entity}.{column}"
            assert not view.choices or field.type in ("text", "boolean")
            assert view.choices or not view.only_choices
            assert not view.scale or field.type == "integer"
            assert len(set(view.choices.values())) == len(view.choices)
        headings = [view.heading for view in sheet.fields.values()]
        assert len(set(headings)) == len(headings)
    assert list(shown.sheets)[:6] == [
        "customers", "contacts", "follow_ups", "follow_up_plans", "opportunities", "orders"
    ]  # fmt: skip
    assert shown.zone == load(key).timezone


def test_what_the_program_keeps_for_itself_is_not_shown():
    shown = presentation_of(load("standard"))
    hidden = {"events", "obligations", "number_series", "imported_rows", "settings", "users", "outbox"}
    hidden |= {"match_keys", "absent_records", "aliases", "judged_pairs", "chains", "erasures", "import_runs"}
    hidden |= {"quality_checks"}
    assert shown.sheets.keys() == SCHEMA.collections.keys() - hidden
    unseen = {"id", "version", "created_at", "updated_by", "custom", "name_key"}
    assert all(not unseen & sheet.fields.keys() for sheet in shown.sheets.values())


def test_stages_tiers_and_money_are_shown_as_the_playbook_says():
    shown = presentation_of(load("standard"))
    stage, tier = shown.sheets["customers"].fields["stage"], shown.sheets["customers"].fields["tier"]
    assert stage.choices["prospect"] == "潜在客户" and stage.only_choices and stage.editable
    assert tier.choices["A"] == "A级" and tier.only_choices
    source = shown.sheets["customers"].fields["source"]
    assert source.choices and not source.only_choices
    assert shown.sheets["orders"].fields["amount"].scale == 2
    number = shown.sheets["customers"].fields["number"]
    assert (number.editable, number.fillable) == (False, True)
    assert not shown.sheets["tickets"].fields["answered_at"].fillable


def test_an_unknown_language_is_refused():
    with pytest.raises(QueryError, match="there are en and zh-CN"):
        presentation_of(load("standard"), "fr")


# ---- Every field, in both directions ----

#: What stands in a cell that must say something special, as (record of the world, cells).
SPECIAL: dict[str, tuple[str, dict[str, Any]]] = {
    "customers.stage": ("customer", {"stage": "interested"}),
    "customers.tier": ("customer", {"tier": "A"}),
    "customers.tier_until": ("held", {"tier_until": datetime.date(2024, 6, 30)}),
    "customers.headcount_high": ("customer", {"headcount_high": 500}),
    "customers.annual_revenue_currency": (
        "customer", {"annual_revenue_currency": "USD", "annual_revenue": 100}
    ),
    "customers.contract_amount_currency": (
        "customer", {"contract_amount_currency": "美元", "contract_amount": 100}
    ),
    "customers.budget_currency": ("customer", {"budget_currency": "USD", "budget": 100}),
    "customers.first_deal_amount_currency": (
        "customer", {"first_deal_amount_currency": "USD", "first_deal_amount": 100}
    ),
    "contacts.phones": ("contact", {"phones": "13900139000;010-12345678"}),
    "contacts.emails": ("contact", {"emails": '["b@example.com"]'}),
    "opportunities.customer_id": ("loose", {"customer_id": "样本贸易有限公司"}),
    "opportunities.stage": ("deal", {"stage": "proposal"}),
    "opportunities.amount_currency": ("deal", {"amount_currency": "USD", "amount": 100}),
    "orders.collected": ("order", {"collected": 4_000_000}),
    "instalments.collected": ("instalment", {"collected": 2_500_000}),
    "instalments.amount": ("instalment", {"amount": 2_400_000}),
    "tickets.state": ("ticket", {"state": "waiting"}),
    "tickets.stars": ("solved", {"stars": 5}),
    "tickets.suggestion": ("solved", {"suggestion": "更快一些"}),
    "feedback.confirmation": ("answered", {"confirmation": "satisfied"}),
    "feedback.stars": ("answered", {"confirmation": "满意", "stars": 4}),
    "feedback.suggestion": ("answered", {"confirmation": "satisfied", "suggestion": "更快一些"}),
    "objections.outcome": ("solution", {"outcome": "accepted"}),
    "objections.outcome_note": ("solution", {"outcome": "rejected", "outcome_note": "仍有顾虑"}),
    "referrals.referred_id": ("referral", {"referred_id": "样本贸易有限公司"}),
    "referrals.incentive_given": ("succeeded", {"incentive_given": True}),
    "action_plans.state": ("action", {"state": "done"}),
}  # fmt: skip
#: Where the record that a row is about is found in the world.
NAMES = {
    "customers": "customer", "contacts": "contact", "follow_ups": "follow_up", "follow_up_plans": "plan",
    "opportunities": "deal", "orders": "order", "instalments": "instalment", "tickets": "ticket",
    "feedback": "feedback", "objections": "objection", "referrals": "referral", "attachments": "attachment",
    "action_plans": "action",
}  # fmt: skip


def another(cls: Any, column: str, record: Any) -> Any:
    """A value that a cell doesn't hold yet."""
    if column not in cls.kinds:
        return "USD"
    kind = cls.kinds[column]
    if kind.choices:
        return next(word for word in kind.choices if word != getattr(record, column))
    return {
        "text": "改过的内容",
        "integer": 7,
        "flag": not getattr(record, column),
        "day": datetime.date(2023, 10, 1),
        "instant": datetime.datetime(2023, 10, 1, tzinfo=datetime.UTC),
        "money": 123_400,
        "texts": '["甲","乙"]',
        "custom": "{}",
    }[kind.name]


COLUMNS = [
    (name, field.name)
    for name, collection in SCHEMA.collections.items()
    for field in collection.fields
    if name in SHEETS
]


def test_every_column_that_is_said_to_be_editable_is_and_no_other(crm, world, clock):
    clock.forward(hours=1)
    views = presentation_of(crm.playbook).sheets
    for collection, column in COLUMNS:
        name, cells = SPECIAL.get(f"{collection}.{column}", (NAMES[collection], None))
        record = getattr(world, name)
        # Each on a copy, so that none stands in the way of another.
        trial = crm.copied_to_memory()
        cells = cells or {column: another(type(record), column, record)}
        before = rows_of(trial)
        report = take_in(trial, [changed(trial, collection, record.id, **cells)])
        after = rows_of(trial)
        view = views[collection].fields.get(column)
        if view is not None and view.editable:
            assert not report.issues, (collection, column, report.text())
            position = SCHEMA.collection(collection).position(column)
            assert after[collection][record.id][position] != before[collection][record.id][position], column
            assert after["events"].keys() > before["events"].keys()
        else:
            assert codes(report) == [("not_editable", f"{type(record).entity}.{column}")]
            assert after == before


def test_every_sheet_takes_new_rows_of_its_kind(crm, world, clock):
    clock.forward(hours=1)
    name = "示例科技有限公司"
    rows: dict[str, dict[str, Any]] = {
        "customers": {"name": "个人客户甲", "kind": "个人客户", "owner": "li.ming", "industry": "零售业", "core_need": "x"},
        "contacts": {"customer_id": name, "name": "联系人乙", "phones": "13900139000", "decision_maker": True},
        "follow_ups": {"customer_id": world.customer.number, "summary": "电话沟通", "method": "电话"},
        "follow_up_plans": {"customer_id": name, "due_on": datetime.date(2023, 11, 1), "goal": "签约"},
        "opportunities": {"name": "二期项目", "customer_id": name, "stage": "方案提交", "expected_amount": 100_00},
        "orders": {"number": "DD-9", "customer_id": name, "amount": 100_00, "amount_currency": "USD"},
        "instalments": {"order_id": "DD-3", "due_on": datetime.date(2023, 12, 1), "amount": 100_00},
        "tickets": {"customer_id": name, "subject": "无法登录", "priority": "紧急"},
        "feedback": {"customer_id": name, "description": "希望更快", "type": "建议"},
        "objections": {"customer_id": name, "description": "价格", "opportunity_id": "办公设备采购"},
        "referrals": {"referrer_id": name, "referred_name": "新朋友公司"},
        "attachments": {"customer_id": name, "name": "合同.pdf", "about": "contract"},
        "action_plans": {"what": "回访", "owner": "li.ming"},
    }  # fmt: skip
    assert (
        rows.keys()
        == SHEETS.keys()
        == {n for n, sheet in presentation_of(crm.playbook).sheets.items() if sheet.addable}
    )
    person = added(crm, "contacts", customer_id="个人客户甲", name="甲", phones="13900139000", emails="a@example.com")
    report = take_in(crm, [person, *(added(crm, collection, **cells) for collection, cells in rows.items())])
    assert not report.issues, report.text()
    for row in report.rows[1:]:
        kept = crm.read(lambda work, row=row: work.get(row.collection, row.id))
        record = CODECS[SHEETS[row.collection].entity].load(kept)
        assert record.created_by == EDITOR
    me = crm.acting_as("sales.east")
    assert me.orders.get("DD-9").amount == Money.of("100", "USD")
    new = me.customers.find(search="个人客户甲").items[0]
    assert (new.kind, new.owner) == ("individual", "li.ming")
    assert [contact.phones for contact in me.contacts.of(new)] == [("13900139000",)]
    assert me.plans.of(world.customer)


def test_what_a_new_row_can_not_fill_in_or_do_without_is_said_at_once(crm, world):
    before = rows_of(crm)
    edits = [
        added(crm, "customers", name="新客户", stage_since=NOW, last_follow_up_at=NOW),
        added(crm, "orders", collected=100),
        added(crm, "follow_ups", customer_id="没有这个客户", method="飞鸽"),
    ]
    report = take_in(crm, edits)
    assert rows_of(crm) == before
    assert codes(report) == [
        ("not_editable", "customer.stage_since"),
        ("not_editable", "customer.last_follow_up_at"),
        ("required", "customer.owner"),
        ("not_editable", "order.collected"),
        ("required", "order.customer_id"),
        ("unknown_customer", "follow_up.customer_id"),
        ("bad_choice", "follow_up.method"),
        ("required", "follow_up.summary"),
    ]


def test_a_row_with_a_number_that_is_taken_is_said_to_be_a_copy(crm, world):
    before = rows_of(crm)
    report = take_in(
        crm,
        [
            added(crm, "customers", number=world.customer.number, name="新客户", owner="li.ming", stage_since=NOW),
            added(crm, "orders", number="DD-1", customer_id=world.customer.number),
        ],
    )
    assert rows_of(crm) == before
    assert codes(report)[:2] == [("row_copied", "customer.number"), ("not_editable", "customer.stage_since")]
    assert ("row_copied", "order.number") in codes(report)
    assert f"客户编号{world.customer.number}已被使用" in report.text("zh-CN")


# ---- Against the use cases alone ----

TEXT = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=12)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "name": TEXT,
    "short_name": st.none() | TEXT,
    "scale": st.sampled_from(["large", "sole_trader", None]),
    "industry": TEXT,
    "headcount_low": st.integers(0, 10),
    "first_contact_on": st.dates(datetime.date(2023, 1, 1), datetime.date(2023, 10, 9)),
    "contract_signed_on": st.none() | st.dates(datetime.date(2023, 1, 1), datetime.date(2023, 10, 9)),
    "decision_makers": st.lists(TEXT, max_size=3).map(tuple),
    "budget": st.none() | st.integers(0, 10**12),
    "remarks": st.none() | TEXT,
}


def cells_of(values: dict[str, Any]) -> dict[str, Any]:
    """The values as a store keeps them."""
    lists = {name: json.dumps(value) if value else None for name, value in values.items() if type(value) is tuple}
    return {**values, **lists}


def twins() -> tuple[tuple[crmcore.CRM, World], tuple[crmcore.CRM, World]]:
    """Two equal stores, each with its ids from one."""

    def make() -> tuple[crmcore.CRM, World]:
        now = NOW

        def clock() -> datetime.datetime:
            return now

        counter = iter(range(1, 10**6))
        crm = crmcore.open(
            "memory:", "standard", clock=clock, ids=lambda: f"00000000-0000-7000-8000-{next(counter):012}"
        )
        return crm, World(crm)

    return make(), make()


@given(
    values=st.fixed_dictionaries({}, optional=VALUES),
    stage=st.none() | st.sampled_from(["interested", "customer", "lost"]),
    lost_reason=st.none() | TEXT,
    owner=st.none() | TEXT,
)
def test_a_changed_row_becomes_what_its_use_cases_make_of_it_or_leaves_the_store_as_it_was(
    values, stage, lost_reason, owner
):
    (crm, world), (plain, _) = twins()
    if lost_reason:
        values["lost_reason"] = lost_reason
    before, customer = rows_of(crm), world.customer
    cells = {**cells_of(values), **({"stage": stage} if stage else {}), **({"owner": owner} if owner else {})}
    report = take_in(crm, [changed(crm, "customers", customer.id, **cells)])
    fields = {
        **values, **({"budget": Money(values["budget"])} if values.get("budget") is not None else {})
    }  # fmt: skip
    other = {name: value for name, value in fields.items() if value != getattr(customer, name)}
    me = plain.acting_as(EDITOR)
    try:
        if stage:
            if "name" in other:
                me.customers.update(customer.id, name=other.pop("name"))
            me.customers.move(customer.id, stage, reason=lost_reason, **other)
        elif other:
            me.customers.update(customer.id, **other)
        if owner and owner != customer.owner:
            me.customers.assign(customer.id, owner)
    except crmcore.CRMError:
        assert report.refused and report.issues
        assert rows_of(crm) == before
    else:
        assert not report.refused, report.text()
        assert rows_of(crm) == rows_of(plain)


BAD: dict[str, Any] = {
    "stage": "customer",
    "scale": "巨型",
    "name": None,
    "headcount_low": Unreadable("很多"),
    "contract_signed_on": Unreadable("明天"),
    "budget": -5,
    "number": "KH-1",
    "stage_since": NOW,
    "first_contact_on": datetime.date(1700, 1, 1),
    "annual_revenue_currency": "金子",
}


@given(values=st.fixed_dictionaries({}, optional=VALUES), bad=st.sets(st.sampled_from(sorted(BAD)), min_size=1))
def test_a_row_with_anything_against_it_leaves_the_store_as_it_was(values, bad):
    crm = crmcore.open("memory:", "standard", clock=lambda: NOW)
    world = World(crm)
    before = rows_of(crm)
    good = {name: value for name, value in cells_of(values).items() if name not in bad}
    edit = changed(crm, "customers", world.customer.id, **good, **{name: BAD[name] for name in bad})
    report = take_in(crm, [edit])
    assert rows_of(crm) == before and len(report.refused) == 1
    told = {(issue.field or "").partition(".")[2] for issue in report.issues}
    # A rule is asked when every cell can be read.
    readable = {"stage", "name", "budget", "first_contact_on"}
    assert told >= {name.removesuffix("_currency") for name in bad - readable}
    assert told & {name.removesuffix("_currency") for name in bad}
    assert take_in(crm, [edit]).issues == report.issues


# ---- Somebody else, twice, and crashes ----


def test_what_somebody_else_changed_in_the_meantime_is_a_conflict_unless_both_say_the_same(crm, world):
    edit = changed(crm, "customers", world.customer.id, remarks="甲说", industry="零售业")
    other = changed(crm, "customers", world.customer.id, remarks="一样")
    me = crm.acting_as("sales.west")
    me.customers.update(world.customer, remarks="一样")
    before = rows_of(crm)
    report = take_in(crm, [edit, other])
    assert codes(report) == [("edit_conflict", "customer.remarks")]
    assert [row.outcome for row in report.rows] == ["refused", "known"]
    assert rows_of(crm) == before


def test_a_change_of_another_cell_of_the_row_is_no_conflict(crm, world):
    edit = changed(crm, "customers", world.customer.id, remarks="甲说")
    crm.acting_as("sales.west").customers.update(world.customer, industry="零售业")
    assert not take_in(crm, [edit]).issues
    found = crm.acting_as("sales.west").customers.get(world.customer.id)
    assert (found.industry, found.remarks, found.updated_by) == ("零售业", "甲说", EDITOR)


def test_a_row_that_is_gone_is_reported(crm, world):
    edit = changed(crm, "customers", world.customer.id, remarks="甲说")
    report = take_in(crm, [Edit(mark="m", kind="changed", collection="customers", id="none", row=2, cells=edit.cells)])
    assert codes(report) == [("refused", "customer")]
    assert "没有这样的客户" in report.text("zh-CN")


def batch(crm: crmcore.CRM, world: World) -> list[Edit]:
    return [
        changed(crm, "customers", world.customer.id, remarks="改过", stage="interested"),
        changed(crm, "customers", world.other.id, name=None),
        added(crm, "customers", name="新客户", owner="li.ming", industry="零售业", core_need="x", scale="大型企业"),
        added(crm, "contacts", customer_id="新客户", name="联系人乙", phones="13900139000", emails="b@example.com"),
        added(crm, "follow_ups", customer_id="新客户", summary="首次电话", method="电话"),
        changed(crm, "orders", world.order.id, collected=1_000_00),
        changed(crm, "opportunities", world.deal.id, stage="proposal", remarks="下周提交"),
        removed("contacts", world.contact.id),
    ]


def test_taking_in_twice_is_taking_in_once(crm, world, clock):
    edits = batch(crm, world)
    first = take_in(crm, edits)
    once = rows_of(crm)
    clock.forward(hours=1)
    second = take_in(crm, edits)
    assert rows_of(crm) == once
    assert [row.outcome for row in first.rows] == ["taken", "refused", *["taken"] * 5, "refused"]
    assert [row.outcome for row in second.rows] == ["known", "refused", *["known"] * 5, "refused"]
    assert second.issues == first.issues


class Crash(Exception):
    """What a machine does at any moment."""


class CrashingStore(EditedStore):
    """Dies at the n-th call that writes, or that settles; before it is done, or right after."""

    left: int | None = None

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[MemoryTransaction]:
        with super().transaction(write=write) as work:
            yield work
            if write:
                self.crash()
        if write:
            self.crash()

    def settle_edits(self) -> None:
        self.crash()
        super().settle_edits()
        self.crash()

    def crash(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Crash


def told(crm: crmcore.CRM) -> list[tuple[Any, ...]]:
    """What happened, and what came of it, without the ids, of which a crash uses some up."""
    events = crm.read(lambda work: [CODECS[Event].load(row) for row in work.scan("events")])
    actions = sorted((event.action, event.subject) for event in events)
    counts = sorted((name, len(rows)) for name, rows in rows_of(crm).items())
    customers = crm.acting_as("x").customers.find(order=("number",))
    return [*actions, *counts, *((one.number, one.name, one.stage, one.remarks, one.version) for one in customers)]


def test_a_crash_at_any_point_registers_nothing_twice_and_loses_nothing():
    def prepared() -> tuple[CrashingStore, MemoryData]:
        data = MemoryData(SCHEMA)
        store = CrashingStore(data)
        with open_edited(EditedStore(data), lambda: NOW) as crm:
            store.given = tuple(batch(crm, World(crm)))
        return store, data

    store, data = prepared()
    with open_edited(store, lambda: NOW) as crm:
        expected = told(crm)
    crashes = 0
    while True:
        store, data = prepared()
        store.left = crashes
        try:
            open_edited(store, lambda: NOW).close()
        except Crash:
            crashes += 1
        else:
            break
        store.left = None
        again = CrashingStore(data, store.given)
        with open_edited(again, lambda: NOW) as crm:
            assert told(crm) == expected
            assert again.given == ()
    assert crashes == 14  # five units of work, the report and settling, with two points each


# ---- Reports ----


def test_what_a_person_wrote_in_another_form_is_read_where_an_import_would_read_it(crm, world):
    cells = {
        "headcount_low": Unreadable("1,200"),
        "contract_signed_on": Unreadable("2023年10月1日"),
        "budget": Unreadable("10万"),
        "scale": Unreadable("大型企业"),
    }
    assert not take_in(crm, [changed(crm, "customers", world.customer.id, **cells)]).issues
    found = crm.acting_as("x").customers.get(world.customer.id)
    assert (found.headcount_low, found.contract_signed_on) == (1200, datetime.date(2023, 10, 1))
    assert (found.budget, found.scale) == (Money.of("100000"), "large")
    cells = {
        "uscc": Unreadable("9.1E+17"),
        "first_contact_on": Unreadable("03/04/2023"),
        "budget": Unreadable("10美元"),
    }
    report = take_in(crm, [changed(crm, "customers", world.customer.id, **cells)])
    assert [issue.code for issue in report.issues] == ["bad_type"] * 3


def test_a_value_that_the_program_spoiled_is_told_apart_from_one_of_the_wrong_kind(crm, world):
    spoiled = {
        "uscc": Unreadable("9.11101080828837E+17", why="precision_lost"),
        "budget": Unreadable("#N/A", why="cell_error"),
        "budget_currency": Unreadable("#REF!", why="cell_error"),
        "headcount_low": Unreadable("#DIV/0!", why="cell_error"),
    }
    report = take_in(crm, [changed(crm, "customers", world.customer.id, **spoiled)])
    assert codes(report) == [
        ("precision_lost", "customer.uscc"),
        ("cell_error", "customer.budget"),
        ("cell_error", "customer.budget"),
        ("cell_error", "customer.headcount_low"),
    ]
    assert "#N/A" in report.text("zh-CN") and "9.111" not in report.text("zh-CN")


def test_a_report_names_the_place_the_field_the_code_and_the_reason_in_both_languages(crm, world):
    edits = [
        changed(crm, "customers", world.customer.id, row=12, headcount_low=Unreadable("很多")),
        changed(crm, "settings", "playbook", row=3, value="marketing"),
        removed("customers", world.other.id),
    ]
    report = take_in(crm, edits)
    place = report.text("zh-CN").splitlines()[1].split()[0]
    assert place.startswith("客户!") and place.endswith("12")
    assert report.text("zh-CN").splitlines()[1].split(" ", 1)[1] == "员工人数下限 [bad_type] 员工人数下限应为整数"
    assert (
        report.text().splitlines()[1].split(" ", 1)[1]
        == "Employees from [bad_type] Employees from must be a whole number"
    )
    assert "1 行" not in report.text("zh-CN") and "外部修改:已录入0行,未录入3行" in report.text("zh-CN")
    assert codes(report)[1:] == [("sheet_kept", "setting"), ("row_removed", "customer")]
    assert "setting.value" not in report.text("zh-CN") and "此工作表由程序自用" in report.text("zh-CN")
    assert world.other.number in report.text()
    assert "很多" not in report.text() + report.text("zh-CN")
    table = report.to_table()
    assert len(table.rows) == 3 and "员工人数下限" in table.to_text("zh-CN") and "Employees from" in table.to_text()
    assert [row.outcome for row in report.refused] == ["refused"] * 3 and not report.taken


def test_each_rule_against_a_row_is_put_where_its_field_was_edited(crm, world):
    cells = {"stage": "lost", "remarks": "x", "tier": "Z", "owner": None}
    report = take_in(crm, [changed(crm, "customers", world.customer.id, row=5, **cells)])
    found = {issue.code: issue for issue in report.issues}
    assert found.keys() == {"bad_choice"}  # what can't be read comes before any rule
    cells = {"stage": "lost", "remarks": "x", "owner": None}
    report = take_in(crm, [changed(crm, "customers", world.customer.id, row=5, **cells)])
    assert codes(report) == [("reason_required", "customer.lost_reason"), ("required", "customer.owner")]
    assert "流失原因 [reason_required]" in report.text("zh-CN")
    assert [(issue.sheet, issue.row) for issue in report.issues] == [("客户", 5)] * 2
    assert report.issues[1].column is not None


def test_a_customer_that_is_on_file_is_not_registered_again(crm, world):
    person = added(
        crm, "contacts", customer_id="示例科技有限公司", name="乙", phones="13900139000", emails="b@example.com"
    )
    again = added(
        crm, "customers", name="示例科技有限公司", owner="x", industry="制造业", core_need="x", scale="大型企业"
    )
    report = take_in(crm, [again, person])
    assert codes(report) == [("duplicate", "customer.name"), ("refused", "contact")]
    assert world.customer.number in report.text()


def test_a_stage_may_be_told_by_its_label_and_a_loss_has_its_reason_in_the_row(crm, world):
    edit = changed(crm, "customers", world.customer.id, stage="流失客户", lost_reason="预算取消")
    assert not take_in(crm, [edit]).issues
    lost = crm.acting_as("x").customers.get(world.customer.id)
    assert (lost.stage, lost.lost_reason) == ("lost", "预算取消")
    assert crm.acting_as("x").customers.stages(lost)[-1].reason == "预算取消"


def test_a_tier_with_a_reason_is_set_by_hand_and_released_without(crm, world):
    edit = changed(crm, "customers", world.customer.id, tier="A", tier_reason="总部要求")
    assert not take_in(crm, [edit]).issues
    held = crm.acting_as("x").customers.get(world.customer.id)
    assert (held.tier, held.tier_reason) == ("A", "总部要求")
    assert not take_in(crm, [changed(crm, "customers", world.customer.id, tier_reason=None)]).issues
    assert crm.acting_as("x").customers.get(world.customer.id).tier_reason is None


def test_a_payment_is_what_was_added_to_what_was_paid(crm, world):
    assert not take_in(crm, [changed(crm, "orders", world.order.id, collected=1_000_00)]).issues
    assert not take_in(crm, [changed(crm, "orders", world.order.id, collected=1_500_00)]).issues
    assert crm.acting_as("x").orders.get("DD-1").collected == Money.of("1500")
    less = take_in(crm, [changed(crm, "orders", world.order.id, collected=500_00)])
    assert codes(less) == [("out_of_range", "order.collected")]


def test_an_amount_in_a_currency_with_other_decimals_than_its_column_is_not_guessed_at(crm, world):
    before = rows_of(crm)
    edit = changed(crm, "customers", world.customer.id, budget=100_000, budget_currency="日元")
    new = added(crm, "orders", number="DD-8", customer_id="示例科技有限公司", amount=100_000, amount_currency="JPY")
    report = take_in(crm, [edit, new])
    assert codes(report) == [("refused", "customer.budget"), ("refused", "order.amount")]
    assert "此币种的金额不能在此修改" in report.text("zh-CN")
    assert rows_of(crm) == before


def test_tickets_go_on_as_their_loop_allows(crm, world):
    report = take_in(
        crm,
        [
            changed(
                crm, "tickets", world.ticket.id, state="处理中", assignee="wang.fang", collaborators="hua/技术支持"
            ),
            changed(crm, "tickets", world.solved.id, state="in_progress"),
        ],
    )
    assert codes(report) == [("reason_required", "ticket.reason")]
    query = Query("tickets", Eq("id", world.ticket.id))
    ticket = crm.read(lambda work: [CODECS[Ticket].load(row) for row in work.find(query)])[0]
    assert (ticket.state, ticket.assignee, ticket.collaborators) == ("in_progress", "wang.fang", ("hua/技术支持",))
    closing = changed(crm, "tickets", world.ticket.id, result="已更换", state="closed", stars=5)
    assert not take_in(crm, [closing]).issues
    assert crm.acting_as("x").tickets.get(world.ticket.id).state == "closed"


# ---- Opening ----


def test_opening_shows_the_data_takes_in_what_was_changed_and_settles_it(clock):
    data = MemoryData(SCHEMA)
    with open_edited(EditedStore(data), clock) as crm:
        world = World(crm)
        edits = batch(crm, world)
        assert crm.edit_report is None
        assert isinstance(crm.store, EditedStore) and isinstance(crm.store.presented, Presentation)
        assert crm.store.settled == 0
    clock.forward(hours=1)
    store = EditedStore(data, edits)
    with open_edited(store, clock, edited_by="li.ming") as crm:
        assert crm.edit_report is not None
        assert (len(crm.edit_report.taken), len(crm.edit_report.refused)) == (6, 2)
        assert store.settled == 1
        assert crm.acting_as("x").customers.get(world.customer.id).updated_by == "li.ming"
    with open_edited(EditedStore(data, store.given), clock) as crm:
        assert crm.edit_report is None


def test_the_last_report_stays_in_the_store_and_in_the_guide_until_the_next(clock):
    data = MemoryData(SCHEMA)
    with open_edited(EditedStore(data), clock) as crm:
        world = World(crm)
        edits = [changed(crm, "customers", world.customer.id, row=7, headcount_low=Unreadable("很多"))]
        assert crm.last_edits() is None
    with open_edited(store := EditedStore(data, edits), clock):
        assert store.presented is not None and "客户!" in store.presented.guide[-1]
    clock.forward(days=1)
    with open_edited(store := EditedStore(data), clock) as crm:
        kept = crm.last_edits()
        assert kept is not None and (kept.taken, kept.refused, kept.at) == (0, 1, NOW)
        assert "员工人数下限应为整数" in kept.text("zh-CN") and "whole number" in kept.text()
        assert store.presented is not None
        assert store.presented.guide[-2].startswith("2023-10-09 10:00 外部修改:已录入0行,未录入1行")
        with pytest.raises(QueryError, match="there are en and zh-CN"):
            kept.text("fr")
        edits = [changed(crm, "customers", world.customer.id, headcount_low=5)]
    with open_edited(EditedStore(data, edits), clock) as crm:
        kept = crm.last_edits()
        assert kept is not None and (kept.taken, kept.refused) == (1, 0)


def test_edits_need_a_name_to_be_taken_in_under(clock):
    data = MemoryData(SCHEMA)
    with open_edited(EditedStore(data), clock) as crm:
        edits = batch(crm, World(crm))
    store = EditedStore(data, edits)
    with pytest.raises(crmcore.CRMError, match="somebody must be acting"):
        open_edited(store, clock, edited_by=" ")
    assert store.settled == 0


def test_a_plugin_may_refuse_an_edit_as_any_other_change(clock):
    class Guard:
        @crmcore.hookimpl
        def crm_check(self, change: Any, context: Any) -> None:
            if change.action == "customer.updated" and isinstance(change.after, Customer) and change.after.remarks:
                raise Veto("no remarks")

    data = MemoryData(SCHEMA)
    with open_edited(EditedStore(data), clock) as crm:
        world = World(crm)
        edits = [changed(crm, "customers", world.customer.id, remarks="改过")]
        before = rows_of(crm)
    with open_edited(EditedStore(data, edits), clock, plugins=[Guard()]) as crm:
        assert crm.edit_report is not None and codes(crm.edit_report) == [("refused", "customer")]
        assert rows_of(crm) == before


def test_every_entity_that_is_shown_has_a_place_in_the_world():
    assert NAMES.keys() == SHEETS.keys() <= {cls.collection for cls in ENTITIES}
