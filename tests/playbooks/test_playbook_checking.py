"""Each rule that a playbook must keep, broken one at a time on top of the standard playbook."""

import attrs
import pytest

from crmcore.domain.duration import Duration
from crmcore.domain.policies import Cadence, Label, Reminder, Stage, Transition
from crmcore.errors import PlaybookError
from crmcore.playbooks import BUNDLED, load
from crmcore.playbooks.checking import problems

BROKEN = {
    "a lifecycle of another name": ('[lifecycle]\nkey = "status"', ["lifecycle.key: is lifecycle; leave it out"]),
    "a stage nobody can reach": (
        '[lifecycle.stages.dormant]\nlabel = { zh = "休眠", en = "Dormant" }\nfinal = true',
        ["lifecycle.stages.dormant: can't be reached from prospect"],
    ),
    "a dead end": (
        '[lifecycle.stages.dormant]\nlabel = { zh = "休眠", en = "Dormant" }\n'
        '[lifecycle.transitions]\n"customer -> dormant" = {}',
        ["lifecycle.stages.dormant: is a dead end; give it a transition, or say final = true"],
    ),
    "a way out of a final stage": (
        '[pipelines.sales.transitions]\n"lost -> requirements" = {}',
        ["pipelines.sales.stages.lost.final: a final stage has no way out but a rollback"],
    ),
    "a transition to an unknown stage": (
        '[lifecycle.transitions]\n"customer -> prospekt" = {}',
        ["lifecycle.transitions.customer -> prospekt: there is no stage 'prospekt'; did you mean prospect?"],
    ),
    "a transition to itself": (
        '[lifecycle.transitions]\n"customer -> customer" = {}',
        ["lifecycle.transitions.customer -> customer: leads nowhere"],
    ),
    "an unknown guard": (
        '[lifecycle.transitions]\n"customer -> lost" = { guards = ["reasons"] }',
        ["lifecycle.transitions.customer -> lost.guards: there is no guard 'reasons'; did you mean reason?"],
    ),
    "a guard of opportunities for customers": (
        '[lifecycle.transitions]\n"customer -> lost" = { guards = ["amount"] }',
        ["lifecycle.transitions.customer -> lost.guards: amount is for the moves of an opportunity"],
    ),
    "a guard of customers for opportunities": (
        '[pipelines.sales.transitions]\n"signed -> collected" = { guards = ["contract_signed"] }',
        ["pipelines.sales.transitions.signed -> collected.guards: contract_signed is for the moves of a customer"],
    ),
    "an automatic move that nothing holds back": (
        '[lifecycle.transitions]\n"prospect -> interested" = { automatic = true }',
        ["lifecycle.transitions.prospect -> interested.automatic: needs a guard that says when"],
    ),
    "an automatic move that asks for a reason": (
        '[lifecycle.transitions]\n"customer -> lost" = { guards = ["reason"], automatic = true }',
        ["lifecycle.transitions.customer -> lost.automatic: nobody is there to give a reason"],
    ),
    "automatic moves in a circle": (
        '[lifecycle.transitions]\n"prospect -> interested" = { guards = ["fields"], fields = ["core_need"], automatic = true }\n'
        '"interested -> prospect" = { guards = ["fields"], fields = ["core_need"], automatic = true }',
        [
            "lifecycle.stages.prospect: automatic moves lead from here back to here",
            "lifecycle.stages.interested: automatic moves lead from here back to here",
        ],
    ),
    "a guard without its list, a list without its guard": (
        '[pipelines.sales.transitions]\n"requirements -> proposal" = { guards = ["fields"], evidence = ["minutes"] }',
        [
            "pipelines.sales.transitions.requirements -> proposal: the guard fields and the list fields need one another",
            "pipelines.sales.transitions.requirements -> proposal: the guard evidence and the list evidence need one another",
        ],
    ),
    "a guarded field that is none": (
        '[pipelines.sales.transitions]\n"requirements -> proposal" = { guards = ["fields"], fields = ["amont", "customer.name"] }',
        ["pipelines.sales.transitions.requirements -> proposal.fields: there is no field 'opportunity.amont'"],
    ),
    "an unknown first stage": (
        '[pipelines.sales]\ninitial = "start"',
        ["pipelines.sales.initial: there is no stage 'start'"],
    ),
    "a first stage that is an outcome": (
        '[lifecycle]\ninitial = "customer"',
        ["lifecycle.initial: the first stage must have the outcome open"],
    ),
    "a chance beyond certainty": (
        "[pipelines.sales.stages.proposal]\nprobability = 101",
        ["pipelines.sales.stages.proposal.probability: must be a percentage from 0 to 100"],
    ),
    "a pipeline's stage without its place in the lifecycle": (
        '[pipelines.sales.stages.trial]\nlabel = { zh = "试用", en = "Trial" }\n'
        '[pipelines.sales.transitions]\n"proposal -> trial" = {}\n"trial -> negotiation" = {}',
        ["pipelines.sales.stages.trial.lifecycle: required"],
    ),
    "a pipeline's stage that stands for no stage": (
        '[pipelines.sales.stages.proposal]\nlifecycle = "intrested"',
        ["pipelines.sales.stages.proposal.lifecycle: there is no stage 'intrested'; did you mean interested?"],
    ),
    "a lifecycle that points to itself": (
        '[lifecycle.stages.prospect]\nlifecycle = "lost"',
        ["lifecycle.stages.prospect.lifecycle: belongs in the stages of a pipeline only"],
    ),
    "a blank label": (
        '[lifecycle.stages.prospect.label]\nen = " "\n[pipelines.sales.label]\nzh = ""',
        [
            "lifecycle.stages.prospect.label.en: a label can't be blank",
            "pipelines.sales.label.zh: a label can't be blank",
        ],
    ),
    "a blank alias": ('[tiers.A.label]\naliases = [""]', ["tiers.A.label.aliases: an alias can't be blank"]),
    "two stages of one name": (
        '[lifecycle.stages.lost.label]\naliases = ["潜在客户"]',
        ["lifecycle.stages.lost: '潜在客户' already means prospect"],
    ),
    "a cadence for unknown tiers and stages": (
        '[cadences.revisit]\ntiers = ["D"]\nstages = ["won"]\nmethod = "fax"\ntrack = "a b"',
        [
            "cadences.revisit.tiers: there is no tier 'D'. Allowed: A, B, C.",
            "cadences.revisit.stages: there is no stage 'won'",
            "cadences.revisit.method: there is no method 'fax'",
            "cadences.revisit.track: must be",
        ],
    ),
    "a target of unknown moments": (
        '[targets.answer_ticket]\non = "ticket.open"\nmet_by = "ticket.reopened"',
        [
            "targets.answer_ticket.on: there is no moment or date field 'ticket.open'; did you mean ticket.opened?",
            "targets.answer_ticket.met_by: there is no moment 'ticket.reopened'",
        ],
    ),
    "a target for what can't be": (
        '[targets.plan_feedback]\nwhere = { "feedback.complexity" = "hard", "feedback.colour" = "red", "customer.tier" = "D" }',
        [
            "targets.plan_feedback.where.feedback.complexity: there is no value 'hard'. Allowed: complex, ordinary.",
            "targets.plan_feedback.where: there is no field 'feedback.colour'",
            "targets.plan_feedback.where.customer.tier: there is no value 'D'",
        ],
    ),
    "a completion of nothing": (
        "[targets.complete_fields]\nfields = []",
        ["targets.complete_fields.fields: goes with met_by"],
    ),
    "a completion of an unknown field": (
        '[targets.complete_fields]\nfields = ["customer.service_contakt"]',
        ["did you mean customer.service_contact?"],
    ),
    "a reminder of nothing": (
        '[reminders.contract_renewal]\non = "customer.contract_expires"',
        ["did you mean customer.contract_expires_on?"],
    ),
    "a reminder of an unknown rule": (
        '[reminders.planned_follow_up]\non = "cadence.revisits"',
        ["did you mean cadence.revisit?"],
    ),
    "a reminder at no time, one at two": (
        '[reminders.none]\nlabel = { zh = "甲", en = "a" }\non = "plan"\n[reminders.planned_follow_up]\nafter = "1 hour"',
        [
            "reminders.none: says when, either before or after",
            "reminders.planned_follow_up: says when, either before or after",
        ],
    ),
    "a column of another record": (
        '[tables.orders]\ncolumns = ["order.number", "order.amount", "follow_up.at"]',
        ["tables.orders.columns: follow_up.at belongs to another record; a row here holds order"],
    ),
    "required fields that aren't there": (
        '[required]\ncustomer = ["nmae", "contact.phone"]\nclient = ["name"]\n"customer.kind=company" = ["industry"]',
        [
            "required.customer: there is no field 'customer.nmae'; did you mean customer.name?",
            "required.customer: there is no field 'contact.phone'; did you mean contact.phones?",
            "required.client: there is no entity 'client'",
            "required.customer.kind=company: there is no value of customer.kind 'company'. Allowed: enterprise, individual.",
        ],
    ),
    "a numbering template that is none": (
        '[numbering]\ncustomer = "C{year}"\ninvoice = "I{serial:3}"',
        [
            "numbering.customer: a number scheme is text without spaces",
            "numbering.invoice: there is no numbered entity 'invoice'",
        ],
    ),
    "two series that could give one number": (
        '[numbering]\norder = "C2024{serial:9}"',
        ["numbering.order: could give the same number as numbering.customer"],
    ),
    "a short name that could be anything": (
        '[numbering]\ncustomer = "{short_name}{year}{serial:4}"',
        [
            "numbering.order: could give the same number as numbering.customer",
            "numbering.ticket: could give the same number as numbering.customer",
        ],
    ),
    "an unknown time zone": ('timezone = "Asia/Peking"', ["timezone: there is no time zone 'Asia/Peking'"]),
    "a path for a time zone": ('timezone = "../etc/passwd"', ["timezone: there is no time zone"]),
    "no currency": ('currency = "Yuan"', ["currency: must be three capital letters"]),
    "an unknown default": (
        'default_pipeline = "sale"\ndefault_tier = "D"\nwon_moves_customer_to = "won"',
        [
            "default_pipeline: there is no pipeline 'sale'; did you mean sales?",
            "default_tier: there is no tier 'D'",
            "won_moves_customer_to: there is no stage 'won'",
        ],
    ),
    "a win that moves elsewhere": (
        'won_moves_customer_to = "lost"',
        ["won_moves_customer_to: the stage lost must have the outcome won"],
    ),
    "a choice that the domain doesn't have": (
        '[choices.customer.urgency.extreme]\nzh = "特急"\nen = "Extreme"',
        ["choices.customer.urgency.extreme: there is no value 'extreme'. Allowed: high, low, medium."],
    ),
    "a choice without its label": (
        "[choices.customer.urgency]\nlow = false",
        ["choices.customer.urgency.low: required: every fixed value has its label"],
    ),
    "a word that means two choices": (
        '[choices.customer.urgency.low]\nzh = "低"\nen = "Low"\naliases = ["紧急"]',
        ["choices.customer.urgency.low: '紧急' already means high"],
    ),
    "labels of no field": (
        '[fields.customer.colour]\nzh = "颜色"\nen = "Colour"\n[choices.customer.colour.red]\nzh = "红"\nen = "Red"',
        [
            "fields.customer.colour: there is no field 'customer.colour'",
            "choices.customer.colour: there is no field 'customer.colour'",
        ],
    ),
    "an own field that is there already": (
        '[custom_fields.customer.name]\nkind = "text"\nlabel = { zh = "名", en = "Own name" }',
        ["custom_fields.customer.name: the domain has a field of this name"],
    ),
    "an own field of nothing": (
        '[custom_fields.client.name]\nkind = "text"\nlabel = { zh = "名", en = "Own name" }',
        ["custom_fields.client.name: must be an entity, a dot and a name"],
    ),
    "a sheet of unknown columns": (
        '[tables.orders]\nentity = "orders"\ncolumns = ["order.numbr", "order.amount", "order.amount"]\nexample = { "order.paid" = "1" }',
        [
            "tables.orders.entity: there is no entity 'orders'; did you mean order?",
            "tables.orders.columns: there is no field 'order.numbr'; did you mean order.number?",
            "tables.orders.columns: order.amount is there twice",
            "tables.orders.example.order.paid: is no column of this sheet",
        ],
    ),
    "a sheet without columns": ("[tables.orders]\ncolumns = []", ["tables.orders.columns: a sheet needs a column"]),
    "a column without a label": (
        '[tables.orders]\ncolumns = ["order.created_at"]',
        ["tables.orders.columns: order.created_at has no label; give it one in fields.order.created_at"],
    ),
    "a header that means two fields": (
        '[fields.customer]\nremarks = { zh = "核心需求" }',
        ["tables.customers: the header '核心需求' could mean customer.core_need and customer.remarks"],
    ),
    "a header that means a field of the contact": (
        '[fields.contact]\nname = { zh = "customer-name" }',
        ["tables.customers: the header 'customer-name' could mean customer.name and contact.name"],
    ),
    "bands that begin together": (
        "[scale_bands]\nlarge = 8\nsole_trader = -1\nhuge = 9",
        [
            "scale_bands: two scales begin at the same headcount",
            "scale_bands.sole_trader: must be a headcount from 0 on",
            "scale_bands.huge: there is no scale 'huge'",
        ],
    ),
    "tiers that nobody can come to": (
        "[tiering]\nmargin = -1\nbands = { A = 40, B = 101, C = 5, D = 1 }",
        [
            "tiering.bands.D: there is no tier 'D'. Allowed: A, B, C.",
            "tiering.bands.B: must be from 0 to 100",
            "tiering.bands.B: must be less than that of A, 40",
            "tiering.bands.C: must be 0, so that every customer has a tier",
            "tiering.margin: must be from 0 on",
        ],
    ),
    "shares in the order of scores, with criteria": (
        '[tiering]\nmethod = "shares"\nbands = { A = 80, B = 70, C = 99 }',
        [
            "tiering.bands.B: must be more than that of A, 80",
            "tiering.bands.C: must be 100, so that every customer has a tier",
            'tiering.criteria: belong to method = "scored"; shares look at the amount alone',
        ],
    ),
    "a tier without its band": (
        "[tiering.bands]\nB = false",
        ["tiering.bands.B: required: every tier has its band"],
    ),
    "tiers to work out that aren't there": (
        "default_tier = false\ntiers = false\ncadences = false",
        ["tiering: there are no tiers to work out; say tiering = false, or what the tiers are"],
    ),
    "a margin that leaves no room": (
        "[tiering]\nmargin = 25",
        ["tiering.margin: must be less than 25, the room beside the outermost edge"],
    ),
    "a window in working hours, one of ages": (
        '[tiering]\nwindow = "9 working_hours"',
        ["tiering.window: is counted in days, weeks, months or years, and at most 100 years"],
    ),
    "a window of ages": (
        '[tiering]\nwindow = "101 years"',
        ["tiering.window: is counted in days, weeks, months or years, and at most 100 years"],
    ),
    "a score without criteria": (
        "[tiering.criteria]\nscale = false\npotential = false\namount = false\nfrequency = false\nrecency = false",
        ["tiering.criteria: a score needs a criterion"],
    ),
    "criteria that look at nothing": (
        '[tiering.criteria.scale]\non = "customer.scal"\nweight = 0\n'
        '[tiering.criteria.recency]\non = "customer.tier"\n[tiering.criteria.amount]\non = "customer.name"',
        [
            "tiering.criteria.scale.on: there is no field or measure 'customer.scal'; did you mean customer.scale? Allowed: amount, ",
            "tiering.criteria.scale.weight: must be from 1 on",
            "tiering.criteria.recency.on: there is no field or measure 'customer.tier'",
            "tiering.criteria.amount.on: there is no field or measure 'customer.name'",
        ],
    ),
    "points beyond the scale": (
        "[tiering.criteria.scale]\nmissing = -1\npoints = { large = 101, huge = 5 }\n"
        "[tiering.criteria.frequency]\nsteps = [{ at_least = 3, points = 200 }, { at_least = 3, points = 1 }]",
        [
            "tiering.criteria.scale.missing: points go from 0 to 100",
            "tiering.criteria.scale.points.large: points go from 0 to 100",
            "tiering.criteria.scale.points.huge: there is no value 'huge'. Allowed: large, small_medium, sole_trader.",
            "tiering.criteria.frequency.steps.0.points: points go from 0 to 100",
            "tiering.criteria.frequency.steps.1.at_least: must be more than 3, that of the step before",
        ],
    ),
    "a criterion with nothing to give, one with the wrong thing": (
        '[tiering.criteria.trend]\nlabel = { zh = "趋势", en = " " }\non = "customer.urgency"\nweight = 1\n'
        "[tiering.criteria.amount]\npoints = { much = 5 }",
        [
            "tiering.criteria.trend.label.en: a label can't be blank",
            "tiering.criteria.trend.points: required: customer.urgency is a word",
            "tiering.criteria.amount.points: doesn't go with amount, which is a number",
        ],
    ),
    "points for what an own flag can't be": (
        '[custom_fields.customer.vip]\nkind = "flag"\nlabel = { zh = "贵宾", en = "VIP" }\n'
        '[tiering.criteria.vip]\nlabel = { zh = "贵宾", en = "VIP" }\non = "customer.vip"\nweight = 1\npoints = { yes = 9 }',
        ["tiering.criteria.vip.points.yes: there is no value 'yes'. Allowed: false, true."],
    ),
    "risks out of bounds": (
        '[risks]\nsilent_tiers = ["D"]\nwindow = "9 hours"\nsilent_for = "11 years"\n'
        "activity_fall = 101\nsatisfied_stars = 6\nreferrals = 0\nsignals = 5",
        [
            "risks.silent_for: must be at most 10 years",
            "risks.window: is counted in days, weeks, months or years",
            "risks.silent_tiers: there is no tier 'D'",
            "risks.activity_fall: must be a whole number from 1 to 100",
            "risks.referrals: must be a whole number from 1 on",
            "risks.satisfied_stars: must be a whole number from 1 to 5",
            "risks.signals: must be a whole number from 1 to 4",
        ],
    ),
    "keys that are no names": (
        'key = "my team"\n[cadences."a b"]\nevery = "1 day"\nlabel = { zh = "新", en = "New" }',
        ["key: 'my team' must be", "cadences.a b: a key is made of letters, digits and underscores"],
    ),
    "what nobody lives to see": (
        '[cadences.revisit]\nevery = "36501 days"\n[targets.answer_ticket]\nwithin = "999999 hours"\n'
        '[reminders.planned_follow_up]\nbefore = "101 years"',
        [
            "cadences.revisit.every: must be at most 100 years, so that it can be due",
            "targets.answer_ticket.within: must be at most 100 years, so that it can be due",
            "reminders.planned_follow_up.before: must be at most 100 years, so that it can be due",
        ],
    ),
    "a target that warns before it begins": (
        '[targets.answer_ticket]\nwithin = "24 hours"\nwarn = "2 days"\n'
        '[targets.plan_feedback]\nwithin = "3 working_days"\nwarn = "4 working_days"',
        [
            "targets.answer_ticket.warn: must not be longer than within, 24 hours",
            "targets.plan_feedback.warn: must not be longer than within, 3 working_days",
        ],
    ),
    "a target that meets itself": (
        '[targets.answer_ticket]\nmet_by = "ticket.opened"',
        ["targets.answer_ticket.met_by: is the moment that it counts from, which would meet it at once"],
    ),
    "fields that nobody fills in": (
        '[required]\ncustomer = ["name", "id", "stage_since"]\ncontact = ["created_at"]',
        [
            "required.customer: id is set by the library alone; leave it out",
            "required.customer: stage_since is set by the library alone; leave it out",
            "required.contact: created_at is set by the library alone; leave it out",
        ],
    ),
    "an example that can't be taken in": (
        '[tables.customers.example]\n"customer.tier" = "Z"\n"customer.stage" = "晚期"',
        [
            "tables.customers.example.customer.stage: there is no value '晚期'",
            "tables.customers.example.customer.tier: there is no value 'Z'. Allowed: A级, B级, C级.",
        ],
    ),
    "sheets of one name": (
        '[tables.orders]\nlabel = { zh = "订单", en = "Customers" }',
        ["tables.orders: 'Customers' already means customers"],
    ),
    "bands upside down": (
        "[scale_bands]\nlarge = 8\nsmall_medium = 1000",
        ["scale_bands.small_medium: must be less than that of large, 8"],
    ),
    "a calendar's key that is none": (
        "[calendar.weekley]",
        ["calendar.weekley: there is no key 'weekley'; did you mean weekly? Allowed: annual_holidays, confirmed_from"],
    ),
    "a blank need": ('vague = [""]', ["vague: a need can't be blank"]),
}


