"""The chain of events 审计链: what gives an event its place, and what shows that it is still as it was written.

Each event has a ``content``, a salted digest of what was changed and why, and a ``digest`` over its fixed fields, its content's
digest and the digest before it. So the content can be erased, salt and all, and the chain still holds. Digests are keyed
(BLAKE2b, RFC 7693) where there is a key, and then begin with its id; without one they show accidents and the careless only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

import attrs

from crmcore.domain.audit import Chain
from crmcore.domain.event import Event, changes_of
from crmcore.errors import StoreCorrupt

SIZE = 20
"""Bytes of a digest."""
ERASED = "erased:"
"""What the salt of an event begins with whose content was erased."""
REGISTERED = "customer.registered"
"""With what the chain of a customer begins."""
SEQUENCES = "sequences"
"""The field under which an erasure tells its chain which events it took the content of."""

Kind: TypeAlias = Literal[
    "changed",
    "removed",
    "inserted",
    "swapped",
    "cut_off",
    "head_changed",
    "wrong_key",
    "unkeyed",
    "rewritten",
    "checkpoint",
]
_PLAIN = hashlib.blake2b(digest_size=SIZE)
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
Digest: TypeAlias = Callable[[str], str]
"""A text's digest under one key."""


class Keys:
    """The keys of the chain by their ids, one of which is the current; None without any."""

    def __init__(self, keys: Mapping[str, bytes] | None = None, current: str | None = None) -> None:
        self.current = current
        self._by_id: dict[str, Digest] = {"": _digest_with("", b"")}
        self._by_id |= {id: _digest_with(id, key) for id, key in (keys or {}).items()}
        self.digest = self._by_id[current or ""]
        """Digests with which is written."""
        self.plain = self._by_id[""]
        """Digests under no key."""

    def of(self, told: str) -> Digest | None:
        """The digests of the key under which that digest was made; None for one that isn't there."""
        return self._by_id.get(told.rpartition(":")[0])

    def made(self, told: str | None, text: str) -> bool:
        """Whether a digest is that of the text, under the key that it names."""
        if told == self.digest(text):
            return True
        digest = self.of(told) if told else None
        return digest is not None and digest(text) == told


def _digest_with(id: str, key: bytes) -> Digest:
    begun, prefix = hashlib.blake2b(key=key, digest_size=SIZE), f"{id}:" if id else ""

    def digest(text: str) -> str:
        made = begun.copy()
        made.update(text.encode("utf-8", "surrogatepass"))
        return prefix + made.hexdigest()

    return digest


# Texts hold no NUL, so what is joined by one comes apart in one way only; a tampered text with one in it has too many.


def content_digest(salt: str, changes: str | None, reason: str | None) -> str:
    """The digest of what was changed and why; without the salt nobody can try what it was."""
    text = f"{salt}\0{'-' if changes is None else '=' + changes}\0{'-' if reason is None else '=' + reason}"
    made = _PLAIN.copy()
    made.update(text.encode("utf-8", "surrogatepass"))
    return made.hexdigest()


def link_text(event: Event, previous: str, sequence: int, content: str) -> str:
    """What an event's digest is made of, at a place behind the digest ``previous``."""
    whose = "-" if event.customer_id is None else f"={event.customer_id}"
    cause = "-" if event.cause is None else f"={event.cause}"
    moment = (event.at - _EPOCH) // _MICROSECOND  # several times as fast as its text
    return (
        f"{previous}\0{sequence}\0{event.id}\0{whose}\0{event.subject}\0{event.subject_id}\0{event.action}\0{moment}"
        f"\0{event.by}\0{content}\0{cause}"
    )


def _head_text(id: str, length: int, digest: str) -> str:
    return f"head\0{id}\0{length}\0{digest}"


def remains_text(event: Event) -> str:
    """What the mark of an erased event is made of: its place, and what is left of its content."""
    return f"{event.digest}\0{event.changes}\0{event.reason}"


_placed = Event.copying("sequence", "salt", "content", "digest")
_headed = Chain.copying("version", "length", "digest", "seal")
_begun = Chain.copying("id", "length", "digest", "seal")
_NO_CHAIN = Chain(id="-", digest="-")


