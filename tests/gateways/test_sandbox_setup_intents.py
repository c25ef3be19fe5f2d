"""Setup intents, and cards on their customers, on either database."""

import pytest
import stripe


async def refused(call, code: str | None, param: str | None = None, status: int = 400) -> stripe.InvalidRequestError:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await call
    assert (refusal.value.http_status, refusal.value.code, refusal.value.param) == (status, code, param)
    return refusal.value


async def test_confirming_attaches_the_card_to_the_customer(bench) -> None:
    customer = await bench.v1.customers.create_async({})
    intent = await bench.v1.setup_intents.create_async({"customer": customer.id})
    assert (intent.status, intent.usage) == ("requires_payment_method", "off_session")
    saved = await bench.v1.setup_intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"})
    method = await bench.v1.payment_methods.retrieve_async(saved.payment_method)
    assert (saved.status, method.customer, method.card.checks.cvc_check) == ("succeeded", customer.id, "pass")
    assert await bench.event_types() == [
        "customer.created",
        "setup_intent.created",
        "payment_method.attached",
        "setup_intent.succeeded",
    ]


async def test_a_decline_carries_intent_and_card_and_leaves_it_open(bench) -> None:
    customer = await bench.v1.customers.create_async({})
    intent = await bench.v1.setup_intents.create_async({"customer": customer.id})
    with pytest.raises(stripe.CardError) as declined:
        await bench.v1.setup_intents.confirm_async(intent.id, {"payment_method": "pm_card_chargeDeclinedExpiredCard"})
    error = declined.value.error
    assert (declined.value.http_status, error.code, error.decline_code) == (402, "expired_card", "expired_card")
    failed = error.setup_intent
    assert (failed.id, failed.status, failed.payment_method) == (intent.id, "requires_payment_method", None)
    assert failed.last_setup_error.payment_method.id == error.payment_method.id
    assert (await bench.v1.setup_intents.retrieve_async(intent.id)).to_dict() == failed.to_dict()
    assert (await bench.event_types())[-1] == "setup_intent.setup_failed"
    saved = await bench.v1.setup_intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"})
    assert (saved.status, saved.last_setup_error) == ("succeeded", None)


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
async def test_a_challenge_passed_or_failed(bench, outcome) -> None:
    customer = await bench.v1.customers.create_async({})
    intent = await bench.v1.setup_intents.create_async(
        {
            "customer": customer.id,
            "payment_method": "pm_card_authenticationRequired",
            "confirm": True,
            "return_url": "https://shop.test/saved",
        }
    )
    assert (intent.status, intent.next_action.type) == ("requires_action", "redirect_to_url")
    answer = await bench.challenge(intent.next_action.redirect_to_url.url, outcome)
    back = f"https://shop.test/saved?setup_intent={intent.id}"
    back += f"&setup_intent_client_secret={intent.client_secret}&redirect_status={outcome}"
    assert (answer.status_code, answer.headers["location"]) == (303, back)
    ended = await bench.v1.setup_intents.retrieve_async(intent.id, {"expand": ["latest_attempt"]})
    cards = await bench.v1.customers.payment_methods.list_async(customer.id)
    assert ended.latest_attempt.status == outcome
    if outcome == "succeeded":
        assert (ended.status, [card.id for card in cards.data]) == ("succeeded", [ended.payment_method])
        assert ended.latest_attempt.payment_method_details.card.three_d_secure.result == "authenticated"
    else:
        assert (ended.status, ended.payment_method, cards.data) == ("requires_payment_method", None, [])
        assert ended.last_setup_error.code == "setup_intent_authentication_failure"
        assert (await bench.event_types())[-1] == "setup_intent.setup_failed"


async def test_wrong_states_are_refused_with_the_intent_inside_and_notes_stay_possible(bench) -> None:
    intents = bench.v1.setup_intents
    intent = await intents.create_async({})
    error = await refused(intents.confirm_async(intent.id), "setup_intent_unexpected_state")
    assert error.error.setup_intent.id == intent.id
    await intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"})
    for step in (
        intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"}),
        intents.cancel_async(intent.id),
        intents.update_async(intent.id, {"payment_method": "pm_card_visa"}),
    ):
        error = await refused(step, "setup_intent_unexpected_state")
        assert error.error.setup_intent.status == "succeeded"
    noted = await intents.update_async(intent.id, {"metadata": {"a": "1"}, "description": "later"})
    assert (noted.metadata.to_dict(), noted.description) == ({"a": "1"}, "later")


async def test_a_setup_intent_can_be_canceled_before_it_ends(quick) -> None:
    intent = await quick.v1.setup_intents.create_async({"payment_method": "pm_card_visa"})
    assert intent.status == "requires_confirmation"
    canceled = await quick.v1.setup_intents.cancel_async(intent.id, {"cancellation_reason": "duplicate"})
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "duplicate")
    assert (await quick.event_types())[-1] == "setup_intent.canceled"


async def test_a_card_of_another_customer_is_refused(bench) -> None:
    _, foreign = await bench.saved_card()
    customer = await bench.v1.customers.create_async({})
    intent = await bench.v1.setup_intents.create_async({"customer": customer.id})
    await refused(bench.v1.setup_intents.confirm_async(intent.id, {"payment_method": foreign}), None, "payment_method")
    assert (await bench.v1.setup_intents.retrieve_async(intent.id)).status == "requires_payment_method"


