"""The wire as any client sees it: statuses, headers, error bodies, parameters, paging, expanding."""

import random

import httpx
import pytest
import stripe

from gateways.sandbox.routes import ROUTES
from gateways.sandbox.shapes import API_VERSION
from tests.gateways.sandbox_fixtures import make_client

INTENT = {"amount": "500", "currency": "usd"}


async def answer(quick, method: str, path: str, form=None, key: str = "sk_test_sandbox", **headers) -> httpx.Response:
    async with quick.raw(key) as wire:
        return await wire.request(method, path, data=form, headers=headers)


async def test_every_answer_names_its_request_and_version(quick) -> None:
    first = await answer(quick, "GET", "/v1/customers")
    assert first.headers["request-id"].startswith("req_")
    assert first.headers["stripe-version"] == API_VERSION
    assert first.headers["content-type"] == "application/json"
    refused = await answer(quick, "GET", "/v1/customers/cus_x", **{"Stripe-Version": "2025-09-30.clover"})
    assert (refused.status_code, refused.headers["stripe-version"]) == (404, "2025-09-30.clover")
    assert refused.headers["request-id"] != first.headers["request-id"]
    malformed = await answer(quick, "GET", "/v1/customers", **{"Stripe-Version": "latest"})
    assert (malformed.status_code, malformed.json()["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("authorization", "status", "start"),
    [
        (None, 401, "You did not provide an API key."),
        ("Bearer sk_test_wrong_0123456789", 401, "Invalid API Key provided: sk_test_********6789"),
        ("Bearer sk_live_0123456789abcdef", 401, "This is a sandbox and a live key was sent to it."),
        ("Basic c2tfdGVzdF9zYW5kYm94Og==", 200, None),
        ("Basic not-base64", 401, "You did not provide an API key."),
        ("Bearer pk_test_sandbox", 403, "This API call cannot be made with a publishable API key."),
    ],
)
async def test_keys_are_asked_for(quick, authorization, status, start) -> None:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=quick.sandbox.app), base_url="http://sandbox.test"
    ) as wire:
        got = await wire.get("/v1/customers", headers={"Authorization": authorization} if authorization else {})
    assert got.status_code == status
    if start:
        assert got.json()["error"]["message"].startswith(start)
        assert "sk_live_0123" not in got.text


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/customers/cus_1/nothing", "/nowhere", "/v1"])
async def test_unknown_addresses_are_told_so(quick, path) -> None:
    got = await answer(quick, "GET", path)
    assert (got.status_code, got.json()["error"]["type"]) == (404, "invalid_request_error")
    assert got.json()["error"]["message"] == f"Unrecognized request URL (GET: {path})."


