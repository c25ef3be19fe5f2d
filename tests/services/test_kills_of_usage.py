"""Killed at every commit and gateway call around metered renewals, usage and credits: no event twice, none lost."""

from datetime import timedelta
from decimal import Decimal

from sqlmodel import col, select

from billing.calendar import Interval
from billing.metering import Aggregation, UsageType
from billing.offering import NewAllowance, NewPrice, PlanTerms
from models.credits import CreditBalance, CreditEntry
from models.customers import customer_of_user
from models.invoices import Invoice, lines_of
from models.subscriptions import Subscription
from models.usage import UsageRecord
from services.app import App
from services.ends.canceling import CancelWish, cancel_subscription
from services.selling.catalog import create_plan
from services.selling.entries import PlanEntry
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.subscribing import subscribe
from services.usage.consuming import CreditWish, consume_credits
from services.usage.recording import NewUsage, record_usage
from tests.services.conftest import Fresh
from tests.services.killing import killed_everywhere
from tests.support.house import House
from tests.support.outside import charges_by_invoice
from worker import Worker

USER = "demo-card"
A_MONTH = timedelta(days=28)


async def _subscribed(house: House) -> None:
    """To a cent a call, and three cups a period."""
    terms = PlanTerms(
        interval=Interval.MONTH,
        prices=[NewPrice("USD", unit_amount=Decimal("0.01"))],
        usage_type=UsageType.METERED,
        aggregate_usage=Aggregation.SUM,
        feature_code="calls",
        credits=[NewAllowance("cup", total=3)],
    )
    await create_plan(house.app, PlanEntry("API", terms, product_code="premium", code="api"))
    async with house.app.database.read() as session:
        customer = await customer_of_user(session, USER)
    assert customer is not None
    wish = SubscribeWish(plan_code="api", payment_method_id=customer.default_payment_method_id)
    assert (await subscribe(house.app, house.actor(USER), wish)).problems == ()
    await house.deliver()


async def _used(house: House) -> None:
    await _subscribed(house)
    assert (await record_usage(house.app, await _events(house, 0))).accepted == 2


async def _subscription(house: House) -> Subscription:
    async with house.app.database.read() as session:
        return (await session.exec(select(Subscription))).one()


async def _events(house: House, n: int) -> list[NewUsage]:
    """Two events of 250 calls, under the keys of the batch `n`."""
    row = await _subscription(house)
    return [NewUsage("calls", Decimal(250), f"{n}-{each}", subscription_id=row.id) for each in range(2)]


async def _billed(house: House) -> list[int]:
    """The totals in cents, the oldest first; each record is on the invoice whose line counts it, and on that alone."""
    async with house.app.database.read() as session:
        invoices = (await session.exec(select(Invoice).order_by(col(Invoice.created_at), col(Invoice.number)))).all()
        records = (await session.exec(select(UsageRecord))).all()
        for invoice in invoices:
            counted = sum(record.quantity for record in records if record.invoice_id == invoice.id)
            assert sum(line.quantity for line in await lines_of(session, [invoice.id])) == counted
    assert all(record.invoice_id is not None for record in records)
    return [invoice.total_minor for invoice in invoices]


async def _cups(house: House) -> tuple[int, list[int]]:
    async with house.app.database.read() as session:
        balance = (await session.exec(select(CreditBalance))).one()
        entries = (await session.exec(select(CreditEntry).order_by(col(CreditEntry.id)))).all()
    assert sum(entry.quantity for entry in entries) == balance.remaining
    return balance.remaining, [entry.quantity for entry in entries]


def test_a_metered_renewal_killed_at_every_point_bills_and_refills_once(fresh: Fresh) -> None:
    async def renew(app: App, house: House) -> None:
        await Worker(app).once()

    async def recover(house: House) -> None:
        await house.work()
        await house.deliver()
        assert await _billed(house) == [0, 500]
        assert sorted((await charges_by_invoice(house)).values()) == [1]
        assert await _cups(house) == (3, [3, -3, 3])
        assert await house.audit() == []

    killed_everywhere(fresh, _used, renew, recover, at=A_MONTH, least=2)


def test_an_end_killed_at_every_point_bills_what_was_used_once(fresh: Fresh) -> None:
    async def cancel(app: App, house: House) -> None:
        wish = CancelWish((await _subscription(house)).id)
        await cancel_subscription(app, house.actor(USER), wish)

    async def recover(house: House) -> None:
        row = await _subscription(house)
        if row.ended_at is None:
            await cancel(house.app, house)
        await house.work()
        await house.deliver()
        await house.work()
        assert await _billed(house) == [0, 500]
        assert sorted((await charges_by_invoice(house)).values()) == [1]
        assert await house.audit() == []

    killed_everywhere(fresh, _used, cancel, recover, at=timedelta(days=3), least=2)


def test_a_batch_killed_at_every_point_counts_once_when_it_is_told_again(fresh: Fresh) -> None:
    async def tell(app: App, house: House) -> None:
        await record_usage(app, await _events(house, 0))

    async def recover(house: House) -> None:
        again = await record_usage(house.app, await _events(house, 0))
        assert (again.accepted + again.duplicates, again.problems) == (2, [])
        house.pass_time(A_MONTH)
        await house.work()
        assert await _billed(house) == [0, 500]

    killed_everywhere(fresh, _subscribed, tell, recover, at=timedelta(days=3), least=2)


def test_consuming_killed_at_every_point_moves_once_when_it_is_asked_again(fresh: Fresh) -> None:
    async def consume(app: App, house: House) -> None:
        wish = CreditWish("cup", 2, "key", subscription_id=(await _subscription(house)).id)
        await consume_credits(app, house.actor(USER), wish)

    async def recover(house: House) -> None:
        await consume(house.app, house)
        assert await _cups(house) == (1, [3, -2])

    killed_everywhere(fresh, _subscribed, consume, recover, at=timedelta(days=1), least=2)
