"""What is owed, derived from events: one open per track, nothing due is lost, whatever the order in which things are written down."""

from __future__ import annotations

import datetime
import itertools
import json
from calendar import monthrange

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain import Event, Obligation
from crmcore.domain.duration import Duration
from crmcore.playbooks import load
from crmcore.rules.obligations import derive, settle, standing_of
from crmcore.rules.rulebook import Rulebook

UTC = datetime.UTC
START = datetime.datetime(2024, 1, 1, 1, tzinfo=UTC)
STANDARD, MARKETING, MAINTENANCE = (Rulebook(load(key)) for key in ("standard", "marketing", "maintenance"))
ZONE = STANDARD.zone
OFFSETS = st.integers(0, 400 * 24 * 60).map(lambda minutes: datetime.timedelta(minutes=minutes))


class Log:
    """A customer's log, written by hand: the form of an event is what the library's own has."""

    def __init__(self, rulebook, *, stage="prospect", tier="B", **values):
        self.rulebook, self.events, self.ids = rulebook, [], itertools.count(1)
        told = {"stage": stage, "tier": tier, "owner": "li", "stage_since": START.isoformat(), **values}
        self.write(START, "customer.registered", "c", {name: [None, value] for name, value in told.items()})

    def write(self, at, action, subject_id, changes, reason=None):
        entity = action.partition(".")[0]
        event = Event(
            id=f"{next(self.ids):06}",
            customer_id="c",
            subject=entity,
            subject_id=subject_id,
            action=action,
            at=at,
            by="li",
            changes=json.dumps(changes),
            reason=reason,
        )
        self.events.append(event)
        return event

    def talk(self, at, logged_at=None, **values):
        subject = f"f{len(self.events)}"
        told = {"at": at.isoformat(), "recorder": "li", **values}
        changes = {name: [None, value] for name, value in told.items()}
        return self.write(logged_at or at, "follow_up.logged", subject, changes)

    def stand(self, at, **changes):
        self.write(at, "customer.updated", "c", {name: [None, value] for name, value in changes.items()})

    def owed(self, sort="cadence"):
        return [one for one in derive(self.events, self.rulebook) if one.rule.startswith(sort)]


def told(found):
    """What is owed without the ids, which tell in which order it was written down."""
    return sorted((one.rule, one.opened_at, one.due_at, one.state, one.closed_at or START) for one in found)


def last_day(one):
    return (one.due_at - datetime.timedelta(microseconds=1)).astimezone(ZONE).date()


@given(st.lists(OFFSETS, max_size=8), st.randoms(use_true_random=False))
def test_the_order_in_which_conversations_are_written_down_changes_nothing(offsets, random):
    end = START + datetime.timedelta(days=401)
    shuffled = random.sample(offsets, len(offsets))
    in_order, mixed = Log(STANDARD), Log(STANDARD)
    for offset in sorted(offsets):
        in_order.talk(START + offset, logged_at=end)
    for offset in shuffled:
        mixed.talk(START + offset, logged_at=end)
    assert told(in_order.owed()) == told(mixed.owed())


@given(st.lists(OFFSETS, max_size=8, unique=True), st.sampled_from("ABC"))
def test_the_contact_track_is_what_one_counts_on_ones_fingers(offsets, tier):
    log = Log(MAINTENANCE, tier=tier)
    moments = sorted(START + offset for offset in offsets)
    for moment in moments:
        log.talk(moment)
    found = [one for one in log.owed() if one.track == "cadence.contact"]
    every = {"A": 7, "B": 14, "C": None}[tier]

    def later(day):
        if every is not None:
            return day + datetime.timedelta(days=every)
        year, month = (day.year + 1, 1) if day.month == 12 else (day.year, day.month + 1)
        return datetime.date(year, month, min(day.day, monthrange(year, month)[1]))

    begun = [START, *moments]
    assert [one.opened_at for one in found] == begun
    assert [last_day(one) for one in found] == [later(moment.astimezone(ZONE).date()) for moment in begun]
    ends = [*moments, None]
    assert [one.closed_at for one in found] == ends
    for one, end in zip(found, ends, strict=True):
        assert one.state == ("open" if end is None else "met" if end < one.due_at else "met_late")