def chain_of(event: Event) -> str:
    """The chain that an event belongs to: its customer's, else its subject's."""
    return event.customer_id or event.subject_id


def chained(
    id: str, head: Chain | None, events: Sequence[Event], keys: Keys, new_salt: Callable[[], str]
) -> tuple[Chain, list[Event]]:
    """The events with their places behind the head of a chain, and the head afterwards.

    A head that is not as it was written stays without a seal, and one under no key stays under none, so that going on from it
    doesn't hide that. Nor does a chain get one that has no head and begins in the middle: with something else of a customer
    than that it was registered.
    """
    length, digest, sealing = 0, "", keys.digest
    sound = head is not None or not events or events[0].customer_id is None or events[0].action == REGISTERED
    if head is not None:
        length, digest = head.length, head.digest
        sound = keys.made(head.seal, _head_text(id, length, digest))
        sealing = keys.digest if ":" in (head.seal or "") else keys.plain
    placed = []
    for event in events:
        length += 1
        salt = new_salt()
        content = content_digest(salt, event.changes, event.reason)
        digest = keys.digest(link_text(event, digest, length, content))
        placed.append(_placed(event, length, salt, content, digest))
    seal = sealing(_head_text(id, length, digest)) if sound else None
    if head is None:
        return _begun(_NO_CHAIN, id, length, digest, seal), placed
    return _headed(head, head.version + 1, length, digest, seal), placed


def resealed(head: Chain, keys: Keys) -> Chain:
    """The head under the current key."""
    seal = keys.digest(_head_text(head.id, head.length, head.digest))
    return head if seal == head.seal else _headed(head, head.version + 1, head.length, head.digest, seal)


def is_sealed(head: Chain, keys: Keys) -> bool:
    """Whether the head of a chain is as it was written, under a key that is there."""
    return keys.made(head.seal, _head_text(head.id, head.length, head.digest))


def is_content_whole(event: Event, keys: Keys) -> bool:
    """Whether the content of an event is as it was written, or as erasing left it."""
    if event.salt is None or event.content is None or event.digest is None:
        return False
    if event.salt.startswith(ERASED):
        return keys.made(event.salt[len(ERASED) :], remains_text(event))
    return content_digest(event.salt, event.changes, event.reason) == event.content


def erased_mark(event: Event, keys: Keys) -> str:
    """What stands in place of the salt of an event whose content was erased."""
    return ERASED + keys.digest(remains_text(event))


@attrs.frozen(kw_only=True)
class Fault:
    """One thing that is not as it was written. ``chain`` is the id of the customer, or of the record, whose chain it is.

    ``sequence`` and ``event_id`` are None where no single event is at fault; ``until`` is the last place of several.
    """

    kind: Kind
    chain: str | None
    number: str | None = None
    """The customer's number; None for a record without a customer, and where it isn't known."""
    sequence: int | None = None
    until: int | None = None
    event_id: str | None = None


