"""Verbs that change something: follow, move."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import click

from crmcore.app.crm import Session
from crmcore.cli.options import cell_options, day, read_settings, with_global_options, word
from crmcore.cli.shell import Shell
from crmcore.domain import Customer, Opportunity
from crmcore.domain.fields import Unclean
from crmcore.errors import NotFound
from crmcore.interchange.cells import parse
from crmcore.storage.query import Eq


@click.command("follow")
@click.argument("number")
@click.option("--summary", required=True, help="What was said.")
@click.option("--method", help="How: phone, visit, email … or a label (电话).")
@click.option("--at", metavar="TIME", help="When it took place, in the team's zone. [default: now]")
@click.option("--result", help="progressing, blocked or stopped, or a label.")
@click.option("--reason", help="Why it was stopped; required then.")
@click.option("--next-step", metavar="TEXT", help="What comes next.")
@click.option("--next-on", metavar="DATE", callback=day, help="The day of the next contact, which is then planned.")
@with_global_options
def follow(shell: Shell, number: str, at: str | None, next_on: date | None, **values: Any) -> None:
    """Puts a follow-up on record; it meets the contact that was due. NUMBER is the customer's number or id."""
    me = shell.me
    for name in ("method", "result"):
        values[name] = word(shell.playbook, f"follow_up.{name}", values[name], f"--{name}")
    customer = me.customers.get(number)
    follow_up = me.follow_ups.log(customer, at=_moment(shell, at), next_on=next_on, **values)
    if shell.json:
        shell.write_json(follow_up)
        return
    shell.say(shell.text("followed", number=customer.number, name=customer.name))
    if next_on:
        shell.say(shell.text("next_contact", day=next_on))


def _moment(shell: Shell, given: str | None) -> datetime | None:
    if given is None:
        return None
    try:
        moment: datetime = parse("instant", given, options=cell_options(shell))
    except Unclean:
        raise click.BadParameter(
            "this is not a time such as 2026-11-30 or '2026-11-30 15:04'", param_hint="--at"
        ) from None
    return moment


@click.command("move")
@click.argument("number")
@click.argument("stage")
@click.option("--reason", help="Why; some moves ask for it.")
@click.option(
    "--set", "settings", metavar="FIELD=VALUE", multiple=True, help="A field to set with the move; repeatable."
)
@with_global_options
def move(shell: Shell, number: str, stage: str, reason: str | None, settings: tuple[str, ...]) -> None:
    """Moves a customer or an opportunity to another stage, by the stage's key or a label.

    NUMBER is a customer's number or id, or an opportunity's own number or id.
    """
    me = shell.me
    found = _subject(me, number)
    fields = read_settings(shell, settings, type(found))
    moved: Customer | Opportunity
    if isinstance(found, Customer):
        moved = me.customers.move(found, stage, reason=reason, **fields)
    else:
        moved = me.opportunities.move(found, stage, reason=reason, **fields)
    if shell.json:
        shell.write_json(moved)
        return
    label = f"{found.entity}.stage"
    shell.say(
        shell.text(
            "moved",
            number=found.number if isinstance(found, Customer) else found.reference or found.id,
            name=found.name,
            source=shell.playbook.choice_label(label, found.stage, shell.language),
            target=shell.playbook.choice_label(label, moved.stage, shell.language),
        )
    )


def _subject(me: Session, number: str) -> Customer | Opportunity:
    """The customer or the one opportunity that goes by a number; raises :class:`NotFound`."""
    try:
        return me.customers.get(number)
    except NotFound:
        named = me.opportunities.find(Eq("reference", number), limit=2)
    if len(named) == 1:
        return named.items[0]
    try:
        return me.opportunities.get(number)
    except NotFound:
        raise NotFound("no customer and no one opportunity goes by this number") from None
