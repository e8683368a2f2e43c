import copy
import pickle
import re
import tomllib
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmcore.domain.playbook import Playbook
from crmcore.errors import PlaybookError
from crmcore.playbooks import load
from crmcore.playbooks.loading import build
from crmcore.rules.calendars import week, windows
from crmcore.rules.rulebook import calendar_of


def raw(name):
    return tomllib.loads(files("crmcore.playbooks").joinpath(f"{name}.toml").read_text("utf-8"))


STANDARD = raw("standard") | raw("labels")


def extending(text):
    """A playbook that extends the standard one by this TOML."""
    return load("mine", extra={"mine": f'extends = "standard"\nkey = "mine"\n{text}'})


def problems(text):
    with pytest.raises(PlaybookError) as caught:
        extending(text)
    return caught.value.problems


def test_a_bundled_playbook_is_read_once():
    assert load("standard") is load("standard")


def test_a_playbook_is_a_value():
    standard = load("standard")
    copied = pickle.loads(pickle.dumps(standard))
    assert copied == standard and hash(copied) == hash(standard)
    assert copied.choice_key("customer.urgency", "紧急") == "high"
    assert copied.stage_key("sales", "Won") == "signed"
    with pytest.raises(TypeError):
        standard.fields["customer.name"] = None


# ---- Extending ----


def test_tables_merge_lists_and_values_are_replaced():
    mine = extending('currency = "EUR"\nvague = ["something"]\n[numbering]\norder = "R{serial:4}"')
    standard = load("standard")
    assert (mine.currency, mine.vague, mine.timezone) == ("EUR", ("something",), standard.timezone)
    assert mine.numbering["order"] == "R{serial:4}" and mine.numbering["customer"] == standard.numbering["customer"]
    assert mine.lifecycle == standard.lifecycle


def test_false_drops_what_was_inherited():
    mine = extending("[cadences]\nrevisit = false\n[reminders]\nplanned_follow_up = false")
    assert "revisit" not in {cadence.key for cadence in mine.cadences}
    assert "planned_follow_up" not in {reminder.key for reminder in mine.reminders}


def test_false_drops_values_and_whole_tables_too_but_no_flag():
    mine = extending("default_tier = false\ntiers = false\ntiering = false\ncadences = false\nvague = false")
    assert (mine.default_tier, mine.tiers, mine.cadences, mine.vague) == (None, (), (), ())
    flagged = extending("[lifecycle.stages.lost]\nfinal = false")
    assert not flagged.lifecycle.stage("lost").final
    assert any(problem.startswith("currency: required") for problem in problems("currency = false"))


def test_a_new_stage_comes_after_the_one_it_is_written_after():
    mine = extending(
        """
        [pipelines.sales.stages.proposal]
        [pipelines.sales.stages.trial]
        label = { zh = "试用", en = "Trial" }
        lifecycle = "interested"
        [pipelines.sales.transitions]
        "proposal -> trial" = {}
        "trial -> negotiation" = {}
        """
    )
    keys = [stage.key for stage in mine.pipelines["sales"].stages]
    assert keys == ["requirements", "proposal", "trial", "negotiation", "signed", "collected", "lost"]
    assert mine.stage_key("sales", "试用") == "trial"


def test_a_renamed_label_stays_known():
    mine = extending('[lifecycle.stages.customer.label]\nzh = "老客户"\n[fields.customer]\nname = { zh = "户名" }')
    assert mine.lifecycle.stage("customer").label.zh == "老客户"
    assert mine.stage_key("lifecycle", "成交客户") == mine.stage_key("lifecycle", "老客户") == "customer"
    assert {"户名", "客户名称", "公司名称"} <= set(mine.synonyms("customers")["customer.name"])


def test_an_own_field():
    mine = extending('[custom_fields.customer.region]\nkind = "text"\nlabel = { zh = "区域", en = "Region" }')
    assert mine.custom_fields["customer.region"].kind == "text"
    assert mine.label("customer.region", "zh-CN") == "区域"


def test_files_extend_files_beside_them(tmp_path):
    (tmp_path / "team.toml").write_text('extends = "standard"\ncurrency = "EUR"', "utf-8-sig")
    (tmp_path / "branch.toml").write_text('extends = "team.toml"\nkey = "branch"', "utf-8")
    branch = load(tmp_path / "branch.toml")
    assert (branch.key, branch.currency) == ("branch", "EUR")
    assert load("ours", extra={"ours": tmp_path / "branch.toml", "other": "key = 1"}) == branch


def test_what_extends_another_has_a_name_of_its_own():
    with pytest.raises(PlaybookError) as caught:
        load("mine", extra={"mine": 'extends = "standard"'})
    assert caught.value.problems == ("key: required: a playbook has a name of its own, also one that extends another",)


