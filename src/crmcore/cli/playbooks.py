"""Verbs about playbooks: show one, check one, draw its stages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import click

from crmcore.cli.exits import FAILURE, OK
from crmcore.cli.options import with_global_options
from crmcore.cli.shell import Shell
from crmcore.cli.tables import spoken
from crmcore.cli.texts import TEXTS
from crmcore.domain.duration import Duration
from crmcore.domain.numbering import NumberScheme
from crmcore.domain.playbook import MOMENTS
from crmcore.domain.policies import Label, Risks, StageGraph
from crmcore.domain.values import fold
from crmcore.errors import Language, PlaybookError
from crmcore.metrics import Column, Table
from crmcore.metrics.tables import Cell, plain
from crmcore.playbooks import Playbook
from crmcore.playbooks.drawing import ROLLBACK, dot, guards_told, mermaid
from crmcore.rules.calendars import WEEKDAYS
from crmcore.rules.rulebook import calendar_of

_SHORT_NAME = "AB"  #: stands for 公司简称 in a number that has one
_DRAWINGS = {"mermaid": mermaid, "dot": dot}


@click.group("playbook", no_args_is_help=False)
@with_global_options
def playbook(shell: Shell) -> None:
    """Show, check or draw a playbook."""


def _chosen(shell: Shell, given: str | None) -> Playbook:
    return shell.playbook if given is None else shell.load_playbook(given)


@playbook.command("show")
@click.argument("key_or_file", metavar="[KEY|FILE]", required=False)
@with_global_options
def show(shell: Shell, key_or_file: str | None) -> None:
    """What a playbook says: numbers, stages, tiers, cadences, targets, tables."""
    chosen = _chosen(shell, key_or_file)
    today = datetime.now(ZoneInfo(chosen.timezone)).date()
    if shell.json:
        shell.write_json(_document(chosen, today))
        return
    shell.write(f"{chosen.title.text(shell.language)} ({chosen.key})")
    for key, value in (("timezone", chosen.timezone), ("currency", chosen.currency)):
        shell.write(f"  {shell.text(key)}: {value}")
    if chosen.calendar:
        shell.write(f"  {shell.text('working_hours')}: {_calendar(shell, chosen)}")
    for line in _lines(shell, chosen):
        shell.write(f"  {line}")
    for table in _tables(shell, chosen, today):
        if table.rows:
            shell.write("")
            shell.write_table(table)
    shell.write(f"\n{shell.text('tables')}")
    for sheet in chosen.tables.values():
        columns = ", ".join(chosen.label(column, shell.language) for column in sheet.columns)
        shell.write(f"  {sheet.label.text(shell.language)} ({sheet.key}): {columns}")


@playbook.command("check")
@click.argument("key_or_file", metavar="[KEY|FILE]", required=False)
@with_global_options
def check(shell: Shell, key_or_file: str | None) -> int:
    """Says everything that is wrong with a playbook."""
    name = key_or_file or shell.wanted_playbook or ""
    problems: tuple[str, ...] = ()
    try:
        name = _chosen(shell, key_or_file).key
    except PlaybookError as error:
        problems = tuple(error.problems)
    if shell.json:
        shell.write_json({"playbook": name, "problems": problems})
    elif problems:
        shell.write("\n".join(problems))
    shell.say(shell.text("playbook_problems" if problems else "playbook_in_order", playbook=name, count=len(problems)))
    return FAILURE if problems else OK


@playbook.command("draw")
@click.argument("key_or_file", metavar="[KEY|FILE]", required=False)
@click.option("--graph", metavar="GRAPH", default="lifecycle", help="The lifecycle, or a pipeline by key or label.")
@click.option("--format", "form", type=click.Choice(sorted(_DRAWINGS)), default="mermaid", help="Mermaid or DOT.")
@with_global_options
def draw(shell: Shell, key_or_file: str | None, graph: str, form: str) -> None:
    """The stages of a playbook and the moves between them, as the text of a picture."""
    chosen = _chosen(shell, key_or_file)
    graphs = {one.key: one for one in (chosen.lifecycle, *chosen.pipelines.values())}
    found = [one for one in graphs.values() if fold(graph) in map(fold, (one.key, *one.label.spellings))]
    if not found:
        raise click.BadParameter(f"the playbook has no such graph; there are {', '.join(graphs)}", param_hint="--graph")
    drawn = _DRAWINGS[form](found[0], shell.language, _field_labels(chosen))
    if shell.json:
        shell.write_json({"playbook": chosen.key, "graph": found[0].key, "format": form, "text": drawn})
    else:
        shell.write(drawn.rstrip("\n"))


def _field_labels(chosen: Playbook) -> Mapping[str, Label]:
    return {**chosen.fields, **{key: own.label for key, own in chosen.custom_fields.items()}}


# ---- As data ----


def _document(chosen: Playbook, today: date) -> dict[str, Any]:
    """What ``show`` tells a program: keys as in the file, durations as they are written there."""
    numbering = {
        entity: {"scheme": scheme, "first_today": _first(scheme, today)} for entity, scheme in chosen.numbering.items()
    }
    found: dict[str, Any] = {field.name: getattr(chosen, field.name) for field in attrs.fields(Playbook)}
    plained: dict[str, Any] = plain(_as_written(found | {"numbering": numbering}))
    return plained


def _as_written(value: Any) -> Any:
    """Durations as text, labels with their aliases where they have any."""
    if isinstance(value, Duration):
        return str(value)
    if isinstance(value, Label):
        aliases = {"aliases": list(value.aliases)} if value.aliases else {}
        return {"zh": value.zh, "en": value.en, **aliases}
    if isinstance(value, Mapping):
        return {key: _as_written(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_as_written(item) for item in value]
    if attrs.has(type(value)):
        return {field.name: _as_written(getattr(value, field.name)) for field in attrs.fields(type(value))}
    return value


def _first(scheme: str, today: date) -> str:
    return NumberScheme.parse(scheme).format(1, today, _SHORT_NAME)


# ---- As text ----


def _lines(shell: Shell, chosen: Playbook) -> Iterator[str]:
    """What is said in a line each."""
    language = shell.language
    pipeline = chosen.pipelines[chosen.default_pipeline].label.text(language)
    yield f"{shell.text('default_pipeline')}: {pipeline} ({chosen.default_pipeline})"
    if won := chosen.won_moves_customer_to:
        yield f"{shell.text('won_moves_customer_to')}: {chosen.lifecycle.stage(won).label.text(language)} ({won})"
    if chosen.default_tier:
        yield f"{shell.text('default_tier')}: {chosen.choice_label('customer.tier', chosen.default_tier, language)}"
    if chosen.scale_bands:
        bands = (
            f"{chosen.choice_label('customer.scale', key, language)} ≥{headcount:,}"
            for key, headcount in chosen.scale_bands.items()
        )
        yield f"{shell.text('scale_bands')}: {', '.join(bands)}"
    if chosen.vague:
        yield f"{shell.text('vague')}: {', '.join(chosen.vague)}"


def _risks(shell: Shell, chosen: Playbook) -> Iterator[tuple[Cell, ...]]:
    """The rules that are given, each with what it says."""
    for field in attrs.fields(Risks):
        value = getattr(chosen.risks, field.name)
        if value in (None, False, ()):
            continue
        if isinstance(value, Duration):
            value = _length(shell, value)
        elif isinstance(value, tuple):
            value = ", ".join(chosen.choice_label("customer.tier", key, shell.language) for key in value)
        yield shell.text(f"risk.{field.name}"), shell.text("yes") if value is True else str(value)


def _table(title: str, columns: Iterable[Column | str], rows: Iterable[tuple[Cell, ...]]) -> Table:
    english, chinese = TEXTS[title]
    told = tuple(spoken(column) if isinstance(column, str) else column for column in columns)
    return Table(title, chinese, english, told, tuple(rows))


def _tables(shell: Shell, chosen: Playbook, today: date) -> Iterator[Table]:
    language = shell.language
    stages = {stage.key: stage.label.text(language) for stage in chosen.lifecycle.stages}
    tiers = {tier.key: tier.label.text(language) for tier in chosen.tiers}
    numbered = chosen.numbering.items()
    yield _table(
        "numbering",
        ("of_what", "scheme", "first_number"),
        ((shell.text(f"entity.{entity}"), scheme, _first(scheme, today)) for entity, scheme in numbered),
    )
    for graph in (chosen.lifecycle, *chosen.pipelines.values()):
        yield _stages(shell, chosen, graph)
    yield _table("tiers", ("key", "tier"), tiers.items())
    yield _table("tiering", ("name", spoken("weight", "integer"), "points"), _criteria(chosen, language))
    yield _table(
        "cadences",
        ("name", "every", "whom", "track", "method", "content"),
        (
            (
                cadence.label.text(language),
                _length(shell, cadence.every),
                ", ".join([tiers[key] for key in cadence.tiers] + [stages[key] for key in cadence.stages])
                or shell.text("everybody"),
                cadence.track,
                chosen.choice_label("follow_up.method", cadence.method, language) if cadence.method else None,
                cadence.content.text(language) if cadence.content else None,
            )
            for cadence in chosen.cadences
        ),
    )
    yield _table(
        "targets",
        ("name", "within", "from", "until", "fields"),
        (
            (
                target.label.text(language),
                _length(shell, target.within) if target.within else None,
                " ".join(
                    [
                        _since(shell, chosen, target.on),
                        *(_condition(shell, chosen, *case) for case in target.where.items()),
                    ]
                ),
                shell.text(f"moment.{target.met_by}"),
                ", ".join(chosen.label(field, language) for field in target.fields),
            )
            for target in chosen.targets
        ),
    )
    yield _table(
        "reminders",
        ("name", "when", "of_what", "whom"),
        (
            (
                one.label.text(language),
                _when(shell, one.before, one.after),
                _of_what(shell, chosen, one.on),
                ", ".join(shell.text(f"recipient.{word}") for word in one.to),
            )
            for one in chosen.reminders
        ),
    )
    yield _table(
        "assignment",
        ("of_what", "decided_by", "to_whom", "otherwise", "strategy"),
        (
            (
                shell.text(f"entity.{one.key}"),
                chosen.label(f"{one.key}.{one.by}", language),
                "; ".join(
                    f"{chosen.choice_label(f'{one.key}.{one.by}', value, language)}: {', '.join(people)}"
                    for value, people in one.to.items()
                ),
                ", ".join(one.otherwise),
                shell.text(f"strategy.{one.strategy}"),
            )
            for one in chosen.assignment
        ),
    )
    yield _table("risks", ("name", "value"), _risks(shell, chosen) if chosen.risks != Risks() else ())
    yield _table(
        "custom_fields",
        ("name", "key", "kind"),
        ((own.label.text(language), own.key, shell.text(f"kind.{own.kind}")) for own in chosen.custom_fields.values()),
    )
    yield _table(
        "required",
        ("condition", "fields"),
        (
            (_case(shell, chosen, condition), ", ".join(_field(shell, chosen, condition, field) for field in fields))
            for condition, fields in chosen.required.items()
        ),
    )


def _stages(shell: Shell, chosen: Playbook, graph: StageGraph) -> Table:
    """A graph as a table; a final stage has nothing to go on to."""
    language, fields = shell.language, _field_labels(chosen)

    def ways(key: str) -> Iterator[str]:
        for move in graph.transitions:
            if move.source == key:
                asked = ", ".join(guards_told(graph, move, language, fields))
                target = graph.stage(move.target).label.text(language)
                yield f"{f'{ROLLBACK} ' * move.rollback}{target}{f' ({asked})' * bool(asked)}"

    columns = (spoken("stage"), spoken("key"), spoken("outcome"), spoken("probability", "integer"), spoken("moves"))
    rows = (
        (
            stage.label.text(language),
            stage.key,
            shell.text(f"outcome.{stage.outcome}"),
            stage.probability,
            "; ".join(ways(stage.key)),
        )
        for stage in graph.stages
    )
    return Table(graph.key, graph.label.zh, graph.label.en, columns, tuple(rows))


def _calendar(shell: Shell, chosen: Playbook) -> str:
    """The team's hours by day of the week, and whose holidays it keeps."""
    calendar = calendar_of(chosen)
    week = [(day, ", ".join(map(str, hours))) for day, hours in zip(WEEKDAYS, calendar.weekly, strict=True) if hours]
    told = [
        f"{shell.text(f'weekday.{days[0]}')}{'-' + shell.text(f'weekday.{days[-1]}') if len(days) > 1 else ''} {hours}"
        for hours, days in ((hours, [day for day, _ in run]) for hours, run in groupby(week, key=lambda one: one[1]))
    ]
    if chosen.calendar.get("public_holidays") == "china":
        told.append(shell.text("china_holidays", until=calendar.confirmed_until))
    return "; ".join(told)


