"""What every verb works with: the options as given, the store they name, and the two streams.

Data go to stdout, everything else to stderr. Text that could steer a terminal is made harmless on its way out.
"""

from __future__ import annotations

import getpass
import json
import locale
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import click

import crmcore
from crmcore.app import stores
from crmcore.app.crm import CRM, Session
from crmcore.app.permitting import ask_at
from crmcore.cli.texts import text
from crmcore.errors import PHRASES, CRMError, KeyMissing, Language, NotSupported, StorageError, StoreUnavailable
from crmcore.metrics import Table
from crmcore.playbooks import Playbook, load
from crmcore.plugins import Plugins, find_backend, installed
from crmcore.storage.codec import to_plain
from crmcore.storage.contract import Store
from crmcore.storage.keys import KeyRing
from crmcore.storage.url import StoreURL

LANGUAGES = ("en", "zh-CN")
DEFAULT_STORE = "sqlite:///crm.db"
MOST_EDITS = 20
"""Refused cells of an edited store that are told one by one."""
_BARE_PATH = re.compile(r"(?![a-z][a-z0-9+.-]+:).+\.db", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def store_url(given: str) -> str:
    """The URL of a store that may be named by the path of its file, where that ends in ``.db``."""
    if not _BARE_PATH.fullmatch(given):
        return given
    return f"sqlite:///{quote(Path(given).as_posix(), safe='/:')}"


def default_language(environment: Mapping[str, str], fallback: str | None) -> Language:
    """Chinese where the environment's locale is Chinese (``zh*``), in the order in which POSIX looks; else English.

    ``fallback`` is the process's locale, for systems that keep it elsewhere.
    """
    named = next((environment[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(name)), fallback)
    return "zh-CN" if (named or "").lower().startswith(("zh", "chinese")) else "en"


class Shell:
    """One run of the command. The store is opened when a verb first asks for it."""

    def __init__(self) -> None:
        self._given: dict[str, Any] = {}
        self._crm: CRM | None = None
        self.known_playbook: Playbook | None = None
        """The playbook of the store that was opened; stays for messages after it is closed."""
        self._warnings = _Warnings(self)

    def take(self, given: Mapping[str, Any]) -> None:
        """Options before or after the verb; the later ones win."""
        self._given |= {name: value for name, value in given.items() if value is not None}

    # What was asked for

    @cached_property
    def store(self) -> str:
        """The store's URL."""
        return store_url(self._given.get("store") or os.environ.get("CRMCORE_STORE") or DEFAULT_STORE)

    @property
    def store_shown(self) -> str:
        """The store's URL without a password."""
        return str(StoreURL.parse(self.store))

    @cached_property
    def wanted_playbook(self) -> str | None:
        """The playbook asked for; a file by its full path, so that it is found from any folder."""
        given: str | None = self._given.get("playbook")
        return str(Path(given).absolute()) if given and given.endswith(".toml") else given

    @cached_property
    def user(self) -> str:
        """In whose name things are done."""
        asked = self._given.get("acting_as")
        if asked is not None and not asked.strip():
            raise click.UsageError("somebody must be acting: give a user's name to --as")
        if given := asked or os.environ.get("CRMCORE_USER"):
            return str(given)
        try:
            return getpass.getuser()
        except (OSError, KeyError, ImportError):
            raise click.UsageError("nobody is logged in; say who is acting with --as") from None

    @cached_property
    def keys(self) -> str | None:
        """Where the keys are; None leaves that to a plugin."""
        given: str | None = self._given.get("keys")
        return given or ("env:CRMCORE_KEYS" if os.environ.get("CRMCORE_KEYS") else None)

    def key_ring(self) -> KeyRing:
        """The ring that was named, or a plugin's. Raises :class:`KeyMissing` where there is none."""
        ring = KeyRing.read(self.keys) if self.keys else Plugins(self.plugins()).keys()
        if ring is None:
            raise KeyMissing("no keys were given; name them: --keys env:NAME or --keys file:PATH")
        return ring

    @property
    def json(self) -> bool:
        return bool(self._given.get("json"))

    @property
    def quiet(self) -> bool:
        return bool(self._given.get("quiet"))

    @property
    def debug(self) -> bool:
        return bool(self._given.get("debug"))

    @cached_property
    def language(self) -> Language:
        """The language of everything a person reads."""
        given = self._given.get("language")
        return cast(Language, given) if given else default_language(os.environ, locale.getlocale()[0])

    def text(self, key: str, **facts: object) -> str:
        """A text in the language of this run."""
        return text(key, self.language, **facts)

    # The store

    def open(self, *, create: bool = False, switch: bool = False) -> CRM:
        """The CRM on the store; a file that isn't there is made only where ``create`` says so.

        ``switch`` keeps the store under the playbook asked for from now on.
        """
        if self._crm is None:
            if not create and not self.store_is_there():
                # A typing error would otherwise make an empty store, in which nothing is found.
                raise StoreUnavailable(self.text("no_store", store=self.store_shown), language=self.language)
            if switch:
                # Another playbook has other permissions.
                stores.ask(self.store, self.allowed("update"))
            logging.getLogger("crmcore").addHandler(self._warnings)
            self._crm = crmcore.open(
                self.store, self.wanted_playbook, plugins=self.plugins(), switch_playbook=switch, keys=self.keys
            )
            self.known_playbook = self._crm.playbook
            self._tell_edits(self._crm)
        return self._crm

    def _tell_edits(self, crm: CRM) -> None:
        """What became of changes that people made with another program; what was refused is told also to who wants quiet."""
        report = crm.edit_report
        if report is None or (self.quiet and not report.refused):
            return
        summary, *lines = report.text(self.language).splitlines()
        rest = len(lines) - MOST_EDITS
        more = [self.text("more_edits", count=f"{rest:,}")] if rest > 0 else []
        told = [summary, *(f"  {line}" for line in lines[:MOST_EDITS]), *more]
        print("\n".join(map(harmless, told)), file=sys.stderr)

    def plugins(self) -> tuple[Any, ...]:
        """Every plugin that is installed; one that can't be loaded is named and left out."""
        found = installed()
        for fault in found.faults:
            self.say(self.text("plugin_fault", fault=fault))
        return found.plugins

    def store_is_there(self) -> bool:
        """Whether the file that the URL names holds something; else whether the backend knows of data there.

        A workbook that was moved away is still a store.
        """
        url = StoreURL.parse(self.store)
        path = Path(url.path)
        names_file = bool(path.suffix) and not url.host
        if names_file and path.exists() and (not path.is_file() or path.stat().st_size > 0):
            return True
        try:
            return find_backend(url.scheme).stored(url) is not None
        except NotSupported:  # taken at its word, where no file could tell
            return not names_file

    @property
    def me(self) -> Session:
        """What the user can do in the store."""
        return self.open().acting_as(self.user)

    def allowed(self, action: str) -> Callable[[Store], None]:
        """What refuses where the user may not do that to a store as a whole; for a store that no session is open on."""
        return partial(ask_at, actor=self.user, action=action, playbooks=Plugins(self.plugins()).playbook_texts())

    @property
    def playbook(self) -> Playbook:
        """The playbook in force: the store's or the one asked for; ``standard`` where there is neither."""
        if self._crm is not None or self.store_is_there():
            return self.open().playbook
        return self.load_playbook(self.wanted_playbook or "standard")

    def load_playbook(self, key_or_file: str) -> Playbook:
        """A playbook by key, also a plugin's, or by its TOML file; no store is asked."""
        offered = Plugins(self.plugins()).playbooks()
        return load(key_or_file, {key: source.toml for key, source in offered.items()})

    def close(self) -> None:
        """Closes the store, if it was opened."""
        crm, self._crm = self._crm, None
        try:
            if crm is not None:
                crm.close()
        finally:
            logging.getLogger("crmcore").removeHandler(self._warnings)

    # Saying things

    def say(self, message: str) -> None:
        """A message for a person, on stderr."""
        if not self.quiet:
            sys.stdout.flush()  # So that both streams keep their order where they go to one place.
            print(harmless(message), file=sys.stderr)

    def write(self, data: str) -> None:
        """Data, on stdout."""
        print(harmless(data))

    def write_json(self, data: Any) -> None:
        """One JSON document on stdout, in UTF-8 whatever the terminal's encoding."""
        self.write_bytes(json.dumps(to_plain(data), ensure_ascii=False, indent=2).encode() + b"\n")

    def write_bytes(self, data: bytes) -> None:
        """Bytes on stdout, after whatever was written before."""
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def write_table(self, table: Table) -> None:
        """A table on stdout."""
        self.write(table.to_text(self.language))

    @contextmanager
    def writing(self, file: str | Path) -> Iterator[None]:
        """Where a verb writes a file of its own: what fails about that file is told as the file's fault, not the store's."""
        try:
            yield
        except StorageError as error:
            told = error.details.get("path")
            if told is None or os.path.realpath(told) != os.path.realpath(file):
                raise
            raise OSError(self.text("file_failed", trouble=error.message)) from error

    def tell_written(self, file: str) -> None:
        """Says where a file was written."""
        if self.json:
            self.write_json({"file": file})
        else:
            self.say(self.text("file_written", file=file))

    @contextmanager
    def progress(self, message: str) -> Iterator[Callable[[int, int | None], None] | None]:
        """A bar on stderr to be told (done, total, if it is known); None where nobody would see it."""
        if self.quiet or not sys.stderr.isatty():
            yield None
            return
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(message, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)


def harmless(message: str) -> str:
    """The text without control and direction characters, which could steer a terminal or mislead its reader."""
    return _CONTROL.sub("\ufffd", message)


class _Warnings(logging.Handler):
    """What the library warns of in its log, told to the person in the shell's language."""

    def __init__(self, shell: Shell) -> None:
        super().__init__(logging.WARNING)
        self._shell = shell

    def emit(self, record: logging.LogRecord) -> None:
        language, told = self._shell.language, record.args if isinstance(record.args, tuple) else ()
        message = PHRASES.get(record.msg, record.msg) if language == "zh-CN" else record.msg
        told = tuple(one.text(language) if isinstance(one, CRMError) else one for one in told)
        print(harmless(str(message) % told), file=sys.stderr)
