"""The API as a table: which verb of `service` answers which method and path, and what it takes from where.

A verb's parameters that stand in the path come from there; the others come from the query of a GET or DELETE, and
else from a JSON object. Their types are those of the verb's own signature, so that neither can drift from the other.
"""

import inspect
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Final, get_type_hints

import msgspec

from intentcast_agent.service import Service

BASE: Final = "/api/v1"
LONGEST_WAIT: Final = 60  # s an answer may be waited for
LONGEST_STREAM: Final = 3_600  # s a verb that yields may go on
_SAFE_INT: Final = 2**53 - 1  # as everywhere in the protocol. PROTOCOL §2
_IN_PATH = re.compile(r"\{(\w+)\}")
_Int = Annotated[int, msgspec.Meta(ge=-_SAFE_INT, le=_SAFE_INT)]


@dataclass(frozen=True, slots=True)
class Route:
    """One verb over HTTP. `edits` names the verb that shows what this one changes: their ETags are one."""

    verb: str
    method: str
    path: str
    writes: bool = False
    edits: str = ""

    @property
    def url(self) -> str:
        """Return the whole path, parameters in braces."""
        return BASE + self.path

    @property
    def in_path(self) -> tuple[str, ...]:
        """Return the parameters that stand in the path."""
        return tuple(_IN_PATH.findall(self.path))

    @property
    def in_body(self) -> bool:
        """Return whether the other parameters come as JSON."""
        return self.method in {"POST", "PUT", "PATCH"}

    @property
    def streams(self) -> bool:
        """Return whether the verb yields, and its answer is a stream of events."""
        return inspect.isasyncgenfunction(getattr(Service, self.verb))


def _read(verb: str, path: str) -> Route:
    return Route(verb, "GET", path)


def _write(verb: str, method: str, path: str, edits: str = "") -> Route:
    return Route(verb, method, path, True, edits)


ROUTES: Final = (
    _read("status", "/status"),
    Route("catch_up", "POST", "/mail"),
    _read("identity_view", "/identity"),
    _read("contact_view", "/contact"),
    _write("contact_set", "PATCH", "/contact", "contact_view"),
    _read("criteria_view", "/criteria"),
    _write("criteria_set", "PUT", "/criteria", "criteria_view"),
    _write("criteria_reset", "DELETE", "/criteria", "criteria_view"),
    _read("relation_list", "/relations"),
    _read("relay_list", "/relays"),
    _write("relay_add", "POST", "/relays"),
    _write("relay_remove", "DELETE", "/relays"),
    Route("relay_check", "POST", "/relays/check"),
    _write("demand_preview", "POST", "/drafts"),
    _write("demand_cast", "POST", "/drafts/{draft}/cast"),
    _read("demand_list", "/demands"),
    _read("demand_view", "/demands/{demand}"),
    _write("demand_withdraw", "POST", "/demands/{demand}/withdraw"),
    _write("demand_invite", "POST", "/demands/{demand}/invitations"),
    _read("offer_compare", "/demands/{demand}/comparison"),
    _read("watch", "/demands/{demand}/watch"),
    _read("mandate_draft", "/demands/{demand}/mandate"),
    _read("haggle_view", "/demands/{demand}/haggling"),
    _write("haggle_begin", "POST", "/demands/{demand}/haggling"),
    _write("haggle_stop", "DELETE", "/demands/{demand}/haggling"),
    _read("haggle_watch", "/demands/{demand}/haggling/watch"),
    _read("offer_list", "/offers"),
    _read("offer_view", "/offers/{offer}"),
    _write("offer_decline", "POST", "/offers/{offer}/decline"),
    _write("deal_counter", "POST", "/offers/{offer}/counter"),
    _write("deal_ask", "POST", "/offers/{offer}/question"),
    _write("deal_answer", "POST", "/offers/{offer}/answer"),
    _write("deal_accept", "POST", "/offers/{offer}/accept"),
    _write("deal_received", "POST", "/offers/{offer}/received"),
    _write("deal_dispute", "POST", "/offers/{offer}/dispute"),
    _read("deal_wait", "/offers/{offer}/wait"),
    _read("agreement_list", "/agreements"),
    _read("agreement_view", "/agreements/{agreement}"),
    _read("agreement_bundle", "/agreements/{agreement}/bundle"),
    _read("agreement_order", "/agreements/{agreement}/order"),
    _read("backup_state", "/backups"),
    _write("backup_create", "POST", "/backups"),
    _read("vendor_deals", "/vendor/deals"),
    _write("vendor_load", "POST", "/vendor/stock"),
    _read("vendor_policy_view", "/vendor/policy"),
    _write("vendor_policy", "PUT", "/vendor/policy", "vendor_policy_view"),
    Route("vendor_policy_test", "POST", "/vendor/policy/test"),
    _read("vendor_domain", "/vendor/domain"),
    Route("vendor_domain_check", "POST", "/vendor/domain/check"),
    _read("vendor_invitation_list", "/vendor/invitations"),
    _write("vendor_invitation_add", "POST", "/vendor/invitations"),
    _write("vendor_invitation_pass_on", "POST", "/vendor/invitations/pass-on"),
    _read("vendor_question_list", "/vendor/questions"),
    _write("vendor_answer", "POST", "/vendor/sessions/{session}/answer"),
    _write("vendor_amend", "POST", "/vendor/sessions/{session}/amend"),
    _write("vendor_deliver", "POST", "/vendor/sessions/{session}/deliver"),
)

# The verbs that have no route, and why.
NOT_HERE: Final = {"page_open": "it lets a browser in, which only the unix socket may"}

SHOWN: Final = {route.edits for route in ROUTES if route.edits}


@cache
def arguments(route: Route) -> type[msgspec.Struct]:
    """Return the type of a route's arguments: one field a parameter, none unknown."""
    fields: list[Any] = []
    hints = get_type_hints(getattr(Service, route.verb))
    for name, parameter in inspect.signature(getattr(Service, route.verb)).parameters.items():
        if name == "self":
            continue
        kind = _bounded(name, hints[name], route)
        fields.append((name, kind) if parameter.default is parameter.empty else (name, kind, parameter.default))
    return msgspec.defstruct(route.verb, fields, forbid_unknown_fields=True, kw_only=True)


def _bounded(name: str, kind: Any, route: Route) -> Any:
    if name == "within":
        return Annotated[float, msgspec.Meta(ge=0, le=LONGEST_STREAM if route.streams else LONGEST_WAIT)]
    return {int: _Int, int | None: _Int | None}.get(kind, kind)


def read_arguments(route: Route, path: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a verb; raises msgspec.ValidationError saying which one is wrong."""
    if twice := path.keys() & given.keys():
        raise msgspec.ValidationError(f"`{min(twice)}` is part of the path")
    # A query has only text; JSON says what is a number.
    found = msgspec.convert({**given, **path}, arguments(route), strict=route.in_body)
    values = msgspec.structs.asdict(found)
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise msgspec.ValidationError(f"`{name}` is not a number")
    return values
