"""Keys: one ring for everything that is sealed or signed, read from outside the store and never kept in it.

A ring has one current key, with which is written, and older ones, with which may still be read. No key is used itself: for each
purpose a key of its own is derived (HKDF-SHA256, RFC 5869), so that what one purpose gives away helps with no other. Only the
standard library is needed here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import stat
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

import attrs

from crmcore.errors import InvalidKeys, KeyMissing, KeyUnknown

KEY_BYTES = 32
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_SALT = b"crmcore"
_log = logging.getLogger(__name__)


class Secret:
    """Bytes that nothing shows: no repr, no copy by pickle, no plain form."""

    __slots__ = ("_bytes",)

    def __init__(self, value: bytes) -> None:
        self._bytes = value

    def reveal(self) -> bytes:
        """The bytes."""
        return self._bytes

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._bytes, other._bytes)

    def __hash__(self) -> int:
        return hash(hashlib.sha256(self._bytes).digest())

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are not copied by pickle")


def _read_id(given: str) -> str:
    if not _ID.fullmatch(given) or given in ("env", "file"):
        raise InvalidKeys("the id of a key has 1 to 32 letters, digits, - and _")
    return given


def _read_key(id: str, given: str) -> Secret:
    try:
        key = base64.b64decode(given.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise InvalidKeys(
            f"the key {id} is not base64 of {KEY_BYTES} bytes; make one with: crmcore keys new", key_id=id
        )
    return Secret(key)


@attrs.frozen(repr=False)
class KeyRing:
    """Keys by id, the current one last. Its repr, and every error about it, tells ids only.

    Made by :meth:`read`, :meth:`parse`, :meth:`from_environment`, :meth:`from_file`, :meth:`generate`; a plugin's ``crm_keys``
    makes one of what its key service gives.
    """

    current: str
    """The id of the key with which is written."""
    _secrets: Mapping[str, Secret] = attrs.field(hash=False)

    def __attrs_post_init__(self) -> None:
        if self.current not in self._secrets:
            raise InvalidKeys("the current key is none of the ring")

    @classmethod
    def of(cls, keys: Mapping[str, bytes], current: str | None = None) -> KeyRing:
        """A ring of keys of 32 bytes; the last is the current one unless ``current`` names another. Raises :class:`InvalidKeys`."""
        found: dict[str, Secret] = {}
        for id, key in keys.items():
            if not isinstance(key, bytes) or len(key) != KEY_BYTES:
                raise InvalidKeys(f"the key {_read_id(id)} is not {KEY_BYTES} bytes", key_id=id)
            found[_read_id(id)] = Secret(key)
        if not found:
            raise KeyMissing("there is no key in the ring")
        return cls(current or next(reversed(found)), found)

    @classmethod
    def generate(cls, today: date) -> KeyRing:
        """A ring of one fresh key, from the system's source of randomness; its id begins with the day."""
        return cls.of({f"{today:%Y%m%d}-{secrets.token_hex(2)}": secrets.token_bytes(KEY_BYTES)})

    @classmethod
    def parse(cls, text: str) -> KeyRing:
        """Reads lines of ``id:base64``, or a JSON object of ids to base64.

        The newest key stands last and is the current one, unless a ``*`` before an id marks another. Blank lines and lines that
        begin with ``#`` say nothing; a comma is as good as a new line. Raises :class:`InvalidKeys`, :class:`KeyMissing` for no
        key at all.
        """
        found: dict[str, Secret] = {}
        marked: list[str] = []
        for name, key in _entries(text):
            id = _read_id(name.removeprefix("*").strip())
            if id in found:
                raise InvalidKeys(f"the key {id} is there twice", key_id=id)
            found[id] = _read_key(id, key.strip())
            if name.startswith("*"):
                marked.append(id)
        if not found:
            raise KeyMissing("there is no key in the ring")
        if len(marked) > 1:
            raise InvalidKeys("more than one key is marked as the current one")
        return cls(marked[0] if marked else next(reversed(found)), found)

    @classmethod
    def from_environment(cls, name: str) -> KeyRing:
        """The ring that a variable of the environment holds, as :meth:`parse` reads it, or in the file that it names: ``file:PATH``."""
        text = os.environ.get(name)
        if not text or not text.strip():
            raise KeyMissing(f"the variable {name} holds no keys", source=f"env:{name}")
        return cls.from_file(text.strip()[5:]) if text.lstrip().startswith("file:") else cls.parse(text)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> KeyRing:
        """The ring in a file, as :meth:`parse` reads it.

        On POSIX a file that others may change raises :class:`InvalidKeys`; one that others may read is warned of in the log.
        """
        file = Path(path)
        try:
            with file.open(encoding="utf-8-sig") as opened:
                mode = os.fstat(opened.fileno()).st_mode if os.name == "posix" else 0
                text = opened.read()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise KeyMissing(f"the file of keys {file} can't be read: {reason}", source=f"file:{file}") from None
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise InvalidKeys(
                f"the file of keys {file} may be changed by others; let only its owner: chmod 600", path=str(file)
            )
        if mode & (stat.S_IRGRP | stat.S_IROTH):
            _log.warning("the file of keys %s may be read by others; let only its owner: chmod 600", file)
        return cls.parse(text)

    @classmethod
    def read(cls, source: str) -> KeyRing:
        """The ring that ``env:NAME`` or ``file:PATH`` names. Raises :class:`InvalidKeys` for any other text."""
        kind, _, place = source.partition(":")
        if kind == "env" and place:
            return cls.from_environment(place)
        if kind == "file" and place:
            return cls.from_file(place)
        raise InvalidKeys("keys are named by env:NAME or file:PATH")  # what was given may be a key

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all keys, the current one among them."""
        return tuple(self._secrets)

    def subkey(self, purpose: str, key_id: str | None = None) -> bytes:
        """The 32 bytes for a purpose (``encrypt:customer.budget``, ``index``, ``audit``) of a key, the current one unless named.

        Raises :class:`KeyUnknown` for an id that isn't in the ring.
        """
        id = self.current if key_id is None else key_id
        secret = self._secrets.get(id)
        if secret is None:
            raise KeyUnknown.of(id)
        extracted = hmac.digest(_SALT, secret.reveal(), "sha256")
        return hmac.digest(extracted, purpose.encode() + b"\x01", "sha256")

    def check_value(self, key_id: str) -> str:
        """What tells whether another ring holds the same key under that id, and nothing else of it: 16 hexadecimal digits."""
        return self.subkey("check", key_id)[:8].hex()

    def to_text(self) -> str:
        """The ring in lines, as :meth:`parse` reads it: the keys themselves, for whoever is to keep them."""
        order = [*(id for id in self.ids if id != self.current), self.current]
        return "".join(f"{id}:{base64.b64encode(self._secrets[id].reveal()).decode()}\n" for id in order)

    def __repr__(self) -> str:
        return f"KeyRing(current={self.current!r}, ids={self.ids!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are not copied by pickle")


def _entries(text: str) -> list[tuple[str, str]]:
    if text.lstrip().startswith("{"):
        try:
            found: Any = json.loads(
                text, object_pairs_hook=list
            )  # pairs, so that nothing that is there twice gets lost
        except ValueError:
            found = None
        if not isinstance(found, list) or not all(isinstance(key, str) for _, key in found):
            raise InvalidKeys("the keys are no JSON object of ids to base64")
        return found
    entries = []
    for line in text.replace(",", "\n").splitlines():
        entry = line.strip()
        if entry and not entry.startswith("#"):
            id, colon, key = entry.partition(":")
            if not colon:
                raise InvalidKeys("a key is written id:base64")
            entries.append((id.strip(), key))
    return entries
