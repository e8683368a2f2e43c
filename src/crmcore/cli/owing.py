"""Verbs about what is owed: remind, recompute, replay."""

from __future__ import annotations

from datetime import date, timedelta

import attrs
import click

from crmcore.app.finding import customers_of
from crmcore.app.obligations import Recomputed
from crmcore.cli.options import day, with_global_options
from crmcore.cli.shell import Shell
from crmcore.cli.tables import spoken
from crmcore.cli.texts import TEXTS
from crmcore.domain.fields import FIRST_DAY, LAST_DAY
from crmcore.errors import QueryError
from crmcore.metrics import Column, Table
from crmcore.metrics.tables import plain
from crmcore.rules.timing import day_end, day_start


@click.command("remind")
@click.option("--since", metavar="DATE", callback=day, help="From the beginning of this day. [default: yesterday]")
@click.option("--until", metavar="DATE", callback=day, help="Up to the end of this day. [default: now]")
@click.option("--enqueue", is_flag=True, help="Puts each notice into the outbox once, from where it stopped last time.")
@with_global_options
def remind(shell: Shell, since: date | None, until: date | None, enqueue: bool) -> None:
    """What somebody is to be reminded of in a time, by the playbook's rules. Prints it; sends nothing."""
    me = shell.me
    crm = me.crm
    if enqueue:
        _enqueue(shell, since, until)
        return
    since = since or crm.today() - timedelta(days=1)
    if until and since > until:
        raise QueryError("a period does not end before it begins")
    start = day_start(max(since, FIRST_DAY), crm.zone)
    found = me.obligations.reminders(start, day_end(min(until, LAST_DAY), crm.zone) if until else None)
    customers = me.read(lambda transaction: customers_of(transaction, found))
    columns = (
        spoken("at", "instant"),
        spoken("reminder"),
        spoken("to_whom", text="reminded"),
        spoken("due_at", "instant"),
        spoken("number"),
        spoken("name"),
    )
    ids = (Column("customer_id", "客户内部标识", "Customer id"), Column("id", "提醒标识", "Notice"))
    rows = tuple(
        (
            one.at.astimezone(crm.zone),
            one.reminder.label.text(shell.language),
            ", ".join(one.to),
            one.due_at.astimezone(crm.zone),
            *((whose.number, whose.name) if (whose := customers.get(one.customer_id or "")) else (None, None)),
            one.customer_id,
            one.id,
        )
        for one in found
    )
    english, chinese = TEXTS["reminders_due"]
    table = Table("reminders", chinese, english, (*columns, *ids), rows)
    if shell.json:
        shell.write_json(plain(table.records()))
    elif rows:
        # The ids are for programs.
        shell.write_table(attrs.evolve(table, columns=columns, rows=tuple(row[: len(columns)] for row in rows)))
    else:
        shell.say(shell.text("nothing_to_remind"))


def _enqueue(shell: Shell, since: date | None, until: date | None) -> None:
    me = shell.me
    crm = me.crm
    start = day_start(max(since, FIRST_DAY), crm.zone) if since else None
    end = day_end(min(until, LAST_DAY), crm.zone) if until else None
    if until and until > crm.today():
        raise QueryError("notices are put into the outbox up to now; --until can't lie ahead")
    done = me.notifications.enqueue(start, None if end is None else min(end, crm.now()))
    if shell.json:
        shell.write_json(attrs.asdict(done))
    else:
        until_there = f"{done.until.astimezone(crm.zone):%Y-%m-%d %H:%M}"
        shell.say(shell.text("enqueued", notices=done.notices, messages=done.messages, until=until_there))


@click.command("recompute")
@click.option("--dry-run", is_flag=True, help="Says what would differ and writes nothing.")
@with_global_options
def recompute(shell: Shell, dry_run: bool) -> None:
    """Derives what is owed anew from what happened, after the playbook was changed."""
    found: Recomputed = shell.me.obligations.recompute(dry_run=dry_run)
    figures = {name: getattr(found, name) for name in ("looked_at", "begun", "changed", "gone")}
    if shell.json:
        shell.write_json(figures)
    else:
        shell.say(shell.text("recomputed", **figures))


@click.command("replay")
@click.argument("key_or_file", metavar="KEY|FILE")
@click.option("--since", metavar="DATE", callback=day, help="Only what was due from this day on.")
@click.option("--until", metavar="DATE", callback=day, help="Only what was due up to this day.")
@with_global_options
def replay(shell: Shell, key_or_file: str, since: date | None, until: date | None) -> None:
    """What the same history would have owed under another playbook, beside the store's own. Writes nothing."""
    found = shell.me.reports.replay(shell.load_playbook(key_or_file), since=since, until=until)
    if shell.json:
        shell.write_json(found.to_plain())
    else:
        shell.write_table(found.table)
