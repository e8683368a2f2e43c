"""What is done with a store as a whole: brought to this program's format, copied into another one, backed up.

None of it needs the playbook or a user, and a copy or a backup none of this program's format: it works on the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import attrs

from crmcore.app.sources import Clock, system_clock
from crmcore.domain.policies import Label
from crmcore.errors import DuplicateKey, NotSupported, StoreCorrupt, StoreUnavailable
from crmcore.plugins import find_backend
from crmcore.storage.codec import SCHEMA
from crmcore.storage.contract import Backend, Capability, Insert, Store, Transaction
from crmcore.storage.digest import Digest, digest_of, overall
from crmcore.storage.schema import Row, Schema
from crmcore.storage.upgrades import STEPS, Step, Upgrade, plan
from crmcore.storage.url import StoreURL

Progress = Callable[[str, int], None]
"""Told what is being done with which rows: the collection, and how many of it so far."""
Allowed = Callable[[Store], None]
"""Raises where whoever acts may not do that to the store, which is open in its own format."""
_TOLD_EVERY = 1000


@attrs.frozen(kw_only=True)
class CollectionChange:
    """What an upgrade makes of one collection. ``name`` is the new one, or the old one of a collection that ends."""

    name: str
    rows_before: int
    rows_after: int
    new_fields: tuple[str, ...] = ()
    gone_fields: tuple[str, ...] = ()
    state: str = "kept"
    """new, gone, changed or kept."""


@attrs.frozen(kw_only=True)
class Upgraded:
    """What an upgrade did, or with ``dry_run`` would do. Without steps there was nothing to do."""

    source: int
    target: int
    """The formats before and afterwards."""
    steps: tuple[Label, ...]
    changes: tuple[CollectionChange, ...]
    digest: str | None
    """Of the new data; None where nothing was to be done."""
    backup: str | None
    """The file with the data as they were."""
    dry_run: bool


@attrs.frozen(kw_only=True)
class Copied:
    """What a copy came to: rows and digest by collection, and one digest of them all. Both stores have given the same."""

    format: int
    rows: Mapping[str, int]
    digests: Mapping[str, str]
    digest: str


def upgrade(
    url: str,
    *,
    dry_run: bool = False,
    backup: bool = True,
    clock: Clock = system_clock,
    progress: Progress | None = None,
    allowed: Allowed | None = None,
    schema: Schema = SCHEMA,
    steps: Iterable[Step] = STEPS,
) -> Upgraded:
    """Brings the data at a URL to this program's format. Every row is tried before anything is written.

    The store is backed up beside itself first, unless ``backup`` is False, and replaced as one piece: an interruption leaves
    the old data or the new. Afterwards rows and digests are read back and compared. With ``dry_run`` nothing is written.
    ``schema`` and ``steps`` are for data that are not crmcore's own.

    Raises :class:`SchemaMismatch` for newer data and where no steps lead on, :class:`StoreUnavailable` where there are no
    data, :class:`StoreBusy` while others have the store open, :class:`NotSupported` by a store that makes no backup.
    """
    address = StoreURL.parse(url)
    backend = find_backend(address.scheme)
    stored = _stored(backend, address)
    if stored.version == schema.version:
        schema.require(stored.version, stored.fingerprint)
        return Upgraded(
            source=stored.version,
            target=schema.version,
            steps=(),
            changes=(),
            digest=None,
            backup=None,
            dry_run=dry_run,
        )
    way = plan(stored, schema, steps)
    kept: str | None = None
    with backend.open(address, stored) as store:
        if allowed:
            allowed(store)
        _refuse_edits(store)
        with store.transaction() as transaction:
            tally = _Tally(way, progress, keys=True)
            for _ in tally.counted(transaction):
                pass
        if backup and not dry_run:
            kept = _backup_name(address, stored.version, clock)
            store.backup(kept)
    if not dry_run:
        tally = _Tally(way, progress)
        backend.upgrade(address, schema, tally.counting)
        with backend.open(address, schema) as store, store.transaction() as transaction:
            _prove(tally.digests, transaction, f"; the data as they were are in {kept}" if kept else "")
    return Upgraded(
        source=stored.version,
        target=schema.version,
        steps=tuple(step.says for step in way.steps),
        changes=tuple(_changes(way, tally)),
        digest=overall({name: one.hexdigest() for name, one in tally.digests.items()}),
        backup=kept,
        dry_run=dry_run,
    )


def copy(
    source: str | Store, target: str | Store, *, progress: Progress | None = None, allowed: Allowed | None = None
) -> Copied:
    """Copies everything from one store into another, which must be new or empty, in one piece of work.

    Stores are named by their URLs, or are open. The data keep their format. Afterwards the target is read back, opened
    anew where it was named by its URL, and every collection's digest compared with that of the rows as they were read from the source.

    Raises :class:`StoreUnavailable` where the source isn't there, the target holds something, or people's edits in the
    source were not taken in yet; :class:`NotSupported` where the target's URL names what doesn't last; :class:`StoreCorrupt`
    where the target gives back something else.
    """
    if isinstance(target, str) and not _lasts(target):
        raise NotSupported("the target keeps nothing once it is closed; copy into a store that lasts")
    with ExitStack() as stack:
        origin = stack.enter_context(_opened_as_stored(source)) if isinstance(source, str) else source
        if allowed:
            allowed(origin)
        _refuse_edits(origin)
        schema = origin.schema
        reopen = _opener(target, schema)
        destination = reopen()
        if isinstance(target, str):
            stack.callback(destination.close)
        with origin.transaction() as reading, destination.transaction(write=True) as writing:
            taken = [name for name in schema.collections if next(writing.scan(name), None) is not None]
            if taken:
                raise StoreUnavailable("the target already holds data; copy into a new store")
            digests = {name: _copied(name, reading, writing, progress) for name in schema.collections}
        if isinstance(target, str):
            destination.close()
            destination = stack.enter_context(reopen())
        with destination.transaction() as transaction:
            _prove(digests, transaction, "; do not use the target")
    told = {name: one.hexdigest() for name, one in digests.items()}
    return Copied(
        format=schema.version,
        rows={name: one.count for name, one in digests.items()},
        digests=told,
        digest=overall(told),
    )


def backup(url: str, target: str | Path, *, allowed: Allowed | None = None) -> None:
    """Writes the store at a URL to a new file, complete and checked, while others go on using it; its format stays.

    Raises :class:`StoreUnavailable` where the file is there already or can't be written, :class:`NotSupported` by a store
    that is no file: :func:`copy` then makes one.
    """
    with _opened_as_stored(url) as store:
        if allowed:
            allowed(store)
        store.backup(str(target))


def ask(url: str, allowed: Allowed) -> None:
    """Asks whether something may be done to the store at a URL, where there is one; see :data:`Allowed`."""
    with suppress(StoreUnavailable), _opened_as_stored(url) as store:
        allowed(store)


def _stored(backend: Backend, address: StoreURL) -> Schema:
    found = backend.stored(address)
    if found is None:
        raise StoreUnavailable("there is no store at this URL")
    return found


def _opened_as_stored(url: str) -> Store:
    """The store at a URL in the format in which it is kept; one that doesn't tell is opened in this program's."""
    address = StoreURL.parse(url)
    backend = find_backend(address.scheme)
    try:
        schema = _stored(backend, address)
    except NotSupported:
        schema = SCHEMA
    return backend.open(address, as_known(schema))


def as_known(stored: Schema) -> Schema:
    """The program's own schema, which has the indexes too, where the stored one is the same; else that one."""
    return SCHEMA if (stored.version, stored.fingerprint) == (SCHEMA.version, SCHEMA.fingerprint) else stored


