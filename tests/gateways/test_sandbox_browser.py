"""The browser's half: publishable key and client secret, CORS, and the challenge page for a person."""

import httpx
import pytest

from tests.gateways.sandbox_fixtures import Bench

PUBLISHABLE = "pk_test_sandbox"
SEEN_ON_PAYMENT = {
    "id", "object", "amount", "amount_details", "automatic_payment_methods", "canceled_at", "cancellation_reason",
    "capture_method", "client_secret", "confirmation_method", "created", "currency", "description",
    "last_payment_error", "livemode", "next_action", "payment_method", "payment_method_configuration_details",
    "payment_method_types", "processing", "receipt_email", "setup_future_usage", "shipping", "source", "status",
}  # fmt: skip
SEEN_ON_SETUP = {
    "id", "object", "automatic_payment_methods", "cancellation_reason", "client_secret", "created", "description",
    "last_setup_error", "livemode", "next_action", "payment_method", "payment_method_configuration_details",
    "payment_method_types", "status", "usage",
}  # fmt: skip


async def browse(bench: Bench, method: str, path: str, form: dict[str, str]) -> httpx.Response:
    async with bench.raw(PUBLISHABLE) as wire:
        if method == "GET":
            return await wire.get(path, params=form)
        return await wire.post(path, data=form)


async def test_a_browser_reads_and_confirms_the_one_intent_whose_secret_it_has(bench) -> None:
    customer = await bench.v1.customers.create_async({})
    intent = await bench.v1.payment_intents.create_async(
        {"amount": 700, "currency": "usd", "customer": customer.id, "metadata": {"internal": "x"}}
    )
    secret = {"client_secret": intent.client_secret}
    read = await browse(bench, "GET", f"/v1/payment_intents/{intent.id}", secret)
    assert (read.status_code, set(read.json())) == (200, SEEN_ON_PAYMENT)
    made = await browse(bench, "POST", "/v1/payment_methods", {"type": "card", "card[token]": "tok_visa"})
    updated = await browse(
        bench, "POST", f"/v1/payment_intents/{intent.id}", {**secret, "payment_method": made.json()["id"]}
    )
    assert (updated.json()["status"], set(updated.json())) == ("requires_confirmation", SEEN_ON_PAYMENT)
    paid = await browse(bench, "POST", f"/v1/payment_intents/{intent.id}/confirm", secret)
    assert (paid.status_code, paid.json()["status"], set(paid.json())) == (200, "succeeded", SEEN_ON_PAYMENT)
    assert (await bench.v1.payment_intents.retrieve_async(intent.id)).status == "succeeded"


async def test_stripe_js_sends_key_and_card_in_the_body(quick) -> None:
    intent = await quick.v1.payment_intents.create_async({"amount": 700, "currency": "usd"})
    form = {
        "key": PUBLISHABLE,
        "client_secret": intent.client_secret,
        "payment_method_data[type]": "card",
        "payment_method_data[card][number]": "4000000000003220",
        "payment_method_data[card][exp_month]": "12",
        "payment_method_data[card][exp_year]": "34",
        "payment_method_data[card][cvc]": "123",
        "use_stripe_sdk": "true",
        "return_url": "https://shop.test/back",
    }
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=quick.sandbox.app), base_url="http://sandbox.test"
    ) as wire:
        asked = (await wire.post(f"/v1/payment_intents/{intent.id}/confirm", data=form)).json()
    assert (asked["status"], asked["next_action"]["type"]) == ("requires_action", "use_stripe_sdk")
    assert asked["next_action"]["use_stripe_sdk"]["stripe_js"].startswith(f"http://sandbox.test/challenge/{intent.id}/")


async def test_a_decline_shows_the_browser_the_subset_too(quick) -> None:
    intent = await quick.v1.payment_intents.create_async(
        {"amount": 700, "currency": "usd", "metadata": {"internal": "x"}}
    )
    form = {"client_secret": intent.client_secret, "payment_method": "pm_card_visa_chargeDeclined"}
    declined = await browse(quick, "POST", f"/v1/payment_intents/{intent.id}/confirm", form)
    error = declined.json()["error"]
    assert (declined.status_code, error["code"]) == (402, "card_declined")
    assert set(error["payment_intent"]) == SEEN_ON_PAYMENT
    again = await browse(
        quick, "POST", f"/v1/payment_intents/{intent.id}/confirm", {**form, "payment_method": "pm_card_visa"}
    )
    refused = await browse(quick, "POST", f"/v1/payment_intents/{intent.id}/confirm", form)
    assert (again.status_code, refused.status_code) == (200, 400)
    assert set(refused.json()["error"]["payment_intent"]) == SEEN_ON_PAYMENT


