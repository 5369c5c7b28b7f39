"""The operator's one file: TOML in, a frozen value out, and a plain sentence for whatever is wrong with it."""

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.limits import MAX_SUBSCRIPTIONS
from intentcast_protocol.vocabulary import read_domain

from intentcast_relay.address import Network, networks

DEFAULT_PORT: Final = {"ws": 80, "wss": 443}
FORMATS: Final = ("text", "json")
LEVELS: Final = ("debug", "info", "warning", "error")
_HOST: Final = re.compile(r"[a-z0-9.\-:\[\]]{1,255}", re.ASCII | re.IGNORECASE)  # what a proof may name


class ConfigError(Exception):
    """A setting is wrong; the text names its key and says what it should be."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one relay is willing to hold; the info document states these numbers."""

    connections: int = 2_000
    subscriptions: int = MAX_SUBSCRIPTIONS
    auth_deadline: int = 10  # s
    mailbox_items: int = 256
    mailbox_bytes: int = 2 * 1024 * 1024
    page: int = 256  # records
    queue_frames: int = 256
    queue_bytes: int = 1024 * 1024
    send_deadline: int = 5  # s
    message_deadline: int = 30  # s
    filter_values: int = 128
    address_connections: int = 64
    address_subscriptions: int = 512
    address_unfiltered: int = 16
    address_demands: int = 200
    address_publishes: int = 50  # a second
    address_requests: int = 200  # a second
    address_bytes: int = 1024 * 1024  # a second
    key_publishes: int = 10  # a second
    burst: int = 10  # s


@dataclass(frozen=True, slots=True)
class Batch:
    """How records are grouped for one commit."""

    items: int = 512
    milliseconds: int = 2
    processes: int = min(4, os.cpu_count() or 1) if (os.cpu_count() or 1) > 1 else 0


@dataclass(frozen=True, slots=True)
class Metrics:
    """Where an operator looks: the page, /status.json and /metrics share a port of their own; empty is off."""

    listen: str = ""


@dataclass(frozen=True, slots=True)
class Log:
    """How the relay tells what happens: its form and from which level on."""

    format: str = "text"
    level: str = "info"


@dataclass(frozen=True, slots=True)
class Policy:
    """A program of the operator's that is asked about public records before they are taken; no command is none."""

    command: tuple[str, ...] = ()
    timeout_ms: int = 1_000
    types: tuple[str, ...] = ("demand", "profile")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything an operator decides. ``url`` is never empty once `bound` was called."""

    listen: str = "127.0.0.1:7447"
    database: Path = Path("relay.db")
    url: str = ""
    hosts: tuple[str, ...] = ()
    proxies: tuple[Network, ...] = networks(("127.0.0.0/8", "::1/128"))
    name: str = "An intentcast relay"
    description: str = "Carries signed demands, and sealed answers that it cannot read."
    contact: str = ""
    limits: Limits = field(default_factory=Limits)
    batch: Batch = field(default_factory=Batch)
    metrics: Metrics = field(default_factory=Metrics)
    log: Log = field(default_factory=Log)
    policy: Policy = field(default_factory=Policy)
    domains: Mapping[str, str] = field(default_factory=dict)  # a domain's host:port, instead of HTTPS in public

    @property
    def address(self) -> tuple[str, int]:
        """The interface and port to listen on."""
        return split_listen(self.listen)

    def bound(self, port: int) -> "Config":
        """Return the settings once the real port is known: `listen` names it, and `url` too unless it was given."""
        host, _ = self.address
        listen = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return replace(self, listen=listen, url=self.url or f"ws://{listen}")

    def limited(self, limits: Mapping[str, int]) -> "Config":
        """Return the settings with these numbers in ``[limits]``; names it does not know any more count for nothing."""
        known = {entry.name for entry in fields(Limits)}
        return replace(self, limits=replace(self.limits, **{name: limits[name] for name in known & limits.keys()}))

    @property
    def authorities(self) -> frozenset[str]:
        """The hosts that a proof of a key may name: lower case, with and without a default port. PROTOCOL §9.6"""
        named = {self.listen.lower(), *(host.lower() for host in self.hosts)}
        if self.url:
            parts = urlsplit(self.url)
            named.add(parts.netloc.lower())
            default = DEFAULT_PORT[parts.scheme]
            if parts.port in {None, default}:
                bare = parts.netloc.lower().removesuffix(f":{default}")
                named |= {bare, f"{bare}:{default}"}
        return frozenset(named)


def split_listen(text: str, key: str = "listen") -> tuple[str, int]:
    """Split ``host:port``, with IPv6 in brackets; raises ConfigError naming `key`."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ConfigError(f'{key} is "{text}"; it has to be an interface and a port, like "127.0.0.1:7447".')
    return host, int(port)


def template() -> str:
    """Return the commented file that `init` writes; deploy/relay.toml is the same text."""
    return files("intentcast_relay").joinpath("relay.toml").read_text(encoding="utf-8")


