"""Store URLs: ``memory:``, ``sqlite:///crm.db`` (relative), ``sqlite:////srv/crm.db`` (absolute), ``excel:///客户.xlsx``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote

import attrs

from crmcore.errors import InvalidURL

_FORM = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*):(?://(?P<host>[^/?]*))?(?P<path>[^?]*)(?:\?(?P<options>.*))?", re.S)


@attrs.frozen(kw_only=True)
class StoreURL:
    """A store's address in parts. ``text`` is the whole URL and may hold a password: never shown, ``str()`` hides it."""

    scheme: str
    host: str = attrs.field(default="", repr=False)
    path: str = ""
    options: Mapping[str, str] = attrs.field(factory=dict)
    text: str = attrs.field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> StoreURL:
        """Reads a URL; raises :class:`InvalidURL`. One slash after ``//host`` separates; what follows is the path."""
        found = _FORM.fullmatch(text)
        if not found:
            raise InvalidURL("a store is named by a URL such as sqlite:///crm.db")
        path = unquote(found["path"])
        if found["host"] is not None:
            path = path.removeprefix("/")
        try:
            options = dict(
                parse_qsl(found["options"] or "", keep_blank_values=True, strict_parsing=bool(found["options"]))
            )
        except ValueError:
            raise InvalidURL("the options of a store URL are written ?name=value&name=value") from None
        return cls(scheme=found["scheme"], host=found["host"] or "", path=path, options=options, text=text)

    def take(self, allowed: Mapping[str, str]) -> dict[str, str]:
        """The options with their defaults; raises :class:`InvalidURL` for one that isn't allowed."""
        unknown = sorted(set(self.options) - set(allowed))
        if unknown:
            raise InvalidURL(
                f"{self.scheme}: has no option {', '.join(unknown)}; allowed: {', '.join(allowed) or 'none'}"
            )
        return {**allowed, **self.options}

    def __str__(self) -> str:
        host = re.sub(r":.*@", ":***@", self.host)
        return f"{self.scheme}://{host}/{self.path}" if self.host or self.path else f"{self.scheme}:"
