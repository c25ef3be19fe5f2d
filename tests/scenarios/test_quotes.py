"""What is quoted is what is done, to the cent and to the line, or nothing is; on both databases."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from billing.money import Money
from models.catalog import plan_by, prices_of
from models.customers import change_balance
from tests.support.house import House
from tests.support.tables import everything

LINES = """lines { kind description quantity unitAmount { formatted } amount { formatted } discount { formatted }
  tax { formatted } isProration period { start end } plan { code }
  explanation { text formula inputs { name value source } } }"""
AMOUNTS = """subtotal { formatted } discountTotal { formatted } taxTotal { formatted } total { formatted }
  creditApplied { formatted }"""
PREVIEW = f"""dueNow {{ formatted }} refundNow {{ formatted }} dueNext {{ formatted }} dueNextAt {LINES} {AMOUNTS}
  schedule {{ at amount {{ formatted }} description }} warnings quoteToken expiresAt
  entitlementChanges {{ before after wasUnlimited isUnlimited at feature {{ code }} }}"""
ERRORS = f"""userErrors {{ code field message ... on QuoteStaleError {{ freshQuote {{ {PREVIEW} }} }} }}"""
INVOICE = f"invoice {{ amountDue {{ formatted }} amountPaid {{ formatted }} {LINES} {AMOUNTS} }}"

PREVIEW_SUBSCRIBE = f"""query ($input: SubscribeInput!) {{
  previewSubscribe(input: $input) {{ preview {{ {PREVIEW} }} userErrors {{ code field }} }} }}"""
SUBSCRIBE = f"""mutation ($input: SubscribeInput!) {{ subscribe(input: $input) {{
  subscription {{ id status startedAt }} payment {{ amount {{ formatted }} {INVOICE} }} {ERRORS} }} }}"""
USER = "demo-card"


async def card_of(house: House) -> str:
    return (await house.ask("{ me { defaultPaymentMethod { id } } }", user=USER))["me"]["defaultPaymentMethod"]["id"]


async def quoted(house: House, user: str | None = USER, **wish: Any) -> dict[str, Any]:
    answer = await house.ask(PREVIEW_SUBSCRIBE, {"input": {"planCode": "reader-pro", **wish}}, user)
    assert answer["previewSubscribe"]["userErrors"] == []
    return answer["previewSubscribe"]["preview"]


async def subscribed(house: House, user: str = USER, **wish: Any) -> dict[str, Any]:
    return (await house.ask(SUBSCRIBE, {"input": {"planCode": "reader-pro", **wish}}, user))["subscribe"]


async def give_balance(house: House, minor: int) -> None:
    me = await house.ask("{ me { id } }", user=USER)
    async with house.app.database.write() as session:
        await change_balance(session, me["me"]["id"], Money(minor, "USD"))


def same(preview: Mapping[str, Any], invoice: Mapping[str, Any]) -> None:
    for name in ("lines", "subtotal", "discountTotal", "taxTotal", "total", "creditApplied"):
        assert preview[name] == invoice[name], name


async def test_subscribing_does_what_was_quoted(house: House) -> None:
    preview = await quoted(house)
    assert preview["dueNow"] == {"formatted": "$7.00"}
    assert preview["refundNow"] == {"formatted": "$0.00"}
    assert (preview["dueNext"], preview["dueNextAt"]) == ({"formatted": "$7.00"}, "2026-02-28T09:30:00Z")
    assert preview["expiresAt"] == "2026-01-31T09:40:00Z"
    (line,) = preview["lines"]
    assert {each["name"]: each["value"] for each in line["explanation"]["inputs"] if "period" in each["name"]} == {
        "periodStart": "2026-01-31T09:30:00Z",
        "periodEnd": "2026-02-28T09:30:00Z",
    }
    assert [(charge["at"][:10], charge["amount"]["formatted"]) for charge in preview["schedule"]] == [
        (day, "$7.00")
        for day in (
            "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31", "2026-06-30", "2026-07-31",
            "2026-08-31", "2026-09-30", "2026-10-31", "2026-11-30", "2026-12-31", "2027-01-31",
        )
    ]  # fmt: skip

    house.pass_time(timedelta(minutes=9, seconds=59))
    done = await subscribed(house, quoteToken=preview["quoteToken"], paymentMethodId=await card_of(house))
    assert done["userErrors"] == []
    assert done["subscription"]["status"] == "ACTIVE"
    assert done["subscription"]["startedAt"] == "2026-01-31T09:30:00Z"
    assert done["payment"]["amount"] == preview["dueNow"]
    same(preview, done["payment"]["invoice"])


async def test_a_card_that_will_not_be_kept_is_warned_of(small_house: House) -> None:
    """It pays once, and leaves nothing to renew with."""
    for user in ("demo-new", None):
        (warning,) = (await quoted(small_house, user))["warnings"]
        assert warning == (
            "The card is used for this payment alone and not kept: nothing is there to pay the next one with."
        )
    for user, wish in (
        ("demo-new", {"setupFutureUsage": "OFF_SESSION"}),
        ("demo-new", {"autoRenew": False}),
        ("demo-new", {"planCode": "free"}),
        (USER, {}),
    ):
        assert (await quoted(small_house, user, **wish))["warnings"] == []


# ── stale ──


async def _is_stale(house: House, preview: Mapping[str, Any], **wish: Any) -> dict[str, Any]:
    """The refused act's fresh quote; nothing has changed, and the fresh token is good for the same wish."""
    before = await everything(house.app)
    refused = await subscribed(house, USER, quoteToken=preview["quoteToken"], **wish)
    (error,) = refused["userErrors"]
    assert (error["code"], error["field"]) == ("QUOTE_STALE", ["quoteToken"])
    assert (refused["subscription"], refused["payment"]) == (None, None)
    assert await everything(house.app) == before
    fresh = error["freshQuote"]
    done = await subscribed(house, USER, quoteToken=fresh["quoteToken"], **wish)
    assert done["userErrors"] == []
    assert done["payment"]["amount"] == fresh["dueNow"]
    same(fresh, done["payment"]["invoice"])
    return fresh


