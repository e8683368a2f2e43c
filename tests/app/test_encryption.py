"""Encryption of a CRM: from the start, turned on later, under another key; and nothing of it in any file or message."""

from __future__ import annotations

import logging
import pprint
import sys
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

import crmcore
from crmcore import Money
from crmcore.app import stores
from crmcore.errors import Conflict, KeyMissing, KeyUnknown, MissingExtra, PlaybookError
from crmcore.storage import And, Eq, In, KeyRing, Or, Query, Update
from crmcore.storage.codec import to_plain
from crmcore.storage.sealed_store import SealedStore

pytest.importorskip("cryptography", reason="encryption needs crmcore[crypto]")

OLD, BOTH, NEW = (
    KeyRing.of({"old": bytes(32)}),
    KeyRing.of({"old": bytes(32), "new": bytes(range(32))}),
    KeyRing.of({"new": bytes(range(32))}),
)
SECRETS = """
extends = "standard"
key = "secrets"
[custom_fields.customer.bank_account]
kind = "text"
label = { zh = "银行账号", en = "Bank account" }
[privacy]
encrypted = [
    "customer.contract_amount", "customer.decision_makers", "customer.name", "customer.uscc", "customer.bank_account",
    "contact.phones", "contact.emails", "contact.name", "opportunity.expected_amount", "follow_up.summary", "customer.remarks",
]
"""
CANARIES = (
    "7654321",
    "王大锤",
    "独角兽科技",
    "91110000600037341L",
    "6222020200112233",
    "13911112222",
    "canary@example.com",
    "李小龙女士",
    "机密摘要",
)


@pytest.fixture
def secrets(tmp_path: Path) -> str:
    file = tmp_path / "secrets.toml"
    file.write_text(SECRETS, "utf-8")
    return str(file)


def fill(me: crmcore.Session) -> crmcore.Customer:
    """One customer with a canary in every field that is encrypted, changed once, so that events tell them, too."""
    customer = me.customers.register(
        name="独角兽科技有限公司",
        uscc="91110000600037341L",
        contract_amount=Money.of("1.00"),
        decision_makers=["王大锤"],
        custom={"bank_account": "6222020200112233"},
        contacts=[{"name": "李小龙女士", "phone": "13911112222", "email": "canary@example.com"}],
    )
    customer = me.customers.update(customer, contract_amount=Money.of("76543.21"), remarks="王大锤负责")
    me.follow_ups.log(customer, summary="机密摘要", method="phone")
    me.opportunities.open(name="数控", customer=customer, expected_amount=Money.of("76543.21"))
    return me.customers.get(customer.number)


def hits(folder: Path) -> list[tuple[str, str]]:
    """Where a canary stands in plain in any file of a folder."""
    forms = {
        word: (word.encode(), word.encode("utf-16-le"), word.encode("unicode_escape"), word.encode("gb18030"))
        for word in (*CANARIES, "76543.21")
    }
    found = []
    for file in folder.rglob("*"):
        content = file.read_bytes() if file.is_file() and file.suffix != ".toml" else b""
        if file.suffix == ".xlsx":
            with zipfile.ZipFile(file) as parts:
                content += b"".join(parts.read(name) for name in parts.namelist())
        found += [(file.name, word) for word, ways in forms.items() if any(way in content for way in ways)]
    return found


def test_a_new_store_that_is_opened_with_keys_is_encrypted(open_crm: Callable[..., crmcore.CRM]) -> None:
    crm = open_crm("standard", keys=OLD)
    me = crm.acting_as("sales.east")
    registered = me.customers.register(
        name="示例科技有限公司", contract_amount=Money.of("500000.00"), decision_makers=["王磊"]
    )
    assert me.customers.get(registered.number) == registered
    assert isinstance(crm.store, SealedStore)
    with crm.store.raw() as raw:
        (row,) = raw.scan("customers")
        assert not {50000000, '["王磊"]'} & set(row)
        assert not any("王磊" in str(value) for event in raw.scan("events") for value in event)
    assert crm.store.describe()["encrypted_fields"] == ["customer.contract_amount", "customer.decision_makers"]
    assert crm.check().findings == ()


def test_a_playbook_without_encrypted_fields_leaves_a_store_plain(open_crm: Callable[..., crmcore.CRM]) -> None:
    crm = open_crm("marketing", keys=OLD)
    crm.acting_as("a").customers.register(name="甲有限公司", contract_amount=Money.of(5))
    assert "encrypted_fields" not in crm.store.describe()
    with pytest.raises(KeyMissing):
        crm.rekey()