CHANGES = st.one_of(
    st.fixed_dictionaries({"tier": st.sampled_from(["A", "B", "C", None])}),
    st.fixed_dictionaries({"stage": st.sampled_from(["prospect", "interested", "customer", "lost"])}),
    st.fixed_dictionaries({"owner": st.sampled_from(["li", "wang"])}),
)
FACTS = st.lists(
    st.tuples(OFFSETS, st.one_of(CHANGES, st.sampled_from(["phone", "face_to_face", "email"]), st.just("waive"))),
    max_size=12,
)


def lived(facts, rulebook=STANDARD):
    """A customer's life, and a look at it after each step."""
    log = Log(rulebook)
    for offset, fact in sorted(facts, key=lambda pair: pair[0]):
        at = START + offset
        if isinstance(fact, dict):
            log.stand(at, **fact)
        elif fact == "waive":
            open_now = [one for one in log.owed() if one.state == "open"]
            if open_now:
                log.write(at, "obligation.waived", open_now[0].id, {}, "not now")
        else:
            log.talk(at, method=fact)
        yield at, log


@given(FACTS)
def test_at_most_one_is_open_on_a_track_and_each_track_in_force_has_one_unless_it_was_waived(facts):
    for at, log in lived(facts):
        found = log.owed()
        tracks = [one.track for one in found if one.state == "open"]
        assert len(tracks) == len(set(tracks))
        state = {name: json.loads(event.changes)[name][1] for event in log.events for name in json.loads(event.changes)}
        waived = {one.track for one in found if one.state == "waived"}
        in_force = set()
        if state["stage"] != "lost":
            in_force = {f"cadence.{one.track}" for one in STANDARD.cadences(state["stage"], state["tier"])}
        assert set(tracks) <= in_force <= set(tracks) | waived
        for one in found:
            assert one.opened_at <= (one.closed_at or at)
            assert one.due_at > one.opened_at
            assert one.warn_at is not None and one.warn_at < one.due_at


@given(FACTS)
def test_what_has_ended_stays_as_it_ended_while_things_are_written_down_as_they_happen(facts):
    before = {}
    for at, log in lived(facts):
        found = {one.id: attrs.asdict(one) for one in log.owed()}
        assert before.keys() <= found.keys()
        for id, old in before.items():
            if old["state"] != "open":
                assert found[id] == old
            elif found[id]["state"] != "open":
                assert found[id]["closed_at"] == at
        before = found


@given(FACTS)
def test_nothing_falls_due_before_it_began_to_hold(facts):
    for _, log in lived(facts):
        for one in log.owed():
            assert last_day(one) >= one.opened_at.astimezone(ZONE).date()


@given(FACTS, st.lists(st.integers(0, 40), max_size=4))
def test_a_clock_that_goes_back_stands_still(facts, back):
    at, log = [(START, Log(STANDARD)), *lived(facts)][-1]
    for days in back:
        log.talk(at - datetime.timedelta(days=days), logged_at=at - datetime.timedelta(days=days))
        log.stand(at - datetime.timedelta(days=days), tier="A")
    for one in log.owed(""):
        assert one.closed_at is None or one.closed_at >= one.opened_at


@given(FACTS)
def test_settling_twice_is_settling_once(facts):
    kept: dict[str, Obligation] = {}
    for _, log in lived(facts, MARKETING):
        owed = derive(log.events, MARKETING)
        change = settle(owed, kept.values())
        for gone in change.gone:
            del kept[gone.id]
        kept |= {after.id: after for _, after in change.changed} | {one.id: one for one in change.begun}
        assert not settle(owed, kept.values())
        assert kept.keys() == {one.id for one in owed}


def test_a_stage_change_plans_anew_and_a_lost_customer_is_owed_nothing():
    log = Log(STANDARD, tier=None)
    log.stand(START + datetime.timedelta(days=3), stage="interested")
    assert [(one.rule, one.state) for one in log.owed() if one.track == "cadence.contact"] == [
        ("cadence.prospect_contact", "superseded"),
        ("cadence.interested_contact", "open"),
    ]
    log.stand(START + datetime.timedelta(days=4), stage="lost")
    assert {one.state for one in log.owed()} == {"superseded"}


