"""Orders and their instalments: signed, handed over to finance, and paid (seed 002: 订单, 回款)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from crmcore.app.engine import UseCases
from crmcore.app.loops import build, future_issues, given
from crmcore.app.work import STAMPS, Work, mappings, refuse_fixed
from crmcore.domain import Customer, Instalment, Money, Opportunity, Order
from crmcore.domain.fields import Unclean, clean_day
from crmcore.errors import Invalid, Issue
from crmcore.rules.payments import collect_issues, currency_of, laid_on, open_amount, plan_issues, spread, total
from crmcore.rules.validation import check_number
from crmcore.storage.query import Eq

_ORDER_FIXED = (*STAMPS, "customer_id", "opportunity_id", "collected", "collected_on")
_INSTALMENT_FIXED = (*STAMPS, "order_id", "customer_id", "collected", "collected_on")


def sign_order(
    work: Work, customer: Customer, values: Mapping[str, Any], instalments: Iterable[Mapping[str, Any]] = ()
) -> Order:
    """Signs within a unit of work; see :meth:`Orders.sign`. The collection of the payment is handed to finance."""
    told = {**values, "customer_id": customer.id}
    if told.get("signed_on") is None:
        told["signed_on"] = work.today
    if told.get("number") is None and "order" in work.playbook.numbering:
        told["number"] = work.draw_number("order", customer, on=work.today)
    late = future_issues(work, "order.signed_on", told["signed_on"])
    order = build(work, Order, told, [*check_number("order", told.get("number"), work.playbook), *late])
    if "order" in work.playbook.numbering:
        work.claim_number("order", order.number)
    issues: list[Issue] = []
    parts: list[Instalment] = []
    for part in instalments:
        try:
            refuse_fixed("instalment", part, _INSTALMENT_FIXED)
            whole = {**part, "order_id": order.id, "customer_id": customer.id}
            parts.append(build(work, Instalment, whole, _unpriced(part)))
        except Invalid as invalid:
            issues += invalid.issues
    issues += plan_issues(order, parts, complete=not issues)
    if issues:
        raise Invalid(issues)
    if order.amount is None:
        order = order.replace(amount=total(part.amount for part in parts))
    work.begin(order, "order.signed")
    for instalment in parts:
        work.begin(instalment, "instalment.agreed")
    handed = given({"number": order.number, "amount": order.amount, "signed_on": order.signed_on})
    with work.following():
        work.announce(order, "order.handed_over", {name: [None, value] for name, value in handed.items()})
    return order


def _unpriced(values: Mapping[str, Any]) -> list[Issue]:
    lacking = values.get("amount") is None
    return [Issue(code="required", field="instalment.amount")] if lacking else []


class Orders(UseCases):
    """The use cases about orders and what is paid on them, for one user. An order is named by itself, its number or its id."""

    def sign(
        self,
        customer: Customer | str,
        *,
        number: str | None = None,
        amount: Money | None = None,
        signed_on: date | None = None,
        opportunity: Opportunity | str | None = None,
        instalments: Iterable[Mapping[str, Any]] = (),
        **values: Any,
    ) -> Order:
        """Puts a signed order on file (订单) and hands its collection over to finance.

        The number is drawn where the playbook numbers orders, unless given; ``signed_on`` is today unless given. ``instalments``
        are mappings with ``due_on`` and ``amount``, which add up to the order's amount; it is their sum unless given.
        """
        parts = mappings(instalments, "order.instalments")  # a unit of work may be tried more than once

        def decide(work: Work) -> Order:
            refuse_fixed("order", values, _ORDER_FIXED)
            current = work.current(Customer, customer)
            told = {**values, "number": number, "amount": amount, "signed_on": signed_on}
            if opportunity is not None:
                deal = work.current(Opportunity, opportunity)
                if deal.customer_id != current.id:
                    facts = {"why": "it is no opportunity of this customer"}
                    raise Invalid([Issue(code="refused", field="order.opportunity_id", facts=facts)])
                told["opportunity_id"] = deal.id
            return sign_order(work, current, told, parts)

        return self.write(decide)

    def add_instalment(self, order: Order | str, *, due_on: date, amount: Money, **values: Any) -> Instalment:
        """Agrees on a part of the order's amount and the day by which it is to be paid (回款计划).

        All of them together are at most the order's amount. Raises :class:`Invalid` for an order that was paid from already
        without any: nobody could say which part of it was paid.
        """

        def decide(work: Work) -> Instalment:
            refuse_fixed("instalment", values, _INSTALMENT_FIXED)
            current = work.current_by(Order, order, "number")
            # The sum of the parts is compared with it.
            work.must_read(current, ("amount",))
            others = _instalments(work, current)
            told = {**values, "due_on": due_on, "amount": amount, "order_id": current.id}
            part = build(work, Instalment, {**told, "customer_id": current.customer_id}, _unpriced(told))
            issues = plan_issues(current, [*others, part], complete=False)
            if current.collected is not None and not others:
                facts = {"why": "the order was paid from already without instalments"}
                issues.append(Issue(code="refused", field="instalment.order_id", facts=facts))
            if issues:
                raise Invalid(issues)
            return work.begin(part, "instalment.agreed")

        return self.write(decide)

    def change_instalment(
        self, instalment: Instalment | str, *, reason: str | None = None, **values: Any
    ) -> Instalment:
        """Agrees on another day or amount; an amount stays above what was paid of it. A paid one stays as it is."""

        def decide(work: Work) -> Instalment:
            refuse_fixed("instalment", values, _INSTALMENT_FIXED)
            current = work.current(Instalment, instalment, ("collected", *values))
            after = current.replace(**values)
            order = work.current(Order, current.order_id)
            work.must_read(order, ("amount",))
            others = [item for item in _instalments(work, order) if item.id != current.id]
            issues = [*_unpriced({"amount": after.amount}), *plan_issues(order, [*others, after], complete=False)]
            if current.collected_on is not None:
                facts = {"why": "it is paid in full already"}
                issues.append(Issue(code="refused", field="instalment.collected_on", facts=facts))
            elif current.collected is not None and not issues and (open_amount(after) or 0) <= 0:
                facts = {"limit": "more than what was paid of it"}
                issues.append(Issue(code="out_of_range", field="instalment.amount", facts=facts))
            if issues:
                raise Invalid(issues)
            return work.change(current, "instalment.changed", values, reason=reason)

        return self.write(decide)

    def collect(self, owed: Order | Instalment | str, amount: Money, *, on: date | None = None) -> Order:
        """Notes a payment (回款), on a day that has come, today unless given; gives the order as it is then.

        On an order with instalments it goes to the earliest that are open; what goes beyond them is paid on the order. Raises
        :class:`Invalid` for an amount that isn't above zero, that is in another currency, or more than what is still to be paid
        of the order, or of the instalment.
        """

        def decide(work: Work) -> Order:
            order, named = _owed(work, owed)
            work.ask(order, "update")
            work.must_read(order, ("amount", "collected"))
            parts = _instalments(work, order)
            day = work.today if on is None else on
            issues = list(future_issues(work, "order.collected_on", day))
            try:
                clean_day(day)
            except Unclean as problem:
                issues = [Issue(code=problem.code, field="order.collected_on", facts=problem.facts)]
            if type(amount) is not Money:
                issues.append(Issue(code="bad_money", field="order.collected"))
            else:
                issues += collect_issues(order, named or laid_on(order, parts), amount, currency_of(order, parts))
            if issues:
                raise Invalid(issues)
            if parts:
                for item, part in spread(named or parts, amount):
                    _paid(work, item, part, day)
            return _told(work, order, total((order.collected, amount)), day)

        return self.write(decide)

    def get(self, order: Order | str) -> Order:
        """The order as it is now. Raises :class:`NotFound`."""
        return self.one(Order, order, "number")

    def of(self, customer: Customer | str) -> list[Order]:
        """The orders of a customer by the day on which they were signed."""
        return self.listed(Order, Eq("customer_id", self.customer(customer).id), ("signed_on",))

    def instalments(self, order: Order | str) -> list[Instalment]:
        """The instalments of an order by the day by which they are to be paid."""
        return self.listed(Instalment, Eq("order_id", self.get(order).id), ("due_on",))


def _owed(work: Work, owed: Order | Instalment | str) -> tuple[Order, list[Instalment]]:
    """The order that a payment is for, and the instalment where one was named."""
    if isinstance(owed, str):
        owed = work.get(Instalment, owed) or owed
    if not isinstance(owed, Instalment):
        return work.current_by(Order, owed, "number", ("amount", "collected")), []
    current = work.current(Instalment, owed, ("amount", "collected"))
    return work.current(Order, current.order_id), [current]


def _instalments(work: Work, order: Order) -> list[Instalment]:
    return work.find(Instalment, Eq("order_id", order.id), ("due_on",))


def _paid(work: Work, instalment: Instalment, amount: Money, day: date) -> Instalment:
    collected = total((instalment.collected, amount))
    if collected == instalment.amount:
        told = {"collected": collected, "collected_on": day}
        return work.change(instalment, "instalment.collected", told)
    paid = work.change(instalment, "instalment.paid", {"collected": collected}, silent=True)
    work.note(paid, "instalment.paid", _part(instalment, collected, day), None)
    return paid


def _told(work: Work, order: Order, collected: Money | None, day: date) -> Order:
    if collected == order.amount:
        return work.change(order, "order.collected", {"collected": collected, "collected_on": day})
    paid = work.change(order, "order.paid", {"collected": collected}, silent=True)
    work.note(paid, "order.paid", _part(order, collected, day), None)
    return paid


def _part(owed: Order | Instalment, collected: Money | None, day: date) -> dict[str, list[Any]]:
    """What the event of a part tells: only the last one leaves its day in the record."""
    return {"collected": [owed.collected, collected], "paid_on": [None, day]}