@pytest.mark.parametrize("scheme", ["sqlite", "excel"])
def test_no_file_of_a_store_holds_a_canary(scheme: str, tmp_path: Path, secrets: str) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    url = f"{scheme}:///{folder}/crm.{'db' if scheme == 'sqlite' else 'xlsx'}"
    with crmcore.open(url, secrets, keys=OLD) as crm:
        customer = fill(crm.acting_as("sales.east"))
        assert hits(folder) == []
        plain = crm.acting_as("sales.east").customers.get(customer.number)
        assert (plain.name, plain.custom["bank_account"]) == ("独角兽科技有限公司", "6222020200112233")
    assert hits(folder) == []
    with crmcore.open(url, keys=OLD) as crm:
        assert crm.acting_as("sales.east").customers.get(customer.number) == customer
        assert crm.edit_report is None


@pytest.mark.parametrize("scheme", ["sqlite", "excel"])
def test_turned_on_later_it_leaves_nothing_in_plain(scheme: str, tmp_path: Path, secrets: str) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    url = f"{scheme}:///{folder}/crm.{'db' if scheme == 'sqlite' else 'xlsx'}"
    with crmcore.open(url, secrets) as crm:
        customer = fill(crm.acting_as("sales.east"))
    with crmcore.open(url, keys=OLD) as crm:
        assert {word for _, word in hits(folder)} >= {"王大锤", "13911112222", "机密摘要"} or scheme == "excel"
        before = crm.check().digest
        done = crm.encrypt()
        assert done.rows > 5
        assert done.remains == ()
        assert crm.acting_as("a").customers.get(customer.number).replace(version=customer.version) == customer
        assert crm.check().findings == ()
        assert before is not None
        assert hits(folder) == []
        assert crm.encrypt().rows == 0
    assert hits(folder) == []
    with pytest.raises(KeyMissing):
        crmcore.open(url)


def test_a_store_that_is_encrypted_opens_with_its_own_keys_only(store_url: str) -> None:
    if store_url == "memory:":
        pytest.skip("it is gone at the first close")
    crmcore.open(store_url, "standard", keys=OLD).close()
    with pytest.raises(KeyMissing):
        crmcore.open(store_url)
    with pytest.raises(KeyUnknown, match="not in the key ring"):
        crmcore.open(store_url, keys=NEW)
    with pytest.raises(KeyUnknown, match="another key"):
        crmcore.open(store_url, keys=KeyRing.of({"old": bytes(range(32))}))