def test_the_monthly_meeting_is_not_met_by_a_call_and_runs_beside_the_weekly_contact():  # seed 001
    log = Log(MAINTENANCE, tier="A")
    log.talk(START + datetime.timedelta(days=5), method="phone")
    assert [one.state for one in log.owed() if one.track == "cadence.deepening"] == ["open"]
    log.talk(START + datetime.timedelta(days=6), method="face_to_face")
    assert [one.state for one in log.owed() if one.track == "cadence.deepening"] == ["met", "open"]
    assert [one.state for one in log.owed() if one.track == "cadence.contact"] == ["met", "met", "open"]


def test_a_c_customer_that_nobody_spoke_to_for_three_months_is_about_to_be_lost():  # seed 001
    log = Log(MAINTENANCE, tier="C")
    (silent,) = [one for one in log.owed() if one.rule == "cadence.silent_customer"]
    assert last_day(silent) == datetime.date(2024, 4, 1)
    log.talk(datetime.datetime(2024, 3, 31, 4, tzinfo=UTC), method="wechat")
    first, second = [one for one in log.owed() if one.rule == "cadence.silent_customer"]
    assert (first.state, last_day(second)) == ("met", datetime.date(2024, 6, 30))


def test_a_conversation_is_to_be_written_down_within_a_day():  # seeds 001, 003, 004
    log = Log(STANDARD)
    held = START + datetime.timedelta(days=1)
    for late in (datetime.timedelta(hours=24) - datetime.timedelta(milliseconds=1), datetime.timedelta(hours=24)):
        log.talk(held, logged_at=held + late)
    assert [(one.state, one.due_at - held) for one in log.owed("target.record_follow_up")] == [
        ("met", datetime.timedelta(hours=24)),
        ("met_late", datetime.timedelta(hours=24)),
    ]


def test_how_it_stands_at_any_moment():
    (one,) = [one for one in Log(STANDARD, tier="A").owed() if one.track == "cadence.contact"]
    smallest = datetime.timedelta(microseconds=1)
    for moment, standing in (
        (one.warn_at - smallest, "open"),
        (one.warn_at, "at_risk"),
        (one.due_at - smallest, "at_risk"),
        (one.due_at, "breached"),
    ):
        assert standing_of(one, moment) == standing


def target_log(**values):
    log = Log(STANDARD, stage="interested", **values)
    return log, START + datetime.timedelta(days=10)


def test_fields_of_a_deal_within_30_days():  # seed 003
    log, deal = target_log()
    log.write(
        deal, "customer.moved", "c", {"stage": ["interested", "customer"], "stage_since": [None, deal.isoformat()]}
    )
    (one,) = log.owed("target.complete_fields")
    assert (one.state, last_day(one)) == ("open", (deal + datetime.timedelta(days=30)).date())
    later = deal + datetime.timedelta(days=31)
    log.stand(deal, service_contact="x", contract_expires_on="2025-01-31")
    assert [one.state for one in log.owed("target.complete_fields")] == ["open"]
    log.stand(later, first_deal_amount={"amount": "3.00", "currency": "CNY"})
    assert [one.state for one in log.owed("target.complete_fields")] == ["met_late"]


def test_a_contract_is_renewed_before_it_runs_out():
    log, now = target_log(contract_expires_on="2024-06-30")
    (one,) = log.owed("target.renew_contract")
    assert (last_day(one), one.warn_at.astimezone(ZONE).date()) == (
        datetime.date(2024, 6, 30),
        datetime.date(2024, 5, 31),
    )
    log.write(now, "customer.updated", "c", {"contract_expires_on": ["2024-06-30", "2025-06-30"]})
    assert [(one.state, last_day(one).year) for one in log.owed("target.renew_contract")] == [
        ("met", 2024),
        ("open", 2025),
    ]
    log.write(now, "customer.updated", "c", {"contract_expires_on": ["2025-06-30", "2025-03-31"]})
    assert [one.state for one in log.owed("target.renew_contract")] == ["met", "superseded", "open"]
    log.write(now, "customer.updated", "c", {"contract_expires_on": ["2025-03-31", None]})
    assert [one.state for one in log.owed("target.renew_contract")] == ["met", "superseded", "superseded"]


