"""Trials: free days, told of before they end, then the first period; with a card, without one, and never twice."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlmodel import select

from billing.dunning import TrialEndAction
from gateways.sandbox import Fault
from gateways.sandbox.cards import GENERIC
from models.customers import UsedTrial
from models.events import BillingEvent
from models.subscriptions import Subscription
from services.policies import PolicyChange, update_dunning_policy
from tests.scenarios.merchant import Merchant, do
from tests.scenarios.shopping import Shopper
from tests.scenarios.test_pauses import pause, resume
from tests.support.bank import bank
from tests.support.house import House
from tests.support.outside import VISA, charges_by_invoice, sandbox_of

SUBSCRIBE = """mutation ($input: SubscribeInput!) { subscribe(input: $input) {
  subscription { id status isActive trial { periodDays start end } currentPeriod { start end } billingDay
    paymentConfirmation amount { formatted } nextBillingAt }
  payment { id } setupIntent { id status clientSecret } nextAction { type } userErrors { code field } } }"""
LIFE = """{ me { hasUsedTrial subscriptions(first: 2) { nodes { id status isActive endedAt activatedAt
  billingCycleAnchor
  currentPeriod { start end } trial { periodDays start end } cancellation { reason }
  statusHistory { from to at }
  invoices(first: 4) { nodes { status reason total { formatted } period { start end }
    lines { description amount { formatted } isProration }
    payments { status attempts { trigger outcome } } } } } } } }"""
CANCEL = """mutation ($id: ID!, $at: EffectiveAt!) {
  cancelSubscription(input: {subscriptionId: $id, effectiveAt: $at}) {
  subscription { status endsAt } userErrors { code } } }"""
RESUME = """mutation ($id: ID!) { resumeSubscription(input: {subscriptionId: $id}) {
  subscription { status } userErrors { code } } }"""

START = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
TRIAL_END = datetime(2026, 2, 7, 9, 30, tzinfo=UTC)
BILLING_DAY = datetime(2026, 3, 5, 9, 30, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass
class Visitor(Shopper):
    """A customer who looks first."""

    async def try_out(self, plan: str = "basic-monthly", **more: Any) -> dict[str, Any]:
        told = (await self.house.ask(SUBSCRIBE, {"input": {"planCode": plan, **more}}, self.user))["subscribe"]
        if told["subscription"] is not None:
            self.subscribed.append(told["subscription"]["id"])
        return told

    async def life(self) -> dict[str, Any]:
        """The newest subscription, and whether a trial was used."""
        me = (await self.house.ask(LIFE, user=self.user))["me"]
        return {"hasUsedTrial": me["hasUsedTrial"], **me["subscriptions"]["nodes"][0]}


def told_at(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def moves(life: dict[str, Any]) -> list[tuple[str | None, str, str]]:
    return [(each["from"], each["to"], each["at"]) for each in life["statusHistory"]]


async def events(house: House, type: str) -> list[BillingEvent]:
    async with house.app.database.read() as session:
        return list((await session.exec(select(BillingEvent).where(BillingEvent.type == type))).all())


async def test_a_trial_becomes_a_paid_subscription_prorated_up_to_the_billing_day(house: House) -> None:
    visitor = Visitor(house, "demo-card")
    told = await visitor.try_out(paymentMethodId=await visitor.default_card())
    assert (told["payment"], told["setupIntent"], told["nextAction"]["type"], told["userErrors"]) == (
        None,
        None,
        "NONE",
        [],
    )
    assert told["subscription"] == {
        "id": visitor.subscribed[0],
        "status": "TRIALING",
        "isActive": True,
        "trial": {"periodDays": 7, "start": told_at(START), "end": told_at(TRIAL_END)},
        "currentPeriod": {"start": told_at(START), "end": told_at(TRIAL_END)},
        "billingDay": 5,
        "paymentConfirmation": "PAID",
        "amount": {"formatted": "R$29.90"},
        "nextBillingAt": told_at(TRIAL_END),
    }
    assert await house.audit() == []

    (begun,) = await events(house, "subscription.trial_started")
    assert (begun.at, begun.subject_id) == (START, visitor.subscribed[0])
    assert begun.payload["trial_end"] == told_at(TRIAL_END)
    await visitor.pass_to(TRIAL_END - 3 * DAY - timedelta(microseconds=1))
    assert await events(house, "subscription.trial_will_end") == []
    await visitor.pass_to(TRIAL_END - 3 * DAY)
    await visitor.pass_to(TRIAL_END - DAY)
    (event,) = await events(house, "subscription.trial_will_end")
    assert (event.at, event.subject_id) == (TRIAL_END - 3 * DAY, visitor.subscribed[0])
    assert event.payload["trial_end"] == told_at(TRIAL_END)
    assert await charges_by_invoice(house) == {}

    await visitor.pass_to(TRIAL_END)
    life = await visitor.life()
    assert (life["status"], life["isActive"], life["activatedAt"]) == ("ACTIVE", True, told_at(TRIAL_END))
    assert moves(life) == [(None, "TRIALING", told_at(START)), ("TRIALING", "ACTIVE", told_at(TRIAL_END))]
    assert life["currentPeriod"] == {"start": told_at(TRIAL_END), "end": told_at(BILLING_DAY)}
    (invoice,) = life["invoices"]["nodes"]
    # 26 of the 28 days from the 5th of February to the 5th of March.
    assert (invoice["status"], invoice["reason"], invoice["total"]) == (
        "PAID",
        "SUBSCRIPTION_CYCLE",
        {"formatted": "R$27.76"},
    )
    await visitor.pass_to(datetime(2026, 4, 5, 9, 30, tzinfo=UTC))
    life = await visitor.life()
    assert [(each["total"]["formatted"], each["period"]["start"]) for each in life["invoices"]["nodes"]] == [
        ("R$29.90", "2026-04-05T09:30:00Z"),
        ("R$29.90", told_at(BILLING_DAY)),
        ("R$27.76", told_at(TRIAL_END)),
    ]
    assert sorted((await charges_by_invoice(house)).values()) == [1, 1, 1]
    assert await house.audit() == []


async def test_a_trial_without_a_billing_day_counts_its_periods_from_its_end(house: House) -> None:
    await Merchant(house).plan("tea", "10.00", trialPeriodDays=14)
    visitor = Visitor(house, "demo-card")
    await visitor.try_out("tea")
    end = START + 14 * DAY
    await visitor.pass_to(end)
    life = await visitor.life()
    assert life["billingCycleAnchor"] == told_at(end)
    assert life["currentPeriod"] == {"start": told_at(end), "end": "2026-03-14T09:30:00Z"}
    assert [each["total"]["formatted"] for each in life["invoices"]["nodes"]] == ["$10.00"]


async def test_a_product_is_tried_once_and_the_second_time_is_charged_at_once(house: House) -> None:
    visitor = Visitor(house, "demo-card")
    card = await visitor.default_card()
    await visitor.try_out(paymentMethodId=card)
    assert (await visitor.life())["hasUsedTrial"] is True
    refused = await visitor.try_out(paymentMethodId=card)
    assert [each["code"] for each in refused["userErrors"]] == ["ALREADY_SUBSCRIBED"]
    told = await house.ask(CANCEL, {"id": visitor.subscribed[0], "at": "NOW"}, visitor.user)
    assert told["cancelSubscription"]["subscription"]["status"] == "CANCELED"

    again = await visitor.try_out(paymentMethodId=card)
    assert (again["subscription"]["status"], again["subscription"]["trial"]) == ("ACTIVE", None)
    (invoice,) = (await visitor.life())["invoices"]["nodes"]
    # From the 31st of January to the 5th of February: 5 of 31 days.
    assert (invoice["status"], invoice["total"]) == ("PAID", {"formatted": "R$4.82"})
    assert await house.audit() == []


async def test_another_product_has_a_trial_of_its_own(house: House) -> None:
    await Merchant(house).plan("tea", "10.00", trialPeriodDays=14)
    visitor = Visitor(house, "demo-card")
    await visitor.try_out()
    assert (await visitor.try_out("tea"))["subscription"]["status"] == "TRIALING"


async def test_a_trial_without_a_card_asks_for_one_and_is_paid_with_it(house: House) -> None:
    visitor = Visitor(house, "demo-new")
    told = await visitor.try_out()
    assert (told["subscription"]["status"], told["nextAction"]["type"]) == ("TRIALING", "ADD_PAYMENT_METHOD")
    assert told["setupIntent"]["status"] == "REQUIRES_PAYMENT_METHOD"
    again = await visitor.try_out()
    assert [each["code"] for each in again["userErrors"]] == ["ALREADY_SUBSCRIBED"]
    assert again["setupIntent"] == told["setupIntent"]

    await visitor.browser.confirm(told["setupIntent"]["clientSecret"], VISA)
    await house.deliver()
    assert (await visitor.try_out())["setupIntent"] is None
    await visitor.pass_to(TRIAL_END)
    life = await visitor.life()
    assert (life["status"], [each["status"] for each in life["invoices"]["nodes"]]) == ("ACTIVE", ["PAID"])
    assert await house.audit() == []


async def test_a_gateway_that_is_away_does_not_keep_a_trial_from_starting(house: House) -> None:
    visitor = Visitor(house, "demo-new")
    sandbox_of(house).faults.arm(Fault.ERROR_500_BEFORE, count=10, path_contains="/setup_intents")
    told = await visitor.try_out()
    assert (told["subscription"]["status"], told["setupIntent"]) == ("TRIALING", None)
    assert [each["code"] for each in told["userErrors"]] == ["GATEWAY_UNAVAILABLE"]
    sandbox_of(house).faults.clear()
    again = await visitor.try_out()
    assert again["setupIntent"]["status"] == "REQUIRES_PAYMENT_METHOD"


async def test_without_a_card_the_first_period_is_billed_and_waits_for_one(house: House) -> None:
    visitor = Visitor(house, "demo-new")
    await visitor.try_out()
    await visitor.pass_to(TRIAL_END)
    life = await visitor.life()
    assert (life["status"], life["isActive"]) == ("PAST_DUE", True)
    assert moves(life)[1:] == [
        ("TRIALING", "ACTIVE", told_at(TRIAL_END)),
        ("ACTIVE", "PAST_DUE", told_at(TRIAL_END)),
    ]
    (invoice,) = life["invoices"]["nodes"]
    assert (invoice["status"], invoice["payments"]) == ("OPEN", [{"status": "REQUIRES_PAYMENT_METHOD", "attempts": []}])
    await visitor.save_card("pm_card_visa")
    await house.work()
    assert (await visitor.life())["status"] == "ACTIVE"
    assert await house.audit() == []


async def test_without_a_card_it_is_canceled_where_that_is_the_policy(house: House) -> None:
    await update_dunning_policy(house.app, PolicyChange(trial_end_action=TrialEndAction.CANCEL))
    visitor = Visitor(house, "demo-new")
    await visitor.try_out()
    await visitor.pass_to(TRIAL_END)
    life = await visitor.life()
    assert (life["status"], life["endedAt"], life["invoices"]["nodes"]) == ("CANCELED", told_at(TRIAL_END), [])
    assert life["cancellation"] == {"reason": "TERM_ENDED"}
    assert (await visitor.try_out())["subscription"]["status"] == "INCOMPLETE"


async def test_without_a_card_it_is_paused_where_that_is_the_policy_and_billed_when_it_is_resumed(house: House) -> None:
    await update_dunning_policy(house.app, PolicyChange(trial_end_action=TrialEndAction.PAUSE))
    visitor = Visitor(house, "demo-new")
    await visitor.try_out()
    await visitor.pass_to(TRIAL_END + 10 * DAY)
    life = await visitor.life()
    assert (life["status"], life["isActive"], life["invoices"]["nodes"]) == ("PAUSED", False, [])
    await visitor.save_card("pm_card_visa")
    told = await house.ask(RESUME, {"id": visitor.subscribed[0]}, visitor.user)
    assert told["resumeSubscription"]["userErrors"] == []
    await visitor.house.work()
    life = await visitor.life()
    assert (life["status"], life["currentPeriod"]) == (
        "ACTIVE",
        {"start": told_at(TRIAL_END + 10 * DAY), "end": told_at(BILLING_DAY)},
    )
    # 16 of the 28 days from the 5th of February to the 5th of March.
    assert [each["total"]["formatted"] for each in life["invoices"]["nodes"]] == ["R$17.09"]


async def test_a_decline_at_the_trials_end_is_tried_again_like_any_other(house: House) -> None:
    visitor = Visitor(house, "demo-card")
    with bank() as issuer:
        await visitor.try_out()
        issuer.declines(VISA, GENERIC)
        await visitor.pass_to(TRIAL_END)
        assert (await visitor.life())["status"] == "PAST_DUE"
        issuer.pays(VISA)
        await visitor.pass_to(TRIAL_END + 2 * DAY)
    life = await visitor.life()
    assert life["status"] == "ACTIVE"
    assert [each["trigger"] for each in life["invoices"]["nodes"][0]["payments"][0]["attempts"]] == [
        "RENEWAL",
        "DUNNING_RETRY",
    ]
    assert await house.audit() == []


async def test_a_trial_that_is_canceled_at_its_end_costs_nothing(house: House) -> None:
    visitor = Visitor(house, "demo-card")
    await visitor.try_out()
    told = await house.ask(CANCEL, {"id": visitor.subscribed[0], "at": "PERIOD_END"}, visitor.user)
    assert told["cancelSubscription"]["subscription"] == {"status": "TRIALING", "endsAt": told_at(TRIAL_END)}
    await visitor.pass_to(TRIAL_END - timedelta(microseconds=1))
    assert (await visitor.life())["isActive"] is True
    await visitor.pass_to(TRIAL_END)
    life = await visitor.life()
    assert (life["status"], life["endedAt"], life["invoices"]["nodes"]) == ("CANCELED", told_at(TRIAL_END), [])
    assert await charges_by_invoice(house) == {}


async def test_staff_give_a_trial_and_take_one_away_and_customers_do_not(house: House) -> None:
    shopper, other = Visitor(house, "demo-card"), Visitor(house, "demo-decline")
    refused = await shopper.try_out("reader-pro", trialPeriodDays=30)
    assert [(each["code"], each["field"]) for each in refused["userErrors"]] == [("NOT_PERMITTED", ["trialPeriodDays"])]
    me = (await house.ask("{ me { id } }", user=shopper.user))["me"]["id"]
    asked = "subscription { status trial { periodDays } }"
    wish = {"planCode": "reader-pro", "trialPeriodDays": 30, "customerId": me}
    told = await do(house, "subscribe", "SubscribeInput", wish, asked)
    assert told["subscription"] == {"status": "TRIALING", "trial": {"periodDays": 30}}
    other_id = (await house.ask("{ me { id } }", user=other.user))["me"]["id"]
    wish = {"planCode": "basic-monthly", "trialPeriodDays": 0, "customerId": other_id}
    told = await do(house, "subscribe", "SubscribeInput", wish, asked)
    assert told["subscription"] == {"status": "INCOMPLETE", "trial": None}


async def test_a_trial_with_a_start_to_come_is_spent_when_it_starts(house: House) -> None:
    await Merchant(house).plan("tea", "10.00", trialPeriodDays=14)
    visitor = Visitor(house, "demo-card")
    begin = START + 20 * DAY
    await _order_tea(house, visitor, begin)
    assert (await visitor.life())["hasUsedTrial"] is False
    await visitor.pass_to(begin)
    life = await visitor.life()
    assert (life["status"], life["hasUsedTrial"], life["trial"]["end"]) == ("TRIALING", True, told_at(begin + 14 * DAY))
    await visitor.pass_to(begin + 14 * DAY)
    assert (await visitor.life())["status"] == "ACTIVE"


async def test_what_was_tried_before_an_agreed_trial_starts_is_charged_from_its_start(house: House) -> None:
    """The trial was agreed while it was still to be had; another subscription has used it since."""
    await Merchant(house).plan("tea", "10.00", trialPeriodDays=14)
    visitor = Visitor(house, "demo-card")
    begin = START + 20 * DAY
    row = await _order_tea(house, visitor, begin)
    async with house.app.database.write() as session:
        subscription = await session.get_one(Subscription, row)
        used = UsedTrial(customer_id=subscription.customer_id, product_id=subscription.product_id, started_at=START)
        session.add(used)
    await visitor.pass_to(begin)
    life = await visitor.life()
    assert (life["status"], life["trial"], life["billingCycleAnchor"]) == ("ACTIVE", None, told_at(begin))
    assert life["currentPeriod"] == {"start": told_at(begin), "end": "2026-03-20T09:30:00Z"}
    assert [each["total"]["formatted"] for each in life["invoices"]["nodes"]] == ["$10.00"]


async def _order_tea(house: House, visitor: Visitor, begin: datetime) -> str:
    me = (await house.ask("{ me { id } }", user=visitor.user))["me"]["id"]
    wish = {"planCode": "tea", "startAt": told_at(begin), "customerId": me}
    told = await do(house, "subscribe", "SubscribeInput", wish, "subscription { id status }")
    assert told["subscription"]["status"] == "SCHEDULED"
    return told["subscription"]["id"]


async def test_a_trials_end_that_a_pause_has_moved_is_told_of_again(small_house: House) -> None:
    visitor = Visitor(small_house, "demo-card")
    await visitor.try_out(paymentMethodId=await visitor.default_card())
    await visitor.pass_to(TRIAL_END - 2 * DAY)
    await pause(visitor)
    small_house.pass_time(30 * DAY)
    await resume(visitor)
    await small_house.work()
    told = await events(small_house, "subscription.trial_will_end")
    assert [(each.at, each.payload["trial_end"]) for each in told] == [
        (TRIAL_END - 3 * DAY, told_at(TRIAL_END)),
        (TRIAL_END + 28 * DAY, told_at(TRIAL_END + 30 * DAY)),
    ]
