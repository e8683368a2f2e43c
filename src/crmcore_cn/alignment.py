"""The cheapest way from one weighted text to another, by edits that people make when they hear, copy or type a name."""

import re
from functools import lru_cache
from typing import Final, Literal

import attrs

from crmcore_cn.characters import Likeness, likeness
from crmcore_cn.company_words import NUMERALS, SERIES

#: What a character written for another costs, as a share of its weight.
SUBSTITUTION: Final[dict[Likeness, float]] = {
    Likeness.SAME: 0.0,
    Likeness.SOUND: 0.15,
    Likeness.LOOK: 0.2,
    Likeness.NEAR_SOUND: 0.55,
    Likeness.NONE: 1.6,
}
#: Two neighbours in the other order, as a share of the heavier.
TRANSPOSITION: Final = 0.4
#: A character written twice outside a core.
DOUBLING: Final = 0.2

_DIGITS: Final = "".join(NUMERALS)
_ORDINAL: Final = re.compile(
    f"第([{_DIGITS}]+)|([{_DIGITS}]+)(?=分公司|支公司|分店|分厂|分社|分校|店|厂|号|部|车间|队|矿)"
)

EditKind = Literal["sound", "look", "near_sound", "other", "left_out", "swapped", "doubled", "series"]


_KINDS: Final[dict[Likeness, EditKind]] = {
    Likeness.SAME: "other",
    Likeness.SOUND: "sound",
    Likeness.LOOK: "look",
    Likeness.NEAR_SOUND: "near_sound",
    Likeness.NONE: "other",
}


@attrs.frozen
class Edit:
    """One difference: what stands in the one and in the other text, its cost, and whether it is in a core."""

    kind: EditKind
    one: str
    other: str
    cost: float
    core: bool


@attrs.frozen
class Weighted:
    """A text with a weight for each character; the first ``core`` characters are the core."""

    text: str
    weights: tuple[float, ...]
    core: int


def in_series(one: str, other: str) -> bool:
    """Whether two different characters are members of one series, such as numbers or directions: sister companies."""
    if one == other:
        return False
    if one in NUMERALS and other in NUMERALS:
        return NUMERALS[one] != NUMERALS[other]
    return any(one in series and other in series for series in SERIES)


def ordinals(text: str) -> tuple[int, ...]:
    """The numbers that count firms of one kind: 第二, 三分公司, 5店."""
    return tuple(number_of(match.group(1) or match.group(2)) for match in _ORDINAL.finditer(text))


def number_of(digits: str) -> int:
    """A number in Chinese or other digits, tens too: 十二, 二十, 12."""
    if "十" not in digits and "拾" not in digits:
        return int("".join(str(NUMERALS[digit] % 10) for digit in digits))
    tens, _, ones = digits.replace("拾", "十").partition("十")
    return (NUMERALS.get(tens[-1:], 1) if tens else 1) * 10 + (NUMERALS.get(ones[:1], 0) if ones else 0)


@lru_cache(maxsize=65536)
def substitution(one: str, other: str) -> tuple[EditKind, float]:
    """The kind and price of a character for another, as a share of the weight."""
    if one in NUMERALS and other in NUMERALS:
        return ("series", SUBSTITUTION[Likeness.NONE]) if in_series(one, other) else ("sound", 0.05)
    if in_series(one, other):
        return "series", SUBSTITUTION[Likeness.NONE]
    level = likeness(one, other)
    return _KINDS[level], SUBSTITUTION[level]


def edits(one: Weighted, other: Weighted) -> tuple[Edit, ...]:
    """The cheapest edits between two texts, in their order; ties are decided the same way every time."""
    start = 0
    shortest = min(len(one.text), len(other.text))
    while start < shortest and one.text[start] == other.text[start]:
        start += 1
    end = 0
    while end < shortest - start and one.text[-1 - end] == other.text[-1 - end]:
        end += 1
    rows, columns = len(one.text) - end - start, len(other.text) - end - start
    if not rows and not columns:
        return ()
    return _walked(one, other, start, _table(one, other, start, rows, columns))


