"""Random tables of permissions, with users and records under them, and everything compared with the oracle: for tests and a script."""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from importlib.resources import files
from typing import Any

import attrs
from permission_oracle import LEVELS, SCOPES, Oracle

import crmcore
from crmcore.app.guard import Guarded
from crmcore.app.work import Work
from crmcore.domain import ENTITIES, Customer, Entity, Event, FrozenMap, Money, Obligation, Record, User
from crmcore.domain.user import ROLES
from crmcore.errors import Forbidden
from crmcore.playbooks import Playbook, load
from crmcore.playbooks.loading import build
from crmcore.rules.masking import UNSEEN
from crmcore.rules.permissions import ACTIONS, concealable
from crmcore.storage.codec import CODECS, to_plain
from crmcore.storage.contract import Insert
from crmcore.storage.query import Eq, IsNull, Not, Query

NOW = datetime(2026, 1, 5, 2, 0, tzinfo=UTC)
BUNDLED = tomllib.loads(files("crmcore.playbooks").joinpath("permissions.toml").read_text("utf-8"))["permissions"]
OTHERS = tuple(role for role in ROLES if role != "administrator")
TRIED: tuple[type[Entity], ...] = (*(cls for cls in ENTITIES if issubclass(cls, Record)), Obligation)
_STANDARD = load("standard")
TELLING = {target.on for target in _STANDARD.targets} | {one.on for one in _STANDARD.reminders}
TELLING |= {field for target in _STANDARD.targets for field in target.where}
PARENT = {"referral": "referrer_id"}
ENTITY_WORDS = ("any", *(cls.entity for cls in TRIED), "outbox_message", "setting")


@attrs.define
class Tally:
    """How many cases were compared, and the first that disagree."""

    cases: int = 0
    wrong: list[str] = attrs.field(factory=list)

    def same(self, told: object, expected: object, *what: object) -> None:
        self.cases += 1
        if told != expected and len(self.wrong) < 20:
            self.wrong.append(f"{' '.join(map(str, what))}: {told!r}, not {expected!r}")


def random_table(chance: random.Random) -> dict[str, Any]:
    """A table of every role, entity and action, so that nothing is left of the bundled one."""
    table: dict[str, Any] = {}
    for role in OTHERS:
        actions = {}
        for entity in ENTITY_WORDS:
            sight = chance.choice(SCOPES)
            within = SCOPES[: SCOPES.index(sight) + 1]
            free = ("create", "import")
            actions[entity] = {
                action: sight if action == "read" else chance.choice(SCOPES if action in free else within)
                for action in ACTIONS
            }
        fields: dict[str, Any] = {}
        for cls in TRIED:
            allowed = {name for name in concealable(cls) if f"{cls.entity}.{name}" not in TELLING}
            named = {name for name in allowed if chance.random() < 0.4} | BUNDLED[role].get("fields", {}).get(
                cls.entity, {}
            ).keys()
            if named:
                fields[cls.entity] = {name: _random_level(chance) for name in sorted(named)}
        table[role] = {"actions": actions, "fields": fields}
    return table


def _random_level(chance: random.Random) -> Any:
    if chance.random() < 0.5:
        return chance.choice(LEVELS)
    far, team, near = sorted((chance.choice(LEVELS) for _ in range(3)), key=LEVELS.index)
    return {"own": near, "team": team, "all": far}


def playbook_of(table: Mapping[str, Any]) -> Playbook:
    """The standard playbook under that table."""
    text = files("crmcore.playbooks").joinpath("standard.toml").read_text("utf-8")
    return build({**tomllib.loads(text), "permissions": table}, "world")


