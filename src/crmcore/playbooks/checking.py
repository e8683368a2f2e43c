"""What is wrong with a playbook that has the right form: names that lead nowhere, ends that aren't meant, ambiguous words.

Every check yields ``key path: what is wrong and what is allowed``, so that a person finds the line in the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations, pairwise
from zoneinfo import ZoneInfo

from crmcore.domain import ENTITIES, Customer, Record
from crmcore.domain.duration import Duration
from crmcore.domain.follow_up import METHODS
from crmcore.domain.numbering import NumberScheme, may_collide
from crmcore.domain.playbook import COMPOUND_FIELDS, DERIVED_FIELDS, FIELD_KINDS, MOMENTS, Playbook
from crmcore.domain.policies import Table, Target
from crmcore.domain.user import ROLES
from crmcore.domain.values import fold
from crmcore.errors import Invalid
from crmcore.playbooks.graphs import graph_problems
from crmcore.playbooks.roles import permission_problems
from crmcore.playbooks.telling import (
    ambiguous,
    bad_keys,
    bad_labels,
    fixed_values,
    too_long,
    unknown,
    unknown_fields,
    values_of,
)
from crmcore.playbooks.tiers import tiering_problems
from crmcore.rules.calendar_reading import KEYS as CALENDAR_KEYS
from crmcore.rules.calendars import WEEKDAYS
from crmcore.rules.rulebook import calendar_of

#: Entities that carry a number for people.
NUMBERED = ("customer", "order", "ticket")
#: What an assignment can give to somebody.
ASSIGNED = ("feedback", "ticket")
#: Who can be told of what is due, beside everybody who holds a role.
RECIPIENTS = ("owner", "registrar", "collaborators")
_ENTITIES = {entity.entity for entity in ENTITIES}
_RECORD = {
    f"record.{name}" for name in ("id", "version", "created_at", "created_by", "updated_at", "updated_by", "custom")
}
#: Sheets of a store that people open themselves.
_SHEETS = {"sheet.guide", *(f"sheet.{entity.collection}" for entity in ENTITIES)}

#: Fields that nobody fills in: the library sets them as things happen.
_SET_BY_ITSELF = {
    *(name for name in Record.kinds if name != "custom"),
    *("stage_since", "tier_reason", "tier_until", "cycle", "outcome"),
    *("confirmed_by", "confirmed_at"),
    *("answered_at", "solved_at", "closed_at", "succeeded_on"),
}
#: Fields by which the program finds, numbers or moves records, and reasons, which events tell too: they stay in plain.
_IN_PLAIN = {
    *(name for name in Record.kinds if name != "custom"),
    *("number", "kind", "tier", "tier_reason", "tier_until", "lost_reason", "reason"),
    *("stage", "stage_since", "pipeline", "outcome", "state", "cycle"),
    *("owner", "assignee", "responsible", "collaborators", "registrar"),
}
#: The shortest and the longest that a unit can be, in minutes; working time can take any time.
_MINUTES = {"minutes": (1, 1), "hours": (60, 60), "days": (1_380, 1_500), "months": (40_260, 44_700)}


def problems(playbook: Playbook) -> tuple[str, ...]:
    """Everything that is wrong, in the order of the file; empty for a playbook that can be used."""
    return tuple(
        dict.fromkeys(
            problem
            for check in (
                _basics,
                _graphs,
                _numbering,
                _tiers,
                tiering_problems,
                _cadences,
                _targets,
                _calendar,
                _assignment,
                _reminders,
                _retention,
                _risks,
                _privacy,
                _required,
                _words,
                _tables,
                permission_problems,
            )
            for problem in check(playbook)
        )
    )


def _known_fields(playbook: Playbook) -> set[str]:
    return {*FIELD_KINDS, *COMPOUND_FIELDS, *DERIVED_FIELDS, *playbook.custom_fields}


def _basics(playbook: Playbook) -> Iterator[str]:
    yield from bad_labels("title", playbook.title)
    if not playbook.key.isidentifier():
        yield f"key: {playbook.key!r} must be made of letters, digits and underscores"
    try:
        ZoneInfo(playbook.timezone)
    except (OSError, ValueError, LookupError):
        yield f"timezone: there is no time zone {playbook.timezone!r} here; one is Asia/Shanghai (Windows has them in the tzdata package)"
    if not re.fullmatch(r"[A-Z]{3}", playbook.currency):
        yield "currency: must be three capital letters (ISO 4217), as CNY"
    if playbook.default_pipeline not in playbook.pipelines:
        yield f"default_pipeline: {unknown('pipeline', playbook.default_pipeline, playbook.pipelines)}"
    stages = {stage.key: stage for stage in playbook.lifecycle.stages}
    won = playbook.won_moves_customer_to
    if won is not None and won not in stages:
        yield f"won_moves_customer_to: {unknown('stage', won, stages)}"
    elif won is not None and stages[won].outcome != "won":
        yield f"won_moves_customer_to: the stage {won} must have the outcome won"
    if any(not need.strip() for need in playbook.vague):
        yield "vague: a need can't be blank"
    scales = Customer.kinds["scale"].choices
    for scale, headcount in playbook.scale_bands.items():
        if scale not in scales:
            yield f"scale_bands.{scale}: {unknown('scale', scale, scales)}"
        if headcount < 0:
            yield f"scale_bands.{scale}: must be a headcount from 0 on"
    if len(set(playbook.scale_bands.values())) < len(playbook.scale_bands):
        yield "scale_bands: two scales begin at the same headcount"
    known = [(scale, playbook.scale_bands[scale]) for scale in scales if scale in playbook.scale_bands]
    for (larger, above), (scale, headcount) in pairwise(known):
        if headcount > above:
            yield f"scale_bands.{scale}: must be less than that of {larger}, {above}"


def _graphs(playbook: Playbook) -> Iterator[str]:
    lifecycle = playbook.lifecycle
    if lifecycle.key != "lifecycle":
        yield "lifecycle.key: is lifecycle; leave it out"
    yield from graph_problems("lifecycle", lifecycle, _known_fields(playbook), "customer")
    for stage in lifecycle.stages:
        if stage.lifecycle is not None:
            yield f"lifecycle.stages.{stage.key}.lifecycle: belongs in the stages of a pipeline only"
    yield from bad_keys("pipelines", playbook.pipelines)
    known = [stage.key for stage in lifecycle.stages]
    for key, graph in playbook.pipelines.items():
        path = f"pipelines.{key}"
        if key == lifecycle.key:
            yield f"{path}: this name is the customers' own graph; give the pipeline another"
        yield from graph_problems(path, graph, _known_fields(playbook), "opportunity")
        for stage in graph.stages:
            if stage.lifecycle is None:
                yield f"{path}.stages.{stage.key}.lifecycle: required: the stage of the lifecycle it stands for ({', '.join(known)})"
            elif stage.lifecycle not in known:
                yield f"{path}.stages.{stage.key}.lifecycle: {unknown('stage', stage.lifecycle, known)}"


def _numbering(playbook: Playbook) -> Iterator[str]:
    schemes: dict[str, NumberScheme] = {}
    for entity, template in playbook.numbering.items():
        if entity not in NUMBERED:
            yield f"numbering.{entity}: {unknown('numbered entity', entity, NUMBERED)}"
        try:
            schemes[entity] = NumberScheme.parse(template)
        except ValueError as problem:
            yield f"numbering.{entity}: {problem}"
    if "customer" not in playbook.numbering:
        yield "numbering.customer: required"
    for one, other in combinations(schemes, 2):
        if may_collide(schemes[one], schemes[other]):
            yield f"numbering.{other}: could give the same number as numbering.{one}; begin one of them with another letter"


def _tiers(playbook: Playbook) -> Iterator[str]:
    keys = [tier.key for tier in playbook.tiers]
    yield from bad_keys("tiers", keys)
    yield from ambiguous("tiers", {tier.key: tier.label for tier in playbook.tiers})
    for tier in playbook.tiers:
        yield from bad_labels(f"tiers.{tier.key}.label", tier.label)
    if playbook.default_tier is not None and playbook.default_tier not in keys:
        yield f"default_tier: {unknown('tier', playbook.default_tier, keys)}"


def _cadences(playbook: Playbook) -> Iterator[str]:
    tiers = [tier.key for tier in playbook.tiers]
    stages = [stage.key for stage in playbook.lifecycle.stages]
    yield from bad_keys("cadences", (cadence.key for cadence in playbook.cadences))
    for cadence in playbook.cadences:
        path = f"cadences.{cadence.key}"
        yield from bad_labels(f"{path}.label", cadence.label)
        if cadence.every.unit not in ("days", "months", "working_days"):
            yield f"{path}.every: a cadence is counted in days, working_days, weeks, months or years"
        yield from too_long(f"{path}.every", cadence.every)
        for part, text in (("goal", cadence.goal), ("content", cadence.content)):
            if text is not None:
                yield from bad_labels(f"{path}.{part}", text)
        yield from (f"{path}.tiers: {unknown('tier', tier, tiers)}" for tier in cadence.tiers if tier not in tiers)
        yield from (
            f"{path}.stages: {unknown('stage', stage, stages)}" for stage in cadence.stages if stage not in stages
        )
        if cadence.method is not None and cadence.method not in METHODS:
            yield f"{path}.method: {unknown('method', cadence.method, METHODS)}"
        if not cadence.track.isidentifier():
            yield f"{path}.track: must be made of letters, digits and underscores"


def _targets(playbook: Playbook) -> Iterator[str]:
    dated = {key for key, kind in FIELD_KINDS.items() if kind.name in ("day", "instant")}
    yield from bad_keys("targets", (target.key for target in playbook.targets))
    for target in playbook.targets:
        path = f"targets.{target.key}"
        yield from bad_labels(f"{path}.label", target.label)
        if target.on not in MOMENTS and target.on not in dated:
            yield f"{path}.on: {unknown('moment or date field', target.on, {*MOMENTS, *dated})}"
        if target.met_by not in MOMENTS:
            yield f"{path}.met_by: {unknown('moment', target.met_by, MOMENTS)}"
        elif target.met_by == target.on:
            yield f"{path}.met_by: is the moment that it counts from, which would meet it at once"
        yield from too_long(f"{path}.within", target.within)
        yield from too_long(f"{path}.warn", target.warn)
        if target.warn is not None and target.within is not None and _longer(target.warn, target.within):
            yield f"{path}.warn: must not be longer than within, {target.within}"
        if target.on in MOMENTS and target.within is None:
            yield f'{path}.within: required: the time that it allows, as "24 hours"'
        if target.met_by == "customer.renewed" and target.on in MOMENTS:
            yield f"{path}.met_by: customer.renewed goes with a date field in on, as customer.contract_expires_on"
        yield from unknown_fields(f"{path}.fields", target.fields, {*FIELD_KINDS, *playbook.custom_fields})
        if (target.met_by == "customer.completed" or target.on == "customer.changed") != bool(target.fields):
            yield f'{path}.fields: goes with met_by = "customer.completed" or on = "customer.changed", and with nothing else'
        yield from _owed_by(f"{path}.owed_by", target)
        yield from _conditions(path, target, playbook)


def _longer(one: Duration, other: Duration) -> bool:
    """Whether a length is longer than another on every day of the year."""
    if one.unit == other.unit or not {one.unit, other.unit} <= _MINUTES.keys():
        return one.unit == other.unit and one.amount > other.amount
    return one.amount * _MINUTES[one.unit][0] > other.amount * _MINUTES[other.unit][1]


def _owed_by(path: str, target: Target) -> Iterator[str]:
    entity = target.on.partition(".")[0]
    people = {"owner", "responsible", "assignee", "recorder", "registrar", "collaborators", "service_contact"}
    known = {name for name in people if f"{entity}.{name}" in FIELD_KINDS}
    if target.owed_by is not None and target.owed_by not in known:
        yield f"{path}: {unknown(f'person of a {entity}', target.owed_by, known)}"


def _conditions(path: str, target: Target, playbook: Playbook) -> Iterator[str]:
    for field, value in target.where.items():
        if field not in FIELD_KINDS and field not in playbook.custom_fields:
            yield f"{path}.where: {unknown('field', field, FIELD_KINDS)}"
            continue
        entity = target.on.partition(".")[0]
        if field.partition(".")[0] not in (entity, "customer"):
            yield f"{path}.where.{field}: must be a field of the {entity} or of its customer"
        allowed = values_of(playbook, field)
        if allowed and value not in allowed:
            yield f"{path}.where.{field}: {unknown('value', value, allowed)}"


def _calendar(playbook: Playbook) -> Iterator[str]:
    try:
        calendar_of(playbook)
    except Invalid as invalid:
        # A zone that doesn't exist is told of the playbook itself.
        for issue in invalid.issues:
            if issue.field is not None and issue.field != "calendar.timezone":
                told = str(issue).removeprefix(issue.field).lstrip(": ")
                if issue.code == "unknown_field":
                    told = unknown("key", issue.field.removeprefix("calendar."), {*CALENDAR_KEYS} - {"timezone"})
                hint = f"; give hours to one of {', '.join(WEEKDAYS)}" if issue.code == "never_open" else ""
                yield f"{issue.field}: {told}{hint}"
    if "timezone" in playbook.calendar:
        yield "calendar.timezone: the playbook's own timezone holds; leave it out"


def _assignment(playbook: Playbook) -> Iterator[str]:
    yield from bad_keys("assignment", (one.key for one in playbook.assignment))
    for one in playbook.assignment:
        path = f"assignment.{one.key}"
        if one.key not in ASSIGNED:
            yield f"{path}: {unknown('assigned entity', one.key, ASSIGNED)}"
            continue
        fields = {key.partition(".")[2] for key in FIELD_KINDS if key.startswith(f"{one.key}.")}
        if one.by not in fields:
            yield f"{path}.by: {unknown('field', one.by, fields)}"
        allowed = values_of(playbook, f"{one.key}.{one.by}")
        for value, people in one.to.items():
            if allowed and value not in allowed:
                yield f"{path}.to: {unknown('value', value, allowed)}"
            if not people or not all(person.strip() for person in people):
                yield f"{path}.to.{value}: names at least one user or role, and none that is blank"


def _reminders(playbook: Playbook) -> Iterator[str]:
    rules = {
        "plan",
        "cadence",
        "target",
        *(f"cadence.{cadence.key}" for cadence in playbook.cadences),
        *(f"target.{target.key}" for target in playbook.targets),
    }
    dated = {key for key, kind in FIELD_KINDS.items() if kind.name in ("day", "instant")}
    yield from bad_keys("reminders", (reminder.key for reminder in playbook.reminders))
    for reminder in playbook.reminders:
        yield from bad_labels(f"reminders.{reminder.key}.label", reminder.label)
        yield from too_long(f"reminders.{reminder.key}.before", reminder.before)
        yield from too_long(f"reminders.{reminder.key}.after", reminder.after)
        if (reminder.before is None) == (reminder.after is None):
            yield f"reminders.{reminder.key}: says when, either before or after"
        wanted = (*RECIPIENTS, *ROLES)
        yield from (
            f"reminders.{reminder.key}.to: {unknown('recipient', word, wanted)}"
            for word in reminder.to
            if word not in wanted
        )
        if not reminder.to:
            yield f"reminders.{reminder.key}.to: somebody must be told; allowed: {', '.join(wanted)}"
        if reminder.on not in rules and reminder.on not in dated:
            yield f"reminders.{reminder.key}.on: {unknown('rule or date field', reminder.on, rules | dated)}"


def _privacy(playbook: Playbook) -> Iterator[str]:
    records = [cls for cls in ENTITIES if issubclass(cls, Record) and cls.entity != "user"]
    allowed = {
        f"{cls.entity}.{name}"
        for cls in records
        for name, kind in cls.kinds.items()
        if name not in _IN_PLAIN
        and not name.endswith("_id")
        and kind.name != "flag"
        and not any(name in key for key in (*cls.unique, *(key for key in cls.indexes if len(key) > 1)))
    }
    if any("{short_name}" in template for template in playbook.numbering.values()):
        allowed.discard("customer.short_name")
    allowed |= {field for field in playbook.custom_fields if field.partition(".")[0] != "user"}
    for field in playbook.privacy.encrypted:
        if field in FIELD_KINDS and field not in allowed:
            yield f"privacy.encrypted: {field} can't be encrypted: records are found, numbered or moved by it"
        elif field not in allowed:
            yield f"privacy.encrypted: {unknown('field', field, allowed)}"
    yield from (
        f"privacy.encrypted: {field} is there twice"
        for field in dict.fromkeys(playbook.privacy.encrypted)
        if playbook.privacy.encrypted.count(field) > 1
    )


def _retention(playbook: Playbook) -> Iterator[str]:
    yield from bad_keys("retention", (rule.key for rule in playbook.retention))
    for rule in playbook.retention:
        place = f"retention.{rule.key}"
        yield from bad_labels(f"{place}.label", rule.label)
        yield from too_long(f"{place}.after", rule.after)
        if rule.after.unit not in ("days", "months"):
            yield f"{place}.after: is counted in days, weeks, months or years"
        stages = playbook.lifecycle.keys
        yield from (
            f"{place}.stages: {unknown('stage', stage, stages)}" for stage in rule.stages if stage not in stages
        )


def _risks(playbook: Playbook) -> Iterator[str]:
    policy, tiers = playbook.risks, [tier.key for tier in playbook.tiers]
    for name in ("silent_for", "renewal_within", "window"):
        length = getattr(policy, name)
        if length is not None and length.unit not in ("days", "months"):
            yield f"risks.{name}: is counted in days, weeks, months or years"
        elif length is not None and length.amount > {"days": 3660, "months": 120}[length.unit]:
            yield f"risks.{name}: must be at most 10 years"
    yield from (
        f"risks.silent_tiers: {unknown('tier', tier, tiers)}"
        for tier in policy.silent_tiers
        if tiers and tier not in tiers
    )
    least = {
        "activity_fall": 1,
        "activity_least": 1,
        "orders_growth": 1,
        "referrals": 1,
        "satisfied_stars": 1,
        "signals": 1,
    }
    most = {"activity_fall": 100, "satisfied_stars": 5, "signals": 4}
    for name, low in least.items():
        number, high = getattr(policy, name), most.get(name)
        if number is not None and (number < low or (high is not None and number > high)):
            yield f"risks.{name}: must be a whole number from {low} {f'to {high}' if high else 'on'}"


def _required(playbook: Playbook) -> Iterator[str]:
    known = {*FIELD_KINDS, *playbook.custom_fields, "contact.reach"}
    for condition, fields in playbook.required.items():
        entity, _, case = condition.partition(".")
        path = f"required.{condition}"
        if entity not in _ENTITIES:
            yield f"{path}: {unknown('entity', entity, _ENTITIES)}"
            continue
        yield from unknown_fields(path, (field if "." in field else f"{entity}.{field}" for field in fields), known)
        yield from (
            f"{path}: {field} is set by the library alone; leave it out"
            for field in fields
            if field.rpartition(".")[2] in _SET_BY_ITSELF
        )
        if case:
            field, _, value = case.partition("=")
            allowed = values_of(playbook, f"{entity}.{field}")
            if value not in allowed:
                yield f"{path}: {unknown(f'value of {entity}.{field}', value, allowed)}"


def _words(playbook: Playbook) -> Iterator[str]:
    known = _known_fields(playbook)
    for key, own in playbook.custom_fields.items():
        yield from bad_labels(f"custom_fields.{key}.label", own.label)
        entity, _, name = key.partition(".")
        if entity not in _ENTITIES or not name.isidentifier():
            yield f"custom_fields.{key}: must be an entity, a dot and a name, as customer.region"
        elif key in FIELD_KINDS or key in COMPOUND_FIELDS or key in DERIVED_FIELDS:
            yield f"custom_fields.{key}: the domain has a field of this name"
    for key, label in playbook.fields.items():
        yield from bad_labels(f"fields.{key}", label)
        if key not in known and key not in _RECORD and key not in _SHEETS:
            yield f"fields.{key}: {unknown('field', key, known)}"
    for field, labels in playbook.choices.items():
        path = f"choices.{field}"
        if field not in known:
            yield f"{path}: {unknown('field', field, known)}"
        yield from ambiguous(path, labels)
        fixed = fixed_values(field)
        for key, label in labels.items():
            yield from bad_labels(f"{path}.{key}", label)
            if fixed and key not in fixed:
                yield f"{path}.{key}: {unknown('value', key, fixed)}"
        yield from (f"{path}.{key}: required: every fixed value has its label" for key in fixed if key not in labels)


def _tables(playbook: Playbook) -> Iterator[str]:
    known = _known_fields(playbook)
    yield from bad_keys("tables", playbook.tables)
    yield from ambiguous("tables", {key: table.label for key, table in playbook.tables.items()})
    for key, table in playbook.tables.items():
        path = f"tables.{key}"
        yield from bad_labels(f"{path}.label", table.label)
        if table.entity not in _ENTITIES:
            yield f"{path}.entity: {unknown('entity', table.entity, _ENTITIES)}"
        unusable = [
            *unknown_fields(f"{path}.columns", table.columns, known),
            *(
                f"{path}.columns: {column} has no label; give it one in fields.{column}"
                for column in table.columns
                if column in known and column not in playbook.fields and column not in playbook.custom_fields
            ),
        ]
        yield from unusable
        yield from (
            f"{path}.columns: {column} belongs to another record; a row here holds {' and '.join(table.entities)}"
            for column in table.columns
            if table.entity in _ENTITIES and column in known and column.partition(".")[0] not in table.entities
        )
        if not table.columns:
            yield f"{path}.columns: a sheet needs a column"
        # 联系方式 stands twice in the form of seed 004; any other column once.
        for column in dict.fromkeys(table.columns):
            if table.columns.count(column) > 1 and column != "contact.reach":
                yield f"{path}.columns: {column} is there twice"
        yield from (
            f"{path}.example.{field}: is no column of this sheet"
            for field in table.example
            if field not in table.columns
        )
        yield from _example_words(path, table, playbook)
        if not unusable:
            yield from _headers(path, playbook, key)


def _example_words(path: str, table: Table, playbook: Playbook) -> Iterator[str]:
    """Words of an example that an import of the sheet would refuse."""
    in_pipelines = [(stage.key, stage.label) for graph in playbook.pipelines.values() for stage in graph.stages]
    for field, word in table.example.items():
        if not values_of(playbook, field):
            continue
        labels = in_pipelines if field == "opportunity.stage" else list(playbook.vocabulary(field).items())
        spelled = {fold(text) for key, label in labels for text in (key, *label.spellings)}
        if fold(word) not in spelled:
            yield f"{path}.example.{field}: {unknown('value', word, (label.zh for _, label in labels))}"


def _headers(path: str, playbook: Playbook, table: str) -> Iterator[str]:
    claimed: dict[str, str] = {}
    for field, spellings in playbook.synonyms(table).items():
        for spelling in spellings:
            first = claimed.setdefault(re.sub(r"[_\-]", "", fold(spelling)), field)
            if first != field:
                yield f"{path}: the header {spelling!r} could mean {first} and {field}"
