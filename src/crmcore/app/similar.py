"""Which customers may be the same: by equal keys, and by what resembles; asked for one, and of all.

An index in memory, made when it is first asked for, knows who resembles whom. Whatever is shown was read again as the user
may see it, and is judged by that alone: what is hidden from somebody is no reason that they are given.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from crmcore.app.finding import Marked, marks_of, read_all
from crmcore.app.work import Work
from crmcore.domain import Contact, Customer, Event, MatchKey
from crmcore.domain.matching import ORGANISATIONS, FieldRule, MatchRules
from crmcore.domain.policies import Label
from crmcore.errors import DomainError, DuplicateCustomer, Language, MissingExtra
from crmcore.plugins import Plugins
from crmcore.rules.duplicates import DuplicateIndex, explain
from crmcore.rules.duplicates.forms import Values
from crmcore.rules.duplicates.pairs import Decision, Tier
from crmcore.rules.normalisation import NameIndex, Normaliser, match_keys
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Transaction
from crmcore.storage.query import Eq, Gt, In, Where

if TYPE_CHECKING:
    from crmcore.app.engine import Engine

#: What is equal, for a reader.
SAME: Mapping[str, Label] = {
    "uscc": Label(zh="统一社会信用代码相同", en="the same registration number"),
    "name": Label(zh="企业名称相同", en="the same name"),
    "phone": Label(zh="电话相同", en="the same telephone number"),
    "email": Label(zh="邮箱相同", en="the same e-mail address"),
    "wechat": Label(zh="微信相同", en="the same WeChat name"),
}

#: A customer that is a person: two of them may share a name. Ours.
INDIVIDUALS = MatchRules(
    fields=(
        FieldRule(field="name", comparer="name", required=True),
        FieldRule(field="phone", comparer="code"),
        FieldRule(field="email", comparer="name"),
        FieldRule(field="wechat", comparer="name"),
        FieldRule(field="address", comparer="address"),
        FieldRule(field="uscc", identifies=True),
    ),
)
RULES: Mapping[str, MatchRules] = {"enterprise": ORGANISATIONS, "individual": INDIVIDUALS}

#: From which score on names resemble each other, and at how many of them is looked.
RESEMBLES, NAMES_LOOKED_AT = 0.5, 5
#: So many customers with an equal key are looked at: more have it by chance, or by an agent.
_MOST_KEYS = 200
#: So many customers are read at once.
_AT_ONCE = 500
#: Events of other processes may come with ids below one that was seen: so many are looked at again.
_OVERLAP = 64


@attrs.frozen(kw_only=True)
class Likeness:
    """A customer on file that is, or may be, the one that was asked for.

    ``same`` are the keys that both have (of :data:`SAME`); ``decision`` what the comparison of everything else came to, and
    ``names`` why the names resemble each other, as far as anything came of that. ``tier`` is ``same`` where they are one
    customer, ``suspect`` where somebody should look.
    """

    customer: Customer
    same: tuple[str, ...]
    decision: Decision | None
    names: tuple[Label, ...]
    tier: Tier

    def explain(self, language: Language = "en") -> str:
        """Why these two; no value of a record is in it."""
        lines = [SAME[key].text(language) for key in self.same]
        lines += [label.text(language) for label in self.names]
        if self.decision is not None:
            lines.append(explain(self.decision).text(language))
        return "\n".join(lines)


# Equal keys


def keys_of(customer: Customer, contacts: Iterable[Contact], normaliser: Normaliser) -> dict[str, set[str]]:
    """The keys of a customer and its people, by kind."""
    found: dict[str, set[str]] = {}
    entities: tuple[Customer | Contact, ...] = (customer, *contacts)
    for entity in entities:
        for kind, value in match_keys(entity, normaliser):
            found.setdefault(kind, set()).add(value)
    return found


def having_keys(keys: Mapping[str, Iterable[str]]) -> Where | None:
    """The condition on keys that any of these is equal to, whatever its kind; None where there are none."""
    values = tuple(sorted({value for some in keys.values() for value in some}))
    return None if not values else Eq("value", values[0]) if len(values) == 1 else In("value", values)


def refuse_duplicate(
    work: Work, customer: Customer, contacts: Iterable[Contact] = (), *, before: Customer | None = None
) -> None:
    """Raises :class:`DuplicateCustomer` where the playbook says that a key may stand at one customer only.

    What the customer had ``before`` isn't asked about again.
    """
    strict = work.playbook.duplicates.of("refuse")
    had = keys_of(before, (), work.normaliser) if before is not None else {}
    new = {kind: values - had.get(kind, set()) for kind, values in keys_of(customer, contacts, work.normaliser).items()}
    keys = {kind: values for kind, values in new.items() if values and kind in strict}
    where = having_keys(keys)
    if where is None:
        return
    found: dict[str, list[str]] = {}
    for key in work.find(MatchKey, where):
        if key.customer_id != customer.id and key.kind in keys:
            found.setdefault(key.customer_id, []).append(key.kind)
    if not found:
        return
    # The registration number says more than a name.
    order = list(SAME)
    id, kinds = min(found.items(), key=lambda one: (min(map(order.index, one[1])), one[0]))
    same = work.get(Customer, id)
    number = same.number if same else None
    reasons = tuple(kind for kind in order if kind in kinds and (same is None or _may_know(work, same, kind)))
    if same is not None and not (work.sees(same) and reasons):
        raise DuplicateCustomer("this customer is registered already, by somebody else", number=None, id=None)
    error = DuplicateCustomer.phrased(
        "this customer is registered already as {number}: {why}", number=number, why=DomainError(SAME[reasons[0]].en)
    )
    error.details |= {"id": id, "same": reasons}
    raise error


#: The fields that a key is made of: of the customer, or of its people.
_FIELDS: Mapping[str, str] = {"uscc": "uscc", "name": "name", "phone": "phones", "email": "emails", "wechat": "wechat"}


def _may_know(work: Work, customer: Customer, kind: str) -> bool:
    """Whether the one who acts has what is equal there in full: else it could be guessed, one try after another."""
    if kind in ("uscc", "name"):
        return work.readable(customer, _FIELDS[kind])
    people = work.find(Contact, Eq("customer_id", customer.id)) if work.permit is not None else ()
    return all(work.sees(one) and work.readable(one, _FIELDS[kind]) for one in people)


# What resembles


def record_of(customer: Customer, contacts: Iterable[Contact], normaliser: Normaliser) -> dict[str, Any]:
    """A customer as the rules of resemblance compare it."""
    people = list(contacts)
    keys = keys_of(customer, people, normaliser)
    company = normaliser.company_name(customer.name)
    address = normaliser.address(customer.address) if customer.address else None
    told: dict[str, Any] = {
        "uscc": sorted(keys.get("uscc", ())),
        "name": company.shown if customer.kind == "enterprise" else normaliser.person_name(customer.name).shown,
        "contact": [person.name for person in people],
        "phone": sorted(keys.get("phone", ())),
        "email": sorted(keys.get("email", ())),
        "wechat": sorted(keys.get("wechat", ())),
        "address": address.shown if address else "",
        "city": (address.parts.get("city") or address.parts.get("province") or "") if address else "",
        "industry": customer.industry or "",
    }
    return {name: value for name, value in told.items() if value}


def speaks_for(decision: Decision) -> bool:
    """Whether a comparison says anything: where the names don't resemble, all the rest must."""
    return not decision.unlike or decision.probability >= decision.rules.same


