"""Permissions hold on every path: what a role sees and changes is what its table says, read apart by an oracle."""

from __future__ import annotations

import gc
import hashlib
import inspect
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from permission_oracle import Oracle
from permission_story import ACTORS, ELSEWHERE, OWNER, READS, WRITES, rows_of, tell, truth
from permission_worlds import BUNDLED, playbook_of

import crmcore
from crmcore.app.crm import Session
from crmcore.app.engine import UseCases
from crmcore.domain import Money
from crmcore.errors import Conflict, CRMError, DuplicateCustomer, Forbidden, Invalid, NotFound
from crmcore.storage.codec import to_plain
from crmcore.storage.query import Contains, Eq, Gt

Story = tuple[crmcore.CRM, SimpleNamespace]

#: Sales that see their own alone, and not all of it; the others as they come.
NARROW = {
    **BUNDLED,
    "sales": {
        "actions": {
            "any": {
                **dict.fromkeys(("read", "create", "update"), "own"),
                **dict.fromkeys(("move", "assign", "import", "export"), "none"),
            },
            "user": {"read": "team"},
            "outbox_message": {"read": "own"},
        },
        "fields": {
            **BUNDLED["sales"]["fields"],
            "customer": {
                **BUNDLED["sales"]["fields"]["customer"],
                "remarks": "masked",
                "address": "read",
                "budget": "hidden",
            },
            "follow_up": {"summary": "hidden"},
        },
    },
}
ROLES_TRIED = [name for name in ACTORS if name != "离职"]


@pytest.fixture
def story(open_crm: Callable[..., crmcore.CRM]) -> Story:
    crm = open_crm(playbook_of(BUNDLED))
    return crm, tell(crm)


@pytest.fixture(scope="module")
def told() -> Iterator[dict[str, Story]]:
    """The story in memory under two tables; tests work on copies of it."""
    found: dict[str, Story] = {}
    for name, table in (("bundled", BUNDLED), ("narrow", NARROW)):
        crm = crmcore.open("memory:", playbook_of(table))
        found[name] = crm, tell(crm)
    yield found
    for crm, _ in found.values():
        crm.close()


def oracle_of(table: dict[str, Any]) -> Oracle:
    return Oracle(table, ACTORS)


TABLES = {"bundled": BUNDLED, "narrow": NARROW}


# Every use case, as every role


def parts_of(session: Session) -> dict[str, UseCases]:
    return {name: part for name, part in vars(session).items() if isinstance(part, UseCases)}


def test_every_use_case_is_tried() -> None:
    with crmcore.open("memory:") as crm:
        parts = parts_of(crm.acting_as("somebody"))
    methods = {
        f"{name}.{method}"
        for name, part in parts.items()
        for method, _ in inspect.getmembers(type(part), inspect.isfunction)
        if not method.startswith("_") and method not in vars(UseCases)
    }
    assert methods == READS.keys() | WRITES.keys() | ELSEWHERE.keys()
    assert not READS.keys() & WRITES.keys()


def test_every_part_of_a_session_works_through_the_guard() -> None:
    with crmcore.open("memory:") as crm:
        for part in parts_of(crm.acting_as("somebody")).values():
            assert part.engine is not crm
            assert part.engine.plain is crm


def everything_told(value: Any) -> str:
    return f"{value!r} {to_plain(value)!r}"


def kept_back(crm: Any, table: dict[str, Any], actor: str) -> set[str]:
    """Every value that the actor may not have, in the forms in which it could be told."""
    oracle, records = oracle_of(table), truth(crm)
    plain = {
        record.id: {name: getattr(record, name) for name in type(record).kinds}
        for all in records.values()
        for record in all
    }
    secrets: set[str] = set()
    open_to_all: set[str] = set()
    for cls, found in records.items():
        for record in found:
            values = plain[record.id]
            parent = plain.get(values.get("referrer_id") or values.get("customer_id") or "")
            near = oracle.near(actor, oracle.names(values, parent))
            sees = oracle.may(actor, cls.entity, "read", near)
            for name, value in values.items():
                if cls.kinds[name].name == "choice":
                    continue
                level = oracle.level(actor, cls.entity, name, near) if sees else 0
                texts = value if isinstance(value, tuple) else (value,)
                forms = {text for text in texts if isinstance(text, str) and len(text) > 3 and name not in PUBLIC}
                if isinstance(value, Money):
                    forms = {str(value.minor), f"{value.amount:f}"}
                (open_to_all if level >= 2 else secrets).update(forms)
    return secrets - open_to_all


