"""Reading playbooks: a bundled one by key, or a team's own TOML file, alone or on top of another.

``extends = "standard"`` starts from another playbook, by key or as a file beside this one. Tables are merged key by key,
lists and plain values replaced; ``key = false`` drops what was inherited; a new key comes right after the one that stands
before it in the extending file; a renamed label stays known as an alias.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn

from crmcore.domain.duration import Duration
from crmcore.domain.playbook import Playbook
from crmcore.domain.policies import FieldLevel, LevelName, Transition
from crmcore.errors import PlaybookError
from crmcore.playbooks.checking import problems
from crmcore.playbooks.telling import unknown

#: What every playbook starts from: files that lie beside the bundled ones.
_SHARED = ("labels", "permissions")
BUNDLED = ("standard", "registration", "maintenance", "lifecycle", "marketing", "integration")


def load(key_or_path: str | Path, extra: Mapping[str, Path | str] | None = None) -> Playbook:
    """The playbook of that key, or of that ``.toml`` file.

    ``extra`` offers more playbooks by key, each as a path or as TOML text; it goes before what is bundled. Raises
    :class:`PlaybookError` that names every problem with its key path: those of form, or once the form is right, of meaning.
    """
    name = str(key_or_path)
    offered = dict(extra or {})
    if name in BUNDLED and name not in offered:
        return _bundled(name)
    return build(_read(name, offered, ()), name)


def load_or_check(playbook: str | Path | Playbook, extra: Mapping[str, Path | str] | None = None) -> Playbook:
    """The playbook that is named, see :func:`load`; one that is a value already is checked as if it were loaded."""
    if not isinstance(playbook, Playbook):
        return load(playbook, extra)
    if found := problems(playbook):
        raise PlaybookError(playbook.key, found)
    return playbook


def build(data: Mapping[str, Any], source: str) -> Playbook:
    """A playbook from what its TOML file says, on top of the shared labels and permissions; ``source`` names it in errors."""
    try:
        shared = {name: value for part in _SHARED for name, value in tomllib.loads(_resource(part)).items()}
        playbook = _CONVERTER.structure(_flattened(_merged(shared, data)), Playbook)
    except BaseValidationError as error:
        raise PlaybookError(source, _told(error, ())) from None
    if found := problems(playbook):
        raise PlaybookError(source, found)
    return playbook


@lru_cache
def _bundled(key: str) -> Playbook:
    return build(_read(key, {}, ()), key)


def _resource(name: str) -> str:
    return files("crmcore.playbooks").joinpath(f"{name}.toml").read_text("utf-8")


def _read(name: str, offered: Mapping[str, Path | str], below: tuple[str, ...]) -> dict[str, Any]:
    """What a playbook and those it extends say together."""
    data = _parsed(name, _source(name, offered))
    parent = data.pop("extends", None)
    if parent is None:
        return data
    if not isinstance(parent, str):
        raise PlaybookError(name, ["extends: must be the key of a playbook, or a file that ends in .toml"])
    if parent.endswith(".toml"):
        here = offered.get(name, name)
        parent = os.path.normpath((here if isinstance(here, Path) else Path(name)).parent / parent)
    chain = (*below, name)
    if parent in chain:
        raise PlaybookError(chain[0], [f"extends: goes round in a circle: {' -> '.join((*chain, parent))}"])
    try:
        under = _read(parent, offered, chain)
    except PlaybookError as error:
        if error.source != parent:
            raise
        raise PlaybookError(name, [f"extends: {parent}: {problem}" for problem in error.problems]) from None
    # What a playbook extends has a name of its own, and leaves this one to say its own.
    return _merged({key: value for key, value in under.items() if key != "key"}, data)


def _source(name: str, offered: Mapping[str, Path | str]) -> Path | str:
    """The file of a playbook, or its text."""
    if name in offered:
        return offered[name]
    if name.endswith(".toml"):
        return Path(name)
    if name in BUNDLED:
        return _resource(name)
    raise PlaybookError(name, [f"{unknown('playbook', name, {*BUNDLED, *offered})} A file's name ends in .toml."])


def _parsed(name: str, source: Path | str) -> dict[str, Any]:
    try:
        text = source.read_text("utf-8-sig") if isinstance(source, Path) else source
    except OSError as error:
        raise PlaybookError(name, [f"the file can't be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise PlaybookError(name, ["the file is not UTF-8 text"]) from None
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        lines = text.split("\n")
        end = f"at line {len(lines)}, column {len(lines[-1]) + 1}"
        raise PlaybookError(name, [f"this is not TOML: {error}".replace("at end of document", end)]) from None


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    before: str | None = None
    for key, value in over.items():
        old = merged.get(key)
        if value is False and key in merged and not isinstance(old, bool):
            del merged[key]
        elif key not in merged and before in merged:
            merged = dict(_inserted(merged, before, key, value))
        elif isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(old, value) | _former_names(old, value)
        else:
            merged[key] = value
        before = key
    return merged


def _inserted(table: Mapping[str, Any], before: str | None, key: str, value: Any) -> Iterator[tuple[str, Any]]:
    for old, kept in table.items():
        yield old, kept
        if old == before:
            yield key, value


def _former_names(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    names = [old[part] for part in ("zh", "en") if part in old and new.get(part, old[part]) != old[part]]
    aliases = old.get("aliases", [])
    return {"aliases": [*aliases, *names]} if names and "aliases" not in new and isinstance(aliases, list) else {}


def _flattened(data: Mapping[str, Any]) -> dict[str, Any]:
    """``[fields.customer] name`` becomes the dotted field ``customer.name``; the lifecycle gets its key."""
    flat = dict(data)
    for part in ("fields", "choices", "custom_fields"):
        if isinstance(entities := flat.get(part), Mapping):
            dotted: dict[str, Any] = {}
            for entity, named in entities.items():
                dotted |= (
                    {f"{entity}.{name}": value for name, value in named.items()}
                    if isinstance(named, Mapping)
                    else {entity: named}
                )
            flat[part] = dotted
    if isinstance(lifecycle := flat.get("lifecycle"), Mapping):
        flat["lifecycle"] = {"key": "lifecycle", **lifecycle}
    return flat


# From plain data to values. Nothing is coerced: a number is no text, a text is no list of letters.


def _exactly(kind: type, name: str) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"must be {name}")
        return value

    return structure


def _duration(value: Any, _: Any) -> Duration:
    if type(value) is not str:
        raise ValueError('must be a duration in quotes, as "7 days"')
    return Duration.parse(value)


def _level(value: Any, _: Any) -> FieldLevel:
    """One word for every record, or one for each nearness."""
    given: dict[str, Any] = {"own": value, "all": value} if type(value) is str else dict(_table(value))
    given.setdefault("team", given.get("all"))
    allowed = {attribute.name for attribute in attrs.fields(FieldLevel)}
    if odd := sorted(given.keys() - allowed):
        raise ValueError(unknown("key", odd[0], allowed))
    for name in ("own", "all"):
        if name not in given:
            raise ValueError(f'must be one word, as "masked", or say {name}')
    return FieldLevel(**{name: _one_of(word, LevelName) for name, word in given.items()})


def _one_of(value: Any, kind: Any) -> Any:
    allowed = get_args(kind)
    if value not in allowed:
        raise ValueError(unknown("value", str(value), allowed))
    return value


def _table(value: Any, _: Any = None) -> Mapping[str, Any]:
    if value is False:
        raise ValueError("there is nothing here to drop; must be a table")
    if not isinstance(value, Mapping):
        raise ValueError("must be a table")
    return value


def _named(kind: Any) -> bool:
    """Whether a table of these is written by name: their key, or the two ends of a transition."""
    return kind is Transition or (attrs.has(kind) and any(attribute.name == "key" for attribute in attrs.fields(kind)))


def _with_name(name: str, value: Any, kind: Any) -> Mapping[str, Any]:
    source, arrow, target = (part.strip() for part in name.partition("->"))
    if kind is Transition and not arrow:
        raise ValueError('a transition is written "one stage -> another"')
    given = {"source": source, "target": target} if kind is Transition else {"key": name}
    if twice := given.keys() & _table(value).keys():
        raise ValueError(f"the name of the table says this; leave out {', '.join(sorted(twice))}")
    return {**value, **given}


def _each(items: Iterable[tuple[Any, Any]], kind: Any, named: bool = False) -> dict[Any, Any]:
    """Every value structured as ``kind``, or one error that knows the place of each that can't be."""
    done, errors = {}, []
    given = dict(items)
    for index, value in given.items():
        try:
            if value is False and isinstance(index, str) and kind is not bool:
                there = sorted(str(name) for name, kept in given.items() if kept is not False)
                raise ValueError(f"there is nothing of this name to drop; there is: {', '.join(there) or 'nothing'}")
            done[index] = _CONVERTER.structure(_with_name(index, value, kind) if named else value, kind)
        except Exception as error:
            error.__notes__ = [IterableValidationNote("", index, kind)]
            errors.append(error)
    if errors:
        raise IterableValidationError("", errors, kind)  # pyright: ignore[reportCallIssue] - hidden by typeshed
    return done


