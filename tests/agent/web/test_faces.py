"""One service, three faces: what one of them can do, all can, but for a few verbs with a reason."""

import ast
from collections.abc import Iterator
from pathlib import Path

import intentcast_agent.cli
from intentcast_agent.api import VERBS
from intentcast_agent.service import Service
from intentcast_agent.web.routes import NOT_HERE, ROUTES

# Verbs that no command calls, and why.
NOT_A_COMMAND = {
    "catch_up": "every command that looks at mail reads it first by itself",
    "haggle_view": "deal haggle follows haggle_watch, whose first event it is",
    "vendor_policy_view": "vendor policy show reads the file, for which no keystore has to be unlocked",
}


def verbs_of_commands() -> Iterator[str]:
    """Yield each verb that the command line's modules hand to a function by its name."""
    for path in Path(intentcast_agent.cli.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                words = {one.value for one in node.args if isinstance(one, ast.Constant)}
                yield from (str(word) for word in words & VERBS)


def test_every_verb_is_a_method_of_the_service() -> None:
    assert {verb for verb in VERBS if not callable(getattr(Service, verb, None))} == set()


def test_every_public_method_of_the_service_is_a_verb() -> None:
    methods = {name for name in dir(Service) if not name.startswith("_") and callable(getattr(Service, name))}
    assert methods - VERBS == {"domain_state"}  # a part of `status`


def test_every_verb_is_a_route_unless_it_says_why_not() -> None:
    routed = [route.verb for route in ROUTES]
    assert len(routed) == len(set(routed))
    assert set(routed) ^ NOT_HERE.keys() == VERBS
    assert all(NOT_HERE.values())


def test_every_verb_is_a_command_unless_it_says_why_not() -> None:
    assert set(verbs_of_commands()) ^ NOT_A_COMMAND.keys() == VERBS
    assert all(NOT_A_COMMAND.values())