def _table(one: Weighted, other: Weighted, start: int, rows: int, columns: int) -> list[list[float]]:
    """What it costs at least to get to each cell, by the differing parts alone."""
    down = [_left_out(one, start + row)[1] for row in range(rows)]
    across = [_left_out(other, start + column)[1] for column in range(columns)]
    table = [[0.0]]
    for column in range(columns):
        table[0].append(table[0][column] + across[column])
    for row in range(rows):
        above, line = table[row], [table[row][0] + down[row]]
        for column in range(columns):
            best = above[column] + replaced(one, other, start + row, start + column)[1]
            best = min(best, above[column + 1] + down[row], line[column] + across[column])
            if row and column and swaps(one, other, start + row, start + column):
                best = min(best, table[row - 1][column - 1] + _swapped(one, other, start + row, start + column))
            line.append(best)
        table.append(line)
    return table


def _walked(one: Weighted, other: Weighted, start: int, table: list[list[float]]) -> tuple[Edit, ...]:
    """The edits on the way that the table says is cheapest, read from its end."""
    found: list[Edit] = []
    row, column = len(table) - 1, len(table[0]) - 1
    while row or column:
        here, i, j = table[row][column], start + row - 1, start + column - 1
        if row and column:
            kind, cost = replaced(one, other, i, j)
            if here == table[row - 1][column - 1] + cost:
                if one.text[i] != other.text[j]:
                    found.append(Edit(kind, one.text[i], other.text[j], cost, i < one.core or j < other.core))
                row, column = row - 1, column - 1
                continue
            if row > 1 and column > 1 and swaps(one, other, i, j):
                cost = _swapped(one, other, i, j)
                if here == table[row - 2][column - 2] + cost:
                    core = i - 1 < one.core or j - 1 < other.core
                    found.append(Edit("swapped", one.text[i - 1 : i + 1], other.text[j - 1 : j + 1], cost, core))
                    row, column = row - 2, column - 2
                    continue
        kind, cost = _left_out(one, i) if row else ("left_out", 0.0)
        if row and here == table[row - 1][column] + cost:
            found.append(Edit(kind, one.text[i], "", cost, i < one.core))
            row -= 1
        else:
            kind, cost = _left_out(other, j)
            found.append(Edit(kind, "", other.text[j], cost, j < other.core))
            column -= 1
    return tuple(reversed(found))


def replaced(one: Weighted, other: Weighted, i: int, j: int) -> tuple[EditKind, float]:
    """Kind and cost of a character of the one standing for one of the other. Any of a core's first four counts in full."""
    a, b = one.text[i], other.text[j]
    if a == b:
        return "other", 0.0
    kind, share = substitution(a, b)
    weight = max(one.weights[i], other.weights[j])
    if kind in ("other", "series") and i < min(one.core, 4) and j < min(other.core, 4):
        weight = max(weight, 1.0)
    return kind, share * weight


def swaps(one: Weighted, other: Weighted, i: int, j: int) -> bool:
    """Whether two neighbours that end here stand the other way round."""
    a, b = one.text[i - 1 : i + 1], other.text[j - 1 : j + 1]
    return a[0] != a[1] and a == b[::-1] and not (a[0] in NUMERALS and a[1] in NUMERALS)


def _swapped(one: Weighted, other: Weighted, i: int, j: int) -> float:
    return TRANSPOSITION * max(*one.weights[i - 1 : i + 1], *other.weights[j - 1 : j + 1])


def _left_out(text: Weighted, at: int) -> tuple[EditKind, float]:
    doubled = at > text.core and text.text[at] == text.text[at - 1]
    return ("doubled", DOUBLING * text.weights[at]) if doubled else ("left_out", text.weights[at])