@pytest.mark.parametrize(
    ("path", "form", "code", "param"),
    [
        ("/v1/customers", {"colour": "red"}, "parameter_unknown", "colour"),
        ("/v1/customers", {"address[planet]": "x"}, "parameter_unknown", "address[planet]"),
        (
            "/v1/payment_intents",
            {**INTENT, "payment_method_data[card][pin]": "1", "payment_method_data[type]": "card"},
            "parameter_unknown",
            "payment_method_data[card][pin]",
        ),
        (
            "/v1/payment_intents",
            {**INTENT, "payment_method_types[0]": "card"},
            "parameter_unknown",
            "payment_method_types",
        ),
        ("/v1/setup_intents", {"payment_method_types[]": "card"}, "parameter_unknown", "payment_method_types"),
        ("/v1/payment_intents", {"currency": "usd"}, "parameter_missing", "amount"),
        ("/v1/payment_intents", {"amount": "500"}, "parameter_missing", "currency"),
        ("/v1/customers", {"shipping[name]": "Mei"}, "parameter_missing", "shipping[address]"),
        ("/v1/payment_methods", {"card[token]": "tok_visa"}, "parameter_missing", "type"),
        ("/v1/payment_methods", {"type": "card"}, "parameter_missing", "card"),
        (
            "/v1/payment_methods",
            {"type": "card", "card[number]": "4242424242424242"},
            "parameter_missing",
            "card[exp_month]",
        ),
        ("/v1/payment_methods/pm_card_visa/attach", {}, "parameter_missing", "customer"),
        ("/v1/payment_intents", {"amount": "5.00", "currency": "usd"}, "parameter_invalid_integer", "amount"),
        ("/v1/payment_intents", {"amount": "-5", "currency": "usd"}, "parameter_invalid_integer", "amount"),
        ("/v1/payment_intents", {**INTENT, "confirm": "yes"}, None, "confirm"),
        ("/v1/payment_intents", {**INTENT, "capture_method": "later"}, None, "capture_method"),
        ("/v1/payment_intents", {**INTENT, "confirm": "true", "off_session": "often"}, None, "off_session"),
        ("/v1/payment_intents", {**INTENT, "metadata": "x"}, None, "metadata"),
        ("/v1/payment_intents", {**INTENT, "metadata[a][b]": "x"}, None, "metadata[a]"),
        ("/v1/payment_intents", {**INTENT, "customer": ""}, "parameter_invalid_empty", "customer"),
        ("/v1/payment_intents", {**INTENT, "customer[a]": "x"}, None, "customer"),
        (
            "/v1/payment_intents",
            {**INTENT, "allowed_payment_method_types": "card"},
            None,
            "allowed_payment_method_types",
        ),
        ("/v1/payment_intents", {**INTENT, "expand": "customer"}, None, "expand"),
        ("/v1/payment_intents", {**INTENT, "expand[²]": "customer"}, None, "expand"),
        ("/v1/payment_intents", {**INTENT, f"expand[{'9' * 5_000}]": "customer"}, None, "expand"),
        ("/v1/payment_intents", {**INTENT, "customer": "cus_no"}, "resource_missing", "customer"),
        ("/v1/payment_intents", {**INTENT, "payment_method": "pm_no"}, "resource_missing", "payment_method"),
        (
            "/v1/customers",
            {"invoice_settings[default_payment_method]": "pm_no"},
            "resource_missing",
            "invoice_settings[default_payment_method]",
        ),
        ("/v1/customers", {"description[": "x"}, None, "description["),
        ("/v1/customers", {"source": "tok_visa"}, "parameter_unknown", "source"),
        ("/v1/customers", {"email": "a\0b"}, None, "email"),
        ("/v1/customers", {"metadata[a]": "\0"}, None, "metadata[a]"),
        ("/v1/customers", {"balance": "9" * 19}, "parameter_invalid_integer", "balance"),
        ("/v1/customers", {"balance": "\u0664"}, "parameter_invalid_integer", "balance"),
        (
            "/v1/payment_intents",
            {**INTENT, "confirm": "true", "return_url": "javascript://%0aalert(1)"},
            "url_invalid",
            "return_url",
        ),
        ("/v1/payment_intents", {**INTENT, "confirm": "true", "return_url": "shop.test"}, "url_invalid", "return_url"),
        ("/v1/webhook_endpoints", {"enabled_events[]": "*", "url": "ftp://shop.test"}, "url_invalid", "url"),
    ],
)
async def test_parameters_that_do_not_fit_are_named(quick, path, form, code, param) -> None:
    got = await answer(quick, "POST", path, form)
    error = got.json()["error"]
    assert (got.status_code, error["type"]) == (400, "invalid_request_error")
    assert (error.get("code"), error["param"]) == (code, param)
    assert ("doc_url" in error) == (code is not None)


