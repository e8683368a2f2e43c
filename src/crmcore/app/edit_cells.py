"""What a cell says that a person edited: the value of its field, in the playbook's words, or the record that it names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any, cast

from crmcore.app.engine import Engine
from crmcore.app.presenting import REFERENCES, only_words
from crmcore.app.work import Work
from crmcore.domain import Customer, Entity, Money, Opportunity, Order
from crmcore.domain.fields import Unclean
from crmcore.domain.playbook import FIELD_KINDS
from crmcore.domain.values import MINOR_DIGITS, fold
from crmcore.interchange.cells import CURRENCIES, CellKind, CellOptions, parse
from crmcore.storage.presentation import CellEdit, Unreadable
from crmcore.storage.query import Eq

_LISTS: Mapping[str, CellKind] = {"contact.phones": "phones", "contact.emails": "emails"}
_EXPECTED: Mapping[str, str] = {
    "integer": "a whole number",
    "flag": "true or false",
    "day": "a date",
    "instant": "a date and time",
    "money": "an amount of money",
}
#: The fields that a record is named by where another one refers to it, by collection.
_NAMES: Mapping[str, tuple[type[Entity], tuple[str, ...]]] = {
    "customers": (Customer, ("number", "name_key")),
    "opportunities": (Opportunity, ("reference", "name_key")),
    "orders": (Order, ("number",)),
}


def part_of(cls: type[Entity], column: str) -> tuple[str, str | None]:
    """The field that a column belongs to, and which part of it where it holds money: ``minor`` or ``currency``."""
    name = column.removesuffix("_currency")
    kind = cls.kinds.get(name)
    if kind is not None and kind.name == "money":
        return name, "minor" if name == column else "currency"
    return column, None


class CellReader:
    """Reads cells within a unit of work."""

    def __init__(self, crm: Engine, work: Work) -> None:
        self._playbook, self._work = crm.playbook, work
        self._options = CellOptions(zone=crm.zone, currency=crm.playbook.currency, reads_phone=work.reads_phone)

    def value(self, cls: type[Entity], cell: CellEdit, record: Entity | None = None) -> Any:
        """What the cell says, as the field keeps it, of money the part; raises :class:`Unclean`."""
        name, part = part_of(cls, cell.field)
        field, kind = f"{cls.entity}.{name}", cls.kinds[name].name
        after: Any = cell.after
        if isinstance(after, Unreadable) and after.why == "cell_error":
            raise Unclean("cell_error", value=after.text)
        if isinstance(after, Unreadable) and after.why == "precision_lost":
            raise Unclean("precision_lost")
        if part == "currency":
            return _currency(after)
        if isinstance(after, Unreadable):
            after = self._read(field, kind, after.text)
        if part == "minor":
            if after is not None and type(after) is not int:
                raise Unclean("bad_money")
            return after
        if name in REFERENCES and after is not None:
            return self._referred(REFERENCES[name], str(parse("text", after, options=self._options)))
        if kind == "texts":
            return self._texts(field, after, getattr(record, name, ()))
        told = parse("text" if kind == "choice" else cast(CellKind, kind), after, options=self._options)
        return self._word(field, told, record) if isinstance(told, str) else told

    def _read(self, field: str, kind: str, text: str) -> Any:
        """What a text says in a cell of another type, where an import would read it without a doubt: ``2024年3月18日``."""
        if kind in ("text", "choice") and self._playbook.vocabulary(field):
            return text
        try:
            if kind in ("integer", "flag", "day", "instant"):
                return parse(cast(CellKind, kind), text, options=self._options)
            if kind == "money":
                amount: Money = parse("money", text, options=self._options)
                if amount.currency == self._playbook.currency:
                    return amount.minor
        except Unclean:
            pass
        raise Unclean("bad_type", expected=_EXPECTED.get(kind, "text"))

    def _texts(self, field: str, after: Any, there: tuple[str, ...]) -> tuple[str, ...]:
        """A list as it is kept, or as people write one; texts that were there already stay as they are."""
        kept: Any = [after]
        if isinstance(after, str) and after.startswith("["):
            with suppress(ValueError):
                kept = json.loads(after)
        if not isinstance(kept, list) or not all(text is None or isinstance(text, (str, int, float)) for text in kept):
            raise Unclean("bad_type", expected="a list of texts")
        read = _LISTS.get(field, "texts")
        parts = ((text,) if text in there else parse(read, text, options=self._options) for text in kept)
        return tuple(dict.fromkeys(chain.from_iterable(parts)))

    def _word(self, field: str, text: str, record: Entity | None) -> str:
        """A text that has a fixed or a suggested meaning, as its key."""
        playbook = self._playbook
        if field == "opportunity.stage":
            return self._milestone(text, getattr(record, "pipeline", playbook.default_pipeline))
        if field == "opportunity.pipeline":
            return next((key for key, graph in playbook.pipelines.items() if text in graph.label.spellings), text)
        key = playbook.choice_key(field, text)
        if key is None and only_words(field, FIELD_KINDS[field], playbook):
            allowed = ", ".join(playbook.vocabulary(field) or FIELD_KINDS[field].choices)
            raise Unclean("unknown_stage" if field.endswith(".stage") else "bad_choice", allowed=allowed)
        return key or text

    def _milestone(self, text: str, pipeline: str) -> str:
        """The stage of a pipeline that goes by that key or label, also where another pipeline's key was chosen for the label."""
        pipelines = self._playbook.pipelines
        labels = [stage.label.zh for other in pipelines.values() if (stage := other.find(text))]
        graph = pipelines.get(pipeline)
        found = (graph.stage_key(spelling) for spelling in (text, *labels)) if graph else ()
        return next((key for key in found if key is not None), text)  # any other is for the move to refuse

    def _referred(self, collection: str, text: str) -> str:
        """The id of the record that a text names: its id, its number, or a name that only one has."""
        cls, names = _NAMES[collection]
        known = self._work.get(cls, text)
        found: Sequence[Entity] = [known] if known is not None else []
        for name in names:
            if not found:
                found = self._work.find(cls, Eq(name, fold(text) if name.endswith("_key") else text), limit=2)
        if len(found) == 1:
            return found[0].id
        if cls is Customer:
            raise Unclean("ambiguous_customer" if found else "unknown_customer")
        raise Unclean("refused", why="more than one goes by this name" if found else f"there is no such {cls.entity}")

    def money(self, given: Mapping[str, Any], kept: Money | None) -> Money | None:
        """An amount from its two cells, of which one may stay as it is; raises :class:`Unclean`."""
        minor = given.get("minor", kept.minor if kept else None)
        if minor is None and given.get("currency"):
            raise Unclean("required")
        currency = given.get("currency") or (kept.currency if kept else self._playbook.currency)
        if minor is not None and MINOR_DIGITS.get(currency, 2) != MINOR_DIGITS.get(self._playbook.currency, 2):
            # The column shows as many decimals as the playbook's currency has: nobody knows what was meant.
            raise Unclean("refused", why="amounts in this currency are not changed here")
        try:
            return None if minor is None else Money(minor, currency)
        except ValueError:
            raise Unclean("bad_money") from None


def _currency(after: Any) -> str | None:
    """A currency code, or a sign or word for one."""
    if after is None or (isinstance(after, str) and not after.strip()):
        return None
    text = after.strip() if isinstance(after, str) else ""
    known = CURRENCIES.get(text.casefold())
    if known is None and not re.fullmatch(r"[A-Z]{3}", text):
        raise Unclean("bad_currency")
    return known[0] if known else text
