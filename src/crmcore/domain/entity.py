"""How an entity is made: a frozen attrs class that takes all of its errors at once and copies fast.

``attrs.evolve`` and a frozen ``__init__`` cost 36 and 3.6 times a plain copy and load. So copying runs through one
function generated per class; ``tests/domain/test_entity.py`` holds it to the plain reference. Generated code fills an
instance of the class's open twin, which has the same slots and no guard, and then makes it one of the frozen class:
four times as fast as the slots' own setters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, ClassVar, Self, TypeVar, cast, dataclass_transform

import attrs

from crmcore.domain.fields import Kind, Unclean, custom, instant, kind_of, required_day, text, whole
from crmcore.domain.values import FrozenMap
from crmcore.errors import Invalid, Issue

E = TypeVar("E", bound="Entity")


class Entity:
    """What every entity has. Instances are values: frozen, compared by content, hashed by id."""

    __slots__ = ()

    entity: ClassVar[str]
    """The singular name, as in field names and events: ``customer``."""
    collection: ClassVar[str]
    unique: ClassVar[tuple[tuple[str, ...], ...]]
    indexes: ClassVar[tuple[tuple[str, ...], ...]]
    kinds: ClassVar[Mapping[str, Kind]]
    _open: ClassVar[type[Any]]
    _copy: ClassVar[Callable[[Any], Any]]
    _set: ClassVar[Mapping[str, Callable[[Any, Any], None]]]

    id: str
    version: int

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, cleaned as on construction; raises :class:`Invalid` with every issue."""
        cleaned = clean_fields(type(self), changes)
        copied: Self = type(self)._copy(self)
        for name, value in cleaned.items():
            self._set[name](copied, value)
        return copied

    @classmethod
    def copying(cls, *names: str) -> Callable[..., Self]:
        """A fast :meth:`replace` of always the same fields: takes the entity and their values in this order, clean already."""
        unknown = [name for name in names if name not in cls.kinds]
        if unknown:
            raise Invalid([Issue(code="unknown_field", field=f"{cls.entity}.{name}") for name in unknown])
        return _generate_copy(cls, names)

    def __hash__(self) -> int:
        return hash(self.id)


def clean_fields(cls: type[Entity], values: Mapping[str, Any]) -> dict[str, Any]:
    """The given fields, cleaned. Raises :class:`Invalid` that names every field at fault, required or unknown or bad."""
    kinds, cleaned, issues = cls.kinds, {}, []
    for name, value in values.items():
        kind = kinds.get(name)
        if kind is None:
            issues.append(Issue(code="unknown_field", field=f"{cls.entity}.{name}"))
            continue
        try:
            kept = kind.default if value is None else kind.clean(value)
        except Unclean as problem:
            for part, fault in (problem.parts or {name: problem}).items():
                issues.append(Issue(code=fault.code, field=f"{cls.entity}.{part}", facts=fault.facts))
            continue
        if kept is None and kind.required:
            issues.append(Issue(code="required", field=f"{cls.entity}.{name}"))
        cleaned[name] = kept
    if issues:
        raise Invalid(issues)
    return cleaned


def _initialise(self: Entity, **values: Any) -> None:
    cls = type(self)
    issues: list[Issue] = []
    cleaned: dict[str, Any] = {}
    try:
        cleaned = clean_fields(cls, values)
    except Invalid as problem:
        issues.extend(problem.issues)
    missing = [name for name, kind in cls.kinds.items() if kind.required and name not in values]
    issues += [Issue(code="required", field=f"{cls.entity}.{name}") for name in missing]
    if issues:
        raise Invalid(issues)
    for name, set_field in cls._set.items():
        set_field(self, cleaned[name] if name in cleaned else cls.kinds[name].default)


def _generate_copy(cls: type[Entity], given: tuple[str, ...] = ()) -> Callable[..., Any]:
    lines = [f"def copy({', '.join(('old', *given))}):", "    new = create(twin)"]
    lines += [f"    new.{name} = {name if name in given else f'old.{name}'}" for name in cls._set]
    lines += ["    new.__class__ = cls", "    return new"]
    scope: dict[str, Any] = {"create": object.__new__, "cls": cls, "twin": cls._open}
    exec("\n".join(lines), scope)  # noqa: S102 - built from our own attribute names alone
    copy: Callable[..., Any] = scope["copy"]
    return copy


def _changed(values: tuple[Any, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple((value,) if isinstance(value, str) else tuple(value) for value in values)


@dataclass_transform(
    frozen_default=True,
    kw_only_default=True,
    # Only these must be given: whatever else stands there is a default to a type checker.
    field_specifiers=(text, instant, required_day),
)
def entity(
    *,
    collection: str,
    unique: Iterable[str | tuple[str, ...]] = (),
    indexes: Iterable[str | tuple[str, ...]] = (),
) -> Callable[[type[E]], type[E]]:
    """Makes an entity of an annotated class: where it is kept, what is unique, what the core's own queries look for."""

    def make(plain: type[E]) -> type[E]:
        plain.__init__ = _initialise  # type: ignore[method-assign, assignment]
        cls = attrs.frozen(init=False, kw_only=True, slots=True, unsafe_hash=False)(plain)
        cls.__hash__ = Entity.__hash__  # type: ignore[method-assign]
        cls.entity = "".join("_" + letter.lower() if letter.isupper() else letter for letter in cls.__name__)[1:]
        cls.collection = collection
        cls.unique, cls.indexes = _changed(tuple(unique)), _changed(tuple(indexes))
        fields = attrs.fields(cast(type[attrs.AttrsInstance], cls))
        cls.kinds = MappingProxyType({attribute.name: kind_of(attribute) for attribute in fields})
        cls._set = MappingProxyType({attribute.name: _setter(cls, attribute.name) for attribute in fields})
        unguarded = {"__slots__": (), "__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
        cls._open = type(f"Open{cls.__name__}", (cls,), unguarded)
        cls._copy = staticmethod(_generate_copy(cls))
        return cls

    return make


def _setter(cls: type[Entity], name: str) -> Callable[[Any, Any], None]:
    setter: Callable[[Any, Any], None] = getattr(cls, name).__set__
    return setter


@entity(collection="")
class Record(Entity):
    """The fields that every kept entity begins with. Instants are UTC; ``created_by`` and ``updated_by`` name users."""

    id: str = text()
    version: int = whole(default=1)
    created_at: datetime = instant()
    created_by: str = text()
    updated_at: datetime = instant()
    updated_by: str = text()
    custom: FrozenMap = custom()
