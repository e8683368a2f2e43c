"""The kit keeps integrators honest: nothing is overridden silently, nothing is skipped without a reason."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain import Contact, Customer, Money
from crmcore.domain.fields import clean_decimal, clean_integer, clean_text
from crmcore.storage import Capability, Row
from crmcore.storage.memory import MemoryBackend, MemoryData, MemoryStore
from crmcore.testing import (
    SCHEMA,
    Harness,
    Report,
    StoreContract,
    clause,
    clauses,
    expected_failure,
    run_contract,
    strategies,
)
from crmcore.testing.clause import Contract
from crmcore.testing.difficult import DIFFICULT, LONG_TEXTS
from crmcore.testing.kit_schema import FIELD_TYPES, VALUES, changed, values_row

pytest_plugins = ["pytester"]


def harness() -> Harness:
    data = MemoryData(SCHEMA)
    return Harness(backend=MemoryBackend(), open=lambda: MemoryStore(data))


def outcome(contract: type[Contract], id: str) -> Report:
    return run_contract(harness, contract, only=[id])


class Sample(Contract):
    @clause("S-SAMPLE-01", "holds")
    def test_that_holds(self, harness: Harness) -> None:
        assert harness

    @clause("S-SAMPLE-02", "is broken")
    def test_that_fails(self, harness: Harness) -> None:
        pytest.fail("broken")

    @clause("S-SAMPLE-03", "is of a later version", since=(1, 9))
    def test_that_is_new(self, harness: Harness) -> None:
        assert harness

    @clause("S-SAMPLE-04", "needs", needs=Capability.EXTERNAL_EDITS)
    def test_that_needs(self, harness: Harness) -> None:
        pytest.fail("ran")

    @clause("S-SAMPLE-05", "is given", given="impatient")
    def test_that_is_given(self, harness: Harness) -> None:
        pytest.fail("ran")


def test_a_report_counts_what_ran() -> None:
    report = run_contract(harness, Sample)
    assert set(report.passed) == {"S-SAMPLE-01"}
    assert report.failed == {"S-SAMPLE-02": "Failed: broken; the clause: is broken"}
    assert report.skipped == {
        "S-SAMPLE-04": "S-SAMPLE-04 needs the capability external_edits, which the backend does not declare",
        "S-SAMPLE-05": "S-SAMPLE-05 needs impatient, which the harness does not give",
    }
    assert str(report).startswith(
        "passed 1 of 2 applicable clauses (4 in all)\nfailed S-SAMPLE-02: Failed: broken; the clause: is broken\n"
    )
    with pytest.raises(ValueError, match=r"no version 1\.9"):
        run_contract(harness, Sample, version=(1, 9))
    with pytest.raises(ValueError, match="S-SAMPLE-09"):
        run_contract(harness, Sample, only=["S-SAMPLE-09"])


def test_a_clause_cannot_be_overridden_silently() -> None:
    with pytest.raises(TypeError, match=r'@expected_failure\("S-SAMPLE-02"'):
        type("Quiet", (Sample,), {"test_that_fails": lambda self, harness: None})
    with pytest.raises(TypeError, match="S-SAMPLE-02"):
        type("Gone", (Sample,), {"test_that_fails": None})
    with pytest.raises(TypeError, match="S-SAMPLE-02"):

        class Other(Sample):
            @expected_failure("S-SAMPLE-01", "the wrong id")
            def test_that_fails(self, harness: Harness) -> None: ...


def test_an_expected_failure_must_fail() -> None:
    class Broken(Sample):
        @expected_failure("S-SAMPLE-02", "known")
        def test_that_fails(self, harness: Harness) -> None: ...

    class Mended(Sample):
        @expected_failure("S-SAMPLE-01", "was broken once")
        def test_that_holds(self, harness: Harness) -> None: ...

    class Absent(Sample):
        @expected_failure("S-SAMPLE-04", "never tried")
        def test_that_needs(self, harness: Harness) -> None: ...

    assert outcome(Broken, "S-SAMPLE-02").expected == {"S-SAMPLE-02": "S-SAMPLE-02: known"}
    assert "holds: take the declaration away" in outcome(Mended, "S-SAMPLE-01").failed["S-SAMPLE-01"]
    assert list(outcome(Absent, "S-SAMPLE-04").skipped) == ["S-SAMPLE-04"]


def test_a_declared_failure_stays_declared_in_subclasses() -> None:
    class Broken(Sample):
        @expected_failure("S-SAMPLE-02", "known")
        def test_that_fails(self, harness: Harness) -> None: ...

    class Further(Broken):
        pass

    assert list(outcome(Further, "S-SAMPLE-02").expected) == ["S-SAMPLE-02"]
    with pytest.raises(TypeError, match="S-SAMPLE-02"):
        type("Quiet", (Broken,), {"test_that_fails": lambda self, harness: None})


def test_ids_have_a_form_and_are_used_once() -> None:
    with pytest.raises(ValueError, match="S-FAMILY-01"):
        clause("TX-1", "no")

    class Twice(Sample):
        @clause("S-SAMPLE-01", "again")
        def test_again(self, harness: Harness) -> None: ...

    with pytest.raises(TypeError, match="S-SAMPLE-01"):
        clauses(Twice)
    assert all(name.startswith("test_") for name in clauses(StoreContract).values())


def test_a_failure_names_its_clause() -> None:
    with pytest.raises(pytest.fail.Exception) as raised:
        Sample().test_that_fails(harness())
    assert raised.value.__notes__ == ["S-SAMPLE-02: is broken"]


def test_pytest_shows_clauses_as_they_are(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from crmcore.storage.memory import MemoryBackend, MemoryData, MemoryStore
        from crmcore.testing import SCHEMA, Harness, StoreContract, expected_failure
        from crmcore.testing.contract.lasting import Closing

        class TestNoHarness(StoreContract):
            pass

        class TestMine(StoreContract):
            @pytest.fixture
            def harness(self):
                data = MemoryData(SCHEMA)
                return Harness(backend=MemoryBackend(), open=lambda: MemoryStore(data))

            @expected_failure("S-CLOSE-02", "it holds, so this must fail")
            def test_closing_twice_is_nothing(self, harness): ...
        """
    )
    closing = "store_is_closed or closing_twice or block_closes or handles_close"
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-rs", "-k", closing, "-W", "error")
    result.assert_outcomes(passed=3, failed=1, errors=4, deselected=len(clauses(StoreContract)) * 2 - 8)
    result.stdout.fnmatch_lines(["*this contract needs to know your store*", "*take the declaration away*"])