@pytest.mark.parametrize(
    ("action", "changes", "counts"),
    [
        ("customer.updated", {"decision_makers": [[], ["王总监"]]}, True),  # 新增决策人
        ("customer.updated", {"budget": [None, {"amount": "500000.00", "currency": "CNY"}]}, True),  # 预算调整
        ("contact.added", {"name": [None, "x"], "decision_maker": [None, True]}, True),
        ("contact.added", {"name": [None, "x"], "decision_maker": [None, False]}, False),
        ("opportunity.updated", {"expected_amount": [None, {"amount": "5.00", "currency": "CNY"}]}, True),
        ("opportunity.opened", {"expected_amount": [None, {"amount": "5.00", "currency": "CNY"}]}, False),
        ("customer.updated", {"address": [None, "x"]}, False),
    ],
)
def test_a_major_change_wants_the_plan_updated(action, changes, counts):  # seed 003
    log, now = target_log()
    log.write(now, action, "c" if action.startswith("customer") else "x", changes)
    assert [one.state for one in log.owed("target.update_plan")] == ["open"] * counts
    log.write(now, "follow_up_plan.made", "p", {"due_on": [None, "2024-02-01"]})
    assert [one.state for one in log.owed("target.update_plan")] == ["met"] * counts


def test_a_lost_customer_s_plan_is_not_to_be_updated():
    log, now = target_log()
    log.stand(now, stage="lost")
    log.stand(now, decision_makers=["王总监"])
    assert log.owed("target.update_plan") == []
    log.write(now, "customer.moved", "c", {"stage": ["lost", "interested"], "budget": [None, "1.00"]})
    assert [one.state for one in log.owed("target.update_plan")] == ["open"]


def test_a_proposal_is_submitted_within_three_days_and_going_back_is_no_submission():  # seed 002
    log, now = target_log()
    log.write(now, "opportunity.opened", "o", {"stage": [None, "requirements"], "pipeline": [None, "sales"]})
    log.write(now, "opportunity.moved", "o", {"stage": ["requirements", "proposal"]})
    (one,) = log.owed("target.submit_proposal")
    assert last_day(one) == (now + datetime.timedelta(days=3)).date()
    log.write(now, "opportunity.moved", "o", {"stage": ["proposal", "requirements"]})
    assert [one.state for one in log.owed("target.submit_proposal")] == ["superseded"]
    log.write(now, "opportunity.moved", "o", {"stage": ["requirements", "proposal"]})
    log.write(now, "opportunity.moved", "o", {"stage": ["proposal", "negotiation"]})
    assert [one.state for one in log.owed("target.submit_proposal")] == ["superseded", "met"]
    log.write(now, "opportunity.moved", "o", {"stage": ["negotiation", "proposal"]})
    log.write(now, "opportunity.moved", "o", {"stage": ["proposal", "lost"]})
    assert [one.state for one in log.owed("target.submit_proposal")] == ["superseded", "met", "superseded"]


def feedback(log, at, **values):
    given = {"received_at": at.isoformat(), "complexity": "ordinary", "responsible": "zhang", **values}
    log.write(at, "feedback.received", "fb", {name: [None, value] for name, value in given.items()})


def test_ordinary_feedback_is_solved_in_24_hours_and_complex_one_has_a_plan_in_48():  # seed 001
    log, now = target_log()
    feedback(log, now)
    (one,) = log.owed("target.solve_feedback")
    assert (one.due_at - now, one.owner) == (datetime.timedelta(hours=24), "zhang")
    log.write(now + datetime.timedelta(hours=2), "feedback.updated", "fb", {"complexity": ["ordinary", "complex"]})
    assert [one.state for one in log.owed("target.solve_feedback")] == ["superseded"]
    (plan,) = log.owed("target.plan_feedback")
    assert plan.due_at - now == datetime.timedelta(hours=48)  # from when it came in
    log.write(now + datetime.timedelta(hours=50), "feedback.planned", "fb", {"plan": [None, "x"]})
    assert [one.state for one in log.owed("target.plan_feedback")] == ["met_late"]


