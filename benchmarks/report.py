"""From rounds to figures: medians, and ratios taken within a round, since a machine may change its speed between rounds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Round:
    """What one contender took in one round, per operation (in bulk: per customer). Seconds and MB."""

    wall: float
    cpu: float
    memory: float | None = None


Measured = dict[str, list[Round]]
"""Contender to its rounds; the same place in every list is the same round."""


@dataclass(frozen=True)
class Line:
    """The figures of one contender in one operation. ``low`` and ``high`` are the least and the greatest ratio of a round."""

    contender: str
    wall: float
    cpu: float
    times_limit: float
    low: float
    high: float
    cpu_times_limit: float
    times_best_peer: float | None
    memory: float | None


def lines(measured: Measured, limit: str, peers: list[str]) -> list[Line]:
    """One line per contender. The best peer is the one of the lowest median ratio to the limit."""

    def ratios(name: str, other: str, what: str = "wall") -> list[float]:
        pairs = zip(measured[name], measured[other], strict=True)
        return [getattr(one, what) / max(getattr(two, what), 1e-9) for one, two in pairs]

    rivals = [name for name in peers if name in measured]
    best = min(rivals, key=lambda name: median(ratios(name, limit)), default=None)
    made = []
    for name, rounds in measured.items():
        to_limit = ratios(name, limit)
        made.append(
            Line(
                contender=name,
                wall=median(each.wall for each in rounds),
                cpu=median(each.cpu for each in rounds),
                times_limit=median(to_limit),
                low=min(to_limit),
                high=max(to_limit),
                cpu_times_limit=median(ratios(name, limit, "cpu")),
                times_best_peer=median(ratios(name, best)) if best else None,
                memory=None if rounds[0].memory is None else max(each.memory or 0 for each in rounds),
            )
        )
    return made


def duration(seconds: float) -> str:
    """Seconds as people read them."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size or unit == "us":
            return f"{seconds / size:.3g} {unit}"
    raise AssertionError


def preface(facts: dict[str, Any]) -> str:
    """Where the figures come from, in a line."""
    text = f"Python {facts['python']}, SQLite {facts['sqlite']}, {facts['processors']} processors, load {facts['load_average']:.1f}"
    return f"{text}; append and sync of a page {duration(facts['sync_floor_seconds'])}"


def table(heading: str, made: list[Line], titles: dict[str, str]) -> str:
    """The figures of one operation as text."""
    with_memory = any(line.memory is not None for line in made)
    columns = f"{'wall':>10}{'x limit':>9}{'(rounds)':>14}{'x best peer':>13}{'CPU':>10}{'x limit':>9}"
    out = ["", heading, f"  {'':26}{columns}{'peak MB':>9}" if with_memory else f"  {'':26}{columns}"]
    for line in made:
        peer = "" if line.times_best_peer is None else f"{line.times_best_peer:.2f}"
        text = f"  {titles[line.contender]:26}{duration(line.wall):>10}{line.times_limit:>9.2f}"
        text += f"{f'{line.low:.2f}-{line.high:.2f}':>14}{peer:>13}{duration(line.cpu):>10}{line.cpu_times_limit:>9.2f}"
        out.append(text + (f"{line.memory:>9.1f}" if line.memory is not None else ""))
    return "\n".join(out)


def as_json(made: list[Line], measured: Measured) -> dict[str, Any]:
    """The figures and the rounds that they come from."""
    return {
        "lines": [asdict(line) for line in made],
        "rounds": {name: [asdict(each) for each in rounds] for name, rounds in measured.items()},
    }
