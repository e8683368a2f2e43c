"""`crmcore keys`: a fresh key to be kept elsewhere, and what a ring has without its keys."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import crmcore
from crmcore import Money
from crmcore.storage.keys import KeyRing


def test_a_new_key_is_printed_as_a_line_for_a_file_of_keys(command, monkeypatch) -> None:
    first, second = command("keys", "new"), command("keys", "new", "--json")
    assert (first.code, second.code) == (0, 0)
    assert "without it nobody reads" in first.err
    file = Path("keys")
    file.write_text(f"{first.out}{second.json['id']}:{second.json['key']}\n")
    file.chmod(0o600)
    ring = KeyRing.from_file(file)
    assert ring.current == second.json["id"]
    monkeypatch.setenv("CRMCORE_KEYS", "file:keys")
    for source in ((), ("--keys", "file:keys")):
        listed = command("keys", "list", *source)
        assert [line[:2] for line in listed.out.splitlines()] == ["  ", "* "]
        assert second.json["key"] not in listed.out + listed.err
    assert command("keys", "list", "--json").json["keys"].keys() == set(ring.ids)


def test_a_new_key_is_added_to_a_file_that_nobody_else_reads(command) -> None:
    for _ in range(2):
        assert command("keys", "new", "--file", "ring", "--quiet") == (0, "", "")
    third = command("keys", "new", "--file", "ring", "--json").json
    assert third["file"] == "ring"
    ring = KeyRing.from_file("ring")
    assert (len(ring.ids), ring.current) == (3, third["id"])
    if os.name == "posix":
        assert Path("ring").stat().st_mode & 0o777 == 0o600


def test_keys_that_are_nowhere_are_asked_for(command) -> None:
    assert command("keys", "list").code == 1
    assert "[key_missing]" in command("keys", "list").err
    assert command("keys", "list", "--keys", "env:NOBODY").code == 1
    assert command("keys", "list", "--keys", "abcdef").code == 2
    assert command("doctor", "--keys", "file:nowhere", "--store", "memory:").code == 1


def test_a_store_is_encrypted_and_rekeyed_from_the_command_line(command, monkeypatch) -> None:
    pytest.importorskip("cryptography", reason="encryption needs crmcore[crypto]")
    monkeypatch.setenv("CRMCORE_STORE", "crm.db")
    with crmcore.open("sqlite:///crm.db", "standard") as crm:
        crm.acting_as("a").customers.register(name="甲有限公司", contract_amount=Money.of(5))
    assert "[key_missing]" in command("encrypt").err
    monkeypatch.setenv("OLD", command("keys", "new").out)
    fresh = command("keys", "new").out
    ring = KeyRing.parse(fresh)
    old = KeyRing.read("env:OLD")
    monkeypatch.setenv("BOTH", f"{old.to_text()}{fresh}".replace(old.current, "first"))
    monkeypatch.setenv("OLD", old.to_text().replace(old.current, "first"))
    done = command("encrypt", "--keys", "env:OLD")
    assert (done.code, "encrypted under the key first" in done.err) == (0, True)
    assert command("list").code == 1
    assert "[key_missing]" in command("list").err
    facts = command("doctor", "--json", "--keys", "env:OLD").json
    assert facts["store"]["encrypted_fields"] == ["customer.contract_amount", "customer.decision_makers"]
    assert facts["store"]["key_ids"] == ["first"]
    told = command("rekey", "--keys", "env:BOTH", "--json").json
    assert (told["rows"], told["key_id"], told["retired"], told["still_used"]) == (2, ring.current, ["first"], [])
    said = command("rekey", "--keys", "env:BOTH", "--language", "zh-CN")
    assert (said.code, "已重写0行" in said.err) == (0, True)
    monkeypatch.setenv("CRMCORE_KEYS", fresh)
    assert len(command("list", "--json").json["items"]) == 1