def test_who_is_not_satisfied_gets_a_new_plan_in_a_new_cycle():  # seed 001
    log, now = target_log()
    feedback(log, now, complexity="complex")
    log.write(now + datetime.timedelta(hours=1), "feedback.planned", "fb", {"plan": [None, "x"]})
    log.write(now + datetime.timedelta(hours=2), "feedback.answered", "fb", {"result": [None, "x"]})
    reopened = now + datetime.timedelta(days=5)
    log.write(reopened, "feedback.reopened", "fb", {"cycle": [1, 2]})
    first, second = log.owed("target.plan_feedback")
    assert (first.state, second.state, second.due_at - reopened) == ("met", "open", datetime.timedelta(hours=48))


def ticket(log, at, **values):
    given = {"opened_at": at.isoformat(), "priority": "urgent", "assignee": "zhang", **values}
    log.write(at, "ticket.opened", "t", {name: [None, value] for name, value in given.items()})


def test_while_a_ticket_waits_for_the_customer_its_clock_stands_still():
    log, now = target_log()
    ticket(log, now)
    hours = [now + datetime.timedelta(hours=hour) for hour in range(200)]
    log.write(hours[3], "ticket.waited", "t", {"state": ["open", "waiting"]})
    (one,) = log.owed("target.solve_urgent_ticket")
    assert (one.state, one.due_at) == ("paused", hours[24])
    log.write(hours[103], "ticket.resumed", "t", {"state": ["waiting", "in_progress"]})
    (one,) = log.owed("target.solve_urgent_ticket")
    assert (one.state, one.due_at) == ("open", hours[124])
    log.write(hours[123], "ticket.solved", "t", {"state": ["in_progress", "solved"]})
    assert [(one.state, one.due_at) for one in log.owed("target.solve_urgent_ticket")] == [("met", hours[124])]
    assert [one.state for one in log.owed("target.answer_ticket")] == ["met"]  # who solves has answered


def variant(**changes):
    targets = tuple(
        attrs.evolve(t, **changes) if t.key == "solve_urgent_ticket" else t for t in STANDARD.playbook.targets
    )
    return Rulebook(attrs.evolve(STANDARD.playbook, targets=targets))


@pytest.mark.parametrize(
    ("reopening", "expected"),
    [
        ("new_cycle", [("met", 24), ("open", 50 + 24)]),
        ("restart", [("superseded", 24), ("open", 50 + 24)]),
        ("continue", [("open", 50 + 14)]),
    ],
)
def test_how_a_ticket_that_is_reopened_counts(reopening, expected):
    log, now = target_log()
    log.rulebook = variant(reopening=reopening)
    ticket(log, now)
    log.write(now + datetime.timedelta(hours=10), "ticket.solved", "t", {"state": ["open", "solved"]})
    log.write(now + datetime.timedelta(hours=50), "ticket.reopened", "t", {"state": ["solved", "in_progress"]})
    found = [
        (one.state, (one.due_at - now) / datetime.timedelta(hours=1)) for one in log.owed("target.solve_urgent_ticket")
    ]
    assert found == expected


def test_a_pause_that_a_target_does_not_know_does_not_hold_it():
    log, now = target_log()
    log.rulebook = variant(pause="none")
    ticket(log, now)
    log.write(now, "ticket.waited", "t", {"state": ["open", "waiting"]})
    (one,) = log.owed("target.solve_urgent_ticket")
    assert (one.state, one.due_at - now) == ("open", datetime.timedelta(hours=24))


