"""Verbs about the outbox: list what stands there, deliver what waits, have the dead tried again."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
import click

from crmcore.cli.exits import FAILURE, OK
from crmcore.cli.options import with_global_options
from crmcore.cli.shell import Shell
from crmcore.cli.tables import readable, spoken
from crmcore.cli.texts import TEXTS
from crmcore.domain import OutboxMessage
from crmcore.errors import CRMError
from crmcore.metrics import Column, Table
from crmcore.metrics.tables import Cell, plain
from crmcore.notify import FolderNotifier, Relay, Tried

STATES = OutboxMessage.kinds["state"].choices


@click.group("outbox", no_args_is_help=False)
@with_global_options
def outbox(shell: Shell) -> None:
    """What is told outside: what waits, what was sent, what was given up."""


@outbox.command("list")
@click.option("--state", type=click.Choice(STATES), default="waiting", help="Which. [default: waiting]")
@click.option("--limit", type=click.IntRange(min=1), help="How many at most.")
@with_global_options
def list_(shell: Shell, state: str, limit: int | None) -> None:
    """The messages of one state, by the moments that they are for."""
    _show(shell, shell.me.notifications.find(state, limit=limit))


@outbox.command("deliver")
@click.option("--folder", metavar="FOLDER", help="Into this folder, a file each, in place of the plugins' notifiers.")
@click.option("--every", metavar="SECONDS", type=click.IntRange(min=1), help="Stays, and looks again after so long.")
@click.option("--dry-run", is_flag=True, help="Says what would be sent now; sends nothing.")
@with_global_options
def deliver(shell: Shell, folder: str | None, every: int | None, dry_run: bool) -> int:
    """Sends what waits, each message once; what fails is tried again later."""
    if every is not None and (shell.json or dry_run):
        raise click.UsageError("--every goes without --json and --dry-run, which end")
    me = shell.me
    for fault in me.crm.plugins.notifiers.faults:
        shell.say(shell.text("plugin_fault", fault=fault))
    relay = me.notifications.relay(*((FolderNotifier(Path(folder).absolute()),) if folder else ()))
    if dry_run:
        _show(shell, relay.ready())
        shell.say(shell.text("nothing_sent"))
        return OK
    if every is None:
        tried = list(relay.run())
        _show(shell, [one.message for one in tried], tried)
        return FAILURE if any(one.dead for one in tried) else OK
    while True:
        _deliver_round(shell, relay)
        time.sleep(every)


def _deliver_round(shell: Shell, relay: Relay) -> None:
    """One of many: a store that is busy for once doesn't end them."""
    try:
        tried = list(relay.run())
    except CRMError as error:
        if not error.retryable:
            raise
        shell.say(error.text(shell.language))
        return
    if tried:
        _show(shell, [one.message for one in tried], tried)


@outbox.command("retry")
@click.argument("id", required=False)
@with_global_options
def retry(shell: Shell, id: str | None) -> None:
    """Has the dead tried again, or the one with this ID, as if for the first time."""
    revived = shell.me.notifications.retry(id)
    if shell.json:
        shell.write_json({"revived": revived})
    else:
        shell.say(shell.text("revived", count=revived))


def _show(shell: Shell, messages: Iterable[OutboxMessage], tried: Iterable[Tried] | None = None) -> None:
    """The messages as a table; with what became of each where they were tried."""
    zone = shell.open().zone
    columns: tuple[Column, ...] = (
        spoken("at", "instant"),
        spoken("reminder"),
        spoken("to_whom", text="reminded"),
        spoken("due_at", "instant"),
        spoken("number"),
        spoken("state"),
        spoken("attempts", "integer"),
        spoken("last_error"),
        Column("id", "消息标识", "Message"),
    )
    rows: list[tuple[Cell, ...]] = [
        (
            one.at.astimezone(zone),
            one.label_zh if shell.language == "zh-CN" else one.label_en,
            one.recipient,
            one.due_at and one.due_at.astimezone(zone),
            one.customer_number,
            one.state,
            one.attempts,
            one.last_error,
            one.id,
        )
        for one in messages
    ]
    if tried is not None:
        columns = (*columns, Column("notifier", "通知渠道", "Notifier"))
        rows = [(*row, one.notifier) for row, one in zip(rows, tried, strict=True)]
    english, chinese = TEXTS["outbox"]
    table = Table("outbox", chinese, english, columns, tuple(rows))
    if shell.json:
        shell.write_json(plain(table.records()))
    elif rows:
        told = {state: TEXTS[f"message.{state}"][shell.language == "zh-CN"] for state in STATES}
        shown: list[tuple[Any, ...]] = [
            tuple(readable(cell, zone) for cell in (*row[:5], told[str(row[5])], *row[6:])) for row in rows
        ]
        shell.write_table(attrs.evolve(table, rows=tuple(shown)))
    else:
        shell.say(shell.text("outbox_empty"))
