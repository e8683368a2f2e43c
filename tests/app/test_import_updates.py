"""Imports beside what is on file: update, merge, ask; several people, packed histories; differences; undoing."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crmcore
from crmcore.errors import DomainError, ImportRejected, NotFound
from crmcore.interchange.histories import read_history

SHANGHAI = ZoneInfo("Asia/Shanghai")
HEAD = [
    "客户名称*",
    "所属行业",
    "联系人",
    "联系电话",
    "合同金额",
    "标签",
    "备注",
    "交往记录",
    "跟进负责人",
    "统一社会信用代码",
]


def write(path, *rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def row(name, **values):
    keys = ("industry", "person", "phone", "amount", "tags", "remarks", "history", "owner", "uscc")
    return [name, *(values.get(key, "") for key in keys)]


@pytest.fixture
def us(open_crm):
    return open_crm("standard").acting_as("importer")


@pytest.fixture
def there(us):
    return us.customers.register(name="甲公司", remarks="老客户", tags=("重点",), owner="hua")


def contents(session):
    """What is on file, but for the log, the ledger and the counters."""
    kept = ("customers", "contacts", "follow_ups", "follow_up_plans", "opportunities", "obligations", "match_keys")

    def look(transaction):
        return {name: sorted(map(_unstamped(name), transaction.scan(name)), key=str) for name in kept}

    return session.crm.read(look)


def _unstamped(name):
    return lambda row: (row[0], *row[6:]) if name not in ("obligations", "match_keys") else (row[0], *row[2:])


def test_a_row_about_a_customer_on_file_fills_in_what_is_blank(us, there, tmp_path):
    path = write(
        tmp_path / "a.csv", HEAD, row("甲公司", industry="制造业", tags="重点;老友", remarks="新说法", person="王工")
    )
    result = us.imports.plan(path, duplicates="update").apply()
    assert (result.created, result.updated, result.known, result.rejected) == (0, 1, 0, 0)
    now = us.customers.get(there.number)
    assert (now.industry, now.tags, now.remarks, now.owner) == ("制造业", ("重点",), "老客户", "hua")
    kept = {issue.field for issue in result.issues if issue.code == "kept_on_file"}
    assert kept == {"customer.tags", "customer.remarks"}
    assert [person.name for person in us.contacts.of(now)] == ["王工"]


def test_a_row_can_replace_what_is_on_file_or_add_to_its_lists(us, there, tmp_path):
    path = write(tmp_path / "a.csv", HEAD, row("甲公司", tags="老友", remarks="新说法"))
    assert us.imports.plan(path, duplicates="update", update="append").apply().updated == 1
    grown = us.customers.get(there.number)
    assert (grown.tags, grown.remarks) == (("重点", "老友"), "老客户\n新说法")
    other = write(tmp_path / "b.csv", HEAD, row("甲公司", tags="老友", remarks="另一说法"))
    assert us.imports.plan(other, duplicates="update", update="overwrite").apply().updated == 1
    replaced = us.customers.get(there.number)
    assert (replaced.tags, replaced.remarks) == (("老友",), "另一说法")


def test_a_blank_cell_takes_nothing_away(us, there, tmp_path):
    path = write(tmp_path / "a.csv", HEAD, row("甲公司"))
    result = us.imports.plan(path, duplicates="update", update="overwrite").apply()
    assert (result.known, result.updated) == (1, 0)
    assert us.customers.get(there.number) == there


def test_what_has_a_use_case_of_its_own_is_left_and_named(us, there, tmp_path):
    path = write(tmp_path / "a.csv", [*HEAD, "客户状态"], [*row("甲公司", owner="li"), "成交客户"])
    result = us.imports.plan(path, duplicates="update", update="overwrite").apply()
    assert {issue.field for issue in result.issues if issue.code == "kept_on_file"} == {
        "customer.owner",
        "customer.stage",
    }
    assert us.customers.get(there.number).owner == "hua"


def test_rows_that_are_asked_about_wait_for_their_answers(us, there, tmp_path):
    other = us.customers.register(name="乙公司")
    third = us.customers.register(name="丙公司")
    path = write(
        tmp_path / "a.csv",
        HEAD,
        row("甲公司", industry="物流"),
        row("新公司"),
        row("乙公司", industry="物流"),
        row("丙公司", industry="物流"),
    )
    plan = us.imports.plan(path, duplicates="ask")
    questions = plan.questions()
    assert [(one.row, one.number) for one in questions] == [(2, there.number), (4, other.number), (5, third.number)]
    shown = {one.source: (one.outcome, [(c.field, c.after) for c in one.changes]) for one in plan.differences()}
    assert shown["a.csv a!2"] == ("asked", [("industry", "物流")])
    assert us.customers.count() == 3, "asking stores nothing"
    first = plan.apply()
    assert (first.created, first.asked) == (1, 3)
    assert [issue.row for issue in first.issues if issue.code == "duplicate_asked"] == [2, 4, 5]
    second = plan.apply(answers=dict(zip(questions, ("update", "skip", "create"), strict=True)))
    assert (second.created, second.updated, second.known, second.asked) == (1, 1, 2, 0)
    assert us.customers.get(there.number).industry == "物流"
    assert us.customers.get(other.number).industry is None
    assert us.customers.count() == 5
    with pytest.raises(DomainError, match="skip, update, merge, create"):
        plan.apply(answers={questions[0]: "perhaps"})


@pytest.mark.parametrize("given", [{"duplicates": "no"}, {"update": "no"}])
def test_a_way_that_is_not_there_is_refused(us, tmp_path, given):
    with pytest.raises(DomainError, match="is one of"):
        us.imports.plan(write(tmp_path / "a.csv", HEAD, row("甲公司")), **given)


def test_several_people_of_one_customer_are_several_rows(us, tmp_path):
    path = write(
        tmp_path / "a.csv",
        HEAD,
        row("甲公司", industry="制造业", person="王工", phone="13800138000"),
        row("乙公司", person="李工"),
        row("甲公司", person="赵工", phone="13900139000"),
        row("甲公司", person="王工", phone="010-88885678", remarks="重要"),
    )
    result = us.imports.plan(path).apply()
    assert (result.created, result.updated, result.known) == (2, 2, 0)
    customer = next(one for one in us.customers.find() if one.name == "甲公司")
    assert customer.remarks == "重要"
    people = {person.name: person.phones for person in us.contacts.of(customer)}
    assert people == {"王工": ("13800138000", "010-88885678"), "赵工": ("13900139000",)}
    again = us.imports.plan(path).apply()
    assert (again.created, again.updated, again.known, again.run) == (0, 0, 4, None)


def test_a_packed_history_becomes_conversations_with_their_own_dates_and_writers(us, tmp_path):
    packed = "2022-04-20,电话沟通;确认需求(记录人:小王);2022年3月10日:初次拜访;2022-03-15 14:30 发送资料"
    path = write(tmp_path / "a.csv", HEAD, row("甲公司", history=packed, owner="hua"))
    assert us.imports.plan(path).apply().created == 1
    (customer,) = us.customers.find()
    told = [
        (one.at.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M"), one.summary, one.recorder)
        for one in us.follow_ups.of(customer)
    ]
    assert told == [
        ("2022-04-20 00:00", "电话沟通;确认需求", "小王"),
        ("2022-03-15 14:30", "发送资料", "hua"),
        ("2022-03-10 00:00", "初次拜访", "hua"),
    ]
    assert customer.first_contact_on == date(2022, 3, 10)
    assert customer.last_follow_up_at == datetime(2022, 4, 19, 16, tzinfo=UTC)


def test_a_further_date_within_an_entry_is_named(us, tmp_path):
    path = write(
        tmp_path / "a.csv",
        HEAD,
        row("甲公司", history="2022-04-20 展台 2022年4月25日电话"),
        row("乙公司", history="2022-04-20,电话"),
    )
    result = us.imports.plan(path).apply()
    assert [(one.row, one.level) for one in result.issues if one.code == "dates_within"] == [(2, "warning")]
    assert result.created == 2


@pytest.mark.parametrize("run", [None, 5, []])
def test_what_names_no_import_is_told(us, run):
    with pytest.raises(DomainError, match="named by itself"):
        us.imports.undo(run)


def test_other_wrong_things_are_typed(us, tmp_path):
    path = write(tmp_path / "a.csv", HEAD, row("甲公司"))
    for mapping in ("a\0b", 5, []):
        with pytest.raises(ImportRejected) as told:
            us.imports.plan(path, mapping=mapping)
        assert told.value.reason == "bad_mapping"
    plan = us.imports.plan(path)
    with pytest.raises(DomainError, match="by question"):
        plan.apply(answers="x")
    with pytest.raises(DomainError, match="path"):
        plan.write_rejected(plan.apply(), None)


def test_undoing_names_a_customer_of_whom_a_person_was_erased(us, tmp_path):
    done = us.imports.plan(write(tmp_path / "a.csv", HEAD, row("甲公司", person="欧阳明月", industry="物流"))).apply()
    customer = us.customers.find().items[0]
    us.customers.erase(customer, "欧阳明月", reason="本人要求")
    assert [one.number for one in done.undo().left] == [customer.number]


def test_a_history_without_dates_stays_in_the_remarks_and_one_that_can_be_read_twice_is_asked_about(us, tmp_path):
    path = write(
        tmp_path / "a.csv",
        HEAD,
        row("甲公司", history="见纸质档案"),
        row("乙公司", history="03/04/2022,电话"),
        row("丙公司", history="2022-04-20,"),
    )
    result = us.imports.plan(path).apply()
    assert [(issue.row, issue.code) for issue in result.issues if issue.level == "error"] == [
        (3, "ambiguous_date"),
        (4, "required"),
    ]
    assert next(iter(us.customers.find())).remarks == "见纸质档案"


days = st.dates(date(2000, 1, 1), date(2030, 12, 31))
said = st.text(st.characters(categories=("L",)), min_size=1, max_size=8)
written = st.sampled_from(("{0:%Y-%m-%d}", "{0:%Y/%m/%d}", "{0.year}年{0.month}月{0.day}日", "{0:%Y%m%d}"))


@given(st.lists(st.tuples(days, said, written), max_size=6), st.sampled_from(";；\n"), st.sampled_from(",，:： "))
def test_any_packed_history_is_taken_apart_as_it_was_packed(entries, between, after):
    packed = between.join(f"{form.format(day)}{after}{text}" for day, text, form in entries)
    read = read_history(packed, None, SHANGHAI)
    assert [(one.at.astimezone(SHANGHAI).date(), one.summary) for one in read.conversations] == [
        (day, text) for day, text, _ in sorted(entries, key=lambda entry: entry[0])
    ]
    assert read.rest is None


def test_the_differences_tell_what_each_row_would_change_and_store_nothing(us, there, tmp_path):
    path = write(tmp_path / "a.csv", HEAD, row("甲公司", industry="制造业", amount="1000"), row("乙公司"))
    plan = us.imports.plan(path, duplicates="update")
    before = contents(us)
    changed, made = plan.differences()
    assert (changed.outcome, changed.source, made.outcome) == ("updated", "a.csv a!2", "created")
    assert {(one.field, one.before) for one in changed.changes} == {("industry", None), ("contract_amount", None)}
    assert {one.after["amount"] for one in changed.changes if one.field == "contract_amount"} == {"1000.00"}
    assert ("name", None, "乙公司") in {
        (one.field, one.before, one.after) for one in made.changes if one.subject == "customer"
    }
    assert contents(us) == before
    assert us.imports.runs() == []


def test_undoing_takes_away_what_was_made_and_puts_back_what_was_changed(us, there, tmp_path):
    us.follow_ups.log(
        there, summary="早先", at=datetime(2021, 1, 5, tzinfo=UTC), next_step="再联系", next_on=date(2022, 1, 1)
    )
    before = contents(us)
    path = write(
        tmp_path / "a.csv",
        HEAD,
        row("甲公司", industry="制造业", amount="1000", history="2022-04-20,电话", person="王工", remarks="更多"),
        row("乙公司", person="李工", history="2022-04-20,电话;2022-05-20,拜访"),
        row("乙公司", person="赵工"),
    )
    done = us.imports.plan(path, duplicates="update", update="append", source="展会名单").apply()
    assert (done.created, done.updated) == (1, 2)
    (run,) = us.imports.runs()
    assert (run.id, run.by, run.files, run.source) == (done.run, "importer", ("a.csv",), "展会名单")
    assert contents(us) != before
    undone = done.undo()
    assert contents(us) == before
    assert undone.left == ()
    assert undone.restored >= 1
    assert us.crm.check().findings == ()
    assert us.obligations.recompute().changed == 0
    with pytest.raises(DomainError, match="undone already"):
        us.imports.undo(done.run)
    again = us.imports.plan(path, duplicates="update").apply()
    assert (again.created, again.updated) == (1, 2), "the rows can be taken in again"
    assert us.customers.find(search="乙公司").items[0].number != there.number


def test_undoing_leaves_what_was_edited_since_and_lists_it(us, there, tmp_path):
    path = write(
        tmp_path / "a.csv",
        HEAD,
        row("甲公司", industry="制造业", amount="1000"),
        row("乙公司"),
        row("丙公司"),
        row("丁公司"),
    )
    done = us.imports.plan(path, duplicates="update").apply()
    numbers = {one.name: one.number for one in us.customers.find()}
    me = us.crm.acting_as("hua")
    me.customers.update(there.number, industry="物流")
    me.customers.update(numbers["乙公司"], remarks="我改过")
    me.follow_ups.log(numbers["丙公司"], summary="聊过")
    undone = done.undo()
    assert {(one.number, one.fields) for one in undone.left} == {
        (there.number, ("industry",)),
        (numbers["乙公司"], ()),
        (numbers["丙公司"], ()),
    }
    now = us.customers.get(there.number)
    assert (now.industry, now.contract_amount) == ("物流", None)
    assert {one.name for one in us.customers.find()} == {"甲公司", "乙公司", "丙公司"}
    assert me.follow_ups.of(numbers["丙公司"]).items[0].summary == "聊过"
    recomputed = us.obligations.recompute()
    assert (recomputed.begun, recomputed.changed, recomputed.gone) == (0, 0, 0)


@pytest.mark.parametrize("first", [0, 1])
def test_imports_of_one_customer_are_undone_in_either_order(us, there, tmp_path, first):
    runs = []
    for number, industry in enumerate(("制造业", "物流")):
        path = write(tmp_path / f"{number}.csv", HEAD, row("甲公司", industry=industry, amount=str(number + 1)))
        runs.append(us.imports.plan(path, duplicates="update", update="overwrite").apply())
    runs[first].undo()
    assert us.customers.get(there.number).industry == ("物流", "制造业")[first]
    runs[1 - first].undo()
    now = us.customers.get(there.number)
    assert (now.industry, now.contract_amount) == (None, None)


def test_undoing_names_what_is_in_the_bin_or_was_absorbed(us, there, tmp_path):
    done = us.imports.plan(write(tmp_path / "a.csv", HEAD, row("乙公司"), row("丙公司"))).apply()
    absorbed, deleted = (us.customers.find(search=name).items[0] for name in ("乙公司", "丙公司"))
    us.customers.merge(there, absorbed)
    us.customers.delete(deleted, reason="误录")
    undone = done.undo()
    assert {one.number for one in undone.left} == {absorbed.number, deleted.number}
    assert undone.removed == 0


def test_each_field_tells_where_its_value_is_from(us, there, tmp_path):
    us.imports.plan(
        write(tmp_path / "a.csv", HEAD, row("甲公司", industry="制造业")), duplicates="update", source="展会名单"
    ).apply()
    us.imports.plan(write(tmp_path / "b.csv", HEAD, row("甲公司", amount="5万")), duplicates="update").apply()
    us.crm.acting_as("hua").customers.update(there.number, core_need="三台设备")
    sources = us.customers.sources(there.number)
    assert {
        name: (sources[name].by, sources[name].source, sources[name].place)
        for name in ("name", "industry", "contract_amount", "core_need")
    } == {
        "name": ("importer", None, None),
        "industry": ("importer", "展会名单", "a.csv a!2"),
        "contract_amount": ("importer", None, "b.csv b!2"),
        "core_need": ("hua", None, None),
    }
    assert "budget" not in sources


def test_an_import_that_is_not_there_is_not_undone(us):
    with pytest.raises(NotFound):
        us.imports.undo("nothing")


def test_an_import_that_took_nothing_in_leaves_no_run(us, tmp_path):
    done = us.imports.plan(write(tmp_path / "a.csv", HEAD, row("", remarks="x"))).apply()
    assert (done.rejected, done.run, done.undo().removed) == (1, None, 0)


names = st.sampled_from(("甲公司", "乙公司", "丙公司", "丁公司"))
cells = st.fixed_dictionaries(
    {},
    optional={
        "industry": st.sampled_from(("制造业", "物流")),
        "person": st.sampled_from(("王工", "李工")),
        "phone": st.sampled_from(("13800138000", "13900139000")),
        "amount": st.sampled_from(("1", "20万")),
        "tags": st.sampled_from(("重点", "老友;重点")),
        "remarks": st.sampled_from(("一", "二")),
        "history": st.sampled_from(("2022-04-20,电话", "2022-03-01,一;2022-05-01,二")),
    },
)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(names, cells), min_size=1, max_size=6),
    st.sampled_from(("skip", "update", "merge")),
    st.sampled_from(("fill", "overwrite", "append")),
)
def test_undoing_an_import_at_once_leaves_what_was_there_before(tmp_path_factory, rows, duplicates, update):
    with crmcore.open("memory:", "standard", clock=ticking()) as crm:
        me = crm.acting_as("importer")
        first = me.customers.register(
            name="甲公司", tags=("重点",), contacts=[{"name": "王工", "phone": "13800138000"}]
        )
        me.follow_ups.log(first, summary="早先", at=datetime(2022, 4, 1, tzinfo=UTC))
        before = contents(me)
        path = write(tmp_path_factory.mktemp("import") / "a.csv", HEAD, *(row(name, **told) for name, told in rows))
        done = me.imports.plan(path, duplicates=duplicates, update=update).apply()
        assert done.created + done.updated + done.known + done.rejected == len(rows)
        done.undo()
        assert contents(me) == before
        found = me.obligations.recompute()
        assert (found.begun, found.changed, found.gone) == (0, 0, 0)


def ticking():
    now = datetime(2026, 1, 5, 2, 0, tzinfo=UTC)

    def tick():
        nonlocal now
        now += timedelta(milliseconds=3)
        return now

    return tick