def _opener(target: str | Store, schema: Schema) -> Callable[[], Store]:
    if not isinstance(target, str):
        return lambda: target
    address = StoreURL.parse(target)
    backend = find_backend(address.scheme)
    return lambda: backend.open(address, schema)


def _lasts(url: str) -> bool:
    return Capability.DURABLE in find_backend(StoreURL.parse(url).scheme).capabilities


def _refuse_edits(store: Store) -> None:
    if store.edits() or store.describe().get("edits_later"):
        raise StoreUnavailable(
            "people's edits in the store were not taken in yet; close the file in other programs, open the store once, then"
            " try again"
        )


def _copied(name: str, reading: Transaction, writing: Transaction, progress: Progress | None) -> Digest:
    digest = Digest(reading.schema.collection(name))

    def inserts() -> Iterator[Insert]:
        for row in digest.adding(reading.scan(name)):
            if progress and not digest.count % _TOLD_EVERY:
                progress(name, digest.count)
            yield Insert(name, row)

    writing.apply(inserts())
    return digest


def _prove(expected: Mapping[str, Digest], transaction: Transaction, hint: str) -> None:
    """Raises :class:`StoreCorrupt` where a store gives other rows than were given to it."""
    for name, digest in expected.items():
        found = digest_of(transaction, name)
        if found.hexdigest() != digest.hexdigest():
            raise StoreCorrupt(
                f"the store gives back other rows of {name} than it was given"
                f" ({found.count} rows, {digest.count} expected){hint}"
            )