class Resemblance:
    """Who resembles whom: an index in memory for each kind of customer, made when first asked for and kept fresh by the
    events since. One per CRM; threads take turns. ``read`` shows it everything that there is."""

    def __init__(self, read: Callable[[Callable[[Transaction], None]], None], plugins: Plugins) -> None:
        self._read, self._plugins = read, plugins
        self._lock = threading.Lock()
        self._indices: dict[str, DuplicateIndex] = {}
        self._names: NameIndex | None = None
        self._named: dict[str, str] = {}
        self._seen = ""

    def candidates(
        self, kind: str, values: Values
    ) -> tuple[list[str], DuplicateIndex, dict[tuple[str, str], tuple[Label, ...]]]:
        """The ids of the customers that may be meant; an empty index with what was learned of all; and by id and name, why names
        resemble."""
        with self._lock:
            self._read(self._freshen)
            index = self._indices[kind]
            found = [match.id for match in index.probe(values)]
            named: dict[tuple[str, str], tuple[Label, ...]] = {}
            if self._names is not None and kind == "enterprise" and (name := values.get("name")):
                for id, score, reasons in self._names.find(str(name), NAMES_LOOKED_AT):
                    if score >= RESEMBLES:
                        named[id, self._named[id]] = tuple(reason.label for reason in reasons)
            found += [id for id, _ in named]
            return found, DuplicateIndex(index.rules, index.weights), named

    def _freshen(self, transaction: Transaction) -> None:
        normaliser = self._plugins.normaliser
        if not self._indices:
            records: dict[str, dict[str, Values]] = {kind: {} for kind in RULES}
            for customer, record in _all_records(transaction, normaliser):
                records[customer.kind][customer.id] = record
            self._indices = {kind: DuplicateIndex.of(records[kind], rules) for kind, rules in RULES.items()}
            with contextlib.suppress(MissingExtra):
                self._names = normaliser.name_index()
            for id, values in records["enterprise"].items():
                self._name(id, values)
            self._seen = _place_behind(transaction)
            return
        touched: set[str] = set()
        for event in read_all(transaction, Event, Gt("id", self._seen) if self._seen else None, ("id",)):
            if event.customer_id is not None and event.subject in ("customer", "contact"):
                touched.add(event.customer_id)
        if not touched:
            return
        self._seen = _place_behind(transaction)
        for index in self._indices.values():
            for id in touched:
                index.remove(id)
        if self._names is not None:
            for id in touched:
                self._names.remove(id)
                self._named.pop(id, None)
        for customer, record in _records(transaction, list(touched), normaliser):
            self._indices[customer.kind].add(customer.id, record)
            if customer.kind == "enterprise":
                self._name(customer.id, record)

    def _name(self, id: str, record: Values) -> None:
        if self._names is not None:
            self._named[id] = str(record["name"])
            self._names.add(id, self._named[id])


