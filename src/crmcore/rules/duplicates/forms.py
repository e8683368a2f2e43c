"""Records in the form in which they are compared, and the keys by which they are found. Each is made once per record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs

from crmcore.domain.matching import MatchRules
from crmcore.domain.values import FrozenMap
from crmcore.errors import DomainError
from crmcore.rules.duplicates.comparers import COMPARERS, Comparer, whole
from crmcore.rules.duplicates.grades import RARE_UNTIL

#: What callers hand in: texts by field, one or several; None and blank are nothing.
Values = Mapping[str, str | Iterable[str] | None]
#: One field: nothing, one form, or several in order.
Form = str | tuple[str, ...] | None
#: The fields of a record, in the order of the rules.
Forms = tuple[Form, ...]

_KEPT_FROM = RARE_UNTIL + 1


@attrs.frozen(kw_only=True)
class Counts:
    """How often values and words occur among ``records`` records, by field in the order of the rules.

    Only those are kept that more than a few records have; what isn't there is rare. ``filled`` is how many records say anything.
    """

    records: int = 0
    filled: tuple[int, ...] = ()
    values: tuple[Mapping[str, int], ...] = ()
    words: tuple[Mapping[str, int], ...] = ()


@attrs.frozen(eq=False)
class Preparing:
    """Matching rules with their comparers looked up. Raises :class:`DomainError` for a comparer that nobody knows."""

    rules: MatchRules
    comparers: tuple[Comparer, ...]
    _together: tuple[tuple[int, ...], ...]
    _without: tuple[tuple[int, tuple[int, ...]], ...]

    @classmethod
    def by(cls, rules: MatchRules, comparers: Mapping[str, Comparer] | None = None) -> Preparing:
        """For rules, with the caller's comparers beside the library's."""
        known = {**COMPARERS, **(comparers or {})}
        if missing := sorted({rule.comparer for rule in rules.fields} - known.keys()):
            raise DomainError(f"no comparer is called {', '.join(missing)}; there are {', '.join(sorted(known))}")
        places = {rule.field: place for place, rule in enumerate(rules.fields)}
        together = tuple(tuple(places[name] for name in names) for names in rules.together)
        without = tuple(
            (place, tuple(places[name] for name in rule.without))
            for place, rule in enumerate(rules.fields)
            if rule.without
        )
        return cls(rules, tuple(known[rule.comparer] for rule in rules.fields), together, without)

    def form(self, place: int, values: Values) -> Form:
        """The form of one field of a record, by the field's place in the rules."""
        value = values.get(self.rules.fields[place].field)
        return _form(value, self.comparers[place].prepare) if value else None

    def forms(self, values: Values) -> Forms:
        """The forms of one record. Fields that no rule names are left alone."""
        found: list[Form] = []
        for rule, comparer in zip(self.rules.fields, self.comparers, strict=True):
            value = values.get(rule.field)
            found.append(_form(value, comparer.prepare) if value else None)
        for place, others in self._without:
            found[place] = _without(found[place], [found[other] for other in others])
        return tuple(found)

    def keys(self, forms: Forms) -> list[str]:
        """What the record is sought by, nothing twice: what each field gives, and the fields that are sought together.

        The first sign of a key says which field, or which fields, it is from.
        """
        found: list[str] = []
        for place, form in enumerate(forms):
            if form is not None and self.rules.fields[place].seek:
                found += self._keys_of(place, form)
        return found + self._keys_together(forms)

    def _keys_of(self, place: int, form: Form) -> list[str]:
        keys, sign = self.comparers[place].keys, chr(place)
        if keys is whole and isinstance(form, str):
            return [sign + form]
        # A key that came twice would pair a record with itself.
        return list(dict.fromkeys([sign + key for each in several(form) for key in keys(each)]))

    def _keys_together(self, forms: Forms) -> list[str]:
        found: list[str] = []
        for number, places in enumerate(self._together, len(forms)):
            parts = [chr(number)]
            for place in places:
                form = forms[place]
                if form is None:
                    break
                parts = [f"{part}\n{each}" for part in parts for each in several(form)]
            else:
                found += parts
        return found

    def named(self, key: str) -> tuple[str, ...]:
        """The fields that a key is from."""
        number, fields = ord(key[0]), self.rules.fields
        return (fields[number].field,) if number < len(fields) else self.rules.together[number - len(fields)]

    def all_of(self, records: Sequence[Values]) -> tuple[list[Forms], list[list[str]]]:
        """The forms and the keys of many records: field by field, as most values come more than once."""
        columns = [self._column(place, records) for place in range(len(self.rules.fields))]
        for place, others in self._without:
            beside = zip(*(columns[other] for other in others), strict=True)
            columns[place] = [_without(form, each) for form, each in zip(columns[place], beside, strict=True)]
        forms: list[Forms] = list(zip(*columns, strict=True)) if records else []
        keys: list[list[str]] = [[] for _ in forms]
        for place, column in enumerate(columns):
            if not self.rules.fields[place].seek:
                continue
            made: dict[Form, list[str]] = {None: []}
            for own, form in zip(keys, column, strict=True):
                if (found := made.get(form)) is None:
                    found = made[form] = self._keys_of(place, form)
                own.extend(found)
        if self._together:
            for own, each in zip(keys, forms, strict=True):
                own.extend(self._keys_together(each))
        return forms, keys

    @staticmethod
    def filled(forms: Sequence[Forms]) -> list[int]:
        """The places of the fields that any record has."""
        return [
            place for place, column in enumerate(zip(*forms, strict=True)) if any(form is not None for form in column)
        ]

    def _column(self, place: int, records: Sequence[Values]) -> list[Form]:
        name, prepare = self.rules.fields[place].field, self.comparers[place].prepare
        made: dict[str, Form] = {}
        column: list[Form] = []
        for values in records:
            value = values.get(name)
            if not value:
                column.append(None)
            elif isinstance(value, str):
                if value not in made:
                    made[value] = prepare(value) or None
                column.append(made[value])
            else:
                column.append(_form(value, prepare))
        return column

    def counts(self, forms: Sequence[Forms], keys: Mapping[str, int]) -> Counts:
        """How often values and words occur; ``keys`` is how many records have each key."""
        columns = list(zip(*forms, strict=True)) or [()] * len(self.rules.fields)
        words: list[dict[str, int]] = [{} for _ in columns]
        for key, count in keys.items():
            if count >= _KEPT_FROM and (place := ord(key[0])) < len(words):
                words[place][key[1:]] = count
        values = []
        for column in columns:
            counted = Counter(column)
            counted.pop(None, None)
            for form in [form for form in counted if not isinstance(form, str)]:
                number = counted.pop(form)
                for each in form:
                    counted[each] += number
            values.append({value: count for value, count in counted.items() if count >= _KEPT_FROM})
        return Counts(
            records=len(forms),
            filled=tuple(len(column) - column.count(None) for column in columns),
            values=tuple(map(FrozenMap, values)),
            words=tuple(map(FrozenMap, words)),
        )


def _form(value: str | Iterable[str], prepare: Callable[[str], str]) -> Form:
    if isinstance(value, str):
        return prepare(value) or None
    several = sorted({form for each in value if (form := prepare(each))})
    return tuple(several) if len(several) > 1 else several[0] if several else None


def _without(form: Form, others: Iterable[Form]) -> Form:
    """A form without the words of others, unless nothing would be left. Han characters are left out where they come first."""
    if form is None or not isinstance(form, str):
        return form
    idle = {word for other in others if other for each in several(other) for word in each.split()}
    kept = " ".join([_bare(word, idle) for word in form.split() if word not in idle]) if idle else form
    return kept or form


def _bare(word: str, idle: set[str]) -> str:
    if word >= "㐀":
        for each in sorted(idle):
            if each >= "㐀" and len(each) < len(word) and word.startswith(each):
                return word.removeprefix(each)
    return word


def several(form: Form) -> tuple[str, ...]:
    """The forms that a field has: none, one or several."""
    return (form,) if isinstance(form, str) else form or ()
