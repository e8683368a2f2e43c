"""What was decided of a customer's tier, as data that add up and as text that answers "why B?"."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from typing import Any, Literal

import attrs

from crmcore.domain import Customer
from crmcore.domain.playbook import FIELD_KINDS, Playbook
from crmcore.domain.policies import Criterion
from crmcore.domain.values import MINOR_DIGITS
from crmcore.errors import Language, language_of

#: Why a tier is another than the one that is worked out: set by hand, or beside the edge of its band.
Held = Literal["by_hand", "margin"]


def whole_units(minor: int, currency: str) -> int:
    """An amount in whole units of its currency, rounded down."""
    return int(minor // 10 ** MINOR_DIGITS.get(currency, 2))


@attrs.frozen(kw_only=True)
class Past:
    """What a customer bought from ``since`` to ``until``, both days included.

    ``recency`` is days since the last order, None without one; ``frequency`` how many orders; ``minor`` their sum in minor
    units of ``currency``, None where there are orders, but none of them has an amount in it. Amounts in ``other_currencies``
    are left out of the sum, ``undated`` orders (without the day of signing) of everything.
    """

    since: date
    until: date
    currency: str
    recency: int | None = None
    frequency: int = 0
    minor: int | None = 0
    other_currencies: tuple[str, ...] = ()
    undated: int = 0

    @property
    def amount(self) -> int | None:
        """The sum in whole units of the currency, rounded down."""
        return None if self.minor is None else whole_units(self.minor, self.currency)


@attrs.frozen(kw_only=True)
class Part:
    """What one criterion gives: its value, None where it isn't known, the points for it, and what these add to the score."""

    criterion: Criterion
    value: str | int | None
    points: int
    contribution: Fraction


@attrs.frozen(kw_only=True)
class Place:
    """Where a customer stands among all by amount, in shares of the total: what those bring in who each bring in more than it
    (``before``), and what it brings in itself (``own``). Customers of one amount have one place.
    """

    before: Fraction
    own: Fraction


@attrs.frozen(kw_only=True)
class TierDecision:
    """The tier that holds for a customer, and why.

    ``fitting`` is what the score, or the share, would give by itself; ``held`` says why ``tier`` is another. ``lapsed``: it was
    set by hand, and that is over. ``score`` is the sum of the parts' contributions; None with the method ``shares``, where
    ``place`` is None for a customer that brought in nothing.
    """

    customer: Customer
    tier: str
    fitting: str
    held: Held | None
    lapsed: bool
    score: Fraction | None
    parts: tuple[Part, ...]
    place: Place | None
    past: Past
    playbook: Playbook = attrs.field(eq=False, repr=False)

    @property
    def before(self) -> str | None:
        """The tier that the record says so far."""
        return self.customer.tier

    @property
    def moves(self) -> bool:
        """Whether the customer comes to another tier."""
        return self.tier != self.before

    @property
    def changes(self) -> dict[str, Any]:
        """The fields that the record takes from the decision; none while it is set by hand."""
        return {} if self.held == "by_hand" else {"tier": self.tier, "tier_reason": None, "tier_until": None}

    def text(self, language: Language = "en") -> str:
        """The answer to "why B?": every criterion with its points and weight, the sum, and what held the tier."""
        return _told(self, language)

    @property
    def short(self) -> str:
        """The same in one line, without personal data, as it is kept with the event."""
        return _short(self)

    def to_plain(self) -> dict[str, Any]:
        """For JSON. Score, contributions and shares are numbers of floating point here."""
        customer, place, past = self.customer, self.place, self.past
        by_hand = self.held == "by_hand"
        return {
            "customer_id": customer.id,
            "number": customer.number,
            "before": self.before,
            "tier": self.tier,
            "fitting": self.fitting,
            "held": self.held,
            "lapsed": self.lapsed,
            "reason": customer.tier_reason if by_hand else None,
            "until": customer.tier_until.isoformat() if by_hand and customer.tier_until else None,
            "score": None if self.score is None else float(self.score),
            "criteria": [
                {
                    "key": part.criterion.key,
                    "value": part.value,
                    "points": part.points,
                    "weight": part.criterion.weight,
                    "contribution": float(part.contribution),
                }
                for part in self.parts
            ],
            "share_before": None if place is None else float(place.before),
            "share": None if place is None else float(place.own),
            "orders": {
                "since": past.since.isoformat(),
                "until": past.until.isoformat(),
                "recency": past.recency,
                "frequency": past.frequency,
                "amount": past.amount,
                "currency": past.currency,
                "other_currencies": list(past.other_currencies),
                "undated": past.undated,
            },
        }


