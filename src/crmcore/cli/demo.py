"""The verb demo: the main job, from two files as people have them to a review workbook, by the verbs themselves."""

from __future__ import annotations

import shlex
from contextlib import nullcontext, redirect_stdout
from datetime import timedelta
from io import StringIO
from pathlib import Path

import click

from crmcore.cli.acting import follow
from crmcore.cli.importing import import_
from crmcore.cli.looking import due
from crmcore.cli.options import with_global_options
from crmcore.cli.reporting import report
from crmcore.cli.sample.files import write_customers, write_opportunities
from crmcore.cli.setup import init
from crmcore.cli.shell import Shell, store_url

MARKER = ".crmcore-demo"
"""Says that a folder is this verb's own to make anew."""
STORE, CUSTOMERS, OPPORTUNITIES, REVIEW = "crm.db", "customers.xlsx", "opportunities.csv", "review.xlsx"
_MADE = (*(f"{STORE}{suffix}" for suffix in ("", "-journal", "-wal", "-shm")), CUSTOMERS, OPPORTUNITIES, REVIEW)
_PLAYBOOK = "standard"
_FOLLOWED_UP = (
    ("示例青禾食品有限公司", "电话确认了仓储标签机的数量,价格仍有异议", "发送修订报价单", 2),
    ("示例蓝海教育科技有限公司", "线上演示会议平板,校方满意,待签合同", "上门签约", 6),
    ("示例光年汽车配件有限公司", "供应链经理要求先试用两台手持终端", "送样机并培训", 4),
)
"""Whom the demo calls, what was said, what comes next, and in how many days."""
_AHEAD = timedelta(days=7)


@click.command("demo")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path("crm-demo"))
@with_global_options
def demo(shell: Shell, folder: Path) -> None:
    """The main job on a small sample of our own: import, follow up, see who is due, review.

    FOLDER is made (default: ./crm-demo). One that this verb made before is made anew; any other that isn't empty is left
    alone.
    """
    _clear(shell, folder)
    inside = Shell()
    inside.take(
        {
            "store": store_url(str(folder / STORE)),
            "acting_as": shell.user,
            "language": shell.language,
            "quiet": shell.quiet or shell.json or None,
        }
    )
    shown = redirect_stdout(StringIO()) if shell.json else nullcontext()
    try:
        with shown:
            numbers = _run(shell, inside, folder)
    finally:
        inside.close()
    _finish(shell, folder, numbers)


def _clear(shell: Shell, folder: Path) -> None:
    """An empty folder with the marker; raises :class:`OSError` for one that holds something else."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / MARKER).exists() and any(folder.iterdir()):
        raise OSError(shell.text("not_ours", folder=folder))
    for name in _MADE:
        (folder / name).unlink(missing_ok=True)
    (folder / MARKER).touch()


def _run(shell: Shell, inside: Shell, folder: Path) -> list[str]:
    """Every step by the verb that does it, on one open store; the numbers of the customers who were called."""

    def step(verb: click.Command, *arguments: str) -> None:
        if not shell.json:
            shell.write(f"\n$ crmcore {verb.name} {shlex.join(arguments)}")
        parent = click.get_current_context()
        with verb.make_context(verb.name, list(arguments), parent=parent, obj=inside) as context:
            verb.invoke(context)

    if not shell.json:
        shell.write(shell.text("demo_steps", store=folder / STORE))
    step(init, "--playbook", _PLAYBOOK)
    today = inside.open().today()
    files = (folder / CUSTOMERS, folder / OPPORTUNITIES)
    write_customers(files[0], today)
    write_opportunities(files[1], today)
    step(import_, *map(str, files))
    numbers = []
    for name, summary, next_step, days in _FOLLOWED_UP:
        (customer,) = inside.me.customers.find(search=name)
        numbers.append(customer.number)
        planned = ("--next-step", next_step, "--next-on", str(today + timedelta(days=days)))
        step(follow, customer.number, "--summary", summary, "--method", "phone", *planned)
    step(due, "--until", str(today + _AHEAD), "--limit", "12")
    step(report, "review", "-o", str(folder / REVIEW))
    return numbers


def _finish(shell: Shell, folder: Path, numbers: list[str]) -> None:
    store, review = folder / STORE, folder / REVIEW
    if shell.json:
        shell.write_json({"store": str(store.resolve()), "review": str(review.resolve())})
        return
    shell.write("\n" + shell.text("demo_done", store=store.resolve(), review=review.resolve()))
    shell.write(shell.text("demo_next"))
    for verb in ("report funnel", f"show {numbers[0]}", "list opportunities --stage 商务谈判"):
        shell.write(f"  crmcore {verb} --store {shlex.quote(str(store))}")
