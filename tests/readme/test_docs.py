"""The pages of docs/ against the code that they speak of."""

import asyncio
import configparser
import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from graphql import build_schema, parse, validate
from sqlalchemy import event

from gateways.port import PaymentGateway
from gateways.sandbox.cards import CARDS, Asks, Card
from gateways.sandbox.deliveries import BACK_OFF_SECONDS
from gateways.sandbox.faults import Fault
from gauges import Standing, exposition
from services.runs.due_work import BILLING_STEPS
from tests.architecture.repository import committed, text_of
from tests.architecture.test_imports import LEAVES, imports_of
from tests.readme.snippets import ROOT, snippets
from tests.support.databases import copy_of_file
from tests.support.house import House, open_house
from worker import PASS

PAGES = sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))


# The rooms


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def room_of(module: str) -> str | None:
    """The node of the picture that a module belongs to; None for what is not ours or not drawn."""
    first, _, rest = module.partition(".")
    if first != "gateways":
        return first if first in drawn_rooms() else None
    second = rest.partition(".")[0]
    if second in ("port", "persons", "returns", "customer_side", "cards", "method_types", "outward"):
        return "gateways.port"
    if second in ("https", "targets"):
        return "gateways.https"
    if second in ("measured", "paced", "breaking"):
        return f"gateways.{second}"
    return "gateways.sandbox" if second == "sandbox" else "gateways.stripe"


def arrows() -> set[tuple[str, str]]:
    picture = next(each.text for each in snippets("docs/architecture.md") if each.language == "mermaid")
    return set(re.findall(r"^ *([\w.]+) --> ([\w.]+)$", picture, re.MULTILINE))


def drawn_rooms() -> set[str]:
    return {room for arrow in arrows() for room in arrow}


def reachable(start: str, drawn: set[tuple[str, str]]) -> set[str]:
    found: set[str] = set()
    ahead = {start}
    while ahead:
        found |= (ahead := {to for source, to in drawn if source in ahead} - found)
    return found