async def test_a_quote_of_ten_minutes_ago_is_too_old(house: House) -> None:
    preview = await quoted(house)
    house.pass_time(timedelta(minutes=10, microseconds=1))
    fresh = await _is_stale(house, preview)
    assert fresh["dueNow"] == preview["dueNow"]
    assert fresh["expiresAt"] == "2026-01-31T09:50:00.000001Z"


async def test_a_balance_that_moved_makes_a_quote_stale(house: House) -> None:
    preview = await quoted(house)
    await give_balance(house, 150)
    fresh = await _is_stale(house, preview)
    assert (fresh["dueNow"], fresh["creditApplied"]) == ({"formatted": "$5.50"}, {"formatted": "$1.50"})


async def test_another_price_makes_a_quote_stale(house: House) -> None:
    preview = await quoted(house)
    async with house.app.database.write() as session:
        plan = await plan_by(session, code="reader-pro")
        assert plan is not None
        for price in await prices_of(session, [plan.id]):
            if price.is_default:
                price.amount_minor = 900
    fresh = await _is_stale(house, preview)
    assert fresh["dueNow"] == {"formatted": "$9.00"}


async def test_a_quote_is_for_its_own_input(house: House) -> None:
    preview = await quoted(house, quantity=2)
    assert preview["dueNow"] == {"formatted": "$14.00"}
    fresh = await _is_stale(house, preview, quantity=3)
    assert fresh["dueNow"] == {"formatted": "$21.00"}


async def test_a_quote_is_for_its_own_customer(house: House) -> None:
    await _is_stale(house, await quoted(house, "demo-decline"))


async def test_a_quote_for_nobody_is_for_nobody(house: House) -> None:
    preview = await quoted(house, None)
    assert preview["dueNow"] == {"formatted": "$7.00"}
    await _is_stale(house, preview)


@pytest.mark.parametrize("token", ["", ".", "forged", "zz.00", "6498d2ab0b980.00", "-1.00", "f" * 400 + ".00", "ü.ü"])
async def test_a_forged_token_is_stale(house: House, token: str) -> None:
    await _is_stale(house, {"quoteToken": token})


async def test_a_token_with_another_seal_is_stale(house: House) -> None:
    preview = await quoted(house)
    token = preview["quoteToken"]
    forged = token[:-1] + ("0" if token[-1] != "0" else "1")
    await _is_stale(house, {"quoteToken": forged})


# ── what does not matter, and who may ask ──


async def test_a_second_click_with_one_quote_gets_the_first_ones_subscription(house: House) -> None:
    preview = await quoted(house)
    first = await subscribed(house, quoteToken=preview["quoteToken"])
    assert first["subscription"]["status"] == "INCOMPLETE"
    house.pass_time(timedelta(minutes=1))
    second = await subscribed(house, quoteToken=preview["quoteToken"], paymentMethodId=await card_of(house))
    assert second["userErrors"] == []
    assert (second["subscription"]["id"], second["subscription"]["status"]) == (first["subscription"]["id"], "ACTIVE")


async def test_what_is_open_of_the_same_wish_is_quoted_as_it_was_invoiced(house: House) -> None:
    await give_balance(house, 150)
    first = await subscribed(house)
    house.pass_time(timedelta(hours=1))
    preview = await quoted(house)
    assert (preview["dueNow"], preview["dueNextAt"]) == ({"formatted": "$5.50"}, "2026-02-28T09:30:00Z")
    same(preview, first["payment"]["invoice"])
    done = await subscribed(house, quoteToken=preview["quoteToken"], paymentMethodId=await card_of(house))
    assert (done["userErrors"], done["subscription"]["id"]) == ([], first["subscription"]["id"])
    assert done["payment"]["amount"] == preview["dueNow"]


