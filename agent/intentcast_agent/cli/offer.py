"""Commands on offers and deals: list, view, compare, decline; counter, accept."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from intentcast_agent.cli.call import Enough, busy, call, fail, json_option, passphrase_option, show, stated
from intentcast_agent.cli.compare import compare
from intentcast_agent.cli.haggle import haggle, mandate, stop
from intentcast_agent.cli.table import amount, domain, plain, rows, turn, when

_NEXT = {
    "asking": "Next: intentcast deal answer {0} --yes   or --fact PATH=VALUE   or --no",
    "offered": "Next: intentcast deal accept {0}   or   intentcast deal counter {0} --total …",
    "amending": "This would change what you agreed on, which stands until you accept: intentcast deal accept {0}",
}
_ENOUGH = 2  # relays that have seen a domain, for an accept without a say-so


@click.group()
def offer() -> None:
    """See, compare and decline what vendors offer."""


offer.add_command(compare)


@click.group()
def deal() -> None:
    """Counter an offer, answer a question, accept; or let the agent haggle."""


for command in (mandate, haggle, stop):
    deal.add_command(command)


def offer_rows(listed: dict[str, Any]) -> Iterable[str]:
    """Yield a table of offers, then what was refused and why."""
    yield from rows(
        ("", "vendor", "domain", "total to you", "fit", "score", "state", "next"),
        [
            (one["name"], one["vendor"], domain(one), amount(one["total"], one["currency"], one.get("per")),
             one["fit"] or "–", "–" if one["score"] is None else f"{one['score']:.3f}", one["state"], turn(one))
            for one in listed["offers"]
        ],
    )  # fmt: skip
    for one in listed["offers"]:
        if one["fit"] in ("fails", "asks"):
            yield f"  {one['name']} {one['fit']}: {plain(one['why'], 150)}"
        if (one["aside"] or "").startswith("not comparable"):
            yield f"  {one['name']} {plain(one['aside'], 150)}"
    for one in listed["rejected"]:
        yield f"  refused: an answer claiming to be {plain(one['vendor'], 40)} ({one['code']})"
    if not listed["offers"]:
        yield "No offers yet."


@offer.command("list")
@click.argument("demand", required=False)
@click.option("--wait", type=float, default=0.0, metavar="SECONDS", help="Wait at most this long for a first offer.")
@passphrase_option
@json_option
def list_offers(demand: str | None, wait: float, as_json: bool, passphrase_file: Path | None) -> None:
    """List offers, best first: those that fit every must-have, then by your criteria."""
    result = call("offer_list", demand=demand)

    def on_event(listed: dict[str, Any]) -> None:
        result.update(listed)
        if listed["offers"]:
            raise Enough

    if wait and not result["offers"]:
        with busy("Waiting for offers…", as_json):
            call("watch", on_event=on_event, demand=demand, within=wait)
    nothing = wait and not result["offers"]
    show(result, as_json, offer_rows, fail("Nothing came yet; ask again later.", "nothing yet", 7) if nothing else None)


@offer.command()
@click.argument("name", metavar="OFFER")
@passphrase_option
@json_option
def view(name: str, as_json: bool, passphrase_file: Path | None) -> None:
    """Show one offer: each part of the price, each must-have, every message."""
    show(call("offer_view", offer=name), as_json, _viewed)


def _viewed(one: dict[str, Any]) -> Iterable[str]:
    domain = f" ({plain(one['domain']['name'])}: {one['witnessed']})" if one["domain"] else ""
    yield f"{one['name']}  {plain(one['vendor'])}{domain}"
    yield f"{one['state']}; next: {turn(one)}"
    if one["total"]:
        yield ""
        yield plain(one["item"] or "", 100)
        for part in one["price"]:
            yield f"  {part['amount']:>12} {one['currency']}  {part['kind']:9} {plain(part['name'])}"
        yield f"  {one['total']:>12} {one['currency']}  total to you, until {when(one['valid_through'])}"
        yield f"Fit: {one['fit']}"
        for found in one["findings"]:
            mark = {"met": "✓", "unmet": "✗", "unknown": "?"}[found["verdict"]]
            yield f"  {mark} {found['strength']:4}  {plain(found['why'], 120)}"
        for fact in one["said"]:
            yield f"  said in an answer, not in the offer: {_fact(fact)}"
        for line in one["deviations"]:
            yield f"  the vendor says: {plain(line, 120)}"
        for name, stated in one["conditions"].items():
            others = one["negotiable"].get(name)
            yield f"  {name}: {plain(stated, 120)}" + (f"  (also: {plain(others, 120)})" if others else "")
    yield ""
    for message in one["messages"]:
        relays = message["on_relays"]
        ticks = f"  on {relays[0]}/{relays[1]} relays" if relays else ""
        trouble = f"  ({message['problem']})" if message["problem"] else ""
        words = f": {plain(message['text'], 200)}" if message["text"] else ""
        yield f"  {when(message['at'])}  {message['from']:6} {message['type']}{words}{ticks}{trouble}"
    for row in one["disclosed"]:
        yield f"  {when(row['at'])}  {row['decision']}: {row['attribute']} ({row['reason']})"
    for row in one["accepted"]:
        yield f"  {when(row['at'])}  accepted: {row['reason']}"
    if one["turn"] == "person" and one["state"] in _NEXT:
        yield ""
        yield _NEXT[one["state"]].format(one["name"])


def _fact(fact: dict[str, Any]) -> str:
    unit = fact.get("priceCurrency") or fact.get("unitCode") or ""
    value = {True: "yes", False: "no"}.get(fact["value"], fact["value"])
    return f"{plain(fact['path'], 80)} = {plain(str(value), 120)} {unit}".rstrip()


@offer.command()
@click.argument("name", metavar="OFFER")
@click.option("--text", default="", help="Words for the vendor; none by default.")
@passphrase_option
@json_option
def decline(name: str, text: str, as_json: bool, passphrase_file: Path | None) -> None:
    """Decline a vendor."""
    result = call("offer_decline", offer=name, text=text)
    show(result, as_json, lambda one: [f"{one['name']} is declined, by you."])


@deal.command()
@click.argument("name", metavar="OFFER")
@click.option("--total", help="What you would pay in all, e.g. 17200; as offered if left out.")
@click.option("--delivery", type=int, metavar="DAYS", help="In how many days you want it.")
@click.option("--warranty", type=int, metavar="MONTHS", help="For how long it is to be guaranteed.")
@click.option("--extra", "extras", multiple=True, metavar="NAME", help="What is to come with it; repeat for more.")
@click.option("--no-extras", is_flag=True, help="Without the extras of the offer.")
@click.option("--text", default="", help="Words for the vendor.")
@click.option("--wait", type=float, default=30.0, show_default=True, metavar="SECONDS", help="Wait for the answer.")
@passphrase_option
@json_option
def counter(
    name: str,
    total: str | None,
    delivery: int | None,
    warranty: int | None,
    extras: tuple[str, ...],
    no_extras: bool,
    text: str,
    wait: float,
    as_json: bool,
    passphrase_file: Path | None,
) -> None:
    """Counter an offer with another total or other conditions; the vendor answers with a new offer, or not."""
    listed = list(extras) if extras or no_extras else None
    wanted: dict[str, Any] = {"total": total, "delivery": delivery, "warranty": warranty, "extras": listed}
    if all(one is None for one in wanted.values()):
        raise click.UsageError("Say what is to be different: --total, --delivery, --warranty, --extra or --no-extras.")
    before = call("offer_view", offer=name)
    result = _wait(stated("deal_counter", offer=name, text=text, **wanted), wait, as_json)
    failed = None
    if wait and result["turn"] == "vendor":
        failed = fail(f"No answer yet. Next: intentcast offer view {name}", "nothing yet", 7)
    show(result, as_json, lambda one: _answered(one, before["total"]), failed)


def _wait(result: dict[str, Any], wait: float, as_json: bool) -> dict[str, Any]:
    """Wait for the vendor's answer, if it is the vendor's turn."""
    if wait and result["turn"] == "vendor" and result["state"] != "agreed":
        with busy("Waiting for the vendor…", as_json):
            result = call("deal_wait", offer=result["name"], within=wait)
    return result


def _answered(one: dict[str, Any], before: str | None) -> Iterable[str]:
    price = amount(one["total"], one["currency"], one.get("per"))
    change = f" (before: {before})" if before not in (None, one["total"]) else ""
    yield f"{one['name']} {plain(one['vendor'])}: {price}{change}, {one['state']}; next: {turn(one)}"
    if one["total"]:
        yield "  " + "; ".join(f"{name}: {plain(said, 80)}" for name, said in one["conditions"].items())
    if one["turn"] == "person" and one["state"] in _NEXT:
        yield _NEXT[one["state"]].format(one["name"])


@deal.command()
@click.argument("name", metavar="OFFER")
@click.argument("text", default="")
@click.option("--yes/--no", "all_the_same", default=False, help="Whether they may offer with a must-have unknown.")
@click.option(
    "--fact",
    "facts",
    multiple=True,
    metavar="PATH=VALUE",
    help="Say a value: itemOffered.numberOfRooms=4, or with its unit '…=80 MTK'.",
)
@click.option("--wait", type=float, default=30.0, show_default=True, metavar="SECONDS", help="Wait for the offer.")
@passphrase_option
@json_option
def answer(
    name: str,
    text: str,
    all_the_same: bool,
    facts: tuple[str, ...],
    wait: float,
    as_json: bool,
    passphrase_file: Path | None,
) -> None:
    """Answer a vendor's question; they may then offer. They learn what you say here, and nothing else.

    Without --yes a must-have that stays unknown means no.
    """
    before = stated("deal_answer", offer=name, text=text, facts=list(facts), all_the_same=all_the_same)
    result = _wait(before, wait, as_json)
    failed = None
    if wait and result["turn"] == "vendor":
        failed = fail(
            f"No offer yet; the answer is with the vendor. Next: intentcast offer view {name}", "nothing yet", 7
        )
    show(result, as_json, lambda one: _answered(one, before["total"]), failed)


@deal.command()
@click.argument("name", metavar="OFFER")
@click.argument("text")
@click.option("--about", metavar="PATH", help="The property you ask about, e.g. itemOffered.numberOfPreviousOwners.")
@passphrase_option
@json_option
def ask(name: str, text: str, about: str | None, as_json: bool, passphrase_file: Path | None) -> None:
    """Ask a vendor something. Of an offer that has lapsed, it may bring a new one."""
    result = stated("deal_ask", offer=name, text=text, path=about)
    show(result, as_json, lambda one: [f"Asked. The answer will be in: intentcast offer view {one['name']}"])


@deal.command()
@click.argument("name", metavar="OFFER")
@click.option("--text", default="", help="Words for the vendor.")
@passphrase_option
@json_option
def received(name: str, text: str, as_json: bool, passphrase_file: Path | None) -> None:
    """Tell the vendor that what you agreed on has come, and all is well."""
    result = call("deal_received", offer=name, text=text)
    show(result, as_json, lambda one: [f"{one['name']} is {one['state']}, by you."])


@deal.command()
@click.argument("name", metavar="OFFER")
@click.argument("text")
@passphrase_option
@json_option
def dispute(name: str, text: str, as_json: bool, passphrase_file: Path | None) -> None:
    """Tell the vendor that something is wrong with an agreement. The agreement still proves what was agreed."""
    result = call("deal_dispute", offer=name, text=text)
    show(result, as_json, lambda one: [f"{one['name']} is {one['state']}, by you. Next: talk to the vendor."])


@deal.command()
@click.argument("name", metavar="OFFER")
@click.option("--anyway", is_flag=True, help="Even though a relay that may hold another confirm cannot be read.")
@click.option("-y", "--yes", is_flag=True, help="Even though fewer than two relays have seen the vendor's domain.")
@click.option("--wait", type=float, default=30.0, show_default=True, metavar="SECONDS", help="Wait for the confirm.")
@passphrase_option
@json_option
def accept(name: str, anyway: bool, yes: bool, wait: float, as_json: bool, passphrase_file: Path | None) -> None:
    """Accept an offer as it stands. The vendor's confirm makes it an agreement.

    Where fewer than two of your relays have seen the vendor's domain, you are asked first. Asked again for an offer
    that is accepted already, it waits for the confirm.
    """
    result = call("offer_view", offer=name)
    if result["state"] not in ("accepted", "reaccepted", "agreed"):
        sure = yes or _vouched(result, as_json)
        result = call("deal_accept", offer=name, anyway=anyway, say_so=sure)
    result = _wait(result, wait, as_json)
    failed = None
    if result["state"] in ("accepted", "reaccepted"):
        failed = fail(
            f"Not confirmed yet; next: {turn(result)}. Ask again: intentcast deal accept {name}", "nothing yet", 7
        )
    elif result["state"] != "agreed":
        failed = fail(f"The vendor did not confirm: the offer is {result['state']}.", "refused.offer.not-standing", 1)
    show(result, as_json, _accepted, failed)


def _vouched(one: dict[str, Any], as_json: bool) -> bool:
    """Return the person's say-so for a vendor whose domain too few relays have seen; ends the verb where it is no."""
    if one["state"] not in ("offered", "countered", "amending") or one["witnesses"] >= _ENOUGH:
        return False
    claim = f"{plain(one['domain']['name'])}: " if one["domain"] else ""
    about = f"{plain(one['vendor'])} ({claim}{one['witnessed']})"
    if as_json or not sys.stdin.isatty():
        raise fail(f"{about}. Nobody can be asked here; to accept all the same, say --yes.", "refused.session.not-now")
    warning = "Only one relay vouches for it" if one["witnesses"] else "Nobody but the vendor says who they are"
    if not click.confirm(f"{about}. {warning}. Accept all the same?"):
        raise fail("Nothing was signed.")
    return True


def _accepted(one: dict[str, Any]) -> Iterable[str]:
    yield f"{one['name']} {plain(one['vendor'])}: {one['state']}"
    for row in one["disclosed"]:
        yield f"  {row['decision']}: {row['attribute']}"
    if one["state"] == "agreed":
        yield "Next: intentcast agreement list"