@pytest.mark.parametrize(
    ("parent", "problem"),
    [
        (None, "the file can't be read"),
        ("key = ", "this is not TOML"),
        ('extends = "standrad"', "extends: standrad: there is no playbook 'standrad'"),
    ],
)
def test_a_mistake_in_what_is_extended_names_that_file(tmp_path, parent, problem):
    if parent is not None:
        (tmp_path / "team.toml").write_text(parent, "utf-8")
    (tmp_path / "branch.toml").write_text('extends = "team.toml"\nkey = "branch"', "utf-8")
    with pytest.raises(PlaybookError) as caught:
        load(tmp_path / "branch.toml")
    assert caught.value.source == str(tmp_path / "branch.toml")
    (told,) = caught.value.problems
    assert told.startswith(f"extends: {tmp_path / 'team.toml'}: {problem}")


def test_dropping_what_is_not_there_says_what_is():
    cadences = ", ".join(sorted(cadence.key for cadence in load("standard").cadences))
    dropped = "[tiers]\nZ = false\n[cadences]\ntier_z_contact = false\n[numbering]\ninvoice = false"
    assert set(problems(dropped)) == {
        "tiers.Z: there is nothing of this name to drop; there is: A, B, C",
        f"cadences.tier_z_contact: there is nothing of this name to drop; there is: {cadences}",
        "numbering.invoice: there is nothing of this name to drop; there is: customer, order, ticket",
    }


def test_a_circle_is_told(tmp_path):
    (tmp_path / "a.toml").write_text('extends = "b.toml"')
    (tmp_path / "b.toml").write_text('extends = "../' + tmp_path.name + '/a.toml"')
    with pytest.raises(PlaybookError, match="extends: goes round in a circle"):
        load(str(tmp_path / "a.toml"))


# ---- What can't be read ----


def test_an_unknown_key_says_what_there_is():
    with pytest.raises(
        PlaybookError, match=r"did you mean marketing.*maintenance, marketing, ours, registration, standard"
    ):
        load("markting", extra={"ours": "x"})
    with pytest.raises(PlaybookError, match=r"there is no playbook 'standrad'; did you mean standard\?"):
        load("mine", extra={"mine": 'extends = "standrad"'})
    with pytest.raises(PlaybookError, match="extends: must be the key"):
        load("mine", extra={"mine": "extends = 3"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'key = "mine"\nlabel = {', r"this is not TOML: .*at line 2, column 10"),
        (b'key = "mine"\nlabel = ?\n', r"this is not TOML: .*at line 2, column 9"),
        (b"key = 1\nkey = 2", r"this is not TOML: .*at line 2, column 8"),
        (b"\xff\xfe", "not UTF-8"),
        (b"a = " + b"[" * 5000, "this is not TOML"),
        (b"a = " + b"1" * 5000, "this is not TOML"),
    ],
)
def test_broken_files(tmp_path, content, message):
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(PlaybookError, match=message) as caught:
        load(path)
    assert caught.value.source == str(path)


def test_no_file(tmp_path):
    with pytest.raises(PlaybookError, match="can't be read: No such file"):
        load(tmp_path / "absent.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(PlaybookError, match="can't be read"):
        load(tmp_path / "folder.toml")


# ---- What has the wrong form ----


def test_every_problem_comes_at_once_with_its_place_and_what_is_allowed():
    found = problems(
        """
        curency = "CNY"
        cadence_policy = "strict"
        default_tier = 3
        vague = "something"
        [lifecycle]
        initial = ["prospect"]
        stages.prospect.probability = "high"
        stages.prospect.label.zh = 1
        transitions."prospect to lost" = {}
        transitions."lost -> prospect" = { guard = ["reason"] }
        [cadences.revisit]
        every = "quarterly"
        key = "visit"
        [reminders.new]
        before = 1
        [targets.complete_fields]
        fields = ["customer.service_contact", 7]
        [tables]
        customers = "all"
        [fields.customer]
        name = { en = 1 }
        """
    )
    told = {problem.partition(": ")[0]: problem.partition(": ")[2] for problem in found}
    assert len(told) == len(found) == 16
    assert "did you mean currency?" in told["curency"]
    assert "did you mean strictest?" in told["cadence_policy"] and "tier_first" in told["cadence_policy"]
    assert told["default_tier"] == "must be text"
    assert told["vague"] == "must be a list"
    assert told["lifecycle.initial"] == "must be text"
    assert told["lifecycle.stages.prospect.probability"] == "must be a whole number"
    assert told["lifecycle.stages.prospect.label.zh"] == "must be text"
    assert told["lifecycle.transitions.prospect to lost"] == 'a transition is written "one stage -> another"'
    assert "did you mean guards?" in told["lifecycle.transitions.lost -> prospect.guard"]
    assert told["cadences.revisit"] == "the name of the table says this; leave out key"
    assert told["reminders.new.label"] == told["reminders.new.on"] == "required"
    assert told["reminders.new.before"].startswith("must be a duration in quotes")
    assert told["targets.complete_fields.fields.1"] == "must be text"
    assert told["tables.customers"] == "must be a table"
    assert told["fields.customer.name.en"] == "must be text"


def test_a_duration_says_what_is_allowed():
    assert problems('[cadences.revisit]\nevery = "quarterly"') == (
        "cadences.revisit.every: a duration is a whole number from 1 to 999999, a space and a unit"
        " (minutes, hours, days, months, working_days, working_hours, weeks, years), as in 7 days",
    )


def test_true_is_no_number():
    assert problems("[scale_bands]\nlarge = true") == ("scale_bands.large: must be a whole number",)


def test_a_label_needs_both_languages():
    assert problems('[cadences.new]\nevery = "1 day"\nlabel = { zh = "新" }') == ("cadences.new.label.en: required",)


def places(value, path=()):
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*path, key))


