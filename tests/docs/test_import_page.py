"""The exercise of the page on imports, with the data set that it is about."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from markdown_pages import ROOT, blocks_of

import crmcore

PAGE = ROOT / "docs" / "how-to" / "import-a-workbook.md"


def test_the_mapping_of_the_page_takes_the_real_files_in(shared_data: Path, tmp_path: Path) -> None:
    (mapping,) = [block.text for block in blocks_of(PAGE) if block.note("file") == "maven.toml"]
    (tmp_path / "maven.toml").write_text(mapping, "utf-8")
    files = [shared_data / "crm_maven" / name for name in ("sales_pipeline.csv", "accounts.csv")]
    with crmcore.open("memory:", "standard") as crm:
        me = crm.acting_as("sales.east")
        done = me.imports.plan(files, mapping=tmp_path / "maven.toml").apply()
        assert [(sheet.created, sheet.rejected) for sheet in done.sheets] == [(85, 0), (8_800, 0)]
        assert Counter(issue.code for issue in done.issues)["no_customer"] == 1_425
    assert "85 customers and all of the 8,800 opportunities, 1,425 of them" in PAGE.read_text("utf-8")
