"""Verbs about what is on file for good, and what is to go for good: verify."""

from __future__ import annotations

import attrs
import click

from crmcore.app.audit import Checkpoint, fault_text
from crmcore.cli.exits import CORRUPT, OK
from crmcore.cli.keeping import progress_of
from crmcore.cli.options import with_global_options
from crmcore.cli.shell import Shell


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
