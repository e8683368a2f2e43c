"""One connection to the server, spoken to in libpq's pipeline: many statements, one journey.

psycopg's cursors travel once per statement, BEGIN and COMMIT among them; on a journey of 30 microseconds or of 3
milliseconds that is most of the time of a short transaction. What psycopg does best, waiting to be connected and making
Python's values of results, is left to it.
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import abc, pq
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result

from crmcore.errors import StoreUnavailable
from crmcore_postgres.errors import refused, translate
from crmcore_postgres.settings import Settings

_MOST_PREPARED = 300
_STAY = ("BEGIN", "COMMIT", "ROLLBACK")
_CANCEL_SECONDS = 2.0
_SYNC = pq.ExecStatus.PIPELINE_SYNC
_FAILED = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE)
_SKIPPED = pq.ExecStatus.PIPELINE_ABORTED
_PART = pq.ExecStatus.TUPLES_CHUNK
_BINARY = pq.Format.BINARY
_IN_PARTS = pq.version() >= 170_000  #: an older libpq gives a result as a whole

PART = 500  #: rows of a long answer that are read at a time

Value = bytes | None


class Prepared:
    """A statement that the server knows, with the readers of its result."""

    __slots__ = ("formats", "name", "reader")

    def __init__(self, name: bytes, formats: Sequence[int]) -> None:
        self.name = name
        self.formats = formats
        self.reader: abc.Transformer | None = None


class Link:
    """A connection in autocommit mode: BEGIN and COMMIT are statements like any other. Belongs to one thread at a time."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self._libpq = self.connection.pgconn
        self._libpq.enter_pipeline_mode()
        self._poll = _poller(self._libpq.socket)
        self._prepared: dict[str, Prepared] = {}
        self._names = 0
        self._sent: deque[Prepared | None] = deque()  # what results will come for; None for a statement without a name
        self._fresh: list[tuple[str, Prepared]] = []  # not known to the server until the journey has ended well
        self.stream: Stream | None = None
        """A long answer that is not read to its end; the next statement waits until it is."""
        self._unread = 0  #: journeys whose results nobody waited for
        self._travelling = False  #: departed, and perhaps not read to its end
        self.arrived: list[tuple[pq.abc.PGresult, Prepared]] = []
        self.used = False
        """Whether it has ever answered: one that lay idle may be dead."""
        self.closed = False

    # One journey: send, send, send, then receive.

    def send(self, sql: str, values: Sequence[Value] = (), formats: Sequence[int] = ()) -> None:
        """Puts a statement on the next journey; ``formats`` says which of its values are in binary, by 1."""
        if self.stream is not None:
            self.stream.finish()
        known = self._prepared.get(sql)
        if known is None:
            known = self._prepare(sql, formats)
        self._libpq.send_query_prepared(known.name, values, known.formats, result_format=_BINARY)
        self._sent.append(known)

    def receive(self, *, in_parts: bool = False) -> list[tuple[pq.abc.PGresult, Prepared]]:
        """Ends the journey: the result of each statement sent. Raises the first error, when all are read; what came before
        it is then in ``arrived``. ``in_parts``: of the last result only the beginning, the rest through :attr:`stream`."""
        self._depart()
        for _ in range(self._unread):
            self._skip_to_sync()
        self._unread = 0
        self.arrived = results = []
        failure: pq.abc.PGresult | None = None
        while self._sent:
            known = self._sent[0]
            if in_parts and len(self._sent) == 1 and failure is None:
                self._libpq.set_chunked_rows_mode(PART)
            result = self._result()
            status = result.status
            if status == _PART:
                assert known is not None
                self.stream = Stream(self, known)
                results.append((result, known))
                if result.ntuples == PART:
                    return results
                self.stream.read()
                break
            self._sent.popleft()
            if status in _FAILED:
                failure = failure or result
            elif known is not None and status != _SKIPPED:
                results.append((result, known))
        else:
            self._skip_to_sync()
        self.arrive(failure)
        return results

    def arrive(self, failure: pq.abc.PGresult | None) -> None:
        """All results are read; raises the error that one of them is."""
        self.used = True
        self._travelling = False
        if failure is not None:
            for sql, _ in self._fresh:  # perhaps never made: made again at the next use, under another name
                del self._prepared[sql]
            self._fresh.clear()
            raise error_from_result(failure)
        self._fresh.clear()

    def post(self, sql: str) -> None:
        """Ends the journey with a last statement, and waits for nothing: what it says is thrown away."""
        self.send(sql)
        self._depart()
        self._sent.clear()
        self._fresh.clear()
        self._unread += 1
        self._travelling = False

    def ask(self, sql: str, values: Sequence[Value] = (), formats: Sequence[int] = ()) -> list[Any]:
        """The rows of one statement."""
        self.send(sql, values, formats)
        return rows_of(*self.receive()[-1], self.connection)

    def ask_in_parts(
        self, sql: str, values: Sequence[Value] = (), formats: Sequence[int] = ()
    ) -> tuple[list[Any], Stream | None]:
        """The first rows of one statement, and where the others come from, if there are more."""
        self.send(sql, values, formats)
        first = rows_of(*self.receive(in_parts=_IN_PARTS)[-1], self.connection)
        return first, self.stream

    def copy(self, sql: str, data: bytes) -> None:
        """Runs a COPY ... FROM STDIN with these lines."""
        if self.stream is not None:
            self.stream.finish()
        if self._unread or self._sent:
            self.receive()
        self._libpq.exit_pipeline_mode()
        try:
            with self.connection.cursor() as cursor, cursor.copy(sql.encode()) as copy:
                copy.write(data)
        finally:
            if not self.lost:
                self._libpq.enter_pipeline_mode()

    @property
    def lost(self) -> bool:
        """Whether the connection is broken."""
        return self._libpq.status != pq.ConnStatus.OK

    @property
    def clean(self) -> bool:
        """Whether it may be used again: nothing half sent, nothing half read."""
        return not self._sent and not self._travelling and not self.lost

    def close(self) -> None:
        """Says goodbye to the server, and stops what it may still be doing."""
        self.closed = True
        if self._sent and not self.lost:
            with suppress(psycopg.Error):
                self.connection.cancel_safe(timeout=_CANCEL_SECONDS)
        self.connection.close()

    # Inside

    def _prepare(self, sql: str, formats: Sequence[int]) -> Prepared:
        # Before a BEGIN, and in a transaction that failed, nothing may be forgotten: those statements stay, and make no room.
        if len(self._prepared) >= _MOST_PREPARED and not sql.startswith(_STAY):
            oldest = next((known for known in self._prepared if not known.startswith(_STAY)), None)
            if oldest is not None:
                forgotten = self._prepared.pop(oldest)
                self._libpq.send_query_params(b'DEALLOCATE "%b"' % forgotten.name, None)
                self._sent.append(None)
        self._names += 1
        made = Prepared(b"crmcore_%d" % self._names, formats)
        self._libpq.send_prepare(made.name, sql.encode())
        self._sent.append(None)
        self._prepared[sql] = made
        self._fresh.append((sql, made))
        return made

    def _depart(self) -> None:
        libpq = self._libpq
        self._travelling = True
        libpq.pipeline_sync()
        while libpq.flush():
            if self._poll(writing=True):
                libpq.consume_input()

    def _result(self) -> pq.abc.PGresult:
        libpq = self._libpq
        while True:
            while libpq.is_busy():
                self._poll(writing=False)
                libpq.consume_input()
            result = libpq.get_result()
            if result is not None:
                break
            if self.lost:
                raise psycopg.OperationalError("the server is gone")
        if result.status not in (_SYNC, _PART):
            self._end_of_result()
        return result

    def next_part(self) -> pq.abc.PGresult | None:
        """The next rows of a long answer; None behind the last of them. Raises the error that ended it."""
        result = self._result()
        if result.status == _PART:
            return result
        self._sent.clear()
        self._skip_to_sync()
        self.stream = None
        self.arrive(result if result.status in _FAILED else None)
        return None

    def _end_of_result(self) -> None:
        libpq = self._libpq
        while True:
            while libpq.is_busy():
                self._poll(writing=False)
                libpq.consume_input()
            if libpq.get_result() is None:
                return

    def _skip_to_sync(self) -> None:
        while self._result().status != _SYNC:
            pass