#: Fields that are no secret wherever they stand: ids, and words that many records share.
PUBLIC = {
    *(
        "id",
        "created_by",
        "updated_by",
        "owner",
        "stage",
        "pipeline",
        "state",
        "kind",
        "outcome",
        "source",
        "number",
        "industry",
    ),
    *(
        "customer_id",
        "opportunity_id",
        "order_id",
        "plan_id",
        "follow_up_id",
        "referrer_id",
        "referred_id",
        "type",
        "complexity",
    ),
    *(
        "priority",
        "responsible",
        "assignee",
        "registrar",
        "recorder",
        "collaborators",
        "roles",
        "department",
        "confirmation",
    ),
}


@pytest.mark.parametrize("actor", ROLES_TRIED)
@pytest.mark.parametrize("table", TABLES)
def test_nothing_that_is_kept_back_is_read(
    told: dict[str, Story], table: str, actor: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    crm, r = told[table]
    secrets = kept_back(crm, TABLES[table], actor)
    assert secrets or actor in ("admin", "东主管", "西主管") or (actor == OWNER and table == "bundled")
    me = crm.acting_as(actor)
    with caplog.at_level(logging.DEBUG):
        for name, call in READS.items():
            try:
                answer = everything_told(call(me, r, tmp_path))
            except CRMError as error:
                answer = f"{error!r} {error.details} {error.text('zh-CN')}"
            assert [secret for secret in secrets if secret in answer] == [], name
    assert [secret for secret in secrets if secret in caplog.text] == []
    for path in tmp_path.iterdir():
        from crmcore.interchange.sheets import read_sheets

        cells = repr([sheet.rows for sheet in read_sheets(path)])
        assert [secret for secret in secrets if secret in cells] == []


@pytest.mark.parametrize("actor", ROLES_TRIED)
@pytest.mark.parametrize("table", TABLES)
def test_every_change_is_allowed_as_the_table_says(
    told: dict[str, Story], table: str, actor: str, tmp_path: Path
) -> None:
    crm, r = told[table]
    oracle, secrets = oracle_of(TABLES[table]), kept_back(crm, TABLES[table], actor)
    team_of_owner = {OWNER}
    near = oracle.near(actor, team_of_owner)
    for name, (call, needed) in WRITES.items():
        copy = crm.copied_to_memory()
        me, before = Session(copy, actor), rows_of(copy)  # type: ignore[arg-type]
        sees = oracle.may(actor, "customer", "read", near)
        allowed = all(
            oracle.level(actor, *entity.split("."), near) >= 3
            if action == "write"
            else oracle.may(
                actor, entity, action.split("!")[0], {"own": 1, "all": 3}.get(action.partition("!")[2], near)
            )
            for entity, action in needed
        )
        entity = needed[0][0] if needed else "customer"
        there = oracle.may(actor, entity, "read", near) or entity in ("user", "outbox_message")
        if any(action.startswith("create") for _, action in needed):
            there = sees or "!" in needed[0][1]
        try:
            answer = everything_told(call(me, r, tmp_path))
            outcome = "allowed"
        except (Forbidden, NotFound) as error:
            answer = f"{error!r} {error.details}"
            outcome = "refused"
            assert rows_of(copy) == before or name in COMPOSED, name
        assert outcome == ("allowed" if allowed and there else "refused"), (name, answer)
        assert [secret for secret in secrets if secret in answer] == [], name


#: Calls of more than one unit of work, of which the first can be allowed and the second not.
COMPOSED = ("feedback.contribute", "orders.add_instalment", "tiers.release", "users.hand_over", "imports.plan")


def test_a_refusal_leaves_the_store_as_it_was(story: Story, store_url: str, tmp_path: Path) -> None:
    crm, r = story
    path = Path(store_url.removeprefix("sqlite:///"))
    before, file = rows_of(crm), hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
    for actor in ("西一", "无岗", "离职", "unknown"):
        me = crm.acting_as(actor)
        for name, (call, _) in WRITES.items():
            if actor == "西一" and name not in ("customers.update", "contacts.update", "orders.collect", "users.add"):
                continue
            if name in ("customers.remove_collaborators",):
                continue
            with pytest.raises((Forbidden, NotFound)):
                call(me, r, tmp_path)
    assert rows_of(crm) == before
    if file is not None:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == file


# From when on


def test_until_an_administrator_is_on_file_everybody_may_do_everything(open_crm: Callable[..., crmcore.CRM]) -> None:
    crm = open_crm("standard")
    me = crm.acting_as("anybody")
    acme = me.customers.register(name="示例科技有限公司")
    me.users.add("anybody", roles=["sales"])
    assert crm.acting_as("nobody").customers.update(acme, remarks="…").remarks == "…"
    me.users.add("root", roles=["administrator"])
    with pytest.raises(Forbidden):
        me.users.add("other")
    with pytest.raises(Forbidden, match="not on file"):
        crm.acting_as("nobody").customers.count()


def test_the_last_administrator_stays(open_crm: Callable[..., crmcore.CRM]) -> None:
    root = open_crm("standard").acting_as("root")
    root.users.add("root", roles=["administrator"])
    root.users.add("second", roles=["administrator"])
    root.users.deactivate("second")
    for change in (lambda: root.users.deactivate("root"), lambda: root.users.update("root", roles=["sales"])):
        with pytest.raises(Invalid, match="the last administrator stays"):
            change()
    root.users.activate("second")
    assert root.users.update("root", roles=["sales"]).roles == ("sales",)
    with pytest.raises(Forbidden):
        root.users.add("third")


# What can't be guessed


def test_a_field_that_is_kept_back_is_not_asked_by(story: Story) -> None:
    crm, _ = story
    me = crm.acting_as("西一")
    for ask in (
        lambda: me.customers.find(Gt("contract_amount", 5)),
        lambda: me.customers.find(order=["contract_amount"]),
        lambda: me.customers.count(Eq("contract_amount_currency", "CNY")),
        lambda: me.customers.find(Contains("decision_makers", "密")),
        lambda: me.follow_ups.engine.read(lambda look: look.count("contacts", Contains("phones", "138"))),
        lambda: me.follow_ups.engine.read(lambda look: look.tally("contacts", None, ("phones",))),
        lambda: me.follow_ups.engine.read(lambda look: look.count("events", Contains("changes", "138"))),
    ):
        with pytest.raises(Forbidden, match="look for, sort or group"):
            ask()


def test_a_conflict_tells_nothing_of_a_field_that_is_kept_back(story: Story) -> None:
    crm, r = story
    seen = crm.acting_as("东主管").customers.get(r.customer.id)
    shown = crm.acting_as("西一").customers.get(r.customer.id)
    crm.acting_as("admin").customers.update(r.customer.id, contract_amount=Money(1, "CNY"))
    with pytest.raises(Conflict):
        crm.acting_as("东主管").customers.update(seen, contract_amount=Money(2, "CNY"))
    with pytest.raises(Forbidden):
        crm.acting_as("西一").customers.update(shown, contract_amount=Money(2, "CNY"))


def test_a_duplicate_that_one_may_not_see_has_no_number(told: dict[str, Story]) -> None:
    crm, r = told["narrow"]
    with pytest.raises(DuplicateCustomer) as hidden:
        crm.acting_as("西一").customers.register(name=r.customer.name)
    assert hidden.value.details == {"number": None, "id": None}
    assert r.customer.number not in str(hidden.value)
    with pytest.raises(DuplicateCustomer, match=r.customer.number):
        crm.acting_as(OWNER).customers.register(name=r.customer.name)


def test_an_invisible_record_is_as_one_that_is_not_there(told: dict[str, Story]) -> None:
    crm, r = told["narrow"]
    me = crm.acting_as("西一")
    for call in (
        me.customers.get,
        lambda id: me.customers.update(id, remarks="…"),
        me.contacts.of,
        lambda id: me.follow_ups.log(id, summary="…"),
        lambda id: (
            me.referrals.make(me.customers.find().items[0], referred=id)
            if me.customers.count()
            else me.customers.get(id)
        ),
    ):
        errors = []
        for id in (r.customer.id, "00000000-0000-7000-8000-999999999999", r.customer.number):
            with pytest.raises(NotFound) as found:
                call(id)
            errors.append((str(found.value), found.value.details))
        assert errors[0] == errors[1] == errors[2]


def test_an_import_neither_finds_nor_guesses_what_is_kept_back(told: dict[str, Story], tmp_path: Path) -> None:
    crm, r = told["narrow"]
    sheet = tmp_path / "contacts.csv"
    sheet.write_text(f"客户编号,联系人\n{r.customer.number},司马相如\nC2099010100001,司马相如\n", "utf-8")
    with pytest.raises(Forbidden, match=r"contact\.import"):
        Session(crm.copied_to_memory(), "两岗").imports.plan(sheet, table="contacts").apply()  # type: ignore[arg-type]
    me = Session(crm.copied_to_memory(), "市场")  # type: ignore[arg-type]
    sheet.write_text(f"客户编号,联系人,电话\n{r.customer.number},司马相如,13812345678\n", "utf-8")
    result = me.imports.plan(sheet, table="contacts").apply()
    assert (result.created, result.known) == (1, 0)


def test_who_took_rows_in_may_take_them_back(story: Story, tmp_path: Path) -> None:
    crm, r = story
    sheet = tmp_path / "contacts.csv"
    sheet.write_text(f"客户编号,联系人\n{r.customer.number},新联系人\n", "utf-8")
    me, other = crm.acting_as("市场"), crm.acting_as(OWNER)
    result = me.imports.plan(sheet, table="contacts").apply()
    assert (result.created, len(me.imports.runs())) == (1, 1)
    assert other.imports.runs() == []
    with pytest.raises(NotFound):
        other.imports.undo(result.run or "")
    assert me.imports.undo(result.run or "").removed == 1
    assert [one.name for one in crm.acting_as("admin").contacts.of(r.customer.id)] == ["司马相如"]


def test_an_import_compares_nothing_that_is_kept_back(story: Story, tmp_path: Path) -> None:
    crm, r = story
    sheet = tmp_path / "customers.csv"
    for amount in (777, 7771101):
        sheet.write_text(f"客户编号,客户名称,合同金额\n{r.customer.number},{r.customer.name},{amount}\n", "utf-8")
        plan = crm.acting_as("数据").imports.plan(sheet, table="customers", duplicates="update")
        told = [(issue.code, issue.facts.get("why")) for issue in plan.apply().issues if issue.level == "error"]
        assert told == [("refused", "forbidden")]


def test_a_masked_export_does_not_come_back_as_data(story: Story, tmp_path: Path) -> None:
    crm, r = story
    mine = crm.acting_as("财务")
    shown = mine.contacts.of(r.customer.id)[0]
    with pytest.raises((Forbidden, Invalid)):
        mine.contacts.update(r.contact.id, phones=shown.phones)
    steward = crm.acting_as("数据")
    with pytest.raises(Forbidden, match=r"may not write customer\.decision_makers"):
        steward.customers.update(
            r.customer.id, decision_makers=steward.customers.get(r.customer.id).decision_makers, remarks="…"
        )


# What is drawn by rule is not asked for


def test_what_follows_by_rule_is_not_asked_for(story: Story) -> None:
    crm, r = story
    me = crm.acting_as("财务")
    before = crm.acting_as("admin").customers.get(r.customer.id)
    logged = me.follow_ups.log(r.customer.id, summary="对账", at=me.crm.now())
    after = crm.acting_as("admin").customers.get(r.customer.id)
    assert after.last_follow_up_at == logged.at
    with pytest.raises(Forbidden):
        me.customers.update(r.customer.id, first_contact_on=before.first_contact_on, remarks="…")


def test_a_notice_goes_to_none_who_may_not_see_the_customer(story: Story) -> None:
    crm, r = story
    admin = crm.acting_as("admin")
    admin.customers.assign(r.customer.id, "离职")
    admin.customers.assign(r.other.id, "stranger")
    known = {message.id for message in admin.notifications.find()}
    crm.clock.forward(days=40)  # type: ignore[attr-defined]
    admin.notifications.enqueue()
    told = {message.recipient for message in admin.notifications.find() if message.id not in known}
    assert told
    assert not told & {"离职", "stranger", "无岗"}


# 谁录入谁维护, 二次核对, 交接


def test_what_somebody_else_entered_its_owner_confirms(story: Story) -> None:
    crm, r = story
    entered = crm.acting_as("市场").customers.register(name="市场录入有限公司", owner="西一")
    owner = crm.acting_as("西一")
    assert [one.id for one in owner.customers.unconfirmed()] == [entered.id]
    with pytest.raises(Invalid, match="its owner confirms it"):
        crm.acting_as("市场").customers.confirm(entered.id)
    with pytest.raises(Invalid, match="its owner entered it"):
        crm.acting_as(OWNER).customers.confirm(r.customer.id)
    with pytest.raises(Invalid):
        owner.customers.update(entered.id, confirmed_by="西一")
    confirmed = owner.customers.confirm(entered.id)
    assert (confirmed.confirmed_by, confirmed.confirmed_at) == ("西一", crm.now())
    assert owner.customers.unconfirmed() == []
    assert owner.customers.timeline(entered.id).items[0].action == "customer.confirmed"
    assert crm.acting_as("市场").customers.update(entered.id, remarks="谁录入谁维护").remarks


def test_everything_of_a_leaver_is_handed_over_with_its_history(story: Story) -> None:
    crm, r = story
    admin = crm.acting_as("admin")
    closed = crm.acting_as(OWNER).tickets.close(r.ticket_solved, stars=5)
    left = admin.users.deactivate(OWNER, successor="西一", reason="离职")
    assert not left.active
    assert {one.owner for one in admin.customers.find()} == {"西一"}
    assert {one.owner for one in admin.opportunities.find(outcome="open")} == {"西一"}
    assert {one.assignee for one in admin.tickets.find(state="in_progress")} <= {"西一"}
    assert admin.tickets.get(closed.id).assignee == OWNER
    assert {one.owner for one in admin.plans.of(r.customer.id)} <= {"西一", None}
    assert {one.owner for one in admin.action_plans.find()} == {"西一"}
    assert "西一" in admin.feedback.get(r.feedback_answered.id).collaborators
    assert {one.obligation.owner for one in admin.obligations.due(crm.today().replace(year=2025))} == {"西一"}
    told = [event for event in admin.customers.timeline(r.customer.id) if event.action == "customer.assigned"]
    assert [(event.reason, json.loads(event.changes or "{}")["owner"]) for event in told] == [("离职", [OWNER, "西一"])]
    events = admin.users.engine.read(lambda look: [row for row in rows_of(crm)["events"] if "user.handed_over" in row])
    assert len(events) == 6
    assert admin.obligations.recompute(dry_run=True).changed == 0
    assert crm.check().findings == ()


def test_a_hand_over_that_was_cut_off_goes_on(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    crm, _ = story
    monkeypatch.setattr("crmcore.app.users.BATCH", 1)
    admin = crm.acting_as("admin")

    def cut(done: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        admin.users.hand_over(OWNER, "西一", progress=cut)
    rest = admin.users.hand_over(OWNER, "西一")
    assert rest.total > 0
    assert admin.users.hand_over(OWNER, "西一").total == 0
    for name, why in ((OWNER, "somebody else takes over"), ("离职", "not an active user")):
        with pytest.raises(Invalid, match=why):
            admin.users.hand_over(OWNER, name)


# Plugins can only deny


class Embargo:
    """Lets nobody but administrators see what is tagged, and nobody change it."""

    @crmcore.hookimpl
    def crm_permit(self, request: Any) -> bool | None:
        tagged = request.entity == "customer" and request.record is not None and "old" in request.record.tags
        return not tagged or (request.actor == "admin" and request.action == "read")


def test_hook_crm_permit_denies_on_every_path_and_allows_nothing(open_crm: Callable[..., crmcore.CRM]) -> None:
    crm = open_crm(playbook_of(BUNDLED), plugins=[Embargo()])
    r = tell(crm)
    mine, admin = crm.acting_as(OWNER), crm.acting_as("admin")
    assert [one.id for one in mine.customers.find()] == [r.other.id]
    assert mine.customers.count() == 1
    assert len(mine.exports.table("customers").rows) == 1
    with pytest.raises(NotFound):
        mine.customers.get(r.customer.id)
    assert admin.customers.get(r.customer.id).id == r.customer.id
    with pytest.raises(Forbidden, match="a plugin denies it"):
        admin.customers.update(r.customer.id, remarks="…")
    with pytest.raises(Forbidden):
        crm.acting_as("西一").customers.update(r.other.id, remarks="the table goes first")


def test_no_session_keeps_its_engine_alive() -> None:
    with crmcore.open("memory:") as crm:
        crm.acting_as("somebody")
        gc.collect()
        assert crm.plain is crm
