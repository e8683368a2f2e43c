"""How far two values agree. A grade is a small whole number; a pattern is the grades of all fields, three bits each."""

from __future__ import annotations

from typing import Final

from crmcore.domain.policies import Label

MISSING: Final = 0  #: one side says nothing
DIFFERENT: Final = 1
SIMILAR: Final = 2  #: part of it is the same
CLOSE: Final = 3  #: a slip, or a fuller form of the same
COMMON: Final = 4  #: the same, as with many
UNCOMMON: Final = 5  #: the same, as with some
RARE: Final = 6  #: the same, as with hardly anybody else
GRADES: Final = 7

LABELS: Final = (
    Label(zh="缺少", en="missing"),
    Label(zh="不同", en="different"),
    Label(zh="相似", en="similar"),
    Label(zh="接近", en="close"),
    Label(zh="相同(常见值)", en="the same, a common value"),
    Label(zh="相同(少见值)", en="the same, an uncommon value"),
    Label(zh="相同(罕见值)", en="the same, a rare value"),
)

#: A value that so few records have is rare: one customer is seldom filed more often.
RARE_UNTIL: Final = 5


def grade_of_equal(count: int, records: int) -> int:
    """The grade of a value that both sides have, and ``count`` of all ``records``: common from twice the root of all on."""
    if count <= RARE_UNTIL:
        return RARE
    return UNCOMMON if count * count <= 4 * records else COMMON


def grades_of(pattern: int, fields: int) -> tuple[int, ...]:
    """The grades of a pattern, in the order of the fields."""
    return tuple((pattern >> 3 * place) & 7 for place in range(fields - 1, -1, -1))