async def test_wordings_of_parameter_errors(quick) -> None:
    async def message(form) -> str:
        return (await answer(quick, "POST", "/v1/payment_intents", form)).json()["error"]["message"]

    assert await message({**INTENT, "a": "1", "b[c]": "2"}) == "Received unknown parameters: a, b"
    assert await message({"currency": "usd"}) == "Missing required param: amount."
    assert await message({"amount": "x", "currency": "usd"}) == "Invalid integer: x"
    assert await message({**INTENT, "confirm": "x"}) == "Invalid boolean: x"
    assert await message({**INTENT, "capture_method": "x"}) == (
        "Invalid capture_method: must be one of automatic, automatic_async, or manual"
    )
    assert await message({"amount": "49", "currency": "usd"}) == "Amount must be at least 0.50 usd"


@pytest.mark.parametrize(
    ("path", "message", "param"),
    [
        ("customers/cus_no", "No such customer: 'cus_no'", "id"),
        ("payment_intents/pi_no", "No such payment_intent: 'pi_no'", "intent"),
        ("setup_intents/seti_no", "No such setupintent: 'seti_no'", "intent"),
        ("payment_methods/pm_no", "No such PaymentMethod: 'pm_no'", "payment_method"),
        ("charges/ch_no", "No such charge: 'ch_no'", "id"),
        ("events/evt_no", "No such event: 'evt_no'", "id"),
        ("customers/cus_no/payment_methods", "No such customer: 'cus_no'", "customer"),
    ],
)
async def test_a_missing_object_is_404(quick, path, message, param) -> None:
    got = await answer(quick, "GET", f"/v1/{path}")
    error = got.json()["error"]
    assert (got.status_code, error["code"], error["message"], error["param"]) == (
        404,
        "resource_missing",
        message,
        param,
    )


async def test_an_object_of_another_kind_is_not_found(quick) -> None:
    customer = await quick.v1.customers.create_async({})
    assert (await answer(quick, "GET", f"/v1/charges/{customer.id}")).status_code == 404


