"""Verbs about customers that have more than one file: duplicates, merge, unmerge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from crmcore.app.duplicates import Cluster
from crmcore.app.merging import Merged
from crmcore.app.unmerging import Unmerged
from crmcore.cli.options import read_settings, with_global_options
from crmcore.cli.shell import Shell
from crmcore.cli.tables import said, spoken
from crmcore.cli.texts import TEXTS
from crmcore.domain import Customer
from crmcore.domain.values import fold
from crmcore.metrics.tables import Column, Table
from crmcore.rules.merging import NEVER_PREFERRED, SIDES_ONLY
from crmcore.storage.codec import to_plain


@click.command("duplicates")
@click.option("--apart", nargs=2, metavar="NUMBER NUMBER", help="These two are not the same: never shows them again.")
@click.option("--reason", help="Why they aren't; goes with --apart.")
@click.option("--why", is_flag=True, help="How each pair was found.")
@with_global_options
def duplicates(shell: Shell, apart: tuple[str, str] | None, reason: str | None, why: bool) -> None:
    """Lists the customers that are, or may be, the same."""
    if apart:
        judged = shell.me.duplicates.tell_apart(*apart, reason=reason)
        if shell.json:
            shell.write_json(judged)
        else:
            shell.say(shell.text("told_apart", one=apart[0], other=apart[1]))
        return
    found = shell.me.duplicates.scan()
    if shell.json:
        shell.write_json([_plain_cluster(shell, one) for one in found])
    elif found:
        shell.write_table(_clusters(shell, found))
        if why:
            for pair in (pair for one in found for pair in one.pairs):
                shell.write(f"\n{pair.one} {pair.other}\n{pair.explain(shell.language)}")
    else:
        shell.say(shell.text("no_duplicates"))


def _plain_cluster(shell: Shell, cluster: Cluster) -> dict[str, Any]:
    return {
        "tier": cluster.tier,
        "customers": [{"number": one.number, "name": one.name, "id": one.id} for one in cluster.customers],
        "pairs": [
            {
                "one": pair.one,
                "other": pair.other,
                "tier": pair.tier,
                "same": pair.same,
                "why": pair.explain(shell.language),
            }
            for pair in cluster.pairs
        ],
    }


def _clusters(shell: Shell, found: Sequence[Cluster]) -> Table:
    english, chinese = TEXTS["duplicates"]
    columns = (
        spoken("group", "integer"),
        spoken("likeness"),
        Column("number", "客户编号", "Number"),
        Column("name", "客户名称", "Name"),
        Column("owner", "负责人", "Owner"),
    )
    rows = tuple(
        (place, shell.text(f"likeness.{cluster.tier}"), one.number, one.name, one.owner)
        for place, cluster in enumerate(found, 1)
        for one in cluster.customers
    )
    return Table("duplicates", chinese, english, columns, rows)


@click.command("merge")
@click.argument("keep")
@click.argument("absorb")
@click.option("--dry-run", is_flag=True, help="Says what it would come to; changes nothing.")
@click.option(
    "--prefer",
    "preferred",
    metavar="FIELD=VALUE",
    multiple=True,
    help="Whose value a field takes, keep or absorb, or another value; repeatable.",
)
@click.option("--reason", help="Why they are the same.")
@with_global_options
def merge(shell: Shell, keep: str, absorb: str, dry_run: bool, preferred: tuple[str, ...], reason: str | None) -> None:
    """Makes one customer of two. KEEP stays, ABSORB goes into it; its number stands for the other one from now on."""
    prefer = _preferred(shell, preferred)
    customers = shell.me.customers
    if dry_run:
        merged = customers.plan_merge(keep, absorb, prefer=prefer)
    else:
        merged = customers.merge(keep, absorb, prefer=prefer, reason=reason)
    if shell.json:
        shell.write_json(
            {
                "dry_run": dry_run,
                "customer": merged.customer,
                "absorbed": merged.absorbed.number,
                "fields": [
                    {
                        "field": one.field,
                        "kept": one.kept,
                        "absorbed": one.absorbed,
                        "value": one.value,
                        "source": one.source,
                        "rule": one.rule,
                    }
                    for one in merged.fields
                    if one.kept != one.absorbed or one.value != one.kept
                ],
                "moved": merged.moved,
                "same_people": merged.same_people,
            }
        )
        return
    if merged.changed:
        shell.write_table(_choices(shell, merged))
    moved = sum(merged.moved.values())
    shell.say(
        shell.text(
            "would_merge" if dry_run else "merged",
            absorbed=merged.absorbed.number,
            number=merged.customer.number,
            count=moved,
        )
    )
    if merged.same_people:
        shell.say(shell.text("same_people", count=len(merged.same_people)))


def _preferred(shell: Shell, pairs: tuple[str, ...]) -> dict[str, Any]:
    """What is preferred: one of the two by its word, anything else as a value is read elsewhere."""
    playbook = shell.playbook
    names = {
        fold(spelling): name
        for name in Customer.kinds
        for spelling in (name, *(playbook.label(f"customer.{name}", told) for told in ("en", "zh-CN")))
    }
    sides: dict[str, Any] = {}
    values: list[str] = []
    for pair in pairs:
        field, equals, value = pair.partition("=")
        name = names.get(fold(field))
        if equals and (name is None or value in ("keep", "absorb") or name in NEVER_PREFERRED | SIDES_ONLY):
            sides[name or field] = value
        else:
            values.append(pair)
    return {**sides, **read_settings(shell, tuple(values), Customer, "--prefer")}


def _choices(shell: Shell, merged: Merged) -> Table:
    english, chinese = TEXTS["merged_fields"]
    columns = (spoken("field"), spoken("kept"), spoken("absorbed"), spoken("becomes"), spoken("because"))
    playbook, language, zone = shell.playbook, shell.language, shell.me.crm.zone

    def cell(field: str, value: Any) -> str:
        return said(playbook, field, to_plain(value), language, zone)

    rows = []
    for one in merged.changed:
        field = f"customer.{one.field}"
        values = [cell(field, value) for value in (one.kept, one.absorbed, one.value)]
        rows.append((playbook.label(field, language), *values, one.why.text(language)))
    return Table("merged_fields", chinese, english, columns, tuple(rows))


@click.command("unmerge")
@click.argument("number")
@click.option("--reason", help="Why they aren't the same.")
@with_global_options
def unmerge(shell: Shell, number: str, reason: str | None) -> None:
    """Takes a merge back. NUMBER is the number that was absorbed."""
    found: Unmerged = shell.me.customers.unmerge(number, reason=reason)
    if shell.json:
        shell.write_json(found)
        return
    shell.say(
        shell.text("unmerged", number=found.restored.number, name=found.restored.name, kept=found.customer.number)
    )
    if found.edited_fields:
        labels = [shell.playbook.label(f"customer.{name}", shell.language) for name in found.edited_fields]
        shell.say(shell.text("edited_fields", number=found.customer.number, fields=", ".join(labels)))
    for key in ("edited", "added", "elsewhere"):
        if records := getattr(found, key):
            shell.say(shell.text(f"unmerged.{key}", count=len(records)))
