"""What the writers do, step by step, and what must be there after so many steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from soundness import open_crm

import crmcore
from crmcore.storage import Eq

ROWS = 4  #: of each imported file
CYCLE = 5
LIFECYCLE = "prospect", "interested"

Customers = dict[str, tuple[Any, ...]]


def _write_file(folder: Path, label: str, step: int) -> Path:
    path = folder / f"{label}.csv"
    lines = [f"{label}-{step}-{row},制造业" for row in range(ROWS)]
    path.write_text("\n".join(["客户名称,所属行业", *lines]) + "\n", encoding="utf-8")
    return path


def _register(me: crmcore.Session, label: str, step: int, folder: Path) -> None:
    me.customers.register(name=f"{label}-{step}", tier="A")


def _update(me: crmcore.Session, label: str, step: int, folder: Path) -> None:
    me.customers.update(_current(me, label, step), remarks=f"{label}-{step}")


def _move(me: crmcore.Session, label: str, step: int, folder: Path) -> None:
    me.customers.move(_current(me, label, step), to=LIFECYCLE[1])


def _follow_up(me: crmcore.Session, label: str, step: int, folder: Path) -> None:
    me.follow_ups.log(_current(me, label, step), method="phone", summary=f"{label}-{step}")


def _import(me: crmcore.Session, label: str, step: int, folder: Path) -> None:
    done = me.imports.plan(_write_file(folder, label, step)).apply()
    if done.created != ROWS:
        raise RuntimeError(f"{done.created} of {ROWS} rows were taken in")


#: In this order, again and again, each on the customer that the first of them registered.
STEPS: dict[str, Callable[[crmcore.Session, str, int, Path], None]] = {
    "register": _register,
    "update": _update,
    "move": _move,
    "follow up": _follow_up,
    "import": _import,
}


def _current(me: crmcore.Session, label: str, step: int) -> crmcore.Customer:
    return me.customers.find(Eq("name", f"{label}-{step - step % CYCLE}")).items[0]


def take_step(me: crmcore.Session, label: str, step: int, folder: Path) -> None:
    """Step number so and so, counted from 0, of one writer."""
    list(STEPS.values())[step % CYCLE](me, label, step, folder)


def after(label: str, steps: int) -> Customers:
    """What :func:`soundness.seen` must see of a writer after so many steps; said without the library."""
    there: Customers = {}
    for first in range(0, steps, CYCLE):
        done = min(steps - first, CYCLE)
        there[f"{label}-{first}"] = (
            LIFECYCLE[done > 2],
            f"{label}-{first + 1}" if done > 1 else None,
            (f"{label}-{first + 3}",) if done > 3 else (),
        )
        if done > 4:
            there |= {f"{label}-{first + 4}-{row}": (LIFECYCLE[0], None, ()) for row in range(ROWS)}
    return there


def warm(url: str, folder: Path) -> None:
    """Takes a whole cycle of steps, so that children forked later have everything loaded."""
    with open_crm(url) as crm:
        for step in range(CYCLE):
            take_step(crm.acting_as("warm"), "warm", step, folder)
