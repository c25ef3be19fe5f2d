"""With every webhook lost the state is right after one reconcile pass; what is not certain is told and left alone."""

import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest

from billing.errors import UserProblem
from billing.lifecycle import PaymentStatus
from billing.returning import RefundReason
from gateways.sandbox import Fault
from models.base import new_id
from services.app import Actor, ActorKind
from services.books.reconciling import ReportView, reconcile_payments, report_view
from services.refunds.giving_back import RefundWish, refund_payment
from services.shielding import drain
from tests.scenarios.shopping import Channel, Shopper
from tests.scenarios.standing import standing
from tests.scenarios.test_subscribe_flows import STATES, STORIES
from tests.services.returns import give_back, refunds
from tests.support.breaking import alter, only
from tests.support.deliveries import dump, inbox, send
from tests.support.house import House
from tests.support.meanwhile import just_before
from tests.support.outside import DECLINES, VISA, charges_by_invoice, dashboard, faults_always, sandbox_of

LOST = Channel("webhooks off", (Fault.WEBHOOKS_OFF,))
ADMIN = Actor(ActorKind.ADMIN, "demo-admin")
DAY = timedelta(days=1)
ITS_OWN = ("reconciliation_reports", "drifts")

Told = list[tuple[str, bool]]


async def reconcile(house: House, *, repair: bool = True) -> ReportView:
    view = await reconcile_payments(house.app, ADMIN, since=house.clock.now() - DAY, repair=repair)
    assert view.report.finished_at == house.clock.now()
    return view


def told(view: ReportView) -> Told:
    return [(drift.kind.value, drift.repaired) for drift in view.drift]


async def only_told(house: House, kind: str) -> None:
    """The pass tells that kind and nothing else, repairs nothing, and tells it again."""
    before = await dump(house, but=ITS_OWN)
    assert told(await reconcile(house)) == [(kind, False)]
    assert await dump(house, but=ITS_OWN) == before
    assert told(await reconcile(house, repair=False)) == [(kind, False)]
    assert await dump(house, but=ITS_OWN) == before


async def paid(house: House) -> Shopper:
    """A customer with a saved card whose subscription is paid, and whose webhooks are lost."""
    shopper = Shopper(house, "demo-card", LOST)
    told = await shopper.subscribe(paymentMethodId=await shopper.default_card())
    assert told["subscription"]["status"] == "ACTIVE"
    return shopper


async def waiting(house: House) -> tuple[Shopper, str]:
    """A customer who is to confirm a card in the browser, with the client secret for it."""
    shopper = Shopper(house, "demo-new", LOST)
    told = await shopper.subscribe()
    return shopper, told["paymentIntent"]["clientSecret"]


async def send_all_events_again(house: House, seed: str) -> int:
    """Every event that the gateway has ever made, delivered in the seed's order and worked on: how many."""
    events: list[Any] = [
        event async for event in (await dashboard(house).events.list_async({"limit": 100})).auto_paging_iter()
    ]
    random.Random(seed).shuffle(events)
    for event in events:
        assert (await send(house, orjson.loads(str(event)))).status_code == 200
    await work_until_nothing_is_left(house)
    return len(events)


async def work_until_nothing_is_left(house: House) -> None:
    while any((await house.work()).values()):
        pass


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_lost_webhooks_are_made_good_by_one_pass_and_change_nothing_when_they_come_after_all(
    house: House, story: Callable[[Shopper], Awaitable[None]]
) -> None:
    shopper = Shopper(house, STORIES[story], LOST)
    await story(shopper)
    await reconcile(house)

    assert await standing(house, shopper.user) == json.loads((STATES / f"{story.__name__}.json").read_text())
    assert await house.audit() == []
    assert told(await reconcile(house)) == []

    # What the stories themselves left to the worker: their events become readable.
    await work_until_nothing_is_left(house)
    before = await dump(house)
    sent = await send_all_events_again(house, seed=story.__name__)
    assert len(await inbox(house)) == sent
    assert await dump(house) == before


async def test_a_pass_without_repair_tells_and_changes_nothing(house: House) -> None:
    shopper, secret = await waiting(house)
    await shopper.browser.confirm(secret, VISA)
    before = await dump(house, but=ITS_OWN)
    payment = await only(house, "payments")
    intent = await only(house, "collection_intents")

    view = await reconcile(house, repair=False)

    (drift,) = view.drift
    assert (drift.kind, drift.payment_id, drift.gateway_ref, drift.local, drift.gateway, drift.repaired) == (
        "state_differs",
        payment["id"],
        intent["gateway_ref"],
        "requires_payment_method, USD 7.00",
        "succeeded, USD 7.00",
        False,
    )
    assert await dump(house, but=ITS_OWN) == before