PLACES = list(places(STANDARD))
VALUES = [7, 1.5, "word", "", True, [], {}, [[]], {"x": {}}, None, b"", float("nan")]


def at(data, path):
    for key in path:
        data = data[key]
    return data


@settings(deadline=None, max_examples=80)
@given(st.sampled_from(PLACES), st.sampled_from(VALUES))
def test_a_value_of_another_type_is_told_with_its_place(path, value):
    data = copy.deepcopy(STANDARD)
    if type(at(data, path)) is type(value):
        return
    at(data, path[:-1])[path[-1]] = value
    # The windows of a calendar are counted from 1, as it counts its own.
    named = path[:-1] if path[0] == "calendar" and isinstance(path[-1], int) else path
    # A reminder says when either before or after; the one that is missing is told of the reminder.
    named = path[:-1] if path[0] == "reminders" and path[-1] in ("before", "after") and value is None else named
    place = ".".join(map(str, named))
    try:
        assert isinstance(build(data, "mine"), Playbook)
    except PlaybookError as error:
        assert any(problem.startswith(place) for problem in error.problems), (place, error.problems)
    else:
        # A list may be written as a table nowhere, and a value that may be absent may be None.
        assert value is None


@settings(deadline=None, max_examples=80)
@given(st.sampled_from(PLACES), st.sampled_from(["drop", "misspell", "twice"]))
def test_whatever_is_dropped_or_misspelt_is_told_or_was_not_needed(path, how):
    data = copy.deepcopy(STANDARD)
    parent, key = at(data, path[:-1]), path[-1]
    # A list that is empty without it is told by its own name.
    words = re.findall(r"\w+", f"{parent[key]} {path[-2]}" if isinstance(parent, list) else key)
    if how == "drop" or isinstance(parent, list):
        del parent[key]
    else:
        parent[f"{key}x"] = parent[key] if how == "twice" else parent.pop(key)
    try:
        assert isinstance(build(data, "mine"), Playbook)
    except PlaybookError as error:
        assert any(word in problem for problem in error.problems for word in words), (path, error.problems)


@settings(deadline=None, max_examples=80)
@given(st.sampled_from([path for path in PLACES if path[0] not in ("fields", "choices")]), st.text(max_size=5))
def test_whatever_text_stands_there_it_is_a_playbook_or_a_told_error(path, text):
    data = copy.deepcopy(STANDARD)
    if not isinstance(at(data, path), str):
        return
    at(data, path[:-1])[path[-1]] = text
    try:
        assert isinstance(build(data, "mine"), Playbook)
    except PlaybookError as error:
        assert error.problems and all(": " in problem for problem in error.problems)


@settings(deadline=None, max_examples=30)
@given(st.dictionaries(st.text(max_size=8), st.recursive(st.integers() | st.text(), st.lists), max_size=3))
def test_a_file_about_something_else_is_told(data):
    with pytest.raises(PlaybookError) as caught:
        build(data, "mine")
    assert "title: required" in caught.value.problems or "title" in data


def test_one_day_of_the_week_taken_over_has_hours_of_its_own():
    inherited = calendar_of(load("standard")).weekly
    short = calendar_of(extending('calendar.weekly.fri = ["09:00-12:00"]')).weekly
    assert short == (*inherited[:4], windows("09:00-12:00"), *inherited[5:])
    with pytest.raises(PlaybookError, match=r"calendar\.weekly\.mon-thu: times or days overlap"):
        extending('calendar.weekly.mon-thu = ["09:00-12:00"]')
    anew = calendar_of(extending('calendar.weekly = { mon-fri = false, sat-mon = ["09:00-12:00"] }')).weekly
    assert anew == week(windows("09:00-12:00"), ["sat", "sun", "mon"])
