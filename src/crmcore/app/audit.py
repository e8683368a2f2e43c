"""The audit: whether what happened is still on file as it was written, and a mark of it to be kept elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs

from crmcore.app.engine import Engine
from crmcore.app.finding import read_all
from crmcore.app.work import Work
from crmcore.domain import Chain, Erasure, Event, Setting
from crmcore.errors import DomainError, Language, language_of
from crmcore.rules.audit import Fault, Keys, Kind, Pass, chain_of, chained, diagnose, is_sealed, resealed
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Insert, Transaction, Update
from crmcore.storage.query import And, Eq, IsNull, Query, place_of

_SETTING = "audit"
_FORMAT = "crmcore checkpoint 1"
_AT_ONCE = 1000

Progress = Callable[[str, int], None]

#: What each kind of fault is called: of one entry, and of something wider.
_TEXTS: Mapping[Kind, tuple[str, str]] = {
    "changed": ("{place}: was changed", "{place}:被改动"),
    "removed": ("{place}: is gone", "{place}:已缺失"),
    "inserted": ("{place}: was not written by the library", "{place}:不是由程序写入的"),
    "swapped": ("{place}: stands in another one's place", "{place}:与其他记录互换了位置"),
    "cut_off": ("{place}: was cut off at the end", "{place}:末尾被截去"),
    "head_changed": ("{place}: the end of the chain was changed", "{place}:链尾被改动"),
    "wrong_key": ("{place}: was made under a key that is not here", "{place}:所用的密钥不在此处"),
    "unkeyed": (
        "{place}: is under no key; if it is from before there was one, bring it under the key: crmcore verify --seal",
        "{place}:不在密钥之下;若写于启用密钥之前,请用 crmcore verify --seal 纳入密钥",
    ),
    "rewritten": ("{place}: is not what the checkpoint holds", "{place}:与检查点不符"),
    "checkpoint": ("the checkpoint itself was changed, or made under another key", "检查点本身被改动,或使用了其他密钥"),
}
_NOTE_GONE = ("the note of when the chains began is gone, or was changed", "记载审计链起始的记录已缺失或被改动")


@attrs.frozen(kw_only=True)
class Checkpoint:
    """Where every chain ended at a moment, under a keyed digest over all of it; worth something where nobody else writes."""

    made_at: datetime
    chains: Mapping[str, tuple[int, str]]
    """Length and last digest, by the id of the chain."""
    digest: str

    @property
    def entries(self) -> int:
        """How many events the chains have together."""
        return sum(length for length, _ in self.chains.values())

    @classmethod
    def of(cls, made_at: datetime, chains: Mapping[str, tuple[int, str]], keys: Keys) -> Checkpoint:
        """The checkpoint of these chains, under the current key."""
        return cls(made_at=made_at, chains=dict(chains), digest=keys.digest(_text(made_at, chains)))

    def is_sound(self, keys: Keys) -> bool:
        """Whether it is as it was made, under a key that is there."""
        return keys.made(self.digest, _text(self.made_at, self.chains))

    def to_json(self) -> str:
        """The checkpoint as a file holds it."""
        plain = {"format": _FORMAT, "made_at": self.made_at.isoformat(), "chains": self.chains, "digest": self.digest}
        return json.dumps(plain, indent=0, sort_keys=True) + "\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Reads what :meth:`to_json` wrote. Raises :class:`DomainError` for anything else."""
        try:
            told = json.loads(text)
            if told["format"] != _FORMAT:
                raise ValueError
            chains = {str(id): (int(length), str(digest)) for id, (length, digest) in told["chains"].items()}
            return cls(made_at=datetime.fromisoformat(told["made_at"]), chains=chains, digest=str(told["digest"]))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise DomainError("this is no checkpoint, or one of another version") from None

    @classmethod
    def read(cls, path: str | Path) -> Checkpoint:
        """The checkpoint in a file. Raises :class:`DomainError`, :class:`OSError`."""
        try:
            return cls.parse(Path(path).read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            raise DomainError("this is no checkpoint, or one of another version") from None


def _read(path: str | Path) -> Checkpoint:
    try:
        return Checkpoint.read(path)
    except (OSError, ValueError):  # no text, or no name of a file at all
        raise DomainError("the checkpoint can't be read") from None


def _text(made_at: datetime, chains: Mapping[str, tuple[int, str]]) -> str:
    return json.dumps([_FORMAT, made_at.isoformat(), sorted((id, *end) for id, end in chains.items())])


@attrs.frozen(kw_only=True)
class Verified:
    """What a verification came to: what is not as it was written, and how much was looked at."""

    faults: tuple[Fault, ...]
    entries: int
    chains: int
    erased: int
    """Entries whose content was erased, as an erasure in their chain tells."""
    sealed_later: int
    """Entries that were on file before there were chains, and are vouched for only from then on."""
    keyed: bool
    """Whether there is a key. Without one the chains show accidents and the careless, not somebody who knows how they are made."""
    uncleaned: int
    """Erasures after which the files of the store were not cleaned yet."""


def fault_text(fault: Fault, language: Language = "en") -> str:
    """A fault for a reader."""
    chinese = language_of(language) != "en"
    if fault.kind == "head_changed" and fault.chain is None:
        return _NOTE_GONE[chinese]
    whose = fault.number or fault.chain or ("审计" if chinese else "the audit")
    places = f"{fault.sequence}" if fault.until in (None, fault.sequence) else f"{fault.sequence}-{fault.until}"
    if fault.sequence is None:
        place = whose
    else:
        place = f"{whose} 第{places}条" if chinese else f"{whose}, entry {places}"
    if fault.event_id is not None:
        place += f" ({fault.event_id})"
    return _TEXTS[fault.kind][chinese].format(place=place)


class Audit:
    """The audit of a store."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def verify(self, checkpoint: Checkpoint | str | Path | None = None, progress: Progress | None = None) -> Verified:
        """Looks at every event and every head of a chain, while others go on using the store; writes nothing.

        A ``checkpoint`` that was kept elsewhere shows besides what the store can't show of itself: a tail that was cut off
        together with its head, a chain that is gone, a store that was put back to an earlier state. It may be named by the path
        of its file. Raises :class:`DomainError` for what is no checkpoint, and for a file that can't be read.
        """
        if isinstance(checkpoint, (str, Path)):
            checkpoint = _read(checkpoint)
        elif checkpoint is not None and not isinstance(checkpoint, Checkpoint):
            raise DomainError("a checkpoint is given as it was made, or as the path of its file")
        with self._engine.store.transaction() as transaction:
            return _Verification(transaction, self._engine.audit_keys, checkpoint, progress).run()

    def checkpoint(self) -> Checkpoint:
        """Where every chain ends now, to be kept where nobody who can write the store can write."""
        with self._engine.store.transaction() as transaction:
            heads = map(CODECS[Chain].load, transaction.scan(Chain.collection))
            ends = {head.id: (head.length, head.digest) for head in heads}
        return Checkpoint.of(self._engine.now(), ends, self._engine.audit_keys)

    def seal(self) -> int:
        """Brings the head of every chain under the current key, and tells how many that were.

        That is for a store that comes to have a key, or another one; whatever was wrong before would be sealed as it is, so
        nothing is where a verification, but for the key itself, finds a fault. Raises :class:`DomainError` then.
        """
        if any(fault.kind not in ("wrong_key", "unkeyed") for fault in self.verify().faults):
            raise DomainError("the audit has faults; look with: crmcore verify")

        def decide(work: Work) -> int:
            heads = list(read_all(work.transaction, Chain))
            pairs = [(head, resealed(head, work.audit_keys)) for head in heads]
            dump = CODECS[Chain].dump
            updates = [Update(Chain.collection, dump(new), old.version) for old, new in pairs if new is not old]
            work.transaction.apply(updates)
            return len(updates)

        return self._engine.write("crmcore", decide)


class _Verification:
    def __init__(
        self, transaction: Transaction, keys: Keys, checkpoint: Checkpoint | None, progress: Progress | None
    ) -> None:
        self.transaction = transaction
        self.keys = keys
        self.checkpoint = checkpoint
        self.progress = progress
        self.passed = Pass(keys, {id: length for id, (length, _) in checkpoint.chains.items()} if checkpoint else None)
        self.heads: dict[str, Chain] = {}
        self.faults: list[Fault] = []

    def run(self) -> Verified:
        begun = chains_begun(self.transaction)
        self.passed.take(self._events())
        self.passed.finish()
        self.heads = {head.id: head for head in map(CODECS[Chain].load, self.transaction.scan(Chain.collection))}
        suspects = self.passed.suspects | self._wrong_ends()
        for id in sorted(suspects):
            self.faults += diagnose(id, self.heads.get(id), _events_of(self.transaction, id), self.keys)
        self.faults += [
            Fault(kind="inserted", chain=chain_of(event), sequence=event.sequence, event_id=event.id)
            for event in self.passed.unplaced
        ]
        if begun is None:
            self.faults.append(Fault(kind="head_changed", chain=None))
        registered = {str(row[0]) for row in self.transaction.tally("customers", None, ["id"])}
        gone = registered - self.heads.keys() - suspects
        self.faults += [Fault(kind="removed", chain=id) for id in sorted(gone)]
        if self.checkpoint is not None:
            self.faults += self._against(self.checkpoint)
        return Verified(
            faults=tuple(self._numbered()),
            entries=self.passed.entries,
            chains=len(self.heads),
            erased=sum(map(len, self.passed.erased.values())),
            sealed_later=(begun or {}).get("before", 0),
            keyed=self.keys.current is not None,
            uncleaned=self.transaction.count(Erasure.collection, IsNull("cleaned_at")),
        )

    def _events(self) -> Iterable[Event]:
        load = CODECS[Event].load
        for count, row in enumerate(self.transaction.scan(Event.collection), 1):
            if self.progress and not count % _AT_ONCE:
                self.progress(Event.collection, count)
            yield load(row)

    def _wrong_ends(self) -> set[str]:
        """The chains that don't end where their head says, or whose head isn't as it was written."""
        ends, current = self.passed.ends, self.keys.current or ""
        wrong = {id for id in ends if id not in self.heads}
        for id, head in self.heads.items():
            if ends.get(id) != (head.length, head.digest) or not is_sealed(head, self.keys):
                wrong.add(id)
            elif current and ":" not in (head.seal or ""):  # whoever has no key could have made it
                self.faults.append(Fault(kind="unkeyed", chain=id, sequence=head.length))
        return wrong

    def _against(self, checkpoint: Checkpoint) -> list[Fault]:
        if not checkpoint.is_sound(self.keys):
            return [Fault(kind="checkpoint", chain=None)]
        told = {(fault.chain, fault.kind) for fault in self.faults}
        found: list[Fault] = []
        for id, (length, digest) in sorted(checkpoint.chains.items()):
            there = self.passed.ends.get(id, (0, ""))[0]
            if not there:
                found.append(Fault(kind="removed", chain=id, sequence=1, until=length))
            elif there < length and (id, "cut_off") not in told and (id, "removed") not in told:
                found.append(Fault(kind="cut_off", chain=id, sequence=there + 1, until=length))
            elif there >= length and self.passed.seen.get(id) != digest and not any(id == chain for chain, _ in told):
                found.append(Fault(kind="rewritten", chain=id, sequence=1, until=length))
        return found

    def _numbered(self) -> Iterable[Fault]:
        ids = list(dict.fromkeys(fault.chain for fault in self.faults if fault.chain is not None))
        at = self.transaction.schema.collection("customers").position("number")
        numbers = {id: str(row[at]) for id, row in self.transaction.get_many("customers", ids).items()}
        for fault in sorted(set(self.faults), key=_order):
            yield attrs.evolve(fault, number=numbers.get(fault.chain or ""))


def _order(fault: Fault) -> tuple[Any, ...]:
    return fault.chain or "", fault.sequence or 0, fault.kind, fault.event_id or ""


def _events_of(transaction: Transaction, id: str) -> list[Event]:
    """Every event of one chain."""
    of_customer = read_all(transaction, Event, Eq("customer_id", id))
    alone = read_all(transaction, Event, And(IsNull("customer_id"), Eq("subject_id", id)))
    return [*of_customer, *alone]


def chains_begun(transaction: Transaction) -> dict[str, Any] | None:
    """When the chains of a store began, and how many events were there before; None in a store that has none yet."""
    told = _note(transaction)
    return told if told is not None and "since" in told else None


def _note(transaction: Transaction) -> dict[str, Any] | None:
    row = transaction.get(Setting.collection, _SETTING)
    if row is None:
        return None
    try:
        told = json.loads(CODECS[Setting].load(row).value)
        return told if isinstance(told, dict) else None
    except ValueError:
        return None


def begin_chains(work: Work) -> None:
    """Begins the chains of a store that is new, and of one that was just upgraded, as its note says.

    What happened before an upgrade gets its places under no key, as anybody may have written it; :meth:`Audit.seal` brings it
    under the key. Any other store whose note is gone stays as it is, which the audit tells.
    """
    transaction, upgraded = work.transaction, _note(work.transaction)
    if next(transaction.scan(Chain.collection), None) is not None:
        return
    told = {"since": work.now.isoformat(), "before": 0}
    if upgraded is not None and upgraded.get("upgraded") is True:
        told["before"] = _place_all(work)
        old = CODECS[Setting].load(transaction.get(Setting.collection, _SETTING) or ())
        new = old.replace(value=json.dumps(told), version=old.version + 1)
        transaction.apply([Update(Setting.collection, CODECS[Setting].dump(new), old.version)])
    elif next(transaction.scan(Event.collection), None) is None and not transaction.get(Setting.collection, _SETTING):
        note = Setting(id=_SETTING, value=json.dumps(told))
        transaction.apply([Insert(Setting.collection, CODECS[Setting].dump(note))])


def _place_all(work: Work) -> int:
    """Gives every event its place in a chain under no key; how many there were."""
    load, dump = CODECS[Event].load, CODECS[Event].dump
    heads: dict[str, Chain] = {}
    place, count, no_keys = None, 0, Keys()
    while True:
        query = Query(Event.collection, None, ("id",), place, _AT_ONCE)
        rows = list(work.transaction.find(query))
        if not rows:
            break
        updates = []
        for event in map(load, rows):
            id = chain_of(event)
            heads[id], (placed,) = chained(id, heads.get(id), [event], no_keys, work.new_salt)
            updates.append(Update(Event.collection, dump(placed), event.version))
        count += len(updates)
        work.transaction.apply(updates)
        place = place_of(rows[-1], query, CODECS[Event].collection)
    work.transaction.apply(Insert(Chain.collection, CODECS[Chain].dump(head)) for head in heads.values())
    return count
