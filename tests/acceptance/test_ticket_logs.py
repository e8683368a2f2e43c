"""Two real ticket logs through the ticket loop, against a count over the raw rows that shares no code with it.

The counts read each case as a string of letters, one per row, and work with patterns and plain differences; the loop reads
it as a ticket that takes steps. Only the meaning of the logs' words is said twice.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from pathlib import Path

import attrs
import pytest

import crmcore
from crmcore.domain import Ticket
from crmcore.domain.duration import Duration
from crmcore.rules.calendars import round_the_clock
from crmcore.rules.clocks import ClockPolicy, Cycle, History, Pause, read_clock
from crmcore.rules.service import TICKET, changes, refusals
from crmcore.rules.working_time import working_time
from crmcore.storage.query import Eq

WORKING = working_time(round_the_clock("UTC"))
A_DAY = Duration(24, "hours")
NOTHING = timedelta(0)

Rows = list[tuple[datetime, str]]
Steps = Mapping[str, tuple[str, ...]]

# ---- What the words of the logs mean to the loop: by state, "*" for any other ----

WORK: Steps = {
    "waiting": ("resumed", "assigned"),
    "solved": ("reopened", "assigned"),
    "closed": ("reopened", "assigned"),
    "*": ("assigned",),
}
PLAN: Steps = {
    "waiting": ("resumed", "planned"),
    "solved": ("reopened", "planned"),
    "closed": ("reopened", "planned"),
    "*": ("planned",),
}
WAIT: Steps = {"solved": ("reopened", "waited"), "closed": ("reopened", "waited"), "*": ("waited",)}
SOLVE: Steps = {"closed": (), "*": ("solved",)}
CLOSE: Steps = {"*": ("closed",)}
NOTED: Steps = {"*": ()}

HELPDESK: Mapping[str, Steps] = {
    "Insert ticket": NOTED,
    "Assign seriousness": NOTED,
    "Take in charge ticket": WORK,
    "Wait": WAIT,
    "Require upgrade": PLAN,
    "Create SW anomaly": PLAN,
    "Schedule intervention": PLAN,
    "Resolve SW anomaly": NOTED,
    "Resolve ticket": SOLVE,
    "RESOLVED": SOLVE,
    "VERIFIED": SOLVE,
    "INVALID": SOLVE,
    "DUPLICATE": SOLVE,
    "Closed": CLOSE,
}
INCIDENTS: Mapping[str, Steps] = {
    "New": NOTED,
    "Active": WORK,
    "Awaiting User Info": WAIT,
    "Awaiting Evidence": WAIT,
    "Awaiting Problem": PLAN,
    "Awaiting Vendor": PLAN,
    "Resolved": SOLVE,
    "Closed": CLOSE,
}
#: The same for the counts: working, planned, waiting, solved, closed, and n for what changes nothing.
HELPDESK_LETTERS = {
    **dict.fromkeys(("Insert ticket", "Assign seriousness", "Resolve SW anomaly"), "n"),
    **dict.fromkeys(("Require upgrade", "Create SW anomaly", "Schedule intervention"), "p"),
    **dict.fromkeys(("Resolve ticket", "RESOLVED", "VERIFIED", "INVALID", "DUPLICATE"), "s"),
    "Take in charge ticket": "p",
    "Wait": "w",
    "Closed": "c",
}
INCIDENT_LETTERS = {
    **dict.fromkeys(("Awaiting User Info", "Awaiting Evidence"), "w"),
    **dict.fromkeys(("Active", "Awaiting Problem", "Awaiting Vendor"), "p"),
    "New": "n",
    "Resolved": "s",
    "Closed": "c",
}
ZERO = datetime(2000, 1, 1)
STATES = {"o": "open", "p": "in_progress", "w": "waiting", "s": "solved", "c": "closed"}


def opened(number: str, at: datetime) -> Ticket:
    stamps = {"created_at": at, "created_by": "log", "updated_at": at, "updated_by": "log"}
    return Ticket(id=number, customer_id="c", opened_at=at, subject="from a log", **stamps)


@attrs.define
class Run:
    """A case that was run through the loop."""

    ticket: Ticket
    moves: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    reopened_at: list[datetime] = attrs.field(factory=list)
    solved_at: list[datetime] = attrs.field(factory=list)
    pauses: list[Pause] = attrs.field(factory=list)
    end: datetime = attrs.field(default=datetime.min.replace(tzinfo=UTC))

    def take(self, step: str, at: datetime) -> None:
        action, given = f"ticket.{step}", {"assigned": "assignee", "planned": "plan", "solved": "result"}.get(step)
        values = {given: "as the log says"} if given else {}
        assert refusals(TICKET, action, self.ticket, values, "it came back") == []
        before = self.ticket.state
        self.ticket = self.ticket.replace(**changes(TICKET, action, self.ticket, values, at))
        if step == "reopened":
            self.reopened_at.append(at)
        elif step == "solved":
            self.solved_at.append(at)
        if before != "waiting" and self.ticket.state == "waiting":
            self.pauses.append(Pause(at))
        elif before == "waiting" and self.ticket.state != "waiting":
            self.pauses[-1] = attrs.evolve(self.pauses[-1], end=at)

    def word(self, steps: Steps, at: datetime) -> None:
        before = self.ticket.state
        for step in steps.get(before, steps["*"]):
            self.take(step, at)
        if steps is not NOTED:
            self.moves[before, self.ticket.state] += 1
        self.end = at

    def cycles(self, policy: ClockPolicy) -> tuple[Cycle, ...]:
        history = History(
            started_at=self.ticket.opened_at,
            pauses=tuple(self.pauses),
            met_at=tuple(self.solved_at),
            reopened_at=tuple(self.reopened_at),
        )
        return read_clock(A_DAY, history, WORKING, at=self.end, policy=policy).cycles


def run(number: str, rows: Rows, meaning: Mapping[str, Steps]) -> Run:
    case = Run(opened(number, rows[0][0]))
    for at, word in rows:
        case.word(meaning[word], at)
    return case


# ---- The logs as they stand ----


def helpdesk(shared_data: Path) -> dict[str, Rows]:
    cases: dict[str, Rows] = defaultdict(list)
    with (shared_data / "helpdesk_italian" / "helpdesk.csv").open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            at = datetime.strptime(row["Complete Timestamp"], "%Y/%m/%d %H:%M:%S.%f").replace(tzinfo=UTC)
            cases[row["Case ID"]].append((at, row["Activity"]))
    return {number: sorted(rows, key=lambda row: row[0]) for number, rows in cases.items()}


def incident_rows(shared_data: Path) -> Iterator[dict[str, str]]:
    for path in sorted((shared_data / "incident_uci").glob("*.csv")):
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from csv.DictReader(file)


def day_first(text: str) -> datetime | None:
    return None if text == "?" else datetime.strptime(text, "%d-%m-%Y %H:%M").replace(tzinfo=UTC)


def incidents(shared_data: Path) -> dict[str, Rows]:
    cases: dict[str, Rows] = defaultdict(list)
    for row in incident_rows(shared_data):
        at = day_first(row["sys_updated_at"])
        assert at is not None
        cases[row["number"]].append((at, row["incident_state"]))
    return {number: sorted(rows, key=lambda row: row[0]) for number, rows in cases.items()}


# ---- The independent count: letters, patterns, differences ----


@attrs.frozen
class Count:
    """What the raw rows of one case say."""

    moves: Counter[tuple[str, str]]
    reopenings: int
    solved_at: float | None
    """Seconds from the first row to where the last cycle was solved."""
    worked: float
    """Seconds in which it was neither waiting nor solved."""
    worked_last: float
    """The same since it was last reopened."""


def counted(lines: Iterable[tuple[str, float]]) -> Count:
    """Letters, and seconds from any zero. A letter n leaves the state, and so does an s after a c."""
    state, letters, seconds = "o", "", []
    for letter, second in lines:
        state = state if letter == "n" or (letter, state) == ("s", "c") else letter
        letters, seconds = letters + state, [*seconds, second]
    said = "o" + "".join(mark for mark, (letter, _) in zip(letters, lines, strict=True) if letter != "n")
    moves = Counter((STATES[a], STATES[b]) for a, b in pairwise(said))
    again = [found.end() for found in re.finditer(r"[sc](?=[pw])", letters)]
    last = again[-1] if again else 0
    settled = re.search(r"[sc]", letters[last:])
    gaps = [later - earlier for earlier, later in pairwise(seconds)]
    return Count(
        moves=moves,
        reopenings=len(again),
        solved_at=seconds[last + settled.start()] - seconds[0] if settled else None,
        worked=sum(gap for mark, gap in zip(letters, gaps, strict=False) if mark in "op"),
        worked_last=sum(gap for mark, gap in zip(letters[last:], gaps[last:], strict=False) if mark in "op"),
    )


def raw_helpdesk(shared_data: Path) -> dict[str, Count]:
    text = (shared_data / "helpdesk_italian" / "helpdesk.csv").read_text("utf-8-sig")
    lines = [line.split(",")[:4] for line in text.splitlines()[1:] if line]
    return {
        case: counted(
            [
                (HELPDESK_LETTERS[word], (datetime.fromisoformat(at.replace("/", "-")) - ZERO).total_seconds())
                for _, word, _, at in rows
            ]
        )
        for case, rows in groupby(lines, key=lambda cells: cells[0])
    }


def raw_incidents(shared_data: Path) -> dict[str, Count]:
    (path,) = (shared_data / "incident_uci").glob("*.csv")
    head, *lines = path.read_text("utf-8-sig").splitlines()
    number, state, at = (head.split(",").index(name) for name in ("number", "incident_state", "sys_updated_at"))
    cases: dict[str, list[tuple[str, float]]] = {}
    for line in lines:
        cells = line.split(",")
        day, month, year, hour, minute = map(int, re.findall(r"\d+", cells[at]))
        second = (datetime(year, month, day, hour, minute) - ZERO).total_seconds()
        cases.setdefault(cells[number], []).append((INCIDENT_LETTERS[cells[state]], second))
    return {name: counted(sorted(rows, key=lambda row: row[1])) for name, rows in cases.items()}


def compare(runs: Mapping[str, Run], counts: Mapping[str, Count]) -> None:
    assert runs.keys() == counts.keys()
    for number, case in runs.items():
        count = counts[number]
        assert case.moves == count.moves, number
        assert (len(case.reopened_at), case.ticket.cycle) == (count.reopenings, count.reopenings + 1), number
        solved = case.ticket.solved_at
        told = (solved - case.ticket.opened_at).total_seconds() if solved else None
        assert told == count.solved_at, number
        (whole,) = case.cycles(ClockPolicy(reopening="continue"))
        parts = case.cycles(ClockPolicy(reopening="new_cycle"))
        assert len(parts) == case.ticket.cycle, number
        assert whole.elapsed.total_seconds() == pytest.approx(count.worked), number
        assert parts[-1].elapsed.total_seconds() == pytest.approx(count.worked_last), number
        assert sum((part.elapsed for part in parts), NOTHING) == whole.elapsed, number
        assert (whole.met_at, parts[-1].met_at) == (solved, solved), number


def test_the_help_desk_log_runs_through_the_loop(shared_data: Path) -> None:
    runs = {number: run(number, rows, HELPDESK) for number, rows in helpdesk(shared_data).items()}
    counts = raw_helpdesk(shared_data)
    compare(runs, counts)
    assert len(runs) == 4580
    assert sum(count.reopenings for count in counts.values()) == 161
    assert {case.ticket.state for case in runs.values()} == {"in_progress", "waiting", "solved", "closed"}


def test_the_incident_log_runs_through_the_loop_and_is_reopened_as_often_as_it_says(shared_data: Path) -> None:
    runs = {number: run(number, rows, INCIDENTS) for number, rows in incidents(shared_data).items()}
    compare(runs, raw_incidents(shared_data))
    recorded: dict[str, int] = defaultdict(int)
    for row in incident_rows(shared_data):
        recorded[row["number"]] = max(recorded[row["number"]], int(row["reopen_count"]))
    assert {number: len(case.reopened_at) for number, case in runs.items()} == recorded
    assert sum(recorded.values()) == 11
    assert {case.ticket.state for case in runs.values()} == {"closed"}


def test_the_recorded_resolution_is_the_last_time_it_was_resolved(shared_data: Path) -> None:
    """Ours is the first of its last cycle, since solving again what is solved keeps the moment: 17 of 861 differ."""
    runs = {number: run(number, rows, INCIDENTS) for number, rows in incidents(shared_data).items()}
    recorded = {row["number"]: day_first(row["resolved_at"]) for row in incident_rows(shared_data)}
    known = {number: at for number, at in recorded.items() if at is not None}
    assert all(runs[number].solved_at[-1] == at for number, at in known.items())
    assert sum(runs[number].ticket.solved_at != at for number, at in known.items()) == 17
    assert len(known) == 861


#: The log doesn't say its targets; these lie in the gap between the slowest that made it and the fastest that didn't. For
#: 2 - High there is none: all 33 are recorded as missed, the fastest after 17 minutes.
RECORDED_TARGETS = {
    "1 - Critical": Duration(5, "hours"),
    "3 - Moderate": Duration(90, "hours"),
    "4 - Low": Duration(96, "hours"),
}


def test_the_recorded_outcome_follows_from_a_clock_that_is_never_held(shared_data: Path) -> None:
    """One incident is recorded as missed after four hours of its 90; held while it waits for the caller, 123 would differ."""
    runs = {number: run(number, rows, INCIDENTS) for number, rows in incidents(shared_data).items()}
    last = {row["number"]: row for row in incident_rows(shared_data)}
    different: dict[str, set[str]] = {"none": set(), "working_time": set()}
    asked = 0
    for number, row in last.items():
        begun, solved = day_first(row["opened_at"]), day_first(row["resolved_at"])
        within = RECORDED_TARGETS.get(row["priority"])
        if solved is None or begun is None or within is None:
            continue
        asked += 1
        pauses = tuple(pause for pause in runs[number].pauses if begun <= pause.start)
        history = History(started_at=begun, met_at=(solved,), pauses=pauses)
        for pause, wrong in different.items():
            policy = ClockPolicy(pause=pause)  # type: ignore[arg-type]
            state = read_clock(within, history, WORKING, at=solved, policy=policy).current.state
            if (state == "met") is not (row["made_sla"] == "TRUE"):
                wrong.add(number)
    assert asked == 828
    assert different["none"] == {"INC0000379"}
    assert len(different["working_time"]) == 123


def test_incidents_kept_as_tickets_end_as_the_loop_says(shared_data: Path) -> None:
    """The same through the use cases, one unit of work for each row, and read back from the events."""
    cases = dict(list(incidents(shared_data).items())[:200])
    now = [min(rows[0][0] for rows in cases.values())]
    with crmcore.open("memory:", "standard", clock=lambda: now[0]) as crm:
        me = crm.acting_as("log")
        customer = me.customers.register(name="示例科技有限公司", industry="制造业")
        given = {"assigned": ("as the log says",), "planned": ("as the log says",), "solved": ("as the log says",)}
        for number, rows in cases.items():
            now[0] = rows[0][0]
            ticket = me.tickets.open(customer, subject="from a log", number=number)
            for at, word in rows:
                now[0] = at
                meaning = INCIDENTS[word]
                for step in meaning.get(ticket.state, meaning["*"]):
                    verb = TICKET.steps[f"ticket.{step}"].verb
                    reason = {"reason": "it came back"} if verb == "reopen" else {}
                    ticket = getattr(me.tickets, verb)(number, *given.get(step, ()), **reason)
            same = run(number, rows, INCIDENTS).ticket
            fields = ("state", "cycle", "assignee", "plan", "result", "opened_at", "solved_at", "closed_at")
            kept = me.tickets.get(number)
            assert [getattr(kept, name) for name in fields] == [getattr(same, name) for name in fields]
        reopened = crm.read(lambda transaction: transaction.count("events", Eq("action", "ticket.reopened")))
        assert reopened == sum(ticket.cycle - 1 for ticket in me.tickets.find(limit=1000))
        assert reopened > 0
