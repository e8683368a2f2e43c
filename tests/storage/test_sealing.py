"""Sealed values: any value comes back, nothing that was changed or moved opens, and equal values are found blind."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cryptography", reason="encryption needs crmcore[crypto]")

from crmcore.domain import Customer, Event, Money
from crmcore.domain.fields import clean_text
from crmcore.errors import Invalid, KeyMissing, KeyUnknown, SealedValueBroken
from crmcore.storage import And, Contains, Eq, In, Insert, KeyRing, Not, Or, Prefix, Query, Update
from crmcore.storage.codec import CODECS, SCHEMA, SEALED
from crmcore.storage.memory import MemoryData, MemoryStore
from crmcore.storage.schema import Row
from crmcore.storage.sealed_shapes import shapes_of
from crmcore.storage.sealed_state import Encryption
from crmcore.storage.sealed_store import SealedStore
from crmcore.storage.sealed_transaction import divided
from crmcore.storage.sealing import Sealer, sealed_length

RING = KeyRing.of({"old": bytes(32), "new": bytes(range(32))})
NOW = datetime(2026, 11, 30, 8, tzinfo=UTC)
FIELDS = (
    *("customer.name", "customer.uscc", "customer.contract_amount", "customer.decision_makers", "customer.priority"),
    *("customer.contract_signed_on", "customer.headcount_low", "customer.last_follow_up_at", "customer.custom"),
    "customer.remarks",
)
PLACE = SCHEMA.collection("customers").position(SEALED)

texts = (
    st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn")), min_size=1, max_size=60).map(clean_text).filter(bool)
)
customers = st.builds(
    lambda **values: Customer(
        **values, created_at=NOW, created_by="a", updated_at=NOW, updated_by="a", number="1", stage="s", stage_since=NOW
    ),
    id=st.uuids().map(str),
    name=texts,
    uscc=st.none() | texts,
    remarks=st.none() | st.text("甲Ab\n sealed:", max_size=2_000),
    contract_amount=st.none() | st.integers(0, 2**63 - 1).map(lambda minor: Money(minor, "CNY")),
    decision_makers=st.lists(texts, max_size=3),
    priority=st.sampled_from([None, "high", "low"]),
    contract_signed_on=st.none()
    | st.dates(min_value=datetime(1900, 1, 1).date(), max_value=datetime(9000, 1, 1).date()),
    headcount_low=st.none() | st.integers(0, 2**63 - 1),
    last_follow_up_at=st.none() | st.datetimes(datetime(1900, 1, 2), datetime(8999, 1, 1), timezones=st.just(UTC)),
    custom=st.dictionaries(texts, st.integers(-5, 5) | st.booleans() | texts, max_size=2),
)


def shapes(fields=FIELDS, ring: KeyRing = RING, strict: bool = True):
    return shapes_of(SCHEMA, fields, Sealer(ring), ring.ids, strict=strict)


def dumped(customer: Customer) -> Row:
    return CODECS[Customer].dump(customer)


def plain(**values: object) -> Customer:
    fixed = {"number": "1", "stage": "s", "stage_since": NOW, "created_at": NOW, "updated_at": NOW}
    return Customer(**{"id": "c1", "name": "甲", "created_by": "a", "updated_by": "a", **fixed, **values})


@given(customers)
def test_any_record_comes_back_as_it_was_and_nothing_of_it_stands_there(customer: Customer) -> None:
    shape, row = shapes()["customers"], dumped(customer)
    sealed = shape.seal(row)
    assert shape.open(sealed) == row
    assert CODECS[Customer].load(shape.open(sealed)) == customer
    assert shape.is_current(sealed)
    told = [value for value in sealed if isinstance(value, str)]
    for value in (customer.name, customer.uscc, *customer.decision_makers):
        if value is not None and len(value) > 5:
            assert not any(value in text for text in told)
    if customer.contract_amount is not None:
        assert sealed[SCHEMA.collection("customers").position("contract_amount")] is None


@given(st.binary(max_size=400))
def test_lengths_are_told_in_steps_and_reckoned_rightly(data: bytes) -> None:
    sealed = Sealer(RING).seal("p", "place", data)
    assert len(sealed) == len("new") + sealed_length(len(data))
    assert Sealer(RING).open("p", "place", sealed) == data


def test_amounts_of_few_and_many_digits_are_of_one_length() -> None:
    shape = shapes()["customers"]
    lengths = {
        len(json.loads(shape.seal(dumped(plain(contract_amount=Money(minor, "CNY"))))[PLACE])["contract_amount"])
        for minor in (0, 99, 10**6, 10**12)
    }
    assert len(lengths) == 1


def tampered(pick: random.Random, sealed: Row, other: Row) -> Row:
    """One thing in the sealed values changed: a character, two values swapped, a value from elsewhere, some cut off."""
    told = str(sealed[PLACE])
    parts, others = json.loads(told), json.loads(str(other[PLACE]))
    one, two = pick.sample(sorted(parts), 2)
    match pick.randrange(5):
        case 0:
            parts[one], parts[two] = parts[two], parts[one]
        case 1:
            parts[one] = others[one]
        case 2:
            parts[one] = parts[one][: pick.randrange(len(parts[one]))]
        case 3:
            parts[one] += pick.choice("A=+ ")
        case _:
            place = pick.randrange(len(told))
            sign = chr(ord(told[place]) ^ 1 << pick.randrange(7))
            told = told[:place] + sign + told[place + 1 :]
            return (*sealed[:PLACE], told)
    return (*sealed[:PLACE], json.dumps(parts, separators=(",", ":")))


def test_whatever_is_changed_or_moved_does_not_open() -> None:
    pick = random.Random(5)  # so that a failure can be met again
    shape = shapes()["customers"]
    values = {"contract_amount": Money(98765432, "CNY"), "decision_makers": ["王大锤"], "remarks": "机密"}
    row, twin = dumped(plain(**values)), dumped(plain(id="c2", **values))
    for _ in range(600):
        found = tampered(pick, shape.seal(row), shape.seal(twin))
        with pytest.raises((SealedValueBroken, KeyUnknown)):
            shape.open(found)


def test_what_was_taken_out_or_put_in_plain_is_noticed_too() -> None:
    shape = shapes()["customers"]
    row = shape.seal(dumped(plain(remarks="机密")))
    parts = json.loads(str(row[PLACE]))
    del parts["name"]  # a name must be there
    with pytest.raises(SealedValueBroken) as caught:
        shape.open((*row[:PLACE], json.dumps(parts)))
    assert caught.value.details == {"collection": "customers", "field": "name", "id": "c1"}
    remarks = SCHEMA.collection("customers").position("remarks")
    del parts["remarks"]
    with pytest.raises(SealedValueBroken):
        shape.open((*row[:remarks], "put in", *row[remarks + 1 : PLACE], None))


def event(changes: dict[str, object], **values: object) -> Row:
    told = json.dumps(changes, ensure_ascii=False, separators=(",", ":"))
    fixed = {"id": "e1", "subject": "customer", "subject_id": "c1", "action": "customer.updated", "at": NOW, "by": "a"}
    return CODECS[Event].dump(Event(**{**fixed, "changes": told, "salt": "salt", **values}))


@given(
    st.dictionaries(
        st.sampled_from(["remarks", "tags", "name", "contract_amount"]), st.tuples(st.none() | texts, st.none() | texts)
    )
)
def test_what_an_event_tells_of_encrypted_fields_is_sealed_and_comes_back_to_the_letter(
    changes: dict[str, object],
) -> None:
    shape, row = shapes(["customer.remarks", "customer.contract_amount"])["events"], event(changes)
    sealed = shape.seal(row)
    assert shape.open(sealed) == row
    assert shape.is_current(sealed)
    told = json.loads(str(sealed[SCHEMA.collection("events").position("changes")]))
    for name, pair in told.items():
        for value, before in zip(pair, changes[name], strict=True):
            hidden = before is not None and (name in ("remarks", "contract_amount") or before.startswith("sealed:"))
            assert (value != before) is hidden
    of_others = event({"remarks": [None, "x"]}, subject="contact")
    assert shape.seal(of_others) == of_others


def test_a_value_of_another_event_or_another_side_does_not_open() -> None:
    shape = shapes(["customer.remarks"])["events"]
    place = SCHEMA.collection("events").position("changes")
    row, other = (shape.seal(event({"remarks": ["a", "b"]}, id=id)) for id in ("e1", "e2"))
    before, after = json.loads(str(row[place]))["remarks"]
    foreign = json.loads(str(other[place]))["remarks"][0]
    for pair in ([after, before], [foreign, after], [before, "plain"], [before, after[:-4]]):
        with pytest.raises(SealedValueBroken):
            shape.open((*row[:place], json.dumps({"remarks": pair}), *row[place + 1 :]))


def test_a_text_that_would_not_fit_sealed_is_too_long_and_the_limit_that_is_told_fits() -> None:
    shape = shapes(["customer.remarks", "customer.contract_amount"])["customers"]
    for letter in ("a", "甲"):
        with pytest.raises(Invalid) as caught:
            shape.seal(dumped(plain(remarks=letter * 32_767, contract_amount=Money(1, "CNY"))))
        (issue,) = caught.value.issues
        assert (issue.code, issue.field) == ("too_long", "customer.remarks")
        limit = issue.facts["limit"]
        assert limit > (20_000 if letter == "a" else 7_500)
        row = dumped(plain(remarks=letter * limit, contract_amount=Money(1, "CNY")))
        assert shape.open(shape.seal(row)) == row
    events = shapes(["customer.remarks"])["events"]
    with pytest.raises(Invalid) as caught:
        events.seal(event({"remarks": ["甲" * 6_000, "乙" * 6_000]}))
    (issue,) = caught.value.issues
    assert (issue.code, issue.field) == ("too_long", "customer.remarks")
    row = event({"remarks": ["甲" * 6_000, "乙" * issue.facts["limit"]]})
    assert events.open(events.seal(row)) == row


# A store of sealed rows


def encrypted_store(fields=FIELDS, ring: KeyRing = RING, rows: tuple[Row, ...] = ()) -> SealedStore:
    store = MemoryStore(MemoryData(SCHEMA))
    with store.transaction(write=True) as work:
        work.apply([Encryption(fields=tuple(fields), keys={"old": ring.check_value("old")}).change(None)])
    sealed = SealedStore(store, ring)
    with sealed.transaction(write=True) as work:
        work.apply(Insert("customers", row) for row in rows)
    return sealed


def test_equal_values_are_found_blind_under_every_key_in_use() -> None:
    old = KeyRing.of({"old": bytes(32)})
    rows = tuple(dumped(plain(id=f"c{n}", number=str(n), name=f"客户 {n % 7}", uscc=f"U{n % 5}")) for n in range(40))
    store = encrypted_store(ring=old, rows=rows[:20])
    later = SealedStore(store.store, RING)
    with later.transaction(write=True) as work:
        work.apply(Insert("customers", row) for row in rows[20:])
        assert work.get("settings", "encryption")[1] == 2  # type: ignore[index]
    assert set(later.encryption.keys) == {"old"}  # as it was when the handle was made
    with later.transaction(write=True), later.transaction() as look:
        for where, expected in (
            (Eq("uscc", "U3"), {row[0] for row in rows if row[0][1:].isdigit() and int(row[0][1:]) % 5 == 3}),  # type: ignore[index]
            (In("name_key", ("客户0", "客户1")), {f"c{n}" for n in range(40) if n % 7 < 2}),
            (And(Eq("uscc", "U1"), Eq("number", "6")), {"c6"}),
            (Contains("name", "客户 5"), {f"c{n}" for n in range(40) if n % 7 == 5}),
        ):
            assert {row[0] for row in look.find(Query("customers", where))} == expected
            assert look.count("customers", where) == len(expected)
    tokens = SCHEMA.collection("customers").position("name_key")
    with store.raw() as raw:
        kept = {row[tokens] for row in raw.scan("customers")}
        assert len(kept) == 14  # each name once under each key
        assert all(str(token).startswith("#") for token in kept)
        assert list(raw.find(Query("customers", Prefix("name", "客户")))) == []


def test_pages_in_the_order_of_an_encrypted_field_are_exact() -> None:
    rows = tuple(dumped(plain(id=f"c{n:02}", number=str(n), name=f"客户 {n % 9}")) for n in range(50))
    with encrypted_store(rows=rows).transaction() as look:
        seen, after = [], None
        while True:
            query = Query("customers", None, ("-name",), after, 7)
            page = list(look.find(query))
            seen += [row[0] for row in page]
            if len(page) < 7:
                break
            after = (page[-1][8], page[-1][0])
        expected = sorted(range(50), key=lambda n: (-(n % 9), n))
        assert seen == [f"c{n:02}" for n in expected]


def test_a_row_of_an_import_is_known_by_its_digest_under_every_key() -> None:
    store = encrypted_store(ring=KeyRing.of({"old": bytes(32)}))
    row = ("digest", 1, "c1", None, NOW)
    with store.transaction(write=True) as work:
        work.apply([Insert("imported_rows", row)])
    with SealedStore(store.store, RING).transaction(write=True) as work:
        assert work.get("imported_rows", "digest") == row
        assert work.get_many("imported_rows", ["digest", "other"]) == {"digest": row}
        work.apply([Update("imported_rows", (*row[:1], 2, *row[2:]), 1)])
        assert list(work.scan("imported_rows")) == [("digest", 2, "c1", None, NOW)]
    with store.raw() as raw:
        (kept,) = raw.scan("imported_rows")
        assert str(kept[0]).startswith("sealed:new:")


def test_a_record_that_is_read_past_the_encryption_is_refused() -> None:
    store = encrypted_store(rows=(dumped(plain()),))
    with store.raw() as raw, pytest.raises(KeyMissing):
        CODECS[Customer].load(next(raw.scan("customers")))


def test_a_ring_without_the_keys_of_the_store_opens_nothing() -> None:
    store = encrypted_store()
    for ring in (KeyRing.of({"new": bytes(32)}), KeyRing.of({"old": bytes(range(32))})):
        with pytest.raises(KeyUnknown):
            SealedStore(store.store, ring)


def test_keys_that_are_alternatives_are_asked_of_the_store_blind() -> None:
    shape = shapes(["contact.phones", "customer.uscc"])["match_keys"]
    asked, kept = divided(
        Or(And(Eq("kind", "phone"), Eq("value", "1")), And(Eq("kind", "uscc"), In("value", ("2", "3")))), shape
    )
    assert kept is not None
    assert isinstance(asked, Or)
    told = [part.values for one in asked.parts for part in one.parts if isinstance(part, In)]  # type: ignore[union-attr]
    assert [len(values) for values in told] == [3, 6]  # plain, old, new
    for where in (Or(Eq("value", "1"), Prefix("value", "2")), Not(Eq("value", "1")), Contains("value", "1")):
        assert divided(where, shape) == (None, where)
    assert divided(And(Eq("kind", "phone"), Contains("value", "1")), shape) == (
        Eq("kind", "phone"),
        Contains("value", "1"),
    )
