"""Buying on the checkout page: a link, a form, the bank, and back to the shop; paid once, whatever is clicked again."""

import asyncio
import re
from dataclasses import replace
from datetime import timedelta
from html import unescape
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from gateways.customer_side import CardInput
from guard import Guard
from models.api_keys import ApiKey
from models.organization import new_organization
from pages.checkout import CheckoutPages
from server import rates_of
from tests.scenarios.orders import ADMIN, customer_id, ordered
from tests.scenarios.test_documents import PLAN, priced
from tests.schema.keys import ask_with_key, create_key
from tests.support.house import House
from tests.support.outside import dashboard
from tests.support.written import written_logs

USER = "demo-new"
LINK = """mutation ($i: SubscribeInput!) { createCheckoutLink(input: $i) {
  url expiresAt userErrors { code message field } } }"""
BOUGHT = """{ me { subscription { status isActive quantity: items { quantity } } defaultPaymentMethod { card { last4 } }
  invoices(first: 5) { nodes { status total { formatted } } } payments(first: 5) { nodes { status } } } }"""
VISA, DECLINED, CHALLENGED = "4242 4242 4242 4242", "4000000000000002", "4000 0025 0000 3155"
SANDBOX = (
    "Sandbox: no money moves. Test cards only, such as 4242 4242 4242 4242, or 4000 0025 0000 3155 for a challenge by "
    "the bank."
)
SHOP = {"returnUrl": "https://shop.example/thanks?a=1&b=2", "errorUrl": "https://shop.example/cart"}


async def link(house: House, user: str = USER, **wish: Any) -> str:
    told = (await house.ask(LINK, {"i": {"planCode": "reader-pro", **SHOP, **wish}}, user))["createCheckoutLink"]
    assert told["userErrors"] == []
    return told["url"]


def says(answer: httpx.Response) -> list[str]:
    """Headings, sentences and figures of a page, in their order."""
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    found = re.findall(r"<(?:h1|p|dt|dd|button)\b[^>]*>(.*?)</(?:h1|p|dt|dd|button)>", answer.text, re.DOTALL)
    return [" ".join(unescape(re.sub(r"<[^>]*>", "", each)).split()) for each in found]


def quote_on(answer: httpx.Response) -> str:
    return re.findall(r'name="quote" value="([^"]*)"', answer.text)[0]


async def pay(house: House, url: str, number: str = VISA, expiry: str = "12/34", cvc: str = "123") -> httpx.Response:
    """Look at the page, type a card into its form, and send it."""
    form = {"number": number, "expiry": expiry, "cvc": cvc}
    return await house.http.post(url, data={"quote": quote_on(await house.http.get(url)), **form})


async def at_the_end(house: House, answer: httpx.Response) -> httpx.Response:
    """The page that redirects lead to."""
    for _ in range(5):
        if answer.status_code != 303:
            return answer
        answer = await house.http.get(answer.headers["location"])
    raise AssertionError("redirects without end")


async def bought(house: House, user: str = USER) -> dict[str, Any]:
    await house.deliver()
    return (await house.ask(BOUGHT, user=user))["me"]


PAID_ONCE = {
    "subscription": {"status": "ACTIVE", "isActive": True, "quantity": [{"quantity": 1}]},
    "invoices": {"nodes": [{"status": "PAID", "total": {"formatted": "$7.00"}}]},
    "payments": {"nodes": [{"status": "SUCCEEDED"}]},
}


async def test_a_challenged_card_pays_and_leads_back_to_the_shop(house: House) -> None:
    url = await link(house)
    challenge = await pay(house, url, CHALLENGED)
    assert challenge.status_code == 303
    assert challenge.headers["location"].startswith("http://127.0.0.1:8000/sandbox/stripe/challenge/")
    back = await house.http.post(challenge.headers["location"], data={"outcome": "succeeded"})
    assert back.headers["location"].startswith(f"{url}/return?payment_intent=")
    end = await at_the_end(house, back)
    assert (str(end.url), says(end)) == (f"{url}/done", ["Perennial", "Thank you", "You are subscribed.", "Continue"])
    assert 'content="2; url=https://shop.example/thanks?a=1&amp;b=2"' in end.text
    assert await bought(house) == {**PAID_ONCE, "defaultPaymentMethod": {"card": {"last4": "3155"}}}
    assert await house.audit() == []


