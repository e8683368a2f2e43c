"""Workbooks for crmcore: what the entry points name, a store in a workbook (``crmcore.backends``) and the reading and writing
of others (``crmcore.workbooks``). Nothing heavy is imported until it is used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from crmcore.errors import Language
from crmcore_excel.backend import ExcelBackend

if TYPE_CHECKING:
    from crmcore.domain.playbook import Playbook
    from crmcore.interchange.rejected_rows import RejectedRows
    from crmcore.interchange.sheets import Sheet
    from crmcore.metrics.tables import Chart, Listing, Table


__all__ = ["ExcelBackend", "ExcelWorkbooks"]


class ExcelWorkbooks:
    """Reads workbooks (.xlsx, .xlsm, .xlsb, .xls, .ods) that come from outside, and writes .xlsx."""

    def read(self, path: Path) -> list[Sheet]:
        """All sheets; see :func:`crmcore_excel.reader.read_workbook`."""
        from crmcore_excel.reader import read_workbook

        return read_workbook(path)

    def write(
        self,
        path: Path,
        tables: Sequence[Table],
        charts: Sequence[Chart] = (),
        *,
        language: Language = "zh-CN",
        zone: tzinfo = UTC,
    ) -> None:
        """Tables and native charts as a workbook; see :func:`crmcore_excel.writer.write`."""
        from crmcore_excel.writer import write

        write(path, tables, charts, language=language, zone=zone)

    def write_listings(
        self, path: Path, listings: Iterable[Listing], *, language: Language = "zh-CN", zone: tzinfo = UTC
    ) -> None:
        """Any number of rows in bounded memory; see :func:`crmcore_excel.writer.write_listings`."""
        from crmcore_excel.writer import write_listings

        write_listings(path, listings, language=language, zone=zone)

    def write_rejected(
        self, path: Path, source: Path, sheets: Sequence[RejectedRows], *, encoding: str | None = None
    ) -> None:
        """A copy of an imported file with its rejected rows marked; see :mod:`crmcore_excel.rejected_rows`."""
        from crmcore_excel.rejected_rows import write_rejected

        write_rejected(path, source, sheets, encoding=encoding)

    def template(
        self,
        path: Path,
        playbook: Playbook,
        table_keys: Sequence[str] | None = None,
        *,
        language: Language = "zh-CN",
    ) -> None:
        """A workbook to fill in; see :func:`crmcore_excel.templates.write_template`."""
        from crmcore_excel.templates import write_template

        write_template(path, playbook, table_keys, language=language)
