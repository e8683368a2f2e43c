"""Comparers: how one kind of value is brought into a form, found again, and graded.

A comparer is three functions. ``prepare`` gives the form to compare, empty where nothing is left. ``keys`` gives what of a
form candidates are sought by. ``grader`` is given the words that many records have, with their number, and the number of
all records; it gives the function that grades two different forms, of which it is handed the lesser first.

Resemblance comes from rapidfuzz, which is loaded when it is first needed (extra ``duplicates``).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from math import log2
from operator import add
from typing import Any

import attrs

from crmcore.domain.values import FrozenMap
from crmcore.errors import MissingExtra
from crmcore.rules.duplicates.grades import CLOSE, DIFFERENT, SIMILAR

Grader = Callable[[str, str], int]

_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"\d+")
_APOSTROPHE = re.compile(r"['’`]")
#: Han characters stand without blanks between words; two neighbours are taken for a word.
_RUN = re.compile(r"[㐀-鿿豈-﫿\U00020000-\U0003ffff]+|[^\s㐀-鿿豈-﫿\U00020000-\U0003ffff]+")
_FIRST_HAN = "㐀"
#: So many forms are kept in pieces; a scan compares records that share words, so the same ones come again and again.
_REMEMBERED = 8_192


@attrs.frozen(kw_only=True)
class Comparer:
    """How one kind of value is compared; see the module."""

    prepare: Callable[[str], str]
    keys: Callable[[str], Iterable[str]]
    grader: Callable[[Mapping[str, int], int], Grader]


@cache
def _resemblance() -> tuple[Any, Any, Any]:
    try:
        from rapidfuzz import fuzz
        from rapidfuzz.distance import OSA, JaroWinkler
    except ImportError as error:
        raise MissingExtra('fuzzy fields need rapidfuzz: pip install "crmcore[duplicates]"') from error
    return fuzz, OSA, JaroWinkler


# Forms


def as_words(text: str) -> str:
    """The words, folded, with single blanks between them."""
    folded = _folded(text)
    return folded if folded.isalnum() else " ".join(_WORD.findall(_APOSTROPHE.sub("", folded)))


def as_sorted_words(text: str) -> str:
    """The words, folded and in order, so that it doesn't matter which comes first."""
    words = as_words(text)
    return " ".join(sorted(words.split())) if " " in words else words


def as_signs(text: str) -> str:
    """Letters and digits alone, folded: ``310/246-1501`` and ``310-246-1501`` are one."""
    folded = _folded(text)
    return folded if folded.isalnum() else "".join(sign for sign in folded if sign.isalnum())


def _folded(text: str) -> str:
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


@lru_cache(maxsize=_REMEMBERED)
def words_of(form: str) -> tuple[str, ...]:
    """The words of a form, each once; a run of Han characters gives its pairs of neighbours."""
    if form.isascii():
        return tuple(dict.fromkeys(form.split()))
    found: list[str] = []
    for run in _RUN.findall(form):
        if run >= _FIRST_HAN and len(run) > 2:
            found += map(add, run, run[1:])
        else:
            found.append(run)
    return tuple(dict.fromkeys(found))


def whole(form: str) -> tuple[str]:
    """Candidates are sought by the form as a whole."""
    return (form,)


def whole_and_words(form: str) -> Iterable[str]:
    """Candidates are sought by the whole and by each word."""
    words = words_of(form)
    return words if form in words else (form, *words)


def whole_and_numbered(form: str) -> Iterable[str]:
    """Candidates are sought by the whole, and by each number with the words beside it: by street and house."""
    words, keys, before = words_of(form), [form], ""
    for place, word in enumerate(words):
        if word[0].isdecimal():
            if len(before) > 1:
                keys.append(f"{word} {before}")
            for each in words[place + 1 : place + 4]:
                if len(each) > 2:
                    keys.append(f"{word} {each}")
                    break
        before = word
    return keys if len(keys) > 1 else whole_and_words(form)


# Grades of two different forms


@lru_cache(maxsize=_REMEMBERED)
def _numbers(form: str) -> frozenset[str]:
    return frozenset(_NUMBER.findall(form))


def _never(one: str, other: str) -> int:
    return DIFFERENT


def _code(words: Mapping[str, int], records: int) -> Grader:
    distance = _resemblance()[1].distance

    def grade(one: str, other: str) -> int:
        slips = distance(one, other, score_cutoff=2)
        if slips > 2:
            return DIFFERENT
        shorter = min(len(one), len(other))
        if slips == 1 and shorter >= 3:
            return CLOSE
        return SIMILAR if slips == 2 and shorter >= 6 else DIFFERENT

    return grade