async def test_a_decline_in_the_browser_is_drift_once(house: House) -> None:
    shopper, secret = await waiting(house)
    await shopper.browser.confirm(secret, DECLINES)
    assert told(await reconcile(house)) == [("state_differs", True)]
    assert (await only(house, "payments"))["status"] == "failed"
    assert (await only(house, "charge_attempts"))["outcome"] == "declined"
    assert told(await reconcile(house)) == []


async def test_an_open_payment_of_an_intent_older_than_the_window_is_looked_up(house: House) -> None:
    shopper, secret = await waiting(house)
    house.pass_time(timedelta(hours=20))
    await shopper.browser.confirm(secret, VISA)
    since = house.clock.now() - timedelta(hours=1)
    view = await reconcile_payments(house.app, ADMIN, since=since, repair=True)
    assert told(view) == [("state_differs", True)]
    assert (await only(house, "subscriptions"))["status"] == "active"


async def test_what_somebody_holds_right_now_is_left_to_them(house: House) -> None:
    shopper, secret = await waiting(house)
    await shopper.browser.confirm(secret, VISA)
    payment = await only(house, "payments")
    until = house.machine.now() + timedelta(seconds=40)
    await alter(house, "payments", {"id": payment["id"]}, leased_until=until)
    assert told(await reconcile(house)) == []
    house.pass_time(timedelta(seconds=40))
    assert told(await reconcile(house)) == [("state_differs", True)]


async def test_what_went_back_of_a_payment_not_settled_by_its_holder_is_no_contradiction(
    house: House,
) -> None:
    """Its holder has died, or is between writing down the intent that was found and applying what it says."""
    shopper, secret = await waiting(house)
    await shopper.browser.confirm(secret, VISA)
    payment, intent = await only(house, "payments"), await only(house, "collection_intents")
    await dashboard(house).refunds.create_async({"payment_intent": intent["gateway_ref"], "amount": 200})
    await alter(house, "collection_intents", {"id": intent["id"]}, status="succeeded")
    until = house.machine.now() + timedelta(seconds=40)
    await alter(house, "payments", {"id": payment["id"]}, leased_until=until)
    assert told(await reconcile(house, repair=False)) == [("returns_differ", False)]
    assert told(await reconcile(house)) == [("returns_differ", True)]
    payment, refund = await only(house, "payments"), await only(house, "refunds")
    assert (payment["status"], payment["amount_refunded_minor"]) == ("succeeded", 200)
    assert (refund["status"], refund["contradiction"]) == ("succeeded", None)
    assert await house.audit() == []


async def test_a_refund_that_the_gateway_did_not_take_is_no_drift(house: House) -> None:
    shopper = await paid(house)
    payment = (await house.ask("{ payments { nodes { id } } }", user=shopper.user))["payments"]["nodes"][0]["id"]
    intent = (await dashboard(house).payment_intents.list_async()).data[0].id

    # Between our looking and our asking somebody at the dashboard is faster.
    async def elsewhere() -> None:
        await give_back(house, intent)

    app = just_before(house.app, "create_refund", elsewhere)
    outcome = await refund_payment(app, ADMIN, RefundWish(payment, RefundReason.DUPLICATE, "late"))
    assert [problem.code for problem in outcome.problems] == ["NOT_REFUNDABLE"]
    assert await refunds(house) == [(700, "failed"), (700, "succeeded")]
    assert told(await reconcile(house)) == []


async def test_a_refund_that_is_being_asked_for_is_no_drift(house: House) -> None:
    shopper = await paid(house)
    payment = (await house.ask("{ payments { nodes { id } } }", user=shopper.user))["payments"]["nodes"][0]["id"]
    intent = (await dashboard(house).payment_intents.list_async()).data[0].id
    await give_back(house, intent, 100)
    assert told(await reconcile(house)) == [("returns_differ", True)]
    found: list[Told] = []

    async def meanwhile() -> None:
        found.append(told(await reconcile(house)))

    app = just_before(house.app, "create_refund", meanwhile)
    await refund_payment(app, ADMIN, RefundWish(payment, RefundReason.DUPLICATE, "now"))
    assert found == [[]]
    assert await refunds(house) == [(100, "succeeded"), (600, "succeeded")]


