"""The storage contract: what a backend gives, and what it may rely on.

A backend sees rows in collections, never entities, so a new entity adds nothing to it. Six methods are enough:
``Backend.open``; ``Store.transaction``, ``Store.close``; ``Transaction.get``, ``scan``, ``apply``. The others have
defaults that are right and may be overridden by ones that are fast. The clauses, with their ids, are in
``docs/reference/storage-contract.md``; ``crmcore.testing`` proves them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from types import TracebackType
from typing import ClassVar, NamedTuple, Self, TypeAlias, cast

from crmcore.errors import NotSupported, QueryError
from crmcore.storage.evaluate import finish, tally_rows
from crmcore.storage.presentation import Edit, Presentation
from crmcore.storage.query import Query, Where, check_query, check_where, with_order
from crmcore.storage.schema import Row, Schema
from crmcore.storage.url import StoreURL


class Insert(NamedTuple):
    """A new row. Its id, and its unique keys, must not be there yet."""

    collection: str
    row: Row


class Update(NamedTuple):
    """A whole row in place of the one with its id, which must be at ``expected_version``."""

    collection: str
    row: Row
    expected_version: int


class Delete(NamedTuple):
    """Takes away the row, which must be at ``expected_version``."""

    collection: str
    id: str
    expected_version: int


Change: TypeAlias = Insert | Update | Delete


class Pushed(NamedTuple):
    """What a store made of a query: rows, and the query that is still to be evaluated over them."""

    rows: Iterable[Row]
    rest: Query


Scan: TypeAlias = Callable[[str], Iterator[Row]]
"""Every row of a collection, by its name."""


class Capability(StrEnum):
    """What a backend promises beyond the base contract; the kit tests each one that is declared."""

    DURABLE = "durable"
    """What was committed is there after the store is opened again, also after a crash."""
    MULTI_PROCESS = "multi_process"
    """Several processes may write at once; a writer waits for its turn, for a bounded time."""
    SNAPSHOT_READS = "snapshot_reads"
    """A read transaction sees one state from its first read to its end."""
    PUSH_DOWN = "push_down"
    """Queries are answered by the store, not by reading everything."""
    EXTERNAL_EDITS = "external_edits"
    """People may change the data with another program while the store is closed."""
    LARGE = "large"
    """A hundred thousand rows are no trouble."""


class Transaction(ABC):
    """One consistent piece of work. Made by :meth:`Store.transaction`; unusable after its end or after an error.

    Rows that are handed out are snapshots: nobody can change the store through them. What the transaction wrote itself,
    it sees.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    @abstractmethod
    def get(self, collection: str, id: str) -> Row | None:
        """The row with that id, or None."""

    @abstractmethod
    def scan(self, collection: str) -> Iterator[Row]:
        """Every row of the collection, in any order."""

    @abstractmethod
    def apply(self, changes: Iterable[Change]) -> None:
        """Makes the changes in their order: all of them or, on any error, none of the whole transaction's.

        ``changes`` may be an iterator of any length; it is read once. Raises :class:`Conflict` when a row is not at the
        version expected or is gone, :class:`DuplicateKey` when an id or a unique key is taken (a key with a None in it
        is never taken), :class:`ReadOnly` in a read transaction. The transaction is over after an error.
        """

    # The rest may be overridden for speed. The kit holds every override to these defaults.

    def push(self, query: Query) -> Pushed:
        """As much of the query as the store can answer itself, and what is left of it."""
        return Pushed(self.scan(query.collection), query)

    def get_many(self, collection: str, ids: Sequence[str]) -> dict[str, Row]:
        """The rows with these ids; what isn't there is left out."""
        found = ((id, self.get(collection, id)) for id in ids)
        return {id: row for id, row in found if row is not None}

    def tally(self, collection: str, where: Where | None, by: Sequence[str], sums: Sequence[str] = ()) -> list[Row]:
        """Groups with their count and sums, as :func:`crmcore.storage.evaluate.tally_rows` says; sums are of integers."""
        shape = self.schema.collection(collection)
        check_tally(self.schema, collection, where, by, sums)
        return tally_rows(self.find(Query(collection, where)), by, sums, shape)

    # Core's own: not to be overridden.

    def find(self, query: Query) -> Iterator[Row]:
        """The rows of the query. Raises :class:`QueryError` before the store is asked anything."""
        collection = check_query(query, self.schema)
        rows, rest = self.push(with_order(query))
        if rest.where is None and not rest.order and rest.after is None and rest.limit is None:
            return iter(rows)
        return finish(rows, rest, collection)

    def count(self, collection: str, where: Where | None = None) -> int:
        """How many rows the condition holds for."""
        total = self.tally(collection, where, ())
        return int(total[0][0]) if total else 0  # type: ignore[arg-type]


