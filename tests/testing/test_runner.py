"""The runner: from a URL to a report that counts what ran, and an exit code."""

import json
from pathlib import Path

import pytest

from crmcore.storage import Backend, Capability, Insert, Schema, StoreURL
from crmcore.storage.memory import MemoryBackend, MemoryData, MemoryStore
from crmcore.testing import SCHEMA, Harness, StoreContract, clauses, expected_failure, run_contract
from crmcore.testing import places as places_of_a_url
from crmcore.testing.__main__ import main
from crmcore.testing.clause import clause_of
from crmcore.testing.kit_schema import group_row
from crmcore.testing.report import FLOORS

sqlite = pytest.importorskip("crmcore_sqlite")


class Declared(StoreContract):
    """Declares what isn't so."""

    @expected_failure("S-CLOSE-02", "it holds")
    def test_closing_twice_is_nothing(self, harness: Harness) -> None: ...


class Odd(MemoryBackend):
    """Declares more than it can be tried for."""

    capabilities = frozenset({Capability.MULTI_PROCESS, Capability.SNAPSHOT_READS})


def test_a_report_counts_by_family(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["memory:", "--only", "S-CLOSE-01", "S-CLOSE-02", "S-URL-01"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split() for line in told[:3]] == [
        ["family", "passed", "failed", "expected", "skipped"],
        ["S-CLOSE", "2", "0", "0", "0"],
        ["S-URL", "0", "0", "0", "1"],
    ]
    assert told[4:] == [
        "passed 2 of 2 applicable clauses (3 in all)",
        "skipped S-URL-01: needs url, which the harness does not give",
    ]


def test_a_report_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path}/kit.db"
    assert main([url, "--json", "--examples", "1", "--only", "S-REOPEN-01", "S-ISOLATION-05", "S-EDIT-01"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told.pop("seconds") > 0
    assert told == {
        "url": url,
        "backend": "crmcore_sqlite.backend.SqliteBackend",
        "capabilities": ["durable", "large", "multi_process", "push_down", "snapshot_reads"],
        "contract": "1.2",
        "ok": True,
        "clauses": 3,
        "applicable": 2,
        "passed": ["S-ISOLATION-05", "S-REOPEN-01"],
        "failed": {},
        "expected": {},
        "skipped": {"S-EDIT-01": "S-EDIT-01 needs the capability external_edits, which the backend does not declare"},
        "short": {},
        "families": {
            "S-EDIT": {"passed": 0, "failed": 0, "expected": 0, "skipped": 1},
            "S-ISOLATION": {"passed": 1, "failed": 0, "expected": 0, "skipped": 0},
            "S-REOPEN": {"passed": 1, "failed": 0, "expected": 0, "skipped": 0},
        },
    }
    assert list(tmp_path.iterdir()) == [], "the runner left something behind"


def test_a_file_that_is_there_is_never_touched(tmp_path: Path) -> None:
    file = tmp_path / "kit.db"
    file.write_bytes(b"somebody's")
    assert main([f"sqlite:///{file}", "--only", "S-TX-01"]) == 0
    assert file.read_bytes() == b"somebody's"


def test_a_broken_clause_ends_in_one(capsys: pytest.CaptureFixture[str]) -> None:
    contract = f"{Declared.__module__}:Declared"
    assert main(["memory:", "--contract", contract, "--only", "S-CLOSE-02"]) == 1
    told = capsys.readouterr().out
    assert "failed S-CLOSE-02: Failed: S-CLOSE-02 is declared as broken (it holds) but holds" in told
    assert f"; the clause: {clause_of(StoreContract, clauses(StoreContract)['S-CLOSE-02']).text}" in told


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing-serves-this:"],
        ["no url"],
        ["memory:", "--only", "S-NONE-01"],
        ["sqlite:////no/such/folder/kit.db", "--only", "S-TX-01"],
        ["sqlite:///kit.db?foo=1", "--only", "S-TX-01"],
        ["memory:", "--contract", "nope:Nope"],
        ["memory:", "--contract", "os"],
        ["memory:", "--contract", "os:path"],
        ["memory:", "--version", "9.9"],
        ["memory:", "--version", "1.0", "--only", "S-CLAIM-01"],
    ],
)
def test_what_cannot_begin_ends_in_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("crmcore.testing: ")
    assert "Traceback" not in told.err
    assert "Errno" not in told.err


def test_no_examples_are_no_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["memory:", "--examples", "0"])
    assert ended.value.code == 2
    assert "--examples" in capsys.readouterr().err


def test_the_contract_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["memory:", "--json", "--version", "1.0", "--examples", "1"]) == 0
    told = json.loads(capsys.readouterr().out)
    old = [id for id, name in clauses(StoreContract).items() if clause_of(StoreContract, name).since == (1, 0)]
    assert told["clauses"] == len(old) == 90
    assert told["contract"] == "1.0"


def test_what_is_declared_must_have_been_tried() -> None:
    def harness() -> Harness:
        data = MemoryData(SCHEMA)
        return Harness(backend=Odd(), open=lambda: MemoryStore(data), examples=1, steps=3, many=50)

    report = run_contract(harness)
    assert report.short == {"multi_process": "multi_process is declared, but only 1 of its clauses ran; the floor is 3"}
    assert not report.ok
    assert "failed: multi_process is declared, but only 1" in str(report)
    assert run_contract(harness, floors={}).short == {}
    assert run_contract(harness, only=["S-TX-01"]).short == {}


def test_every_capability_has_a_floor_that_can_be_reached() -> None:
    stated = [clause_of(StoreContract, name) for name in clauses(StoreContract).values()]
    for capability in Capability:
        assert 1 <= FLOORS[capability] <= sum(clause.needs == capability for clause in stated)


class Server(Backend):
    """A backend whose URLs name a server; its data last as long as the class."""

    data = MemoryData(SCHEMA)
    told: Schema | None = SCHEMA

    def open(self, url: StoreURL, schema: Schema) -> MemoryStore:
        return MemoryStore(self.data)

    def stored(self, url: StoreURL) -> Schema | None:
        return self.told


def test_a_server_with_data_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places_of_a_url, "find_backend", lambda scheme: Server())
    with places_of_a_url.places("server://host/database", examples=1) as harness:
        assert not run_contract(harness, only=["S-TX-01", "S-ISOLATION-01"]).failed
    with Server().open(StoreURL.parse("server://host/database"), SCHEMA) as store:
        with store.transaction(write=True) as work:
            assert not any(work.count(name) for name in SCHEMA.collections), "the runner left rows"
            work.apply([Insert("group", group_row("a"))])
        assert main(["server://host/database"]) == 2
        with store.transaction() as work:
            assert work.count("group") == 1
    monkeypatch.setattr(Server, "told", Schema.of(7, []))
    assert main(["server://host/database"]) == 2