async def test_an_answer_that_nobody_has_yet_is_no_drift(house: House) -> None:
    sandbox_of(house).faults.arm(Fault.TIMEOUT_BEFORE, count=2, path_contains="/confirm")
    shopper = Shopper(house, "demo-card", LOST)
    answer = await shopper.subscribe(paymentMethodId=await shopper.default_card())
    assert answer["payment"]["status"] == "UNKNOWN"
    assert told(await reconcile(house)) == []
    assert (await only(house, "payments"))["status"] == "unknown"
    assert await charges_by_invoice(house) == {(await only(house, "invoices"))["id"]: 0}


async def test_an_intent_whose_row_was_lost_is_adopted_and_settled(house: House) -> None:
    await paid(house)
    payment = await only(house, "payments")
    await alter(house, "collection_intents", {"payment_id": payment["id"]}, gateway_ref=None)
    await alter(house, "payments", {"id": payment["id"]}, status="requires_payment_method", amount_paid_minor=0)
    await alter(house, "invoices", {"id": payment["invoice_id"]}, status="open", amount_paid_minor=0)
    intent = (await dashboard(house).payment_intents.list_async()).data[0]
    assert told(await reconcile(house, repair=False)) == [("intent_lost_here", False)]
    view = await _after_unbooking(house, payment["id"])
    assert told(view) == [("intent_lost_here", True)]
    assert (await only(house, "collection_intents"))["gateway_ref"] == intent.id
    assert (await only(house, "payments"))["status"] == "succeeded"
    assert await house.audit() == []


async def _after_unbooking(house: House, payment_id: str) -> ReportView:
    """A pass over books in which the capture was never written."""
    from models.base import metadata

    entries = metadata().tables["ledger_entries"]
    async with house.app.database.write() as session:
        await (await session.connection()).execute(entries.delete().where(entries.c.subject_id == payment_id))
    return await reconcile(house)


async def test_an_intent_of_an_invoice_that_we_do_not_know_is_told(house: House) -> None:
    v1 = dashboard(house)
    await v1.payment_intents.create_async(
        {
            "amount": 700,
            "currency": "usd",
            "metadata": {"perennial_invoice": "inv_from_another_life"},
            "confirm": True,
            "payment_method": "pm_card_visa",
            "return_url": "https://shop.example/return",
        }
    )
    await only_told(house, "invoice_unknown")
    (drift,) = (await reconcile(house)).drift
    assert (drift.payment_id, drift.local, drift.gateway) == (
        None,
        None,
        "succeeded, USD 7.00 for invoice inv_from_another_life",
    )


async def _second_intent(house: House, **more: Any) -> None:
    """Somebody makes another intent for the one invoice, at the gateway."""
    invoice = await only(house, "invoices")
    await dashboard(house).payment_intents.create_async(
        {
            "amount": 700,
            "currency": "usd",
            "customer": (await dashboard(house).payment_intents.list_async()).data[0].customer,
            "metadata": {"perennial_invoice": invoice["id"]},
            **more,
        }
    )


async def test_a_second_payment_of_an_invoice_is_told(house: House) -> None:
    await paid(house)
    await _second_intent(house, confirm=True, payment_method="pm_card_visa", return_url="https://shop.example/return")
    await only_told(house, "paid_twice")


async def test_a_second_intent_of_an_open_invoice_is_told(house: House) -> None:
    await waiting(house)
    await _second_intent(house)
    await only_told(house, "intent_unknown")


async def test_two_intents_for_an_invoice_without_one_are_no_ground_for_a_guess(house: House) -> None:
    await waiting(house)
    await _second_intent(house)
    await alter(house, "collection_intents", {"n": 1}, gateway_ref=None)
    before = await dump(house, but=ITS_OWN)
    assert told(await reconcile(house)) == [("intent_unknown", False)] * 2
    assert await dump(house, but=ITS_OWN) == before


async def test_another_amount_at_the_gateway_is_told(house: House) -> None:
    await waiting(house)
    intent = (await dashboard(house).payment_intents.list_async()).data[0]
    await dashboard(house).payment_intents.update_async(intent.id, {"amount": 701})
    await only_told(house, "amount_differs")


async def test_another_captured_amount_is_told_and_not_booked(house: House) -> None:
    shopper, secret = await waiting(house)
    intent = (await dashboard(house).payment_intents.list_async()).data[0]
    await dashboard(house).payment_intents.update_async(intent.id, {"amount": 701})
    await shopper.browser.confirm(secret, VISA)
    await only_told(house, "amount_differs")


async def test_what_was_canceled_here_and_paid_there_is_told(house: House) -> None:
    await paid(house)
    await alter(house, "payments", {"status": "succeeded"}, status=PaymentStatus.CANCELED)
    await only_told(house, "canceled_here_paid_there")


