"""Verbs about tiers: show why a customer has its own, set one by hand, give it back, work all of them out anew."""

from __future__ import annotations

from datetime import date

import click

from crmcore.cli.options import day, with_global_options, word
from crmcore.cli.shell import Shell
from crmcore.domain import Customer


@click.group("tier", no_args_is_help=False)
@with_global_options
def tier(shell: Shell) -> None:
    """Customers' tiers: why, by hand, and worked out anew."""


@tier.command("show")
@click.argument("number")
@with_global_options
def show(shell: Shell, number: str) -> None:
    """Why a customer has its tier. NUMBER is the customer's number or id."""
    why = shell.me.tiers.explain(number)
    if shell.json:
        shell.write_json(why.to_plain())
    else:
        shell.write(why.text(shell.language))


@tier.command("set")
@click.argument("number")
@click.argument("key", metavar="TIER")
@click.option("--reason", required=True, help="Why it is set by hand.")
@click.option("--until", metavar="DATE", callback=day, help="The last day on which it holds. [default: without an end]")
@with_global_options
def set_(shell: Shell, number: str, key: str, reason: str, until: date | None) -> None:
    """Sets a tier by hand, by its key or a label; it goes before what is worked out."""
    me = shell.me
    chosen = word(shell.playbook, "customer.tier", key, "TIER")
    _tell(shell, me.tiers.set(number, chosen or key, reason=reason, until=until))


@tier.command("release")
@click.argument("number")
@with_global_options
def release(shell: Shell, number: str) -> None:
    """Takes back what was set by hand, and works the tier out."""
    _tell(shell, shell.me.tiers.release(number))


def _tell(shell: Shell, customer: Customer) -> None:
    if shell.json:
        shell.write_json(customer)
        return
    held = shell.playbook.choice_label("customer.tier", customer.tier or "", shell.language)
    shell.say(shell.text("tiered", number=customer.number, name=customer.name, tier=held))


@tier.command("run")
@click.option("--dry-run", is_flag=True, help="Says who would move; changes nothing.")
@with_global_options
def run(shell: Shell, dry_run: bool) -> None:
    """Works out every customer's tier anew: who moves, and who stays by hand or by the margin."""
    report = shell.me.tiers.run(dry_run=dry_run)
    if shell.json:
        shell.write_json({"dry_run": dry_run, **report.to_plain()})
        return
    shell.write("\n\n".join(table.to_text(shell.language) for table in report.tables))
    if dry_run:
        shell.say(shell.text("dry_run"))
