"""The options that every verb takes, wherever they stand, and the help of every verb."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

import crmcore
from crmcore.cli.exits import EXIT_CODES
from crmcore.cli.program import program
from crmcore.cli.shell import default_language, store_url
from crmcore.storage.url import StoreURL

VERBS = sorted(program.commands)
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "command-line.md"


def test_the_options_count_before_and_after_the_verb_and_the_later_wins(command, store) -> None:
    before = command("--store", store, "--json", "list")
    after = command("list", "--store", store, "--json")
    assert before == after
    assert before.code == 0
    assert [item["name"] for item in before.json["items"]] == ["北方机械有限公司", "South Trading Ltd"]
    assert command("--store", "sqlite:///elsewhere.db", "list", "--store", store, "--json") == before


def test_the_store_may_come_from_the_environment_and_an_option_wins(command, store, monkeypatch) -> None:
    monkeypatch.setenv("CRMCORE_STORE", store)
    assert command("list", "--json").code == 0
    assert command("list", "--store", "none.db").code == 1
    assert command("--store", "none.db", "list").code == 1


def test_who_acts_comes_from_the_option_then_the_environment(command, store) -> None:
    number = command("list", "--store", store, "--json").json["items"][0]["number"]
    named = command("follow", number, "--summary", "called", "--store", store, "--as", "zhao", "--json")
    assert named.json["recorder"] == "zhao"
    assert command("follow", number, "--summary", "called", "--store", store, "--json").json["recorder"] == "sales.east"


@pytest.mark.parametrize(
    ("environment", "fallback", "language"),
    [
        ({"LANG": "zh_CN.UTF-8"}, None, "zh-CN"),
        ({"LANG": "en_GB.UTF-8", "LC_ALL": "zh_TW"}, None, "zh-CN"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, None, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "de_DE"}, None, "en"),
        ({"LC_ALL": "", "LANG": "zh_CN"}, None, "zh-CN"),
        ({}, "Chinese (Simplified)_China", "zh-CN"),
        ({}, "en_US", "en"),
        ({}, None, "en"),
    ],
)
def test_the_language_follows_the_locale(environment, fallback, language) -> None:
    assert default_language(environment, fallback) == language


def test_the_option_for_the_language_wins(command, store, monkeypatch) -> None:
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert "客户名称" in command("list", "--store", store).out
    assert "Customer name" in command("list", "--store", store, "--language", "en").out


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("crm.db", "crm.db"),
        ("data/客户 1.db", "data/客户 1.db"),
        ("/srv/100%?#.db", "/srv/100%?#.db"),
        ("C:/data/crm.db", "C:/data/crm.db"),
    ],
)
def test_a_path_that_ends_in_db_names_a_sqlite_file(given, path) -> None:
    url = StoreURL.parse(store_url(given))
    assert (url.scheme, url.path, url.options) == ("sqlite", path, {})


@pytest.mark.parametrize("given", ["memory:", "sqlite:///crm.db", "postgresql://u@h/crm.db", "crm.sqlite"])
def test_anything_else_is_left_as_it_is(given) -> None:
    assert store_url(given) == given


def test_the_version_is_the_librarys(process) -> None:
    assert process("--version").out.strip() == f"crmcore, version {crmcore.__version__}"


def test_without_a_verb_the_help_comes_on_stderr_and_it_is_wrong_usage(command) -> None:
    code, out, err = command()
    assert (code, out) == (2, "")
    assert all(verb in err for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_each_of_its_parameters_is_explained(command, verb) -> None:
    assert program.commands[verb].get_short_help_str(limit=200).endswith(".")
    for parameter in program.commands[verb].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{verb} {parameter.opts}"
    assert command(verb, "--help").code == 0
    assert command(verb, "-h").err == ""


def _documented() -> dict[str, set[str]]:
    """The verbs of the reference, each with the options named in its section."""
    sections = re.split(r"^## ", REFERENCE.read_text("utf-8"), flags=re.MULTILINE)
    found = {}
    for section in sections[1:]:
        title, _, body = section.partition("\n")
        found[title.strip("` ")] = set(re.findall(r"^\| `(--[a-z-]+)", body, flags=re.MULTILINE))
    return found


def test_the_reference_names_every_verb_and_option_and_no_other() -> None:
    documented = _documented()
    shared = documented["Options of every verb"]
    assert {title for title in documented if title in VERBS or title.islower()} == set(VERBS)
    names = {
        parameter.opts[-1] if parameter.opts[-1].startswith("--") else parameter.opts[0] for parameter in program.params
    }
    assert names - {"--version"} == shared
    for verb in VERBS:
        options = {
            next(name for name in parameter.opts if name.startswith("--"))
            for command in _with_subcommands(program.commands[verb])
            for parameter in command.params
            if isinstance(parameter, click.Option)
        }
        assert documented[verb] == options - shared, verb


def _with_subcommands(verb: click.Command) -> list[click.Command]:
    return [verb, *(verb.commands.values() if isinstance(verb, click.Group) else ())]


def test_the_reference_names_every_subcommand_and_no_other() -> None:
    for verb, command in program.commands.items():
        section = REFERENCE.read_text("utf-8").partition(f"\n## `{verb}`\n")[2].partition("\n## ")[0]
        named = set(re.findall(rf"`crmcore {verb} (\w+)", section)) if isinstance(command, click.Group) else set()
        assert named == set(command.commands if isinstance(command, click.Group) else ())
        for part in _with_subcommands(command)[1:]:
            assert part.get_short_help_str(limit=200).endswith(".")
            assert all(option.help for option in part.params if isinstance(option, click.Option))


def test_the_reference_names_every_exit_code_and_no_other() -> None:
    section = REFERENCE.read_text("utf-8").partition("## Exit codes")[2].partition("\n## ")[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", section, flags=re.MULTILINE)} == set(EXIT_CODES)
