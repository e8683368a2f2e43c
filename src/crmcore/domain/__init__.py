"""What things are: frozen values, without any behaviour that needs the world."""

from crmcore.domain.audit import Chain, Erasure
from crmcore.domain.customer import Contact, Customer
from crmcore.domain.duplicates import AbsentRecord, Alias, JudgedPair, MatchKey
from crmcore.domain.entity import Entity, Record
from crmcore.domain.event import Event
from crmcore.domain.follow_up import FollowUp, FollowUpPlan
from crmcore.domain.ledger import ImportedRow, ImportRun, NumberSeries, Setting
from crmcore.domain.obligation import Obligation
from crmcore.domain.opportunity import Instalment, Objection, Opportunity, Order
from crmcore.domain.outbox import OutboxMessage
from crmcore.domain.quality import QualityCheck
from crmcore.domain.relation import ActionPlan, Attachment, Referral
from crmcore.domain.service import Feedback, Ticket
from crmcore.domain.user import User
from crmcore.domain.values import FrozenMap, Money

#: Every kept entity, in the order in which records depend on one another.
ENTITIES: tuple[type[Entity], ...] = (
    User,
    Customer,
    Contact,
    Opportunity,
    Order,
    Instalment,
    FollowUpPlan,
    FollowUp,
    Objection,
    Feedback,
    Ticket,
    Referral,
    Attachment,
    ActionPlan,
    QualityCheck,
    Obligation,
    Event,
    NumberSeries,
    ImportedRow,
    Setting,
    OutboxMessage,
    ImportRun,
    MatchKey,
    AbsentRecord,
    Alias,
    JudgedPair,
    Chain,
    Erasure,
)

__all__ = [
    "ENTITIES",
    "AbsentRecord",
    "ActionPlan",
    "Alias",
    "Attachment",
    "Chain",
    "Contact",
    "Customer",
    "Entity",
    "Erasure",
    "Event",
    "Feedback",
    "FollowUp",
    "FollowUpPlan",
    "FrozenMap",
    "ImportRun",
    "ImportedRow",
    "Instalment",
    "JudgedPair",
    "MatchKey",
    "Money",
    "NumberSeries",
    "Objection",
    "Obligation",
    "Opportunity",
    "Order",
    "OutboxMessage",
    "QualityCheck",
    "Record",
    "Referral",
    "Setting",
    "Ticket",
    "User",
]