async def test_a_link_is_used_once_and_never_charges_twice(house: House) -> None:
    url = await link(house)
    page = await house.http.get(url)
    form = {"quote": quote_on(page), "number": VISA, "expiry": "12/34", "cvc": "123"}
    assert says(await at_the_end(house, await house.http.post(url, data=form)))[1] == "Thank you"
    again = await house.http.get(url)
    assert says(again) == ["Perennial", "Already done", "You are subscribed.", "Continue"]
    assert "refresh" not in again.text
    assert says(await at_the_end(house, await house.http.post(url, data=form)))[1] == "Thank you"
    assert await bought(house) == {**PAID_ONCE, "defaultPaymentMethod": {"card": {"last4": "4242"}}}
    # Not even once the subscription has ended: what this link was for is over.
    end = """mutation($id: ID!) { cancelSubscription(input: {subscriptionId: $id, effectiveAt: NOW}) {
      userErrors { code } } }"""
    mine = (await house.ask("{ mySubscription { id } }", user=USER))["mySubscription"]["id"]
    assert (await house.ask(end, {"id": mine}, USER))["cancelSubscription"] == {"userErrors": []}
    assert (await house.http.get(url)).status_code == 410
    assert says(await at_the_end(house, await house.http.post(url, data=form)))[1] == "This link is used up"
    assert len((await bought(house))["payments"]["nodes"]) == 1


async def test_a_form_that_is_sent_twice_before_any_news_asks_for_no_second_payment(house: House) -> None:
    url = await link(house)
    form = {"quote": quote_on(await house.http.get(url)), "number": VISA, "expiry": "12/34", "cvc": "123"}
    assert (await house.http.post(url, data=form)).status_code == 303
    for answer in (await house.http.get(url), await at_the_end(house, await house.http.post(url, data=form))):
        assert says(answer) == [
            "Perennial",
            "One moment",
            "Your payment is being made. This page looks again by itself.",
        ]
        assert f'content="2; url={url}/return"' in answer.text
    assert says(await at_the_end(house, await house.http.get(f"{url}/return")))[1] == "Thank you"
    assert await bought(house) == {**PAID_ONCE, "defaultPaymentMethod": {"card": {"last4": "4242"}}}
    assert await house.audit() == []


async def test_two_clicks_at_once_end_at_what_was_bought(house: House) -> None:
    url = await link(house)
    form = {"quote": quote_on(await house.http.get(url)), "number": VISA, "expiry": "12/34", "cvc": "123"}
    answers = await asyncio.gather(*(house.http.post(url, data=form) for _ in range(2)))
    ends = [says(await at_the_end(house, answer))[1] for answer in answers]
    assert set(ends) <= {"Thank you", "Already done", "One moment"}
    assert await bought(house) == {**PAID_ONCE, "defaultPaymentMethod": {"card": {"last4": "4242"}}}


async def test_a_card_that_is_saved_twice_before_any_news_is_saved_once(small_house: House) -> None:
    url = await link(small_house, planCode=await priced(small_house, "trial", "USD", "9.00", trialPeriodDays=14))
    form = {"quote": quote_on(await small_house.http.get(url)), "number": VISA, "expiry": "12/34", "cvc": "123"}
    assert (await small_house.http.post(url, data=form)).status_code == 303
    assert says(await small_house.http.get(url))[1:3] == ["Already done", "You are subscribed."]
    assert says(await at_the_end(small_house, await small_house.http.post(url, data=form)))[1] == "Thank you"
    assert (await bought(small_house))["defaultPaymentMethod"] == {"card": {"last4": "4242"}}


async def test_an_order_whose_intent_was_canceled_at_the_dashboard_is_paid_by_another(house: House) -> None:
    url = await link(house)
    assert (await pay(house, url, DECLINED)).status_code == 402
    (intent,) = (await dashboard(house).payment_intents.list_async()).data
    await dashboard(house).payment_intents.cancel_async(intent.id)
    assert says(await house.http.get(url))[1] == "Your order"
    assert says(await at_the_end(house, await pay(house, url)))[1] == "Thank you"
    assert await bought(house) == {**PAID_ONCE, "defaultPaymentMethod": {"card": {"last4": "4242"}}}
    assert await house.audit() == []


async def test_a_declined_card_is_told_and_another_one_pays_the_same_order(house: House) -> None:
    url = await link(house)
    declined = await pay(house, url, DECLINED)
    assert declined.status_code == 402
    assert "Your card was declined. Try again later, or use another card." in says(declined)
    failed = await pay(house, url, CHALLENGED)
    back = await house.http.post(failed.headers["location"], data={"outcome": "failed"})
    assert "That did not work. Try again, or use another card." in says(await at_the_end(house, back))
    assert says(await at_the_end(house, await pay(house, url)))[1] == "Thank you"
    assert await bought(house) == {**PAID_ONCE, "defaultPaymentMethod": {"card": {"last4": "4242"}}}


