"""Verbs that look: list, show, due."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import attrs
import click

from crmcore.app.finding import Page
from crmcore.app.obligations import Duty
from crmcore.cli.issues import line
from crmcore.cli.options import day, with_global_options
from crmcore.cli.shell import Shell
from crmcore.cli.tables import (
    CONTACT_COLUMNS,
    CUSTOMER_COLUMNS,
    FOLLOW_UP_COLUMNS,
    OPPORTUNITY_COLUMNS,
    PLAN_COLUMNS,
    duty_table,
    entity_table,
    facts,
    field_column,
    timeline_table,
)
from crmcore.domain import Customer, Opportunity
from crmcore.errors import Language
from crmcore.metrics import Table, due_list, rule_labels
from crmcore.storage.codec import CODECS

_RECORD = ("id", "version", "created_at", "created_by", "updated_at", "updated_by", "number", "name")
_LATEST = 10


@click.command("list")
@click.argument("what", type=click.Choice(["customers", "opportunities"]), default="customers")
@click.option("--stage", help="Only those in this stage, by its key or a label.")
@click.option("--owner", metavar="USER", help="Only those of this owner.")
@click.option("--search", metavar="TEXT", help="Only those with this text in their name; case and spaces don't count.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many at most.")
@click.option("--after", metavar="MARK", help="Go on after the page that ended with this mark.")
@with_global_options
def list_(shell: Shell, what: str, **filters: Any) -> None:
    """Customers or opportunities, a page at a time."""
    me = shell.me
    found: Page[Customer] | Page[Opportunity]
    if what == "customers":
        _check_stage(shell, "customer.stage", filters["stage"])
        found = customers = me.customers.find(**filters)
        table = entity_table(shell.playbook, what, "customer", CUSTOMER_COLUMNS, customers, me.crm.zone)
    else:
        _check_stage(shell, "opportunity.stage", filters["stage"])
        found = opportunities = me.opportunities.find(**filters)
        table = _opportunities(shell, opportunities.items)
    if shell.json:
        shell.write_json({"items": found.items, "next": found.next})
        return
    shell.write_table(table)
    if found.next:
        shell.say(shell.text("more", mark=found.next))


def _check_stage(shell: Shell, field: str, given: str | None) -> None:
    if given is not None and shell.playbook.choice_key(field, given) is None:
        known = ", ".join(shell.playbook.vocabulary(field))
        raise click.BadParameter(f"the playbook has no such stage; there are {known}", param_hint="--stage")


def _opportunities(shell: Shell, found: Sequence[Opportunity]) -> Table:
    """Opportunities behind what they are moved by: their number elsewhere, or their id."""
    me = shell.me
    crm = me.crm
    ids = list(dict.fromkeys(one.customer_id for one in found if one.customer_id))
    rows = me.read(lambda transaction: transaction.get_many("customers", ids))
    numbers = {id: CODECS[Customer].load(row).number for id, row in rows.items()}
    table = entity_table(crm.playbook, "opportunities", "opportunity", OPPORTUNITY_COLUMNS, found, crm.zone)
    columns = tuple(field_column(crm.playbook, key) for key in ("opportunity.reference", "customer.number"))
    keys = ((one.reference or one.id, numbers.get(one.customer_id or "")) for one in found)
    return attrs.evolve(
        table,
        columns=(*columns, *table.columns),
        rows=tuple((*key, *row) for key, row in zip(keys, table.rows, strict=True)),
    )


@click.command("show")
@click.argument("number")
@with_global_options
def show(shell: Shell, number: str) -> None:
    """One customer with everything about it. NUMBER is its number or id."""
    me = shell.me
    customer = me.customers.get(number)
    contacts = me.contacts.of(customer)
    plans = me.plans.of(customer)
    duties = me.obligations.of(customer)
    follow_ups = me.follow_ups.of(customer, limit=_LATEST)
    opportunities = me.opportunities.find(customer=customer, limit=1000)
    timeline = me.customers.timeline(customer)
    findings = me.customers.findings(customer)
    if shell.json:
        shell.write_json(
            {
                "customer": customer,
                "contacts": contacts,
                "plans": list(plans),
                "obligations": list(duties),
                "follow_ups": list(follow_ups),
                "opportunities": list(opportunities),
                "timeline": list(timeline),
                "findings": findings,
            }
        )
        return
    playbook, zone, language = shell.playbook, me.crm.zone, shell.language
    shell.write(f"{customer.number}  {customer.name}")
    shell.write("\n".join(facts(playbook, customer, language, zone, _RECORD)))
    for issue in findings:
        shell.write(f"! {line(issue, playbook, language)}")
    owed = due_list(duties, {customer.id: customer}, labels=rule_labels(playbook), now=me.crm.now(), zone=zone)
    tables = [
        entity_table(playbook, "contacts", "contact", CONTACT_COLUMNS, contacts, zone),
        entity_table(playbook, "plans", "follow_up_plan", PLAN_COLUMNS, plans, zone),
        _without(owed.table, "number", "name", "track"),
        entity_table(playbook, "follow_ups", "follow_up", FOLLOW_UP_COLUMNS, follow_ups, zone),
        _without(_opportunities(shell, opportunities.items), "number"),
        timeline_table(playbook, list(timeline)[:_LATEST], language, zone),
    ]
    for table in tables:
        if table.rows:
            shell.write("")
            shell.write_table(table)


def _without(table: Table, *keys: str) -> Table:
    kept = [index for index, column in enumerate(table.columns) if column.key not in keys]
    return attrs.evolve(
        table,
        columns=tuple(table.columns[index] for index in kept),
        rows=tuple(tuple(row[index] for index in kept) for row in table.rows),
    )


@click.command("due")
@click.option("--until", metavar="DATE", callback=day, help="Up to the end of this day. [default: today]")
@click.option("--owner", metavar="USER", help="Only what this user owes.")
@click.option("--limit", type=click.IntRange(1), help="How many at most.")
@click.option("--why", is_flag=True, help="How each due time comes about.")
@with_global_options
def due(shell: Shell, until: date | None, owner: str | None, limit: int | None, why: bool) -> None:
    """Who is due, the oldest first."""
    duties = shell.me.obligations.due(until, owner=owner, limit=limit)
    if shell.me.obligations.outdated():
        shell.say(shell.text("rules_outdated"))
    reasons = (
        [shell.me.obligations.explain(duty).text(shell.language) for duty in duties] if why else [None] * len(duties)
    )
    if shell.json:
        shell.write_json(
            [
                {**plain_duty(duty, shell.language), **({"why": reason} if why else {})}
                for duty, reason in zip(duties, reasons, strict=True)
            ]
        )
    elif why:
        shell.write(
            "\n\n".join(
                f"{duty.explain(shell.language)}\n{reason}" for duty, reason in zip(duties, reasons, strict=True)
            )
        )
    elif duties:
        shell.write_table(duty_table(duties, shell.language))
    else:
        shell.say(shell.text("nothing_due"))


def plain_duty(duty: Duty, language: Language) -> dict[str, Any]:
    """A duty for JSON: what a program needs to act on it."""
    return {
        "number": duty.customer.number if duty.customer else None,
        "name": duty.customer.name if duty.customer else None,
        "rule": duty.obligation.rule,
        "label": duty.label.text(language),
        "owner": duty.obligation.owner,
        "due_on": duty.due_on,
        "due_at": duty.obligation.due_at,
        "days_overdue": duty.days_overdue,
        "state": duty.state,
        "customer_id": duty.obligation.customer_id,
        "about": duty.about,
        "obligation_id": duty.obligation.id,
    }