def _mapping(value: Any, kind: Any) -> Mapping[str, Any]:
    inner = get_args(kind)[1]
    return _each(_table(value).items(), inner, _named(inner))


def _tuple(value: Any, kind: Any) -> tuple[Any, ...]:
    inner = get_args(kind)[0]
    if _named(inner):
        return tuple(_each(_table(value).items(), inner, named=True).values())
    if not isinstance(value, (list, tuple)):
        raise ValueError("must be a list")
    return tuple(_each(enumerate(value), inner).values())


def _value_class(kind: Any) -> Callable[[Any, Any], Any]:
    structure = make_dict_structure_fn(
        kind, _CONVERTER, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=True
    )
    return lambda value, _: structure(_table(value), kind)


def _origin(*origins: Any) -> Callable[[Any], bool]:
    return lambda kind: get_origin(kind) in origins


_CONVERTER = Converter()
_CONVERTER.register_structure_hook_factory(attrs.has, _value_class)
_CONVERTER.register_structure_hook_func(_origin(Mapping), _mapping)
_CONVERTER.register_structure_hook_func(_origin(tuple), _tuple)
_CONVERTER.register_structure_hook_func(_origin(Literal), _one_of)
_CONVERTER.register_structure_hook(Duration, _duration)
_CONVERTER.register_structure_hook(FieldLevel, _level)
_CONVERTER.register_structure_hook(str, _exactly(str, "text"))
_CONVERTER.register_structure_hook(int, _exactly(int, "a whole number"))
_CONVERTER.register_structure_hook(bool, _exactly(bool, "true or false"))


