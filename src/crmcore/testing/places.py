"""From a URL to harnesses: each a new and empty place for data, on the disk or the server that the URL names."""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlencode

from crmcore.errors import CRMError, InvalidURL, NotSupported, StoreUnavailable
from crmcore.plugins import find_backend
from crmcore.storage import Backend, Capability, Insert, Scan, Store, StoreURL
from crmcore.storage.memory import MemoryBackend, MemoryData, MemoryStore
from crmcore.testing.edit_plan import PersonsEdit
from crmcore.testing.harness import Harness, examples_asked_for
from crmcore.testing.kit_schema import SCHEMA


class NotEmpty(CRMError):
    """The store at a URL holds something, and the kit would take it away."""

    code = "not_empty"


Edit = Callable[[str, Sequence[PersonsEdit]], None]


@contextmanager
def places(url: str, *, examples: int | None = None) -> Iterator[Callable[[], Harness]]:
    """Gives harnesses for the store that a URL names, each over an empty place.

    A URL of a file is never opened itself: the places are folders made beside it, which go at the end. One of a server must
    name a database without data, which are written and taken away; raises :class:`NotEmpty`. ``memory:`` is given memory.
    ``external_edits`` are tried with the function ``edit(path, edits)`` of the module ``testing`` in the backend's package.
    """
    address = StoreURL.parse(url)
    backend = find_backend(address.scheme)
    tried = examples_asked_for() if examples is None else examples
    if isinstance(backend, MemoryBackend):
        yield partial(_in_memory, backend, tried)
    elif address.host or not address.path or "host" in address.options:
        _refuse_data(backend, address)
        yield partial(_on_a_server, backend, address, tried)
        _empty(backend, address)
    else:
        beside = os.path.dirname(address.path) or os.curdir
        if not os.path.isdir(beside):
            raise StoreUnavailable(f"there is no folder {beside}")
        with tempfile.TemporaryDirectory(
            dir=os.path.abspath(beside), prefix=".kit-", ignore_cleanup_errors=True
        ) as top:
            _try_url(backend, _in_a_folder(backend, address, tried, top))
            yield partial(_in_a_folder, backend, address, tried, top)


def _in_memory(backend: Backend, examples: int) -> Harness:
    data = MemoryData(SCHEMA)
    return Harness(
        backend=backend,
        open=lambda: MemoryStore(data),
        impatient=lambda: MemoryStore(data, wait_seconds=0.05),
        examples=examples,
    )


def _in_a_folder(backend: Backend, address: StoreURL, examples: int, top: str) -> Harness:
    path = os.path.join(tempfile.mkdtemp(dir=top), os.path.basename(address.path))
    place = _with_options(f"{address.scheme}:///{quote(path)}", **address.options)
    person = _person(backend)
    return Harness(
        backend=backend,
        url=place,
        impatient=_impatient(backend, place, os.path.join(tempfile.mkdtemp(dir=top), Path(path).name)),
        edit=None if person is None else partial(person, path),
        examples=examples,
    )


def _try_url(backend: Backend, harness: Harness) -> None:
    """Raises :class:`InvalidURL`; what else is wrong with a store, the clauses say."""
    assert harness.url is not None
    try:
        backend.open(StoreURL.parse(harness.url), SCHEMA).close()
    except InvalidURL:
        raise
    except Exception:
        return


def _on_a_server(backend: Backend, address: StoreURL, examples: int) -> Harness:
    _empty(backend, address)
    impatient = StoreURL.parse(_with_options(address.text, wait="0.05"))
    return Harness(
        backend=backend,
        url=address.text,
        impatient=lambda: backend.open(impatient, SCHEMA),
        examples=examples,
    )


def _with_options(url: str, **options: str) -> str:
    if not options:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(options)}"


def _impatient(backend: Backend, place: str, elsewhere: str) -> Callable[[], Store] | None:
    """A handle that hardly waits, where the backend knows the option ``wait``."""
    wait = {"wait": "0.05"}
    scheme = StoreURL.parse(place).scheme
    try:
        backend.open(StoreURL.parse(_with_options(f"{scheme}:///{quote(elsewhere)}", **wait)), SCHEMA).close()
    except InvalidURL:
        return None
    given = StoreURL.parse(place).options
    impatient = StoreURL.parse(_with_options(place.partition("?")[0], **{**given, **wait}))
    return lambda: backend.open(impatient, SCHEMA)


def _person(backend: Backend) -> Edit | None:
    if Capability.EXTERNAL_EDITS not in backend.capabilities:
        return None
    try:
        edit: Edit = importlib.import_module(f"{type(backend).__module__.partition('.')[0]}.testing").edit
    except (ImportError, AttributeError):
        return None
    return edit


def _refuse_data(backend: Backend, address: StoreURL) -> None:
    try:
        stored = backend.stored(address)
    except NotSupported:
        stored = SCHEMA
    if stored is None:
        return
    if stored.fingerprint != SCHEMA.fingerprint:
        raise NotEmpty(f"{address} holds data of another schema; the kit needs a database without data")
    with closing(backend.open(address, SCHEMA)) as store, store.transaction() as work:
        if any(work.count(name) for name in SCHEMA.collections):
            raise NotEmpty(f"{address} holds rows; the kit needs a database without data")


def _empty(backend: Backend, address: StoreURL) -> None:
    """Takes away what a clause left, another schema included."""

    def nothing(scan: Scan) -> Iterable[Insert]:
        return ()

    try:
        stored = backend.stored(address)
    except NotSupported:
        stored = SCHEMA
    if stored is not None and stored.fingerprint != SCHEMA.fingerprint:
        backend.upgrade(address, SCHEMA, nothing)
    Harness(backend=backend, url=address.text).clear()
