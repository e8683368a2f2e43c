"""Whatever goes wrong: one message on stderr, the right exit code, nothing on stdout and no traceback."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path

import click
import pytest

from crmcore import errors
from crmcore.cli.exits import exit_code
from crmcore.cli.options import with_global_options
from crmcore.cli.program import program

HEADER = "客户名称*,客户状态,首次接触时间,邮箱\n"


def _counts(command, store) -> tuple[int, ...]:
    return tuple(command("doctor", "--store", store, "--json").json["counts"].values())


def _clear_error(outcome, code: str) -> None:
    assert f"error [{code}]: " in outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.Forbidden, 5),
        (errors.Conflict, 4),
        (errors.DuplicateKey, 4),
        (errors.StoreBusy, 4),
        (errors.StoreCorrupt, 6),
        (errors.InvalidURL, 2),
        (errors.BackendNotFound, 2),
        (errors.QueryError, 2),
        (errors.StoreUnavailable, 1),
        (errors.ReadOnly, 1),
        (errors.SchemaMismatch, 1),
        (errors.Veto, 1),
        (errors.NotFound, 1),
        (errors.MissingExtra, 1),
    ],
)
def test_each_error_has_its_exit_code(kind, code) -> None:
    assert exit_code(kind("x")) == code


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("nosuch:thing", "backend_not_found"),
        ("No URL", "invalid_url"),
        ("sqlite:///", "invalid_url"),
        ("sqlite:///a.db?b=c", "invalid_url"),
    ],
)
def test_a_store_url_that_cannot_be_used_is_wrong_usage(process, url, code) -> None:
    outcome = process("init", "--store", url)
    assert outcome.code == 2
    _clear_error(outcome, code)
    assert not list(Path().iterdir())


def test_a_password_in_a_url_is_not_repeated(command) -> None:
    outcome = command("list", "--store", "nosuch://ann:s3cret@host/x")
    assert "s3cret" not in outcome.out + outcome.err


def test_a_missing_store_is_not_made_but_by_init(command) -> None:
    for verb in (["list"], ["due"], ["import", "x.csv"], ["doctor", "--quiet"], ["report", "funnel"]):
        outcome = command(*verb)
        assert outcome.code == 1
        assert "error [store_unavailable]: there is no store at sqlite:///crm.db" in outcome.err
    assert not list(Path().iterdir())
    assert command("init").code == 0
    assert command("list").code == 0


def test_a_playbook_that_is_none_is_wrong_usage_and_makes_no_store(command) -> None:
    Path("mine.toml").write_text("key = 'mine'\n[oops]\n", "utf-8")
    for playbook in ("nosuch", "mine.toml"):
        outcome = command("init", "--playbook", playbook)
        assert outcome.code == 2
        _clear_error(outcome, "playbook")
    assert not Path("crm.db").exists()


@pytest.mark.parametrize("folder", ["nosuch/crm.db", "/proc/crm.db", "file.txt/crm.db"])
def test_a_folder_that_cannot_be_written(process, folder) -> None:
    Path("file.txt").write_text("here", "utf-8")
    outcome = process("init", "--store", folder)
    assert outcome.code == 1
    _clear_error(outcome, "store_unavailable")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(process, tmp_path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    outcome = process("init", "--store", "locked/crm.db")
    assert outcome.code == 1
    _clear_error(outcome, "store_unavailable")


def test_a_file_that_is_no_database(process) -> None:
    Path("notes.db").write_text("just some notes, and longer than the header of a database would be" * 20, "utf-8")
    outcome = process("list", "--store", "notes.db")
    assert outcome.code == 6
    _clear_error(outcome, "store_corrupt")


def test_a_store_that_somebody_holds(process, store) -> None:
    with sqlite3.connect("crm.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        number = process("list", "--store", store, "--json").json["items"][0]["number"]
        outcome = process("follow", number, "--summary", "called", "--store", f"{store}?wait=0.1")
        other.execute("ROLLBACK")
    other.close()
    assert outcome.code == 4
    _clear_error(outcome, "store_busy")


@pytest.mark.parametrize(
    "verb",
    [
        "export customers -o {}.csv",
        "export customers -o {}.xlsx",
        "report review -o {}.xlsx",
        "report funnel -o {}.xlsx",
        "template -o {}.xlsx",
    ],
)
def test_a_file_that_cannot_be_written_is_named_as_it_was_asked_for(command, store, verb) -> None:
    asked = str(Path("nowhere", "made"))
    outcome = command(*verb.format(asked).split(), "--store", store)
    assert outcome.code == 1
    _clear_error(outcome, "file")
    assert asked in outcome.err and "tmp" not in outcome.err.removeprefix(str(Path.cwd()))


def test_a_folder_that_the_demo_did_not_make_is_a_matter_of_files(command) -> None:
    Path("mine").mkdir()
    Path("mine", "notes.txt").write_text("mine", "utf-8")
    outcome = command("demo", "mine")
    assert outcome.code == 1
    _clear_error(outcome, "file")
    assert [path.name for path in Path("mine").iterdir()] == ["notes.txt"]


def _not_a_workbook(path: Path) -> None:
    path.write_text("客户名称,电话\n甲,1\n", "utf-8")


def _without_content_types(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")


def _encrypted(path: Path) -> None:
    names = ["EncryptedPackage", "EncryptionInfo"]
    path.write_bytes(_compound_file(names))


def _compound_file(names: list[str]) -> bytes:
    """The smallest OLE file with streams of these names: header, one FAT sector, one folder sector."""
    import struct

    free, end, fat_sector = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
    header = struct.pack(
        "<8s16xHHHHH6xIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        0x3E,
        3,
        0xFFFE,
        9,
        6,
        0,
        1,
        1,
        0,
        4096,
        end,
        0,
        end,
        0,
    )
    header += struct.pack("<I", 0) + struct.pack("<I", free) * 108
    fat = struct.pack("<II", fat_sector, end) + struct.pack("<I", free) * 126
    entries = [("Root Entry", 5, 1), *((name, 2, free) for name in names)]
    folder = b""
    for index, (name, kind, child) in enumerate(entries):
        encoded = name.encode("utf-16-le") + b"\0\0"
        right = index + 1 if kind == 2 and index + 1 < len(entries) else free
        folder += struct.pack("<64sHBBIII36xIQ", encoded, len(encoded), kind, 1, free, right, child, end, 0)
    folder += bytes(512 - len(folder) % 512 if len(folder) % 512 else 0)
    return header + fat + folder


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_not_a_workbook, "not_a_workbook"),
        (_without_content_types, "not_a_workbook"),
        (_encrypted, "encrypted"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.mkdir(), "unreadable"),
        (lambda path: None, "not_found"),
    ],
)
def test_a_workbook_that_is_none(process, command, store, make, reason) -> None:
    before = _counts(command, store)
    make(Path("客户.xlsx"))
    outcome = process("import", "客户.xlsx", "--store", store)
    assert outcome.code == 1
    _clear_error(outcome, "import_rejected")
    assert f"{reason}: " in outcome.err
    assert _counts(command, store) == before


@pytest.mark.parametrize(
    ("row", "column", "code"),
    [
        (",潜在客户,2024-03-15,", "A", "required"),
        ("甲有限公司,已经死了,2024-03-15,", "B", "unknown_stage"),
        ("甲有限公司,潜在客户,下周三,", "C", "bad_date"),
        ("甲有限公司,潜在客户,2024-03-15,no address", "D", "bad_email"),
    ],
)
def test_a_bad_row_is_named_and_stored_nowhere(process, command, store, row, column, code) -> None:
    before = _counts(command, store)
    Path("客户.csv").write_text(f"{HEADER}{row}\n", "utf-8")
    outcome = process("import", "客户.csv", "--store", store)
    assert outcome.code == 3
    assert f"客户.csv 客户!2:{column} {code} " in outcome.out
    assert "Traceback" not in outcome.err
    assert _counts(command, store) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["due", "--until", "soon"],
        ["report", "funnel", "--since", "2024-13-01"],
        ["report", "due", "--since", "2024-12-01"],
        ["report", "review", "-o", "review.pdf"],
        ["report", "weather"],
        ["report", "risk", "--until", "2024-12-01"],
        ["report", "monthly", "--since", "2024-12-01"],
        ["report", "monthly", "--month", "2024-13"],
        ["report", "monthly", "--month", "May"],
        ["report", "review", "--month", "2024-12"],
        ["report", "review", "--of", "colour=red"],
        ["report", "review", "--of", "owner"],
        ["list", "--limit", "0"],
        ["list", "--stage", "nosuch"],
        ["list", "--after", "nosuch"],
        ["list", "--language", "fr"],
        ["export", "nosuch"],
        ["export", "customers", "-o", "customers.pdf"],
        ["export", "customers", "--encoding", "nosuch"],
        ["export", "customers", "--encoding", "ascii"],
        ["template", "-o", "template.docx"],
        ["template", "nosuch", "-o", "template.xlsx"],
        ["import"],
        ["import", "a.csv", "--table", "nosuch"],
        ["follow", "C1"],
        ["follow", "C1", "--summary", "x", "--method", "smoke"],
        ["follow", "C1", "--summary", "x", "--next-on", "later"],
        ["move", "D-1", "proposal", "--set", "nosuch=1"],
        ["move", "D-1", "proposal", "--set", "stage=won"],
        ["move", "D-1", "proposal", "--set", "amount"],
        ["--nosuch", "list"],
        ["nosuch"],
    ],
)
def test_a_value_that_cannot_be_used_is_wrong_usage(command, store, monkeypatch, arguments) -> None:
    monkeypatch.setenv("CRMCORE_STORE", store)
    outcome = command(*arguments)
    assert outcome.code == 2
    assert "error [usage]: " in outcome.err or "error [query]: " in outcome.err
    assert outcome.out == ""
    assert [path.name for path in Path().iterdir() if path.suffix != ".db" and "-" not in path.name] == []


def test_an_invalid_input_prints_each_issue_in_the_readers_language(command, store) -> None:
    number = command("list", "--store", store, "--json").json["items"][0]["number"]
    values = ["--set", "contract_amount=much", "--set", "contract_signed_on=soon"]
    outcome = command("move", number, "customer", *values, "--store", store, "--language", "zh-CN")
    assert outcome.code == 1
    _clear_error(outcome, "invalid")
    assert "customer.contract_amount bad_money 合同金额不是金额" in outcome.err
    assert "customer.contract_signed_on bad_date 合同签订日期不是日期" in outcome.err


def test_stages_and_choices_are_called_as_the_playbook_calls_them(command, store) -> None:
    number = command("list", "--store", store, "--json").json["items"][0]["number"]
    for language, told in (("zh-CN", "从意向客户可以进入:"), ("en", "from Interested the way leads to ")):
        outcome = command("move", number, "interested", "--store", store, "--language", language)
        _clear_error(outcome, "transition_refused")
        assert f"customer.stage no_way {told}" in outcome.err
        assert "prospect" not in outcome.err


def test_errors_are_told_in_the_readers_language(command, store) -> None:
    def told(*arguments: str) -> str:
        return command(*arguments, "--store", store, "--language", "zh-CN").err

    assert told("show", "C0") == "error [not_found]: 没有这样的客户\n"
    period = ("--since", "2026-12-01", "--until", "2026-11-01")
    assert told("report", "activity", *period) == "error [query]: 时间段的结束不能早于开始\n"
    assert told("template", "-o", "nowhere/a.xlsx").startswith("error [file]: 文件无法使用(")
    assert command("list", "--store", "b.db", "--language", "zh-CN").err.startswith(
        "error [store_unavailable]: sqlite:///b.db不存在"
    )


def test_what_is_stopped_needs_a_reason(command, store) -> None:
    number = command("list", "--store", store, "--json").json["items"][0]["number"]
    before = _counts(command, store)
    outcome = command("follow", number, "--summary", "no budget", "--result", "暂缓", "--store", store)
    assert outcome.code == 1
    _clear_error(outcome, "invalid")
    assert "reason_required" in outcome.err
    assert _counts(command, store) == before


@pytest.fixture
def failing_verb():
    """A verb that fails as no verb should."""

    @click.command("fail")
    @with_global_options
    def fail(shell) -> None:
        """Fails."""
        raise ZeroDivisionError("Zhang San owes 13800138000")

    program.add_command(fail)
    yield
    del program.commands["fail"]


def test_a_fault_of_the_program_is_one_line_without_data_and_a_traceback_only_where_asked(
    command, failing_verb
) -> None:
    outcome = command("fail")
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (1, "", 1)
    assert outcome.err.startswith("error [internal]: ZeroDivisionError")
    assert "Zhang San" not in outcome.err
    assert "Traceback" in command("fail", "--debug").err


def test_an_interruption_is_130(command) -> None:
    @click.command("wait")
    @with_global_options
    def wait(shell) -> None:
        """Waits."""
        raise KeyboardInterrupt

    program.add_command(wait)
    try:
        assert command("wait").code == 130
    finally:
        del program.commands["wait"]


def test_a_reader_that_goes_away_ends_it_quietly(store) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "crmcore.cli", "list", "--store", store], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(60) == 141


@pytest.mark.parametrize("name", ["click", "rich"])
def test_without_the_extra_it_says_what_to_install(name) -> None:
    script = f"import sys; sys.modules[{name!r}] = None; from crmcore.cli import main; sys.exit(main(['list']))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, encoding="utf-8", check=False)
    assert found.returncode == 1
    assert found.stdout == ""
    assert found.stderr.count("\n") == 1
    assert 'pip install "crmcore[cli]"' in found.stderr
