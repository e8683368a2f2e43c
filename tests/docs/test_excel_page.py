"""The page on working in Excel says of every sheet what may be changed, and nothing else."""

from __future__ import annotations

from markdown_pages import ROOT
from test_reference_pages import rows, sections

from crmcore.app.presenting import SHEETS, presentation_of
from crmcore.playbooks import load


def test_the_page_lists_what_may_be_changed() -> None:
    listed = rows(sections(ROOT / "docs" / "how-to" / "work-in-excel.md")["What may be changed"])
    told = {sheet: (changed, new) for names, changed, new in listed for sheet in names.split(", ")}
    shown = presentation_of(load("standard")).sheets
    expected = {}
    for collection, sheet in SHEETS.items():
        fields = shown[collection].fields
        names = [name for name in sheet.columns if not name.endswith("_currency")]
        may = [fields[name].heading for name in names if name in sheet.changed]
        kept = [fields[name].heading for name in names if name not in sheet.changed]
        changed = f"all but {', '.join(kept)}" if 0 < len(kept) < len(may) else ", ".join(may) or "nothing"
        expected[shown[collection].title] = (changed, "yes" if shown[collection].addable else "no")
    assert told == expected
