"""Verbs about what is on file for good, and what is to go for good: verify, erase, delete, restore, retain."""

from __future__ import annotations

import attrs
import click

from crmcore.app.audit import Checkpoint, fault_text
from crmcore.cli.exits import CORRUPT, FAILURE, OK
from crmcore.cli.keeping import progress_of
from crmcore.cli.options import with_global_options
from crmcore.cli.shell import Shell
from crmcore.cli.tables import readable, spoken
from crmcore.cli.texts import TEXTS
from crmcore.metrics import Table


@click.command("verify")
@click.option(
    "--checkpoint", metavar="FILE", type=click.Path(dir_okay=False), help="Compares with what was exported once."
)
@click.option(
    "--export", metavar="FILE", type=click.Path(dir_okay=False), help="Writes where every chain ends, if all is well."
)
@click.option("--seal", is_flag=True, help="Brings the chains under the current key, if nothing else is wrong.")
@with_global_options
def verify(shell: Shell, checkpoint: str | None, export: str | None, seal: bool) -> int:
    """Looks whether what happened is on file as it was written. Writes nothing without --seal."""
    kept = Checkpoint.read(checkpoint) if checkpoint else None
    shell.me.ask("setting", "update" if seal else "read")
    audit = shell.open().audit
    sealed = audit.seal() if seal else None
    with progress_of(shell, "verifying") as progress:
        found = audit.verify(kept, progress)
    told = [fault_text(fault, shell.language) for fault in found.faults]
    if export and not told:
        with shell.writing(export), open(export, "x", encoding="utf-8") as file:
            file.write(audit.checkpoint().to_json())
    if shell.json:
        plain = attrs.asdict(found)
        plain["faults"] = [
            {**attrs.asdict(fault), "text": text} for fault, text in zip(found.faults, told, strict=True)
        ]
        shell.write_json({**plain, "exported": export if export and not told else None, "sealed": sealed})
    elif told:
        shell.write("\n".join(told))
    if not found.keyed:
        shell.say(shell.text("unkeyed"))
    if found.sealed_later:
        shell.say(shell.text("sealed_later", count=found.sealed_later))
    if found.uncleaned:
        shell.say(shell.text("uncleaned", count=found.uncleaned))
    if told:
        shell.say(shell.text("faults_found", count=len(told)))
        return CORRUPT
    shell.say(shell.text("verified", entries=found.entries, chains=found.chains, erased=found.erased))
    if export:
        shell.say(shell.text("file_written", file=export))
    return OK


@click.command("erase")
@click.argument("number", metavar="[NUMBER]", required=False)
@click.option("--contact", metavar="NAME", help="One contact of the customer, by name or id.")
@click.option("--reason", metavar="TEXT", help="Why; it is kept and must name nobody.")
@click.option("--dry-run", is_flag=True, help="Says what would be erased; writes nothing.")
@click.option("--clean", "clean", is_flag=True, help="Only cleans the files, where that could not be done at once.")
@with_global_options
def erase(shell: Shell, number: str | None, contact: str | None, reason: str | None, dry_run: bool, clean: bool) -> int:
    """Erases a customer who is a person, or people at one that is none, for good. Reports stay as they were."""
    if clean and number is None:
        shell.me.ask("setting", "update")
        done, outside = shell.open().clean()
        if shell.json:
            shell.write_json({"cleaned": done, "outside": outside})
        return _told_outside(shell, done, outside)
    if clean or number is None:
        raise click.UsageError("name a customer by its number, or give --clean alone")
    if reason is None:
        raise click.UsageError("say why with --reason; it is kept and must name nobody")
    erased = shell.me.customers.erase(number, contact, reason=reason, dry_run=dry_run)
    if shell.json:
        shell.write_json(attrs.asdict(erased))
    records = sum(erased.records.values())
    key = "would_erase" if dry_run else "erased"
    shell.say(shell.text(key, number=erased.number, records=records, events=erased.events, removed=erased.removed))
    for kind, id in erased.mentions:
        shell.say(shell.text("mentioned", kind=kind, id=id))
    if dry_run:
        shell.say(shell.text("dry_run"))
        return OK
    return _told_outside(shell, erased.cleaned, erased.outside)


def _told_outside(shell: Shell, cleaned: bool, outside: tuple[str, ...]) -> int:
    for what in outside:
        shell.say(shell.text("outside", what=what))
    shell.say(shell.text("cleaned" if cleaned else "not_cleaned"))
    return OK if cleaned else FAILURE


@click.command("delete")
@click.argument("number")
@click.option("--reason", metavar="TEXT", required=True, help="Why.")
@with_global_options
def delete(shell: Shell, number: str, reason: str) -> None:
    """Puts a customer into the bin, with everything that hangs on it."""
    gone = shell.me.customers.delete(number, reason)
    if shell.json:
        shell.write_json(gone)
    else:
        shell.say(shell.text("deleted", number=gone.number, name=gone.name))


@click.command("restore")
@click.argument("number", required=False)
@click.option("--reason", metavar="TEXT", help="Why.")
@with_global_options
def restore(shell: Shell, number: str | None, reason: str | None) -> None:
    """Brings a customer back from the bin as it was; without a number, lists what is in it."""
    if number is not None:
        back = shell.me.customers.restore(number, reason=reason)
        if shell.json:
            shell.write_json(back)
        else:
            shell.say(shell.text("restored", number=back.number, name=back.name))
        return
    binned = shell.me.customers.deleted()
    if shell.json:
        shell.write_json(
            [
                {
                    "number": one.customer.number,
                    "name": one.customer.name,
                    "at": one.at,
                    "by": one.by,
                    "reason": one.reason,
                }
                for one in binned
            ]
        )
        return
    zone = shell.open().zone
    english, chinese = TEXTS["bin"]
    columns = (spoken("number"), spoken("name"), spoken("at"), spoken("by"), spoken("reason"))
    rows = tuple((one.customer.number, one.customer.name, readable(one.at, zone), one.by, one.reason) for one in binned)
    shell.write_table(Table("bin", chinese, english, columns, rows))


@click.command("retain")
@click.option("--dry-run", is_flag=True, help="Lists who is to go; writes nothing.")
@with_global_options
def retain(shell: Shell, dry_run: bool) -> None:
    """Lets those customers go that the playbook keeps no longer: into the bin, or erased."""
    retention = shell.me.retention
    found = retention.due() if dry_run else retention.run()
    if shell.json:
        shell.write_json(
            [
                {
                    "number": kept.customer.number,
                    "rule": kept.rule.key,
                    "action": kept.rule.action,
                    "since": kept.since,
                    "due_at": kept.due_at,
                }
                for kept in found
            ]
        )
        return
    zone = shell.open().zone
    english, chinese = TEXTS["retention"]
    columns = (spoken("number"), spoken("rule"), spoken("action"), spoken("at"))
    rows = tuple(
        (
            kept.customer.number,
            kept.rule.label.text(shell.language),
            shell.text(f"retention.{kept.rule.action}"),
            readable(kept.due_at, zone),
        )
        for kept in found
    )
    shell.write_table(Table("retention", chinese, english, columns, rows))
    if dry_run:
        shell.say(shell.text("dry_run"))
