"""What is told in Chinese is told in Chinese: every phrase in the source has its text, and no text is half English."""

from __future__ import annotations

import ast
import datetime
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from crmcore import errors
from crmcore.domain import ENTITIES, Customer
from crmcore.domain.entity import clean_fields
from crmcore.errors import ACTIONS, ISSUES, MEANINGS, PHRASES, Invalid, Issue, NotFound, StoreCorrupt, StoreUnavailable
from crmcore.rules.service import ACTION_PLAN, FEEDBACK, OBJECTION, TICKET

SOURCE = Path(__file__).parents[2] / "src"
ENGLISH = re.compile(r"[A-Za-z]{2,}")
NAME = re.compile(r"[a-z]+(?:[._][a-z]+)+")
PHRASED = ("why", "limit", "expected")
NOBODY_NAMES = (
    "event",
    "number_series",
    "imported_row",
    "setting",
    "match_key",
    "absent_record",
    "alias",
    "chain",
    "erasure",
    "import_run",
    "judged_pair",
)
CLASSES = {
    name
    for name, cls in vars(errors).items()
    if isinstance(cls, type) and issubclass(cls, errors.CRMError) and name not in ("PlaybookError", "ImportRejected")
}


def nodes() -> Iterator[ast.AST]:
    for path in SOURCE.rglob("*.py"):
        if path.parent.parent.name == "crmcore" and path.parent.name in ("testing", "metrics"):
            continue
        yield from ast.walk(ast.parse(path.read_text("utf-8")))


