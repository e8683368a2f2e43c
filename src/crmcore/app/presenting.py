"""What people see of a store that they open themselves: its sheets, columns and words, and what they may change there.

Pure. What may be changed is what a use case lets a user change; :mod:`crmcore.app.edits` takes the changes in, and a test holds
the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import attrs

from crmcore.domain import (
    ActionPlan,
    Attachment,
    Contact,
    Customer,
    Entity,
    Feedback,
    FollowUp,
    FollowUpPlan,
    Instalment,
    Objection,
    Opportunity,
    Order,
    Referral,
    Ticket,
)
from crmcore.domain.fields import Kind
from crmcore.domain.playbook import Playbook
from crmcore.domain.policies import Label
from crmcore.domain.values import MINOR_DIGITS
from crmcore.errors import Language
from crmcore.storage.presentation import FieldView, Presentation, SheetView

#: What the program keeps for itself of every record.
_UNSEEN = frozenset(
    {"id", "version", "created_at", "created_by", "updated_at", "updated_by", "custom", "plan_id", "follow_up_id"}
    | {"media_type", "size", "sha256"}
)
_YES_NO = {"true": Label(zh="是", en="Yes"), "false": Label(zh="否", en="No")}
_CURRENCY = Label(zh="{label}币种", en="{label} (currency)")


@attrs.frozen(kw_only=True)
class EditedSheet:
    """What people may do with the rows of one entity, by column: ``changed`` in a row that is there, ``filled`` in a new one."""

    entity: type[Entity]
    columns: tuple[str, ...]
    changed: frozenset[str]
    filled: frozenset[str]


def _sheet(
    entity: type[Entity],
    *,
    changed: Iterable[str] | None = None,
    kept: Iterable[str] = (),
    unfilled: Iterable[str] = (),
) -> EditedSheet:
    """``changed`` are fields that may be changed, all unless given, but no column that is ``kept``; a new row takes all fields
    but those ``unfilled``."""
    fields = [name for name in entity.kinds if name not in _UNSEEN]
    return EditedSheet(
        entity=entity,
        columns=tuple(_columns(entity, fields)),
        changed=frozenset(_columns(entity, fields if changed is None else changed)) - frozenset(kept),
        filled=frozenset(_columns(entity, (name for name in fields if name not in unfilled))),
    )


def _columns(entity: type[Entity], fields: Iterable[str]) -> Iterator[str]:
    """The columns that keep these fields: money has two."""
    for name in fields:
        yield name
        if entity.kinds[name].name == "money":
            yield f"{name}_currency"


#: The sheets by collection, in the order in which people think of them.
SHEETS: Mapping[str, EditedSheet] = {
    sheet.entity.collection: sheet
    for sheet in (
        _sheet(
            Customer,
            kept=("number", "stage_since", "last_follow_up_at", "confirmed_by", "confirmed_at"),
            unfilled=("stage_since", "last_follow_up_at", "confirmed_by", "confirmed_at"),
        ),
        _sheet(Contact, kept=("customer_id",)),
        _sheet(FollowUp, changed=()),
        _sheet(FollowUpPlan, changed=(), unfilled=("state",)),
        _sheet(Opportunity, kept=("pipeline", "stage_since", "outcome"), unfilled=("stage_since", "outcome")),
        # What was paid is in the currency of what is owed.
        _sheet(Order, changed=("collected",), kept=("collected_currency",), unfilled=("collected", "collected_on")),
        _sheet(
            Instalment,
            changed=("due_on", "amount", "collected", "remarks"),
            kept=("amount_currency", "collected_currency"),
            unfilled=("customer_id", "collected", "collected_on"),
        ),
        _sheet(
            Ticket,
            changed=("assignee", "collaborators", "state", "plan", "result", "stars", "suggestion"),
            unfilled=(
                *("state", "plan", "result", "cycle", "answered_at", "solved_at", "closed_at", "stars", "suggestion"),
            ),
        ),
        _sheet(
            Feedback,
            changed=("responsible", "collaborators", "plan", "result", "confirmation", "stars", "suggestion"),
            unfilled=(
                *("state", "plan", "result", "confirmation", "cycle", "answered_at", "stars", "suggestion"),
                "closed_at",
            ),
        ),
        _sheet(
            Objection,
            changed=("solution", "outcome", "outcome_note"),
            unfilled=("solution", "outcome", "outcome_note"),
        ),
        _sheet(Referral, changed=("referred_id", "incentive_given"), unfilled=("succeeded_on", "incentive_given")),
        _sheet(Attachment, changed=()),
        _sheet(ActionPlan, changed=("what", "owner", "due_on", "state", "result"), unfilled=("state", "result")),
    )
}

#: The collections that fields refer to, and by what their rows are called there.
REFERENCES: Mapping[str, str] = {
    **dict.fromkeys(("customer_id", "referrer_id", "referred_id"), "customers"),
    "opportunity_id": "opportunities",
    "order_id": "orders",
}
CALLED: Mapping[str, tuple[str, ...]] = {
    "customers": ("number", "name"),
    "opportunities": ("name",),
    "orders": ("number",),
}

#: The guide, line by line.
GUIDE: tuple[Label, ...] = (
    Label(
        zh="本工作簿是客户数据库。请先保存并关闭,修改在程序下次打开时按业务规则检查后录入。",
        en="This workbook is the customer database. Save and close it: changes are checked by the rules and taken in the"
        " next time the program opens it.",
    ),
    Label(
        zh="一行要么全部录入,要么完全不录入;未录入的单元格会逐一说明原因,并恢复为原来的内容。",
        en="A row is taken in whole or not at all. Each cell that was refused is reported with the reason and goes back to"
        " what it was.",
    ),
    Label(
        zh="新增一行:在表格末尾填写。客户编号留空即自动编号;新客户须填写负责人。",
        en="To add a row, fill it in below the others. A customer number left blank is drawn; a new customer needs an owner.",
    ),
    Label(
        zh="“所属客户”显示编号和名称,填写其中之一即可;新客户及其联系人可以同时填写。多项内容以分号分隔。",
        en="A customer is shown with number and name; either is enough. A new customer and its contacts can be added together."
        " Several texts have semicolons between.",
    ),
    Label(
        zh="修改客户状态、销售阶段等同于推进阶段:缺少的条件会提示。流失或输单须同时填写原因。",
        en="Another stage is a move along the stages: what is missing for it is reported. A loss needs its reason in the"
        " same row.",
    ),
    Label(
        zh="手工改客户分级时请填写分级原因,否则只保留到下次自动分级。",
        en="A tier set by hand needs its reason, or it holds only until tiers are worked out again.",
    ),
    Label(
        zh="不能在此删除行:被删除的行会恢复。请勿改动表头和工作表名称。",
        en="Rows aren't deleted here: a row that was removed comes back. Leave headings and sheet names as they are.",
    ),
    Label(
        zh="他人在此期间修改过的单元格不会被覆盖,会作为冲突提示。",
        en="A cell that somebody else changed in the meantime is not written over but reported as a conflict.",
    ),
)


def presentation_of(playbook: Playbook, language: Language = "zh-CN", notes: Iterable[str] = ()) -> Presentation:
    """How people see a store that is kept under a playbook, in one language; ``notes`` end the guide.

    Raises :class:`QueryError` for a language that isn't there.
    """
    sheets = {
        collection: SheetView(
            title=playbook.label(f"sheet.{collection}", language),
            fields=dict(_views(sheet, playbook, language)),
            addable=bool(sheet.filled),
            called=CALLED.get(collection, ()),
        )
        for collection, sheet in SHEETS.items()
    }
    return Presentation(
        sheets=sheets,
        guide=(*(line.text(language) for line in GUIDE), *notes),
        guide_title=playbook.label("sheet.guide", language),
        zone=playbook.timezone,
    )


def _views(sheet: EditedSheet, playbook: Playbook, language: Language) -> Iterator[tuple[str, FieldView]]:
    for column in sheet.columns:
        editable, fillable = column in sheet.changed, column in sheet.filled
        if column not in sheet.entity.kinds:
            label = playbook.label(f"{sheet.entity.entity}.{column.removesuffix('_currency')}", language)
            yield (
                column,
                FieldView(heading=_CURRENCY.text(language).format(label=label), editable=editable, fillable=fillable),
            )
            continue
        kind, field = sheet.entity.kinds[column], f"{sheet.entity.entity}.{column}"
        choices = _choices(field, kind, playbook, language)
        yield (
            column,
            FieldView(
                heading=playbook.label(field, language),
                choices=choices,
                only_choices=bool(choices) and only_words(field, kind, playbook),
                editable=editable,
                fillable=fillable,
                scale=MINOR_DIGITS.get(playbook.currency, 2) if kind.name == "money" else 0,
                listed=kind.name == "texts",
                refers=REFERENCES.get(column),
            ),
        )


def _choices(field: str, kind: Kind, playbook: Playbook, language: Language) -> dict[str, str]:
    """What is shown for each kept word; a list of texts has none."""
    words: Mapping[str, Label] = playbook.vocabulary(field)
    if kind.name == "flag":
        words = words or _YES_NO
    elif kind.name not in ("text", "choice"):
        return {}
    elif field == "opportunity.stage":
        stages = (stage for graph in playbook.pipelines.values() for stage in graph.stages)
        words = {stage.key: stage.label for stage in stages}
    elif field == "opportunity.pipeline":
        words = {key: graph.label for key, graph in playbook.pipelines.items()}
    return {key: label.text(language) for key, label in words.items()}


def only_words(field: str, kind: Kind, playbook: Playbook) -> bool:
    """Whether a field takes nothing but the words of its vocabulary."""
    return (
        bool(kind.choices) or kind.name == "flag" or field.endswith((".stage", ".pipeline")) or field == "customer.tier"
    )
