"""Customers: registering, changing, moving through the lifecycle, handing over, finding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from crmcore.app.contacts import contact_values
from crmcore.app.duties import replan
from crmcore.app.engine import UseCases
from crmcore.app.finding import Page, read_page
from crmcore.app.work import Work
from crmcore.domain import Attachment, Contact, Customer, Event
from crmcore.domain.values import fold
from crmcore.errors import DuplicateCustomer, Invalid, Issue, TransitionRefused
from crmcore.rules.stages import Attempt, StageTable, refusals
from crmcore.rules.validation import check_customer, meant
from crmcore.storage.query import And, Contains, Eq, Ge, Where

CustomerReference: TypeAlias = Customer | str
"""A customer, its id or its number. Where a customer is handed in and what is to be changed of it was changed by somebody
else since it was read, the change is refused with ``Conflict``."""

#: What only a use case of its own may change: numbers are drawn, stages are moved, owners handed over.
_NOT_BY_UPDATE = (
    "id",
    "version",
    "number",
    "stage",
    "stage_since",
    "owner",
    "created_at",
    "created_by",
    "updated_at",
    "updated_by",
)


def register_customer(
    work: Work,
    values: Mapping[str, Any],
    contacts: Iterable[Mapping[str, Any]] = (),
    *,
    allow_duplicate: bool = False,
) -> Customer:
    """Registers within a unit of work; see :meth:`Customers.register`."""
    playbook = work.playbook
    given = meant("customer", values, playbook)
    stage = given.get("stage") or playbook.lifecycle.initial
    given["stage"] = (playbook.lifecycle.stage_key(stage) if isinstance(stage, str) else None) or stage
    given.setdefault("stage_since", work.now)
    given.setdefault("tier", playbook.default_tier)
    given["owner"] = given.get("owner") or work.actor
    given["registrar"] = given.get("registrar") or work.actor
    number = given.pop("number", None)
    people = [dict(contact) for contact in contacts]
    issues = [issue for issue in check_customer(given, people, playbook) if issue.level == "error"]
    customer = None
    try:
        customer = _unnumbered(work, given)
    except Invalid as invalid:
        reported = {issue.field for issue in issues}
        issues += [issue for issue in invalid.issues if issue.field not in reported]
    for contact in people:
        try:
            Contact(id="-", customer_id="-", **_stamps(work), **contact_values(contact))
        except Invalid as invalid:
            issues += invalid.issues
    if customer is None or issues:
        raise Invalid(issues)
    if not allow_duplicate:
        _refuse_duplicate(work, customer)
    if number is None:
        number = work.draw_number("customer", on=work.today, short_name=customer.short_name)
    else:
        work.claim_number("customer", number)
        if work.find(Customer, Eq("number", number), limit=1):
            raise Invalid([Issue(code="duplicate_number", field="customer.number")])
    given["number"] = number
    registered = work.create(Customer, "customer.registered", **given)
    for contact in people:
        work.create(Contact, "contact.added", customer_id=registered.id, **contact_values(contact))
    replan(work, registered, new=True)
    return registered


def _stamps(work: Work) -> dict[str, Any]:
    return {"created_at": work.now, "created_by": work.actor, "updated_at": work.now, "updated_by": work.actor}


def _unnumbered(work: Work, values: Mapping[str, Any]) -> Customer:
    """The customer that these values would make, without a number yet; raises :class:`Invalid` with every issue."""
    return Customer(id="-", number="-", **_stamps(work), **values)


def _refuse_duplicate(work: Work, customer: Customer) -> None:
    """One customer, one file (seeds 003, 004): the same USCC, or an enterprise of the same name. Two people may share one."""
    same: list[Customer] = []
    if customer.uscc:
        same = work.find(Customer, Eq("uscc", customer.uscc), limit=1)
    if not same and customer.kind == "enterprise":
        same = work.find(Customer, And(Eq("name_key", fold(customer.name)), Eq("kind", "enterprise")), limit=1)
    if same:
        raise DuplicateCustomer(
            f"this customer is registered already as {same[0].number}", number=same[0].number, id=same[0].id
        )


def move_customer(
    work: Work,
    table: StageTable,
    customer: Customer,
    to: str,
    *,
    reason: str | None = None,
    guarded: bool = True,
    **fields: Any,
) -> Customer:
    """Moves within a unit of work; see :meth:`Customers.move`. An unguarded move is for what a won opportunity brings about."""
    target = table.graph.stage_key(to) or to
    after = customer.replace(**fields)
    if guarded:
        step = table.transitions.get((customer.stage, target))
        evidence = _evidence(work, customer) if step and step[0].evidence else frozenset()
        issues = refusals(table, customer.stage, target, Attempt(after, reason, evidence))
        if issues:
            raise TransitionRefused(
                issues, source=customer.stage, target=target, allowed=table.ways_out.get(customer.stage, ())
            )
    if table.stages[target].outcome == "lost":
        fields = {"lost_reason": reason, **fields}
    moved = work.change(customer, "customer.moved", reason=reason, stage=target, stage_since=work.now, **fields)
    replan(work, moved)
    return moved


def _evidence(work: Work, customer: Customer) -> frozenset[str]:
    attached = work.find(Attachment, Eq("customer_id", customer.id))
    return frozenset(attachment.about for attachment in attached if attachment.about)


class Customers(UseCases):
    """The use cases about customers, for one user."""

    def register(
        self,
        *,
        contacts: Iterable[Mapping[str, Any]] = (),
        number: str | None = None,
        allow_duplicate: bool = False,
        **values: Any,
    ) -> Customer:
        """Puts a customer on file, with its people, and opens what is owed to it.

        ``values`` are fields of :class:`Customer`; ``contacts`` fields of :class:`Contact`. The number is drawn from the
        playbook's series, in the same transaction, unless one is given. The stage is the lifecycle's first and the owner the
        one who registers, unless given. Raises :class:`Invalid` with every issue, :class:`DuplicateCustomer` for one that
        has a file already, :class:`NumbersExhausted`; then nothing is stored and no number is lost.
        """
        if number is not None:
            values["number"] = number
        return self.write(lambda work: register_customer(work, values, contacts, allow_duplicate=allow_duplicate))

    def get(self, customer: CustomerReference) -> Customer:
        """The customer as it is now, by number, by id or by itself. Raises :class:`NotFound`."""
        return self.customer(customer)

    def update(self, customer: CustomerReference, *, reason: str | None = None, **changes: Any) -> Customer:
        """Changes fields. Stage, owner and number have use cases of their own. Raises :class:`Invalid`, :class:`Conflict`."""

        def decide(work: Work) -> Customer:
            current = work.current(Customer, customer, changes)
            told = meant("customer", changes, work.playbook)
            fixed = [name for name in changes if name in _NOT_BY_UPDATE]
            issues = [
                Issue(code="refused", field=f"customer.{name}", facts={"why": "it is not changed by an update"})
                for name in fixed
            ]
            merged = {name: told.get(name, getattr(current, name)) for name in Customer.kinds}
            found = check_customer(merged, None, work.playbook)
            issues += [
                issue for issue in found if issue.level == "error" and (issue.field or "").partition(".")[2] in changes
            ]
            if issues:
                raise Invalid(issues)
            changed = work.change(current, "customer.updated", reason=reason, **changes)
            replan(work, changed)
            return changed

        return self.write(decide)

    def move(self, customer: CustomerReference, to: str, *, reason: str | None = None, **fields: Any) -> Customer:
        """Moves to another stage of the lifecycle, by its key or any of its labels; ``fields`` are set with the move.

        Raises :class:`TransitionRefused` with everything that is missing. What was planned by stage is planned anew
        (seed 000).
        """

        def decide(work: Work) -> Customer:
            current = work.current(Customer, customer, ("stage", *fields))
            return move_customer(work, self.engine.lifecycle, current, to, reason=reason, **fields)

        return self.write(decide)

    def assign(self, customer: CustomerReference, owner: str, *, reason: str | None = None) -> Customer:
        """Hands the customer to another owner, with what is open of it."""

        def decide(work: Work) -> Customer:
            current = work.current(Customer, customer, ("owner",))
            changed = work.change(current, "customer.assigned", reason=reason, owner=owner)
            if changed.owner is None:
                raise Invalid([Issue(code="required", field="customer.owner")])
            replan(work, changed)
            return changed

        return self.write(decide)

    def add_collaborators(self, customer: CustomerReference, *names: str) -> Customer:
        """Lets others work with the owner: a name, or name/department as ``hua/技术支持``."""
        return self._lists(customer, "customer.collaborators_changed", "collaborators", add=names)

    def remove_collaborators(self, customer: CustomerReference, *names: str) -> Customer:
        """Takes collaborators off."""
        return self._lists(customer, "customer.collaborators_changed", "collaborators", remove=names)

    def tag(self, customer: CustomerReference, *tags: str) -> Customer:
        """Puts tags on the customer; one that is there stays."""
        return self._lists(customer, "customer.tagged", "tags", add=tags)

    def untag(self, customer: CustomerReference, *tags: str) -> Customer:
        """Takes tags off the customer."""
        return self._lists(customer, "customer.tagged", "tags", remove=tags)

    def _lists(
        self, customer: CustomerReference, action: str, field: str, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> Customer:
        def decide(work: Work) -> Customer:
            current = work.current(Customer, customer)
            kept = [item for item in getattr(current, field) if item not in remove]
            changes: dict[str, Any] = {field: (*kept, *add)}
            return work.change(current, action, **changes)

        return self.write(decide)

    def find(
        self,
        where: Where | None = None,
        *,
        search: str | None = None,
        stage: str | None = None,
        owner: str | None = None,
        tier: str | None = None,
        order: Sequence[str] = ("number",),
        limit: int = 50,
        after: str | None = None,
    ) -> Page[Customer]:
        """A page of customers. ``search`` looks in names without case and spaces; ``after`` is the mark of the page before."""
        parts: list[Where] = [] if where is None else [where]
        if search:
            parts.append(Contains("name_key", fold(search)))
        if stage:
            parts.append(Eq("stage", self.engine.playbook.lifecycle.stage_key(stage) or stage))
        parts += [Eq(name, value) for name, value in (("owner", owner), ("tier", tier)) if value]
        condition = parts[0] if len(parts) == 1 else And(*parts) if parts else None
        return self.engine.read(lambda transaction: read_page(transaction, Customer, condition, order, limit, after))

    def count(self, where: Where | None = None) -> int:
        """How many customers there are, or how many the condition holds for."""
        return self.engine.read(lambda transaction: transaction.count("customers", where))

    def timeline(
        self, customer: CustomerReference, *, since: datetime | None = None, limit: int = 100, after: str | None = None
    ) -> Page[Event]:
        """What happened to the customer and everything that hangs on it, newest first."""
        found = self.get(customer)
        where: Where = Eq("customer_id", found.id)
        if since is not None:
            where = And(where, Ge("at", since))
        return self.engine.read(lambda transaction: read_page(transaction, Event, where, ("-at", "-id"), limit, after))