def test_each_collaborator_owes_a_part_of_their_own():  # seed 002
    log, now = target_log()
    ticket(log, now, collaborators=["hua/技术支持"])
    later = now + datetime.timedelta(hours=5)
    log.write(
        later, "ticket.collaborators_changed", "t", {"collaborators": [["hua/技术支持"], ["hua/技术支持", "min"]]}
    )
    found = {one.owner: one for one in log.owed("target.contribute_to_ticket")}
    assert {owner: one.due_at - now for owner, one in found.items()} == {
        "hua": datetime.timedelta(hours=24),
        "min": datetime.timedelta(hours=29),
    }
    log.write(later, "ticket.contributed", "t", {"collaborator": [None, "hua"]})
    assert {one.owner: one.state for one in log.owed("target.contribute_to_ticket")} == {"hua": "met", "min": "open"}
    log.write(
        later, "ticket.collaborators_changed", "t", {"collaborators": [["hua/技术支持", "min"], ["hua/技术支持"]]}
    )
    assert {one.owner: one.state for one in log.owed("target.contribute_to_ticket")} == {
        "hua": "met",
        "min": "superseded",
    }


def test_who_is_asked_to_help_later_owes_a_part_though_nobody_was_asked_at_first():  # seed 002: 可在工单中添加协作人
    log, now = target_log()
    only = tuple(one for one in STANDARD.playbook.targets if one.key == "contribute_to_ticket")
    log.rulebook = Rulebook(attrs.evolve(STANDARD.playbook, targets=only))
    assert log.rulebook.hears("ticket.collaborators_changed")
    ticket(log, now)
    later = now + datetime.timedelta(hours=5)
    log.write(later, "ticket.collaborators_changed", "t", {"collaborators": [[], ["hua"]]})
    assert [(one.owner, one.due_at - now) for one in log.owed("target.contribute_to_ticket")] == [
        ("hua", datetime.timedelta(hours=29))
    ]


def test_a_collaborator_is_one_person_whatever_department_is_named():
    log, now = target_log()
    ticket(log, now, collaborators=["hua", "hua/售后"])
    assert [(one.owner, one.state) for one in log.owed("target.contribute_to_ticket")] == [("hua", "open")]
    log.write(now, "ticket.collaborators_changed", "t", {"collaborators": [["hua", "hua/售后"], ["hua/技术支持"]]})
    assert [(one.owner, one.state) for one in log.owed("target.contribute_to_ticket")] == [("hua", "open")]


def test_what_was_waived_is_owed_anew_once_another_cadence_took_its_place():
    log = Log(STANDARD, tier=None)
    log.write(START, "obligation.waived", log.owed()[0].id, {}, "not now")
    log.stand(START, stage="interested")
    log.stand(START, stage="prospect")
    assert [(one.rule, one.state) for one in log.owed() if one.track == "cadence.contact"] == [
        ("cadence.prospect_contact", "waived"),
        ("cadence.interested_contact", "superseded"),
        ("cadence.prospect_contact", "open"),
    ]


def test_working_days_count_in_the_teams_calendar_with_its_make_up_days():
    log, _ = target_log()
    friday = datetime.datetime(2024, 2, 2, 2, tzinfo=UTC)  # Sunday 4 February 2024 is worked for the Spring Festival
    ticket(log, friday, priority="ordinary")
    (one,) = log.owed("target.solve_ticket")
    assert one.due_at.astimezone(ZONE).isoformat() == "2024-02-06T18:00:00+08:00"


def test_a_duration_of_working_days_serves_cadences_too():
    cadences = tuple(
        attrs.evolve(one, every=Duration(5, "working_days")) if one.key == "tier_a_contact" else one
        for one in MAINTENANCE.playbook.cadences
    )
    log = Log(Rulebook(attrs.evolve(MAINTENANCE.playbook, cadences=cadences)), tier="A")
    log.talk(datetime.datetime(2024, 2, 8, 2, tzinfo=UTC))  # before the Spring Festival of 2024
    assert last_day(log.owed()[-1]) == datetime.date(2024, 2, 21)  # Friday the 9th and Sunday the 18th are worked