@pytest.mark.parametrize(("patch", "expected"), BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_is_told_and_nothing_else(patch, expected):
    own_key = "" if patch.startswith("key") else 'key = "mine"\n'
    with pytest.raises(PlaybookError) as caught:
        load("mine", extra={"mine": f'extends = "standard"\n{own_key}{patch}'})
    told = list(caught.value.problems)
    for part in expected:
        found = [problem for problem in told if part in problem]
        assert len(found) == 1, (part, caught.value.problems)
        told.remove(found[0])
    # One header can be ambiguous in several sheets; anything else that is told was not broken.
    assert not [problem for problem in told if "could mean" not in problem]


@pytest.mark.parametrize("key", BUNDLED)
def test_the_bundled_ones_are_right(key):
    assert problems(load(key)) == ()


def test_a_playbook_made_by_hand_can_hold_what_a_file_can_not():
    standard = load("standard")
    label = Label(zh="一", en="One")
    lifecycle = attrs.evolve(
        standard.lifecycle,
        stages=(*standard.lifecycle.stages, Stage(key="prospect", label=standard.lifecycle.stages[0].label)),
        transitions=(*standard.lifecycle.transitions, Transition(source="prospect", target="interested")),
    )
    twice = attrs.evolve(
        standard,
        lifecycle=lifecycle,
        tiers=(*standard.tiers, standard.tiers[0]),
        cadences=(*standard.cadences, Cadence(key="revisit", label=label, every=Duration(1, "days"))),
        reminders=(
            *standard.reminders,
            Reminder(key="target_at_risk", label=label, before=Duration(1, "days"), on="plan"),
        ),
        pipelines={**standard.pipelines, "lifecycle": standard.pipelines["sales"]},
        numbering={},
    )
    assert problems(twice) == (
        "lifecycle.stages.prospect: is there twice",
        "lifecycle.transitions.prospect -> interested: is there twice",
        "pipelines.lifecycle: this name is the customers' own graph; give the pipeline another",
        "numbering.customer: required",
        "tiers.A: is there twice",
        "cadences.revisit: is there twice",
        "reminders.target_at_risk: is there twice",
    )