def _backup_name(address: StoreURL, version: int, clock: Clock) -> str:
    """A name beside the store that says the format and when."""
    if not address.path or address.host:
        raise NotSupported("this store makes no backup of its own; copy it first, then upgrade without a backup")
    path = Path(address.path)
    return str(path.with_name(f"{path.stem}-format{version}-{clock():%Y%m%dT%H%M%SZ}{path.suffix}"))


class _Tally:
    """The new rows of an upgrade, counted on their way; with ``keys``, looked through for those that would be there twice."""

    def __init__(self, way: Upgrade, progress: Progress | None, *, keys: bool = False) -> None:
        self.way = way
        self.progress = progress
        self.before: dict[str, int] = {}
        self.digests: dict[str, Digest] = {}
        self._keys: dict[tuple[str, tuple[str, ...]], set[Row]] | None = {} if keys else None

    def counted(self, transaction: Transaction) -> Iterator[Insert]:
        """The new rows of what a transaction sees."""
        return self.counting(transaction.scan)

    def counting(self, scan: Callable[[str], Iterator[Row]]) -> Iterator[Insert]:
        """The new rows of a scan of the old."""
        self.before = dict.fromkeys(self.way.source.collections, 0)
        self.digests = {name: Digest(shape) for name, shape in self.way.target.collections.items()}

        def told(name: str) -> Iterator[Row]:
            for row in scan(name):
                self.before[name] += 1
                if self.progress and not self.before[name] % _TOLD_EVERY:
                    self.progress(name, self.before[name])
                yield row

        for insert in self.way.rewrite(told):
            self.digests[insert.collection].add(insert.row)
            if self._keys is not None and insert.collection in self.way.touched:
                self._claim(insert)
            yield insert

    def _claim(self, insert: Insert) -> None:
        assert self._keys is not None
        shape = self.way.target.collection(insert.collection)
        for names in (("id",), *shape.unique):
            key = tuple(insert.row[shape.position(name)] for name in names)
            taken = self._keys.setdefault((shape.name, names), set())
            if None not in key and key in taken:
                raise DuplicateKey(
                    f"after the upgrade {', '.join(names)} would be there twice in {shape.name}",
                    collection=shape.name,
                    fields=names,
                )
            taken.add(key)


def _changes(way: Upgrade, tally: _Tally) -> Iterator[CollectionChange]:
    names = way.names()
    for old, new in names.items():
        before = way.source.collection(old)
        if new is None:
            fields = tuple(field.name for field in before.fields)
            yield CollectionChange(
                name=old, rows_before=tally.before[old], rows_after=0, gone_fields=fields, state="gone"
            )
            continue
        after = way.target.collection(new)
        kept, made = before.positions.keys(), after.positions.keys()
        rows = tally.before[old], tally.digests[new].count
        yield CollectionChange(
            name=new,
            rows_before=rows[0],
            rows_after=rows[1],
            new_fields=tuple(name for name in made if name not in kept),
            gone_fields=tuple(name for name in kept if name not in made),
            state="changed" if new in way.changed or rows[0] != rows[1] else "kept",
        )
    for name, shape in way.target.collections.items():
        if name not in names.values():
            yield CollectionChange(
                name=name,
                rows_before=0,
                rows_after=tally.digests[name].count,
                new_fields=tuple(shape.positions),
                state="new",
            )
