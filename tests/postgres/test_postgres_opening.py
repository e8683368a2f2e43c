"""Opening: what is made, what is refused, and how it is told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from postgres_samples import FULL, SCHEMA, THINGS, everything, open_store, thing
from postgres_server import Server, beside, with_options

from crmcore.errors import InvalidURL, MissingExtra, ReadOnly, SchemaMismatch, StoreUnavailable
from crmcore.storage import Collection, Field, Insert, Schema, StoreURL
from crmcore_postgres import PostgresBackend
from crmcore_postgres.settings import Settings

Urls = Callable[..., str]


def namespace_of(url: str) -> str:
    return Settings.of(StoreURL.parse(url)).namespace


def test_a_new_schema_gets_tables_and_indexes(postgres_url: Urls) -> None:
    url = postgres_url()
    open_store(url).close()
    with beside(url) as other:
        named = other.execute(
            "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = %s",
            (namespace_of(url),),
        ).fetchall()
    assert {name for (name,) in named} == {
        *("things", "notes", "_crmcore", "things_pkey", "notes_pkey", "_crmcore_pkey"),
        *("uq_things_number", "uq_things_text_integer", "ix_things_select_date"),
    }


def test_the_data_are_there_again(postgres_url: Urls) -> None:
    with open_store(postgres_url()) as store, store.transaction(write=True) as transaction:
        transaction.apply([Insert("things", thing("a", **FULL))])
    with open_store(postgres_url()) as store:
        assert everything(store)["things"] == {thing("a", **FULL)}


def test_a_schema_of_the_database_is_a_store_of_its_own(postgres_url: Urls) -> None:
    with open_store(postgres_url()) as store, store.transaction(write=True) as transaction:
        transaction.apply([Insert("things", thing("a"))])
    other = postgres_url().replace("schema=t", "schema=u")
    with open_store(other) as store:
        assert everything(store)["things"] == set()
    with beside(other) as connection:
        connection.execute(f"DROP SCHEMA {namespace_of(other)} CASCADE")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("postgresql:", "no database"),
        ("postgresql://host", "no database"),
        ("postgresql://host/", "no database"),
        ("postgresql://a b:x@h:1:2/crm", "host:port"),
        ("postgresql://h:port/crm", "host:port"),
        ("postgresql://h/crm?schema=Crm", "small letters"),
        ("postgresql://h/crm?schema=pg_x", "small letters"),
        ("postgresql://h/crm?schema=a;b", "small letters"),
        ("postgresql://h/crm?wait=soon", "wait is a number of seconds"),
        ("postgresql://h/crm?statement_timeout=-1", "statement_timeout is a number of seconds"),
        ("postgresql://h/crm?pool=0", "most connections"),
        ("postgresql://h/crm?password=s3cret", "before the host"),
        ("postgresql://h/crm?options=-c%20x", "no option options"),
        ("postgresql://h/a%00b", "NUL"),
    ],
)
def test_a_url_that_says_nothing_is_refused(text: str, part: str) -> None:
    with pytest.raises(InvalidURL, match=part) as raised:
        PostgresBackend().open(StoreURL.parse(text), SCHEMA)
    assert "s3cret" not in str(raised.value)


def test_the_parts_of_a_url_are_libpqs() -> None:
    settings = Settings.of(StoreURL.parse("postgresql://li%40x:p%3Aw@db1:5433,[::1]/c%20r?sslmode=require&wait=0.5s"))
    assert settings.connection == {
        "user": "li@x",
        "password": "p:w",
        "host": "db1,::1",
        "port": "5433,",
        "dbname": "c r",
        "sslmode": "require",
    }
    assert settings.wait_seconds == 0.5
    assert "p:w" not in repr(settings)
    assert settings.where() == {"host": "db1,::1", "port": "5433,", "dbname": "c r"}


def test_tables_of_another_program_are_left_alone(postgres_url: Urls) -> None:
    url = postgres_url()
    with beside(url) as other:
        other.execute(f"CREATE SCHEMA {namespace_of(url)}")
        other.execute(f"CREATE TABLE {namespace_of(url)}.things (id int)")
        with pytest.raises(SchemaMismatch, match="another program"):
            open_store(url)
        assert other.execute(f"SELECT count(*) FROM {namespace_of(url)}.things").fetchone() == (0,)


def test_another_format_is_refused_with_a_hint(postgres_url: Urls) -> None:
    open_store(postgres_url()).close()
    collections = SCHEMA.collections.values()
    with pytest.raises(SchemaMismatch, match="crmcore upgrade") as raised:
        open_store(postgres_url(), Schema.of(4, collections))
    assert raised.value.details == {"found": 3, "expected": 4}
    with pytest.raises(SchemaMismatch, match="a newer crmcore is needed"):
        open_store(postgres_url(), Schema.of(2, collections))
    more = Collection(name="things", fields=(*THINGS.fields, Field("more", "text")))
    with pytest.raises(SchemaMismatch, match="other fields"):
        open_store(postgres_url(), Schema.of(3, [more, SCHEMA.collection("notes")]))


def test_those_that_open_at_once_make_the_tables_once(postgres_url: Urls) -> None:
    with ThreadPoolExecutor(6) as pool:
        stores = list(pool.map(open_store, [postgres_url()] * 6))
    for index, store in enumerate(stores):
        with store.transaction(write=True) as transaction:
            transaction.apply([Insert("things", thing(str(index)))])
    assert len(everything(stores[0])["things"]) == 6
    for store in stores:
        store.close()


def test_what_stands_in_the_way_is_told(server_of_its_own: Server) -> None:
    url = server_of_its_own.url()
    with beside(url) as other:
        other.execute("CREATE ROLE locked NOLOGIN")
        other.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
        other.execute("CREATE ROLE guest LOGIN")
    secret = "postgresql://guarded:s3cret@/crm?host=" + str(server_of_its_own.folder)
    cases = {
        url.replace("/crm?", "/nothing_there?"): ("database", "CREATE DATABASE"),
        url.replace("crm@", "nobody@"): ("role", "CREATE ROLE"),
        url.replace("crm@", "locked@"): ("role", "CREATE ROLE"),
        "postgresql://crm@127.0.0.1:1/crm": ("no_server", "is it running"),
        "postgresql://crm@/crm?host=/nowhere": ("no_server", "is it running"),
        with_options(url, sslmode="nonsense"): ("setting", "an option of the URL"),
        with_options(url, target_session_attrs="standby"): ("session", "target_session_attrs"),
        secret: ("password", "password"),
    }
    for case, (reason, says) in cases.items():
        with pytest.raises(StoreUnavailable, match=says) as raised:
            open_store(case)
        assert raised.value.details["reason"] == reason, case
        assert "s3cret" not in f"{raised.value!r}{raised.value.details}"
    with pytest.raises(StoreUnavailable, match="UTF-8"):
        open_store(url.replace("/crm?", "/latin?"))
    with pytest.raises(StoreUnavailable, match="GRANT CREATE"):
        open_store(url.replace("crm@", "guest@"))


def test_a_role_that_may_only_read_reads(server_of_its_own: Server) -> None:
    url = server_of_its_own.url(schema="shared")
    with open_store(url) as store, store.transaction(write=True) as transaction:
        transaction.apply([Insert("things", thing("a"))])
    with beside(url) as other:
        other.execute("CREATE ROLE reader LOGIN")
        other.execute("GRANT USAGE ON SCHEMA shared TO reader")
        other.execute("GRANT SELECT ON ALL TABLES IN SCHEMA shared TO reader")
    with open_store(url.replace("crm@", "reader@")) as store:
        assert everything(store)["things"] == {thing("a")}
        with pytest.raises(ReadOnly, match="may not write"), store.transaction(write=True):
            pytest.fail("a reader writes")
    with beside(url) as other:
        other.execute("ALTER ROLE crm SET default_transaction_read_only = on")
    try:
        with open_store(url) as store:
            assert store.describe()["read_only"] is True
            assert everything(store)["things"] == {thing("a")}
            with pytest.raises(ReadOnly), store.transaction(write=True):
                pytest.fail("a reader writes")
        with pytest.raises(StoreUnavailable, match="no tables"):
            open_store(server_of_its_own.url(schema="new"))
    finally:
        with beside(url) as other:
            other.execute("SET default_transaction_read_only = off")
            other.execute("ALTER ROLE crm RESET default_transaction_read_only")


def test_facts_for_the_doctor(postgres_url: Urls) -> None:
    with open_store(postgres_url()) as store:
        facts = store.describe()
        assert str(facts["server"]).startswith("PostgreSQL")
        assert facts["schema_version"] == 3
        assert facts["schema"] == namespace_of(postgres_url())
        assert int(str(facts["size_bytes"])) > 0
        assert 0 < float(str(facts["latency_ms"])) < 10_000
        assert store.check() == []


def test_the_check_finds_what_other_programs_did(postgres_url: Urls) -> None:
    url = postgres_url()
    name = namespace_of(url)
    with open_store(url) as store, beside(url) as other:
        other.execute(f"DROP INDEX {name}.uq_things_number")
        other.execute(f"ALTER TABLE {name}.notes DROP COLUMN text")
        other.execute(
            f"INSERT INTO {name}.things (id, version, number, date, instant, decimal)"
            " VALUES ('secret', 1, 'x', 'infinity', '20000-01-01', 'NaN')"
        )
        found = store.check()
        assert found == [
            "1 rows of things hold a date in date that can't be read",
            "1 rows of things hold a instant in instant that can't be read",
            "1 rows of things hold a decimal in decimal that can't be read",
            "notes has no column text",
            "the index uq_things_number is not there, so its key is not guarded",
        ]


def test_importing_the_backend_loads_neither_sqlalchemy_nor_psycopg() -> None:
    script = (
        "import sys, crmcore_postgres; crmcore_postgres.PostgresBackend();"
        " assert not {'sqlalchemy', 'psycopg'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("missing", ["sqlalchemy", "psycopg"])
def test_without_its_libraries_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtra, match=r'pip install "crmcore\[postgres\]"'):
        open_store("postgresql://localhost/crm")