def _name(words: Mapping[str, int], records: int) -> Grader:
    similarity = _resemblance()[2].similarity

    def grade(one: str, other: str) -> int:
        alike = similarity(one, other)
        if alike >= 0.92:
            return CLOSE
        return SIMILAR if alike >= 0.8 else DIFFERENT

    return grade


def _text(words: Mapping[str, int], records: int) -> Grader:
    fuzz = _resemblance()[0]
    ratio, sorted_ratio = fuzz.ratio, fuzz.token_sort_ratio

    def grade(one: str, other: str) -> int:
        alike = ratio(one, other)
        if alike < 88 and (" " in one or " " in other):
            alike = max(alike, sorted_ratio(one, other))
        if alike >= 88:
            return CLOSE
        return SIMILAR if alike >= 70 else DIFFERENT

    return grade


def _address(words: Mapping[str, int], records: int) -> Grader:
    by_text, set_ratio = _text(words, records), _resemblance()[0].token_set_ratio

    def grade(one: str, other: str) -> int:
        """Numbers in an address are not nearly right: with none in common it is similar at best."""
        found = by_text(one, other)
        left, right = _numbers(one), _numbers(other)
        if left and right:
            if left.isdisjoint(right):
                return min(found, SIMILAR)
            if found == DIFFERENT and set_ratio(one, other) >= 88:
                return SIMILAR
        return found

    return grade


def _words(words: Mapping[str, int], records: int) -> Grader:
    fuzz, slips, jaro = _resemblance()
    similarity, ratio, distance = jaro.similarity, fuzz.ratio, slips.distance
    # In thousandths of a bit: whole numbers have one sum in whatever order they come.
    rare = round(1000 * (log2(records + 2) + 0.5))
    weights = {word: rare - round(1000 * log2(count)) for word, count in words.items()}

    @lru_cache(maxsize=_REMEMBERED)
    def weighed(form: str) -> tuple[dict[str, int], int, tuple[str, ...]]:
        """The words of a form with what they say, the sum of it, and the longer words."""
        found = {word: weights.get(word, rare) for word in words_of(form)}
        return found, sum(found.values()), tuple(word for word in found if len(word) > 2)

    def alike(one: str, other: str) -> bool:
        """One word is short for the other, or they differ by a slip."""
        if one.startswith(other) or other.startswith(one):
            return True
        return len(one) > 3 and len(other) > 3 and similarity(one, other) >= 0.9

    def grade(one: str, other: str) -> int:
        """Close where one side has (nearly) all that the other has; similar where each has something of its own.

        Another letter is a slip, another Han character another word: 东方, 西方.
        """
        spelled = one < _FIRST_HAN and other < _FIRST_HAN
        if (
            spelled
            and -2 < len(one) - len(other) < 2
            and len(one) > 3 < len(other)
            and distance(one, other, score_cutoff=1) == 1
        ):
            return CLOSE
        (left, of_left, long_left), (right, of_right, long_right) = weighed(one), weighed(other)
        kept_left = kept_right = sum([left[word] for word in left.keys() & right.keys()])
        if long_left and long_right:
            fellows = [fellow for fellow in long_right if fellow not in left]
            for word in long_left:
                if word in right:
                    continue
                if (found := next((fellow for fellow in fellows if alike(word, fellow)), None)) is not None:
                    kept_left += 9 * left[word] // 10
                    kept_right += 9 * right[found] // 10
                    fellows.remove(found)
        share = max(kept_left / of_left, kept_right / of_right)
        if share >= 0.9:
            return CLOSE
        return SIMILAR if share >= 0.4 or ratio(one, other) >= 70 else DIFFERENT

    return grade


#: The comparers that rules may name; a caller hands in more by name.
COMPARERS: Mapping[str, Comparer] = FrozenMap(
    {
        "exact": Comparer(prepare=as_signs, keys=whole, grader=lambda words, records: _never),
        "code": Comparer(prepare=as_signs, keys=whole, grader=_code),
        "name": Comparer(prepare=as_words, keys=whole, grader=_name),
        "text": Comparer(prepare=as_words, keys=whole_and_words, grader=_text),
        "address": Comparer(prepare=as_words, keys=whole_and_numbered, grader=_address),
        "words": Comparer(prepare=as_sorted_words, keys=whole_and_words, grader=_words),
    }
)