def imports_between_rooms() -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for name in committed("*.py"):
        own = room_of(name.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
        for module, imported in imports_of(name) if own else ():
            whole = f"{module}.{imported}" if module == "gateways" else module
            other = room_of(whole)
            if own and other and other != own:
                found.add((own, other))
    return found


def test_every_room_is_drawn() -> None:
    contracts = configparser.ConfigParser()
    contracts.read_string(text_of(".importlinter"))
    packages = set(contracts["importlinter"]["root_packages"].split())
    beside = {Path(name).stem for name in committed(":(glob)*.py")}
    assert {room.partition(".")[0] for room in drawn_rooms()} == packages | beside - LEAVES


def test_what_is_imported_lies_along_the_arrows_and_each_arrow_is_used() -> None:
    drawn, imported = arrows(), imports_between_rooms()
    assert {(one, other) for one, other in imported if other not in reachable(one, drawn)} == set()
    assert drawn - imported == set()
    assert [room for room in drawn_rooms() if room in reachable(room, drawn)] == []


def test_the_layers_of_the_contract_are_the_picture_from_above() -> None:
    contracts = configparser.ConfigParser()
    contracts.read_string(text_of(".importlinter"))
    layers = contracts["importlinter:contract:rooms"]["layers"].split("\n")
    rows = [[room.strip() for room in row.split("|")] for row in layers if row.strip()]
    drawn = arrows()
    for number, row in enumerate(rows):
        below = {room for each in rows[number + 1 :] for room in each}
        for room in row:
            assert reachable(room, drawn) == below, room


# The way of one subscribe


class Recorded:
    """The gateway, its calls noted by name."""

    def __init__(self, gateway: Any, seen: list[str]) -> None:
        self._gateway, self._seen = gateway, seen

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._gateway, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._seen.append(f"`{name}`")
            return await found(*args, **kwargs)

        return call


SUBSCRIBE = "mutation($input: SubscribeInput!) { subscribe(input: $input) { subscription { id } userErrors { code } } }"


def recorded(gateway: PaymentGateway, seen: list[str]) -> Any:
    """The same gateway, noting its calls in `seen`."""
    return Recorded(gateway, seen)


CHANGE = """mutation($input: ChangePlanInput!) { changePlan(input: $input) {
  payment { id status } userErrors { code } } }"""
REFUND = (
    "mutation($input: RefundPaymentInput!) { refundPayment(input: $input) { refund { status } userErrors { code } } }"
)


async def sequence(house: House, seen: list[str], user: str, **wish: Any) -> str:
    return (await told_of(house, seen, SUBSCRIBE, user, **wish))[0]


async def told_of(
    house: House, seen: list[str], document: str, user: str, **wish: Any
) -> tuple[str, Mapping[str, Any]]:
    """What was committed and called for a mutation, and its payload."""
    seen.clear()
    (payload,) = (await house.ask(document, {"input": wish}, user=user)).values()
    return ", ".join(seen), payload


def rows_of_table(text: str, first_cell: str) -> list[list[str]]:
    """The cells of the table whose head begins with that cell."""
    lines = text[text.index(f"\n| {first_cell} |") + 1 :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


async def test_the_flows_commit_and_call_as_they_are_told(sqlite_file: Path, tmp_path: Path) -> None:
    seen: list[str] = []
    url = copy_of_file(sqlite_file, tmp_path / "perennial.db")
    async with open_house(url, wrap_gateway=lambda gateway: recorded(gateway, seen)) as house:
        event.listen(house.app.database.engine.sync_engine, "commit", lambda _: seen.append("commit"))
        saved = await house.ask("{ paymentMethods { nodes { id } } }", user="demo-card")
        card = saved["paymentMethods"]["nodes"][0]["id"]
        coffee = {"planCode": "classic-coffee-monthly", "paymentMethodId": card, "idempotencyKey": "one"}
        happened = {
            "with a saved card": await sequence(house, seen, "demo-card", planCode="reader-pro", paymentMethodId=card),
            "the browser will confirm": await sequence(house, seen, "demo-card", planCode="premium-monthly"),
            "… by a user who was never here": await sequence(house, seen, "demo-new", planCode="reader-pro"),
            "a free plan": await sequence(house, seen, "demo-card", planCode="free"),
            "subscribed already": await sequence(house, seen, "demo-card", planCode="reader-pro"),
        }
        happened["… and an idempotency key"], bought = await told_of(house, seen, SUBSCRIBE, "demo-card", **coffee)
        change = {"subscriptionId": bought["subscription"]["id"], "planCode": "classic-coffee-yearly"}
        happened["`changePlan`, at once, with a saved card"], changed = await told_of(
            house, seen, CHANGE, "demo-card", effectiveAt="NOW", **change
        )
        assert changed["payment"]["status"] == "SUCCEEDED"
        refund = {"paymentId": changed["payment"]["id"], "reason": "REQUESTED_BY_CUSTOMER", "idempotencyKey": "one"}
        happened["`refundPayment`"], refunded = await told_of(house, seen, REFUND, "demo-admin", **refund)
        assert refunded["refund"]["status"] == "SUCCEEDED"
        told = dict(rows_of_table(page("architecture"), "flow"))
    assert happened == told
    steps = [row[1] for row in rows_of_table(page("architecture"), "step")]
    assert ", ".join(steps) == happened["with a saved card"]


# The sandbox

ASKS = {
    Asks.NEVER: "",
    Asks.ALWAYS: "asks for 3-D Secure",
    Asks.UNLESS_SET_UP: "asks for 3-D Secure unless it was set up for later",
    Asks.ON_SESSION_ONLY: "asks for 3-D Secure on session only",
    Asks.WHEN_REQUESTED: "asks for 3-D Secure when the merchant requests it",
}


AFTERWARDS = {
    "pm_card_createDispute": "; the charge is disputed as fraudulent",
    "pm_card_createDisputeProductNotReceived": "; the charge is disputed as not received",
    "pm_card_createDisputeInquiry": "; the bank inquires, no money moves",
    "pm_card_pendingRefund": "; its refunds are pending for 5 s",
    "pm_card_refundFail": "; its refunds fail after 5 s",
}


def behaviour(card: Card) -> str:
    """What a test card does, as the page words it."""
    if card.decline:
        when = "declines every charge" if card.attachable else "declines every charge, and being saved"
        end = f"{when}: `{card.decline.decline_code}`"
    else:
        end = "pays" if card.cvc_check == "pass" else "pays, though its security code check fails"
    end += AFTERWARDS.get(card.token, "")
    kind = [word for word, usual in ((card.brand, "visa"), (card.funding, "credit")) if word != usual]
    does = f"{ASKS[card.asks]}, then {end}" if ASKS[card.asks] else end
    return f"{does} ({', '.join(kind)})" if kind else does


def table(rows: Iterable[tuple[str, str, str]]) -> str:
    return "\n".join(f"| `{one}` | `{two}` | {three} |" for one, two, three in rows)


def test_every_test_card_is_listed_with_what_it_does() -> None:
    assert table((card.number, card.token, behaviour(card)) for card in CARDS) in page("sandbox")
    assert len(rows_of_table(page("sandbox"), "number")) == len(CARDS)


def test_every_fault_is_explained() -> None:
    assert [row[0] for row in rows_of_table(page("sandbox"), "kind")] == [f"`{fault}`" for fault in Fault]


def test_the_pace_of_deliveries_is_the_one_told() -> None:
    words = {2: "2 s", 10: "10 s", 60: "1 min", 600: "10 min", 3600: "1 h", 21600: "6 h", 86400: "a day"}
    told = ", ".join(words[seconds] for seconds in BACK_OFF_SECONDS[:-1])
    assert BACK_OFF_SECONDS[-1] == 86400
    assert f"{told} and another day" in " ".join(page("sandbox").split())


# Documents and names


@pytest.mark.parametrize("name", PAGES)
def test_the_documents_of_a_page_fit_the_schema(name: str) -> None:
    schema = build_schema(text_of("schema/schema.graphql"))
    documents = [each.text for each in snippets(name) if each.language == "graphql"]
    assert [str(error) for text in documents for error in validate(schema, parse(text))] == []


@pytest.mark.skipif(shutil.which("node") is None, reason="JavaScript is checked by Node")
@pytest.mark.parametrize("name", PAGES)
def test_the_javascript_of_a_page_is_javascript(name: str) -> None:
    for script in (each.text for each in snippets(name) if each.language == "js"):
        checked = subprocess.run(
            ["node", "--input-type=module", "--check", "-"], input=script, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stderr


def test_each_log_event_that_operators_are_told_of_exists() -> None:
    written = "".join(text_of(name) for name in committed("*.py", ":!tests"))
    told = set(re.findall(r"`((?:webhook|gateway|payment|worker)_[a-z_]+)`", page("operations")))
    assert len(told) == 8
    assert [name for name in told if f'"{name}"' not in written] == []


def test_operators_are_told_of_each_metric_and_of_no_other() -> None:
    text = exposition(Standing(due={"happened": 0}, late_seconds={"happened": 0.0}, unknown_payments=0)).decode()
    measured = re.findall(r"^# TYPE (perennial_\w+) ", text, re.MULTILINE)
    assert sorted(row[0].strip("`") for row in rows_of_table(page("operations"), "metric")) == sorted(measured)


def test_every_case_names_the_metric_that_tells_of_it_or_none() -> None:
    text = exposition(Standing(due={"happened": 0}, late_seconds={"happened": 0.0}, unknown_payments=0)).decode()
    known = set(re.findall(r"^# TYPE (perennial_\w+) ", text, re.MULTILINE))
    known |= {f"{name}_count" for name in known}
    words = {"unavailable", "busy", "fault", *PASS, *BILLING_STEPS, "delivered"}
    cases = rows_of_table(page("operations"), "case")
    assert len(cases) >= 37
    for case, _, metric, _ in cases:
        named = re.findall(r"`(\w+)`", metric)
        assert set(named) <= known | words, case
        assert metric == "–" or named[0] in known, case


def test_every_decision_is_numbered_once_and_says_why() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [int(path.name.partition("-")[0]) for path in decisions]
    assert numbers == list(range(1, len(decisions) + 1))
    for path in decisions:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {int(path.name[:4])}. "), path.name
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "What follows"]


def test_how_a_second_gateway_is_added_is_told_of_every_call_of_the_port_and_of_no_other() -> None:
    (decision,) = (ROOT / "docs" / "decisions").glob("0030-*.md")
    rows = re.findall(r"^\| (`.+?) \|", decision.read_text(encoding="utf-8"), re.MULTILINE)
    promised = {name for name in (*vars(PaymentGateway), *PaymentGateway.__annotations__) if not name.startswith("_")}
    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row)) == sorted(promised)


def test_the_changelog_has_a_breaking_section_first() -> None:
    unreleased = text_of("CHANGELOG.md").split("## [Unreleased]")[1].split("\n## ")[0]
    assert re.findall(r"^### (.+)$", unreleased, re.MULTILINE)[0] == "Breaking"


def test_json_answers_are_json() -> None:
    for name in ("README.md", *PAGES):
        for each in snippets(name):
            if each.language == "json":
                json.loads(each.text)