async def test_what_was_paid_here_and_not_there_is_told(house: House) -> None:
    await waiting(house)
    await alter(house, "payments", {"currency": "USD"}, status="succeeded")
    await alter(house, "collection_intents", {"n": 1}, status="succeeded")
    await only_told(house, "paid_here_only")


@pytest.mark.parametrize(
    ("status", "kind"), [("succeeded", "paid_here_only"), ("requires_payment_method", "intent_lost_there")]
)
async def test_an_intent_that_the_gateway_does_not_know_is_told(house: House, status: str, kind: str) -> None:
    await waiting(house)
    intent = (await dashboard(house).payment_intents.list_async()).data[0]
    await dashboard(house).payment_intents.cancel_async(intent.id)
    await alter(house, "payments", {"currency": "USD"}, status=status)
    await alter(house, "collection_intents", {"n": 1}, status=status, gateway_ref="pi_of_another_account")
    await only_told(house, kind)


async def test_an_intent_canceled_at_the_dashboard_is_followed(house: House) -> None:
    shopper, _ = await waiting(house)
    intent = (await dashboard(house).payment_intents.list_async()).data[0]
    await dashboard(house).payment_intents.cancel_async(intent.id)
    assert told(await reconcile(house)) == [("state_differs", True)]
    assert (await only(house, "collection_intents"))["status"] == "canceled"
    again = await shopper.subscribe()
    assert again["paymentIntent"]["gatewayId"] != intent.id


# ── cards ──

CARDS = "{ me { defaultPaymentMethod { card { last4 } } paymentMethods { nodes { card { last4 expYear } } } } }"


async def cards(house: House, user: str = "demo-card") -> tuple[str | None, list[str]]:
    """The default card and all cards, newest first."""
    me = (await house.ask(CARDS, user=user))["me"]
    default = me["defaultPaymentMethod"]
    return default and default["card"]["last4"], [card["card"]["last4"] for card in me["paymentMethods"]["nodes"]]


async def the_account(house: House) -> str:
    data = await house.ask("{ me { gatewayAccounts { customerId } } }", user="demo-card")
    return data["me"]["gatewayAccounts"][0]["customerId"]


async def test_a_card_saved_by_a_setup_intent_is_kept_by_the_pass(house: House) -> None:
    faults_always(house, Fault.WEBHOOKS_OFF)
    begun = await house.ask(
        "mutation { createSetupIntent { setupIntent { id clientSecret } userErrors { code } } }", user="demo-new"
    )
    shopper = Shopper(house, "demo-new", LOST)
    answer = await shopper.browser.confirm(begun["createSetupIntent"]["setupIntent"]["clientSecret"], VISA)
    assert answer.json()["status"] == "succeeded"
    assert await cards(house, "demo-new") == (None, [])
    assert told(await reconcile(house, repair=False)) == [("setup_differs", False), ("card_missing_here", False)]
    assert told(await reconcile(house)) == [("setup_differs", True)]
    assert await cards(house, "demo-new") == ("4242", ["4242"])
    assert (await only(house, "setup_intents"))["status"] == "succeeded"
    assert told(await reconcile(house)) == []


async def test_a_card_attached_at_the_dashboard_is_kept(house: House) -> None:
    faults_always(house, Fault.WEBHOOKS_OFF)
    await dashboard(house).payment_methods.attach_async("pm_card_mastercard", {"customer": await the_account(house)})
    assert told(await reconcile(house, repair=False)) == [("card_missing_here", False)]
    assert await cards(house) == ("4242", ["4242"])
    assert told(await reconcile(house)) == [("card_missing_here", True)]
    assert await cards(house) == ("4242", ["4444", "4242"])


async def test_a_card_detached_at_the_dashboard_is_dropped(house: House) -> None:
    faults_always(house, Fault.WEBHOOKS_OFF)
    v1 = dashboard(house)
    card = (await v1.customers.payment_methods.list_async(await the_account(house))).data[0]
    await v1.payment_methods.detach_async(card.id)
    assert told(await reconcile(house, repair=False)) == [("card_missing_there", False)]
    assert told(await reconcile(house)) == [("card_missing_there", True)]
    assert await cards(house) == (None, [])