class Pass:
    """One look at every event in any order, which tells only which chains are not whole; :func:`diagnose` says what is wrong.

    Memory goes by the number of chains, and of events that come before the one they follow on.
    """

    def __init__(self, keys: Keys, watched: Mapping[str, int] | None = None) -> None:
        self.ends: dict[str, tuple[int, str]] = {}
        """How far each chain was followed, and the digest of that event."""
        self.suspects: set[str] = set()
        self.entries = 0
        self.erased: dict[str, list[int]] = {}
        self.allowed: dict[str, set[int]] = {}
        """By chain: which events have lost their content, and which an erasure tells of."""
        self.seen: dict[str, str] = {}
        """The digest at the place of each chain that was asked for."""
        self.unplaced: list[Event] = []
        self._keys = keys
        self._watched = watched or {}
        self._waiting: dict[tuple[str, int], Event] = {}

    def take(self, events: Iterable[Event]) -> None:
        """Looks at some events."""
        ends, waiting, suspects, watched = self.ends, self._waiting, self.suspects, self._watched
        nothing = (0, "")
        for event in events:
            self.entries += 1
            chain = event.customer_id or event.subject_id
            sequence = event.sequence
            if sequence is None or event.digest is None:
                self.unplaced.append(event)
                continue
            length, digest = ends.get(chain, nothing)
            if sequence != length + 1:
                if sequence <= length or (chain, sequence) in waiting:
                    suspects.add(chain)
                waiting[chain, sequence] = event
                continue
            follower: Event | None = event
            while follower is not None:
                if not self._fits(follower, digest, chain):
                    suspects.add(chain)
                length, digest = length + 1, follower.digest or ""
                ends[chain] = length, digest
                if chain in watched and watched[chain] == length:
                    self.seen[chain] = digest
                follower = waiting.pop((chain, length + 1), None) if waiting else None

    def _fits(self, event: Event, previous: str, chain: str) -> bool:
        salt, content, digest = event.salt, event.content, event.digest
        if salt is None or content is None or digest is None:
            return False
        if salt.startswith(ERASED):
            self.erased.setdefault(chain, []).append(event.sequence or 0)
            if not is_content_whole(event, self._keys):
                return False
        elif content_digest(salt, event.changes, event.reason) != content:
            return False
        if event.action.endswith(".erased"):
            self.allowed.setdefault(chain, set()).update(erased_places(event))
        return self._keys.made(digest, link_text(event, previous, event.sequence or 0, content))

    def finish(self) -> None:
        """Nothing more comes: what still waits has no predecessor, and erased content needs an erasure that tells of it."""
        self.suspects.update(chain for chain, _ in self._waiting)
        self.suspects.update(
            chain for chain, places in self.erased.items() if not self.allowed.get(chain, set()).issuperset(places)
        )


def erased_places(event: Event) -> Iterator[int]:
    """The places that an event of an erasure tells of."""
    try:
        told = changes_of(event).get(SEQUENCES, (None, ""))[1]
        for span in str(told or "").split(",") if told else ():
            first, _, last = span.partition("-")
            # It tells of what stands before it; a number that somebody else wrote must not take all memory.
            yield from range(int(first), min(int(last or first), event.sequence or 0) + 1)
    except (ValueError, StoreCorrupt):
        return


def told_places(places: Iterable[int]) -> str:
    """Places as an erasure tells them: ``1-4,7``."""
    spans: list[list[int]] = []
    for place in sorted(set(places)):
        if spans and spans[-1][1] == place - 1:
            spans[-1][1] = place
        else:
            spans.append([place, place])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in spans)


def diagnose(id: str, head: Chain | None, events: Iterable[Event], keys: Keys) -> list[Fault]:
    """What is wrong with one chain: all of its events, as they are, in any order, against its head."""
    placed = sorted((one for one in events if one.sequence is not None), key=lambda one: (one.sequence or 0, one.id))
    by_place: dict[int, list[Event]] = {}
    for event in placed:
        by_place.setdefault(event.sequence or 0, []).append(event)
    faults: list[Fault] = []
    end = head.length if head is not None and is_sealed(head, keys) else None
    true_places = _true_places(placed, by_place, keys, end)
    allowed: set[int] = set()
    held: dict[int, Event] = {}
    for event in placed:
        true = true_places.get(event.id)
        if true is not None and true not in held:
            held[true] = event
    for true, event in held.items():
        if event.action.endswith(".erased") and is_content_whole(event, keys):
            allowed.update(erased_places(event))
        if event.sequence != true:
            there = true_places.get(by_place[true][0].id) if true in by_place else None
            kind: Kind = "swapped" if there == event.sequence else "changed"
            faults.append(_fault(kind, id, event))
    for event in placed:
        place = event.sequence or 0
        true = true_places.get(event.id)
        if true is None:
            taken = place in held or any(
                other is not event for other in by_place[place][: by_place[place].index(event)]
            )
            beyond = end is not None and place > end
            unknown = event.digest is not None and keys.of(event.digest) is None
            faults.append(_fault("inserted" if taken or beyond else "wrong_key" if unknown else "changed", id, event))
        elif held[true] is not event:
            faults.append(_fault("inserted", id, event))
        elif not is_content_whole(event, keys) or (
            event.salt is not None and event.salt.startswith(ERASED) and place not in allowed
        ):
            faults.append(_fault("changed", id, event))
    known = set(held) | {event.sequence or 0 for event in placed if event.id not in true_places}
    length = max((place for place in known if end is None or place <= end), default=0)
    gaps = (place for place in range(1, min(length, _MOST_GAPS) + 1) if place not in known)
    faults += [Fault(kind="removed", chain=id, sequence=first, until=last) for first, last in _spans(gaps)]
    return faults + _at_the_end(id, head, length, held, keys, bool(faults))