def check_tally(schema: Schema, collection: str, where: Where | None, by: Sequence[str], sums: Sequence[str]) -> None:
    """Raises :class:`QueryError` for unknown names, and for sums of anything but integers."""
    shape = schema.collection(collection)
    if where is not None:
        check_where(where, shape)
    for name in by:
        shape.position(name)
    for name in sums:
        if shape.field(name).type != "integer":
            raise QueryError(f"{name} can't be added up", field=name)


class Store(ABC):
    """An open store. May be shared by threads; each transaction belongs to one."""

    schema: Schema

    @abstractmethod
    def transaction(self, *, write: bool = False) -> AbstractContextManager[Transaction]:
        """A piece of work: leaving the block commits it, an exception out of it undoes all of it.

        A writer has the store to itself from its first moment, so that what it read still holds when it writes. Raises
        :class:`StoreBusy` when its turn doesn't come within the wait that the URL allows, :class:`StoreClosed` after
        :meth:`close`.
        """

    @abstractmethod
    def close(self) -> None:
        """Gives everything back. Closing twice is nothing."""

    # The rest may be overridden by a store that can do it, or do it better.

    def claim(self, query: Query, change: Callable[[Row], Row]) -> list[Row]:
        """Takes the rows of the query for one caller alone: each is replaced by what ``change`` makes of it, committed at once.

        Returns the rows as they are now. Callers that claim at the same moment never get the same row; a store that can
        lets them claim side by side, past the rows that another is just claiming. ``change`` keeps the id and raises the
        version by one; it must have no effects, as it may be called again. Not within a transaction of the same thread.
        """
        with self.transaction(write=True) as work:
            found = list(work.find(query))
            claimed = [change(row) for row in found]
            work.apply(
                Update(query.collection, new, cast(int, old[1])) for old, new in zip(found, claimed, strict=True)
            )
        return claimed

    def backup(self, target: str) -> None:
        """Writes the store as last committed to a new file, complete and checked, while others go on using the store.

        Raises :class:`StoreUnavailable` where the target is there already or can't be written, :class:`NotSupported` by a
        store that has no files of its own: then a copy into another store is its backup.
        """
        raise NotSupported("this store makes no backup of its own; copy it to another store")

    def clean(self) -> Sequence[str]:
        """Writes the store's files anew so that nothing is left in them of what was removed or replaced before; rows stay.

        Returns what may still hold some of it and isn't the store's to rewrite: files by their paths, or what else, in English.
        Raises :class:`StoreBusy` while others keep it from being done, :class:`NotSupported` by a store that can't.
        """
        raise NotSupported("this store can't take what was removed out of its files; copy it to another store")

    def present(self, presentation: Presentation) -> None:  # noqa: B027 - nothing to do without readers
        """How people are to see the data, for a store that they open with another program."""

    def edits(self) -> Sequence[Edit]:
        """What people changed with another program since the store's last version, as it was at opening; capability
        ``external_edits``. None of it is in the rows of any transaction."""
        return ()

    def settle_edits(self) -> None:  # noqa: B027 - nothing to do without edits
        """The edits were looked at: what core took in has been applied, the rest is refused. They aren't given again."""

    def describe(self) -> dict[str, object]:
        """Facts for ``crmcore doctor``: versions, settings, where the data lie."""
        return {}

    def check(self) -> list[str]:
        """What is wrong with the data, as far as the store can tell; nothing when all is well."""
        return []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Backend(ABC):
    """A kind of store, found by the scheme of a URL. Stateless; made without arguments."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset()

    @abstractmethod
    def open(self, url: StoreURL, schema: Schema) -> Store:
        """The store at that URL, made if it isn't there.

        Raises :class:`InvalidURL` for a URL that says nothing to this backend, :class:`StoreUnavailable` where it can't be
        opened, :class:`SchemaMismatch` for data of another schema or another program.
        """

    # The rest may be overridden by a backend whose stores last.

    def stored(self, url: StoreURL) -> Schema | None:
        """The schema that the data at that URL are kept in, None where there are none; changes nothing.

        Raises as :meth:`open` does, but not for another version. Indexes need not be told.
        """
        raise NotSupported(f"{url.scheme}: stores don't tell their schema")

    def upgrade(self, url: StoreURL, schema: Schema, rewrite: Callable[[Scan], Iterable[Insert]]) -> None:
        """Replaces all data at that URL by what ``rewrite`` makes of them, under the new schema: as one piece, or not at all.

        ``rewrite`` is given a scan of the rows as they are, and gives every row of the new data once. Nobody else may have
        the store open; a crash leaves the old data or the new.
        """
        raise NotSupported(f"{url.scheme}: stores can't be upgraded in place")