async def test_a_setup_intent_is_confirmed_by_a_browser(quick) -> None:
    customer = await quick.v1.customers.create_async({})
    intent = await quick.v1.setup_intents.create_async({"customer": customer.id})
    form = {"client_secret": intent.client_secret, "payment_method": "pm_card_visa"}
    saved = await browse(quick, "POST", f"/v1/setup_intents/{intent.id}/confirm", form)
    assert (saved.json()["status"], set(saved.json())) == ("succeeded", SEEN_ON_SETUP)
    cards = await quick.v1.customers.payment_methods.list_async(customer.id)
    assert [card.id for card in cards.data] == [saved.json()["payment_method"]]


async def test_without_its_secret_an_intent_is_closed_to_a_browser(quick) -> None:
    intent = await quick.v1.payment_intents.create_async({"amount": 700, "currency": "usd"})
    other = await quick.v1.payment_intents.create_async({"amount": 700, "currency": "usd"})
    path = f"/v1/payment_intents/{intent.id}"
    for method, address in (("GET", path), ("POST", path), ("POST", f"{path}/confirm")):
        missing = await browse(quick, method, address, {})
        assert (missing.status_code, missing.json()["error"]["param"]) == (400, "client_secret")
        wrong = await browse(quick, method, address, {"client_secret": other.client_secret})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "payment_intent_invalid_parameter")
    assert (await quick.v1.payment_intents.retrieve_async(intent.id)).status == "requires_payment_method"


@pytest.mark.parametrize("name", ["amount", "currency", "customer", "metadata[a]", "off_session", "capture_method"])
async def test_a_browser_cannot_change_what_is_paid_or_by_whom(quick, name) -> None:
    intent = await quick.v1.payment_intents.create_async({"amount": 700, "currency": "usd"})
    form = {"client_secret": intent.client_secret, name: "1"}
    for address in (f"/v1/payment_intents/{intent.id}", f"/v1/payment_intents/{intent.id}/confirm"):
        refused = await browse(quick, "POST", address, form)
        error = refused.json()["error"]
        assert (refused.status_code, error["code"], error["param"]) == (400, "parameter_unknown", name.split("[")[0])
    kept = await quick.v1.payment_intents.retrieve_async(intent.id)
    assert (kept.amount, kept.currency, kept.customer) == (700, "usd", None)


async def test_a_browser_may_have_a_card_kept_for_more_and_never_for_less(quick) -> None:
    create = quick.v1.payment_intents.create_async
    intent = await create({"amount": 700, "currency": "usd", "setup_future_usage": "on_session"})
    path = f"/v1/payment_intents/{intent.id}"
    wider = await browse(
        quick, "POST", path, {"client_secret": intent.client_secret, "setup_future_usage": "off_session"}
    )
    assert (wider.status_code, wider.json()["setup_future_usage"]) == (200, "off_session")
    for usage in ("on_session", ""):
        for address in (path, f"{path}/confirm"):
            form = {"client_secret": intent.client_secret, "setup_future_usage": usage}
            refused = await browse(quick, "POST", address, {**form, "payment_method": "pm_card_visa"})
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, "setup_future_usage")
    kept = await quick.v1.payment_intents.retrieve_async(intent.id)
    assert (kept.status, kept.setup_future_usage) == ("requires_payment_method", "off_session")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/payment_intents"),
        ("POST", "/v1/payment_intents"),
        ("POST", "/v1/payment_intents/pi_1/cancel"),
        ("POST", "/v1/payment_intents/pi_1/capture"),
        ("GET", "/v1/customers"),
        ("POST", "/v1/customers"),
        ("GET", "/v1/payment_methods/pm_1"),
        ("POST", "/v1/payment_methods/pm_1/attach"),
        ("GET", "/v1/charges"),
        ("GET", "/v1/events"),
        ("POST", "/v1/webhook_endpoints"),
        ("POST", "/sandbox/faults"),
    ],
)
async def test_everything_else_needs_the_secret_key(quick, method, path) -> None:
    refused = await browse(quick, method, path, {})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "secret_key_required")


