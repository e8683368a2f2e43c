"""The nearest company names in a pool are found, by real names too where the data sets are there."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from company_samples import company_names
from hypothesis import given, settings
from hypothesis import strategies as st

from crmcore_cn.name_index import NameIndex
from crmcore_cn.resemblance import compare

pools = st.lists(company_names(), min_size=1, max_size=8, unique=True)


def filled(names: list[str]) -> NameIndex:
    index = NameIndex()
    for number, name in enumerate(names):
        index.add(str(number), name)
    return index


@given(pools)
@settings(max_examples=20)
def test_each_name_finds_itself_first(names: list[str]) -> None:
    index = filled(names)
    for name in names:
        found = index.find(name, 1)
        assert names[int(found[0][0])] == name
        assert found[0][1] == 1.0


@given(pools, company_names())
@settings(max_examples=15)
def test_the_same_pool_gives_the_same_answer(names: list[str], wanted: str) -> None:
    assert filled(names).find(wanted) == filled(names).find(wanted)


@given(pools, st.data())
@settings(max_examples=15)
def test_what_was_removed_is_as_if_it_had_never_been_there(names: list[str], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(range(len(names))))
    index, other = filled(names), NameIndex()
    index.remove(str(gone))
    index.remove("nobody")
    for number, name in enumerate(names):
        if number != gone:
            other.add(str(number), name)
    assert len(index) == len(other)
    assert index.find(names[gone]) == other.find(names[gone])


def test_a_former_name_finds_the_company_of_today() -> None:
    index = NameIndex()
    index.add("1", "济南霖澜新材料有限公司", "济南骏锦化工有限公司")
    index.add("2", "济南骏祥化工有限公司")
    assert index.find("济南俊锦化工有限公司")[0][0] == "1"


def test_once_a_company_is_found_names_that_share_less_are_left_out() -> None:
    index = filled(["济南霖澜机械有限公司", "济南市霖澜机械厂", "青岛霖澜汽车销售服务有限公司"])
    assert [id for id, _, _ in index.find("济南霖澜机械有限责任公司")] == ["0", "1"]
    assert [id for id, _, _ in index.find("济南霖澜机械有限公司", 1)] == ["0"]


# ---- Real names: floors below what was measured, so that a loss of quality is noticed ----


def rows(shared_data: Path, name: str) -> Iterator[dict[str, str]]:
    path = shared_data / name
    if not path.is_file():
        pytest.skip(f"{name} is not among the shared data sets")
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)


@pytest.fixture(scope="module")
def variants(shared_data: Path) -> list[dict[str, str]]:
    return list(rows(shared_data, "cn_company_registry/truth_name_variants_dev.csv"))


@pytest.fixture(scope="module")
def pool(shared_data: Path) -> list[str]:
    return [row["registry_name"] for row in rows(shared_data, "cn_company_registry/registry_pool.csv")]


def share_found_first(index: NameIndex, variants: list[dict[str, str]]) -> float:
    hits = [index.find(row["given_name"], 1) for row in variants]
    return sum(bool(hit) and hit[0][0] == row["registry_name"] for hit, row in zip(hits, variants, strict=True)) / len(
        variants
    )


def test_variants_find_their_company_by_name_and_better_by_former_names(
    pool: list[str], variants: list[dict[str, str]]
) -> None:
    index = NameIndex()
    for name in pool:
        index.add(name, name)
    assert share_found_first(index, variants) >= 0.91
    for row in variants:
        if row["former_names"]:
            index.add(row["registry_name"], row["former_names"])
    assert share_found_first(index, variants) >= 0.96


def test_variants_are_told_from_look_alikes(shared_data: Path, variants: list[dict[str, str]]) -> None:
    look_alikes = list(rows(shared_data, "cn_company_registry/look_alikes_dev.csv"))
    variants, look_alikes = variants[::2], look_alikes[::2]
    right = sum(compare(row["given_name"], row["registry_name"]).verdict == "same" for row in variants)
    wrong = sum(compare(row["a"], row["b"]).verdict == "same" for row in look_alikes)
    assert 2 * right / (right + wrong + len(variants)) >= 0.87


def test_short_names_find_their_full_names(shared_data: Path) -> None:
    listed = list(rows(shared_data, "cn_company_names/listed_short_full_dev.csv"))
    index = NameIndex()
    for row in listed:
        index.add(row["code"], row["full"])
    wanted = listed[::6]
    hits = [index.find(row["short"], 1) for row in wanted]
    found = sum(bool(hit) and hit[0][0] == row["code"] for hit, row in zip(hits, wanted, strict=True))
    assert found / len(wanted) >= 0.92
