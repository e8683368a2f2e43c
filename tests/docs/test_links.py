"""No page leads nowhere, and none is forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest
from markdown_pages import PAGES, ROOT, anchors_of, blocks_of, links_of, name_of

OUTSIDE = ("https://", "http://", "mailto:")


def dead_links(page: Path) -> list[str]:
    """The links of a page to a file or a place that isn't there."""
    dead = []
    for target in links_of(page):
        if target.startswith(OUTSIDE):
            continue
        file, _, place = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        if not there.is_relative_to(ROOT) or not there.exists() or (place and place not in anchors_of(there)):
            dead.append(target)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert dead_links(page) == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_place_has_two_anchors(page: Path) -> None:
    anchors = anchors_of(page)
    assert len(anchors) == len(set(anchors))


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, todo = set[Path](), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        reached.add(page)
        files = ((page.parent / target.partition("#")[0]).resolve() for target in links_of(page) if target[0] != "#")
        todo += [file for file in files if file.suffix == ".md" and file.exists() and file not in reached]
    assert {name_of(page) for page in PAGES} - {name_of(page) for page in reached} == set()


def test_a_dead_link_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("test_links.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "# A `title`, here\n[a](#a-title-here) [b](other.md) [c](#nowhere) [d](page.md#x) [e](../page.md) `[f](g.md)`\n"
        '<a id="x"></a>\n```text\n[h](i.md)\n```\n'
    )
    assert dead_links(page) == ["other.md", "#nowhere", "../page.md"]


def test_the_readmes_say_how_to_install_and_test_alike() -> None:
    def commands(name: str) -> dict[str, str]:
        found = {}
        for block in blocks_of(ROOT / name):
            found |= {mark: block.text for mark in ("main-job", "tests") if block.note(mark) is not None}
        return found

    english = commands("README.md")
    assert english == commands("README.zh-CN.md")
    assert set(english) == {"main-job", "tests"}
    assert all(len(command.splitlines()) == 1 for command in english.values())
    assert english["main-job"].strip().endswith("crmcore demo")
    assert "pytest" in english["tests"]
