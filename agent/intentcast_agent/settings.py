"""The agent's settings file, config.toml: which relays it uses. Written by `init`, edited by hand."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from intentcast_agent.home import Home

_TEMPLATE = """\
# intentcast agent settings. Changes take effect when the agent starts next.

# Relays that carry your demands and offers. Two or more, so that none of them can keep an answer from you.
relays = [{relays}]
"""


class SettingsError(Exception):
    """The settings file cannot be used; the sentence names the key."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What config.toml says."""

    relays: tuple[str, ...] = ()


def read_settings(home: Home) -> Settings:
    """Read config.toml, or the defaults where there is none; raises SettingsError."""
    try:
        data = tomllib.loads(home.config.read_text())
    except FileNotFoundError:
        return Settings()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{home.config} is not valid TOML: {error}") from error
    if unknown := data.keys() - {"relays"}:
        raise SettingsError(f"{home.config}: {min(unknown)} is not a setting.")
    relays = data.get("relays", [])
    if not isinstance(relays, list) or not all(isinstance(relay, str) for relay in relays):
        raise SettingsError(f"{home.config}: relays is a list of addresses.")
    return Settings(tuple(relays))


def write_policy(home: Home, text: str) -> None:
    """Keep a vendor's policy, which the caller has checked."""
    path = policy_path(home)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)


def policy_path(home: Home) -> Path:
    """Return where a vendor's policy is kept."""
    return home.config.with_name("policy.toml")


def write_settings(home: Home, settings: Settings) -> None:
    """Write config.toml."""
    relays = ", ".join(f'"{relay}"' for relay in settings.relays)
    home.config.write_text(_TEMPLATE.format(relays=relays))
    home.config.chmod(0o600)