def _at_the_end(
    id: str, head: Chain | None, length: int, held: Mapping[int, Event], keys: Keys, faulty: bool
) -> list[Fault]:
    if head is None:
        return [Fault(kind="head_changed", chain=id)] if length else []
    if not is_sealed(head, keys):
        unknown = head.seal is not None and keys.of(head.seal) is None
        kind: Kind = "wrong_key" if unknown else "head_changed"
        cut = [Fault(kind="cut_off", chain=id, sequence=length + 1, until=head.length)] if head.length > length else []
        return [*cut, Fault(kind=kind, chain=id, sequence=head.length)]
    if head.length > length:
        return [Fault(kind="cut_off", chain=id, sequence=length + 1, until=head.length)]
    last = held.get(head.length)
    if not faulty and (length > head.length or last is None or last.digest != head.digest):
        # Every link holds, and the head is of another run of the chain: it was put back.
        return [Fault(kind="head_changed", chain=id, sequence=head.length)]
    return []


def _true_places(
    placed: Sequence[Event], by_place: Mapping[int, Sequence[Event]], keys: Keys, end: int | None
) -> dict[str, int]:
    """The place at which each event's link holds, by its id: its own, or one to which it was not moved; left out where none does."""
    found: dict[str, int] = {}
    lost: list[Event] = []
    before: dict[int, list[str]] = {1: [""]}
    for event in placed:
        before.setdefault((event.sequence or 0) + 1, []).append(event.digest or "")
    for event in placed:
        place = event.sequence or 0
        known = before.get(place, [])
        if any(_holds(event, previous, place, keys) for previous in known):
            found[event.id] = place
        elif not known and 1 < place <= (place if end is None else end) and keys.of(event.digest or "") is not None:
            found[event.id] = place  # what stood before it is gone, and only that could tell
        else:
            lost.append(event)
    # What was renumbered lies near its place; what was exchanged lies at that of another one.
    exchanged = [event.sequence or 0 for event in lost] if len(lost) <= _MOST_EXCHANGED else []
    for event in lost:
        place = event.sequence or 0
        candidates = dict.fromkeys((place - 1, place + 1, *exchanged))
        for true in candidates:
            near = [*before.get(true, ()), *before.get(true - 1, ()), *before.get(true + 1, ())]
            if true > 0 and any(_holds(event, previous, true, keys) for previous in near):
                found[event.id] = true
                before.setdefault(true + 1, []).append(event.digest or "")
                break
    for event in lost:  # those that stood whole behind one that was exchanged
        place = event.sequence or 0
        if event.id not in found and any(_holds(event, previous, place, keys) for previous in before.get(place, ())):
            found[event.id] = place
    # A digest that alone was changed leaves its follower without a predecessor; the digest it should have helps both.
    for event in lost:
        place = event.sequence or 0
        if event.id in found:
            continue
        for follower in by_place.get(place + 1, ()):
            if follower.id in found:
                continue
            repaired = [keys.of(follower.digest or ""), keys.digest]
            for digest in repaired:
                if digest is None:
                    continue
                for previous in before.get(place, []):
                    if _holds(
                        follower, digest(link_text(event, previous, place, event.content or "")), place + 1, keys
                    ):
                        found[follower.id] = place + 1
    return found


_MOST_EXCHANGED = 64
_MOST_GAPS = 10_000_000


def _holds(event: Event, previous: str, place: int, keys: Keys) -> bool:
    return keys.made(event.digest, link_text(event, previous, place, event.content or ""))


def _fault(kind: Kind, chain: str, event: Event) -> Fault:
    return Fault(kind=kind, chain=chain, sequence=event.sequence, event_id=event.id)


def _spans(places: Iterable[int]) -> Iterator[tuple[int, int]]:
    for span in told_places(places).split(","):
        first, _, last = span.partition("-")
        if first:
            yield int(first), int(last or first)