def _place_behind(transaction: Transaction) -> str:
    """An id with only some events behind it."""
    last = list(read_all(transaction, Event, None, ("-id",), _OVERLAP))
    return last[-1].id if len(last) == _OVERLAP else ""


def _all_records(transaction: Transaction, normaliser: Normaliser) -> Iterator[tuple[Customer, dict[str, Any]]]:
    people: dict[str, list[Contact]] = {}
    for contact in read_all(transaction, Contact):
        people.setdefault(contact.customer_id, []).append(contact)
    for customer in read_all(transaction, Customer):
        yield customer, record_of(customer, people.get(customer.id, ()), normaliser)


def _records(
    transaction: Transaction, ids: Sequence[str], normaliser: Normaliser
) -> Iterator[tuple[Customer, dict[str, Any]]]:
    for customer, people in with_people(transaction, ids):
        yield customer, record_of(customer, people, normaliser)


def with_people(transaction: Transaction, ids: Sequence[str]) -> Iterator[tuple[Customer, list[Contact]]]:
    """The customers of these ids that the transaction shows, with their contacts."""
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        people: dict[str, list[Contact]] = {}
        for contact in read_all(transaction, Contact, In("customer_id", tuple(some))):
            people.setdefault(contact.customer_id, []).append(contact)
        for id, row in transaction.get_many("customers", some).items():
            yield CODECS[Customer].load(row), people.get(id, [])


def likenesses(engine: Engine, customer: Customer, contacts: Sequence[Contact]) -> list[Likeness]:
    """The customers on file that are, or may be, this one, the surest first, as far as the engine's user may see them.

    Without the extra ``duplicates`` only equal keys are looked for.
    """
    policy, normaliser = engine.playbook.duplicates, engine.plugins.normaliser
    asked = [*policy.of("refuse"), *policy.of("warn")]
    own = {kind: values for kind, values in keys_of(customer, contacts, normaliser).items() if kind in asked}
    where = having_keys(own)
    record = record_of(customer, contacts, normaliser)
    resembling: list[str] = []
    named: dict[tuple[str, str], tuple[Label, ...]] = {}
    compared: DuplicateIndex | None = None
    if policy.similar == "warn":
        with contextlib.suppress(MissingExtra):
            resembling, compared, named = engine.resemblance.candidates(customer.kind, record)

    def look(transaction: Transaction) -> list[Likeness]:
        # Keys lead to customers, which are judged by what is shown of them.
        keys = read_all(marks_of(transaction), MatchKey, where, (), _MOST_KEYS) if where else ()
        names_open = not isinstance(transaction, Marked) or transaction.can_be_asked("customer", "name")
        keyed: list[str] = []
        former: set[str] = set()
        for key in keys:
            if key.kind not in own:
                continue
            keyed.append(key.customer_id)
            if key.kind == "name" and key.subject_id != key.customer_id and names_open:
                former.add(key.customer_id)  # the name of one that it absorbed
        ids = [id for id in dict.fromkeys((*keyed, *resembling)) if id != customer.id]
        shown = list(with_people(transaction, ids))
        if compared is not None:
            for one, people in shown:
                compared.add(one.id, record_of(one, people, normaliser))
        matches = {one.id: one for one in compared.probe(record) if speaks_for(one)} if compared is not None else {}
        found: list[Likeness] = []
        for one, people in shown:
            theirs = keys_of(one, people, normaliser)
            equal = {kind for kind in SAME if own.get(kind, set()) & theirs.get(kind, set())}
            if one.id in former:
                equal.add("name")
            same = tuple(kind for kind in SAME if kind in equal)
            match = matches.get(one.id)
            # A name that is kept back from the user is another one here.
            names = named.get((one.id, str(record_of(one, (), normaliser).get("name"))), ())
            if same or match is not None or names:
                sure = any(getattr(policy, kind) == "refuse" for kind in same)
                tier: Tier = "same" if sure or (match is not None and match.tier == "same") else "suspect"
                found.append(Likeness(customer=one, same=same, decision=match, names=names, tier=tier))
        return sorted(found, key=_surest)

    return engine.read(look)


def _surest(one: Likeness) -> tuple[Any, ...]:
    return one.tier, -len(one.same), -(one.decision.probability if one.decision else 0.0), one.customer.number
