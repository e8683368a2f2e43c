"""The verb quality: samples of the files drawn, given out to be checked, taken in again, summed up."""

from __future__ import annotations

from pathlib import Path

import click

from crmcore.cli.options import with_global_options
from crmcore.cli.shell import Shell
from crmcore.interchange.sheets import workbooks
from crmcore.metrics.tables import plain


@click.group("quality", no_args_is_help=False)
@with_global_options
def quality(shell: Shell) -> None:
    """Samples of the files: draw one, check it, see what it showed."""


@quality.command("draw")
@click.argument("sample")
@click.option("--share", type=click.IntRange(1, 100), default=5, help="Percent of the customers. [default: 5]")
@with_global_options
def draw(shell: Shell, sample: str, share: int) -> None:
    """Draws a SAMPLE, named like 2026Q4; the same name over the same customers draws the same ones."""
    checks = shell.me.quality.draw(sample, share=share)
    if shell.json:
        shell.write_json({"sample": sample, "drawn": len(checks)})
    else:
        shell.say(shell.text("sample_drawn", count=f"{len(checks):,}", sample=sample))


@quality.command("list")
@with_global_options
def list_(shell: Shell) -> None:
    """The names of the samples, the latest first."""
    names = shell.me.quality.samples()
    if shell.json:
        shell.write_json(names)
    elif names:
        shell.write("\n".join(names))
    else:
        shell.say(shell.text("no_samples"))


@quality.command("worksheet")
@click.argument("sample")
@click.option("-o", "--output", metavar="FILE.xlsx", type=click.Path(), help="Into a workbook.")
@with_global_options
def worksheet(shell: Shell, sample: str, output: str | None) -> None:
    """The files of a sample, with columns for what is found of each."""
    if output is not None and Path(output).suffix.lower() != ".xlsx":
        raise click.BadParameter("the name must end in .xlsx", param_hint="--output")
    me = shell.me
    table = me.quality.worksheet(sample)
    if output is not None:
        with shell.writing(output):
            workbooks().write(Path(output), [table], language=shell.language, zone=me.crm.zone)
        shell.tell_written(output)
    elif shell.json:
        shell.write_json(plain(table.records()))
    else:
        shell.write_table(table)


@quality.command("record")
@click.argument("sample")
@click.argument("file", type=click.Path())
@with_global_options
def record(shell: Shell, sample: str, file: str) -> None:
    """Takes a filled-in worksheet in; of one with a fault nothing is taken."""
    taken = shell.me.quality.take_in(sample, file)
    if shell.json:
        shell.write_json({"sample": sample, "recorded": taken})
    else:
        shell.say(shell.text("checks_recorded", count=f"{taken:,}"))


@quality.command("result")
@click.argument("sample")
@with_global_options
def result(shell: Shell, sample: str) -> None:
    """What a sample showed: how many files are right, by owner and source, and which fields are not."""
    found = shell.me.quality.result(sample)
    if shell.json:
        shell.write_json(found.to_plain())
    else:
        shell.write("\n\n".join(table.to_text(shell.language) for table in found.tables))
