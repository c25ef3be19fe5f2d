"""How long a subscription runs: renewing or not, ending at a date, and going on after all."""

from datetime import timedelta
from typing import Any

from models.subscriptions import Subscription
from tests.scenarios.changing import codes
from tests.scenarios.shopping import Shopper
from tests.support.house import House
from tests.support.outside import charges_by_invoice

ERRORS = "userErrors { code field message ... on VersionConflictError { currentVersion } }"
SHOWN = """id version status isActive name metadata cancelAtPeriodEnd cancelAt endsAt endedAt nextBillingAt canceledAt
  cancellation { reason requestedBy }"""
UNCANCEL = f"""mutation ($input: UncancelSubscriptionInput!) {{ uncancelSubscription(input: $input) {{
  subscription {{ {SHOWN} }} {ERRORS} }} }}"""
UPDATE = f"""mutation ($input: UpdateSubscriptionInput!) {{ updateSubscription(input: $input) {{
  subscription {{ {SHOWN} }} {ERRORS} }} }}"""
CANCEL = f"""mutation ($input: CancelSubscriptionInput!) {{ cancelSubscription(input: $input) {{
  subscription {{ {SHOWN} }} {ERRORS} }} }}"""
MINE = f"query ($id: ID!) {{ subscription(id: $id) {{ {SHOWN} invoices {{ nodes {{ status }} }} }} }}"


class Subscriber(Shopper):
    async def begin(self, **more: Any) -> dict[str, Any]:
        told = await self.subscribe(paymentMethodId=await self.default_card(), **more)
        assert told["subscription"]["status"] == "ACTIVE"
        return await self.mine()

    async def mine(self) -> dict[str, Any]:
        return (await self.house.ask(MINE, {"id": self.subscribed[-1]}, self.user))["subscription"]

    async def pass_days(self, days: float) -> dict[str, Any]:
        self.house.pass_time(timedelta(days=days))
        await self.house.work()
        return await self.mine()


# ── a date ──


async def test_it_ends_at_a_date_within_its_period(house: House) -> None:
    subscriber = Subscriber(house, "demo-card")
    await subscriber.begin()
    told = await subscriber.ask(CANCEL, effectiveAt="AT_DATE", date="2026-02-10T12:00:00Z", reason="UNUSED")
    shown = told["subscription"]
    assert (codes(told), shown["status"], shown["isActive"]) == ([], "ACTIVE", True)
    assert (shown["cancelAt"], shown["endsAt"], shown["nextBillingAt"], shown["cancelAtPeriodEnd"]) == (
        "2026-02-10T12:00:00Z",
        "2026-02-10T12:00:00Z",
        None,
        False,
    )
    assert shown["cancellation"] == {"reason": "UNUSED", "requestedBy": "CUSTOMER"}
    again = await subscriber.ask(CANCEL, effectiveAt="AT_DATE", date="2026-02-10T12:00:00Z")
    assert again["subscription"] == shown
    assert (await subscriber.pass_days(10))["status"] == "ACTIVE"
    ended = await subscriber.pass_days(0.2)
    assert (ended["status"], ended["isActive"], ended["endedAt"]) == ("CANCELED", False, "2026-02-10T14:18:00Z")
    assert list((await charges_by_invoice(house)).values()) == [1]


async def test_it_renews_in_full_until_the_date_comes(house: House) -> None:
    subscriber = Subscriber(house, "demo-card")
    await subscriber.begin()
    told = await subscriber.ask(CANCEL, effectiveAt="AT_DATE", date="2026-03-10T00:00:00Z")
    assert told["subscription"]["nextBillingAt"] == "2026-02-28T09:30:00Z"
    renewed = await subscriber.pass_days(30)
    assert (renewed["status"], renewed["nextBillingAt"], renewed["endsAt"]) == (
        "ACTIVE",
        None,
        "2026-03-10T00:00:00Z",
    )
    assert [invoice["status"] for invoice in renewed["invoices"]["nodes"]] == ["PAID", "PAID"]
    ended = await subscriber.pass_days(10)
    assert (ended["status"], len(ended["invoices"]["nodes"])) == ("CANCELED", 2)
    assert sorted((await charges_by_invoice(house)).values()) == [1, 1]
    assert await house.audit() == []


async def test_a_late_worker_bills_what_was_due_before_the_date_and_ends_it_then(house: House) -> None:
    subscriber = Subscriber(house, "demo-card")
    await subscriber.begin()
    await subscriber.ask(CANCEL, effectiveAt="AT_DATE", date="2026-03-10T00:00:00Z")
    late = await subscriber.pass_days(100)
    assert (late["status"], [i["status"] for i in late["invoices"]["nodes"]]) == ("CANCELED", ["PAID", "PAID"])


