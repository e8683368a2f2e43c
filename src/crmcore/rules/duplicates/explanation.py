"""Why these two: what each field says, what that weighs, and what decided."""

from __future__ import annotations

from typing import Literal

import attrs

from crmcore.domain.policies import Label
from crmcore.errors import Language, language_of
from crmcore.rules.duplicates.grades import COMMON, LABELS, MISSING, grades_of
from crmcore.rules.duplicates.pairs import Decision, Tier

Reason = Literal["identified", "weighed", "contradicted", "unlike"]

_REASONS = {
    "identified": Label(zh="识别码相同", en="an identifying field is equal"),
    "weighed": Label(zh="按权重判断", en="by weight"),
    "contradicted": Label(zh="识别码不同,须人工核对", en="an identifying field differs; somebody should look"),
    "unlike": Label(zh="必要字段不相近,须人工核对", en="a required field isn't close; somebody should look"),
}
_TIERS = {"same": Label(zh="重复", en="the same"), "suspect": Label(zh="疑似重复", en="suspect")}
_PRIOR = Label(zh="候选对的初始权重", en="any two candidates")
_SUM = Label(zh="合计", en="sum")


@attrs.frozen(kw_only=True)
class Agreement:
    """What one field says: how far the values agree (the label), and what that weighs, in bits."""

    field: str
    grade: int
    label: Label
    bits: float


@attrs.frozen(kw_only=True)
class Explanation:
    """The working of a decision: ``prior`` and the bits of the agreements sum up to ``bits``, which stand for ``probability``."""

    tier: Tier
    reason: Reason
    prior: float
    agreements: tuple[Agreement, ...]
    bits: float
    probability: float

    def text(self, language: Language = "en") -> str:
        """It for a reader; no value of a record is in it."""
        language = language_of(language)
        lines = [f"{_TIERS[self.tier].text(language)}: {_REASONS[self.reason].text(language)} ({self.probability:.4f})"]
        lines.append(f"{self.prior:+7.1f}  {_PRIOR.text(language)}")
        lines += [f"{each.bits:+7.1f}  {each.field}: {each.label.text(language)}" for each in self.agreements]
        lines.append(f"{self.bits:+7.1f}  {_SUM.text(language)}")
        return "\n".join(lines)


def explain(decision: Decision) -> Explanation:
    """Why a pair, or a match, came to its tier. Fields that one side lacks say nothing and are left out."""
    rules, weights = decision.rules, decision.weights
    grades = grades_of(decision.pattern, len(rules.fields))
    agreements = tuple(
        Agreement(field=rule.field, grade=grade, label=LABELS[grade], bits=bits)
        for rule, grade, bits in zip(rules.fields, grades, weights.by_field(decision.pattern, rules), strict=True)
        if grade != MISSING
    )
    identified = any(rule.identifies and grade >= COMMON for rule, grade in zip(rules.fields, grades, strict=True))
    reason: Reason = "weighed"
    if decision.contradictions:
        reason = "contradicted"
    elif identified:
        reason = "identified"
    elif decision.unlike and decision.probability >= rules.same:
        reason = "unlike"
    return Explanation(
        tier=decision.tier,
        reason=reason,
        prior=weights.prior,
        agreements=agreements,
        bits=weights.bits(decision.pattern, rules),
        probability=decision.probability,
    )