def test_without_a_url_something_must_open_the_store() -> None:
    with pytest.raises(TypeError, match="needs open, or a url"):
        Harness(backend=MemoryBackend()).open()


def test_assertions_switched_off_prove_nothing() -> None:
    code = (
        "from crmcore.testing import run_contract\ntry: run_contract(None)\nexcept RuntimeError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True, check=True)
    assert "python -O" in done.stdout


def test_examples_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRMCORE_KIT_EXAMPLES", "7")
    assert harness().settings().max_examples == 7
    assert Harness(backend=MemoryBackend(), examples=3).settings().max_examples == 3


@pytest.mark.parametrize("type", FIELD_TYPES)
def test_difficult_values_are_ones_that_the_domain_lets_through(type: str) -> None:
    clean = {"text": clean_text, "integer": clean_integer, "decimal": clean_decimal}
    values = [*DIFFICULT[type], *LONG_TEXTS] if type == "text" else DIFFICULT[type]
    for value in values:
        assert clean.get(type, lambda same: same)(value) == value
    if type == "text":
        assert len(set(values)) == len(values)


@given(row=strategies.rows(VALUES))
def test_rows_drawn_are_ones_that_the_domain_lets_through(row: Row) -> None:
    for field, value in zip(VALUES.fields, row, strict=True):
        assert value is not None or field.nullable
        if field.type == "text" and value is not None:
            assert clean_text(value) == value


@given(customer=strategies.customers(tier=st.just("A")), contact=strategies.contacts(), money=strategies.moneys("JPY"))
def test_entities_are_drawn_for_users_tests(customer: Customer, contact: Contact, money: Money) -> None:
    assert (customer.tier, money.currency) == ("A", "JPY")
    assert customer.replace(name=contact.name).name == contact.name


def test_rows_are_made_by_name() -> None:
    row = values_row("a", text="x")
    assert changed(VALUES, row, text=None)[1:3] == (2, None)
    with pytest.raises(TypeError, match="txet"):
        values_row("a", txet="x")
