"""Notifiers that need no service: into the log, and into a folder that another program reads."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from crmcore.notify.contract import Delivery, Message, Notifier

_log = logging.getLogger("crmcore.notify")


class LogNotifier(Notifier):
    """Tells the log ``crmcore.notify`` at the level INFO that something is to be told: which reminder, under which key; nobody's name."""

    key = "log"

    def deliver(self, message: Message) -> Delivery:
        _log.info("%s %s", message.reminder, message.key)
        return Delivery.sent()


class FolderNotifier(Notifier):
    """Puts each message as a JSON file into a folder, for a program of the house to take from there.

    The file is called after the message's key and appears whole: a message that comes twice is one file. The folder is made
    where it isn't there.
    """

    key = "folder"

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def deliver(self, message: Message) -> Delivery:
        target = self.folder / f"{message.key}.json"
        # Two relays must not write into one file; what one left behind that was killed is swept by the next.
        draft = self.folder / f".{message.key}.{os.getpid()}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with draft.open("w", encoding="utf-8", newline="\n") as file:
                json.dump(to_plain(message), file, ensure_ascii=False, indent=1)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(target)
            for litter in self.folder.glob(f".{message.key}.*.part"):
                litter.unlink(missing_ok=True)
            _keep_names(self.folder)
        except OSError as error:
            return Delivery.retry(f"os.{error.errno}")
        return Delivery.sent()


def _keep_names(folder: Path) -> None:
    """Makes the names in a folder last through a loss of power, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def to_plain(message: Message) -> dict[str, Any]:
    """A message as JSON can say it: its facts, and its line in both languages."""
    return {
        "key": message.key,
        "reminder": message.reminder,
        "recipient": message.recipient,
        "customer_id": message.customer_id,
        "customer_number": message.customer_number,
        "subject_id": message.subject_id,
        "at": message.at.isoformat(),
        "due_at": message.due_at and message.due_at.isoformat(),
        "attempt": message.attempt,
        "text": {"zh": message.text("zh-CN"), "en": message.text("en")},
    }
