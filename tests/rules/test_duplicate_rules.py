"""Duplicates: symmetric, the same in any order, explained; the index finds what a scan finds."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import combinations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore.errors import DomainError
from crmcore.rules.duplicates import (
    CLOSE,
    COMPARERS,
    ORGANISATIONS,
    PEOPLE,
    SIMILAR,
    Comparer,
    DuplicateIndex,
    FieldRule,
    MatchRules,
    cluster,
    explain,
    find_pairs,
    scan,
)
from crmcore.rules.duplicates.blocking import candidates, count_keys, needed, weight_of
from crmcore.rules.duplicates.forms import Preparing
from crmcore.rules.duplicates.grades import DIFFERENT, RARE
from crmcore.rules.duplicates.pairs import Comparing
from crmcore.rules.duplicates.postings import Postings
from crmcore.rules.duplicates.weights import expected

Record = Mapping[str, str | tuple[str, ...] | None]

WORDS = ("恒远", "示例", "科技", "贸易", "golden", "dragon", "lotus", "house", "and", "of")
names = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)
phones = st.integers(0, 30).map(lambda number: f"138000{number:05}")
organisations = st.fixed_dictionaries(
    {"name": names},
    optional={
        "phone": phones | st.lists(phones, max_size=3).map(tuple),
        "city": st.sampled_from(("北京", "上海", "los angeles")),
        "uscc": st.integers(0, 5).map(lambda number: f"9111000000000000{number:02}"),
        "contact": st.sampled_from(("王芳", "李明", "lisa ray", "lisa rae")),
        "address": st.integers(1, 9).map(lambda number: f"{number} example road"),
    },
)
lists = st.lists(organisations, min_size=2, max_size=30).map(
    lambda found: {f"c{number:03}": record for number, record in enumerate(found)}
)


def company(number: int) -> Record:
    """One of many that have nothing to do with each other."""
    return {
        "name": f"{WORDS[number % 4]} company{number:05}",
        "phone": f"1390{number:07}",
        "city": WORDS[number % 3],
        "address": f"{number} street{number % 97:03}",
    }


COMPANIES = {f"c{number:03}": company(number) for number in range(200)}


@given(lists)
def test_order_of_the_records_changes_nothing(records: dict[str, Record]) -> None:
    shuffled = list(records.items())
    random.Random(7).shuffle(shuffled)
    assert find_pairs(records, ORGANISATIONS) == find_pairs(dict(shuffled), ORGANISATIONS)


@given(organisations, organisations)
def test_it_does_not_matter_which_record_comes_first(one: Record, other: Record) -> None:
    preparing = Preparing.by(ORGANISATIONS)
    comparing = Comparing(preparing, expected(ORGANISATIONS).counts)
    left, right = preparing.forms(one), preparing.forms(other)
    assert comparing.pattern(left, right) == comparing.pattern(right, left)


@given(st.data())
def test_people_swap_their_names_in_either_direction(data: st.DataObject) -> None:
    texts = st.sampled_from(("stephenson", "stephneson", "elizabeth", "elizaseth", "weller", "flynn"))
    people = st.fixed_dictionaries({"given_name": texts, "family_name": texts})
    preparing = Preparing.by(PEOPLE)
    comparing = Comparing(preparing, expected(PEOPLE).counts)
    left, right = (preparing.forms(data.draw(people)) for _ in range(2))
    assert comparing.pattern(left, right) == comparing.pattern(right, left)


@given(lists)
def test_a_pair_names_two_records_and_comes_once(records: dict[str, Record]) -> None:
    pairs = find_pairs(records, ORGANISATIONS)
    assert all(pair.one < pair.other for pair in pairs)
    assert len({(pair.one, pair.other) for pair in pairs}) == len(pairs)


@given(lists, organisations)
def test_the_index_finds_what_a_scan_finds(records: dict[str, Record], new: Record) -> None:
    weights = scan(records, ORGANISATIONS).weights
    index = DuplicateIndex.of(records, ORGANISATIONS, weights)
    pairs = find_pairs({**records, "new": new}, ORGANISATIONS, weights=weights)
    expected = [(pair.one, pair.tier, pair.pattern) for pair in pairs if pair.other == "new"]
    assert sorted((match.id, match.tier, match.pattern) for match in index.probe(new)) == sorted(expected)


@given(lists, lists, organisations)
def test_what_was_added_and_removed_leaves_nothing(
    records: dict[str, Record], others: dict[str, Record], new: Record
) -> None:
    index = DuplicateIndex.of(records, ORGANISATIONS)
    before = index.probe(new)
    for id, record in others.items():
        index.add(f"x{id}", record)
    for id in others:
        index.remove(f"x{id}")
    assert index.probe(new) == before
    assert len(index) == len(records)


@given(lists, st.integers(2, 6), st.integers(1, 8))
def test_candidates_are_those_that_share_enough(records: dict[str, Record], block: int, chance: int) -> None:
    rules = attrs.evolve(ORGANISATIONS, block_limit=block, chance_limit=chance)
    preparing = Preparing.by(rules)
    forms, keys = preparing.all_of(list(records.values()))
    assert forms == [preparing.forms(record) for record in records.values()]
    assert keys == [preparing.keys(each) for each in forms]
    counts = count_keys(keys)
    expected = set()
    for one, other in combinations(range(len(keys)), 2):
        shared = [counts[key] for key in {*keys[one]} & {*keys[other]} if counts[key] <= block]
        if shared and sum(weight_of(count, len(keys)) for count in shared) >= needed(rules, len(keys)):
            expected.add((one, other))
    assert {(other, place) for place, others in candidates(keys, counts, rules) for other in others} == expected


@given(lists)
def test_explanations_add_up_and_hold_no_value(records: dict[str, Record]) -> None:
    for pair in find_pairs(records, ORGANISATIONS):
        why = explain(pair)
        assert why.bits == pytest.approx(why.prior + sum(each.bits for each in why.agreements))
        for language in ("en", "zh-CN"):
            text = why.text(language)  # type: ignore[arg-type]
            assert not any(word in text for word in ("138000", "911100", "恒远", "dragon", "lisa", "example"))


@given(lists)
def test_no_cluster_holds_two_codes(records: dict[str, Record]) -> None:
    pairs = find_pairs(records, ORGANISATIONS)
    found = cluster(pairs, records)
    for group in found.groups:
        assert len({records[id]["uscc"] for id in group if "uscc" in records[id]}) <= 1
    together = {id: group for group in found.groups for id in group}
    for pair in pairs:
        if pair.tier == "suspect" and (pair.contradictions or pair.unlike):
            assert together.get(pair.one) is None or together[pair.one] is not together.get(pair.other)
    for pair in pairs:
        if pair.tier == "same" and pair not in found.held_apart:
            assert together[pair.one] is together[pair.other]
    assert cluster(pairs[::-1], records) == found


@given(st.lists(st.tuples(st.integers(0, 400), st.sampled_from("aaaabcdefg")), unique=True, max_size=200), st.randoms())
def test_postings_keep_what_a_plain_dictionary_keeps(changes: list[tuple[int, str]], dice: random.Random) -> None:
    postings, plain = Postings(), dict[str, set[int]]()
    for number, key in changes:
        if dice.random() < 0.3 and plain.get(key):
            gone = min(plain[key])
            plain[key].remove(gone)
            postings.remove(key, gone)
        if number not in plain.setdefault(key, set()):
            plain[key].add(number)
            postings.add(key, number)
    assert {key: sorted(postings.find(key)) for key in plain} == {
        key: sorted(numbers) for key, numbers in plain.items()
    }


def test_every_record_finds_its_copy() -> None:
    records = COMPANIES | {f"d{id}": COMPANIES[id] for id in list(COMPANIES)[::4]}
    pairs = find_pairs(records, ORGANISATIONS)
    assert {(pair.one, pair.other) for pair in pairs if pair.tier == "same"} == {
        (id, f"d{id}") for id in list(COMPANIES)[::4]
    }


def test_nothing_is_found_where_nothing_is() -> None:
    assert [pair for pair in find_pairs(COMPANIES, ORGANISATIONS) if pair.tier == "same"] == []
    assert find_pairs({}, ORGANISATIONS) == []
    assert find_pairs({"a": company(1)}, ORGANISATIONS) == []


def test_two_records_are_enough_to_be_the_same() -> None:
    (pair,) = find_pairs({"a": company(1), "b": company(1)}, ORGANISATIONS)
    assert pair.tier == "same"


def test_an_unrelated_record_leaves_the_decisions_as_they_are() -> None:
    records = COMPANIES | {"d": COMPANIES["c004"]}
    weights = scan(records, ORGANISATIONS).weights
    alone = find_pairs(records, ORGANISATIONS, weights=weights)
    more = find_pairs(records | {"x": {"name": "somebody else entirely"}}, ORGANISATIONS, weights=weights)
    assert alone == more


def test_pairs_across_are_those_between_two_lists() -> None:
    left = {"l1": company(1), "l2": company(1), "l3": company(3)}
    right = {"r1": company(1), "r3": company(3), "r4": company(4)}
    pairs = find_pairs(left, ORGANISATIONS, against=right)
    assert {(pair.one, pair.other) for pair in pairs if pair.tier == "same"} == {
        ("l1", "r1"),
        ("l2", "r1"),
        ("l3", "r3"),
    }


def test_an_equal_code_decides_and_a_different_one_contradicts() -> None:
    code = "911100000000000012"
    renamed = {"name": "something else", "uscc": code}
    pairs = {
        pair.other: pair
        for pair in find_pairs(
            COMPANIES | {"a": {**company(900), "uscc": code}, "b": renamed, "c": {**company(900), "uscc": code[::-1]}},
            ORGANISATIONS,
        )
        if pair.one == "a"
    }
    assert pairs["b"].tier == "same"
    assert explain(pairs["b"]).reason == "identified"
    assert pairs["c"].tier == "suspect"
    assert pairs["c"].contradictions == ("uscc",)
    assert "识别码不同" in explain(pairs["c"]).text("zh-CN")


def test_chains_stop_at_a_contradiction_and_say_so() -> None:
    records: dict[str, Record] = {
        **COMPANIES,
        "a": {**company(900), "uscc": "911100000000000012"},
        "b": company(900),
        "c": {**company(900), "uscc": "911100000000000099"},
    }
    found = cluster(find_pairs(records, ORGANISATIONS), records)
    assert [group for group in found.groups if "b" in group] == [("a", "b")]
    assert [(pair.one, pair.other) for pair in found.held_apart] == [("b", "c")]


def test_a_bare_name_does_not_bring_sister_companies_together() -> None:
    phone = "13711111111"
    sisters: dict[str, Record] = {
        "a": {"name": "lotus trading", "phone": phone, "contact": "lisa ray", "city": "shanghai"},
        "b": {"name": "lotus software", "phone": phone, "contact": "lisa ray", "city": "shanghai"},
        "x": {"name": "lotus", "phone": phone, "contact": "lisa ray", "city": "shanghai"},
    }
    pairs = {(pair.one, pair.other): pair for pair in find_pairs(COMPANIES | sisters, ORGANISATIONS)}
    assert pairs["a", "b"].tier == "suspect"
    assert pairs["a", "x"].tier == pairs["b", "x"].tier == "same"
    found = cluster(pairs.values(), sisters)
    assert found.groups == (("a", "x"),)
    assert found.held_apart == (pairs["b", "x"],)


def test_companies_that_share_an_agents_telephone_are_not_the_same() -> None:
    agent = {f"x{number}": {**company(500 + number), "phone": "13700000000"} for number in range(8)}
    pairs = find_pairs(COMPANIES | agent, ORGANISATIONS)
    assert [pair for pair in pairs if pair.tier == "same"] == []


@pytest.mark.parametrize("names", [("上海东方贸易有限公司", "上海西方贸易有限公司"), ("lotus lake", "lotus hill")])
def test_one_agent_does_not_make_two_companies_the_same(names: tuple[str, str]) -> None:
    person = {"contact": "欧阳锋", "phone": "13800138777", "email": "o@example.com", "wechat": "ouyang"}
    pair = {name: {"name": name, **person} for name in names}
    for records in (pair, COMPANIES | pair):
        found = [one for one in find_pairs(records, ORGANISATIONS) if {one.one, one.other} == set(names)]
        assert [one.tier for one in found if one.tier == "same"] == []


def test_a_person_is_one_piece_of_evidence() -> None:
    weights = expected(ORGANISATIONS)
    one = {"name": "lotus trading", "phone": "13800138777"}
    told = []
    for more in ({}, {"contact": "lisa ray"}, {"contact": "lisa ray", "email": "lisa@example.com"}):
        (pair,) = find_pairs({"a": one | more, "b": one | more}, ORGANISATIONS, weights=weights)
        told.append(explain(pair).bits)
    assert told[1] == told[2] == pytest.approx(told[0])


def test_what_too_many_have_is_skipped_and_told_without_its_value() -> None:
    found = scan({f"c{number}": {**company(number), "contact": "王芳"} for number in range(60)}, ORGANISATIONS)
    assert any(block.fields == ("contact",) and block.records == 60 for block in found.skipped)
    assert "王芳" not in repr(found)


def test_callers_bring_their_own_comparer() -> None:
    initials = Comparer(
        prepare=str.strip,
        keys=lambda form: (form[:1], form[:1]),
        grader=lambda words, records: lambda one, other: CLOSE,
    )
    rules = MatchRules(fields=(FieldRule(field="name", comparer="initials"), FieldRule(field="phone")))
    pairs = find_pairs(
        {"a": {"name": "Ada", "phone": "1"}, "b": {"name": "Ann", "phone": "1"}},
        rules,
        comparers={"initials": initials},
    )
    assert [(pair.one, pair.other, pair.pattern) for pair in pairs] == [("a", "b", CLOSE << 3 | RARE)]
    with pytest.raises(DomainError, match="initials"):
        find_pairs({}, rules)


def test_weights_of_other_rules_and_ids_on_both_sides_are_refused() -> None:
    with pytest.raises(DomainError, match="other fields"):
        DuplicateIndex(ORGANISATIONS, expected(PEOPLE))
    with pytest.raises(DomainError, match="other fields"):
        find_pairs({}, PEOPLE, weights=expected(ORGANISATIONS))
    with pytest.raises(DomainError, match="both sides"):
        find_pairs({"a": company(1)}, ORGANISATIONS, against={"a": company(1)})


@pytest.mark.parametrize(
    ("comparer", "one", "other", "grade"),
    [
        ("exact", "a", "b", DIFFERENT),
        ("code", "19560409", "19560408", CLOSE),
        ("code", "19560409", "19650409", CLOSE),
        ("code", "19560409", "19570408", SIMILAR),
        ("code", "12", "13", DIFFERENT),
        ("name", "stephenson", "stephneson", CLOSE),
        ("name", "stephenson", "weller", DIFFERENT),
        ("address", "12 example road", "12 example rd", CLOSE),
        ("address", "12 example road", "14 example road", SIMILAR),
        ("words", "hotel lotus", "lotus", CLOSE),
        ("words", "lotus delicatessen", "lotus deli", CLOSE),
        ("words", "lotus trading house", "lotus software house", SIMILAR),
        ("words", "示例科技", "恒远贸易", DIFFERENT),
        ("words", "上海东方贸易有限公司", "上海西方贸易有限公司", SIMILAR),
        ("words", "上海东方贸易有限公司", "上海东方贸易", CLOSE),
    ],
)
def test_grades(comparer: str, one: str, other: str, grade: int) -> None:
    own = COMPARERS[comparer]
    assert own.grader({}, 1000)(*sorted((own.prepare(one), own.prepare(other)))) == grade


@pytest.mark.parametrize(
    "wrong",
    [
        {"fields": ()},
        {"fields": (FieldRule(field="a"), FieldRule(field="a"))},
        {"fields": tuple(FieldRule(field=f"f{number}") for number in range(21))},
        {"fields": (FieldRule(field="a"),), "together": (("a", "b"),)},
        {"fields": (FieldRule(field="a"),), "of_one_person": ("b",)},
        {"fields": (FieldRule(field="a"),), "same": 0.5, "suspect": 0.6},
        {"fields": (FieldRule(field="a"),), "block_limit": 1},
    ],
)
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        MatchRules(**wrong)  # type: ignore[arg-type]