async def test_only_forms_are_read(quick) -> None:
    async with quick.raw() as wire:
        got = await wire.post("/v1/customers", json={"name": "Mei"})
        assert (got.status_code, got.json()["error"]["type"]) == (400, "invalid_request_error")
        got = await wire.post(
            "/v1/customers", content=b"name=\xff", headers={"Content-Type": "application/x-www-form-urlencoded"}
        )
        assert got.status_code == 400
        got = await wire.post(
            "/v1/customers",
            content=b"name=" + b"x" * 1_000_000,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert got.status_code == 400
    assert (await quick.v1.customers.list_async()).data == []


async def test_list_members_may_be_written_with_empty_brackets(quick) -> None:
    customer = await quick.v1.customers.create_async({})
    form = {**INTENT, "customer": customer.id, "expand[]": ["customer"]}
    got = await answer(quick, "POST", "/v1/payment_intents", form)
    assert got.json()["customer"]["id"] == customer.id


async def test_clearing_a_value_with_an_empty_string(quick) -> None:
    customer = await quick.v1.customers.create_async({"name": "Mei", "address": {"line1": "x"}})
    cleared = await quick.v1.customers.update_async(customer.id, {"name": "", "address": ""})
    assert (cleared.name, cleared.address) == (None, None)


async def test_lists_are_paged_newest_first_by_exclusive_cursors(bench) -> None:
    made = [(await bench.v1.customers.create_async({})).id for _ in range(12)][::-1]
    listed = bench.v1.customers.list_async

    async def page(params) -> tuple[list[str], bool]:
        answered = await listed(params)
        assert (answered.object, answered.url) == ("list", "/v1/customers")
        return [each.id for each in answered.data], answered.has_more

    assert await page({}) == (made[:10], True)
    assert await page({"limit": 12}) == (made, False)
    assert await page({"limit": 3, "starting_after": made[3]}) == (made[4:7], True)
    assert await page({"limit": 3, "starting_after": made[8]}) == (made[9:], False)
    assert await page({"limit": 3, "ending_before": made[4]}) == (made[1:4], True)
    assert await page({"limit": 3, "ending_before": made[2]}) == (made[:2], False)
    walked = [each.id async for each in (await listed({"limit": 5})).auto_paging_iter()]
    assert walked == made


@pytest.mark.parametrize(
    ("query", "code", "param"),
    [
        ("limit=0", "parameter_invalid_integer", "limit"),
        ("limit=101", "parameter_invalid_integer", "limit"),
        ("limit=ten", "parameter_invalid_integer", "limit"),
        ("starting_after=cus_no", "resource_missing", "starting_after"),
        ("ending_before=cus_no", "resource_missing", "ending_before"),
        ("starting_after=a&ending_before=b", "parameters_exclusive", "starting_after"),
        ("created[after]=1", "parameter_unknown", "created[after]"),
        ("colour=red", "parameter_unknown", "colour"),
    ],
)
async def test_a_page_that_cannot_be_is_refused(quick, query, code, param) -> None:
    got = await answer(quick, "GET", f"/v1/customers?{query}")
    error = got.json()["error"]
    assert (got.status_code, error["code"], error["param"]) == (400, code, param)


async def test_customers_are_found_by_email(bench) -> None:
    mine = await bench.v1.customers.create_async({"email": "mei@example.com"})
    await bench.v1.customers.create_async({"email": "li@example.com"})
    found = await bench.v1.customers.list_async({"email": "mei@example.com"})
    assert [each.id for each in found.data] == [mine.id]


async def test_ids_are_expanded_as_deep_as_four(bench) -> None:
    customer, method = await bench.saved_card()
    await bench.v1.customers.update_async(customer, {"invoice_settings": {"default_payment_method": method}})
    intent = await bench.v1.payment_intents.create_async(
        {"amount": 500, "currency": "usd", "customer": customer, "payment_method": method, "confirm": True}
    )
    deep = await bench.v1.payment_intents.retrieve_async(
        intent.id, {"expand": ["latest_charge.customer", "customer.invoice_settings.default_payment_method", "review"]}
    )
    assert deep.latest_charge.customer.id == customer
    assert deep.customer.invoice_settings.default_payment_method.id == method
    assert deep.payment_method == method
    charges = await bench.v1.charges.list_async({"expand": ["data.payment_intent.payment_method.customer"]})
    assert charges.data[0].payment_intent.payment_method.customer.id == customer
    assert (await bench.v1.payment_intents.retrieve_async(intent.id)).latest_charge == intent.latest_charge


@pytest.mark.parametrize(
    ("path", "expand"),
    [
        ("payment_intents", "data.status"),
        ("payment_intents", "customer"),
        ("payment_intents", "data"),
        ("payment_intents", "data.customer.name"),
        ("payment_intents", "data.customer.invoice_settings"),
        ("payment_intents", "data.latest_charge.payment_intent.customer.name"),
        ("customers", "data.invoice_settings.footer"),
    ],
)
async def test_what_cannot_be_expanded_is_refused(quick, path, expand) -> None:
    customer, method = await quick.saved_card()
    await quick.v1.payment_intents.create_async(
        {"amount": 500, "currency": "usd", "customer": customer, "payment_method": method}
    )
    got = await answer(quick, "GET", f"/v1/{path}?expand[]={expand}")
    assert (got.status_code, got.json()["error"]["type"]) == (400, "invalid_request_error")


async def test_a_write_whose_expansion_is_refused_leaves_nothing(quick) -> None:
    got = await answer(quick, "POST", "/v1/payment_intents", {**INTENT, "expand[]": "status"})
    assert got.status_code == 400
    assert (await quick.v1.payment_intents.list_async()).data == []
    assert await quick.event_types() == []


async def test_the_sdks_exceptions_follow_the_status(quick) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        await quick.v1.customers.retrieve_async("cus_no")
    with pytest.raises(stripe.AuthenticationError):
        await make_client(quick.sandbox, "sk_test_wrong").v1.customers.list_async()
    with pytest.raises(stripe.PermissionError):
        await make_client(quick.sandbox, "pk_test_sandbox").v1.customers.list_async()


async def test_a_seed_makes_ids_repeatable_and_continues_on_the_same_database(tmp_path) -> None:
    from tests.gateways.sandbox_fixtures import open_bench

    async def ids(name: str, count: int) -> list[str]:
        made = await open_bench(f"sqlite:///{tmp_path}/{name}.db", id_seed=7)
        found = [(await made.v1.customers.create_async({})).id for _ in range(count)]
        await made.sandbox.close()
        return found

    first = await ids("a", 2)
    assert first == await ids("b", 2)
    assert not set(first) & set(await ids("a", 2))


def test_a_live_key_cannot_be_given_to_a_sandbox(tmp_path) -> None:
    from gateways.sandbox import Sandbox
    from tests.gateways.sandbox_fixtures import BILLING_START

    with pytest.raises(ValueError, match="a sandbox takes no live key"):
        Sandbox(
            database_url=f"sqlite:///{tmp_path}/x.db",
            clock=lambda: BILLING_START,
            system_clock=lambda: BILLING_START,
            public_url="http://x",
            secret_key="sk_live_x",
        )


SCRAPS = (
    "",
    "0",
    "-1",
    "true",
    "usd",
    "card",
    "a\0b",
    "9" * 30,
    "\u00e9",
    "pm_card_visa",
    "cus_1",
    "x" * 6000,
    "http://x.test",
)


def garbled(dice: random.Random, kind: object, name: str) -> dict[str, str]:
    """Values for one parameter that know its shape and little else."""
    members = getattr(kind, "members", None)
    if members and dice.random() < 0.9:
        chosen = dice.sample(sorted(members), min(len(members), dice.randint(1, 3)))
        return {
            key: value
            for member in chosen
            for key, value in garbled(dice, members[member], f"{name}[{member}]" if name else member).items()
        }
    choices = getattr(kind, "choices", SCRAPS)
    suffix = dice.choice(("", "", "", "[0]", "[]", "[a]"))
    return {name + suffix: dice.choice((*choices, *SCRAPS)[:40])}


async def test_no_request_however_garbled_makes_the_sandbox_fail(bench) -> None:
    dice = random.Random(20261121)
    customer, method = await bench.saved_card()
    intent = await bench.v1.payment_intents.create_async({"amount": 900, "currency": "usd"})
    identities = (customer, method, intent.id, "pm_card_visa", "\u00e9", "%00", "x" * 300)
    seen: set[int] = set()
    async with bench.raw() as wire:
        for _ in range(300):
            (verb, pattern), operation = dice.choice(sorted(ROUTES.items(), key=lambda item: item[0]))
            path = "/v1/" + "/".join(dice.choice(identities) if step == "*" else step for step in pattern.split("/"))
            form = garbled(dice, operation.params, "") if operation.params.members else {}
            told = {"params": form} if verb == "GET" else {"data": form} if verb == "POST" else {}
            answered = await wire.request(verb, path, **told)
            assert answered.status_code < 500, (verb, path, form)
            seen.add(answered.status_code)
    assert {200, 400, 404} <= seen


@pytest.mark.parametrize(("name", "longest"), [("name", 256), ("phone", 20), ("business_name", 150)])
async def test_what_is_told_of_a_customer_has_its_own_bounds(quick, name, longest) -> None:
    create = quick.v1.customers.create_async
    assert getattr(await create({name: "1" * longest}), name) == "1" * longest
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await create({name: "1" * (longest + 1)})
    assert (refused.value.http_status, refused.value.param) == (400, name)


async def test_an_email_address_has_to_be_one(quick) -> None:
    create = quick.v1.customers.create_async
    for address in ("nobody", "@", "a b@c.test", "a" * 512 + "@c.test"):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await create({"email": address})
        assert (refused.value.http_status, refused.value.param) == (400, "email")
    customer = await create({"email": "a@c.test"})
    assert (await quick.v1.customers.update_async(customer.id, {"email": ""})).email is None