def words(node: ast.AST | None) -> Iterator[str]:
    """The text of an expression; of one with values in it, what stands around them."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from words(node.body)
        yield from words(node.orelse)
    elif isinstance(node, ast.JoinedStr):
        yield " … ".join(part.value for part in node.values if isinstance(part, ast.Constant))


def phrases() -> Iterator[str]:
    """Every text that the source gives to an issue as a fact that is a phrase."""
    for node in nodes():
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value in PHRASED:
                    yield from words(value)
        elif isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if called in ("Unclean", "_Problem", "_refuse"):
                for keyword in node.keywords:
                    if keyword.arg in PHRASED:
                        yield from words(keyword.value)
            elif called == "_not_a":
                yield from words(node.args[0])
        elif isinstance(node, ast.Assign):
            named = {target.id for target in node.targets if isinstance(target, ast.Name)}
            yield from words(node.value if named & {*PHRASED} else None)


def messages() -> Iterator[str]:
    """Every fixed message that the source gives to an error, every phrase with facts in it, and what is logged as a warning."""
    for node in nodes():
        called = node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
        if called in ("phrased", "warning"):
            yield from (text for text in words(node.args[0]) if ENGLISH.search(text))
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id
        if called in CLASSES and node.args and not isinstance(node.args[0], ast.JoinedStr):
            yield from words(node.args[0])


def test_every_phrase_of_an_issue_has_its_chinese() -> None:
    told = {phrase for phrase in phrases() if ENGLISH.search(phrase) and not NAME.fullmatch(phrase)}
    assert len(told) > 20
    # An entity's name follows this one; each has its phrase.
    assert told - PHRASES.keys() == {"there is no such "}
    assert all(f"there is no such {cls.entity}" in PHRASES for cls in ENTITIES if cls.entity not in NOBODY_NAMES)


def test_every_fixed_message_of_an_error_has_its_chinese() -> None:
    told = set(messages())
    assert len(told) > 30
    assert told - PHRASES.keys() == set()


def test_every_class_of_error_and_every_action_of_a_loop_has_its_chinese() -> None:
    assert {vars(errors)[name].code for name in CLASSES} <= MEANINGS.keys()
    verbs = {step.verb for loop in (FEEDBACK, TICKET, OBJECTION, ACTION_PLAN) for step in loop.steps.values()}
    assert verbs == ACTIONS.keys()


def test_every_chinese_text_is_chinese() -> None:
    for text in (
        *PHRASES.values(),
        *ACTIONS.values(),
        *MEANINGS.values(),
        *(chinese for _, chinese in ISSUES.values()),
    ):
        assert re.search("[\u4e00-\u9fff]", text) or text == "{why}", text


@pytest.mark.parametrize(
    ("issue", "chinese"),
    [
        (Issue(code="out_of_range", field="follow_up.at", facts={"limit": "what has happened"}), "不晚于现在"),
        (Issue(code="out_of_range", field="ticket.stars", facts={"limit": "1–5"}), "1–5"),
        (Issue(code="refused", field="referral.referred_id", facts={"why": "nobody refers themselves"}), "介绍自己"),
        (
            Issue(
                code="not_possible",
                field="ticket.state",
                facts={"action": "close", "state": "open", "allowed": "assign, plan"},
            ),
            "不能关闭;可以:分配, 制定方案",
        ),
    ],
)
def test_the_facts_of_an_issue_are_told_in_the_readers_language(issue, chinese) -> None:
    assert chinese in issue.text("zh-CN")
    assert not ENGLISH.search(re.sub(r"[a-z_]+\.[a-z_]+|open", "", issue.text("zh-CN")))


def test_what_a_field_refuses_is_told_in_chinese() -> None:
    values = {
        "headcount_low": "many",
        "name": 7,
        "tags": "one",
        "custom": 3,
        "first_contact_on": datetime.date(1, 1, 1),
    }
    with pytest.raises(Invalid) as caught:
        clean_fields(Customer, values)
    assert len(caught.value.issues) == len(values)
    for issue in caught.value.issues:
        assert not ENGLISH.search(issue.text("zh-CN").replace(issue.field or "", ""))
    assert not ENGLISH.search(re.sub(r"customer\.[a-z_]+", "", caught.value.text("zh-CN")))


def test_a_name_among_the_facts_is_not_taken_for_a_phrase() -> None:
    assert (
        Issue(code="duplicate", facts={"label": "text", "number": "a list"}).text("zh-CN") == "text已登记,编号为a list"
    )
    assert "close" in Issue(code="bad_choice", field="x", facts={"allowed": "close"}).text("zh-CN")


def test_an_error_is_told_in_both_languages() -> None:
    assert NotFound("there is no such customer").text("zh-CN") == "没有这样的客户"
    assert NotFound("there is no such customer").text() == "there is no such customer"
    assert StoreUnavailable("there is no folder /srv").text("zh-CN") == "数据库无法打开(there is no folder /srv)"
    assert StoreUnavailable("已经说过", language="zh-CN").text("zh-CN") == "已经说过"


def test_an_error_with_facts_in_its_phrase_is_told_in_both_languages() -> None:
    slip = StoreCorrupt.phrased(
        "the sheet {part} has no heading {names}", part="客户", names="备注", path="/srv/客户.xlsx"
    )
    assert (slip.text(), slip.text("zh-CN")) == ("the sheet 客户 has no heading 备注", "工作表“客户”缺少表头:备注")
    assert (slip.details["part"], slip.details["path"]) == ("客户", "/srv/客户.xlsx")
    phrase = next(phrase for phrase in PHRASES if phrase.startswith("{trouble}. "))
    around = StoreCorrupt.phrased(phrase, trouble=slip, path="客户.xlsx", backups="backups")
    assert around.text().startswith("the sheet 客户 has no heading 备注. Nothing that was committed is lost")
    assert around.text("zh-CN").startswith("工作表“客户”缺少表头:备注。已提交")
    again = pickle.loads(pickle.dumps(around))
    assert (again.text("zh-CN"), again.details) == (around.text("zh-CN"), around.details)
    for english, chinese in PHRASES.items():
        assert sorted(re.findall(r"{\w+}|%s", english)) == sorted(re.findall(r"{\w+}|%s", chinese)), english


def test_a_class_of_a_plugins_own_means_what_it_comes_from() -> None:
    class Closed(errors.Veto):
        code = "closed_for_today"

    assert Closed("come back tomorrow").text("zh-CN") == "插件拒绝了此操作(come back tomorrow)"
