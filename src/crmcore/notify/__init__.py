"""What is told outside the house: the outbox, the relay that empties it, and the contract of a notifier."""

from crmcore.notify.contract import Delivery, Message, Notifier, Outcome
from crmcore.notify.notifiers import FolderNotifier, LogNotifier
from crmcore.notify.outbox import OutboxFacts, outbox_facts
from crmcore.notify.policy import POLICY, DeliveryPolicy
from crmcore.notify.relay import Relay, Tried

__all__ = [
    "POLICY",
    "Delivery",
    "DeliveryPolicy",
    "FolderNotifier",
    "LogNotifier",
    "Message",
    "Notifier",
    "OutboxFacts",
    "Outcome",
    "Relay",
    "Tried",
    "outbox_facts",
]
