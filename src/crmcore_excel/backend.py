"""The backend ``excel:``, cheap to import: what reads and writes workbooks is loaded when a store is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

from crmcore.errors import MissingExtra, SchemaMismatch
from crmcore.storage import Backend, Capability, Insert, Scan, Schema, Store, StoreURL

if TYPE_CHECKING:
    from crmcore_excel.places import Settings


class ExcelBackend(Backend):
    """``excel:///客户.xlsx`` (relative), ``excel:////srv/客户.xlsx`` (absolute).

    Options: ``wait``, the seconds to wait for a turn to write (5); ``checkpoint``, when the workbook itself is written:
    close, at the end of each handle that committed something, or manual; ``network``, refuse or allow a network disk, where
    only one machine may then have the store open (refuse).
    """

    capabilities: ClassVar = frozenset(
        {Capability.DURABLE, Capability.MULTI_PROCESS, Capability.SNAPSHOT_READS, Capability.EXTERNAL_EDITS}
    )

    def open(self, url: StoreURL, schema: Schema) -> Store:
        settings = _settings(url)
        from crmcore_excel.store import ExcelStore

        return ExcelStore(settings, schema)

    def stored(self, url: StoreURL) -> Schema | None:
        places = _settings(url).places
        from crmcore_excel.checkpoints import stored_schema
        from crmcore_excel.replacing import typed_errors

        with typed_errors(places.workbook):
            path = places.workbook if places.workbook.exists() else places.base
            return stored_schema(path) if path.exists() else None

    def upgrade(self, url: StoreURL, schema: Schema, rewrite: Callable[[Scan], Iterable[Insert]]) -> None:
        settings = _settings(url)
        stored = self.stored(url)
        if stored is None:
            raise SchemaMismatch("there is nothing to upgrade")
        from crmcore_excel.store import ExcelStore

        with ExcelStore(settings, stored) as store:
            store.replace_all(schema, rewrite)


def _settings(url: StoreURL) -> Settings:
    from crmcore_excel.places import Settings

    settings = Settings.of(url)
    if find_spec("xlsxwriter") is None or find_spec("python_calamine") is None:
        raise MissingExtra('workbooks need the extra: pip install "crmcore[excel]"')
    return settings