async def test_setup_intents_are_listed_by_customer_and_card(quick) -> None:
    customer, method = await quick.saved_card()
    intents = quick.v1.setup_intents
    mine = await intents.create_async({"customer": customer, "payment_method": method})
    other = await intents.create_async({})
    assert [each.id for each in (await intents.list_async()).data] == [other.id, mine.id]
    assert [each.id for each in (await intents.list_async({"customer": customer})).data] == [mine.id]
    assert [each.id for each in (await intents.list_async({"payment_method": method})).data] == [mine.id]


async def test_a_detached_card_is_gone_from_its_customer_for_good(bench) -> None:
    customer, method = await bench.saved_card()
    await bench.v1.customers.update_async(customer, {"invoice_settings": {"default_payment_method": method}})
    detached = await bench.v1.payment_methods.detach_async(method)
    assert detached.customer is None
    read = await bench.v1.customers.retrieve_async(customer)
    assert read.invoice_settings.default_payment_method is None
    await refused(bench.v1.payment_methods.detach_async(method), None)
    await refused(bench.v1.payment_methods.attach_async(method, {"customer": customer}), None, "payment_method")
    await refused(
        bench.v1.customers.payment_methods.retrieve_async(customer, method), "resource_missing", "payment_method", 404
    )
    assert (await bench.event_types())[-2:] == ["payment_method.detached", "customer.updated"]


async def test_a_card_belongs_to_one_customer(bench) -> None:
    customer, method = await bench.saved_card()
    other = await bench.v1.customers.create_async({})
    again = await bench.v1.payment_methods.attach_async(method, {"customer": customer})
    assert again.customer == customer
    await refused(bench.v1.payment_methods.attach_async(method, {"customer": other.id}), None)
    await refused(
        bench.v1.payment_methods.attach_async("pm_card_visa", {"customer": "cus_nobody"}),
        "resource_missing",
        "customer",
    )
    await refused(
        bench.v1.customers.update_async(other.id, {"invoice_settings": {"default_payment_method": method}}),
        "resource_missing",
        "invoice_settings[default_payment_method]",
    )


async def test_updating_a_card_tells_what_it_was(quick) -> None:
    _, method = await quick.saved_card()
    updated = await quick.v1.payment_methods.update_async(
        method, {"card": {"exp_year": 2035}, "billing_details": {"email": "mei@example.com"}, "metadata": {"a": "1"}}
    )
    assert (updated.card.exp_year, updated.billing_details.email) == (2035, "mei@example.com")
    event = (await quick.v1.events.list_async({"type": "payment_method.updated"})).data[0]
    assert event.data.to_dict(recursive=True)["previous_attributes"] == {
        "billing_details": {"email": None},
        "card": {"exp_year": 2028},
        "metadata": {"a": None},
    }


async def test_a_deleted_customer_answers_deleted_and_its_event_carries_it_whole(bench) -> None:
    customer, method = await bench.saved_card()
    gone = await bench.v1.customers.delete_async(customer)
    assert gone.to_dict() == {"id": customer, "object": "customer", "deleted": True}
    assert (await bench.v1.customers.retrieve_async(customer)).to_dict() == gone.to_dict()
    assert (await bench.v1.customers.list_async()).data == []
    assert (await bench.v1.payment_methods.retrieve_async(method)).customer is None
    await refused(bench.v1.customers.update_async(customer, {"name": "x"}), "resource_missing", "id", 404)
    await refused(
        bench.v1.payment_intents.create_async({"amount": 500, "currency": "usd", "customer": customer}),
        "resource_missing",
        "customer",
    )
    event = (await bench.v1.events.list_async({"type": "customer.deleted"})).data[0]
    assert (event.data.object.id, event.data.object.email, "deleted" in event.data.object) == (customer, None, False)


async def test_metadata_is_merged_and_emptied(quick) -> None:
    customers = quick.v1.customers
    customer = await customers.create_async({"metadata": {"a": "1", "b": "2"}})
    merged = await customers.update_async(customer.id, {"metadata": {"a": "", "c": "3"}})
    assert merged.metadata.to_dict() == {"b": "2", "c": "3"}
    emptied = await customers.update_async(customer.id, {"metadata": ""})
    assert emptied.metadata.to_dict() == {}


async def test_an_update_that_changes_nothing_announces_nothing(quick) -> None:
    customer = await quick.v1.customers.create_async({"name": "Mei"})
    await quick.v1.customers.update_async(customer.id, {"name": "Mei"})
    await quick.v1.customers.update_async(customer.id, {"name": "Li", "metadata": {"a": "1"}})
    events = (await quick.v1.events.list_async()).data
    assert [event.type for event in events] == ["customer.updated", "customer.created"]
    assert events[0].data.to_dict(recursive=True)["previous_attributes"] == {"name": "Mei", "metadata": {"a": None}}


async def test_a_charge_can_be_annotated(quick) -> None:
    intent = await quick.v1.payment_intents.create_async(
        {"amount": 500, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    )
    charge = await quick.v1.charges.update_async(
        intent.latest_charge, {"description": "x", "metadata": {"a": "1"}, "fraud_details": {"user_report": "safe"}}
    )
    assert (charge.description, charge.fraud_details.user_report) == ("x", "safe")
    assert (await quick.event_types())[-1] == "charge.updated"
