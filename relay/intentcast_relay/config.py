"""The operator's one file: TOML in, a frozen value out, and a plain sentence for whatever is wrong with it."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from intentcast_protocol.limits import MAX_SUBSCRIPTIONS

DEFAULT_PORT: Final = {"ws": 80, "wss": 443}
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


@dataclass(frozen=True, slots=True)
class Batch:
    """How records are grouped for one commit."""

    items: int = 256
    milliseconds: int = 5


@dataclass(frozen=True, slots=True)
class Config:
    """Everything an operator decides. ``url`` is never empty once `bound` was called."""

    listen: str = "127.0.0.1:7447"
    database: Path = Path("relay.db")
    url: str = ""
    hosts: tuple[str, ...] = ()
    name: str = "An intentcast relay"
    description: str = "Carries signed demands, and sealed answers that it cannot read."
    contact: str = ""
    limits: Limits = field(default_factory=Limits)
    batch: Batch = field(default_factory=Batch)

    @property
    def address(self) -> tuple[str, int]:
        """The interface and port to listen on."""
        return split_listen(self.listen)

    def bound(self, port: int) -> "Config":
        """Return the settings once the real port is known: `listen` names it, and `url` too unless it was given."""
        host, _ = self.address
        listen = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return replace(self, listen=listen, url=self.url or f"ws://{listen}")

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


def split_listen(text: str) -> tuple[str, int]:
    """Split ``host:port``, with IPv6 in brackets; raises ConfigError."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ConfigError(f'listen is "{text}"; it has to be an interface and a port, like "127.0.0.1:7447".')
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
    known = {entry.name for entry in fields(Config)}
    _refuse_unknown(table, known, "")
    values: dict[str, Any] = {}
    for key in ("listen", "url", "name", "description", "contact", "database"):
        if key in table:
            values[key] = _text(key, table[key])
    split_listen(values.get("listen", Config().listen))
    if "url" in values:
        values["url"] = check_url(values["url"])
    if "database" in values:
        values["database"] = Path(values["database"])
    if "hosts" in table:
        hosts = table["hosts"]
        if not isinstance(hosts, list):
            raise ConfigError('hosts has to be a list of names, like ["relay.example"].')
        values["hosts"] = tuple(_text("hosts", host) for host in hosts)
    if "limits" in table:
        values["limits"] = Limits(**_numbers("limits", table["limits"], Limits()))
    if "batch" in table:
        values["batch"] = Batch(**_numbers("batch", table["batch"], Batch()))
    config = Config(**values)
    if config.limits.subscriptions > MAX_SUBSCRIPTIONS:
        raise ConfigError(f"limits.subscriptions is {config.limits.subscriptions}; at most {MAX_SUBSCRIPTIONS}.")
    if config.limits.page > 512:
        raise ConfigError(f"limits.page is {config.limits.page}; at most 512 records fit a frame.")
    if config.batch.items > 4_096:
        raise ConfigError(f"batch.items is {config.batch.items}; at most 4096.")
    return config


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


def _numbers(section: str, table: object, defaults: Limits | Batch) -> dict[str, int]:
    if not isinstance(table, dict):
        raise ConfigError(f"{section} has to be a section, written [{section}].")
    _refuse_unknown(table, {entry.name for entry in fields(defaults)}, f"{section}.")
    for key, value in table.items():
        least = 0 if key == "milliseconds" else 1
        if type(value) is not int or not least <= value <= 2**31:
            raise ConfigError(f"{section}.{key} has to be a whole number of at least {least}.")
    return dict(table)
