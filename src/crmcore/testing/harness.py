"""What an integrator tells the kit about a store."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from urllib.parse import quote

import attrs
from hypothesis import HealthCheck, settings

from crmcore.storage import Backend, Delete, Store, StoreURL
from crmcore.testing.edit_plan import PersonsEdit
from crmcore.testing.kit_schema import SCHEMA, version_of

QUICK = 15


def examples_asked_for() -> int:
    """How many cases a random clause tries, as the environment says."""
    return int(os.environ.get("CRMCORE_KIT_EXAMPLES", QUICK))


def _open_by_url(harness: Harness) -> Callable[[], Store]:
    def opened() -> Store:
        if harness.url is None:
            raise TypeError("a harness needs open, or a url that its backend can open")
        return harness.backend.open(StoreURL.parse(harness.url), SCHEMA)

    return opened


def _file(harness: Harness) -> str | None:
    if harness.url is None:
        return None
    url = StoreURL.parse(harness.url)
    # A database of a server may be named without a host, but not like this.
    named = os.path.isabs(url.path) and os.path.isdir(os.path.dirname(url.path))
    return url.path if named and not url.host else None


def _backup_url(harness: Harness) -> Callable[[str], str] | None:
    if harness.url is None or harness.file is None:
        return None
    scheme = StoreURL.parse(harness.url).scheme
    return lambda target: f"{scheme}:///{quote(target)}"


@attrs.define(kw_only=True)
class Harness:
    """A place for data, empty at first, and how to get at it.

    ``open`` gives a new handle on the *same* data at each call, with the schema :data:`crmcore.testing.SCHEMA`; where a
    ``url`` is given it may be left out. The url is also what other processes open, what clauses about URLs try, and must
    be given by a backend that declares ``multi_process``. ``impatient`` opens a handle that waits for a writer a few
    hundredths of a second only. ``wipe`` empties the data out of band; without it the kit deletes row by row.

    ``file`` is the path of the file that the url names, ``backup_url`` the url under which a backup that was written to a
    path opens; both follow from a url that names a file. ``edit`` does what a person does who has the data open in
    another program, while the store is closed; it must be given by a backend that declares ``external_edits``.

    ``examples`` is how many random cases each random clause tries (15, or ``CRMCORE_KIT_EXAMPLES``), ``steps`` how long
    a run of the state machine is, ``many`` how many rows the clause of the capability ``large`` writes, ``crashes`` at how
    many points each clause about crashes kills a process.
    """

    backend: Backend
    url: str | None = None
    open: Callable[[], Store] = attrs.field(default=attrs.Factory(_open_by_url, takes_self=True))
    impatient: Callable[[], Store] | None = None
    wipe: Callable[[], None] | None = None
    file: str | None = attrs.field(default=attrs.Factory(_file, takes_self=True))
    backup_url: Callable[[str], str] | None = attrs.field(default=attrs.Factory(_backup_url, takes_self=True))
    edit: Callable[[Sequence[PersonsEdit]], None] | None = None
    examples: int = attrs.field(factory=examples_asked_for)
    steps: int = 20
    many: int = 20_000
    crashes: int = 8

    def clear(self) -> None:
        """Takes all rows away."""
        if self.wipe is not None:
            self.wipe()
            return
        with closing(self.open()) as store, store.transaction(write=True) as work:
            for name in SCHEMA.collections:
                rows = list(work.scan(name))
                work.apply(Delete(name, str(row[0]), version_of(row)) for row in rows)

    def settings(self) -> settings:
        """For the random clauses: as many examples as asked for, and no hurry, since disks vary."""
        return settings(
            max_examples=self.examples,
            stateful_step_count=self.steps,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        )
