"""Which server, which database, and how it is used: from a URL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

import attrs

from crmcore.errors import InvalidURL
from crmcore.storage import StoreURL

OPTIONS = {"schema": "crmcore", "wait": "5", "statement_timeout": "0", "connect_timeout": "10", "pool": "10"}

CONNECTION_OPTIONS = (
    "application_name",
    "channel_binding",
    "gssencmode",
    "host",
    "hostaddr",
    "krbsrvname",
    "passfile",
    "port",
    "service",
    "sslcert",
    "sslcrl",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
)
"""What libpq understands and is passed on as it is; nothing here is secret, as an option of a URL is shown."""

_NAMESPACE = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}", re.ASCII)


@attrs.frozen
class Settings:
    """Where the data are, and how long to wait for what. ``connection`` may hold a password and is never shown."""

    connection: Mapping[str, str] = attrs.field(repr=False)
    namespace: str
    """The schema, as PostgreSQL calls it, in which the tables stand."""
    wait_seconds: float
    statement_seconds: float
    """0: a statement may take as long as it takes."""
    connect_seconds: float
    most_connections: int

    @classmethod
    def of(cls, url: StoreURL) -> Settings:
        """The settings that a URL asks for; raises :class:`InvalidURL`."""
        if "password" in url.options or "user" in url.options:
            raise InvalidURL("user and password go before the host, as in postgresql://user:password@host/database")
        options = url.take({**OPTIONS, **dict.fromkeys(CONNECTION_OPTIONS, "")})
        given = {name: options[name] for name in CONNECTION_OPTIONS if options[name]}
        if not url.path and "service" not in given:
            raise InvalidURL("the URL names no database; write postgresql://host/database")
        if not _NAMESPACE.fullmatch(options["schema"]):
            raise InvalidURL("schema is a name of small letters, digits and underscores that doesn't begin with pg_")
        if not re.fullmatch(r"[1-9]\d{0,3}", options["pool"], re.ASCII):
            raise InvalidURL("pool is the most connections to hold, such as 10")
        connection = {**_address(url.host), **given}
        if url.path:
            connection["dbname"] = url.path
        if any("\0" in value for value in connection.values()):
            raise InvalidURL("a store URL holds no NUL")
        return cls(
            connection,
            options["schema"],
            _seconds("wait", options["wait"]),
            _seconds("statement_timeout", options["statement_timeout"]),
            _seconds("connect_timeout", options["connect_timeout"]),
            int(options["pool"]),
        )

    def where(self) -> dict[str, str]:
        """The place, for messages and for the doctor."""
        known = {name: self.connection.get(name, "") for name in ("host", "port", "dbname", "service")}
        return {name: value for name, value in known.items() if value}


def _address(host: str) -> dict[str, str]:
    """``user:password@host:port,host:port`` in libpq's words."""
    login, _, servers = host.rpartition("@")
    user, _, password = login.partition(":")
    names, ports = [], []
    for server in servers.split(","):
        found = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::(\d*))?", server, re.ASCII)
        if not found:
            raise InvalidURL("a server is written host or host:port, an IPv6 address in brackets")
        names.append(unquote(found[1].strip("[]")))
        ports.append(found[2] or "")
    said = {
        "user": unquote(user),
        "password": unquote(password),
        "host": ",".join(names),
        "port": ",".join(ports) if any(ports) else "",
    }
    return {name: value for name, value in said.items() if value}


def _seconds(option: str, text: str) -> float:
    if not re.fullmatch(r"\d{1,5}(\.\d+)?s?", text, re.ASCII):
        raise InvalidURL(f"{option} is a number of seconds, such as 5 or 0.5s")
    return float(text.removesuffix("s"))
