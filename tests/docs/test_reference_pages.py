"""What the reference lists is what there is: every page is compared with the code in both directions."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import get_args

import attrs
import pytest
from markdown_pages import ROOT, blocks_of

import crmcore.domain
import crmcore.metrics
from crmcore import errors
from crmcore.cli.tables import EVENT_LABELS
from crmcore.domain import playbook as model
from crmcore.domain import policies
from crmcore.interchange.rejections import REASONS
from crmcore.playbooks import load
from crmcore.plugins import hookspecs
from crmcore.rules import normalisation, permissions, stages
from crmcore.storage import query
from crmcore_excel import places
from crmcore_postgres.settings import CONNECTION_OPTIONS
from crmcore_postgres.settings import OPTIONS as POSTGRES_OPTIONS
from crmcore_sqlite import settings

DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
STORE_OPTIONS = {"excel": places.OPTIONS, "postgresql": POSTGRES_OPTIONS, "sqlite": settings.OPTIONS}


def sections(page: Path) -> Mapping[str, str]:
    """The text under each heading, up to the next one of any level."""
    parts = re.split(r"^#+ (.+)$", page.read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(text: str) -> Iterator[list[str]]:
    """The cells of the tables in a text, without their headings."""
    lines = text.splitlines()
    for before, line in pairwise(["", *lines]):
        if line.startswith("| ") and not line.startswith("|---") and before.startswith("|"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def codes(text: str) -> list[str]:
    """The words in code letters in the first cell of each row."""
    return [code for cells in rows(text) for code in re.findall(r"`([^`]+)`", cells[0])]


def once(found: list[str]) -> set[str]:
    """The words, none of which may be there twice."""
    assert len(found) == len(set(found)), sorted({word for word in found if found.count(word) > 1})
    return set(found)


def all_errors(cls: type[errors.CRMError] = errors.CRMError) -> Iterator[type[errors.CRMError]]:
    yield cls
    for child in cls.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from all_errors(child)


def test_every_error_has_its_line() -> None:
    listed = [tuple(cells[:2]) for cells in rows(sections(REFERENCE / "errors.md")["Classes and codes"])]
    expected = {(f'<a id="{cls.code}"></a>`{cls.code}`', f"`{cls.__name__}`") for cls in set(all_errors())}
    assert len(listed) == len(expected)
    assert set(listed) == expected


def test_every_error_has_its_chinese() -> None:
    text = sections(REFERENCE / "errors.md")["Classes and codes"]
    listed = {cells[0].rpartition("</a>")[2].strip("`"): cells[3] for cells in rows(text)}
    assert listed == errors.MEANINGS


def test_every_issue_has_its_line() -> None:
    listed = {cells[0]: (cells[1], cells[2]) for cells in rows(sections(REFERENCE / "errors.md")["Codes of issues"])}
    assert listed == {f'<a id="{code}"></a>`{code}`': texts for code, texts in errors.ISSUES.items()}


def test_every_reason_of_a_rejected_file_has_its_line() -> None:
    text = sections(REFERENCE / "errors.md")["Reasons of import_rejected"]
    table, own = text.split("Three reasons come with a message of their own")
    assert {cells[0].strip("`"): (cells[1], cells[2]) for cells in rows(table)} == REASONS
    assert once(codes(own)) == set(raised_reasons()) - REASONS.keys()


def raised_reasons() -> Iterator[str]:
    """Every word that the source hands to ``ImportRejected``."""
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id
            if called == "ImportRejected" and isinstance(node.args[0], ast.Constant):
                yield node.args[0].value


def test_every_hook_has_its_section_and_signature() -> None:
    found = sections(REFERENCE / "hooks.md")
    listed = {name for name in found if name.startswith("crm_")}
    hooks = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("crm_")}
    assert listed == hooks.keys()
    for name, hook in hooks.items():
        assert f"```text\n{name}{inspect.signature(hook)}\n```".replace("'", "") in found[name]


def test_every_action_has_its_line() -> None:
    assert once(codes(sections(REFERENCE / "hooks.md")["Actions"])) == set(used_actions())


def test_every_action_has_its_words_in_both_languages() -> None:
    section = sections(REFERENCE / "hooks.md")["Actions"]
    listed = {*codes(section), *re.findall(r"`(obligation\.\w+)`", section)}
    kept = {
        f"{cls.entity}.{way}"
        for cls in crmcore.domain.ENTITIES
        for way in ("joined", "left", "import_undone", "erased")
    }
    assert {f"event.{action}" for action in listed | kept} <= EVENT_LABELS.keys()
    own = {key.removeprefix("event.") for key in EVENT_LABELS} - {"joined", "left", "import_undone", "erased"}
    assert own == listed | kept
    for label in EVENT_LABELS.values():
        assert label.en.isascii()
        assert not re.search("[A-Za-z]", label.zh)


def used_actions() -> Iterator[str]:
    """Every action that a use case hands to its unit of work, but of counters, settings, obligations, erasures, the outbox and what
    is off the lists, which no hook sees."""
    for path in (ROOT / "src" / "crmcore" / "app").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, (ast.Attribute, ast.Name)):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            if called.strip("_") not in (
                "begin",
                "create",
                "change",
                "move",
                "add",
                "put",
                "lists",
                "announce",
                "take",
                "contribute",
                "Handed",
            ):
                continue
            for argument in node.args:
                value = argument.value if isinstance(argument, ast.Constant) else None
                if isinstance(value, str) and re.fullmatch(
                    r"(?!number_series|obligation|setting|outbox_message|erasure|absent_record|judged_pair)[a-z_]+\.[a-z_]+",
                    value,
                ):
                    yield value


CLASSES = {
    "The playbook": model.Playbook,
    "Stage graphs": policies.StageGraph,
    "Stages": policies.Stage,
    "Transitions": policies.Transition,
    "Tiers": policies.Tier,
    "Tiering": policies.Tiering,
    "Criteria": policies.Criterion,
    "Steps": policies.Step,
    "Cadences": policies.Cadence,
    "Targets": policies.Target,
    "Reminders": policies.Reminder,
    "Assignment": policies.Assignment,
    "Retention": policies.Retention,
    "Risks": policies.Risks,
    "Duplicates": policies.Duplicates,
    "Privacy": policies.Privacy,
    "Tables": policies.Table,
    "Custom fields": policies.CustomField,
    "Permissions": policies.Permission,
    "Field levels": policies.FieldLevel,
    "Labels": policies.Label,
}


@pytest.mark.parametrize("heading", CLASSES)
def test_every_key_of_a_playbook_has_its_line(heading: str) -> None:
    keys = {field.name for field in attrs.fields(CLASSES[heading])}
    if heading == "The playbook":
        keys.add("extends")
    assert once(codes(sections(REFERENCE / "playbooks.md")[heading])) == keys


def test_every_class_of_the_playbook_model_has_its_section() -> None:
    written = {
        cls
        for cls in {**vars(policies), **vars(model)}.values()
        if attrs.has(cls) and cls.__module__ in (policies.__name__, model.__name__)
    }
    assert written == set(CLASSES.values())


@pytest.mark.parametrize(
    ("heading", "words"),
    [
        ("Guards", model.GUARDS),
        ("Moments", model.MOMENTS),
        ("Measures", model.MEASURES),
        ("Actions of permissions", permissions.ACTIONS),
        ("Columns that are taken apart", model.COMPOUND_FIELDS),
        ("Columns that are worked out", model.DERIVED_FIELDS),
    ],
)
def test_every_word_of_a_playbook_has_its_line(heading: str, words: Mapping[str, str]) -> None:
    assert once(codes(sections(REFERENCE / "playbooks.md")[heading])) == words.keys()


def test_every_guard_that_is_documented_is_carried_out() -> None:
    assert stages.GUARDS.keys() == model.GUARDS.keys()


def test_every_node_of_a_query_has_its_line() -> None:
    nodes = [code.partition("(")[0] for code in codes(sections(REFERENCE / "query-language.md")["Nodes"])]
    assert once(nodes) == {cls.__name__ for cls in get_args(query.Where)}


def test_every_scheme_and_option_has_its_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    text = sections(REFERENCE / "urls.md")["Store URLs"]
    schemes = {cells[0].strip("`"): cells[3] for cells in rows(text) if len(cells) == 4}
    assert schemes.keys() == project["entry-points"]["crmcore.backends"].keys()
    assert schemes["memory"] == "none"
    listed = dict(re.findall(r"^\| option of `(\w+)` \|.*\n((?:\|.*\n)+)", text, re.MULTILINE))
    assert listed.keys() == STORE_OPTIONS.keys()
    for scheme, options in STORE_OPTIONS.items():
        assert re.findall(r"`(\w+)`", schemes[scheme]) == list(options)
        assert {cells[0].strip("`"): cells[2].strip("`") for cells in rows(f"|\n{listed[scheme]}")} == options
    passed_on = [
        name
        for cells in rows(sections(REFERENCE / "urls.md")["PostgreSQL"])
        for name in re.findall(r"`(\w+)`", cells[0])
    ]
    assert once(passed_on) == {*CONNECTION_OPTIONS}


def test_every_extra_has_its_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    listed = once(codes(sections(DOCS / "how-to" / "install.md")["What to install"]))
    assert listed == project["optional-dependencies"].keys() - {"benchmarks"}


def test_the_glossary_says_what_the_labels_say() -> None:
    books = {key: load(key) for key in ("standard", "marketing")}
    standard = books["standard"]
    checked = 0
    for cells in rows((DOCS / "glossary.md").read_text("utf-8")):
        code = cells[2].strip("`")
        if len(cells) == 4:
            graph, _, stage = code.partition("=")
            label = books[cells[3].strip("`")].graph(graph).stage(stage).label
        elif "=" in code:
            field, _, key = code.partition("=")
            label = standard.vocabulary(field)[key]
        elif code[0].islower():
            label = standard.fields[code]
        else:
            name, _, attribute = code.partition(".")
            cls = next(
                vars(module)[name]
                for module in (crmcore.domain, policies, model, crmcore.metrics, normalisation, errors)
                if name in vars(module)
            )
            assert not attribute or attribute in attrs.fields_dict(cls)
            continue
        assert cells[:2] == [label.zh, label.en], code
        checked += 1
    assert checked > 50


def layers() -> list[set[str]]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    contract = next(contract for contract in contracts if contract["type"] == "layers")
    return [set(layer.split(" | ")) for layer in contract["layers"]]


def test_the_picture_of_the_layers_is_what_the_linter_checks() -> None:
    (picture,) = [block for block in blocks_of(DOCS / "explanation" / "architecture.md") if block.note("layers") == ""]
    shown = [set(line.split("  ")[0].split(" | ")) for line in picture.text.splitlines()]
    assert shown == layers()


def test_the_arrows_of_the_diagram_point_down() -> None:
    (diagram,) = [block for block in blocks_of(DOCS / "explanation" / "architecture.md") if block.language == "mermaid"]
    arrows = re.findall(r"^ +(\w+) --> (\w+)$", diagram.text, re.MULTILINE)
    plugged = re.findall(r"^ +(\w+) -\. [\w ]+ \.-> (\w+)$", diagram.text, re.MULTILINE)
    assert len(arrows) + len(plugged) == len(diagram.text.splitlines()) - 1
    depth = {name: index for index, names in enumerate(layers()) for name in names}
    assert {name for arrow in arrows for name in arrow} == depth.keys()
    assert all(depth[source] < depth[target] for source, target in arrows)
    assert {target for _, target in plugged} <= depth.keys()
    assert all((ROOT / "src" / package).is_dir() for package, _ in plugged)
