"""What is wrong with a stage graph: unknown, unreachable or doubled stages, ends that aren't meant, guards that don't exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from crmcore.domain.playbook import GUARDS
from crmcore.domain.policies import StageGraph, Transition
from crmcore.playbooks.telling import ambiguous, bad_keys, bad_labels, unknown, unknown_fields


def graph_problems(path: str, graph: StageGraph, fields: Iterable[str], entity: str) -> Iterator[str]:
    """Everything that is wrong with one graph; ``entity`` is what moves through it, ``fields`` what its guards may ask for."""
    yield from bad_labels(f"{path}.label", graph.label)
    keys = [stage.key for stage in graph.stages]
    yield from bad_keys(f"{path}.stages", keys)
    yield from ambiguous(f"{path}.stages", {stage.key: stage.label for stage in graph.stages})
    stages = {stage.key: stage for stage in graph.stages}
    for stage in graph.stages:
        yield from bad_labels(f"{path}.stages.{stage.key}.label", stage.label)
        if stage.probability is not None and not 0 <= stage.probability <= 100:
            yield f"{path}.stages.{stage.key}.probability: must be a percentage from 0 to 100"
    if graph.initial not in stages:
        yield f"{path}.initial: {unknown('stage', graph.initial, stages)}"
    elif stages[graph.initial].outcome != "open":
        yield f"{path}.initial: the first stage must have the outcome open"
    seen: set[tuple[str, str]] = set()
    for move in graph.transitions:
        place = f"{path}.transitions.{move.source} -> {move.target}"
        for end in dict.fromkeys((move.source, move.target)):
            if end not in stages:
                yield f"{place}: {unknown('stage', end, stages)}"
        if move.source == move.target:
            yield f"{place}: leads nowhere"
        if (move.source, move.target) in seen:
            yield f"{place}: is there twice"
        seen.add((move.source, move.target))
        yield from _guards(place, move, fields, entity)
    yield from _circles(path, graph)
    if graph.initial in stages:
        yield from _ways(path, graph)


def _guards(place: str, move: Transition, fields: Iterable[str], entity: str) -> Iterator[str]:
    for guard in move.guards:
        if guard not in GUARDS:
            yield f"{place}.guards: {unknown('guard', guard, GUARDS)}"
        elif guard in ("customer", "amount") and entity != "opportunity":
            yield f"{place}.guards: {guard} is for the moves of an opportunity"
        elif guard == "contract_signed" and entity != "customer":
            yield f"{place}.guards: {guard} is for the moves of a customer"
    if move.automatic and not move.guards:
        yield f"{place}.automatic: needs a guard that says when"
    if move.automatic and "reason" in move.guards:
        yield f"{place}.automatic: nobody is there to give a reason; take the guard reason away"
    for guard, wanted in (("fields", move.fields), ("evidence", move.evidence)):
        if (guard in move.guards) != bool(wanted):
            yield f"{place}: the guard {guard} and the list {guard} need one another"
    yield from unknown_fields(f"{place}.fields", (f if "." in f else f"{entity}.{f}" for f in move.fields), fields)


def _circles(path: str, graph: StageGraph) -> Iterator[str]:
    """Automatic moves in a circle: guards ask for what is there, and it stays there, so such a record would never rest."""
    for start in graph.keys:
        reached, todo = set[str](), [start]
        while todo:
            for move in graph.automatic(todo.pop()):
                if move.target not in reached:
                    reached.add(move.target)
                    todo.append(move.target)
        if start in reached:
            yield f"{path}.stages.{start}: automatic moves lead from here back to here"


def _ways(path: str, graph: StageGraph) -> Iterator[str]:
    reached, todo = {graph.initial}, [graph.initial]
    while todo:
        for target in graph.targets(todo.pop()):
            if target not in reached:
                reached.add(target)
                todo.append(target)
    for stage in graph.stages:
        place = f"{path}.stages.{stage.key}"
        ways = [move for move in graph.transitions if move.source == stage.key]
        if stage.key not in reached:
            yield f"{place}: can't be reached from {graph.initial}"
        if not ways and not stage.final:
            yield f"{place}: is a dead end; give it a transition, or say final = true"
        if stage.final and any(not move.rollback for move in ways):
            yield f"{place}.final: a final stage has no way out but a rollback"
