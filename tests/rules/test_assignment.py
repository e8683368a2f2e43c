"""Who gets a new feedback or ticket."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain import User
from crmcore.domain.policies import Assignment
from crmcore.domain.user import ROLES
from crmcore.rules.assignment import candidates, choose

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
NAMES = ("an", "bo", "chen", "ding", "en", "fang")


def user(name: str, *roles: str, active: bool = True) -> User:
    stamps = {"created_at": NOW, "created_by": "li", "updated_at": NOW, "updated_by": "li"}
    return User(id=name, name=name, roles=roles, active=active, **stamps)


users = st.lists(
    st.builds(
        lambda name, roles, active: user(name, *roles, active=active),
        st.sampled_from(NAMES),
        st.lists(st.sampled_from(ROLES), max_size=2),
        st.booleans(),
    ),
    unique_by=lambda item: item.name,
)
entries = st.lists(st.sampled_from((*NAMES, *ROLES)), max_size=4).map(tuple)
policies = st.builds(
    Assignment,
    key=st.just("ticket"),
    to=st.dictionaries(st.sampled_from(("technical", "delivery")), entries),
    otherwise=entries,
    strategy=st.sampled_from(("first", "in_turn", "least_busy")),
)
values = st.sampled_from((None, "technical", "delivery", "other"))
people = st.lists(st.sampled_from(NAMES), unique=True, min_size=1).map(tuple)


def policy(strategy: str) -> Assignment:
    return Assignment(key="ticket", strategy=strategy)  # type: ignore[arg-type]


@given(policies, values, users, st.randoms())
def test_candidates_are_there_are_named_and_come_in_the_same_order(
    policy: Assignment, value: str | None, on_file: list[User], random: object
) -> None:
    found = candidates(policy, value, on_file)
    shuffled = list(on_file)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert candidates(policy, value, shuffled) == found
    assert len(set(found)) == len(found)
    assert not {item.name for item in on_file if not item.active} & set(found)
    named = {*policy.to.get(value, ()), *policy.otherwise}
    roles = {item.name: set(item.roles) for item in on_file}
    assert all(name in named or roles[name] & named for name in found)


@given(policies, values, users)
def test_nobody_is_found_only_where_nobody_of_either_list_is_there(
    policy: Assignment, value: str | None, on_file: list[User]
) -> None:
    for listed in (policy.to.get(value, ()), policy.otherwise):
        for entry in listed:
            holders = [item for item in on_file if entry in (item.name, *item.roles)]
            stranger = entry in NAMES and not holders
            if stranger or any(item.active for item in holders):
                assert candidates(policy, value, on_file)


@given(policies, people, st.dictionaries(st.sampled_from(NAMES), st.integers(0, 9)), st.sampled_from((None, *NAMES)))
def test_one_of_the_people_gets_it(
    policy: Assignment, people: tuple[str, ...], counts: dict[str, int], last: str | None
) -> None:
    assert choose(policy, people, counts, last) in people
    assert choose(policy, (), counts, last) is None


@given(people, st.integers(1, 4))
def test_in_turn_everybody_gets_as_many(people: tuple[str, ...], rounds: int) -> None:
    last, got = None, []
    for _ in range(rounds * len(people)):
        last = choose(policy("in_turn"), people, {}, last)
        got.append(last)
    assert got == list(people) * rounds


@given(people, st.integers(1, 20))
def test_the_least_busy_stay_level(people: tuple[str, ...], many: int) -> None:
    counts: Counter[str] = Counter()
    for _ in range(many):
        name = choose(policy("least_busy"), people, counts, None)
        assert name is not None
        assert counts[name] == min(counts[other] for other in people)
        assert all(counts[other] > counts[name] for other in people[: people.index(name)])
        counts[name] += 1
    assert max(counts[other] for other in people) - min(counts[other] for other in people) <= 1


def test_a_role_stands_for_its_active_holders_and_a_stranger_for_himself() -> None:
    on_file = [user("chen", "service"), user("an", "service"), user("bo", "service", active=False), user("ding")]
    by_topic = Assignment(key="ticket", to={"technical": ("ding", "service", "zhou")}, otherwise=("manager", "li"))
    assert candidates(by_topic, "technical", on_file) == ("ding", "an", "chen", "zhou")
    assert candidates(by_topic, "delivery", on_file) == ("li",)