async def test_any_origin_may_call(quick) -> None:
    async with quick.raw(PUBLISHABLE) as wire:
        asked = await wire.options(
            "/v1/payment_intents/pi_1/confirm",
            headers={"Origin": "http://localhost:5173", "Access-Control-Request-Method": "POST"},
        )
        refused = await wire.get("/v1/payment_intents/pi_1", headers={"Origin": "http://localhost:5173"})
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (204, "*")
    assert "POST" in asked.headers["access-control-allow-methods"]
    assert "Authorization" in asked.headers["access-control-allow-headers"]
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (400, "*")


async def challenged(quick) -> str:
    intent = await quick.v1.payment_intents.create_async(
        {"amount": 123456, "currency": "usd", "payment_method": "pm_card_threeDSecure2Required", "confirm": True}
    )
    return intent.next_action.use_stripe_sdk["stripe_js"]


async def test_a_person_sees_the_amount_and_two_buttons_without_scripts(quick) -> None:
    url = await challenged(quick)
    async with quick.raw() as wire:
        page = await wire.get(url)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "SANDBOX" in page.text
        assert "1,234.56 USD" in page.text
        assert '<button name="outcome" value="succeeded"' in page.text
        assert '<button name="outcome" value="failed"' in page.text
        assert "<script" not in page.text
        assert "script-src" not in page.headers["content-security-policy"]
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        answered = await wire.post(url, data={"outcome": "succeeded"}, headers={"Accept": "text/html"})
        assert (answered.status_code, answered.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "answered before" in (await wire.get(url)).text


@pytest.mark.parametrize("outcome", [None, "maybe"])
async def test_an_answer_that_is_none_changes_nothing(quick, outcome) -> None:
    url = await challenged(quick)
    async with quick.raw() as wire:
        refused = await wire.post(url, data={"outcome": outcome} if outcome else {})
        assert refused.status_code == 400
        assert "answered before" not in (await wire.get(url)).text


async def test_a_guessed_challenge_is_not_found(quick) -> None:
    url = await challenged(quick)
    guessed = f"{url.rpartition('/')[0]}/{'0' * 32}"
    async with quick.raw() as wire:
        assert (await wire.get(guessed)).status_code == 404
        assert (await wire.post(guessed, data={"outcome": "succeeded"})).status_code == 404
        assert (await wire.get("http://sandbox.test/challenge/pi_none/x")).status_code == 404
    assert (await quick.v1.charges.list_async()).data == []


async def test_the_sandbox_works_mounted_below_another_path(quick) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    app = Starlette(routes=[Mount("/sandbox/stripe", app=quick.sandbox.app)])
    headers = {"Authorization": "Bearer sk_test_sandbox"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://shop.test/sandbox/stripe", headers=headers
    ) as wire:
        made = await wire.post("/v1/customers", data={"name": "Mei"})
        listed = await wire.get("/v1/customers")
        missing = await wire.get("/v1/nothing")
        challenge_path = (await challenged(quick)).removeprefix("http://sandbox.test")
        page = await wire.get(challenge_path)
    assert [each["id"] for each in listed.json()["data"]] == [made.json()["id"]]
    assert (missing.status_code, page.status_code) == (404, 200)


@pytest.mark.parametrize("path", ["customer", "payment_method.customer", "latest_charge"])
async def test_a_browser_sees_no_customer_by_expanding(quick, path) -> None:
    customer, method = await quick.saved_card()
    intent = await quick.v1.payment_intents.create_async(
        {"amount": 700, "currency": "usd", "customer": customer, "payment_method": method}
    )
    address, secret = f"/v1/payment_intents/{intent.id}", {"client_secret": intent.client_secret}
    refused = await browse(quick, "GET", address, {**secret, "expand[]": path})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "expand[0]")
    seen = await browse(quick, "GET", address, {**secret, "expand[]": "payment_method"})
    assert seen.json()["payment_method"]["card"]["last4"] == "4242"