async def test_the_page_says_what_is_bought_before_anything_is_written(small_house: House) -> None:
    url = await link(small_house, quantity=3)
    page = await small_house.http.get(url)
    assert says(page) == [
        "Perennial",
        "Your order",
        "3 × Reader Pro (2026-01-31 to 2026-02-28)",
        "$21.00",
        "Due now",
        "$21.00",
        "Then $21.00 on February 28, 2026",
        "It renews until you cancel.",
        "Pay $21.00",
        "Cancel and go back",
        SANDBOX,
    ]
    assert '<a href="https://shop.example/cart">' in page.text
    labels, inputs = re.findall(r'<label for="(\w+)"', page.text), re.findall(r'<input id="(\w+)"', page.text)
    assert labels == inputs == ["number", "expiry", "cvc"]
    assert (await small_house.ask("{ me { id } }", user=USER))["me"] is None
    assert page.headers["content-security-policy"] == (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    assert page.headers["cache-control"] == "no-store"
    styles = re.findall(r'rel="stylesheet" href="([^"]*)"', page.text)[0]
    assert (await small_house.http.get(styles)).headers["content-type"] == "text/css; charset=utf-8"


async def test_a_price_that_has_changed_meanwhile_is_shown_again_before_it_is_charged(small_house: House) -> None:
    url = await link(small_house)
    form = {"quote": quote_on(await small_house.http.get(url)), "number": VISA, "expiry": "12/34", "cvc": "123"}
    small_house.pass_time(timedelta(minutes=11))
    stale = await small_house.http.post(url, data=form)
    assert stale.status_code == 409
    assert says(stale)[8].startswith("The price was reckoned anew")
    assert (await bought(small_house))["payments"]["nodes"] == []
    fresh = {**form, "quote": quote_on(stale)}
    assert says(await at_the_end(small_house, await small_house.http.post(url, data=fresh)))[1] == "Thank you"


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"number": "four"}, "Type the card's number and its security code, in digits."),
        ({"cvc": ""}, "Type the card's number and its security code, in digits."),
        ({"expiry": "soon"}, "Type the card's expiry as month and year: 12/34."),
        ({"expiry": "9" * 5_000 + "/34"}, "Type the card's expiry as month and year: 12/34."),
        ({"number": "4242424242424241"}, "Your card number is incorrect. Use another card."),
        ({"expiry": "01/20"}, "Your card's expiration year is invalid. Check the card's details, or use another card."),
    ],
)
async def test_a_mistyped_card_is_told_beside_the_form(small_house: House, form: dict[str, str], told: str) -> None:
    answer = await pay(small_house, url := await link(small_house), **{"number": VISA, **form})
    assert answer.status_code in (402, 409)
    assert told in says(answer)
    assert says(await at_the_end(small_house, await pay(small_house, url)))[1] == "Thank you"


async def test_a_trial_keeps_the_card_and_charges_nothing(house: House) -> None:
    plan = await priced(house, "trial", "USD", "9.00", trialPeriodDays=14)
    url = await link(house, planCode=plan)
    page = says(await house.http.get(url))
    assert page[2:6] == [
        "Due now",
        "$0.00",
        "First $9.00 on February 14, 2026: trial (2026-02-14 to 2026-03-14)",
        "It renews until you cancel.",
    ]
    challenge = await pay(house, url, CHALLENGED)
    back = await house.http.post(challenge.headers["location"], data={"outcome": "succeeded"})
    assert says(await at_the_end(house, back))[1] == "Thank you"
    told = await bought(house)
    assert (told["subscription"]["status"], told["defaultPaymentMethod"]) == ("TRIALING", {"card": {"last4": "3155"}})
    assert told["payments"]["nodes"] == []


async def test_what_is_free_needs_no_card(small_house: House) -> None:
    url = await link(small_house, planCode="free")
    page = await small_house.http.get(url)
    assert 'name="number"' not in page.text
    answer = await small_house.http.post(url, data={"quote": quote_on(page)})
    assert says(await at_the_end(small_house, answer))[1] == "Thank you"
    assert (await bought(small_house))["subscription"]["status"] == "ACTIVE"