def load(path: Path) -> Config:
    """Read a file of settings; a relative `database` starts at the file's folder. Raises ConfigError."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from error
    config = read(table)
    return replace(config, database=path.parent / config.database)


def read(table: Mapping[str, Any]) -> Config:
    """Check a table of settings. Raises ConfigError naming the first wrong key."""
    _refuse_unknown(table, {entry.name for entry in fields(Config)}, "")
    values: dict[str, Any] = {key: _text(key, table[key]) for key in ("name", "description", "contact") if key in table}
    values |= {key: reader(table[key]) for key, reader in _READERS.items() if key in table}
    return Config(**values)


def check_url(url: str) -> str:
    """Admit the address agents dial: ws or wss, a host, perhaps a port, nothing more. Raises ConfigError."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in DEFAULT_PORT and parts.hostname and parts.port != 0 and _HOST.fullmatch(parts.netloc)
    except ValueError:
        good = False
    if not good or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ConfigError(f'url is "{url}"; it has to be like "wss://relay.example", with nothing after the host.')
    return url.rstrip("/")


def _refuse_unknown(table: Mapping[str, Any], known: set[str], section: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(f"{section}{key} is not a setting of this relay; it knows {', '.join(sorted(known))}.")


def _text(key: str, value: object) -> str:
    if not isinstance(value, str) or not value or len(value) > 1_000:
        raise ConfigError(f"{key} has to be a text in quotes, not empty.")
    return value


def _texts(section: str, table: object, defaults: Metrics | Log) -> dict[str, str]:
    if not isinstance(table, dict):
        raise ConfigError(f"{section} has to be a section, written [{section}].")
    _refuse_unknown(table, {entry.name for entry in fields(defaults)}, f"{section}.")
    return {key: _text(f"{section}.{key}", value) for key, value in table.items()}


def _policy(table: object) -> Policy:
    if not isinstance(table, dict):
        raise ConfigError("policy has to be a section, written [policy].")
    _refuse_unknown(table, {entry.name for entry in fields(Policy)}, "policy.")
    values: dict[str, Any] = {key: _list(f"policy.{key}", table[key]) for key in ("command", "types") if key in table}
    values |= _numbers("policy", {key: table[key] for key in ("timeout_ms",) if key in table}, Policy())
    policy = Policy(**values)
    for kind in policy.types:
        _refuse_other("policy.types", kind, Policy().types)
    if policy.timeout_ms > 60_000:
        raise ConfigError(f"policy.timeout_ms is {policy.timeout_ms}; at most 60000.")
    return policy


def _list(key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ConfigError(f"{key} has to be a list of texts.")
    return tuple(_text(key, one) for one in value)


def _networks(key: str, value: object) -> tuple[Network, ...]:
    try:
        return networks(_list(key, value))
    except ValueError as error:
        raise ConfigError(f'{key} has to list networks, like "10.0.0.0/8": {error}.') from error


def _refuse_other(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f'{key} is "{value}"; it has to be one of {", ".join(known)}.')


def _numbers(section: str, table: object, defaults: Limits | Batch | Policy) -> dict[str, int]:
    if not isinstance(table, dict):
        raise ConfigError(f"{section} has to be a section, written [{section}].")
    _refuse_unknown(table, {entry.name for entry in fields(defaults)}, f"{section}.")
    for key, value in table.items():
        least = 0 if key in {"milliseconds", "processes"} else 1
        if type(value) is not int or not least <= value <= 2**31:
            raise ConfigError(f"{section}.{key} has to be a whole number of at least {least}.")
    return dict(table)


def _listen(value: object) -> str:
    text = _text("listen", value)
    split_listen(text)
    return text


def _limits(table: object) -> Limits:
    limits = Limits(**_numbers("limits", table, Limits()))
    if limits.subscriptions > MAX_SUBSCRIPTIONS:
        raise ConfigError(f"limits.subscriptions is {limits.subscriptions}; at most {MAX_SUBSCRIPTIONS}.")
    if limits.page > 512:
        raise ConfigError(f"limits.page is {limits.page}; at most 512 records fit a frame.")
    return limits


def _batch(table: object) -> Batch:
    batch = Batch(**_numbers("batch", table, Batch()))
    if batch.items > 4_096:
        raise ConfigError(f"batch.items is {batch.items}; at most 4096.")
    return batch


def _metrics(table: object) -> Metrics:
    metrics = Metrics(**_texts("metrics", table, Metrics()))
    if metrics.listen:
        split_listen(metrics.listen, "metrics.listen")
    return metrics


def _log(table: object) -> Log:
    log = Log(**_texts("log", table, Log()))
    _refuse_other("log.format", log.format, FORMATS)
    _refuse_other("log.level", log.level, LEVELS)
    return log


def _domains(table: object) -> dict[str, str]:
    if not isinstance(table, dict):
        raise ConfigError("domains has to be a section, written [domains].")
    for name, value in table.items():
        try:
            read_domain(name, "invalid.profile.malformed")
        except InvalidMessage as error:
            raise ConfigError(f'domains names "{name[:300]}"; that is no host name in lower case.') from error
        _, port = split_listen(_text(f"domains.{name}", value), f"domains.{name}")
        if not port:
            raise ConfigError(f"domains.{name} has to name a port from 1 on.")
    return dict(table)


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "listen": _listen,
    "url": lambda value: check_url(_text("url", value)),
    "database": lambda value: Path(_text("database", value)),
    "hosts": lambda value: _list("hosts", value),
    "proxies": lambda value: _networks("proxies", value),
    "limits": _limits,
    "batch": _batch,
    "metrics": _metrics,
    "log": _log,
    "policy": _policy,
    "domains": _domains,
}