def test_an_instalment_is_due_on_its_day_and_met_when_it_came_in():  # seed 002
    log, now = target_log()
    log.write(now, "instalment.agreed", "i", {"due_on": [None, "2024-03-31"]})
    (one,) = log.owed("target.collect_instalment")
    assert (last_day(one), one.owner) == (datetime.date(2024, 3, 31), "li")
    log.write(now, "instalment.changed", "i", {"due_on": ["2024-03-31", "2024-04-30"]})
    log.write(now, "instalment.collected", "i", {"collected_on": [None, "2024-04-30"]})
    assert [(one.state, last_day(one).month) for one in log.owed("target.collect_instalment")] == [
        ("superseded", 3),
        ("met", 4),
    ]


def test_what_a_customer_complained_of_is_owed_though_it_is_lost():
    log, now = target_log(contract_expires_on="2024-06-30")
    feedback(log, now)
    log.stand(now, stage="lost")
    assert [one.state for one in log.owed("target.renew_contract")] == ["superseded"]
    assert [one.state for one in log.owed("target.solve_feedback")] == ["open"]
    log.stand(now + datetime.timedelta(days=2), stage="interested")  # won back
    assert [one.state for one in log.owed("target.renew_contract")] == ["superseded", "open"]


def with_targets(*targets, keep=()):
    """The standard playbook with some of its targets, and others."""
    kept = tuple(one for one in STANDARD.playbook.targets if one.key in keep)
    return Rulebook(attrs.evolve(STANDARD.playbook, targets=(*kept, *targets)))


def target(key, **values):
    return attrs.evolve(next(one for one in STANDARD.playbook.targets if one.key == "answer_ticket"), key=key, **values)


@given(FACTS)
def test_no_two_have_one_id(facts):
    for _, log in lived(facts):
        log.write(log.events[-1].at, "customer.updated", "c", {"contract_expires_on": [None, "2027-01-01"]})
        ids = [one.id for one in log.owed("")]
        assert len(ids) == len(set(ids))


def test_a_customer_that_is_won_back_with_a_new_date_owes_its_renewal_once():
    log, now = target_log(contract_expires_on="2027-01-01")
    log.stand(now, stage="lost")
    log.stand(now, stage="interested", contract_expires_on="2028-01-01")
    found = log.owed("target.renew_contract")
    assert [(one.state, last_day(one).year) for one in found] == [("superseded", 2027), ("open", 2028)]
    assert len({one.id for one in found}) == 2


def test_a_registration_that_tells_of_the_last_contact_opens_the_next_one_once():
    log = Log(MAINTENANCE, tier="A", last_follow_up_at=START.isoformat())
    (contact,) = [one for one in log.owed() if one.track == "cadence.contact"]
    assert (contact.state, last_day(contact)) == ("open", datetime.date(2024, 1, 8))


def opportunity(log, at, stage, **values):
    told = {"stage": stage, "stage_since": at.isoformat(), "pipeline": "sales", **values}
    return {name: [None, value] for name, value in told.items()}


def test_what_went_to_another_customer_is_owed_there_from_when_it_came_to_its_stage():
    log, now = target_log()
    log.write(now, "opportunity.opened", "o", opportunity(log, now, "requirements"))
    log.write(
        now, "opportunity.moved", "o", {"stage": ["requirements", "proposal"], "stage_since": [None, now.isoformat()]}
    )
    later = now + datetime.timedelta(days=1)
    log.write(later, "opportunity.left", "o", {})
    assert [one.state for one in log.owed("target.submit_proposal")] == ["superseded"]
    other = Log(STANDARD, stage="interested")
    other.write(later, "opportunity.joined", "o", opportunity(other, now, "proposal"))
    (one,) = other.owed("target.submit_proposal")
    assert (one.state, last_day(one)) == ("open", (now + datetime.timedelta(days=3)).date())


def test_a_lost_opportunity_is_owed_nothing_more():
    log, now = target_log()
    log.rulebook = with_targets(
        target("win", on="opportunity.opened", met_by="opportunity.won", within=Duration(30, "days"))
    )
    log.write(now, "opportunity.opened", "o", opportunity(log, now, "requirements"))
    log.write(now, "opportunity.moved", "o", {"stage": ["requirements", "lost"]})
    assert [one.state for one in log.owed("target.win")] == ["superseded"]


