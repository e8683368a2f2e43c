"""One batch of an import within one unit of work: what becomes of each row, beside what is on file already."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import attrs

from crmcore.app.customers import FIXED as CUSTOMER_FIXED
from crmcore.app.customers import register_customer, update_customer
from crmcore.app.engine import Engine
from crmcore.app.follow_ups import add_plan, log_follow_up
from crmcore.app.match_keys import LONGEST
from crmcore.app.opportunities import FIXED as OPPORTUNITY_FIXED
from crmcore.app.opportunities import open_opportunity, update_opportunity
from crmcore.app.work import Work
from crmcore.domain import (
    Alias,
    Contact,
    Customer,
    Entity,
    FollowUp,
    FollowUpPlan,
    ImportedRow,
    ImportRun,
    MatchKey,
    Opportunity,
    Record,
    Referral,
)
from crmcore.domain.entity import clean_fields
from crmcore.domain.values import fold
from crmcore.errors import DuplicateCustomer, Invalid, Issue
from crmcore.interchange.drafts import Draft
from crmcore.rules.timing import day_start
from crmcore.rules.updating import combine
from crmcore.rules.validation import meant
from crmcore.storage.query import And, Eq, In

Duplicates = Literal["skip", "update", "merge", "ask"]
"""What is done with a row about something that is on file: left out; put together with it as ``update`` says; taken for a
second file of the same customer, so that nothing of either is lost; or asked about."""
Update = Literal["fill", "overwrite", "append"]
"""A key of :data:`crmcore.rules.updating.UPDATES`."""
Answer = Literal["skip", "update", "merge", "create"]
"""What is done with one row that was asked about; ``create`` registers it beside what is on file."""
Outcome = Literal["created", "updated", "known", "asked"]

#: What a row about a customer that is on file can't set.
_LEFT = (*CUSTOMER_FIXED, "registrar", "tier", "tier_until")


@attrs.frozen
class Taken:
    """The record that a row became or belongs to, what became of the row, and what was found on the way."""

    id: str
    outcome: Outcome = "created"
    issues: tuple[Issue, ...] = ()


class Taking:
    """One batch being taken in, within one unit of work. ``answers`` are by the digest of the row."""

    def __init__(
        self, crm: Engine, work: Work, run: ImportRun, file: str, batch: Sequence[Draft], answers: Mapping[str, Answer]
    ) -> None:
        self.crm, self.work, self.run, self.file, self.batch, self.answers = crm, work, run, file, batch, answers
        if work.permit is not None:
            work.permit.also = ("import",)
        wanted = [digest for draft in batch for digest in (draft.digest, draft.follows) if digest is not None]
        self.taken = self._rows(wanted)
        self.customers = self._customers(batch)
        self.opportunities = self._opportunities(batch)
        self.matched: set[str] = set()

    def _rows(self, digests: Sequence[str]) -> dict[str, ImportedRow]:
        found = (self.work.get(ImportedRow, id) for id in self.work.transaction.get_many("imported_rows", digests))
        return {row.id: row for row in found if row is not None}

    def _customers(self, batch: Iterable[Draft]) -> dict[str, list[Customer]]:
        """The customers that the batch names, by number and by folded name; those that were absorbed, by the survivor."""
        numbers = {draft.references[key] for draft in batch for key in _NUMBERS if key in draft.references}
        numbers |= {number for draft in batch if (number := draft.values.get("customer", {}).get("number"))}
        names = {fold(draft.references[key]) for draft in batch for key in _NAMES if key in draft.references}
        found: dict[str, list[Customer]] = {}
        if numbers:
            for customer in filter(self.work.sees, self.work.find(Customer, In("number", tuple(numbers)))):
                found.setdefault(customer.number, []).append(customer)
            for alias in self.work.find(Alias, In("id", tuple(numbers))):
                if survivor := self.work.get(Customer, alias.customer_id):
                    found.setdefault(alias.id, []).append(survivor)
        if names:
            for customer in filter(self.work.sees, self.work.find(Customer, In("name_key", tuple(names)))):
                # What is kept back isn't guessed by naming it either.
                if self.work.readable(customer, "name"):
                    found.setdefault(fold(customer.name), []).append(customer)
            for name in names - found.keys():
                found[name] = self._absorbers(name)
        return found

    def _absorbers(self, name: str) -> list[Customer]:
        """The customers that absorbed one of that name."""
        key = self.work.normaliser.company_name(name).key
        keys = self.work.find(MatchKey, And(Eq("kind", "name"), Eq("value", key[:LONGEST]))) if key else ()
        ids = dict.fromkeys(key.customer_id for key in keys if key.subject_id != key.customer_id)
        survivors = (self.work.get(Customer, id) for id in ids)
        return [one for one in survivors if one and self.work.sees(one) and self.work.readable(one, "name")]

    def _opportunities(self, batch: Iterable[Draft]) -> dict[str, str]:
        """The ids of the opportunities on file that the batch refers to, by reference; our own exports refer by id."""
        references = [ref for draft in batch if (ref := draft.values.get("opportunity", {}).get("reference"))]
        if not references:
            return {}
        ids = list(self.work.transaction.get_many("opportunities", references))
        by_id = {id: id for id in ids if (one := self.work.get(Opportunity, id)) and self.work.sees(one)}
        found = filter(self.work.sees, self.work.find(Opportunity, In("reference", tuple(references))))
        readable = (one for one in found if self.work.readable(one, "reference"))
        return by_id | {str(opportunity.reference): opportunity.id for opportunity in readable}

    def take_all(self) -> list[tuple[Outcome, list[Issue]]]:
        """Per row what became of it, and what was found on the way."""
        told = [self._take(draft) for draft in self.batch]
        self.work.cause = None
        if (
            any(outcome in ("created", "updated") for outcome, _ in told)
            and self.work.get(ImportRun, self.run.id) is None
        ):
            self.work.add(self.run, "import.began")
        return told

    def _take(self, draft: Draft) -> tuple[Outcome, list[Issue]]:
        if draft.digest in self.taken:
            return "known", []
        self.work.cause = draft.digest
        taken = _TAKERS[draft.entity](self, draft)
        if taken.outcome != "asked":
            assert taken.outcome in ("created", "updated", "known")
            marked = ImportedRow(
                id=draft.digest,
                record_id=taken.id,
                source=f"{self.file} {draft.sheet}!{draft.row}",
                at=self.work.now,
                run_id=self.run.id,
                outcome=taken.outcome,
            )
            self.work.add(marked, "row.imported")
            self.taken[draft.digest] = marked
        return taken.outcome, [placed(issue, draft) for issue in taken.issues]

    def _told(self, code: str, field: str, **facts: Any) -> Issue:
        label = self.crm.playbook.label(field, "zh-CN")
        return Issue(code=code, field=field, level="warning", facts={"label": label, **facts})

    def _on_file(self, draft: Draft, field: str, number: str) -> tuple[Answer | Literal["ask"], Issue]:
        """What is to be done with a row about something on file, and how that is said."""
        answer = self.answers.get(draft.digest) or self.run.duplicates
        code = "duplicate_asked" if answer == "ask" else "duplicate"
        return answer, self._told(code, field, number=number)  # type: ignore[return-value]

    # Customers

    def _customer(self, draft: Draft) -> Taken:
        values = dict(draft.values.get("customer", {}))
        if (leader := self._leader(draft)) is not None:
            return self._joining(draft, *leader)
        if on_file := self.customers.get(values.get("number", "")):
            return self._beside(draft, on_file[0], "customer.number")
        try:
            return Taken(self._registered(draft, values).id)
        except DuplicateCustomer as duplicate:
            if duplicate.details["id"] is None:
                facts = {"why": duplicate.message}
                raise Invalid([Issue(code="refused", field="customer.name", facts=facts)]) from None
            found = self.work.get(Customer, duplicate.details["id"])
            assert found is not None, "a duplicate is on file"
            return self._beside(draft, found, "customer.name")

    def _registered(self, draft: Draft, values: Mapping[str, Any], *, allow_duplicate: bool = False) -> Customer:
        person = _person(draft, values["name"])
        people = [person] if person else []
        customer = register_customer(self.work, values, people, imported=True, allow_duplicate=allow_duplicate)
        self._converse(draft, customer)
        return customer

    def _leader(self, draft: Draft) -> tuple[Customer, ImportedRow] | None:
        """The customer that a row above in the same sheet is about, with that row, where it was taken in."""
        row = self.taken.get(draft.follows or "")
        customer = self.work.get(Customer, row.record_id) if row is not None else None
        if customer is None and row is not None and (person := self.work.get(Contact, row.record_id)) is not None:
            customer = self.work.get(Customer, person.customer_id)
        return None if row is None or customer is None else (customer, row)

    def _joining(self, draft: Draft, customer: Customer, row: ImportedRow) -> Taken:
        """A further row about a customer: another person there, and what the rows above left blank."""
        if row.outcome == "known" and self.run.duplicates in ("skip", "ask") and draft.digest not in self.answers:
            return Taken(customer.id, "known", (self._told("duplicate", "customer.name", number=customer.number),))
        return self._put_together(draft, customer, "fill")

    def _beside(self, draft: Draft, customer: Customer, field: str) -> Taken:
        """A row about a customer that is on file."""
        answer, told = self._on_file(draft, field, customer.number)
        if answer in ("skip", "ask"):
            return Taken(customer.id, "asked" if answer == "ask" else "known", (told,))
        if answer == "create":
            return Taken(self._registered(draft, _numberless(draft, customer), allow_duplicate=True).id)
        return self._put_together(draft, customer, "append" if answer == "merge" else self.run.update)

    def _put_together(self, draft: Draft, customer: Customer, update: str) -> Taken:
        """What a row says of a customer put together with what is on file, its person and its conversations added."""
        values = meant("customer", draft.values.get("customer", {}), self.crm.playbook)
        clean = clean_fields(Customer, {name: value for name, value in values.items() if name not in _LEFT})
        # Whether what is kept back is the same isn't told by putting it together either.
        self.work.must_read(customer, clean)
        combined = combine(customer, clean, update)
        left = [name for name in _LEFT if name in values and self._differs(customer, name, values[name])]
        changed = update_customer(self.work, customer, combined.changes) if combined.changes else customer
        person = self._person(draft, changed, update)
        conversed = self._converse(draft, changed)
        issues = tuple(self._told("kept_on_file", f"customer.{name}") for name in (*combined.kept, *left))
        if changed is customer and not person and not conversed:
            return Taken(customer.id, "known", issues)
        return Taken(customer.id, "updated", issues)

    def _differs(self, customer: Customer, name: str, value: Any) -> bool:
        if name == "stage" and isinstance(value, str):
            value = self.crm.playbook.lifecycle.stage_key(value) or value
        return value is not None and not _told_alike(getattr(customer, name), value)

    def _person(self, draft: Draft, customer: Customer, update: str) -> bool:
        """Adds the person of a row, or tells one who is there what is new of them; whether anything came of it."""
        told = _person(draft, customer.name)
        if not told:
            return False
        clean = clean_fields(Contact, told)
        people = list(filter(self.work.sees, self.work.find(Contact, Eq("customer_id", customer.id))))
        for one in people:
            self.work.must_read(one, clean)
        same = next((one for one in people if fold(one.name) == fold(clean["name"])), None)
        if same is None and told["name"] == customer.name:
            # A telephone without a name may be that of somebody who has one.
            same = next((one for one in people if set(one.phones) & set(clean.get("phones", ()))), None)
        if same is None:
            self.work.create(Contact, "contact.added", {**told, "customer_id": customer.id})
            return True
        del clean["name"]
        changes = combine(same, clean, "append" if update == "fill" else update).changes
        return self.work.change(same, "contact.updated", changes) is not same if changes else False

    def _converse(self, draft: Draft, customer: Customer) -> int:
        """Logs the conversations of a row, with their own dates and writers; how many were not there yet."""
        logged = 0
        for one in draft.history:
            there = self.work.find(FollowUp, And(Eq("customer_id", customer.id), Eq("at", one.at)))
            known = (known for known in there if self.work.sees(known) and self.work.readable(known, "summary"))
            if any(fold(talk.summary) == fold(one.summary) for talk in known):
                continue
            current = self.work.current(Customer, customer.id)
            writer = one.recorder or draft.values.get("customer", {}).get("owner") or current.owner
            values = {"at": one.at, "summary": one.summary, "recorder": writer}
            log_follow_up(self.work, current, values, imported=True)
            logged += 1
        return logged

    # What hangs on a customer

    def _named(self, draft: Draft, number: str = "customer_number", name: str = "customer_name") -> Customer | None:
        """The customer that a row names, None where it names none; raises :class:`Invalid` for nobody or for several."""
        for key, form in ((number, str), (name, fold)):
            wanted = draft.references.get(key)
            if wanted is None:
                continue
            found = self.customers.get(form(wanted), [])
            if len(found) == 1:
                return self.work.get(Customer, found[0].id)
            code = "unknown_customer" if not found else "ambiguous_customer"
            label = self.crm.playbook.label(f"{draft.entity}.{key}", "zh-CN")
            raise Invalid([Issue(code=code, field=f"{draft.entity}.{key}", facts={"label": label})])
        return None

    def _owner(self, draft: Draft, number: str = "customer_number", name: str = "customer_name") -> Customer:
        customer = self._named(draft, number, name)
        if customer is None:
            raise Invalid([Issue(code="required", field=f"{draft.entity}.{name}")])
        return customer

    def _same(self, cls: type[Entity], parent: str, id: str, values: Mapping[str, Any]) -> Taken | None:
        """A record of that parent which says all that the row says: the row of an export, come back."""
        for record in self.work.find(cls, Eq(parent, id)):
            # What this batch made or matched already answers for another row that says the same.
            if (
                record.id not in self.matched
                and all(_told_alike(getattr(record, name), value) for name, value in values.items())
                and self.work.sees(record)
                and all(self.work.readable(record, name) for name in values)
            ):
                self.matched.add(record.id)
                return Taken(record.id, "known")
        return None

    def _made(self, record: Record) -> Taken:
        self.matched.add(record.id)
        return Taken(record.id)

    def _contact(self, draft: Draft) -> Taken:
        customer, values = self._owner(draft), draft.values.get("contact", {})
        same = self._same(Contact, "customer_id", customer.id, values)
        whole = {**values, "customer_id": customer.id}
        return same or self._made(self.work.create(Contact, "contact.added", whole))

    def _opportunity(self, draft: Draft) -> Taken:
        customer = self._named(draft)
        values = dict(draft.values.get("opportunity", {}))
        reference = values.get("reference")
        if reference in self.opportunities:
            return self._known_opportunity(draft, self.opportunities[reference], reference)
        values["name"] = values.get("name") or values.get("product") or reference
        since = values.get("closed_on") or values.get("opened_on")
        if since is not None:
            values["stage_since"] = day_start(since, self.crm.zone)
        alone = Issue(code="no_customer", field="opportunity.customer_name", level="warning")
        opened = open_opportunity(self.work, values, customer, imported=True)
        if reference:
            self.opportunities[reference] = opened.id
        return Taken(opened.id, issues=() if customer else (alone,))

    def _known_opportunity(self, draft: Draft, id: str, reference: str) -> Taken:
        answer, told = self._on_file(draft, "opportunity.reference", reference)
        if answer in ("skip", "ask", "create"):  # a reference names one opportunity
            return Taken(id, "asked" if answer == "ask" else "known", (told,))
        current = self.work.current(Opportunity, id)
        values = meant("opportunity", draft.values.get("opportunity", {}), self.crm.playbook)
        clean = clean_fields(
            Opportunity,
            {name: value for name, value in values.items() if name not in (*OPPORTUNITY_FIXED, "reference")},
        )
        self.work.must_read(current, clean)
        combined = combine(current, clean, "append" if answer == "merge" else self.run.update)
        issues = tuple(self._told("kept_on_file", f"opportunity.{name}") for name in combined.kept)
        if not combined.changes:
            return Taken(id, "known", issues)
        update_opportunity(self.work, current, combined.changes)
        return Taken(id, "updated", issues)

    def _plan(self, draft: Draft) -> Taken:
        customer, values = self._owner(draft), dict(draft.values.get("follow_up_plan", {}))
        same = self._same(FollowUpPlan, "customer_id", customer.id, values)
        return same or self._made(add_plan(self.work, customer, values, imported=True))

    def _follow_up(self, draft: Draft) -> Taken:
        customer, values = self._owner(draft), dict(draft.values.get("follow_up", {}))
        same = self._same(FollowUp, "customer_id", customer.id, values)
        return same or self._made(log_follow_up(self.work, customer, values, imported=True))

    def _referral(self, draft: Draft) -> Taken:
        referrer = self._owner(draft, "referrer_number", "referrer_name")
        values = draft.values.get("referral", {})
        same = self._same(Referral, "referrer_id", referrer.id, values)
        whole = {**values, "referrer_id": referrer.id}
        return same or self._made(self.work.create(Referral, "referral.made", whole))


def placed(issue: Issue, draft: Draft) -> Issue:
    """The issue at the place of its row."""
    return attrs.evolve(issue, sheet=draft.sheet, row=draft.row, facts={"label": issue.field, **issue.facts})


def _person(draft: Draft, customer_name: str) -> dict[str, Any]:
    """The person of a row; a telephone without a name still belongs to somebody at the customer."""
    told = dict(draft.values.get("contact", {}))
    if told and not told.get("name"):
        told["name"] = customer_name
    return told


def _numberless(draft: Draft, customer: Customer) -> dict[str, Any]:
    """What a row says of another customer than the one whose number it bears."""
    values = dict(draft.values.get("customer", {}))
    if values.get("number") == customer.number:
        del values["number"]
    return values


def _told_alike(kept: Any, told: Any) -> bool:
    """Whether a cell says what is on file; a cell tells moments to the second."""
    if isinstance(kept, datetime) and isinstance(told, datetime):
        return kept.replace(microsecond=0) == told.replace(microsecond=0)
    return bool(kept == told)


_NUMBERS, _NAMES = ("customer_number", "referrer_number"), ("customer_name", "referrer_name")

_TAKERS: Mapping[str, Callable[[Taking, Draft], Taken]] = {
    "customer": Taking._customer,
    "contact": Taking._contact,
    "opportunity": Taking._opportunity,
    "follow_up_plan": Taking._plan,
    "follow_up": Taking._follow_up,
    "referral": Taking._referral,
}
