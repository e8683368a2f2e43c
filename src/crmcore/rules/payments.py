"""What may be paid on an order and its instalments, and what that makes of them (seed 002: 回款). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import add

from crmcore.domain import Instalment, Money, Order
from crmcore.errors import Issue

_ABOVE_ZERO = {"limit": "amounts above zero"}


def total(amounts: Iterable[Money | None]) -> Money | None:
    """The sum of what is known, in one currency; None of nothing."""
    known = [amount for amount in amounts if amount is not None]
    return reduce(add, known) if known else None


def amount_issues(field: str, amount: Money | None, currency: str | None = None) -> list[Issue]:
    """An amount that is zero or less, or in another currency than the one given. What is no amount is for the field to refuse."""
    if type(amount) is not Money:
        return []
    issues = []
    if amount.minor <= 0:
        issues.append(Issue(code="out_of_range", field=field, facts=_ABOVE_ZERO))
    if currency is not None and amount.currency != currency:
        issues.append(Issue(code="other_currency", field=field, facts={"currency": currency}))
    return issues


def open_amount(owed: Order | Instalment) -> int | None:
    """What is still to be paid, in minor units; None where the amount isn't known."""
    if owed.amount is None:
        return None
    return owed.amount.minor - _paid(owed)


def _paid(owed: Order | Instalment) -> int:
    return owed.collected.minor if owed.collected else 0


def currency_of(order: Order, instalments: Sequence[Instalment]) -> str | None:
    """The currency in which an order is paid; None while nothing says it."""
    owed: list[Order | Instalment] = [order, *instalments]
    known = [item.amount or item.collected for item in owed]
    return next((amount.currency for amount in known if amount is not None), None)


def laid_on(order: Order, instalments: Sequence[Instalment]) -> Sequence[Order | Instalment]:
    """What bounds a payment on an order: its amount, or where that isn't known its instalments."""
    return instalments if order.amount is None and instalments else [order]


def collect_issues(
    order: Order, owed: Sequence[Order | Instalment], amount: Money, currency: str | None
) -> list[Issue]:
    """Every reason why an amount can't be collected on what is owed: an order, or instalments of it."""
    issues = amount_issues("order.collected", amount, currency)
    left = [open_amount(item) for item in owed]
    most = None if None in left else sum(part for part in left if part is not None)
    whole = open_amount(order)
    most = whole if most is None else most if whole is None else min(most, whole)
    if most is not None and amount.minor > most:
        facts = {"limit": "what is still to be paid"}
        issues.append(Issue(code="out_of_range", field="order.collected", facts=facts))
    return issues


def spread(instalments: Sequence[Instalment], amount: Money) -> list[tuple[Instalment, Money]]:
    """A payment laid on instalments, the earliest first; one whose amount isn't known takes all that is left.

    What goes beyond them stays with the order alone.
    """
    parts = []
    left = amount.minor
    for item in sorted(instalments, key=lambda item: (item.due_on, item.id)):
        still = open_amount(item)
        part = left if still is None else min(left, still)
        if part > 0:
            parts.append((item, Money(part, amount.currency)))
            left -= part
    return parts


def plan_issues(order: Order, instalments: Sequence[Instalment], *, complete: bool) -> list[Issue]:
    """Whether the instalments of an order fit its amount: as much when they are ``complete``, else no more.

    What was paid beyond the instalments belongs to none of them: they share what it leaves.
    """
    field = "order.instalments"
    currency = currency_of(order, instalments)
    issues = [issue for item in instalments for issue in amount_issues("instalment.amount", item.amount, currency)]
    if issues or not instalments or order.amount is None:
        return issues
    told = sum(item.amount.minor for item in instalments if item.amount)
    known = all(item.amount for item in instalments)
    beyond = _paid(order) - sum(map(_paid, instalments))
    if told + max(0, beyond) > order.amount.minor or (complete and known and told != order.amount.minor):
        issues.append(Issue(code="sum_differs", field=field, facts={"limit": "order.amount"}))
    return issues