async def test_what_takes_an_unpaid_ones_place_is_quoted_with_what_that_gives_back(house: House) -> None:
    await give_balance(house, 150)
    await subscribed(house)
    preview = await quoted(house, quantity=2)
    assert (preview["dueNow"], preview["creditApplied"]) == ({"formatted": "$12.50"}, {"formatted": "$1.50"})
    done = await subscribed(house, quantity=2, quoteToken=preview["quoteToken"], paymentMethodId=await card_of(house))
    assert (done["userErrors"], done["subscription"]["status"]) == ([], "ACTIVE")
    same(preview, done["payment"]["invoice"])


async def test_a_preview_changes_nothing_and_makes_no_customer(house: House) -> None:
    before = await everything(house.app)
    for user in (None, USER, "a-stranger", "demo-admin"):
        await quoted(house, user)
    assert await everything(house.app) == before


async def test_what_would_be_refused_is_refused_in_the_preview(house: House) -> None:
    async def refusal(user: str | None = USER, **wish: Any) -> list[dict[str, Any]]:
        answer = await house.ask(PREVIEW_SUBSCRIBE, {"input": wish}, user)
        assert answer["previewSubscribe"]["preview"] is None
        return answer["previewSubscribe"]["userErrors"]

    await subscribed(house, paymentMethodId=await card_of(house))
    assert await refusal(planCode="reader-pro") == [{"code": "ALREADY_SUBSCRIBED", "field": None}]
    assert await refusal(planCode="nothing") == [{"code": "NOT_FOUND", "field": ["planCode"]}]
    assert await refusal(None, planCode="reader-pro", customerId="cst_1") == [
        {"code": "NOT_PERMITTED", "field": ["customerId"]}
    ]
    assert await refusal(planCode="reader-pro", customerId="cst_1") == [
        {"code": "NOT_PERMITTED", "field": ["customerId"]}
    ]
    assert await refusal("demo-admin", planCode="reader-pro", customerId="cst_1") == [
        {"code": "NOT_FOUND", "field": ["customerId"]}
    ]


async def test_staff_preview_for_a_customer_and_act_with_that_quote(house: House) -> None:
    await give_balance(house, 150)
    customer = (await house.ask("{ me { id } }", user=USER))["me"]["id"]
    preview = await quoted(house, "demo-admin", customerId=customer)
    assert preview["dueNow"] == {"formatted": "$5.50"}
    done = await subscribed(
        house, "demo-admin", customerId=customer, quoteToken=preview["quoteToken"], paymentMethodId=await card_of(house)
    )
    assert (done["userErrors"], done["payment"]["amount"]) == ([], {"formatted": "$5.50"})


# ── what is to come ──

UPCOMING = f"""{{ mySubscription {{ upcomingInvoices(first: 12) {{
  at period {{ start end }} {LINES} {AMOUNTS} amountDue {{ formatted }} }} }} }}"""
ISSUED = f"""{{ mySubscription {{ invoices(first: 12) {{ nodes {{
  issuedAt period {{ start end }} {LINES} {AMOUNTS} payments {{ amount {{ formatted }} }} }} }} }} }}"""


async def upcoming(house: House) -> list[dict[str, Any]]:
    return (await house.ask(UPCOMING, user=USER))["mySubscription"]["upcomingInvoices"]


@pytest.mark.parametrize("balance", [0, 150, 1_000, 695, -25])
async def test_twelve_months_are_foreseen_as_they_come(house: House, balance: int) -> None:
    await subscribed(house, paymentMethodId=await card_of(house))
    await give_balance(house, balance)
    foreseen = await upcoming(house)
    assert len(foreseen) == 12
    for _ in range(12):
        house.pass_time(timedelta(days=31))
        while any((await house.work()).values()):
            pass
    issued = (await house.ask(ISSUED, user=USER))["mySubscription"]["invoices"]["nodes"]
    for invoice in issued:
        invoice["amountDue"] = next((each["amount"] for each in invoice.pop("payments")), {"formatted": "$0.00"})
        invoice.pop("issuedAt")
    for each in foreseen:
        assert each.pop("at") == each["period"]["start"]
    assert foreseen == issued[::-1]


async def test_what_ends_is_foreseen_to_its_end(house: House) -> None:
    done = await subscribed(house, paymentMethodId=await card_of(house))
    cancel = """mutation ($id: ID!) { cancelSubscription(input: {subscriptionId: $id}) { userErrors { code } } }"""
    await house.ask(cancel, {"id": done["subscription"]["id"]}, user=USER)
    assert await upcoming(house) == []


@pytest.mark.parametrize("first", [0, 37])
async def test_one_to_36_invoices_are_foreseen(house: House, first: int) -> None:
    await subscribed(house, paymentMethodId=await card_of(house))
    query = "query ($first: Int!) { mySubscription { upcomingInvoices(first: $first) { at } } }"
    refused = (await house.post(query, {"first": first}, USER)).json()
    assert refused["errors"][0]["message"] == "first: expected 1 to 36."
    assert len((await house.ask(query, {"first": 36}, USER))["mySubscription"]["upcomingInvoices"]) == 36