async def test_the_date_of_a_periods_end_is_its_period_s_end(house: House) -> None:
    subscriber = Subscriber(house, "demo-card")
    await subscriber.begin()
    told = await subscriber.ask(CANCEL, effectiveAt="AT_DATE", date="2026-02-28T09:30:00Z")
    assert told["subscription"]["nextBillingAt"] is None
    ended = await subscriber.pass_days(28)
    assert (ended["status"], len(ended["invoices"]["nodes"])) == ("CANCELED", 1)


async def test_one_end_replaces_another(house: House) -> None:
    subscriber = Subscriber(house, "demo-card")
    await subscriber.begin()
    await subscriber.ask(CANCEL, effectiveAt="AT_DATE", date="2026-02-10T00:00:00Z")
    later = (await subscriber.ask(CANCEL, effectiveAt="PERIOD_END"))["subscription"]
    assert (later["cancelAt"], later["cancelAtPeriodEnd"], later["endsAt"]) == (None, True, "2026-02-28T09:30:00Z")
    assert (await subscriber.pass_days(12))["status"] == "ACTIVE"
    sooner = (await subscriber.ask(CANCEL, effectiveAt="AT_DATE", date="2026-02-13T00:00:00Z"))["subscription"]
    assert (sooner["cancelAtPeriodEnd"], sooner["endsAt"]) == (False, "2026-02-13T00:00:00Z")
    assert (await subscriber.pass_days(1))["status"] == "CANCELED"


async def test_a_date_goes_with_at_date_and_lies_ahead(house: House) -> None:
    subscriber = Subscriber(house, "demo-card")
    before = await subscriber.begin()

    async def refused(**wish: Any) -> list[tuple[str, list[str]]]:
        told = await subscriber.ask(CANCEL, **wish)
        return [(error["code"], error["field"]) for error in told["userErrors"]]

    assert await refused(effectiveAt="AT_DATE") == [("REQUIRED", ["date"])]
    assert await refused(effectiveAt="NOW", date="2026-03-01T00:00:00Z") == [("INVALID", ["date"])]
    assert await refused(date="2026-03-01T00:00:00Z") == [("INVALID", ["date"])]
    assert await refused(effectiveAt="AT_DATE", date="2026-01-31T09:30:00Z") == [("INVALID", ["date"])]
    assert await subscriber.mine() == before


async def test_an_unpaid_first_period_ends_at_once_whatever_the_date(house: House) -> None:
    subscriber = Subscriber(house, "demo-new")
    await subscriber.subscribe()
    told = await subscriber.ask(CANCEL, effectiveAt="AT_DATE", date="2026-06-01T00:00:00Z")
    assert told["subscription"]["status"] == "INCOMPLETE_EXPIRED"


# ── going on ──


async def test_a_cancellation_is_taken_back(house: House) -> None:
    subscriber = Subscriber(house, "demo-card")
    before = await subscriber.begin()
    for wish in ({"effectiveAt": "PERIOD_END"}, {"effectiveAt": "AT_DATE", "date": "2026-02-10T00:00:00Z"}):
        await subscriber.ask(CANCEL, reason="UNUSED", **wish)
        told = await subscriber.ask(UNCANCEL)
        assert codes(told) == []
        shown = told["subscription"]
        assert {**before, "version": shown["version"], "invoices": 0} == {**shown, "invoices": 0}
        assert await subscriber.ask(UNCANCEL) == told
    renewed = await subscriber.pass_days(28)
    assert (renewed["status"], len(renewed["invoices"]["nodes"])) == ("ACTIVE", 2)


async def test_what_has_ended_stays_ended(house: House) -> None:
    subscriber = Subscriber(house, "demo-card")
    await subscriber.begin()
    await subscriber.ask(CANCEL, effectiveAt="PERIOD_END")
    version = (await subscriber.mine())["version"]
    stale = await subscriber.ask(UNCANCEL, expectedVersion=version - 1)
    assert (codes(stale), stale["userErrors"][0]["currentVersion"]) == (["VERSION_CONFLICT"], version)
    stranger = Subscriber(house, "demo-decline", subscribed=subscriber.subscribed)
    assert codes(await stranger.ask(UNCANCEL)) == ["NOT_FOUND"]
    house.pass_time(timedelta(days=28))
    # The worker has not come to it yet.
    late = await subscriber.ask(UNCANCEL)
    assert [(e["code"], e["message"]) for e in late["userErrors"]] == [
        ("INVALID_STATE", "Its period is just ending. Read it again in a minute.")
    ]
    assert codes(await subscriber.ask(UPDATE, autoRenew=True)) == ["INVALID_STATE"]
    assert (await subscriber.pass_days(0))["status"] == "CANCELED"
    for told in (await subscriber.ask(UNCANCEL), await subscriber.ask(UPDATE, name="x")):
        assert [(e["code"], e["message"]) for e in told["userErrors"]] == [
            ("INVALID_STATE", "The subscription is canceled already.")
        ]


