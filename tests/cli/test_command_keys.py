"""`crmcore keys`: a fresh key to be kept elsewhere, and what a ring has without its keys."""

from __future__ import annotations

from pathlib import Path

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


def test_keys_that_are_nowhere_are_asked_for(command) -> None:
    assert command("keys", "list").code == 1
    assert "[key_missing]" in command("keys", "list").err
    assert command("keys", "list", "--keys", "env:NOBODY").code == 1
    assert command("keys", "list", "--keys", "abcdef").code == 2
    assert command("doctor", "--keys", "file:nowhere", "--store", "memory:").code == 1
