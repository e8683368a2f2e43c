"""Who gets a new feedback or ticket (seeds 001, 002): the people a policy names, and one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from crmcore.domain import User
from crmcore.domain.policies import Assignment
from crmcore.domain.user import ROLES


def candidates(policy: Assignment, value: str | None, users: Iterable[User]) -> tuple[str, ...]:
    """The people that the policy names for a value of its field, in its order, nobody twice; else those of ``otherwise``.

    ``users`` are all that are on file, active or not. A role stands for its active holders by name. A name that isn't on file
    stands for itself: the host knows its users, and needn't put them all on file.
    """
    known = sorted(users, key=lambda user: user.name)
    named = _people(policy.to.get(value, ()) if value is not None else (), known)
    return named or _people(policy.otherwise, known)


def _people(entries: Iterable[str], users: Sequence[User]) -> tuple[str, ...]:
    active = {user.name: user.active for user in users}
    found: list[str] = []
    for entry in entries:
        if entry in ROLES:
            found += [user.name for user in users if user.active and entry in user.roles]
        elif active.get(entry, True):
            found.append(entry)
    return tuple(dict.fromkeys(found))


def choose(policy: Assignment, people: Sequence[str], open_counts: Mapping[str, int], last: str | None) -> str | None:
    """One of the people by the policy's strategy, None of nobody.

    ``open_counts`` are the open records of each, ``last`` is who got the one before. In turn, the next after ``last`` gets it,
    the first where ``last`` is not among them; of the least busy the first.
    """
    if not people:
        return None
    if policy.strategy == "in_turn" and last in people:
        return people[(people.index(last) + 1) % len(people)]
    if policy.strategy == "least_busy":
        return min(people, key=lambda name: open_counts.get(name, 0))
    return people[0]