async def test_staff_and_back_ends_make_links_for_a_customer_at_prices_of_their_own(small_house: House) -> None:
    customer = await customer_id(small_house, "demo-decline")
    price = {"amount": "5.55", "currencyCode": "USD"}
    wish = {"items": [{"planCode": "reader-pro", "unitAmount": price}], "planCode": None, "customerId": customer}
    url = await link(small_house, ADMIN, **wish)
    assert says(await at_the_end(small_house, await pay(small_house, url)))[1] == "Thank you"
    told = await bought(small_house, "demo-decline")
    assert told["invoices"]["nodes"] == [{"status": "PAID", "total": {"formatted": "$5.55"}}]


async def test_a_link_of_a_key_that_was_revoked_holds_no_longer(small_house: House) -> None:
    key = await create_key(small_house, "act_for_customer")
    wish = {"planCode": "reader-pro", "customerId": await customer_id(small_house, "demo-card")}
    url = (await ask_with_key(small_house, key["secret"], LINK, {"i": wish}))["createCheckoutLink"]["url"]
    assert (await small_house.http.get(url)).status_code == 200
    async with small_house.app.database.write() as session:
        row = await session.get_one(ApiKey, key["apiKey"]["id"])
        row.revoked_at = small_house.machine.now()
    assert (await small_house.http.get(url)).status_code == 404
    assert (await small_house.http.post(url, data={"number": VISA})).status_code == 404


async def test_who_is_subscribed_already_is_told_so(small_house: House) -> None:
    url = await link(small_house, "demo-card", planCode="premium-monthly")
    await ordered(small_house, "demo-card", by="demo-card", planCode="premium-monthly")
    page = await small_house.http.get(url)
    assert says(page)[1] == "Already subscribed"
    assert says(await small_house.http.post(url, data={"number": VISA}))[1] == "Already subscribed"
    refused = (await small_house.ask(LINK, {"i": {"planCode": "premium-monthly"}}, "demo-card"))["createCheckoutLink"]
    assert (refused["url"], [each["code"] for each in refused["userErrors"]]) == (None, ["ALREADY_SUBSCRIBED"])


@pytest.mark.parametrize(
    ("wish", "code", "field"),
    [
        ({"planCode": "none"}, "NOT_FOUND", ["planCode"]),
        ({"paymentMethodId": "pmd_none"}, "INVALID", ["paymentMethodId"]),
        ({"quoteToken": "none"}, "INVALID", ["quoteToken"]),
        ({"metadata": {"a": [f"{n:x}" for n in range(100_000, 102_000)]}}, "INVALID", ["metadata"]),
        ({"customerId": "cst_none"}, "NOT_PERMITTED", ["customerId"]),
    ],
)
async def test_what_cannot_be_linked_is_refused(small_house: House, wish: Any, code: str, field: list[str]) -> None:
    told = (await small_house.ask(LINK, {"i": {"planCode": "reader-pro", **wish}}, USER))["createCheckoutLink"]
    assert (told["url"], told["expiresAt"]) == (None, None)
    assert [(each["code"], each["field"]) for each in told["userErrors"]] == [(code, field)]


@pytest.mark.parametrize("address", ["javascript:alert(1)", "data:text/html,x", "//shop.example", "ftp://shop.example"])
async def test_addresses_that_are_not_the_webs_are_refused(small_house: House, address: str) -> None:
    for name in ("returnUrl", "errorUrl"):
        answer = (await small_house.post(LINK, {"i": {"planCode": "reader-pro", name: address}}, USER)).json()
        assert [each["extensions"]["code"] for each in answer["errors"]] == ["BAD_USER_INPUT"]


async def test_a_link_holds_for_a_day_by_the_machines_clock(small_house: House) -> None:
    url = await link(small_house)
    small_house.machine.advance(timedelta(hours=23, minutes=59, seconds=59))
    assert (await small_house.http.get(url)).status_code == 200
    small_house.machine.advance(timedelta(seconds=1))
    for answer in (await small_house.http.get(url), await small_house.http.post(url, data={"number": VISA})):
        assert (answer.status_code, says(answer)[1]) == (410, "Too late")
    assert (await small_house.ask("{ me { id } }", user=USER))["me"] is None


async def test_a_forged_link_leads_nowhere(small_house: House) -> None:
    url = await link(small_house)
    start, token = url.rsplit("/", 1)
    altered = token[:60] + ("y" if token[60] == "x" else "x") + token[61:]
    for forged in (token[:-6] + "AAAA==", altered, "gAAAAA", "%00", "ä"):
        for path in (forged, f"{forged}/return", f"{forged}/done"):
            answer = await small_house.http.get(f"{start}/{path}")
            assert (answer.status_code, says(answer)[1]) == (404, "Nothing here")