class Stream:
    """The rest of a long answer: read part by part, or to its end before the connection is needed for something else."""

    def __init__(self, link: Link, statement: Prepared) -> None:
        self._link = link
        self._statement = statement
        self._waiting: deque[pq.abc.PGresult] = deque()
        self.open = True
        self.left = False
        """Whether it was given up before it was read to its end."""

    def read(self) -> None:
        """Reads one part more."""
        part = self._link.next_part()
        if part is None:
            self.open = False
        else:
            self._waiting.append(part)

    def finish(self) -> None:
        """Reads what is left into memory."""
        while self.open:
            self.read()

    def leave(self, most: int | None) -> None:
        """Reads what is left and drops it, unless it is more than so many parts."""
        self.left = self.open
        while self.open and most != 0:
            self.read()
            self._waiting.clear()
            most = None if most is None else most - 1

    def rows(self) -> list[Any]:
        """The rows of the part that waits longest; none where none waits."""
        if not self._waiting:
            return []
        return rows_of(self._waiting.popleft(), self._statement, self._link.connection)


def rows_of(result: pq.abc.PGresult, statement: Prepared, connection: psycopg.Connection[Any]) -> list[Any]:
    """The rows of a result as tuples of Python's values."""
    reader = statement.reader
    if reader is None:
        reader = statement.reader = Transformer(connection)
        reader.set_pgresult(result)
    else:
        reader.set_pgresult(result, set_loaders=False)
    return reader.load_rows(0, result.ntuples, tuple)


