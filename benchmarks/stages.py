"""A checked stage move beside the same in a few lines of plain Python (the limit), and beside other libraries' machines.

    python benchmarks/stages.py [--quick] [--rounds R] [--json FILE]

Everybody has five stages and goes from the second to the third, which asks for a signed contract and a reason. The limit looks the
move up, looks at reason and guard and assigns the stage; refused, it raises, and the caller catches. This library makes a new frozen
customer of all its fields and what the event of the move says; refused, it returns every reason. Peers that aren't installed are left
out with the reason (``pip install automat transitions django-fsm-2``). See README.md beside this file.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import report
from crmcore.domain import Customer
from crmcore.domain.policies import Label, Stage, StageGraph, Transition
from crmcore.rules.stages import Move, decide
from measure import machine
from timing import Calls, measure

LIMIT, OURS = "limit", "crmcore"
STAGES = ("lead", "contacted", "proposal", "negotiation", "won")
MOVES = list(itertools.pairwise(STAGES))
ASKING = ("contacted", "proposal")
NOW = datetime.datetime(2026, 11, 30, 2, tzinfo=datetime.UTC)
DAY = datetime.date(2026, 11, 30)


# ---- The limit ----


class Plain:
    """A record without any machine."""

    def __init__(self, stage: str, signed: bool) -> None:
        self.stage, self.signed = stage, signed


def signed(record: Plain) -> bool:
    """The guard."""
    return record.signed


TABLE = {move: (move == ASKING, signed if move == ASKING else None) for move in MOVES}


def plain_move(record: Plain, target: str, reason: str | None) -> None:
    """Look-up, reason, guard, assignment."""
    found = TABLE.get((record.stage, target))
    if found is None:
        raise ValueError(f"no way from {record.stage} to {target}")
    asks, guard = found
    if asks and not reason:
        raise ValueError("a reason is required")
    if guard is not None and not guard(record):
        raise ValueError(f"{guard.__name__} does not hold")
    record.stage = target


def the_limit(signed_one: bool, target: str, reason: str | None) -> Calls:
    """The same move, over and over; refused ones are caught."""
    record = Plain("contacted", signed_one)

    def moves(times: int) -> None:
        for _ in range(times):
            record.stage = "contacted"
            plain_move(record, target, reason)

    def refusals(times: int) -> None:
        for _ in range(times):
            try:
                plain_move(record, target, reason)
            except ValueError:
                continue
            raise SystemExit("the limit let a move pass")

    return moves if signed_one and reason and target == "proposal" else refusals


# ---- Ours ----


def graph() -> StageGraph:
    """The same five stages."""
    made = tuple(Stage(key=key, label=Label(zh=key, en=key), final=key == "won") for key in STAGES)
    asked = {ASKING: ("reason", "contract_signed")}
    steps = tuple(Transition(source=one, target=other, guards=asked.get((one, other), ())) for one, other in MOVES)
    return StageGraph(
        key="lifecycle", label=Label(zh="阶段", en="Stages"), initial="lead", stages=made, transitions=steps
    )


def ours(signed_one: bool, target: str, reason: str | None, reasons: int) -> Calls:
    """The same move of a customer, over and over; so many reasons are expected against it."""
    lifecycle = graph()
    customer = Customer(
        id="1", number="C1", name="示例科技有限公司", stage="contacted", stage_since=NOW, tags=("需求明确",),
        contract_signed_on=DAY if signed_one else None, created_at=NOW, created_by="li", updated_at=NOW, updated_by="li",
    )  # fmt: skip
    decided = decide(lifecycle, customer, target, at=NOW, on=DAY, by="li", reason=reason)
    if (0 if isinstance(decided, Move) else len(decided)) != reasons:
        raise SystemExit(f"crmcore decides {decided}")

    def ask(times: int) -> None:
        for _ in range(times):
            decide(lifecycle, customer, target, at=NOW, on=DAY, by="li", reason=reason)

    return ask


# ---- The peers ----


class Automat:
    """automat: an output may not refuse, so nothing is checked."""

    name = "automat"

    def __init__(self) -> None:
        from typing import Protocol

        from automat import TypeMachineBuilder

        class Face(Protocol):
            def advance(self, reason: str) -> None: ...
            def back(self) -> None: ...

        builder = TypeMachineBuilder(Face, Plain)
        states = [builder.state(key) for key in STAGES]
        for number, (one, other) in enumerate(itertools.pairwise(states)):
            output = one.upon(Face.advance).to(other)
            output.returns(None)
            other.upon(Face.back).to(states[number]).returns(None)
        self.make = builder.build()

    def moves(self) -> Calls:
        machine_of_one = self.make(Plain("lead", True))

        def ask(times: int) -> None:
            # There and back are two moves.
            for _ in range(times // 2 or 1):
                machine_of_one.advance("x")
                machine_of_one.back()

        return ask

    def refusals(self) -> Calls:
        from automat import NoTransition

        machine_of_one = self.make(Plain("lead", True))

        def ask(times: int) -> None:
            for _ in range(times):
                try:
                    machine_of_one.back()
                except NoTransition:
                    continue

        return ask

    def binds(self) -> Calls:
        return _making(lambda: self.make(Plain("lead", True)))


class Transitions:
    """transitions: the reason and the contract are conditions."""

    name = "transitions"

    def __init__(self) -> None:
        from transitions import Machine, MachineError

        class Deal(Plain):
            def has_reason(self, reason: str | None = None) -> bool:
                return bool(reason)

            def is_signed(self, reason: str | None = None) -> bool:
                return self.signed

        self.record, self.machine, self.error = Deal, Machine, MachineError

    def bound(self, signed_one: bool = True) -> Any:
        record = self.record("contacted", signed_one)
        steps: list[dict[str, Any]] = [
            {"trigger": f"to_be_{other}", "source": one, "dest": other} for one, other in MOVES
        ]
        steps[1]["conditions"] = ["has_reason", "is_signed"]
        self.machine(
            model=record, states=list(STAGES), transitions=steps, initial="contacted", auto_transitions=False,
            model_attribute="stage",
        )  # fmt: skip
        return record

    def moves(self) -> Calls:
        record = self.bound()

        def ask(times: int) -> None:
            for _ in range(times):
                record.stage = "contacted"
                record.to_be_proposal("x")

        record.to_be_proposal("x")
        if record.stage != "proposal":
            raise SystemExit("transitions did not move")
        return ask

    def refusals(self) -> Calls:
        record = self.bound(signed_one=False)

        def ask(times: int) -> None:
            for _ in range(times):
                if record.to_be_proposal(None):
                    raise SystemExit("transitions let a move pass")

        return ask

    def binds(self) -> Calls:
        return _making(self.bound)


class DjangoFSM:
    """django-fsm-2 in memory, nothing saved: a condition is given no reason, so the method looks at it by hand."""

    name = "django-fsm-2"

    def __init__(self) -> None:
        import django
        from django.conf import settings

        if not settings.configured:
            settings.configure(INSTALLED_APPS=[], DATABASES={}, USE_TZ=True)
            django.setup()
        from django.db import models
        from django_fsm import FSMField, TransitionNotAllowed, transition

        def is_signed(deal: Any) -> bool:
            return bool(deal.signed)

        class Deal(models.Model):
            stage = FSMField(default="contacted")
            signed = True

            class Meta:
                app_label = "benchmarks"

            @transition(field=stage, source="contacted", target="proposal", conditions=[is_signed])
            def propose(self, reason: str | None = None) -> None:
                if not reason:
                    raise ValueError("a reason is required")

        self.record, self.error = Deal, TransitionNotAllowed

    def moves(self) -> Calls:
        record = self.record()

        def ask(times: int) -> None:
            for _ in range(times):
                record.stage = "contacted"
                record.propose("x")

        return ask

    def refusals(self) -> Calls:
        record = self.record()
        record.signed = False

        def ask(times: int) -> None:
            for _ in range(times):
                try:
                    record.propose(None)
                except self.error:
                    continue
                raise SystemExit("django-fsm-2 let a move pass")

        return ask

    def binds(self) -> Calls:
        return _making(self.record)


def _making(make: Callable[[], Any]) -> Calls:
    def ask(times: int) -> None:
        for _ in range(times):
            make()

    return ask


def peers() -> list[Any]:
    """The machines that are installed."""
    found: list[Any] = []
    for make in (Automat, Transitions, DjangoFSM):
        try:
            found.append(make())
        except ImportError as error:
            print(f"left out: {make.__name__} ({error})")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="A checked stage move beside the limit and its peers.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round and figure here")
    parser.add_argument("--quick", action="store_true", help="few rounds: shows that it runs, not how fast it is")
    options = parser.parse_args()
    facts = machine(Path(__file__).parent / "results")
    print(report.preface(facts))
    rivals = peers()
    operations: dict[str, dict[str, Calls]] = {
        "a checked move (goal 8, no slower than automat, half of django-fsm-2, a fifth of transitions)": {
            LIMIT: the_limit(True, "proposal", "x"),
            OURS: ours(True, "proposal", "x", 0),
            **{peer.name: peer.moves() for peer in rivals},
        },
        "refused: no reason and no contract, of which only this library tells both (goal 1.5)": {
            LIMIT: the_limit(False, "proposal", None),
            OURS: ours(False, "proposal", None, 2),
            **{peer.name: peer.refusals() for peer in rivals if peer.name != "automat"},
        },
        "refused: no such way (goal 1.5)": {
            LIMIT: the_limit(True, "won", "x"),
            OURS: ours(True, "won", "x", 1),
            **{peer.name: peer.refusals() for peer in rivals if peer.name == "automat"},
        },
        "make a machine for one record (this library needs none)": {
            LIMIT: _making(lambda: Plain("contacted", True)),
            **{peer.name: peer.binds() for peer in rivals},
        },
    }
    found: dict[str, Any] = {}
    for heading, contenders in operations.items():
        measured = measure(contenders, 3 if options.quick else options.rounds)
        titles = {**{name: name for name in contenders}, LIMIT: "plain Python (the limit)"}
        made = report.lines(measured, LIMIT, [peer.name for peer in rivals])
        print(report.table(heading, made, titles), flush=True)
        found[heading] = report.as_json(made, measured)
    if options.json:
        options.json.write_text(json.dumps({"machine": facts, "operations": found}, indent=1), "utf-8")


if __name__ == "__main__":
    main()
