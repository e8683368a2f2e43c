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
from functools import cache
from math import log2
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
_HAN = re.compile(r"[㐀-鿿豈-﫿\U00020000-\U0003ffff]+|[^㐀-鿿豈-﫿\U00020000-\U0003ffff]+")


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
    return " ".join(_WORD.findall(_APOSTROPHE.sub("", _folded(text))))


def as_sorted_words(text: str) -> str:
    """The words, folded and in order, so that it doesn't matter which comes first."""
    return " ".join(sorted(_WORD.findall(_APOSTROPHE.sub("", _folded(text)))))


def as_signs(text: str) -> str:
    """Letters and digits alone, folded: ``310/246-1501`` and ``310-246-1501`` are one."""
    folded = _folded(text)
    return folded if folded.isalnum() else "".join(sign for sign in folded if sign.isalnum())


def _folded(text: str) -> str:
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def words_of(form: str) -> list[str]:
    """The words of a form; a run of Han characters gives its pairs of neighbours."""
    if form.isascii():
        return form.split()
    found = []
    for word in form.split():
        for run in _HAN.findall(word):
            if len(run) > 2 and run[0] >= "㐀":
                found += [run[place : place + 2] for place in range(len(run) - 1)]
            else:
                found.append(run)
    return found


def whole(form: str) -> tuple[str]:
    """Candidates are sought by the form as a whole."""
    return (form,)


def whole_and_words(form: str) -> Iterable[str]:
    """Candidates are sought by the whole and by each word."""
    return dict.fromkeys((form, *words_of(form)))


# Grades of two different forms


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
        left, right = _NUMBER.findall(one), _NUMBER.findall(other)
        if left and right:
            if set(left).isdisjoint(right):
                return min(found, SIMILAR)
            if found == DIFFERENT and set_ratio(one, other) >= 88:
                return SIMILAR
        return found

    return grade


def _words(words: Mapping[str, int], records: int) -> Grader:
    fuzz, _, jaro = _resemblance()
    similarity, ratio = jaro.similarity, fuzz.ratio
    most = log2(records + 2)

    def weight(word: str) -> float:
        return most - log2(words.get(word, 1)) + 0.5

    def alike(one: str, other: str) -> bool:
        """One word is short for the other, or they differ by a slip."""
        if min(len(one), len(other)) < 3:
            return False
        return (
            one.startswith(other)
            or other.startswith(one)
            or (min(len(one), len(other)) > 3 and similarity(one, other) >= 0.9)
        )

    def grade(one: str, other: str) -> int:
        """Close where one side has (nearly) all that the other has; similar where each has something of its own."""
        left, right = dict.fromkeys(words_of(one)), dict.fromkeys(words_of(other))
        of_left, of_right = sum(map(weight, left)), sum(map(weight, right))
        only_left = sorted(word for word in left if word not in right)
        only_right = sorted(word for word in right if word not in left)
        lost_left, lost_right = sum(map(weight, only_left)), sum(map(weight, only_right))
        for word in only_left:
            for fellow in only_right:
                if alike(word, fellow):
                    lost_left -= 0.9 * weight(word)
                    lost_right -= 0.9 * weight(fellow)
                    only_right.remove(fellow)
                    break
        share = 1 - min(lost_left / of_left, lost_right / of_right)
        if share >= 0.8:
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
        "address": Comparer(prepare=as_words, keys=whole_and_words, grader=_address),
        "words": Comparer(prepare=as_sorted_words, keys=whole_and_words, grader=_words),
    }
)
