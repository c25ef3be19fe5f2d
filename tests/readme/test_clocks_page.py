"""The page about test clocks, carried out as it is told."""

from typing import Any

from tests.readme.snippets import snippets
from tests.support.house import House

PAGE = "docs/test-clocks.md"


async def test_the_pages_year_takes_four_requests_and_a_move(house: House) -> None:
    make, customer, card, buy, move, rehearse = (each.text for each in snippets(PAGE) if each.language == "graphql")

    async def ask(document: str, **variables: Any) -> dict[str, Any]:
        (answer,) = (await house.ask(document, variables, user="demo-admin")).values()
        assert answer.pop("userErrors") == []
        return answer

    clock = (await ask(make))["testClock"]["id"]
    reader = (await ask(customer, clock=clock))["customer"]
    assert reader["testClock"] == {"now": "2027-01-31T09:00:00Z"}
    saved = (await ask(card, customer=reader["id"]))["paymentMethod"]["id"]
    bought = (await ask(buy, customer=reader["id"], card=saved))["subscription"]
    assert bought["status"] == "ACTIVE"
    moved = await ask(move, clock=clock)
    assert moved["testClock"] == {"now": "2028-01-31T09:00:00Z", "status": "READY"}
    assert [(run["renewed"], run["charged"], run["totals"]) for run in moved["runs"]] == [
        (1, 1, [{"formatted": "$7.00"}])
    ] * 12
    assert (await ask(rehearse))["run"] == {
        "renewed": 0,
        "charged": 0,
        "skipped": 0,
        "totals": [],
        "items": {"nodes": []},
    }
