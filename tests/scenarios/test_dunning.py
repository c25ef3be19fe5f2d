"""A renewal that is refused: tried again, recovered by retry, by another card or by the bank's word; or given up."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import select

from billing.dunning import FinalAction
from billing.ledger import Account, PostingKind
from gateways.sandbox.cards import BLOCKED, EXPIRED, GENERIC, INSUFFICIENT_FUNDS, PROCESSING_ERROR
from gateways.sandbox.currencies import LEAST_AMOUNT
from models.customers import balance_of, customer_of_user
from models.ledger import LedgerEntry
from services.policies import PolicyChange, update_dunning_policy
from tests.scenarios.shopping import Shopper
from tests.support.bank import Bank, bank
from tests.support.house import House
from tests.support.outside import MASTERCARD, RETURN_URL, VISA, charges_by_invoice, dashboard

LIFE = """{ mySubscription { id status isActive willRenew: nextBillingAt nextAction { type }
  currentPeriod { start end } statusHistory { from to at cause }
  invoices { nodes { id status total { formatted } period { start end } nextPaymentAttemptAt attemptCount
    payments { status nextRetryAt attempts { trigger outcome startedAt error { declineCode } } } } } } }"""
ENDED = """{ me { subscriptions(first: 1) { nodes { id status isActive endedAt cancellation { reason requestedBy }
  statusHistory { from to at cause }
  invoices(first: 5) { nodes { status total { formatted }
    payments { status nextRetryAt attempts { trigger startedAt } } } } } } } }"""
RETRY = """mutation ($invoice: ID!, $card: ID) { retryPayment(input: {invoiceId: $invoice, paymentMethodId: $card}) {
  success subscription { status isActive } nextAction { type redirectUrl }
  userErrors { code ... on CardDeclinedError { declineCode isRetryable nextRetryAt } } } }"""
START_PAYMENT = """mutation ($input: StartSubscriptionPaymentInput!) { startSubscriptionPayment(input: $input) {
  success nextAction { type redirectUrl } userErrors { code } } }"""
CHOOSE = """mutation ($id: ID!, $pins: Boolean!) { setDefaultPaymentMethod(input: {paymentMethodId: $id,
  applyToSubscriptions: $pins}) { userErrors { code } } }"""
PIN = """mutation ($input: UpdateSubscriptionPaymentMethodInput!) { updateSubscriptionPaymentMethod(input: $input) {
  userErrors { code } } }"""
DETACH = """mutation ($id: ID!) { detachPaymentMethod(input: {paymentMethodId: $id}) { userErrors { code } } }"""
WRITTEN_OFF = '{ billingEvents(types: ["invoice.uncollectible"], first: 5) { nodes { payload } } }'
REFERENCE = "query ($id: ID!) { paymentMethod(id: $id) { gatewayId } }"
UPDATE_CARD = """mutation ($id: ID!) { updatePaymentMethod(input: {paymentMethodId: $id, expYear: 2039}) {
  userErrors { code } } }"""
PLAN_CHANGE = """mutation ($input: ChangePlanInput!) { changePlan(input: $input) { userErrors { code } } }"""
PLAN_PAUSE = """mutation ($input: PauseSubscriptionInput!) { pauseSubscription(input: $input) {
  userErrors { code } } }"""

START = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
RENEWAL = datetime(2026, 2, 28, 9, 30, tzinfo=UTC)
DAY = timedelta(days=1)
DONE: dict[str, Any] = {"userErrors": []}


@pytest.fixture
def issuer() -> Iterator[Bank]:
    with bank() as opened:
        yield opened


@dataclass
class Debtor(Shopper):
    """A customer whose renewals the bank decides about."""

    async def begin(self, plan: str = "reader-pro") -> None:
        told = await self.subscribe(plan, paymentMethodId=await self.default_card())
        assert told["subscription"]["status"] == "ACTIVE"
        await self.house.deliver()

    async def life(self) -> dict[str, Any]:
        return (await self.house.ask(LIFE, user=self.user))["mySubscription"]

    async def newest(self) -> dict[str, Any]:
        return (await self.life())["invoices"]["nodes"][0]

    async def ended(self) -> dict[str, Any]:
        return (await self.house.ask(ENDED, user=self.user))["me"]["subscriptions"]["nodes"][0]

    async def retry(self, card: str | None = None) -> dict[str, Any]:
        oldest = next(each for each in reversed((await self.life())["invoices"]["nodes"]) if each["status"] == "OPEN")
        return (await self.house.ask(RETRY, {"invoice": oldest["id"], "card": card}, self.user))["retryPayment"]

    async def confirm_with_bank(self) -> dict[str, Any]:
        wish = {"subscriptionId": self.subscribed[-1], "paymentMethodId": await self.default_card()}
        told = await self.house.ask(START_PAYMENT, {"input": {**wish, "returnUrl": RETURN_URL}}, self.user)
        return told["startSubscriptionPayment"]

    async def choose(self, card: str, *, pins: bool = True) -> None:
        told = await self.house.ask(CHOOSE, {"id": card, "pins": pins}, self.user)
        assert told["setDefaultPaymentMethod"]["userErrors"] == []
        await self.house.work()


@pytest.fixture
async def debtor(house: House) -> Debtor:
    debtor = Debtor(house, "demo-card")
    await debtor.begin()
    return debtor


def day(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at is not None else None


def tries(invoice: dict[str, Any]) -> list[tuple[str, str]]:
    """(trigger, day) of each try."""
    (payment,) = invoice["payments"]
    return [(each["trigger"], each["startedAt"][:10]) for each in payment["attempts"]]


def moves(told: dict[str, Any]) -> list[tuple[str | None, str, str]]:
    return [(each["from"], each["to"], each["at"]) for each in told["statusHistory"]]


async def test_a_refused_renewal_is_recovered_by_a_retry(house: House, debtor: Debtor, issuer: Bank) -> None:
    issuer.declines(VISA, INSUFFICIENT_FUNDS)
    await debtor.pass_to(RENEWAL)
    behind = await debtor.life()
    assert (behind["status"], behind["isActive"]) == ("PAST_DUE", True)
    invoice = behind["invoices"]["nodes"][0]
    assert (invoice["nextPaymentAttemptAt"], invoice["attemptCount"]) == (day(RENEWAL + 2 * DAY), 1)
    assert invoice["payments"][0]["nextRetryAt"] == day(RENEWAL + 2 * DAY)

    await debtor.pass_to(RENEWAL + 5 * DAY)
    assert (await debtor.newest())["nextPaymentAttemptAt"] == day(RENEWAL + 7 * DAY)
    issuer.pays(VISA)
    await debtor.pass_to(RENEWAL + 8 * DAY)

    life = await debtor.life()
    assert (life["status"], life["isActive"], life["willRenew"]) == ("ACTIVE", True, "2026-03-31T09:30:00Z")
    invoice = life["invoices"]["nodes"][0]
    assert tries(invoice) == [
        ("RENEWAL", "2026-02-28"),
        ("DUNNING_RETRY", "2026-03-02"),
        ("DUNNING_RETRY", "2026-03-07"),
    ]
    assert (invoice["status"], invoice["nextPaymentAttemptAt"], invoice["attemptCount"]) == ("PAID", None, 3)
    assert sorted((await charges_by_invoice(house)).values()) == [1, 1]
    assert await house.audit() == []
    await debtor.pass_to(RENEWAL + 30 * DAY)  # The end of dunning that had been planned is none.
    assert (await debtor.life())["status"] == "ACTIVE"


async def test_a_soft_decline_for_three_weeks_ends_in_cancellation_right_after_the_last_try(
    house: House, debtor: Debtor, issuer: Bank
) -> None:
    issuer.declines(VISA, GENERIC)
    await debtor.pass_to(RENEWAL + 21 * DAY)
    ended = await debtor.ended()
    assert (ended["status"], ended["isActive"], ended["endedAt"]) == ("CANCELED", False, day(RENEWAL + 21 * DAY))
    assert ended["cancellation"] == {"reason": "PAYMENT_FAILED", "requestedBy": None}
    assert moves(ended)[-2:] == [
        ("ACTIVE", "PAST_DUE", day(RENEWAL)),
        ("PAST_DUE", "CANCELED", day(RENEWAL + 21 * DAY)),
    ]
    unpaid, paid = ended["invoices"]["nodes"]
    assert tries(unpaid) == [
        ("RENEWAL", "2026-02-28"),
        ("DUNNING_RETRY", "2026-03-02"),
        ("DUNNING_RETRY", "2026-03-07"),
        ("DUNNING_RETRY", "2026-03-14"),
        ("DUNNING_RETRY", "2026-03-21"),
    ]
    assert (unpaid["status"], unpaid["payments"][0]["status"]) == ("UNCOLLECTIBLE", "CANCELED")
    assert paid["status"] == "PAID"
    written_off = (await house.ask(WRITTEN_OFF, user="demo-admin"))["billingEvents"]["nodes"]
    assert [(each["payload"]["from"], each["payload"]["to"]) for each in written_off] == [("open", "uncollectible")]
    assert await house.audit() == []
    await debtor.pass_to(RENEWAL + 60 * DAY)
    assert sorted((await charges_by_invoice(house)).values()) == [0, 1]
    again = await debtor.subscribe("reader-pro")  # The place is free again.
    assert again["userErrors"] == []


async def test_a_hard_decline_is_tried_once_and_canceled_on_day_twenty_one(
    house: House, debtor: Debtor, issuer: Bank
) -> None:
    issuer.declines(VISA, BLOCKED)
    await debtor.pass_to(RENEWAL)
    invoice = await debtor.newest()
    assert (tries(invoice), invoice["nextPaymentAttemptAt"]) == ([("RENEWAL", "2026-02-28")], None)
    await debtor.pass_to(RENEWAL + 7 * DAY - timedelta(microseconds=1))
    assert (await debtor.life())["isActive"] is True
    await debtor.pass_to(RENEWAL + 21 * DAY - timedelta(microseconds=1))
    late = await debtor.life()
    assert (late["status"], late["isActive"]) == ("PAST_DUE", False)
    await debtor.pass_to(RENEWAL + 21 * DAY)
    ended = await debtor.ended()
    assert (ended["status"], ended["endedAt"]) == ("CANCELED", day(RENEWAL + 21 * DAY))
    assert tries(ended["invoices"]["nodes"][0]) == [("RENEWAL", "2026-02-28")]
    assert await house.audit() == []


async def test_a_new_card_collects_at_once_after_a_hard_decline_and_the_old_one_is_not_tried_again(
    house: House, debtor: Debtor, issuer: Bank
) -> None:
    old = await debtor.default_card()
    issuer.declines(VISA, BLOCKED)
    issuer.declines(MASTERCARD, GENERIC)
    await debtor.pass_to(RENEWAL + 3 * DAY)
    new = await debtor.save_card("pm_card_mastercard")
    await debtor.choose(new)
    assert tries(await debtor.newest()) == [("RENEWAL", "2026-02-28"), ("PAYMENT_METHOD_UPDATED", "2026-03-03")]
    assert (await debtor.newest())["nextPaymentAttemptAt"] == day(RENEWAL + 7 * DAY)

    await debtor.choose(old)
    await debtor.pass_to(RENEWAL + 8 * DAY)
    assert len(tries(await debtor.newest())) == 2

    issuer.pays(MASTERCARD)
    await debtor.choose(new)
    life = await debtor.life()
    assert (life["status"], life["isActive"]) == ("ACTIVE", True)
    assert tries(life["invoices"]["nodes"][0])[2:] == [("DUNNING_RETRY", "2026-03-08")]  # since the 7th
    assert await house.audit() == []


@pytest.mark.parametrize("by", ["the customer", "the dashboard"])
@pytest.mark.parametrize("was", ["default", "pinned"])
async def test_the_card_that_takes_a_refused_ones_place_collects_at_once(
    house: House, debtor: Debtor, issuer: Bank, by: str, was: str
) -> None:
    refused = await debtor.default_card()
    other = await debtor.save_card("pm_card_mastercard")
    if was == "pinned":
        wish = {"subscriptionId": debtor.subscribed[-1], "paymentMethodId": refused}
        assert (await house.ask(PIN, {"input": wish}, debtor.user))["updateSubscriptionPaymentMethod"] == DONE
        await debtor.choose(other, pins=False)
    issuer.declines(VISA, BLOCKED)
    await debtor.pass_to(RENEWAL + 3 * DAY)
    assert tries(await debtor.newest()) == [("RENEWAL", "2026-02-28")]
    if by == "the customer":
        assert (await house.ask(DETACH, {"id": refused}, debtor.user))["detachPaymentMethod"] == DONE
    else:
        reference = (await house.ask(REFERENCE, {"id": refused}, debtor.user))["paymentMethod"]["gatewayId"]
        await dashboard(house).payment_methods.detach_async(reference)
        await house.deliver()
    await house.work()
    assert await debtor.default_card() == other
    life = await debtor.life()
    assert (life["status"], life["isActive"]) == ("ACTIVE", True)
    assert tries(life["invoices"]["nodes"][0])[1:] == [("PAYMENT_METHOD_UPDATED", "2026-03-03")]
    assert await house.audit() == []


async def test_what_the_bank_asks_the_customer_for_waits_for_the_customer_on_the_same_intent(
    house: House, debtor: Debtor, issuer: Bank
) -> None:
    issuer.asks(VISA)
    await debtor.pass_to(RENEWAL + 8 * DAY)
    life = await debtor.life()
    assert (life["status"], life["nextAction"]["type"]) == ("PAST_DUE", "CONFIRM_WITH_SDK")
    assert tries(life["invoices"]["nodes"][0]) == [("RENEWAL", "2026-02-28")]
    assert life["invoices"]["nodes"][0]["nextPaymentAttemptAt"] is None

    told = await debtor.confirm_with_bank()
    assert (told["success"], [each["code"] for each in told["userErrors"]]) == (False, ["PAYMENT_ACTION_REQUIRED"])
    await debtor.pass_to(RENEWAL + 9 * DAY)  # The worker leaves the challenge to the customer.
    assert (await debtor.life())["status"] == "PAST_DUE"
    await debtor.browser.answer(told["nextAction"]["redirectUrl"], "succeeded")
    await house.deliver()

    life = await debtor.life()
    assert (life["status"], life["isActive"]) == ("ACTIVE", True)
    assert tries(life["invoices"]["nodes"][0]) == [("RENEWAL", "2026-02-28"), ("CUSTOMER_RETRY", "2026-03-08")]
    intents = (await dashboard(house).payment_intents.list_async({"limit": 100})).to_dict()["data"]
    assert len(intents) == 2
    assert await house.audit() == []


async def test_a_challenge_that_nobody_answers_ends_with_dunning(house: House, debtor: Debtor, issuer: Bank) -> None:
    issuer.asks(VISA)
    await debtor.pass_to(RENEWAL + 20 * DAY)
    await debtor.retry()
    await debtor.pass_to(RENEWAL + 21 * DAY)
    ended = await debtor.ended()
    assert (ended["status"], ended["invoices"]["nodes"][0]["payments"][0]["status"]) == ("CANCELED", "CANCELED")
    assert await house.audit() == []


async def test_an_expired_card_is_tried_again_at_once_when_its_data_change(
    house: House, debtor: Debtor, issuer: Bank
) -> None:
    issuer.declines(VISA, EXPIRED)
    await debtor.pass_to(RENEWAL + 4 * DAY)
    assert tries(await debtor.newest()) == [("RENEWAL", "2026-02-28")]
    issuer.pays(VISA)
    told = await house.ask(UPDATE_CARD, {"id": await debtor.default_card()}, debtor.user)
    assert told["updatePaymentMethod"]["userErrors"] == []
    await house.work()
    life = await debtor.life()
    assert life["status"] == "ACTIVE"
    assert tries(life["invoices"]["nodes"][0])[1:] == [("PAYMENT_METHOD_UPDATED", "2026-03-04")]


async def test_a_technical_decline_is_tried_again_within_the_hour(debtor: Debtor, issuer: Bank) -> None:
    issuer.declines(VISA, PROCESSING_ERROR)
    await debtor.pass_to(RENEWAL)
    assert (await debtor.newest())["nextPaymentAttemptAt"] == day(RENEWAL + timedelta(hours=1))
    issuer.pays(VISA)
    await debtor.pass_to(RENEWAL + timedelta(hours=1))
    assert (await debtor.life())["status"] == "ACTIVE"


async def test_a_declined_retry_of_the_customer_tells_when_it_is_tried_again(debtor: Debtor, issuer: Bank) -> None:
    issuer.declines(VISA, INSUFFICIENT_FUNDS)
    await debtor.pass_to(RENEWAL + DAY)
    told = await debtor.retry()
    assert told["userErrors"] == [
        {
            "code": "CARD_DECLINED",
            "declineCode": "insufficient_funds",
            "isRetryable": True,
            "nextRetryAt": day(RENEWAL + 2 * DAY),
        }
    ]
    assert (await debtor.newest())["nextPaymentAttemptAt"] == day(RENEWAL + 2 * DAY)


async def test_stop_codes_of_the_organization_end_the_retries(house: House, debtor: Debtor, issuer: Bank) -> None:
    await update_dunning_policy(house.app, PolicyChange(stop_on_decline_codes=["insufficient_funds"]))
    issuer.declines(VISA, INSUFFICIENT_FUNDS)
    await debtor.pass_to(RENEWAL + 5 * DAY)
    assert tries(await debtor.newest()) == [("RENEWAL", "2026-02-28")]


async def test_a_renewal_without_a_card_is_given_up_on_the_last_day(house: House) -> None:
    shopper = Debtor(house, "demo-new")
    told = await shopper.subscribe("reader-pro")
    await shopper.browser.confirm(told["paymentIntent"]["clientSecret"], VISA)
    await house.deliver()
    await shopper.pass_to(RENEWAL + 21 * DAY - timedelta(microseconds=1))
    assert (await shopper.life())["status"] == "PAST_DUE"
    await shopper.pass_to(RENEWAL + 21 * DAY)
    ended = await shopper.ended()
    assert (ended["status"], ended["endedAt"]) == ("CANCELED", day(RENEWAL + 21 * DAY))
    assert tries(ended["invoices"]["nodes"][0]) == []
    assert await house.audit() == []


@pytest.mark.parametrize("action", [FinalAction.UNPAID, FinalAction.LEAVE])
async def test_what_was_given_up_is_not_billed_and_comes_back_with_a_new_period_when_it_is_paid(
    house: House, debtor: Debtor, issuer: Bank, action: FinalAction
) -> None:
    await update_dunning_policy(house.app, PolicyChange(final_action=action))
    issuer.declines(VISA, GENERIC)
    await debtor.pass_to(RENEWAL + 70 * DAY)
    life = await debtor.life()
    left = "UNPAID" if action is FinalAction.UNPAID else "PAST_DUE"
    assert (life["status"], life["isActive"]) == (left, False)
    assert [each["status"] for each in life["invoices"]["nodes"]] == ["OPEN", "PAID"]
    assert len(tries(life["invoices"]["nodes"][0])) == 5
    assert (life["invoices"]["nodes"][0]["nextPaymentAttemptAt"], life["willRenew"]) == (None, None)

    issuer.pays(VISA)
    told = await debtor.retry()
    assert (told["success"], told["subscription"]) == (True, {"status": "ACTIVE", "isActive": True})
    await house.work()
    await house.deliver()
    life = await debtor.life()
    back = RENEWAL + 70 * DAY
    assert life["currentPeriod"] == {"start": day(back), "end": "2026-06-09T09:30:00Z"}
    assert [(each["status"], each["period"]["start"]) for each in life["invoices"]["nodes"]] == [
        ("PAID", day(back)),
        ("PAID", day(RENEWAL)),
        ("PAID", day(START)),
    ]
    assert sorted((await charges_by_invoice(house)).values()) == [1, 1, 1]
    assert await house.audit() == []


@pytest.mark.parametrize("action", [FinalAction.UNPAID, FinalAction.LEAVE])
async def test_a_change_that_was_planned_for_the_end_is_made_when_it_comes_back(
    house: House, debtor: Debtor, issuer: Bank, action: FinalAction
) -> None:
    """Of another interval: the period that nobody paid for is over for weeks, and the yearly one begins now."""
    await update_dunning_policy(house.app, PolicyChange(final_action=action))
    issuer.declines(VISA, GENERIC)
    await debtor.pass_to(RENEWAL + DAY)
    wish = {"subscriptionId": debtor.subscribed[-1], "planCode": "premium-yearly", "effectiveAt": "PERIOD_END"}
    assert (await house.ask(PLAN_CHANGE, {"input": wish}, debtor.user))["changePlan"]["userErrors"] == []
    await debtor.pass_to(RENEWAL + 70 * DAY)
    issuer.pays(VISA)
    assert (await debtor.retry())["success"] is True
    await house.work()
    await house.work()
    life, back = await debtor.life(), RENEWAL + 70 * DAY
    assert (life["status"], life["willRenew"]) == ("ACTIVE", "2027-05-09T09:30:00Z")
    assert life["currentPeriod"] == {"start": day(back), "end": "2027-05-09T09:30:00Z"}
    assert [(each["status"], each["total"]["formatted"]) for each in life["invoices"]["nodes"]] == [
        ("PAID", "$99.00"),
        ("PAID", "$7.00"),
        ("PAID", "$7.00"),
    ]
    await house.deliver()
    assert await house.audit() == []


async def test_a_pause_that_was_planned_for_a_time_without_access_is_none_when_it_comes_back(
    house: House, debtor: Debtor, issuer: Bank
) -> None:
    """An upgrade that the card does not pay, with a pause planned for the end of its period."""
    await update_dunning_policy(house.app, PolicyChange(retry_after_days=[1], final_action=FinalAction.UNPAID))
    subscription = {"subscriptionId": debtor.subscribed[-1]}
    wish = {**subscription, "effectiveAt": "PERIOD_END"}
    assert (await house.ask(PLAN_PAUSE, {"input": wish}, debtor.user))["pauseSubscription"]["userErrors"] == []
    issuer.declines(VISA, GENERIC)
    wish = {**subscription, "planCode": "premium-monthly", "effectiveAt": "NOW"}
    await debtor.pass_to(START + DAY)
    await house.ask(PLAN_CHANGE, {"input": wish}, debtor.user)
    await debtor.pass_to(RENEWAL + 30 * DAY)
    assert (await debtor.life())["status"] == "UNPAID"
    issuer.pays(VISA)
    assert (await debtor.retry())["success"] is True
    await house.work()
    await house.work()
    life = await debtor.life()
    assert (life["status"], life["currentPeriod"]["start"]) == ("ACTIVE", day(RENEWAL + 30 * DAY))
    await house.deliver()
    assert await house.audit() == []


async def test_an_unpaid_subscription_comes_back_with_a_new_card_within_its_period_and_keeps_its_dates(
    house: House, debtor: Debtor, issuer: Bank
) -> None:
    await update_dunning_policy(house.app, PolicyChange(final_action=FinalAction.UNPAID))
    issuer.declines(VISA, GENERIC)
    await debtor.pass_to(RENEWAL + 22 * DAY)
    assert (await debtor.life())["status"] == "UNPAID"
    await debtor.choose(await debtor.save_card("pm_card_mastercard"))
    life = await debtor.life()
    assert (life["status"], life["isActive"]) == ("ACTIVE", True)
    assert life["currentPeriod"] == {"start": day(RENEWAL), "end": "2026-03-31T09:30:00Z"}
    await debtor.pass_to(datetime(2026, 3, 31, 9, 30, tzinfo=UTC))
    assert [each["status"] for each in (await debtor.life())["invoices"]["nodes"]] == ["PAID"] * 3
    assert await house.audit() == []


@pytest.mark.parametrize("action", [FinalAction.UNPAID, FinalAction.LEAVE])
async def test_a_new_card_has_its_turn_though_the_old_ones_decline_is_heard_of_again_before(
    house: House, debtor: Debtor, issuer: Bank, action: FinalAction
) -> None:
    """A page that asks how it stands as soon as another card is chosen; the worker's own question does the same."""
    await update_dunning_policy(house.app, PolicyChange(retry_after_days=[1], final_action=action))
    issuer.declines(VISA, GENERIC)
    await debtor.pass_to(RENEWAL + 2 * DAY)
    # Subscribing anew would be refused: paying is the way back, and what a change is told of.
    wish = {"subscriptionId": debtor.subscribed[-1], "planCode": "premium-yearly", "effectiveAt": "NOW"}
    asked = PLAN_CHANGE.replace("{ code }", "{ message }")
    (refused,) = (await house.ask(asked, {"input": wish}, debtor.user))["changePlan"]["userErrors"]
    assert refused["message"].endswith("Pay its open invoice first.")
    assert (await debtor.subscribe())["userErrors"][0]["code"] == "ALREADY_SUBSCRIBED"
    card = await debtor.save_card("pm_card_mastercard")
    assert (await house.ask(CHOOSE, {"id": card, "pins": True}, debtor.user))["setDefaultPaymentMethod"] == DONE
    assert (await debtor.refresh())["success"] is False
    await house.work()
    life = await debtor.life()
    assert (life["status"], life["isActive"]) == ("ACTIVE", True)
    assert await house.audit() == []