def test_a_program_that_opened_the_store_before_it_was_encrypted_writes_nothing_plain(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/crm.db"
    with crmcore.open(url, "standard") as plain:
        customer = plain.acting_as("a").customers.register(name="甲有限公司", contract_amount=Money.of(5))
        later, keyed = (crmcore.open(url, keys=OLD) for _ in range(2))
        later.encrypt()
        with pytest.raises(KeyMissing):
            plain.acting_as("a").customers.register(name="乙有限公司", contract_amount=Money.of(6))
        with pytest.raises(KeyMissing):
            plain.acting_as("a").customers.get(customer.number)
        keyed.acting_as("a").customers.register(name="丙有限公司", contract_amount=Money.of(7))
        assert keyed.acting_as("a").customers.get(customer.number).contract_amount == Money.of(5)
        assert later.check().findings == ()
        later.close()
        keyed.close()


def test_rekeyed_an_old_key_is_needed_no_longer(tmp_path: Path, secrets: str) -> None:
    url = f"sqlite:///{tmp_path}/crm.db"
    with crmcore.open(url, secrets, keys=OLD) as crm:
        customer = fill(crm.acting_as("a"))
    with crmcore.open(url, keys=BOTH) as crm:
        me = crm.acting_as("a")
        me.customers.register(name="乙有限公司", remarks="在新密钥下")
        with crm.store.transaction(write=True):
            assert set(crm.store.describe()["key_ids"]) == {"old", "new"}  # type: ignore[call-overload]
        seen: list[str] = []
        done = crm.rekey(lambda name, count: seen.append(name))
        assert (done.key_id, done.retired, done.still_used) == ("new", ("old",), ())
        assert {"customers", "events"} <= set(seen)
        assert crm.rekey().rows == 0
    with crmcore.open(url, keys=NEW) as crm:
        found = crm.acting_as("a").customers.get(customer.number)
        assert found.replace(version=customer.version) == customer
        assert crm.check().findings == ()
        updated = crm.acting_as("a").customers.update(customer, remarks="改过")  # as it was read before: no conflict
        with pytest.raises(Conflict):
            crm.acting_as("a").customers.update(found, remarks="又改过")
        assert crm.acting_as("a").customers.get(customer.number) == updated
    with pytest.raises(KeyUnknown):
        crmcore.open(url, keys=OLD)


def test_an_interrupted_rekeying_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from crmcore.app import encryption

    monkeypatch.setattr(encryption, "BATCH", 3)
    url = f"sqlite:///{tmp_path}/crm.db"
    with crmcore.open(url, "standard", keys=OLD) as crm:
        for number in range(10):
            crm.acting_as("a").customers.register(name=f"第{number}有限公司", contract_amount=Money.of(number + 1))
    with crmcore.open(url, keys=BOTH) as crm:
        rewritten = encryption._rewritten
        calls = iter(range(3))
        monkeypatch.setattr(encryption, "_rewritten", lambda *given: (next(calls), rewritten(*given))[1])
        with pytest.raises((StopIteration, RuntimeError)):
            crm.rekey()
        monkeypatch.setattr(encryption, "_rewritten", rewritten)
        assert {one.contract_amount for one in crm.acting_as("a").customers.find(limit=50)} == {
            Money.of(n) for n in range(1, 11)
        }
        done = crm.rekey()
        assert done.rows == 20 - 9
        assert done.retired == ("old",)


def test_equality_and_duplicates_agree_with_a_store_in_plain(tmp_path: Path, secrets: str) -> None:
    with crmcore.open("memory:", secrets) as plain, crmcore.open("memory:", secrets, keys=OLD) as sealed:
        for crm in (plain, sealed):
            me = crm.acting_as("a")
            for number in range(12):
                me.customers.register(name=f"第{number % 12} Trading 公司", uscc=f"9111000060003734{number:02}")
            for name, uscc in (("第3trading公司", None), ("另一公司", "911100006000373405")):
                with pytest.raises(crmcore.CRMError) as caught:
                    me.customers.register(name=name, uscc=uscc)
                assert caught.value.code in ("duplicate_customer", "invalid")
            me.customers.register(name="电话有限公司", contacts=[{"name": "甲", "phone": "13800138000"}])
            (key,) = crm.read(lambda look: list(look.find(Query("match_keys", Eq("kind", "phone")))))
            same = Or(And(Eq("kind", "phone"), Eq("value", key[6])), And(Eq("kind", "email"), Eq("value", "x")))
            assert crm.read(lambda look, same=same: list(look.find(Query("match_keys", same)))) == [key]
            assert "13800138000" in key[6]
        with sealed.store.raw() as raw:  # type: ignore[attr-defined]
            assert not any("13800138000" in str(row) for row in raw.scan("match_keys"))
        found = [
            [(one.name, one.uscc) for one in crm.acting_as("a").customers.find(**wanted)]
            for wanted in ({"search": "3 trading"}, {"order": ["-name"], "limit": 5})
            for crm in (plain, sealed)
        ]
        assert found[0::2] == found[1::2]
        assert all(found)
        for where in (Eq("uscc", "911100006000373407"), In("name_key", ("第3trading公司", "第11trading公司"))):
            both = [
                {row[8] for row in crm.read(lambda look, where=where: list(look.find(Query("customers", where))))}
                for crm in (plain, sealed)
            ]
            assert both[0] == both[1] != set()


def test_nothing_that_shows_a_crm_shows_a_key_or_an_encrypted_value(
    tmp_path: Path, secrets: str, caplog: pytest.LogCaptureFixture
) -> None:
    secret = bytes(range(1, 33))
    ring = KeyRing.of({"k": secret})
    url = f"sqlite:///{tmp_path}/crm.db"
    with caplog.at_level(logging.DEBUG), crmcore.open(url, secrets, keys=ring) as crm:
        fill(crm.acting_as("a"))
        shown = [repr(crm), repr(crm.store), repr(crm.keys), repr(crm.store.describe())]
        shown.append(pprint.pformat({name: value for name, value in vars(crm).items() if name != "playbook"}))
        shown.append(repr(to_plain(attrs.asdict(crm.store.encryption))))  # type: ignore[arg-type, union-attr]
        with crm.store.raw() as raw:
            shown += [repr(row) for row in raw.scan("settings")]
        with crm.store.raw(write=True) as raw:
            (row,) = raw.scan("customers")
            spoilt = str(row[-1]).replace("k:", "k:AAAA", 1)
            raw.apply([Update("customers", (row[0], row[1] + 1, *row[2:-1], spoilt), row[1])])
        try:
            crm.acting_as("a").customers.find()
        except crmcore.CRMError as error:
            assert error.code == "sealed_value_broken"
            shown += ["".join(traceback.format_exception(error)), repr(error.details), error.text("zh-CN")]
        assert [found.kind for found in crm.check().findings] == ["store"]
    shown.append(caplog.text)
    for word in (*CANARIES, secret.hex(), repr(secret)[2:40]):
        assert not any(word in text for text in shown), word


def test_without_its_library_encryption_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(MissingExtra, match=r"crmcore\[crypto\]"):
        crmcore.open("memory:", "standard", keys=OLD)
    crmcore.open("memory:", "marketing", keys=OLD).close()  # the keys serve the chain of events alone


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("customer.number", "found, numbered or moved"),
        ("customer.stage", "found, numbered or moved"),
        ("contact.customer_id", "found, numbered or moved"),
        ("opportunity.lost_reason", "found, numbered or moved"),
        ("event.changes", "found, numbered or moved"),
        ("customer.nothing", "unknown"),
    ],
)
def test_a_field_by_which_records_are_found_is_not_encrypted(tmp_path: Path, field: str, told: str) -> None:
    file = tmp_path / "p.toml"
    file.write_text(
        f'extends = "standard"\nkey = "p"\n[privacy]\nencrypted = ["{field}", "customer.remarks"]\n', "utf-8"
    )
    with pytest.raises(PlaybookError) as caught:
        crmcore.open("memory:", str(file))
    assert any(
        problem.startswith(f"privacy.encrypted: {field}") or told == "unknown" for problem in caught.value.problems
    )
    assert len(caught.value.problems) == 1