_WORDS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "scored": "{tier} - score {score} of 100 ({bands})",
        "from": "{tier} from {edge}",
        "shares": "{tier} - brings in {own} % of the total, behind {before} % ({bands})",
        "none": "{tier} - brings in nothing ({bands})",
        "to": "{tier} to {edge} %",
        "comma": ", ",
        "by_hand": "{tier} - set by hand{until}: {reason}",
        "until": " until {day}",
        "would": "Worked out it would be {rest}",
        "lapsed": "What was set by hand is over.",
        "part": "  {label}: {value}: {points} points × {weight} = {product}",
        "unknown": "not known",
        "sum": "  Together {sum}; {sum} / {weights} = {score}",
        "margin": "By itself this gives {fitting}; a move takes {margin} points beyond the edge.",
        "window": "Orders from {since} to {until}.",
        "others": "The amount leaves out orders in {currencies}.",
        "undated": "Orders without the day of signing are left out: {number}.",
    },
    "zh-CN": {
        "scored": "{tier}:得分{score},满分100({bands})",
        "from": "{tier}{edge}分起",
        "shares": "{tier}:占总额{own}%,排在其前的占{before}%({bands})",
        "none": "{tier}:没有成交额({bands})",
        "to": "{tier}至{edge}%",
        "comma": ",",
        "by_hand": "{tier}:手工定级{until}:{reason}",
        "until": ",有效期至{day}",
        "would": "按规则应为{rest}",
        "lapsed": "手工定级已失效。",
        "part": "  {label}:{value}:{points}分 × {weight} = {product}",
        "unknown": "未知",
        "sum": "  合计{sum};{sum} / {weights} = {score}",
        "margin": "仅按此应为{fitting};须超出分界{margin}分才调整。",
        "window": "订单统计区间:{since}至{until}。",
        "others": "金额不含以下币种的订单:{currencies}。",
        "undated": "未计入没有签订日期的订单:{number}笔。",
    },
}


def decimal(value: Fraction) -> str:
    """A number to two decimals, rounded down: what is short of an edge never looks as if it had reached it."""
    hundredths = value.numerator * 100 // value.denominator
    return f"{hundredths // 100}.{hundredths % 100:02}".rstrip("0").rstrip(".")


def _told(decision: TierDecision, language: Language) -> str:
    words, playbook, customer = _WORDS[language_of(language)], decision.playbook, decision.customer
    tiering = playbook.tiering
    assert tiering is not None
    lines = []
    worked_out = _headline(decision, decision.fitting if decision.held == "by_hand" else decision.tier, language)
    if decision.held == "by_hand":
        until = words["until"].format(day=customer.tier_until) if customer.tier_until else ""
        tier = playbook.choice_label("customer.tier", decision.tier, language)
        lines.append(words["by_hand"].format(tier=tier, until=until, reason=customer.tier_reason))
        lines.append(words["would"].format(rest=worked_out))
    else:
        lines.append(worked_out)
    if decision.parts:
        lines += [_line(part, playbook, language) for part in decision.parts]
        weights = sum(part.criterion.weight for part in decision.parts)
        together = sum(part.criterion.weight * part.points for part in decision.parts)
        lines.append(words["sum"].format(sum=together, weights=weights, score=decimal(Fraction(together, weights))))
    if decision.held == "margin":
        fitting = playbook.choice_label("customer.tier", decision.fitting, language)
        lines.append(words["margin"].format(fitting=fitting, margin=tiering.margin))
    if decision.lapsed:
        lines.append(words["lapsed"])
    return "\n".join([*lines, *_notes(decision.past, language)])


def _headline(decision: TierDecision, tier: str, language: Language) -> str:
    words, playbook, place = _WORDS[language], decision.playbook, decision.place
    assert playbook.tiering is not None
    scored = decision.score is not None
    bands = words["comma"].join(
        words["from" if scored else "to"].format(tier=one.label.text(language), edge=playbook.tiering.bands[one.key])
        for one in playbook.tiers
    )
    label = playbook.choice_label("customer.tier", tier, language)
    if decision.score is not None:
        return words["scored"].format(tier=label, score=decimal(decision.score), bands=bands)
    if place is None:
        return words["none"].format(tier=label, bands=bands)
    own, before = decimal(place.own * 100), decimal(place.before * 100)
    return words["shares"].format(tier=label, own=own, before=before, bands=bands)


def _line(part: Part, playbook: Playbook, language: Language) -> str:
    words, criterion, value = _WORDS[language], part.criterion, part.value
    shown = words["unknown"] if value is None else f"{value:,}" if isinstance(value, int) else value
    if isinstance(value, str):
        shown = playbook.choice_label(criterion.on, value, language)
    kind = FIELD_KINDS.get(criterion.on)
    if value is not None and (criterion.on == "amount" or (kind is not None and kind.name == "money")):
        shown = f"{shown} {playbook.currency}"
    return words["part"].format(
        label=criterion.label.text(language),
        value=shown,
        points=part.points,
        weight=criterion.weight,
        product=part.points * criterion.weight,
    )


def _notes(past: Past, language: Language) -> list[str]:
    words = _WORDS[language]
    notes = [words["window"].format(since=past.since, until=past.until)]
    if past.other_currencies:
        notes.append(words["others"].format(currencies=words["comma"].join(past.other_currencies)))
    if past.undated:
        notes.append(words["undated"].format(number=past.undated))
    return notes


def _short(decision: TierDecision) -> str:
    place = decision.place
    if decision.score is not None:
        parts = " + ".join(f"{part.criterion.key} {decimal(part.contribution)}" for part in decision.parts)
        said = f"score {decimal(decision.score)} ({parts})"
    elif place is None:
        said = "brings in nothing"
    else:
        said = f"brings in {decimal(place.own * 100)} % behind {decimal(place.before * 100)} %"
    return f"no longer set by hand; {said}" if decision.lapsed else said