async def test_periods_without_access_are_voided_and_those_with_it_stay_to_be_paid(
    house: House, debtor: Debtor, issuer: Bank
) -> None:
    """Dunning for longer than a month: the next period is billed meanwhile, and gave no access."""
    change = PolicyChange(retry_after_days=[10, 40], final_action=FinalAction.UNPAID, grace_period_days=14)
    await update_dunning_policy(house.app, change)
    issuer.declines(VISA, GENERIC)
    await debtor.pass_to(RENEWAL + 39 * DAY)
    assert [each["status"] for each in (await debtor.life())["invoices"]["nodes"]] == ["OPEN", "OPEN", "PAID"]
    await debtor.pass_to(RENEWAL + 40 * DAY)
    life = await debtor.life()
    assert (life["status"], [each["status"] for each in life["invoices"]["nodes"]]) == (
        "UNPAID",
        ["VOID", "OPEN", "PAID"],
    )
    issuer.pays(VISA)
    assert (await debtor.retry())["success"] is True
    await house.work()
    life = await debtor.life()
    assert [(each["status"], each["period"]["start"]) for each in life["invoices"]["nodes"]] == [
        ("PAID", day(RENEWAL + 40 * DAY)),
        ("VOID", "2026-03-31T09:30:00Z"),
        ("PAID", day(RENEWAL)),
        ("PAID", day(START)),
    ]
    await house.deliver()
    assert await house.audit() == []


