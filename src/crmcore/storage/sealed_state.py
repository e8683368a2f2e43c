"""What a store tells of its encryption, and how rows are sealed under that."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import cast

import attrs

from crmcore.domain import Setting
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Change, Insert, Update
from crmcore.storage.schema import Row, Schema
from crmcore.storage.sealed_rows import Shape
from crmcore.storage.sealed_shapes import shapes_of
from crmcore.storage.sealing import Sealer

ShapesOf = Callable[..., dict[str, Shape]]
SETTING = "encryption"
"""The setting that tells what is encrypted in a store."""


@attrs.frozen(kw_only=True)
class Encryption:
    """What a store keeps about its encryption, and no key: the dotted fields, each key id in use with its check value.

    ``pending`` says that not every row is as it should be yet; ``leaving`` are fields that are being decrypted.
    """

    fields: tuple[str, ...]
    keys: Mapping[str, str]
    pending: bool = False
    leaving: tuple[str, ...] = ()

    @classmethod
    def of(cls, row: Row | None) -> Encryption | None:
        """What the setting's row tells; None where nothing is encrypted."""
        if row is None:
            return None
        told = json.loads(CODECS[Setting].load(row).value)
        return cls(
            fields=tuple(told["fields"]), keys=told["keys"], pending=told["pending"], leaving=tuple(told["leaving"])
        )

    def change(self, before: Row | None) -> Change:
        """What keeps it, in place of the setting's row before."""
        version = 1 if before is None else cast(int, before[1]) + 1
        value = json.dumps(attrs.asdict(self), ensure_ascii=False, sort_keys=True)
        row = CODECS[Setting].dump(Setting(id=SETTING, version=version, value=value))
        return Insert("settings", row) if before is None else Update("settings", row, version - 1)


class Sealing:
    """How rows are sealed under one state of the encryption. Raises :class:`KeyUnknown` for a ring that lacks its keys."""

    def __init__(self, schema: Schema, encryption: Encryption, sealer: Sealer, shapes_of: ShapesOf = shapes_of) -> None:
        sealer.require(encryption.keys.items())
        self.encryption, self.sealer = encryption, sealer
        keys = dict.fromkeys([*encryption.keys, sealer.ring.current])
        self.shapes = shapes_of(
            schema,
            encryption.fields,
            sealer,
            keys,
            strict=not encryption.pending,
            leaving=encryption.leaving,
        )