async def test_names_are_text_on_the_page(small_house: House) -> None:
    evil = '"><script>alert(1)</script>'
    plan = {"productCode": "acme-music", "code": "evil", "name": evil, "interval": "MONTH"}
    prices = [{"currencyCode": "USD", "amount": "5.00", "isDefault": True}]
    assert (await small_house.ask(PLAN, {"i": {**plan, "prices": prices}}, ADMIN))["createPlan"] == {"userErrors": []}
    async with small_house.app.database.write() as session:
        row = new_organization(small_house.clock.now())
        row.name = evil
        session.add(row)
    url = await link(
        small_house,
        planCode="evil",
        errorUrl='https://shop.example/"><script>',
        returnUrl="https://shop.example/'<b>日本",
    )
    pages = [await small_house.http.get(url), await at_the_end(small_house, await pay(small_house, url))]
    for page in pages:
        assert "<script" not in page.text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert 'url=https://shop.example/&#39;&lt;b&gt;日本"' in pages[1].text


async def test_neither_token_nor_card_is_logged(small_house: House) -> None:
    with written_logs(level="DEBUG") as written:
        url = await link(small_house)
        await at_the_end(small_house, await pay(small_house, url))
    logged = written.getvalue()
    assert '"path":"/checkout"' in logged
    assert url.rsplit("/", 1)[1][:40] not in logged
    # However it is written; four digits alone stand in many an id.
    assert re.search(r"4242.{0,3}4242", logged) is None


async def test_a_form_of_another_kind_or_size_is_refused(small_house: House) -> None:
    url = await link(small_house)
    assert (await small_house.http.post(url, json={"number": VISA})).status_code == 415
    assert (await small_house.http.post(url, data={"number": "4" * 20_000})).status_code == 413
    assert (await small_house.http.put(url)).status_code == 405
    many = await small_house.http.post(url, data={f"f{n}": "1" for n in range(21)})
    assert (many.status_code, says(many)[1]) == (409, "Your order")


def with_stripe(house: House, key: str) -> httpx.AsyncClient:
    """A browser at the same house's pages as they are where there is no sandbox."""
    address = house.installation.settings.public_address
    pages = CheckoutPages(replace(house.app, browser=None), address, key)
    routes = [
        Route("/checkout/{token}", pages.page, methods=["GET", "POST"]),
        Route("/checkout/{token}/return", pages.returned),
        Route("/checkout/{token}/done", pages.done),
    ]
    installation = house.installation
    app = Guard(
        Starlette(routes=routes),
        settings=installation.settings,
        rates=rates_of(installation),
        clock=house.app.security_clock,
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=address, follow_redirects=True)


async def test_with_stripe_the_card_is_typed_into_its_own_fields(small_house: House) -> None:
    """The sandbox answers in Stripe's place; what the browser is served is what it would be with Stripe."""
    url = await link(small_house)
    async with with_stripe(small_house, "pk_test_0123") as browser:
        first = await browser.get(url)
        assert 'name="number"' not in first.text
        assert "<script" not in first.text
        assert "Continue to payment" in says(first)
        page = await browser.post(url, data={"quote": quote_on(first)})
        assert (page.status_code, str(page.url), page.request.method) == (200, url, "GET")
        assert page.headers["content-security-policy"] == (
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
            "frame-ancestors 'none'; script-src 'self' https://js.stripe.com https://*.js.stripe.com; "
            "frame-src https://js.stripe.com https://*.js.stripe.com https://hooks.stripe.com; "
            "connect-src 'self' https://api.stripe.com"
        )
        assert re.findall(r'<script src="([^"]*)"', page.text) == [
            "https://js.stripe.com/v3/",
            "http://127.0.0.1:8000/checkout/assets/checkout.js",
        ]
        assert "Pay $7.00" in says(page)
        data = dict(re.findall(r'data-([\w-]+)="([^"]*)"', page.text))
        secret = data.pop("client-secret")
        assert data == {"publishable-key": "pk_test_0123", "return-url": f"{url}/return", "act": "pay"}
        card = CardInput(number="4242424242424242")
        assert small_house.app.browser is not None
        await small_house.app.browser.confirm_payment_intent(secret, card, return_url=data["return-url"])
        assert says(await browser.get(data["return-url"]))[1] == "Thank you"
    assert await bought(small_house) == {**PAID_ONCE, "defaultPaymentMethod": {"card": {"last4": "4242"}}}


async def test_the_script_for_stripes_fields_is_served(small_house: House) -> None:
    script = await small_house.http.get("/checkout/assets/checkout.js")
    assert "stripe.confirmPayment" in script.text
    assert script.headers["cache-control"] == "public, max-age=600"