def _told(error: BaseException, path: tuple[str, ...]) -> Iterator[str]:
    """What a validation error says, one line for each place."""
    for inner in error.exceptions if isinstance(error, BaseValidationError) else (error,):
        notes = [
            note
            for note in getattr(inner, "__notes__", ())
            if isinstance(note, (AttributeValidationNote, IterableValidationNote))
        ]
        names = [str(note.name if isinstance(note, AttributeValidationNote) else note.index) for note in notes]
        place = (*path, *names)
        if isinstance(inner, BaseValidationError):
            yield from _told(inner, place)
        elif isinstance(inner, ForbiddenExtraKeysError):
            allowed = {"extends"} if inner.cl is Playbook else set()
            in_name = {"key", "source", "target"} if inner.cl is not Playbook else set()
            allowed |= {attribute.name for attribute in attrs.fields(inner.cl)} - in_name
            yield from (
                f"{'.'.join((*place, extra))}: {unknown('key', extra, allowed)}" for extra in sorted(inner.extra_fields)
            )
        elif isinstance(inner, KeyError):
            own_name = ": a playbook has a name of its own, also one that extends another" * (place == ("key",))
            yield f"{'.'.join(place)}: required{own_name}"
        else:
            yield f"{'.'.join(place)}: {inner}"
