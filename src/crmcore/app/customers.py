"""Customers: registering, changing, moving through the lifecycle, handing over, finding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from crmcore.app.contacts import contact_values
from crmcore.app.deleting import Deleted, delete_customer, deleted_customers, restore_customer
from crmcore.app.engine import UseCases
from crmcore.app.finding import Page, find_customer, having, named_like, read_page, where_all
from crmcore.app.histories import history_where
from crmcore.app.loops import future_issues
from crmcore.app.merging import Merged, merge, plan_merge
from crmcore.app.moving import carry_on, decided, due_move, read_visits, target_of, told_automatic
from crmcore.app.provenance import FieldSource, field_sources
from crmcore.app.referrals import note_won
from crmcore.app.similar import Likeness, likenesses, refuse_duplicate
from crmcore.app.unmerging import Unmerged, unmerge
from crmcore.app.work import STAMPS, Work, mappings, or_default, refuse_fixed
from crmcore.domain import Alias, Contact, Customer, Event
from crmcore.domain.policies import Stage, Transition
from crmcore.errors import DuplicateCustomer, Invalid, Issue
from crmcore.rules.findings import customer_findings
from crmcore.rules.stages import NO_FIELDS, Move, moved, reason_issues
from crmcore.rules.tiering import until_issues
from crmcore.rules.timing import day_start, zone_named
from crmcore.rules.validation import check_customer, check_number, meant
from crmcore.rules.visits import Visit
from crmcore.storage.contract import Transaction
from crmcore.storage.query import And, Eq, Ge, IsNull, Ne, Where

if TYPE_CHECKING:  # persons are rarely erased; the others needn't wait for this
    from crmcore.app.erasing import Erased

CustomerReference: TypeAlias = Customer | str
"""A customer, its id or its number. Where a customer is handed in and what is to be changed of it was changed by somebody
else since it was read, the change is refused with ``Conflict``."""

#: The id of a customer that is not on file.
UNKNOWN = "-"
#: What only a use case of its own may change: numbers are drawn, stages are moved, owners handed over.
FIXED = (*STAMPS, "number", "stage", "stage_since", "owner", "last_follow_up_at", "tier_reason")
_CONFIRMED = ("confirmed_by", "confirmed_at")


def register_customer(
    work: Work,
    values: Mapping[str, Any],
    contacts: Iterable[Mapping[str, Any]] = (),
    *,
    allow_duplicate: bool = False,
    imported: bool = False,
) -> Customer:
    """Registers within a unit of work; see :meth:`Customers.register`. Of an imported one nobody asks why it was lost."""
    playbook = work.playbook
    refuse_fixed("customer", values, _CONFIRMED)
    given = meant("customer", values, playbook)
    stage = playbook.lifecycle.initial if given.get("stage") is None else given["stage"]
    given["stage"] = playbook.lifecycle.stage_key(stage) or stage
    given.setdefault("stage_since", _known_since(work, given))
    given.setdefault("tier", playbook.default_tier)
    given["owner"] = or_default(given.get("owner"), work.actor)
    given["registrar"] = or_default(given.get("registrar"), work.actor)
    people = [contact_values(contact) for contact in contacts]
    issues = [issue for issue in check_customer(given, people, playbook, work.reads_phone) if issue.level == "error"]
    issues += future_issues(work, "customer.last_follow_up_at", given.get("last_follow_up_at"))
    if not imported:
        issues += reason_issues(playbook.lifecycle, "customer", given["stage"], given.get("lost_reason"))
    numbered = given.get("number") is not None
    issues += check_number("customer", given.get("number"), playbook)
    customer, built = None, []
    try:
        customer = work.build(Customer, given if numbered else {**given, "number": "-"})
    except Invalid as invalid:
        reported = {issue.field for issue in issues}
        issues += [issue for issue in invalid.issues if issue.field not in reported]
    for person in people:
        try:
            refuse_fixed("contact", person, ("customer_id",))
            built.append(work.build(Contact, {**person, "customer_id": "-"}))
        except Invalid as invalid:
            issues += invalid.issues
    if customer is None or issues:
        raise Invalid(issues)
    if not allow_duplicate:
        refuse_duplicate(work, customer, built)
    if numbered:
        work.claim_number("customer", customer.number)
        if work.find(Customer, Eq("number", customer.number), limit=1) or work.get(Alias, customer.number):
            raise Invalid([Issue(code="duplicate_number", field="customer.number")])
    else:
        number = work.draw_number("customer", customer, on=work.today)
        customer = customer.replace(number=number)
    work.begin(customer, "customer.registered")
    for contact in built:
        work.begin(contact.replace(customer_id=customer.id), "contact.added")
    return carry_customer_on(work, customer)


def _known_since(work: Work, given: Mapping[str, Any]) -> datetime:
    """Since when a new customer is at its stage: for a won one since its contract, else since it was first met, else now."""
    stage = work.playbook.lifecycle.find(given["stage"]) if isinstance(given["stage"], str) else None
    day = given.get("contract_signed_on" if stage is not None and stage.outcome == "won" else "first_contact_on")
    return min(day_start(day, zone_named(work.playbook.timezone)), work.now) if type(day) is date else work.now


def _checked(work: Work, current: Customer, changes: Mapping[str, Any], reason: str | None) -> dict[str, Any]:
    """The changes in the playbook's words; raises :class:`Invalid` for what may not be changed, or not to that.

    Another tier is set by hand for the reason given. Without one it holds until tiers are worked out again: what is set by
    hand has a reason, and that of the tier before is none for this one.
    """
    # A day without a tier would end what somebody else set.
    fixed = (*FIXED, *_CONFIRMED)
    refuse_fixed("customer", changes, fixed if "tier" in changes else (*fixed, "tier_until"))
    told = meant("customer", changes, work.playbook)
    merged = {name: told.get(name, getattr(current, name)) for name in Customer.kinds}
    custom = told.get("custom")
    names = {*told, *(custom if isinstance(custom, Mapping) else ())}
    if names & {"headcount_low", "headcount_high"}:
        work.must_read(current, ("headcount_low", "headcount_high"))
        names.add("headcount_high")
    issues = [
        issue
        for issue in check_customer(merged, None, work.playbook)
        if issue.level == "error" and (issue.field or "").partition(".")[2] in names
    ]
    issues += until_issues(told.get("tier_until"), work.today)
    if issues:
        raise Invalid(issues)
    if told.get("tier", current.tier) != current.tier:
        told = {"tier_reason": reason if told["tier"] else None, "tier_until": None, **told}
    return told


def move_customer(
    work: Work, customer: Customer, to: str, fields: Mapping[str, Any] = NO_FIELDS, *, reason: str | None = None
) -> Customer:
    """Moves within a unit of work; see :meth:`Customers.move`."""
    work.ask(customer, "move")
    lifecycle = work.playbook.lifecycle
    target = target_of(lifecycle, customer, to)
    told = _checked(work, customer, fields, reason)
    changed = _moved(work, decided(work, lifecycle, customer, target, told, reason=reason))
    step = lifecycle.transition(customer.stage, target)
    # Whoever takes a customer back means it to stay there.
    return changed if step is not None and step.rollback else carry_customer_on(work, changed)


def _moved(work: Work, move: Move) -> Customer:
    """Writes a move down; who was won makes the referral that brought them a success."""
    changed: Customer = work.move(move, "customer.moved")
    stages = [work.playbook.lifecycle.find(stage) for stage in (move.before.stage, changed.stage)]
    before, after = [stage.outcome if stage else None for stage in stages]
    if after == "won" and before != "won":
        note_won(work, changed)
    return changed


def bring_customer(work: Work, customer: Customer, stage: Stage, *, reason: str) -> Customer:
    """Brings to a stage, from any other and without guards, what something else has made of it: a won opportunity."""
    brought = moved(customer, stage, at=work.now, on=work.today, by=work.actor, reason=reason)
    return carry_customer_on(work, _moved(work, brought))


def carry_customer_on(work: Work, customer: Customer, was_due: Transition | None = None) -> Customer:
    """Makes the automatic moves that a change has made due; ``was_due`` as in :func:`carry_on`."""

    def move(present: Customer, step: Transition) -> Customer:
        further = decided(work, work.playbook.lifecycle, present, step.target, reason=told_automatic(step))
        return _moved(work, further)

    return carry_on(work, customer, move, was_due)


def _against_confirming(customer: Customer, actor: str) -> str | None:
    if customer.owner != actor:
        return "its owner confirms it"
    return "its owner entered it" if customer.created_by == actor else None


def update_customer(
    work: Work, current: Customer, changes: Mapping[str, Any], *, reason: str | None = None
) -> Customer:
    """Changes fields within a unit of work; see :meth:`Customers.update`."""
    told = _checked(work, current, changes, reason)
    changed = work.change(current, "customer.updated", told, reason=reason)
    if (changed.name, changed.kind, changed.uscc) != (current.name, current.kind, current.uscc):
        refuse_duplicate(work, changed, before=current)
    return carry_customer_on(work, changed, due_move(work, current))


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
        one who registers, unless given; at a lost stage ``lost_reason`` is required where moves to it ask for a
        reason. Raises :class:`Invalid` with every issue, :class:`DuplicateCustomer` for one that has a file already,
        :class:`NumbersExhausted`; then nothing is stored and no number is lost.
        """
        if number is not None:
            values["number"] = number
        people = mappings(contacts, "customer.contacts")  # a unit of work may be tried more than once
        return self._told(lambda work: register_customer(work, values, people, allow_duplicate=allow_duplicate))

    def _told(self, decide: Callable[[Work], Customer]) -> Customer:
        """Does it; of a customer that stands in the way only that is told which the user may see."""
        try:
            return self.write(decide)
        except DuplicateCustomer as duplicate:
            id = duplicate.details["id"]
            if id is not None and self.engine.read(lambda transaction: find_customer(transaction, id)) is None:
                raise DuplicateCustomer("this customer is registered already, by somebody else") from None
            raise

    def similar(self, *, contacts: Iterable[Mapping[str, Any]] = (), **values: Any) -> list[Likeness]:
        """The customers on file that are, or may be, the one with these values, the surest first. Nothing is written.

        ``values`` and ``contacts`` are as for :meth:`register`, as far as they are known; none is required. Each answer says
        why, of what the user may see; what it is worth says the playbook. Raises :class:`Invalid`.
        """
        playbook, now = self.engine.playbook, self.engine.now()
        given = {"name": "-", "stage": playbook.lifecycle.initial, "number": "-", **meant("customer", values, playbook)}
        stamps = {"created_at": now, "created_by": self.actor, "updated_at": now, "updated_by": self.actor}
        stamps["stage_since"] = now
        customer = Customer(id=UNKNOWN, **{**stamps, **given})
        stamps.pop("stage_since")
        people = [
            Contact(id=UNKNOWN, **{"name": "-", **contact_values(person), **stamps, "customer_id": UNKNOWN})
            for person in mappings(contacts, "customer.contacts")
        ]
        return likenesses(self.engine, customer, people)

    def get(self, customer: CustomerReference) -> Customer:
        """The customer as it is now, by number, by id or by itself. Raises :class:`NotFound`."""
        return self.customer(customer)

    def sources(self, customer: CustomerReference) -> Mapping[str, FieldSource]:
        """Where each field of the customer that holds something has its value from: by whom, when, of which list and row."""
        found = self.customer(customer)
        return self.engine.read(lambda transaction: field_sources(transaction, found))

    def update(self, customer: CustomerReference, *, reason: str | None = None, **changes: Any) -> Customer:
        """Changes fields. Stage, owner and number have use cases of their own. Raises :class:`Invalid`, :class:`Conflict`.

        A ``tier`` that is given with a ``reason`` is set by hand, as by ``tiers.set``; one without a reason holds until the
        next ``tiers.run``.
        """

        def decide(work: Work) -> Customer:
            current = work.current(Customer, customer, changes)
            return update_customer(work, current, changes, reason=reason)

        return self._told(decide)

    def findings(self, customer: CustomerReference) -> list[Issue]:
        """What looks wrong of a customer and its people, as warnings: forms, contradictions, a vague need. It is kept all the same."""
        found = self.get(customer)
        people = self.listed(Contact, Eq("customer_id", found.id), ("created_at", "id"))
        told = [{name: getattr(one, name) for name in one.kinds} for one in people]
        values = {name: getattr(found, name) for name in Customer.kinds}
        return customer_findings(values, told, self.engine.playbook, self.engine.plugins.normaliser)

    def move(self, customer: CustomerReference, to: str, *, reason: str | None = None, **fields: Any) -> Customer:
        """Moves to another stage of the lifecycle, by its key or any of its labels; ``fields`` are set with the move.

        Raises :class:`TransitionRefused` with everything that is missing. What was planned by stage is planned anew
        (seed 000). An automatic move that is due from there follows at once, unless this one was a rollback.
        """

        def decide(work: Work) -> Customer:
            current = work.current(Customer, customer, ("stage", *fields))
            return move_customer(work, current, to, fields, reason=reason)

        return self.write(decide)

    def assign(self, customer: CustomerReference, owner: str, *, reason: str | None = None) -> Customer:
        """Hands the customer to another owner, with what is open of it."""

        def decide(work: Work) -> Customer:
            current = work.current(Customer, customer, ("owner",))
            changed = work.change(current, "customer.assigned", {"owner": owner}, reason=reason)
            if changed.owner is None:
                raise Invalid([Issue(code="required", field="customer.owner")])
            return carry_customer_on(work, changed, due_move(work, current))

        return self.write(decide)

    def confirm(self, customer: CustomerReference) -> Customer:
        """Notes that the owner went over what somebody else had entered (二次核对, seed 004). Confirmed again, it holds from now.

        Raises :class:`Invalid` where somebody else than the owner would confirm, or the owner entered it.
        """

        def decide(work: Work) -> Customer:
            current = work.current(Customer, customer, ("owner",))
            if why := _against_confirming(current, work.actor):
                raise Invalid([Issue(code="refused", field="customer.confirmed_by", facts={"why": why})])
            return work.change(current, "customer.confirmed", {"confirmed_by": work.actor, "confirmed_at": work.now})

        return self.write(decide)

    def unconfirmed(self, owner: str | None = None) -> list[Customer]:
        """The customers that somebody else entered and their owner, the one who acts unless given, didn't go over yet; by number."""
        name = self.actor if owner is None else owner
        where = And(Eq("owner", name), IsNull("confirmed_at"), Ne("created_by", name))
        return self.listed(Customer, where, ("number",))

    def delete(self, customer: CustomerReference, reason: str) -> Customer:
        """Puts a customer into the bin 回收站, with everything that hangs on it: no list, report or search has it any longer.

        Its number stays taken, and what it is owed is dropped. :meth:`restore` brings back exactly what was. Raises
        :class:`NotFound`, :class:`Invalid` without a reason, and whatever a plugin has against it.
        """
        return self.write(lambda work: delete_customer(work, customer, reason))

    def restore(self, number: str, *, reason: str | None = None) -> Customer:
        """Brings a customer back from the bin, by its number or id, as it was; what it is owed is worked out anew.

        Raises :class:`NotFound` for one that isn't there.
        """
        return self.write(lambda work: restore_customer(work, number, reason))

    def deleted(self) -> list[Deleted]:
        """The customers in the bin, the last one that was deleted first."""
        return self.write(lambda work: list(deleted_customers(work)))

    def erase(
        self,
        customer: CustomerReference,
        contact: Contact | str | None = None,
        *,
        reason: str,
        dry_run: bool = False,
    ) -> Erased:
        """Erases a customer who is a person, or people at one that is none: see :func:`crmcore.app.erasing.erase`."""
        from crmcore.app.erasing import erase

        return erase(self.engine, customer, contact, reason=reason, actor=self.actor, dry_run=dry_run)

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
            changed = work.change(current, action, {field: (*kept, *add)})
            return carry_customer_on(work, changed, due_move(work, current))

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
        """A page of customers. ``search`` looks in names without case and spaces; ``after`` is the mark of the page before.

        A stage and a tier are named by their key or a label. Raises :class:`QueryError` for one that the playbook doesn't have.
        """
        told = having(Customer, self.engine.playbook, {"stage": stage, "owner": owner, "tier": tier})
        condition = where_all([where, *named_like(search), *told])
        return self.engine.read(lambda transaction: read_page(transaction, Customer, condition, order, limit, after))

    def count(self, where: Where | None = None) -> int:
        """How many customers there are, or how many the condition holds for."""
        return self.engine.read(lambda transaction: transaction.count("customers", where))

    def stages(self, customer: CustomerReference) -> list[Visit]:
        """Each stay of the customer at a stage, oldest first: since when and until when, how long, who moved it there and why."""
        found, now = self.get(customer), self.engine.now()
        return self.engine.read(lambda transaction: read_visits(transaction, found, now))

    def timeline(
        self, customer: CustomerReference, *, since: datetime | None = None, limit: int = 100, after: str | None = None
    ) -> Page[Event]:
        """What happened to the customer and everything that hangs on it, newest first."""
        found = self.get(customer)

        def look(transaction: Transaction) -> Page[Event]:
            where = history_where(transaction, found.id)
            if since is not None:
                where = And(where, Ge("at", since))
            return read_page(transaction, Event, where, ("-at", "-id"), limit, after)

        return self.engine.read(look)

    def merge(
        self,
        keep: CustomerReference,
        absorb: CustomerReference,
        *,
        prefer: Mapping[str, Any] | None = None,
        reason: str | None = None,
    ) -> Merged:
        """Makes one customer of two that are the same: ``keep`` stays, ``absorb`` goes from the lists.

        Each field is decided by :data:`crmcore.rules.merging.RULES`; ``prefer`` says otherwise for some: ``keep`` or
        ``absorb`` takes that one's value, anything else is the value. Everything that hangs on the absorbed customer changes
        hands. Its number stands for the other one from now on. Nothing is lost: :meth:`unmerge` takes it back.

        Raises :class:`MergeRefused` for a customer with itself, for one that is absorbed already, and for two with different
        registration numbers, unless ``prefer`` says which ``uscc`` is right; :class:`NotFound`, :class:`Invalid`.
        """
        preferred = _preferred(prefer)
        return self.write(lambda work: merge(work, keep, absorb, preferred, reason))

    def plan_merge(
        self, keep: CustomerReference, absorb: CustomerReference, *, prefer: Mapping[str, Any] | None = None
    ) -> Merged:
        """What :meth:`merge` would make of the two, field by field and record by record. Nothing is written."""
        preferred = _preferred(prefer)
        return self.write(lambda work: plan_merge(work, keep, absorb, preferred)[0])

    def unmerge(self, number: str, *, reason: str | None = None) -> Unmerged:
        """Takes a merge back: the absorbed customer, by its number, is on the lists again as it was, with its records.

        What was done since is not lost: what was changed in its records goes with them, and so does what came since and hangs on
        one of them; a field of the other customer that somebody changed since stays. The answer tells all of it. Merges can be
        taken back in any order, but that of one whose absorber was absorbed itself waits for that one's.

        Raises :class:`NotFound` for a number that was not absorbed, :class:`MergeRefused` where something is to be done first.
        """
        return self.write(lambda work: unmerge(work, number, reason))


def _preferred(prefer: Any) -> dict[str, Any]:
    if prefer is not None and not (isinstance(prefer, Mapping) and all(isinstance(name, str) for name in prefer)):
        raise Invalid([Issue(code="bad_type", field="customer.prefer", facts={"expected": "a mapping"})])
    return dict(prefer or {})