async def test_with_cancellation_what_gave_access_is_written_off_and_the_rest_voided(
    house: House, debtor: Debtor, issuer: Bank
) -> None:
    await update_dunning_policy(house.app, PolicyChange(retry_after_days=[40]))
    issuer.declines(VISA, GENERIC)
    await debtor.pass_to(RENEWAL + 40 * DAY)
    ended = await debtor.ended()
    assert [each["status"] for each in ended["invoices"]["nodes"]] == ["VOID", "UNCOLLECTIBLE", "PAID"]
    assert ended["status"] == "CANCELED"
    assert await house.audit() == []


async def test_the_grace_of_the_policy_goes_before_the_setting(house: House, debtor: Debtor, issuer: Bank) -> None:
    issuer.declines(VISA, GENERIC)
    await debtor.pass_to(RENEWAL + 3 * DAY)
    assert (await debtor.life())["isActive"] is True
    await update_dunning_policy(house.app, PolicyChange(grace_period_days=2))
    assert (await debtor.life())["isActive"] is False
    await update_dunning_policy(house.app, PolicyChange(grace_period_days=0))
    assert (await debtor.life())["isActive"] is False
    await update_dunning_policy(house.app, PolicyChange(grace_period_days=4))
    assert (await debtor.life())["isActive"] is True


