"""Sealing one value: authenticated encryption bound to a place, and the two forms that are the same for the same value.

AES-256-GCM-SIV (RFC 8452), a key per field. What a value is bound to (collection, field, id) is not written with it: moved
elsewhere it doesn't open. Lengths are told in steps of 30 bytes only. The library ``cryptography`` is loaded with the first
cipher.
"""

from __future__ import annotations

import base64
import hmac
import os
import re
from binascii import Error as NotBase64
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable
from typing import Any

from crmcore.errors import KeyUnknown, MissingExtra, SealedValueBroken
from crmcore.storage.keys import KeyRing

MARK = "sealed:"
"""What a sealed text begins with where a plain one could stand."""
_NONCE = 12
_FIXED = bytes(_NONCE)
_FORM = b"1"
# With nonce and tag a multiple of three, so that base64 has no spare bits, which could be changed unseen.
_FIRST, _STEP = 32, 30
_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")


def sealed_length(size: int) -> int:
    """How many characters so many bytes come to, sealed, but for the id of the key."""
    return (_padded(size) + _NONCE + 16) // 3 * 4 + 1


def _padded(size: int) -> int:
    return _FIRST + -(-max(size + 1 - _FIRST, 0) // _STEP) * _STEP


def _pad(data: bytes) -> bytes:
    return data + b"\x80" + bytes(_padded(len(data)) - len(data) - 1)


def _unpad(data: bytes) -> bytes:
    found = data.rstrip(b"\0")
    if found[-1:] != b"\x80":
        raise ValueError("the padding is broken")
    return found[:-1]


def _bytes(told: str) -> bytes:
    """What a text is base64 of. Padding is never needed, and Python lets too much of it pass."""
    if "=" in told:
        raise ValueError("not sealed here")
    return a2b_base64(told, strict_mode=True)


class Sealer:
    """Seals under the current key of a ring and opens under any. Raises :class:`MissingExtra` when made without its library."""

    def __init__(self, ring: KeyRing) -> None:
        try:
            from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
            from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
        except ImportError as error:
            raise MissingExtra(
                'encryption needs the extra: pip install "crmcore[crypto]"', plugin="cryptography"
            ) from error
        self.ring = ring
        self._invalid_tag, self._new_cipher = InvalidTag, AESGCMSIV
        self._ciphers: dict[tuple[str, str], Any] = {}
        self._index_keys: dict[tuple[str, str], bytes] = {}
        try:
            AESGCMSIV(bytes(32))
        except UnsupportedAlgorithm as error:
            raise MissingExtra("the OpenSSL of this cryptography has no AES-GCM-SIV", plugin="cryptography") from error

    def seal(self, purpose: str, place: str, data: bytes) -> str:
        """The data as ``key id:base64``, different at each call."""
        id = self.ring.current
        nonce = os.urandom(_NONCE)
        sealed = self._cipher(id, purpose).encrypt(nonce, _pad(data), b"%b\0%b" % (_FORM, place.encode()))
        return f"{id}:{b2a_base64(nonce + sealed, newline=False).decode()}"

    def open(self, purpose: str, place: str, text: str) -> bytes:
        """The data of a sealed text. Raises ValueError where it was changed or moved, :class:`KeyUnknown` without its key."""
        id, _, told = text.partition(":")
        if not _ID.fullmatch(id):
            raise ValueError("no id of a key")
        try:
            raw = _bytes(told)
            cipher = self._cipher(id, purpose)
            return _unpad(cipher.decrypt(raw[:_NONCE], raw[_NONCE:], b"%b\0%b" % (_FORM, place.encode())))
        except (NotBase64, self._invalid_tag) as error:
            raise ValueError("not sealed here") from error

    def fix(self, purpose: str, text: str, id: str | None = None) -> str:
        """A text, sealed in a form that is the same for the same text and key: who has no key learns only which are equal."""
        id = id or self.ring.current
        sealed = self._cipher(id, f"{purpose}:fixed").encrypt(
            _FIXED, _pad(text.encode("utf-8", "surrogatepass")), _FORM
        )
        return f"{MARK}{id}:{b2a_base64(sealed, newline=False).decode()}"

    def unfix(self, purpose: str, text: str) -> str:
        """The text that :meth:`fix` sealed. Raises as :meth:`open`."""
        id, _, told = text.removeprefix(MARK).partition(":")
        if not _ID.fullmatch(id):
            raise ValueError("no id of a key")
        try:
            raw = _bytes(told)
            return _unpad(self._cipher(id, f"{purpose}:fixed").decrypt(_FIXED, raw, _FORM)).decode()
        except (NotBase64, self._invalid_tag) as error:
            raise ValueError("not sealed here") from error

    def token(self, purpose: str, text: str, id: str | None = None) -> str:
        """A blind index: what stands in a column that is searched for equal values. It can't be opened."""
        name = (id or self.ring.current, purpose)
        key = self._index_keys.get(name)
        if key is None:
            key = self._index_keys[name] = self.ring.subkey(f"index:{purpose}", name[0])
        return f"#{base64.urlsafe_b64encode(hmac.digest(key, text.encode('utf-8', 'surrogatepass'), 'sha256')[:15]).decode()}"

    def _cipher(self, id: str, purpose: str) -> Any:
        cipher = self._ciphers.get((id, purpose))
        if cipher is None:
            cipher = self._new_cipher(self.ring.subkey(f"encrypt:{purpose}", id))
            self._ciphers[id, purpose] = cipher
        return cipher

    def require(self, keys: Iterable[tuple[str, str]]) -> None:
        """Raises :class:`KeyUnknown` unless the ring has the keys, given by id and check value."""
        for id, check in keys:
            if self.ring.check_value(id) != check:
                raise KeyUnknown(f"the key ring holds another key under the id {id}", key_id=id)


def broken(collection: str, field: str, id: object) -> SealedValueBroken:
    """The error for a value that doesn't open."""
    return SealedValueBroken(
        f"the encrypted {field} of a record in {collection} was changed, or was not written there",
        collection=collection,
        field=field,
        id=id,
    )
