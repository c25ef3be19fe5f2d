"""What is quoted is what is done, to the cent and to the line, or nothing is; on both databases."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from billing.money import Money
from models.customers import change_balance
from tests.support.house import House

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


async def card_of(house: House, user: str = USER) -> str:
    return (await house.ask("{ me { defaultPaymentMethod { id } } }", user=user))["me"]["defaultPaymentMethod"]["id"]


async def quoted(house: House, user: str | None = USER, **wish: Any) -> dict[str, Any]:
    answer = await house.ask(PREVIEW_SUBSCRIBE, {"input": {"planCode": "reader-pro", **wish}}, user)
    assert answer["previewSubscribe"]["userErrors"] == []
    return answer["previewSubscribe"]["preview"]


async def subscribed(house: House, user: str = USER, **wish: Any) -> dict[str, Any]:
    return (await house.ask(SUBSCRIBE, {"input": {"planCode": "reader-pro", **wish}}, user))["subscribe"]


async def give_balance(house: House, minor: int, currency: str = "USD", user: str = USER) -> None:
    me = await house.ask("{ me { id } }", user=user)
    async with house.app.database.write() as session:
        await change_balance(session, me["me"]["id"], Money(minor, currency))


def _same(preview: Mapping[str, Any], invoice: Mapping[str, Any]) -> None:
    for name in ("lines", "subtotal", "discountTotal", "taxTotal", "total", "creditApplied"):
        assert preview[name] == invoice[name], name


async def test_subscribing_does_what_was_quoted(house: House) -> None:
    preview = await quoted(house)
    assert preview["dueNow"] == {"formatted": "$7.00"}
    assert preview["refundNow"] == {"formatted": "$0.00"}
    assert (preview["dueNext"], preview["dueNextAt"]) == ({"formatted": "$7.00"}, "2026-02-28T09:30:00Z")
    assert preview["expiresAt"] == "2026-01-31T09:40:00Z"
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
    _same(preview, done["payment"]["invoice"])