def _since(shell: Shell, chosen: Playbook, on: str) -> str:
    """From when a target counts: a moment, or a date of the record's own."""
    return shell.text(f"moment.{on}") if on in MOMENTS else chosen.label(on, shell.language)


def _criteria(chosen: Playbook, language: Language) -> Iterator[tuple[Cell, ...]]:
    """What a tier is worked out from: each criterion's points by value, or from a number on."""
    tiering = chosen.tiering
    for criterion in tiering.criteria if tiering else ():
        words = (
            f"{chosen.choice_label(criterion.on, key, language)} {given}" for key, given in criterion.points.items()
        )
        steps = (f"≥{step.at_least:,} {step.points}" for step in criterion.steps)
        yield criterion.label.text(language), criterion.weight, "; ".join((*words, *steps))


def _length(shell: Shell, length: Duration) -> str:
    if shell.language == "en":
        return str(length).replace("_", " ")
    return shell.text(f"unit.{length.unit}", amount=length.amount)


def _when(shell: Shell, before: Duration | None, after: Duration | None) -> str:
    if before is not None:
        return shell.text("before", length=_length(shell, before))
    return shell.text("after", length=_length(shell, after)) if after is not None else ""


def _of_what(shell: Shell, chosen: Playbook, on: str) -> str:
    """A sort of obligations, one rule or a date field, in the reader's words."""
    rules = {f"cadence.{cadence.key}": cadence.label for cadence in chosen.cadences}
    rules |= {f"target.{target.key}": target.label for target in chosen.targets}
    if on in rules:
        return rules[on].text(shell.language)
    return shell.text(f"sort.{on}") if f"sort.{on}" in TEXTS else chosen.label(on, shell.language)


def _condition(shell: Shell, chosen: Playbook, field: str, value: str) -> str:
    return f"({chosen.label(field, shell.language)}: {chosen.choice_label(field, value, shell.language)})"


def _case(shell: Shell, chosen: Playbook, condition: str) -> str:
    """``customer.kind=enterprise`` in the reader's words."""
    name, _, value = condition.partition("=")
    entity = name.partition(".")[0]
    told = shell.text(f"entity.{entity}") if f"entity.{entity}" in TEXTS else entity
    return f"{told} {_condition(shell, chosen, name, value)}" if value else told


def _field(shell: Shell, chosen: Playbook, condition: str, field: str) -> str:
    dotted = field if "." in field else f"{condition.partition('.')[0]}.{field}"
    return chosen.label(dotted, shell.language)