@pytest.mark.parametrize("met_by", ["ticket.contributed", "ticket.answered"])
def test_what_has_come_to_its_end_does_not_begin_anew(met_by):
    log, now = target_log()
    log.rulebook = with_targets(
        target("part", on="ticket.opened", met_by="ticket.contributed", where={"ticket.priority": "urgent"}),
        target("valued", on="customer.registered", met_by="customer.won", where={"customer.tier": "B"}),
    )
    ticket(log, now)
    log.write(now, "ticket.closed", "t", {"state": ["open", "closed"]})
    log.write(now, "ticket.rated", "t", {"stars": [None, 5]})
    assert [one.state for one in log.owed("target.part")] == ["superseded"]
    log.stand(now, stage="lost")
    assert [one.state for one in log.owed("target.valued")] == ["superseded"]


def test_what_is_owed_about_a_ticket_can_rest_on_its_customer():
    log, now = target_log(tier="C")
    log.rulebook = with_targets(
        target("fast", on="ticket.opened", within=Duration(4, "hours"), where={"customer.tier": "A"}),
        target(
            "renew",
            on="customer.contract_expires_on",
            met_by="customer.renewed",
            within=None,
            where={"customer.tier": "A"},
        ),
    )
    log.stand(now, contract_expires_on="2024-12-31")
    ticket(log, now)
    assert log.owed("target") == []
    log.stand(now + datetime.timedelta(hours=1), tier="A")
    (fast,) = log.owed("target.fast")
    assert (fast.state, fast.due_at - now) == ("open", datetime.timedelta(hours=4))
    assert [last_day(one).isoformat() for one in log.owed("target.renew")] == ["2024-12-31"]
    log.stand(now + datetime.timedelta(hours=2), tier="B")
    assert {one.state for one in log.owed("target")} == {"superseded"}


def test_a_condition_can_ask_for_a_custom_field():
    log, now = target_log()
    log.rulebook = with_targets(target("vip", where={"customer.vip": "yes"}))
    log.write(now, "customer.updated", "c", {"custom": [{}, {"vip": "yes"}]})
    ticket(log, now)
    assert [one.state for one in log.owed("target.vip")] == ["open"]


def test_whoever_is_asked_to_help_while_a_ticket_waits_waits_too():
    log, now = target_log()
    ticket(log, now)
    log.write(now, "ticket.waited", "t", {"state": ["open", "waiting"]})
    log.write(now, "ticket.collaborators_changed", "t", {"collaborators": [[], ["hua"]]})
    assert [one.state for one in log.owed("target.contribute_to_ticket")] == ["paused"]
    log.write(now, "ticket.resumed", "t", {"state": ["waiting", "in_progress"]})
    assert [one.state for one in log.owed("target.contribute_to_ticket")] == ["open"]


def test_the_people_who_are_registered_with_a_customer_are_no_major_change():
    log = Log(STANDARD)
    log.write(START, "contact.added", "p", {"name": [None, "x"], "decision_maker": [None, True]})
    assert log.owed("target.update_plan") == []


def test_what_falls_to_the_owner_of_the_customer_is_handed_over_with_it():
    log, now = target_log()
    log.write(now, "instalment.agreed", "i", {"due_on": [None, "2024-03-31"]})
    ticket(log, now, assignee="zhang")
    log.stand(now, owner="wang")
    assert {one.owner for one in log.owed("target.collect_instalment")} == {"wang"}
    assert {one.owner for one in log.owed("target.answer_ticket")} == {"zhang"}


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("working_days", "2024-04-03T18:00:00+08:00"), ("working_hours", "2024-04-01T11:00:00+08:00")],
)
def test_after_a_date_it_may_count_in_working_time(unit, expected):
    log, now = target_log()
    after = Duration({"working_days": 3, "working_hours": 2}[unit], unit)
    log.rulebook = with_targets(target("late", on="instalment.due_on", met_by="instalment.collected", within=after))
    log.write(now, "instalment.agreed", "i", {"due_on": [None, "2024-03-31"]})
    (one,) = log.owed("target.late")
    assert one.due_at.astimezone(ZONE).isoformat() == expected
