"""The key ring: where it is read from, what it refuses, what it derives, and that it shows no key."""

from __future__ import annotations

import base64
import copy
import json
import logging
import os
import pickle
import pprint
import traceback
from datetime import date
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore.errors import CRMError, InvalidKeys, KeyMissing, KeyUnknown
from crmcore.storage.codec import to_plain
from crmcore.storage.keys import KEY_BYTES, KeyRing

ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", fullmatch=True).filter(lambda id: id not in ("env", "file"))
secrets = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)
rings = st.dictionaries(ids, secrets, min_size=1, max_size=4)
ONE, TWO = bytes(range(32)), bytes(range(32, 64))


def told(key: bytes) -> str:
    return base64.b64encode(key).decode()


@given(rings)
def test_a_ring_is_read_back_from_its_lines_and_from_json(keys: dict[str, bytes]) -> None:
    ring = KeyRing.of(keys)
    assert KeyRing.parse(ring.to_text()) == ring
    assert KeyRing.parse(json.dumps({id: told(key) for id, key in keys.items()})) == ring
    assert (ring.ids, ring.current) == (tuple(keys), list(keys)[-1])


def test_the_last_key_is_the_current_one_unless_another_is_marked() -> None:
    lines = f"# ours\n\na:{told(ONE)}\n b : {told(TWO)} \n"
    assert KeyRing.parse(lines).current == "b"
    assert KeyRing.parse(lines.replace("a:", "*a:")).current == "a"
    assert KeyRing.parse(f"a:{told(ONE)},b:{told(TWO)}") == KeyRing.parse(lines)
    assert KeyRing.of({"a": ONE, "b": TWO}, "a").current == "a"
    urlsafe = base64.urlsafe_b64encode(b"\xff" * 32).decode()
    assert KeyRing.parse(f"a:{urlsafe}") == KeyRing.of({"a": b"\xff" * 32})


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", KeyMissing),
        ("# nothing\n", KeyMissing),
        ("{}", KeyMissing),
        ("justakey", InvalidKeys),
        (f"a:{told(ONE)[:-4]}", InvalidKeys),
        (f"a:{told(ONE)}\na:{told(TWO)}", InvalidKeys),
        (json.dumps({"a": told(ONE)})[:-1] + f', "a": "{told(TWO)}"}}', InvalidKeys),
        (f"*a:{told(ONE)}\n*b:{told(TWO)}", InvalidKeys),
        (f"a b:{told(ONE)}", InvalidKeys),
        (f"file:{told(ONE)}", InvalidKeys),
        ('{"a": 1}', InvalidKeys),
        ('{"a": {"b": "c"}}', InvalidKeys),
        ("{a", InvalidKeys),
        (f"a:密{told(ONE)}", InvalidKeys),
    ],
)
def test_what_is_no_ring_is_refused_without_being_repeated(text: str, error: type[CRMError]) -> None:
    with pytest.raises(error) as caught:
        KeyRing.parse(text)
    assert_hidden("".join(traceback.format_exception(caught.value)) + repr(caught.value.details))
    assert caught.value.text("zh-CN")


def assert_hidden(shown: str, *keys: bytes) -> None:
    for key in keys or (ONE, TWO):
        for form in (told(key), key.hex(), repr(key)[2:-1], str(list(key))):
            assert form not in shown
            assert form[:16] not in shown


def test_nothing_that_shows_a_ring_shows_a_key(caplog: pytest.LogCaptureFixture) -> None:
    ring = KeyRing.of({"a": ONE, "b": TWO})
    with caplog.at_level(logging.DEBUG):
        logging.getLogger().warning("%s %r", ring, {"keys": ring})
    shown = [repr(ring), str(ring), f"{ring}", pprint.pformat(vars_of(ring)), caplog.text]
    shown += [repr(attrs.asdict(ring)), repr(attrs.astuple(ring)), repr(to_plain(ring))]
    assert_hidden("".join(shown))
    for way in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="keys are not copied"):
            way(ring)


def vars_of(ring: KeyRing) -> dict[str, object]:
    return {name: getattr(ring, name) for name in ("current", "ids", "_secrets")}


@given(secrets, st.text(max_size=40))
def test_a_subkey_is_what_hkdf_derives(secret: bytes, purpose: str) -> None:
    hkdf = pytest.importorskip("cryptography.hazmat.primitives.kdf.hkdf")
    hashes = pytest.importorskip("cryptography.hazmat.primitives.hashes")
    expected = hkdf.HKDF(hashes.SHA256(), 32, salt=b"crmcore", info=purpose.encode()).derive(secret)
    assert KeyRing.of({"a": secret}).subkey(purpose) == expected


def test_each_key_and_purpose_has_a_subkey_of_its_own() -> None:
    ring = KeyRing.of({"a": ONE, "b": TWO})
    found = {ring.subkey(purpose, id) for purpose in ("index", "audit", "encrypt:a", "check") for id in ("a", "b")}
    assert len(found) == 8
    assert ring.subkey("audit") == ring.subkey("audit", "b")
    assert ring.check_value("a") != ring.check_value("b")
    assert ring.check_value("a") == KeyRing.of({"a": ONE}).check_value("a")
    with pytest.raises(KeyUnknown) as unknown:
        ring.subkey("index", "c")
    assert unknown.value.details == {"key_id": "c"}


def test_a_fresh_ring_has_a_key_of_its_own_and_the_day_in_its_id() -> None:
    one, other = (KeyRing.generate(date(2026, 11, 30)) for _ in range(2))
    assert one.current.startswith("20261130-")
    assert one.subkey("index") != other.subkey("index")


def test_a_ring_comes_from_a_variable_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "keys 密钥"
    file.write_text(f"\ufeffa:{told(ONE)}\r\n", "utf-8")
    file.chmod(0o600)
    expected = KeyRing.of({"a": ONE})
    monkeypatch.setenv("OUR_KEYS", f"a:{told(ONE)}")
    monkeypatch.setenv("KEYS_PLACE", f"file:{file}")
    for source in ("env:OUR_KEYS", "env:KEYS_PLACE", f"file:{file}"):
        assert KeyRing.read(source) == expected


@pytest.mark.parametrize("source", ["env:NOBODY_SET_THIS", "file:nowhere", "file:."])
def test_a_source_without_keys_says_so(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KeyMissing):
        KeyRing.read(source)


@pytest.mark.parametrize("source", ["", "env:", "file:", f"a:{told(ONE)}", "vault:x"])
def test_what_names_no_source_is_not_repeated(source: str) -> None:
    with pytest.raises(InvalidKeys) as caught:
        KeyRing.read(source)
    assert str(caught.value) == "keys are named by env:NAME or file:PATH"


@pytest.mark.skipif(os.name != "posix", reason="other systems keep rights otherwise")
def test_a_file_that_others_may_read_is_warned_of_and_one_that_they_may_change_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys"
    file.write_text(f"a:{told(ONE)}", "utf-8")
    for mode, warned in ((0o600, False), (0o400, False), (0o640, True), (0o604, True)):
        caplog.clear()
        file.chmod(mode)
        KeyRing.from_file(file)
        assert ("may be read by others" in caplog.text) is warned
        assert_hidden(caplog.text)
    for mode in (0o620, 0o602):
        file.chmod(mode)
        with pytest.raises(InvalidKeys, match="chmod 600"):
            KeyRing.from_file(file)