class World:
    """A store with users and records of every kind under a table, and the oracle that knows the truth."""

    def __init__(
        self, url: str, seed: int, *, table: Mapping[str, Any] | None = None, each: int = 3, keys: Any = None
    ) -> None:
        self.chance = chance = random.Random(seed)
        self.table = random_table(chance) if table is None else table
        self.crm = crmcore.open(url, playbook_of(self.table), clock=lambda: NOW, keys=keys)
        self.users: dict[str, tuple[tuple[str, ...], str | None, bool]] = {"root": (("administrator",), None, True)}
        # One name is a part of the others, and one has a slash, which in a list of collaborators begins a department.
        for name in ("u", "u/x", *(f'u"{number},' for number in range(7))):
            roles = tuple(chance.sample(OTHERS, chance.choice((0, 1, 1, 1, 2, 3))))
            self.users[name] = roles, chance.choice(("东区", "西区", None)), chance.random() < 0.9
        self.oracle = Oracle(self.table, self.users)
        self.records: dict[str, Entity] = {}
        self._counter = 0
        self._fill(each)

    # What there is

    def _fill(self, each: int) -> None:
        for name, (roles, department, active) in self.users.items():
            self._keep(User(**self._stamps(), name=name, roles=roles, department=department, active=active))
        customers = [self._made(Customer) for _ in range(2 * each)]
        for cls in TRIED:
            if cls not in (User, Customer):
                for _ in range(each):
                    self._made(cls, self.chance.choice(customers))
        rows = [Insert(one.collection, CODECS[type(one)].dump(one)) for one in self.records.values()]
        rows += [Insert("events", CODECS[Event].dump(self._event(one))) for one in self.records.values()]
        with self.crm.store.transaction(write=True) as transaction:
            transaction.apply(rows)

    def _id(self) -> str:
        self._counter += 1
        return f"00000000-0000-7000-8000-{self._counter:012}"

    def _stamps(self) -> dict[str, Any]:
        by = self.chance.choice(list(self.users))
        return {"id": self._id(), "created_at": NOW, "created_by": by, "updated_at": NOW, "updated_by": by}

    def _keep(self, record: Entity) -> Entity:
        self.records[record.id] = record
        return record

    def _made(self, cls: type[Entity], customer: Entity | None = None) -> Entity:
        return self._keep(self.new(cls, customer, self._stamps() if issubclass(cls, Record) else {"id": self._id()}))

    def new(self, cls: type[Entity], customer: Entity | None, stamps: Mapping[str, Any]) -> Entity:
        """A record with something in every field that can be filled."""
        values = dict(stamps)
        for name, kind in cls.kinds.items():
            if name in values or name in ("version", "created_at", "created_by", "updated_at", "updated_by"):
                continue
            values[name] = self._value(cls, name, kind)
        for field in ("customer_id", "referrer_id"):
            if field in cls.kinds:
                alone = cls.entity in ("opportunity", "action_plan", "obligation") and self.chance.random() < 0.2
                values[field] = None if alone or customer is None else customer.id
        return cls(**values)

    def _value(self, cls: type[Entity], name: str, kind: Any) -> Any:
        people = [*self.users, "nobody", None]
        if name in ("owner", "assignee", "responsible", "registrar", "recorder", "recipient"):
            return self.chance.choice(people)
        if name == "collaborators":
            return tuple(
                f"{one}/技术" if self.chance.random() < 0.5 else one for one in self.chance.sample(list(self.users), 2)
            )
        if name.endswith("_id"):
            return "x" if kind.required else None
        if name in ("number", "reference"):
            return f"N{self._counter}"
        if name in ("stage", "tier", "pipeline"):
            return {"stage": "prospect" if cls is Customer else "requirements", "tier": "A", "pipeline": "sales"}[name]
        secret = f"密{self._counter}{name}{self.chance.randrange(10**6)}"
        match kind.name:
            case "text":
                return secret
            case "texts":
                return (secret, f"1380013{self._counter:04}")
            case "choice":
                return self.chance.choice(kind.choices)
            case "integer":
                return 1000 + self._counter
            case "flag":
                return True
            case "day":
                return date(2026, 1, 1 + self._counter % 28)
            case "instant":
                return NOW
            case "money":
                return Money(100000 + self._counter, "CNY")
            case "custom":
                return FrozenMap({"region": secret, "count": self._counter})
        return None

    def _event(self, record: Entity) -> Event:
        told = {name: [None, getattr(record, name)] for name in type(record).kinds if name not in ("id", "version")}
        return Event(
            id=f"e{record.id}",
            customer_id=self.parent_id(record),
            subject=record.entity,
            subject_id=record.id,
            action=f"{record.entity}.made",
            at=NOW,
            by="root",
            changes=json.dumps(told, ensure_ascii=False, default=to_plain),
            reason=f"密{record.id}reason",
            salt="salt",
            content="digest",
        )

    # What holds of it

    def plain(self, record: Entity) -> dict[str, Any]:
        return {name: getattr(record, name) for name in type(record).kinds}

    def parent_id(self, record: Entity) -> str | None:
        found: str | None = getattr(record, PARENT.get(record.entity, "customer_id"), None)
        return found

    def parent(self, record: Entity) -> dict[str, Any] | None:
        id = self.parent_id(record)
        return self.plain(self.records[id]) if id in self.records else None

    def near(self, actor: str, record: Entity) -> int:
        return self.oracle.near(actor, self.oracle.names(self.plain(record), self.parent(record)))

    def of(self, cls: type[Entity]) -> list[Entity]:
        return [record for record in self.records.values() if type(record) is cls]

    # Comparing

    def compare(self, tally: Tally, actors: int | None = None, classes: Sequence[type[Entity]] = TRIED) -> None:
        """Every user, or so many of them, with every record, action and field, on every way to read and to write."""
        for actor in [*self.users, "stranger"][:actors]:
            guarded = Guarded(self.crm, actor)
            if not self.oracle.may_act(actor):
                tally.same(
                    outcome(lambda guarded=guarded: guarded.read(lambda look: look.count("customers"))),
                    "forbidden",
                    actor,
                )
                tally.same(
                    outcome(lambda guarded=guarded, actor=actor: guarded.write(actor, lambda work: None)),
                    "forbidden",
                    actor,
                )
                continue
            for cls in classes:
                guarded.read(lambda look, cls=cls, actor=actor: self._compare_reading(tally, actor, cls, look))
                guarded.read(lambda look, cls=cls, actor=actor: self._compare_asking(tally, actor, cls, look))
            guarded.read(lambda look, actor=actor: self._compare_events(tally, actor, look))
            for cls in classes:
                if issubclass(cls, Record):
                    self._compare_writing(tally, actor, cls, guarded)

    def _compare_reading(self, tally: Tally, actor: str, cls: type[Entity], look: Any) -> None:
        load, name = CODECS[cls].load, cls.collection
        ids = [record.id for record in self.of(cls)]
        seen = {id for id in ids if self.oracle.may(actor, cls.entity, "read", self.near(actor, self.records[id]))}
        ways = {
            "scan": {row[0]: row for row in look.scan(name)},
            "find": {row[0]: row for row in look.find(Query(name))},
            "sorted": {row[0]: row for row in look.find(Query(name, None, ("-id",)))},
            "page": {row[0]: row for row in look.find(Query(name, None, ("id",), None, 1000))},
            "some": look.get_many(name, ids),
            "one": {id: row for id in ids if (row := look.get(name, id)) is not None},
        }
        for way, rows in ways.items():
            tally.same(set(rows), seen, actor, cls.entity, way)
        tally.same(look.count(name), len(seen), actor, cls.entity, "count")
        tally.same(sorted(row[0] for row in look.tally(name, None, ("id",))), sorted(seen), actor, cls.entity, "tally")
        first = [row[0] for row in look.find(Query(name, None, ("id",), None, 2))]
        tally.same(first, sorted(seen)[:2], actor, cls.entity, "first page")
        for id in seen:
            record, shown = self.records[id], {way: load(rows[id]) for way, rows in ways.items()}
            for field, kind in cls.kinds.items():
                told = getattr(shown["one"], field)
                for way, other in shown.items():
                    tally.same(getattr(other, field), told, actor, cls.entity, field, way)
                level = self.oracle.level(actor, cls.entity, field, self.near(actor, record))
                self._compare_value(tally, told, getattr(record, field), level, kind, actor, cls.entity, field)

    def _compare_value(self, tally: Tally, told: Any, true: Any, level: int, kind: Any, *what: object) -> None:
        if level >= 2 or true == kind.default:
            tally.same(told, true, *what)
        elif level == 1 and kind.name in ("text", "texts"):
            tally.same(told != true and bool(told), True, *what, "masked")
            leaks = [text for text in (true if kind.name == "texts" else [true]) if text in str(told)]
            tally.same(leaks, [], *what, "masked")
        elif level == 1 and kind.name == "custom":
            tally.same(set(told) <= set(true) and true["region"] not in str(told) and "count" not in told, True, *what)
        else:
            nothing = UNSEEN if kind.name == "text" and kind.required else kind.default
            tally.same(told, nothing, *what, "hidden")

    def _compare_asking(self, tally: Tally, actor: str, cls: type[Entity], look: Any) -> None:
        seen = [one for one in self.of(cls) if self.oracle.may(actor, cls.entity, "read", self.near(actor, one))]
        for field in CODECS[cls].collection.fields:
            if field.name == "sealed":
                continue
            of = field.name if field.name in cls.kinds else field.name.removesuffix("_key").removesuffix("_currency")
            asked = self.oracle.can_ask(actor, cls.entity, of)
            there = Not(IsNull(field.name))
            tried = {
                "filter": lambda there=there: {row[0] for row in look.find(Query(cls.collection, there))},
                "sort": lambda name=field.name: {row[0] for row in look.find(Query(cls.collection, None, (name,)))},
                "group": lambda name=field.name: sum(row[-1] for row in look.tally(cls.collection, None, (name,))),
                "count": lambda there=there: look.count(cls.collection, there),
            }
            column = CODECS[cls].collection.position(field.name)
            filled = {one.id for one in seen if CODECS[cls].dump(one)[column] is not None}
            expected = {"filter": filled, "sort": {one.id for one in seen}, "group": len(seen), "count": len(filled)}
            for way, ask in tried.items():
                tally.same(outcome(ask), expected[way] if asked else "forbidden", actor, cls.entity, field.name, way)
            for one in self.of(cls)[:2] if asked else ():
                value = CODECS[cls].dump(one)[column]
                if value is not None:
                    found = {row[0] for row in look.find(Query(cls.collection, Eq(field.name, value)))}
                    alike = {other.id for other in seen if CODECS[cls].dump(other)[column] == value}
                    tally.same(found, alike, actor, cls.entity, field.name, "equal")

    def _compare_events(self, tally: Tally, actor: str, look: Any) -> None:
        told = {row[0]: CODECS[Event].load(row) for row in look.find(Query("events"))}
        seen = {
            f"e{one.id}" for one in self.records.values()
            if self.oracle.may(actor, one.entity, "read", self.near(actor, one))
        }  # fmt: skip
        tally.same(set(told), seen, actor, "events")
        for one in self.records.values():
            event = told.get(f"e{one.id}")
            if event is None:
                continue
            changes = json.loads(event.changes or "{}")
            for field, kind in type(one).kinds.items():
                level, true = self.oracle.level(actor, one.entity, field, self.near(actor, one)), getattr(one, field)
                if field in ("id", "version") or true == kind.default or (true is None):
                    continue
                said = changes.get(field, [None, None])[1]
                plain = json.loads(json.dumps(true, default=to_plain))
                if level >= 2 and field != "custom":
                    tally.same(said, plain, actor, one.entity, field, "event")
                elif level < 2:
                    secrets = (
                        plain
                        if isinstance(plain, list)
                        else list(plain.values())
                        if isinstance(plain, dict)
                        else [plain]
                    )
                    leaks = [secret for secret in secrets if isinstance(secret, str) and secret in str(said)]
                    tally.same((said == plain, leaks), (False, []), actor, one.entity, field, "event")

    def _compare_writing(self, tally: Tally, actor: str, cls: Any, guarded: Guarded) -> None:
        oracle = self.oracle
        for record in self.of(cls):
            near = self.near(actor, record)
            parent = self.records.get(self.parent_id(record) or "")
            for action, changed in self._changes(record):
                needed = {"update"} if action not in ("move", "assign") else {action}
                allowed = all(oracle.may(actor, cls.entity, one, near) for one in needed)
                if action not in ("move", "assign"):
                    allowed = allowed and oracle.level(actor, cls.entity, action, near) >= 3

                def change(work: Work, record: Any = record, changed: Any = changed) -> None:
                    work.put(changed, record, "x.changed")
                    raise Undone

                tally.same(
                    outcome(lambda c=change: guarded.write(actor, c)),
                    "undone" if allowed else "forbidden",
                    actor,
                    cls.entity,
                    action,
                )

            def remove(work: Work, record: Any = record) -> None:
                work.remove(record)
                raise Undone

            allowed = oracle.may(actor, cls.entity, "delete", near)
            tally.same(
                outcome(lambda: guarded.write(actor, remove)),
                "undone" if allowed else "forbidden",
                actor,
                cls.entity,
                "delete",
            )
            stamps = {"id": "new", "created_at": NOW, "created_by": actor, "updated_at": NOW, "updated_by": actor}
            new = self.new(cls, parent, stamps)
            parent_plain = self.parent(new)
            nearness = oracle.near_of_new(actor, self.plain(new), parent_plain)
            own = oracle.near(actor, oracle.names(self.plain(new), parent_plain))
            filled = [name for name in cls.kinds if getattr(new, name) != cls.kinds[name].default and name != "custom"]
            filled = [
                name for name in filled if name != "id" and (cls is not Customer or name != "tier" or new.tier != "C")
            ]
            filled += [f"custom.{key}" for key in new.custom] if issubclass(cls, Record) else []
            allowed = oracle.may(actor, cls.entity, "create", nearness) and all(
                oracle.level(actor, cls.entity, name, own) >= 3 for name in filled
            )

            def create(work: Work, new: Any = new) -> None:
                work.add(new, "x.made")
                raise Undone

            tally.same(
                outcome(lambda: guarded.write(actor, create)),
                "undone" if allowed else "forbidden",
                actor,
                cls.entity,
                "create",
            )

    def _changes(self, record: Any) -> Iterator[tuple[str, Any]]:
        """Changes of one thing each: the action that it is, or the field."""
        cls = type(record)
        for name in ("owner", "assignee", "responsible"):
            if name in cls.kinds:
                yield "assign", record.replace(**{name: "somebody else"})
        if "stage" in cls.kinds:
            yield "move", record.replace(stage="lost")
        for name in concealable(cls):
            if name == "custom":
                yield "custom.region", record.replace(custom={**record.custom, "region": "other"})
                continue
            kind = cls.kinds[name]
            other = {"text": "other", "texts": ("other",), "integer": 5, "flag": False, "day": date(2025, 1, 1)}.get(
                kind.name
            )
            if kind.name == "money":
                other = Money(7, "CNY")
            if other is not None:
                yield name, record.replace(**{name: other})


class Undone(Exception):
    """Ends a unit of work that was let through, so that nothing of it is kept."""


def outcome(attempt: Any) -> Any:
    """What comes of an attempt: what it gives, ``forbidden`` or ``undone``."""
    try:
        return attempt()
    except Forbidden:
        return "forbidden"
    except Undone:
        return "undone"
