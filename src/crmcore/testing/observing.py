"""A store around a store that is told of every call, before it is made and after: for faults, for delays, for crashes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, TypeAlias

import attrs

from crmcore.errors import StoreClosed
from crmcore.storage import Change, Edit, Presentation, Pushed, Query, Row, Store, Transaction, Where

Call = Literal["begin", "read", "apply", "commit", "claim", "backup", "clean"]
When = Literal["before", "after"]


@attrs.frozen
class Moment:
    """A moment at a store's border: the ``number`` of the call, counted from 1 over the store's life, which call, and
    whether before it takes effect or after. ``begin`` and ``commit`` are those of transactions that write."""

    number: int
    call: Call
    when: When

    def __str__(self) -> str:
        return f"{self.when} {self.call} (call {self.number})"


Observer: TypeAlias = Callable[[Moment], None]
"""Told of a moment. An exception that it raises comes out of the call."""


class ObservedStore(Store):
    """The store inside, and an observer of every call. What the observer raises ends the transaction, as the store's own
    errors do."""

    def __init__(self, store: Store, observe: Observer) -> None:
        self.schema = store.schema
        self.store = store
        self._observe = observe
        self._numbers = itertools.count(1)

    @contextmanager
    def calling(self, call: Call) -> Iterator[None]:
        """The moments before and after a call."""
        number = next(self._numbers)
        self._observe(Moment(number, call, "before"))
        yield
        self._observe(Moment(number, call, "after"))

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[Transaction]:
        if not write:
            with self.store.transaction() as inner:
                yield _ObservedTransaction(self, inner)
            return
        begins = next(self._numbers)
        self._observe(Moment(begins, "begin", "before"))
        with self.store.transaction(write=True) as inner:
            self._observe(Moment(begins, "begin", "after"))
            work = _ObservedTransaction(self, inner)
            yield work
            if work.over:
                raise StoreClosed("the transaction had failed; nothing of it was kept")
            commits = next(self._numbers)
            self._observe(Moment(commits, "commit", "before"))
        self._observe(Moment(commits, "commit", "after"))

    def close(self) -> None:
        self.store.close()

    def claim(self, query: Query, change: Callable[[Row], Row]) -> list[Row]:
        with self.calling("claim"):
            return self.store.claim(query, change)

    def backup(self, target: str) -> None:
        with self.calling("backup"):
            self.store.backup(target)

    def clean(self) -> Sequence[str]:
        with self.calling("clean"):
            return self.store.clean()

    def present(self, presentation: Presentation) -> None:
        self.store.present(presentation)

    def edits(self) -> Sequence[Edit]:
        return self.store.edits()

    def settle_edits(self) -> None:
        self.store.settle_edits()

    def describe(self) -> dict[str, object]:
        return self.store.describe()

    def check(self) -> list[str]:
        return self.store.check()


class _ObservedTransaction(Transaction):
    def __init__(self, store: ObservedStore, inner: Transaction) -> None:
        super().__init__(inner.schema)
        self._store = store
        self._inner = inner
        self.over = False

    @contextmanager
    def _calling(self, call: Call) -> Iterator[None]:
        if self.over:
            raise StoreClosed("the transaction is over")
        try:
            with self._store.calling(call):
                yield
        except BaseException:
            self.over = True
            raise

    def get(self, collection: str, id: str) -> Row | None:
        with self._calling("read"):
            return self._inner.get(collection, id)

    def scan(self, collection: str) -> Iterator[Row]:
        with self._calling("read"):
            return self._inner.scan(collection)

    def apply(self, changes: Iterable[Change]) -> None:
        with self._calling("apply"):
            self._inner.apply(changes)

    def push(self, query: Query) -> Pushed:
        with self._calling("read"):
            return self._inner.push(query)

    def get_many(self, collection: str, ids: Sequence[str]) -> dict[str, Row]:
        with self._calling("read"):
            return self._inner.get_many(collection, ids)

    def tally(self, collection: str, where: Where | None, by: Sequence[str], sums: Sequence[str] = ()) -> list[Row]:
        with self._calling("read"):
            return self._inner.tally(collection, where, by, sums)
