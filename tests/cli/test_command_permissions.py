"""The command keeps permissions: what it prints is what the one who acts may see, and what they may not do ends in 5."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import crmcore

SECRETS = ("18049531999", "密决策人", "777.11")


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store with an administrator, somebody's customer, and others."""
    pytest.importorskip("sqlalchemy")
    monkeypatch.chdir(tmp_path)
    url = "sqlite:///crm.db?journal=truncate"
    with crmcore.open(url, "standard") as crm:
        li = crm.acting_as("li")
        acme = li.customers.register(
            name="示例科技有限公司",
            decision_makers=["密决策人"],
            contract_amount=crmcore.Money.of("777.11"),
            contacts=[{"name": "段正淳", "phone": "18049531999"}],
        )
        li.follow_ups.log(acme, summary="聊过")
        for name, role in (("li", "sales"), ("wang", "sales"), ("root", "administrator")):
            li.users.add(name, roles=[role])
    return acme.number


LOOKS = (
    *(["list"], ["list", "opportunities"], ["show", "{number}"], ["due", "--until", "2030-01-01"], ["due", "--why"]),
    *(["export", "customers"], ["export", "contacts"], ["export", "follow_ups"], ["report", "review"]),
    *(["report", "overview"], ["report", "quality"], ["report", "risk"], ["remind"], ["tier", "show", "{number}"]),
    *(["outbox", "list"], ["follow", "{number}", "--summary", "x"], ["move", "{number}", "interested"]),
)
JOBS = (
    *(
        ["recompute"],
        ["recompute", "--dry-run"],
        ["replay", "marketing"],
        ["tier", "run"],
        ["tier", "run", "--dry-run"],
    ),
    *(["check"], ["doctor"], ["edits"], ["remind", "--enqueue"], ["outbox", "retry"], ["backup", "copy.db"]),
    *(
        ["outbox", "deliver", "--folder", "out"],
        ["copy", "crm.db", "other.db"],
        ["tier", "set", "{number}", "A", "--reason", "x"],
    ),
    ["init", "--switch-playbook", "--playbook", "marketing"],
)


@pytest.mark.parametrize("arguments", LOOKS, ids=" ".join)
def test_no_verb_tells_what_is_kept_back(command, kept: str, arguments: list[str]) -> None:
    told = [word.format(number=kept) for word in arguments]
    for json in ([], ["--json"]):
        done = command(*told, *json, "--store", "crm.db", "--as", "wang")
        assert done.code in (0, 5), done
        assert [secret for secret in SECRETS if secret in done.out + done.err] == []
    owner = command(*told, "--store", "crm.db", "--as", "li")
    assert owner.code == 0, owner


@pytest.mark.parametrize("arguments", JOBS, ids=" ".join)
def test_jobs_on_the_whole_store_take_the_right_to_them(
    command, kept: str, tmp_path: Path, arguments: list[str]
) -> None:
    told = [word.format(number=kept) for word in arguments]
    before = hashlib.sha256((tmp_path / "crm.db").read_bytes()).hexdigest()
    for actor in ("wang", "stranger"):
        done = command(*told, "--store", "crm.db", "--as", actor)
        assert done.code == 5, done
        assert "[forbidden]" in done.err
        assert hashlib.sha256((tmp_path / "crm.db").read_bytes()).hexdigest() == before
        assert not (tmp_path / "copy.db").exists()
    assert command(*told, "--store", "crm.db", "--as", "root").code == 0
