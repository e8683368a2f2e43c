"""Verbs about keys: make a new one, say which ones a ring has, encrypt a store, and give what is encrypted another key."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import click

from crmcore.app.encryption import Rekeyed
from crmcore.cli.exits import FAILURE, OK
from crmcore.cli.options import with_global_options
from crmcore.cli.shell import Shell
from crmcore.storage.keys import KeyRing


@click.group("keys", no_args_is_help=False)
@with_global_options
def keys(shell: Shell) -> None:
    """The keys of what is encrypted and chained; they are kept outside the store, by whoever runs it."""


@keys.command("new")
@click.option(
    "--file", metavar="FILE", type=click.Path(dir_okay=False), help="Adds it to this file of keys, made for you alone."
)
@with_global_options
def new(shell: Shell, file: str | None) -> None:
    """Makes a fresh key and prints it, as a line for a file of keys, or adds it to one. Nothing else keeps it."""
    ring = KeyRing.generate(datetime.now(UTC).date())
    if file is not None:
        _add(file, ring)
        if shell.json:
            shell.write_json({"id": ring.current, "file": file})
    elif shell.json:
        id, _, key = ring.to_text().strip().partition(":")
        shell.write_json({"id": id, "key": key})
    else:
        shell.write(ring.to_text().rstrip())
    shell.say(shell.text("key_made"))


def _add(file: str, ring: KeyRing) -> None:
    """Adds the key at the end of a file, which is made so that nobody else reads it."""
    with os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+b") as opened:
        opened.seek(0)
        there = opened.read()
        opened.write((b"\n" if there and not there.endswith(b"\n") else b"") + ring.to_text().encode())


@keys.command("list")
@with_global_options
def list_(shell: Shell) -> None:
    """Prints the ids of the ring that --keys names, the current one marked, each with what tells it from another key."""
    ring = shell.key_ring()
    if shell.json:
        shell.write_json({"current": ring.current, "keys": {id: ring.check_value(id) for id in ring.ids}})
        return
    for id in ring.ids:
        shell.write(f"{'*' if id == ring.current else ' '} {id}  {ring.check_value(id)}")


@click.command("encrypt")
@with_global_options
def encrypt(shell: Shell) -> None:
    """Encrypts the fields that the playbook names in a store in which they lie in plain; others may use it meanwhile."""
    shell.key_ring()
    shell.me.ask("setting", "update")
    crm = shell.open()
    with shell.progress(shell.text("encrypting")) as progress:
        done = crm.encrypt((lambda _, rows: progress(rows, None)) if progress else None)
    _tell(shell, done, "encrypted")


@click.command("rekey")
@with_global_options
def rekey(shell: Shell) -> int:
    """Gives everything that is encrypted the current key of --keys, while others use the store."""
    shell.key_ring()
    shell.me.ask("setting", "update")
    crm = shell.open()
    with shell.progress(shell.text("rekeying")) as progress:
        done = crm.rekey((lambda _, rows: progress(rows, None)) if progress else None)
    _tell(shell, done, "rekeyed")
    return FAILURE if done.still_used else OK


def _tell(shell: Shell, done: Rekeyed, text: str) -> None:
    if shell.json:
        shell.write_json(done)
        return
    shell.say(shell.text(text, rows=done.rows, id=done.key_id))
    for id in done.retired:
        shell.say(shell.text("key_retired", id=id))
    for id in done.still_used:
        shell.say(shell.text("key_still_used", id=id))
    for place in done.remains:
        shell.say(shell.text("may_remain", place=place))