async def test_a_cards_new_expiry_is_copied(house: House) -> None:
    faults_always(house, Fault.WEBHOOKS_OFF)
    v1 = dashboard(house)
    card = (await v1.customers.payment_methods.list_async(await the_account(house))).data[0]
    await v1.payment_methods.update_async(card.id, {"card": {"exp_month": 1, "exp_year": 2041}})
    assert told(await reconcile(house)) == [("card_differs", True)]
    me = (await house.ask(CARDS, user="demo-card"))["me"]
    assert me["paymentMethods"]["nodes"] == [{"card": {"last4": "4242", "expYear": 2041}}]


async def test_a_default_chosen_at_the_dashboard_is_followed(house: House) -> None:
    shopper = Shopper(house, "demo-card", LOST)
    await shopper.save_card("pm_card_mastercard")
    v1, account = dashboard(house), await the_account(house)
    card = (await v1.customers.payment_methods.list_async(account)).data[0]
    await v1.customers.update_async(account, {"invoice_settings": {"default_payment_method": card.id}})
    assert await cards(house) == ("4242", ["4444", "4242"])
    assert told(await reconcile(house)) == [("default_card_differs", True)]
    assert await cards(house) == ("4444", ["4444", "4242"])


async def test_a_customer_deleted_at_the_dashboard_keeps_no_cards(house: House) -> None:
    faults_always(house, Fault.WEBHOOKS_OFF)
    await dashboard(house).customers.delete_async(await the_account(house))
    assert told(await reconcile(house)) == [("customer_deleted", True)]
    assert await cards(house) == (None, [])


async def test_a_card_of_another_customer_is_told(house: House) -> None:
    faults_always(house, Fault.WEBHOOKS_OFF)
    v1 = dashboard(house)
    card = (await v1.customers.payment_methods.list_async(await the_account(house))).data[0]
    other = (await house.ask("{ me { id } }", user="demo-decline"))["me"]["id"]
    own = (await house.ask("{ me { id } }", user="demo-card"))["me"]["id"]
    await alter(house, "customers", {"id": own}, default_payment_method_id=None)
    await alter(house, "payment_methods", {"gateway_ref": card.id}, customer_id=other)
    assert told(await reconcile(house)) == [("card_of_another", False), ("card_missing_there", True)]
    assert await cards(house, "demo-decline") == ("0341", ["0341"])
    await only_told(house, "card_of_another")


# ── the report, the timer ──


async def test_an_instant_to_come_is_refused(house: House) -> None:
    before = await dump(house, but=())
    with pytest.raises(UserProblem, match="since: name an instant that has passed"):
        await reconcile_payments(house.app, ADMIN, since=house.clock.now() + timedelta(seconds=1), repair=True)
    assert await dump(house, but=()) == before


async def test_a_gateway_that_is_away_leaves_an_unfinished_report(house: House) -> None:
    sandbox_of(house).faults.arm(Fault.TIMEOUT_BEFORE, count=2, path_contains="/v1/events")
    shopper, secret = await waiting(house)
    await shopper.browser.confirm(secret, VISA)
    with pytest.raises(UserProblem, match="cannot be reached"):
        await reconcile_payments(house.app, ADMIN, since=house.clock.now() - DAY, repair=True)
    report, drift = await only(house, "reconciliation_reports"), await only(house, "drifts")
    assert (report["finished_at"], drift["kind"], drift["repaired"]) == (None, "state_differs", True)
    assert new_id("reconciliation_report")[:4] == report["id"][:4] == "rec_"


async def test_a_pass_longer_than_a_request_goes_on_and_ends(house: House) -> None:
    shopper, secret = await waiting(house)
    await shopper.browser.confirm(secret, VISA)
    hurried = replace(house.app, gateway_budget=timedelta(0))
    begun = await reconcile_payments(hurried, ADMIN, since=house.clock.now() - DAY, repair=True)
    assert (begun.report.finished_at, begun.drift) == (None, ())
    await drain(10)
    ended = await report_view(house.app, begun.report.id)
    assert ended is not None
    assert (ended.report.finished_at, told(ended)) == (house.clock.now(), [("state_differs", True)])


async def test_too_much_to_compare_is_refused_with_what_was_seen_so_far(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.books.drift.MAX_PAGES", 1)
    for n in range(101):
        await dashboard(house).payment_intents.create_async(
            {"amount": 100 + n, "currency": "usd", "metadata": {"perennial_invoice": f"inv_{n}"}}
        )
    with pytest.raises(UserProblem, match="name a later instant"):
        await reconcile_payments(house.app, ADMIN, since=house.clock.now() - DAY, repair=True)
    view = await report_view(house.app, None)
    assert view is not None
    assert (view.report.finished_at, view.report.checked, len(view.drift)) == (None, 100, 100)
