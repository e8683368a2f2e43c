"""Looking through all customers for those that are the same, and remembering which are not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any

import attrs

from crmcore.app.engine import UseCases
from crmcore.app.finding import marks_of, read_all
from crmcore.app.similar import RULES, SAME, keys_of, record_of, speaks_for
from crmcore.app.work import Work, check_reason
from crmcore.domain import Contact, Customer, JudgedPair
from crmcore.domain.policies import Duplicates as Policy
from crmcore.errors import DomainError, Language
from crmcore.rules.duplicates import Decision, Pair, Tier, explain, scan
from crmcore.rules.duplicates.forms import Values
from crmcore.rules.normalisation import Normaliser
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Transaction

#: A value that more customers have is an agent's, or nobody's; it brings no pair.
MOST_WITH_A_VALUE = 20


@attrs.frozen(kw_only=True)
class Likely:
    """Two customers that are, or may be, one: their numbers, the keys that both have, and what else speaks for it."""

    one: str
    other: str
    tier: Tier
    same: tuple[str, ...]
    decision: Decision | None

    def explain(self, language: Language = "en") -> str:
        """Why these two; no value of a record is in it."""
        lines = [SAME[key].text(language) for key in self.same]
        if self.decision is not None:
            lines.append(explain(self.decision).text(language))
        return "\n".join(lines)


@attrs.frozen(kw_only=True)
class Cluster:
    """Customers that are, or may be, one, by number; ``pairs`` say why, the surest first.

    Of the tier ``same`` all are one; a suspicion is always of two.
    """

    tier: Tier
    customers: tuple[Customer, ...]
    pairs: tuple[Likely, ...]


class Duplicates(UseCases):
    """The use cases about customers that have more than one file, for one user."""

    def scan(self) -> list[Cluster]:
        """All customers that are, or may be, the same, as far as the user may see them: those that are, first.

        Pairs that somebody judged to be different are left out. Needs the extra ``duplicates`` unless the playbook ignores what
        resembles.
        """
        policy, normaliser = self.engine.playbook.duplicates, self.engine.plugins.normaliser
        return self.engine.read(lambda transaction: _clusters(transaction, policy, normaliser))

    def tell_apart(self, one: Customer | str, other: Customer | str, *, reason: str | None = None) -> JudgedPair:
        """Remembers that two customers are not the same: a scan shows them no more. Raises :class:`DomainError` for one and itself."""

        def decide(work: Work) -> JudgedPair:
            if reason is not None:
                check_reason("judged_pair", reason)
            first, second = _to_be_judged(work, one, other)
            if first == second:
                raise DomainError("a customer is not told apart from itself")
            id = f"{first}:{second}"
            kept = work.get(JudgedPair, id)
            if kept is not None:
                return kept
            judged = JudgedPair(id=id, one_id=first, other_id=second, reason=reason, at=work.now, by=work.actor)
            work.add(judged, "judged_pair.kept")
            return judged

        return self.write(decide)

    def forget(self, one: Customer | str, other: Customer | str) -> None:
        """Takes it back that two customers were told apart; nothing where they were not."""

        def decide(work: Work) -> None:
            first, second = _to_be_judged(work, one, other)
            kept = work.get(JudgedPair, f"{first}:{second}")
            if kept is not None:
                work.remove(kept)

        self.write(decide)

    def told_apart(self) -> list[JudgedPair]:
        """The pairs that were judged to be different, the last first."""
        return self.listed(JudgedPair, order=("-at",))


def _to_be_judged(work: Work, one: Customer | str, other: Customer | str) -> list[str]:
    """The ids of two customers; who may merge them may say that they are not to be."""
    found = [work.current(Customer, given) for given in (one, other)]
    for customer in found:
        work.ask(customer, "merge")
    return sorted(customer.id for customer in found)


@attrs.define
class _Found:
    """A pair on its way: the keys that are equal, and how alike the rest is."""

    same: tuple[str, ...] = ()
    decision: Pair | None = None

    def tier(self, policy: Policy) -> Tier:
        sure = any(getattr(policy, key) == "refuse" for key in self.same)
        return "same" if sure or (self.decision is not None and self.decision.tier == "same") else "suspect"


def _clusters(transaction: Transaction, policy: Policy, normaliser: Normaliser) -> list[Cluster]:
    records, keys = _read(transaction, policy, normaliser)
    found = _keyed(keys)
    if policy.similar == "warn":
        for kind, rules in RULES.items():
            for pair in filter(speaks_for, scan(records[kind], rules).pairs):
                found.setdefault((pair.one, pair.other), _Found()).decision = pair
    for judged in read_all(marks_of(transaction), JudgedPair):
        found.pop((judged.one_id, judged.other_id), None)
    codes = {id: set(values.get("uscc") or ()) for kind in records.values() for id, values in kind.items()}
    sure = [pair for pair, one in found.items() if one.tier(policy) == "same"]
    sure.sort(key=lambda pair: _surest(pair, found[pair]))
    groups = list(_together(sure, codes))
    together = {id: group for group in groups for id in group}
    alone = [pair for pair in found if together.get(pair[0]) is None or together[pair[0]] is not together.get(pair[1])]
    alone.sort(key=lambda pair: _surest(pair, found[pair]))
    wanted = {id for group in (*groups, *alone) for id in group}
    rows = transaction.get_many("customers", sorted(wanted)) if wanted else {}
    load: Callable[..., Customer] = CODECS[Customer].load
    customers = {id: load(row) for id, row in rows.items()}

    def told(ids: Iterable[str], tier: Tier) -> Cluster:
        members = set(ids)
        pairs = [pair for pair in found if members.issuperset(pair)]
        pairs.sort(key=lambda pair: _surest(pair, found[pair]))
        return Cluster(
            tier=tier,
            customers=tuple(sorted((customers[id] for id in members), key=lambda one: one.number)),
            pairs=tuple(_likely(pair, found[pair], customers, policy) for pair in pairs),
        )

    return [*(told(group, "same") for group in groups), *(told(pair, "suspect") for pair in alone)]


def _read(
    transaction: Transaction, policy: Policy, normaliser: Normaliser
) -> tuple[dict[str, dict[str, Values]], dict[tuple[str, str], list[str]]]:
    """Every customer as it is compared, by kind, and who has each key."""
    asked = {*policy.of("refuse"), *policy.of("warn")}
    people: dict[str, list[Contact]] = {}
    for contact in read_all(transaction, Contact):
        people.setdefault(contact.customer_id, []).append(contact)
    records: dict[str, dict[str, Values]] = {kind: {} for kind in RULES}
    keys: dict[tuple[str, str], list[str]] = {}
    for customer in read_all(transaction, Customer):
        contacts = people.get(customer.id, ())
        records[customer.kind][customer.id] = record_of(customer, contacts, normaliser)
        for kind, values in keys_of(customer, contacts, normaliser).items():
            for value in values if kind in asked else ():
                keys.setdefault((kind, value), []).append(customer.id)
    return records, keys


def _keyed(keys: Mapping[tuple[str, str], list[str]]) -> dict[tuple[str, str], _Found]:
    """The pairs with an equal key."""
    found: dict[tuple[str, str], _Found] = {}
    for (kind, _), ids in keys.items():
        if 1 < len(ids) <= MOST_WITH_A_VALUE:
            for one, other in combinations(sorted(ids), 2):
                pair = found.setdefault((one, other), _Found())
                pair.same = tuple(key for key in SAME if key in (*pair.same, kind))
    return found


def _surest(pair: tuple[str, str], found: _Found) -> tuple[Any, ...]:
    places = [list(SAME).index(key) for key in found.same]
    return min(places, default=len(SAME)), -(found.decision.probability if found.decision else 0.0), pair


def _together(sure: Iterable[tuple[str, str]], codes: Mapping[str, set[str]]) -> Iterator[tuple[str, ...]]:
    """Groups of one customer each, the surest pairs first; two registration numbers don't come together."""
    group_of: dict[str, set[str]] = {}
    for one, other in sure:
        left, right = group_of.get(one, {one}), group_of.get(other, {other})
        known = [set().union(*(codes.get(member, set()) for member in group)) for group in (left, right)]
        if left is right or (known[0] and known[1] and known[0].isdisjoint(known[1])):
            continue
        joined = left | right
        for member in joined:
            group_of[member] = joined
    yield from sorted({tuple(sorted(group)) for group in group_of.values()})


def _likely(pair: tuple[str, str], found: _Found, customers: Mapping[str, Customer], policy: Policy) -> Likely:
    one, other = sorted(customers[id].number for id in pair)
    return Likely(one=one, other=other, tier=found.tier(policy), same=found.same, decision=found.decision)