def test_a_copy_is_encrypted_like_its_source(tmp_path: Path, secrets: str) -> None:
    source, target = (f"sqlite:///{tmp_path}/{name}.db" for name in ("a", "b"))
    with crmcore.open(source, secrets, keys=OLD) as crm:
        customer = fill(crm.acting_as("a"))
    stores.copy(source, target)
    with crmcore.open(target, keys=OLD) as crm:
        assert crm.acting_as("a").customers.get(customer.number) == customer
    assert hits(tmp_path) == []


def test_a_field_that_is_encrypted_no_longer_is_written_in_plain(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/crm.db"
    with crmcore.open(url, "standard", keys=OLD) as crm:
        customer = crm.acting_as("a").customers.register(name="甲有限公司", contract_amount=Money.of(5))
    with crmcore.open(url, "marketing", keys=OLD, switch_playbook=True) as crm:
        assert crm.acting_as("a").customers.get(customer.number).contract_amount == Money.of(5)
        crm.encrypt()
        assert isinstance(crm.store, SealedStore)
        with crm.store.raw() as raw:
            (row,) = raw.scan("customers")
            assert row[-1] is None
            assert raw.count("customers", Eq("contract_amount", 500)) == 1


def test_merging_the_chain_and_erasing_work_on_encrypted_values(tmp_path: Path, secrets: str) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    with crmcore.open(f"sqlite:///{folder}/crm.db", secrets, keys=OLD) as crm:
        me = crm.acting_as("a")
        customer = fill(me)
        other = me.customers.register(
            name="独角兽科技(上海)", remarks="机密摘要", contacts=[{"name": "甲", "phone": "13911112222"}]
        )
        before = crm.check()
        me.customers.merge(customer, other, reason="同一家")
        assert hits(folder) == []
        with crm.store.raw() as raw:  # type: ignore[attr-defined]
            assert {str(row[6])[:7] for row in raw.scan("absent_records")} == {"sealed:"}
        me.customers.unmerge(other.number, reason="弄错了")
        assert me.customers.get(other.number).remarks == "机密摘要"
        assert crm.audit.verify().faults == ()
        assert [crm.check().findings, before.findings] == [(), ()]
        me.customers.merge(customer, other, reason="同一家")
    with crmcore.open(f"sqlite:///{folder}/crm.db", keys=BOTH) as crm:
        assert crm.rekey().retired == ("old",)
        me = crm.acting_as("a")
        me.customers.unmerge(other.number, reason="又分开")
        assert me.customers.get(other.number).remarks == "机密摘要"
        assert crm.audit.verify().faults == ()
        person = me.customers.register(
            name="王小明", kind="individual", contacts=[{"name": "王小明", "phone": "13711112222"}]
        )
        me.customers.erase(person, reason="本人要求")
        assert crm.audit.verify().faults == ()
        assert crm.check().findings == ()
    assert hits(folder) == []


def test_an_import_is_rehearsed_taken_in_and_undone_on_encrypted_values(tmp_path: Path, secrets: str) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    file = tmp_path / "客户.csv"
    file.write_text("客户名称,联系人,手机,备注\n独角兽科技有限公司,李小龙女士,13911112222,机密摘要\n", "utf-8")
    with crmcore.open(f"sqlite:///{folder}/crm.db", secrets, keys=OLD) as crm:
        me = crm.acting_as("a")
        assert me.imports.plan(file).rehearse().created == 1
        assert me.customers.count() == 0
        assert me.imports.plan(file).apply().created == 1
        assert me.imports.plan(file).apply().known == 1
        assert hits(folder) == []
        with crm.store.raw() as raw:  # type: ignore[attr-defined]
            causes = {str(row[-5:]) for row in raw.scan("events")}
            assert all("sealed:old:" in str(row[0]) for row in raw.scan("imported_rows"))
            assert any("sealed:old:" in cause for cause in causes)
        (run,) = me.imports.runs()
        me.imports.undo(run)
        assert me.customers.count() == 0
        assert crm.audit.verify().faults == ()
    assert hits(folder) == []