async def test_what_the_gateway_calls_too_small_is_carried_to_the_balance_and_asked_for_with_the_next_invoice(
    house: House, debtor: Debtor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway settles in another currency, say, and its minimum is higher there than we know."""
    monkeypatch.setitem(LEAST_AMOUNT, "usd", 1000)
    await debtor.pass_to(RENEWAL)
    life = await debtor.life()
    invoice = life["invoices"]["nodes"][0]
    assert (life["status"], invoice["status"], invoice["payments"][0]["status"]) == ("ACTIVE", "PAID", "CANCELED")
    assert await house.audit() == []

    await debtor.pass_to(datetime(2026, 3, 31, 9, 30, tzinfo=UTC))
    invoice = await debtor.newest()
    assert (invoice["status"], invoice["total"], invoice["payments"][0]["status"]) == (
        "PAID",
        {"formatted": "$7.00"},
        "SUCCEEDED",
    )
    charges = (await dashboard(house).charges.list_async({"limit": 1})).to_dict()["data"]
    assert charges[0]["amount"] == 1400
    assert await house.audit() == []


async def test_what_was_too_small_to_be_charged_is_written_off_with_the_last_subscription(
    house: House, debtor: Debtor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LEAST_AMOUNT, "usd", 1000)
    await debtor.pass_to(RENEWAL)
    told = await debtor.cancel(effectiveAt="NOW")
    assert told["subscription"]["status"] == "CANCELED"
    async with house.app.database.read() as session:
        customer = await customer_of_user(session, debtor.user)
        assert customer is not None
        assert (await balance_of(session, customer.id, "USD")).minor == 0
        query = select(LedgerEntry).where(LedgerEntry.kind == PostingKind.BALANCE_WRITTEN_OFF)
        booked = {entry.account: entry.amount_minor for entry in (await session.exec(query)).all()}
    assert booked == {Account.WRITTEN_OFF: 700, Account.CUSTOMER_BALANCE: -700}
    assert await house.audit() == []
