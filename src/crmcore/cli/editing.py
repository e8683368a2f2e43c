"""The verb edits: what became of what people changed in the store with another program."""

from __future__ import annotations

import click

from crmcore.cli.options import with_global_options
from crmcore.cli.shell import Shell


@click.command("edits")
@with_global_options
def edits(shell: Shell) -> None:
    """Says what became of the last changes that people made in a store with another program, as in a workbook.

    Each cell that was refused is named with its place, field, code and reason.
    """
    shell.me.ask("setting", "read")
    kept = shell.open().last_edits()
    if shell.json:
        lines = kept.text(shell.language).splitlines()[1:] if kept else []
        counts = {"at": kept.at, "taken": kept.taken, "refused": kept.refused} if kept else {}
        shell.write_json({"at": None, "taken": 0, "refused": 0, **counts, "issues": lines})
    elif kept is None:
        shell.say(shell.text("no_edits"))
    else:
        for line in kept.lines(shell.language, shell.open().zone):
            shell.write(line)
