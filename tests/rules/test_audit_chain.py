"""The chain of events: what was not tampered with holds, whatever else is found and placed."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain import Chain, Event
from crmcore.rules.audit import (
    Keys,
    Pass,
    chained,
    content_digest,
    diagnose,
    erased_mark,
    erased_places,
    is_content_whole,
    is_sealed,
    resealed,
    told_places,
)

KEYS = Keys({"k1": b"1" * 32, "k2": b"2" * 32}, "k2")
OLD = Keys({"k1": b"1" * 32}, "k1")
NONE = Keys()


def events(count: int, customer: str = "c") -> list[Event]:
    at = datetime(2026, 1, 5, 2, 0, tzinfo=UTC)
    return [
        Event(
            id=f"{customer}-{number:03}",
            customer_id=customer,
            subject="follow_up",
            subject_id=f"f{number}",
            action="follow_up.logged" if number > 1 else "customer.registered",
            at=at + timedelta(minutes=number),
            by="li.ming",
            changes=f'{{"summary":[null,"{number}"]}}',
            reason="因为" if number % 3 else None,
        )
        for number in range(1, count + 1)
    ]


def chain(count: int, keys: Keys = KEYS, customer: str = "c") -> tuple[Chain, list[Event]]:
    salts = itertools.count(1)
    return chained(customer, None, events(count, customer), keys, lambda: f"{next(salts):032}")


def suspects(placed: list[Event], keys: Keys = KEYS) -> set[str]:
    passed = Pass(keys)
    passed.take(placed)
    passed.finish()
    return passed.suspects


@given(st.integers(1, 12), st.randoms(use_true_random=False), st.sampled_from([KEYS, NONE]))
def test_a_chain_holds_in_any_order_of_reading(count: int, chance: object, keys: Keys) -> None:
    head, placed = chain(count, keys)
    chance.shuffle(placed)  # type: ignore[attr-defined]
    assert suspects(placed, keys) == set()
    assert diagnose("c", head, placed, keys) == []


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5))
def test_a_chain_made_in_pieces_is_the_chain_made_at_once(pieces: list[int]) -> None:
    whole = events(sum(pieces))
    salts = [f"{number:032}" for number in range(1, len(whole) + 1)]
    supply, head, placed = iter(salts), None, []
    rest = iter(whole)
    for piece in pieces:
        head, more = chained("c", head, list(itertools.islice(rest, piece)), KEYS, lambda: next(supply))
        placed += more
    at_once, together = chained("c", None, whole, KEYS, iter(salts).__next__)
    assert placed == together
    assert head is not None
    assert (head.length, head.digest, head.seal) == (at_once.length, at_once.digest, at_once.seal)
    assert head.version == len(pieces)


FIELDS = (
    "id",
    "subject",
    "subject_id",
    "action",
    "at",
    "by",
    "changes",
    "reason",
    "salt",
    "content",
    "digest",
    "cause",
)


@given(st.integers(3, 10), st.data())
def test_a_change_of_any_field_is_found_at_its_place_and_nowhere_else(count: int, data: st.DataObject) -> None:
    keys = data.draw(st.sampled_from([KEYS, NONE]))
    head, placed = chain(count, keys)
    place = data.draw(st.integers(1, count))
    field = data.draw(st.sampled_from(FIELDS))
    old = getattr(placed[place - 1], field)
    other = old + timedelta(milliseconds=1) if isinstance(old, datetime) else f"{old or ''}x"
    tampered = [*placed]
    tampered[place - 1] = placed[place - 1].replace(**{field: other})
    if field == "digest" and place == count:
        assert {fault.sequence for fault in diagnose("c", head, tampered, keys)} == {place}
        return
    assert suspects(tampered, keys) == {"c"}
    found = diagnose("c", head, tampered, keys)
    assert [(fault.kind, fault.sequence) for fault in found] == [
        ("wrong_key" if field == "digest" and found[0].kind == "wrong_key" else "changed", place)
    ]


@given(st.integers(3, 12), st.data())
def test_what_is_taken_out_of_the_middle_is_missed_at_its_places(count: int, data: st.DataObject) -> None:
    head, placed = chain(count)
    gone = data.draw(st.sets(st.integers(1, count - 1), min_size=1, max_size=count - 1))
    kept = [event for event in placed if event.sequence not in gone]
    found = diagnose("c", head, kept, KEYS)
    missed = {
        place
        for fault in found
        if fault.kind == "removed"
        for place in range(fault.sequence or 0, (fault.until or 0) + 1)
    }
    assert missed == gone
    assert {fault.kind for fault in found} == {"removed"}


@given(st.integers(2, 12), st.data())
def test_two_that_are_exchanged_are_both_found(count: int, data: st.DataObject) -> None:
    head, placed = chain(count)
    one, other = data.draw(st.lists(st.integers(1, count), min_size=2, max_size=2, unique=True))
    tampered = [*placed]
    tampered[one - 1] = placed[one - 1].replace(sequence=other)
    tampered[other - 1] = placed[other - 1].replace(sequence=one)
    found = diagnose("c", head, tampered, KEYS)
    assert {(fault.kind, fault.sequence) for fault in found} == {("swapped", one), ("swapped", other)}


@given(st.integers(2, 12), st.data())
def test_a_tail_that_is_cut_off_is_told_by_the_head(count: int, data: st.DataObject) -> None:
    head, placed = chain(count)
    left = data.draw(st.integers(1, count - 1))
    (fault,) = diagnose("c", head, placed[:left], KEYS)
    assert (fault.kind, fault.sequence, fault.until) == ("cut_off", left + 1, count)
    # Somebody without the key can't put the head back.
    back = head.replace(length=left, digest=placed[left - 1].digest)
    (fault,) = diagnose("c", back, placed[:left], KEYS)
    assert fault.kind == "head_changed"


def test_going_on_from_a_head_that_was_changed_does_not_hide_it() -> None:
    head, placed = chain(4)
    back = head.replace(length=2, digest=placed[1].digest)
    after, more = chained("c", back, events(6)[4:], KEYS, lambda: "0" * 32)
    assert after.seal is None
    assert [fault.kind for fault in diagnose("c", after, [*placed[:2], *more], KEYS)] == ["head_changed"]


def test_what_was_forged_without_the_key_is_found_and_with_no_key_it_is_not() -> None:
    head, _ = chain(4, OLD)
    rewritten = [event.replace(by="wang") for event in events(4)]
    forged_head, forged = chained("c", None, rewritten, NONE, lambda: "0" * 32)
    assert diagnose("c", forged_head, forged, NONE) == []
    # The true head with forged events, and a forged head with the key's id: neither is what the key would have made.
    assert diagnose("c", head, forged, OLD)
    disguised = forged_head.replace(seal=f"k1:{forged_head.seal}")
    assert not is_sealed(disguised, OLD)
    assert diagnose("c", disguised, forged, OLD)


def test_an_older_key_still_reads_and_a_key_that_is_gone_is_told() -> None:
    head, placed = chain(3, OLD)
    assert diagnose("c", head, placed, KEYS) == []
    newer = resealed(head, KEYS)
    assert newer.seal is not None
    assert newer.seal.startswith("k2:")
    assert diagnose("c", newer, placed, KEYS) == []
    assert {fault.kind for fault in diagnose("c", newer, placed, Keys({"k2": b"2" * 32}, "k2"))} == {"wrong_key"}
    assert {fault.kind for fault in diagnose("c", newer, placed, NONE)} == {"wrong_key"}


def test_erased_content_needs_an_erasure_that_tells_of_it() -> None:
    head, placed = chain(3)
    left = placed[1].replace(changes='{"summary":[null,"已删除"]}', reason="已删除")
    marked = left.replace(salt=erased_mark(left, KEYS))
    assert is_content_whole(marked, KEYS)
    tampered = [placed[0], marked, placed[2]]
    assert suspects(tampered) == {"c"}
    assert [(fault.kind, fault.sequence) for fault in diagnose("c", head, tampered, KEYS)] == [("changed", 2)]
    erasure = events(4)[3].replace(action="customer.erased", changes='{"sequences":[null,"2"]}')
    head, more = chained("c", head, [erasure], KEYS, lambda: "0" * 32)
    assert suspects([*tampered, *more]) == set()
    assert diagnose("c", head, [*tampered, *more], KEYS) == []
    again = marked.replace(changes='{"summary":[null,"x"]}')
    assert not is_content_whole(again, KEYS)
    assert [(one.kind, one.sequence) for one in diagnose("c", head, [placed[0], again, placed[2], *more], KEYS)] == [
        ("changed", 2)
    ]


@given(st.sets(st.integers(1, 60)))
def test_places_are_told_and_read_again(places: set[int]) -> None:
    told = told_places(places)
    event = events(1)[0].replace(changes=f'{{"sequences":[null,"{told}"]}}', sequence=100)
    assert set(erased_places(event)) == places


@pytest.mark.parametrize("told", ["x", "1-", "-", "9999999999999-99999999999999", '"', "1,,2"])
def test_what_somebody_else_wrote_as_places_takes_no_memory_and_raises_nothing(told: str) -> None:
    event = events(1)[0].replace(changes=f'{{"sequences":[null,"{told}"]}}', sequence=5)
    assert len(list(erased_places(event))) <= 5


def test_the_salt_counts() -> None:
    assert content_digest("a", "x", None) != content_digest("b", "x", None)
    assert content_digest("a", "x", None) != content_digest("a", None, "x")
    assert content_digest("a", None, None) != content_digest("a", None, "-")
