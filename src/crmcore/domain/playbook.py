"""What a team agreed on, as values: numbering, stages, cadences, targets, required fields, tables and labels.

A playbook is data. It says what holds; the rules, told by a playbook, say what follows. Every class here is frozen and
does nothing but look itself up.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import attrs

from crmcore.domain import ENTITIES
from crmcore.domain.fields import Kind
from crmcore.domain.policies import (
    Assignment,
    Cadence,
    CadencePolicy,
    CustomField,
    Duplicates,
    Label,
    Permission,
    Privacy,
    Reminder,
    Retention,
    Risks,
    StageGraph,
    Table,
    Target,
    Tier,
    Tiering,
    by_text,
    frozen_map,
)
from crmcore.domain.values import FrozenMap, fold
from crmcore.errors import Language

#: What a stage move can ask for before it is let through.
GUARDS: Mapping[str, str] = {
    "reason": "the mover gives a reason",
    "fields": "every field that the transition lists is filled in",
    "evidence": "an attachment of each kind that the transition lists is there",
    "contract_signed": "the customer's contract is signed: contract_signed_on is filled in (seed 004)",
    "customer": "the opportunity belongs to a customer",
    "amount": "the opportunity has an amount",
}

#: What a target counts from, and what meets it.
MOMENTS: Mapping[str, str] = {
    "customer.registered": "the customer was registered (建档)",
    "customer.moved": "the customer came to another stage of the lifecycle",
    "customer.won": "the customer came to a stage whose outcome is won (成交)",
    "customer.lost": "the customer came to a stage whose outcome is lost (流失)",
    "customer.completed": "the last of the fields that the target lists was filled in",
    "customer.changed": "one of the fields that the target lists was given another value (重大变化)",
    "customer.renewed": "the date that the target counts from was moved to a later day (续约)",
    "follow_up.held": "the conversation took place (跟进时间)",
    "follow_up.logged": "the conversation was written down",
    "follow_up_plan.made": "a follow-up was planned, or planned anew",
    "opportunity.opened": "the opportunity was opened",
    "opportunity.moved": "the opportunity came to another stage",
    "opportunity.advanced": "the opportunity came to a later stage, neither back nor to a lost one",
    "opportunity.won": "the opportunity was won",
    "opportunity.lost": "the opportunity was lost",
    "objection.raised": "the customer raised an objection (异议)",
    "objection.answered": "a solution for the objection was given",
    "objection.settled": "the customer said what came of it",
    "order.signed": "the order was signed",
    "order.collected": "the order was paid in full (回款)",
    "instalment.agreed": "an instalment of an order was agreed on",
    "instalment.collected": "the instalment was paid in full",
    "feedback.received": "the feedback came in (接收)",
    "feedback.planned": "a plan for it was given",
    "feedback.answered": "the result was told to the customer (反馈)",
    "feedback.confirmed": "the customer confirmed the result (确认)",
    "ticket.opened": "the ticket was opened",
    "ticket.answered": "the ticket got its first answer",
    "ticket.planned": "a plan for it was given",
    "ticket.contributed": "a collaborator gave what was asked of them; each collaborator for themselves",
    "ticket.solved": "the ticket was solved",
    "ticket.closed": "the ticket was closed",
    "referral.made": "a customer was referred",
    "referral.succeeded": "the referred customer was won (合作成功)",
    "referral.rewarded": "the incentive was given",
    "action_plan.made": "an action was planned",
    "action_plan.done": "the action was carried out",
}

#: What a tier can be worked out from beside the fields of the customer: measures of its orders in the window of the tiering.
MEASURES: Mapping[str, str] = {
    "recency": "days since the last order; not known without one",
    "frequency": "how many orders",
    "amount": "their sum in whole units of the playbook's currency; orders in others are left out",
}

_NAMED_CUSTOMER = {
    f"{entity}.customer_{part}": f"the {part} of a customer that is registered already"
    for entity in ("contact", "opportunity", "order", "follow_up_plan", "follow_up", "feedback", "ticket")
    for part in ("number", "name")
}

#: Columns of an import that are no field of an entity: how each is taken apart.
COMPOUND_FIELDS: Mapping[str, str] = {
    "contact.reach": "联系方式: a phone, an e-mail or a WeChat name, told by its content",
    "customer.grading": "初级标签: scale, urgency and potential with a slash between, as 大型企业/紧急/A级 (seed 003)",
    "customer.headcount": "a band as 100-500人, or one number: headcount_low and headcount_high",
    "customer.registered_on": "建档日期: the day that the customer was first put on file",
    "customer.history": "交往记录: follow-ups as 2024-04-20,…;2024-03-10,… in one cell (seed 004)",
    **_NAMED_CUSTOMER,
    "referral.referrer_number": "the number of the customer who refers",
    "referral.referrer_name": "the name of the customer who refers",
}

#: Columns that an export works out and an import leaves aside.
DERIVED_FIELDS: Mapping[str, str] = {
    "customer.days_in_stage": "停留天数: whole days since stage_since",
    "customer.win_probability": "成交可能性: the probability of the stage, in percent",
    "customer.sticking_point": "卡点: the objection of the last follow-up that names one",
}

#: What a row of a sheet can't do without, whatever the playbook says: one field of each group.
NEEDED_FIELDS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "customer": (("name",),),
    "contact": (("name",),),
    "opportunity": (("name", "product", "reference"),),
    "follow_up_plan": (("due_on",),),
    "follow_up": (("summary",), ("at",)),
    "feedback": (("received_at",), ("description",)),
    "ticket": (("subject",),),
    "referral": (("referred_name", "referred_id"),),
}

#: The fields of every entity, dotted (``customer.name``), with their kinds.
FIELD_KINDS: Mapping[str, Kind] = {
    f"{entity.entity}.{name}": kind for entity in ENTITIES for name, kind in entity.kinds.items()
}


@attrs.frozen(kw_only=True)
class Playbook:
    """All that a team agreed on. ``timezone`` decides what a day is, ``currency`` what a bare amount is in.

    ``numbering`` holds one template by entity (:class:`crmcore.domain.numbering.NumberScheme`). ``won_moves_customer_to`` is the
    stage of the lifecycle that a won opportunity takes its customer to, from any other and without guards: the won
    opportunity is the evidence. ``required`` is by entity, or by entity and choice (``customer.kind=enterprise``); a dotted
    field there belongs to another entity. ``calendar`` is the team's working time, in the keys of
    :func:`crmcore.rules.calendar_reading.read_calendar`; where none is given, it is always open. ``scale_bands`` give the
    headcount from which a customer is of a scale.
    ``fields`` and ``choices`` are labels by dotted field; a field with choices that the domain doesn't fix suggests them.
    ``permissions`` are by role; a role that isn't there may do nothing, and an administrator everything.
    """

    key: str
    title: Label
    timezone: str
    currency: str
    numbering: Mapping[str, str] = attrs.field(converter=frozen_map)
    lifecycle: StageGraph
    pipelines: Mapping[str, StageGraph] = attrs.field(converter=frozen_map)
    default_pipeline: str
    won_moves_customer_to: str | None = None
    tiers: tuple[Tier, ...] = ()
    default_tier: str | None = None
    cadence_policy: CadencePolicy = "strictest"
    cadences: tuple[Cadence, ...] = ()
    targets: tuple[Target, ...] = ()
    reminders: tuple[Reminder, ...] = ()
    required: Mapping[str, tuple[str, ...]] = attrs.field(factory=FrozenMap, converter=frozen_map)
    vague: tuple[str, ...] = ()
    calendar: Mapping[str, Any] = attrs.field(factory=FrozenMap, converter=frozen_map)
    tiering: Tiering | None = None
    assignment: tuple[Assignment, ...] = ()
    retention: tuple[Retention, ...] = ()
    risks: Risks = attrs.field(factory=Risks)
    duplicates: Duplicates = attrs.field(factory=Duplicates)
    scale_bands: Mapping[str, int] = attrs.field(factory=FrozenMap, converter=frozen_map)
    fields: Mapping[str, Label] = attrs.field(factory=FrozenMap, converter=frozen_map)
    choices: Mapping[str, Mapping[str, Label]] = attrs.field(factory=FrozenMap, converter=frozen_map)
    tables: Mapping[str, Table] = attrs.field(factory=FrozenMap, converter=frozen_map)
    custom_fields: Mapping[str, CustomField] = attrs.field(factory=FrozenMap, converter=frozen_map)
    permissions: tuple[Permission, ...] = ()
    privacy: Privacy = attrs.field(factory=Privacy)

    @cached_property
    def _texts(self) -> dict[str, Mapping[str, str]]:
        return {}

    def label(self, key: str, language: Language = "en") -> str:
        """What a dotted field is called; the key itself where nothing else is said."""
        if own := self.custom_fields.get(key):
            return own.label.text(language)
        found = self.fields.get(key) or self.fields.get(f"record.{key.rpartition('.')[2]}")
        return found.text(language) if found else key

    def vocabulary(self, field: str) -> Mapping[str, Label]:
        """The values of a field by key, in order: fixed or suggested choices, tiers, the stages of a customer or of an
        opportunity in the default pipeline. Empty where anything goes.
        """
        if field == "customer.tier":
            return {tier.key: tier.label for tier in self.tiers}
        if field == "customer.stage":
            return {stage.key: stage.label for stage in self.lifecycle.stages}
        if field == "opportunity.stage":
            return {stage.key: stage.label for stage in self.pipelines[self.default_pipeline].stages}
        return self.choices.get(field, FrozenMap())

    def choice_label(self, field: str, key: str, language: Language = "en") -> str:
        """What one value of a field is called; the value itself where the playbook doesn't know it."""
        found = self.vocabulary(field).get(key)
        return found.text(language) if found else key

    def choice_key(self, field: str, text: str) -> str | None:
        """The value that a text means: its key, a label or an alias, folded. None where none is meant."""
        if not isinstance(text, str):
            return None
        texts = self._texts.get(field)
        if texts is None:
            texts = self._texts[field] = by_text(self.vocabulary(field).items())
        return texts.get(fold(text)) if texts else None

    def stage_key(self, graph: str, text: str) -> str | None:
        """The stage that a text means in the ``lifecycle`` or in a pipeline; raises KeyError for an unknown graph."""
        return self.graph(graph).stage_key(text)

    def graph(self, key: str) -> StageGraph:
        """The lifecycle or a pipeline by its key; raises KeyError."""
        return self.lifecycle if key == self.lifecycle.key else self.pipelines[key]

    def required_fields(self, entity: str, values: Mapping[str, Any] | None = None) -> tuple[str, ...]:
        """The fields that an entity must have, given the values that it has (``{"kind": "enterprise"}``)."""
        conditions = [entity, *(f"{entity}.{name}={value}" for name, value in (values or {}).items())]
        return tuple(dict.fromkeys(field for condition in conditions for field in self.required.get(condition, ())))

    def synonyms(self, table_key: str) -> Mapping[str, tuple[str, ...]]:
        """Every field that the sheet can hold, with all that its header can be: for header detection. Raises KeyError."""
        table = self.tables[table_key]
        known = {**self.fields, **{key: own.label for key, own in self.custom_fields.items()}}
        wanted = [
            key
            for key in known
            if (owner := key.partition(".")[0]) in table.entities
            and not key.endswith("_id")
            and (owner == table.entity or key not in _NAMED_CUSTOMER)
        ]
        return {key: known[key].spellings for key in dict.fromkeys([*table.columns, *wanted])}