async def test_nobody_changes_its_mind_while_the_worker_is_at_it(house: House) -> None:
    subscriber = Subscriber(house, "demo-card")
    await subscriber.begin()
    await subscriber.ask(CANCEL, effectiveAt="PERIOD_END")
    async with house.app.database.write() as session:
        row = await session.get_one(Subscription, subscriber.subscribed[-1])
        row.leased_until = house.machine.now() + timedelta(seconds=1)
    assert codes(await subscriber.ask(UNCANCEL)) == ["INVALID_STATE"]
    house.pass_time(timedelta(seconds=1))
    assert codes(await subscriber.ask(UNCANCEL)) == []


# ── renewing or not, name and notes ──


async def test_without_auto_renew_it_ends_with_its_period(house: House) -> None:
    subscriber = Subscriber(house, "demo-card")
    begun = await subscriber.begin(autoRenew=False)
    assert (begun["cancelAtPeriodEnd"], begun["endsAt"], begun["nextBillingAt"], begun["cancellation"]) == (
        True,
        "2026-02-28T09:30:00Z",
        None,
        None,
    )
    canceled = (await subscriber.ask(CANCEL, effectiveAt="PERIOD_END"))["subscription"]
    assert canceled["cancellation"] == {"reason": None, "requestedBy": "CUSTOMER"}
    assert (await subscriber.ask(CANCEL, effectiveAt="PERIOD_END"))["subscription"] == canceled
    ended = await subscriber.pass_days(28)
    assert (ended["status"], len(ended["invoices"]["nodes"])) == ("CANCELED", 1)


async def test_auto_renew_is_switched_off_and_on(house: House) -> None:
    subscriber = Subscriber(house, "demo-card")
    before = await subscriber.begin()
    off = (await subscriber.ask(UPDATE, autoRenew=False))["subscription"]
    assert (off["cancelAtPeriodEnd"], off["nextBillingAt"], off["version"]) == (True, None, before["version"] + 1)
    asked = {"reason": None, "requestedBy": "CUSTOMER"}
    assert (off["canceledAt"], off["cancellation"]) == ("2026-01-31T09:30:00Z", asked)
    assert (await subscriber.ask(UPDATE, autoRenew=False))["subscription"] == off
    on = (await subscriber.ask(UPDATE, autoRenew=True))["subscription"]
    assert (on["nextBillingAt"], on["cancellation"]) == (before["nextBillingAt"], None)
    # It takes a cancellation at the period's end back, and leaves a date alone.
    await subscriber.ask(CANCEL, effectiveAt="PERIOD_END")
    assert (await subscriber.ask(UPDATE, autoRenew=True))["subscription"]["canceledAt"] is None
    await subscriber.ask(CANCEL, effectiveAt="AT_DATE", date="2026-03-10T00:00:00Z")
    await subscriber.ask(UPDATE, autoRenew=False)
    dated = (await subscriber.ask(UPDATE, autoRenew=True))["subscription"]
    assert (dated["endsAt"], dated["cancellation"]) == (
        "2026-03-10T00:00:00Z",
        {"reason": None, "requestedBy": "CUSTOMER"},
    )


async def test_subscribing_again_may_change_whether_it_renews(house: House) -> None:
    subscriber = Subscriber(house, "demo-new")
    await subscriber.subscribe(autoRenew=False)
    assert (await subscriber.mine())["cancelAtPeriodEnd"] is True
    await subscriber.subscribe()
    assert (await subscriber.mine())["cancelAtPeriodEnd"] is True
    await subscriber.subscribe(autoRenew=True)
    assert (await subscriber.mine())["cancelAtPeriodEnd"] is False
    assert len(subscriber.subscribed) == 1


async def test_name_and_notes_change_alone(house: House) -> None:
    subscriber = Subscriber(house, "demo-card")
    before = await subscriber.begin(name="First", metadata={"a": 1})
    told = (await subscriber.ask(UPDATE, name="Second", expectedVersion=before["version"]))["subscription"]
    assert (told["name"], told["metadata"], told["version"]) == ("Second", {"a": 1}, before["version"] + 1)
    told = (await subscriber.ask(UPDATE, metadata={"b": [2]}))["subscription"]
    assert (told["name"], told["metadata"]) == ("Second", {"b": [2]})
    assert (await subscriber.ask(UPDATE))["subscription"] == told
    assert (await subscriber.ask(UPDATE, name=""))["subscription"]["name"] is None
    stale = await subscriber.ask(UPDATE, name="Third", expectedVersion=before["version"])
    assert codes(stale) == ["VERSION_CONFLICT"]
    assert codes(await subscriber.ask(UPDATE, name="x" * 251)) == ["INVALID"]
    assert codes(await subscriber.ask(UPDATE, metadata=[1])) == ["INVALID"]
