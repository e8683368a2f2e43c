"""Verbs about keeping the data safe: upgrade, copy, backup, check."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import click

from crmcore.app import stores
from crmcore.cli.exits import CORRUPT, OK
from crmcore.cli.options import with_global_options
from crmcore.cli.shell import Shell, store_url
from crmcore.cli.tables import spoken
from crmcore.cli.texts import TEXTS
from crmcore.domain.policies import Label
from crmcore.metrics import Column, Table
from crmcore.storage.url import StoreURL

_STATES = {
    key.removeprefix("change."): Label(zh=chinese, en=english)
    for key, (english, chinese) in TEXTS.items()
    if key.startswith("change.")
}


@click.command("upgrade")
@click.option("--dry-run", is_flag=True, help="Tries every row and says what would change; writes nothing.")
@click.option("--no-backup", is_flag=True, help="Makes no backup first, for a store that was backed up otherwise.")
@with_global_options
def upgrade(shell: Shell, dry_run: bool, no_backup: bool) -> None:
    """Brings the store to the format of this program, after a backup beside it."""
    with progress_of(shell, "upgrading") as progress:
        done = stores.upgrade(
            shell.store, dry_run=dry_run, backup=not no_backup, progress=progress, allowed=shell.allowed("update")
        )
    if shell.json:
        plain = attrs.asdict(done, recurse=False)
        plain["steps"] = [step.text(shell.language) for step in done.steps]
        plain["changes"] = [attrs.asdict(change) for change in done.changes]
        shell.write_json(plain)
        return
    if not done.steps:
        shell.say(shell.text("format_current", format=done.target))
        return
    for step in done.steps:
        shell.say(step.text(shell.language))
    english, chinese = TEXTS["changes"]
    columns = (
        spoken("collection"),
        Column("state", TEXTS["state"][1], TEXTS["state"][0], labels=_STATES),
        spoken("rows_before", "integer"),
        spoken("rows_after", "integer"),
        spoken("new_fields"),
        spoken("gone_fields"),
    )
    rows = tuple(
        (
            one.name,
            one.state,
            one.rows_before,
            one.rows_after,
            ", ".join(one.new_fields) if one.state != "new" else None,
            ", ".join(one.gone_fields) if one.state != "gone" else None,
        )
        for one in done.changes
        if one.state != "kept" or not dry_run
    )
    shell.write_table(Table("changes", chinese, english, columns, rows))
    if dry_run:
        shell.say(shell.text("dry_run"))
        return
    if done.backup:
        shell.say(shell.text("backed_up", file=done.backup))
    shell.say(shell.text("upgraded", source=done.source, target=done.target, digest=done.digest))


@click.command("copy")
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@with_global_options
def copy(shell: Shell, source: str, target: str) -> None:
    """Copies everything from the store SOURCE into the new store TARGET and proves that both hold the same."""
    origin, destination = store_url(source), store_url(target)
    with progress_of(shell, "copying") as progress:
        done = stores.copy(origin, destination, progress=progress, allowed=shell.allowed("read"))
    if shell.json:
        shell.write_json(done)
        return
    english, chinese = TEXTS["copied_rows"]
    columns = (spoken("collection"), spoken("rows", "integer"), spoken("digest"))
    rows = tuple((name, count, done.digests[name]) for name, count in done.rows.items())
    shell.write_table(Table("copied", chinese, english, columns, rows))
    total, shown = sum(done.rows.values()), str(StoreURL.parse(destination))
    shell.say(shell.text("copied", rows=total, store=shown, digest=done.digest))


@click.command("backup")
@click.argument("target", metavar="FILE", type=click.Path(dir_okay=False))
@with_global_options
def backup(shell: Shell, target: str) -> None:
    """Writes the store to the new file FILE, complete and checked, while others go on using it."""
    with shell.writing(target):
        stores.backup(shell.store, target, allowed=shell.allowed("read"))
    shell.tell_written(target)


@click.command("check")
@with_global_options
def check(shell: Shell) -> int:
    """Looks whether the store is whole: file, rows, what names what, what is owed. Writes nothing."""
    crm = shell.open()
    shell.me.ask("setting", "read")
    with progress_of(shell, "checking") as progress:
        found = crm.check(progress)
    told = [finding.text(shell.language) for finding in found.findings]
    if shell.json:
        plain = attrs.asdict(found)
        plain["findings"] = [
            {**attrs.asdict(one), "text": text} for one, text in zip(found.findings, told, strict=True)
        ]
        shell.write_json(plain)
    elif told:
        shell.write("\n".join(told))
    if found.outdated:
        shell.say(shell.text("rules_outdated"))
    if told:
        shell.say(shell.text("faults_found", count=len(told)))
    else:
        shell.say(shell.text("whole", rows=sum(found.rows.values()), digest=found.digest))
    return CORRUPT if told else OK


@contextmanager
def progress_of(shell: Shell, key: str) -> Iterator[stores.Progress | None]:
    """A bar for what tells collection and rows; None where nobody would see it."""
    with shell.progress(shell.text(key)) as tell:
        yield (lambda _, done: tell(done, None)) if tell else None