def _poller(socket: int) -> Any:
    """Waits for the server, and gives whether something came. Interrupts come through, and other threads run."""
    if hasattr(select, "poll"):
        reading, both = select.poll(), select.poll()
        reading.register(socket, select.POLLIN)
        both.register(socket, select.POLLIN | select.POLLOUT)

        def poll(*, writing: bool) -> bool:
            found = (both if writing else reading).poll()
            return bool(found and found[0][1] & ~select.POLLOUT)
    else:

        def poll(*, writing: bool) -> bool:
            return bool(select.select([socket], [socket] if writing else [], [])[0])

    return poll


_SESSION = """
SELECT set_config('timezone', 'UTC', false), set_config('lock_timeout', %s, false),
    set_config('statement_timeout', %s, false), set_config('search_path', 'pg_catalog', false),
    set_config('datestyle', 'ISO', false),
    CASE WHEN current_setting('synchronous_commit', true) = 'off' THEN set_config('synchronous_commit', 'on', false) END,
    CASE WHEN current_setting('tcp_keepalives_idle', true) = '7200' THEN set_config('tcp_keepalives_idle', '30', false) END,
    CASE WHEN current_setting('tcp_keepalives_interval', true) = '75' THEN set_config('tcp_keepalives_interval', '10', false) END,
    current_setting('server_encoding')
"""


def connect(settings: Settings) -> psycopg.Connection[Any]:
    """A session with the store's settings; raises :class:`StoreUnavailable` and says what to do."""
    defaults = {"application_name": "crmcore", "connect_timeout": str(max(1, round(settings.connect_seconds)))}
    try:
        connection = psycopg.connect(
            **{**defaults, **settings.connection},  # type: ignore[arg-type]
            client_encoding="UTF8",
            autocommit=True,
        )
    except psycopg.Error as error:
        raise refused(error, settings.where()) from None
    try:
        waits = (str(max(1, round(settings.wait_seconds * 1000))), str(round(settings.statement_seconds * 1000)))
        found = connection.execute(_SESSION, waits).fetchone()
    except psycopg.Error as error:
        connection.close()
        raise translate(error) from None
    except BaseException:
        connection.close()
        raise
    if found is None or found[-1] != "UTF8":
        connection.close()
        raise StoreUnavailable("the database doesn't keep texts in UTF-8; make one with ENCODING 'UTF8'")
    return connection
