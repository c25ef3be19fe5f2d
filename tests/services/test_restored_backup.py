"""A database restored from a backup (promise M3): the gateway's books are ahead, and nobody is charged twice.

The sandbox keeps its books in a database of its own, which is not restored.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from billing.lifecycle import InvoiceStatus, SubscriptionStatus
from gateways.sandbox import Fault
from models.customers import customer_of_user
from models.invoices import Invoice
from models.subscriptions import Subscription
from services.amendments.plan_changes import ChangePlanWish, change_plan
from services.books.reconciling import ReportView, report_view
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.subscribing import subscribe
from tests.scenarios.shopping import Channel, Shopper
from tests.support.breaking import only
from tests.support.databases import TEMPLATE, Place, copy_of_file, place_on
from tests.support.house import House, open_house
from tests.support.kills import EVER, Points, in_child, killed, mortal
from tests.support.outside import charges_by_invoice, dashboard, faults_always

LOST = Channel("webhooks off", (Fault.WEBHOOKS_OFF,))
MONTH = timedelta(days=31)


@dataclass(frozen=True)
class Installation:
    """A product database that can be saved and restored, and the gateway's books beside it."""

    place: Place
    books: Path

    @asynccontextmanager
    async def open(self, *, after: timedelta = timedelta(0), **settings: Any) -> AsyncIterator[House]:
        """The product as it starts up some time later, with webhooks that never come."""
        settings = {"demo": False, "sandbox_database_url": f"sqlite:///{self.books}", **settings}
        async with open_house(self.place.url, **settings) as house:
            house.pass_time(after)
            faults_always(house, Fault.WEBHOOKS_OFF)
            yield house

    def restore(self, backup: Place, books: bytes) -> None:
        """Both as they were."""
        self.place.restore(backup)
        for leftover in ("-wal", "-shm"):
            self.books.with_name(f"{self.books.name}{leftover}").unlink(missing_ok=True)
        self.books.write_bytes(books)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        yield Place(None, copy_of_file(request.getfixturevalue("sqlite_file"), tmp_path / "perennial.db"))
        return
    with place_on(request.getfixturevalue("postgres"), TEMPLATE) as place:
        yield place


@pytest.fixture
def home(place: Place, tmp_path: Path) -> Installation:
    """With the demo data."""
    made = Installation(place, tmp_path / "gateway.db")

    async def load() -> None:
        async with made.open(demo=True):
            pass

    asyncio.run(load())
    return made


async def in_use(home: Installation, act: Callable[[House], Awaitable[Any]], **more: Any) -> Any:
    async with home.open(**more) as house:
        return await act(house)


def forgotten(home: Installation, act: Callable[[House], Awaitable[Any]], *, after: timedelta) -> None:
    """What a backup from before it, restored now, does not know: the gateway alone does."""
    backup = home.place.save()
    asyncio.run(in_use(home, act, after=after))
    home.place.restore(backup)


async def last_report(house: House) -> ReportView:
    view = await report_view(house.app, None)
    assert view is not None
    return view


def told(view: ReportView) -> list[tuple[str, bool]]:
    return [(drift.kind.value, drift.repaired) for drift in view.drift]


async def buy(house: House) -> None:
    shopper = Shopper(house, "demo-card", LOST)
    answer = await shopper.subscribe(paymentMethodId=await shopper.default_card())
    assert answer["subscription"]["status"] == "ACTIVE"


async def states(house: House) -> tuple[list[SubscriptionStatus], list[InvoiceStatus]]:
    async with house.app.database.read() as session:
        subscriptions = (await session.exec(select(Subscription))).all()
        invoices = (await session.exec(select(Invoice).order_by(Invoice.number))).all()
    return [s.status for s in subscriptions], [i.status for i in invoices]


def test_a_purchase_that_the_backup_does_not_know_is_told_by_the_workers_first_pass(home: Installation) -> None:
    asyncio.run(in_use(home, lambda house: house.work(), reconcile_minutes=15))
    forgotten(home, buy, after=timedelta(hours=1))

    async def afterwards(house: House) -> None:
        assert (await house.work())["reconciled"] == 1
        view = await last_report(house)
        intent = (await dashboard(house).payment_intents.list_async()).data[0]
        invoice = intent.metadata["perennial_invoice"]
        (drift,) = view.drift
        assert (drift.kind, drift.gateway_ref, drift.local, drift.gateway, drift.repaired) == (
            "invoice_unknown",
            intent.id,
            None,
            f"succeeded, USD 7.00 for invoice {invoice}",
            False,
        )
        assert await house.audit() == [
            f"intent {intent.id} for invoice {invoice}: USD 7.00 captured at the gateway, unknown here"
        ]
        assert await states(house) == ([], [])
        assert await charges_by_invoice(house) == {invoice: 1}
        # Subscribing again is a purchase of its own: it pays its own invoice, once.
        await buy(house)
        assert await charges_by_invoice(house) == {invoice: 1, (await only(house, "invoices"))["id"]: 1}

    asyncio.run(in_use(home, afterwards, after=timedelta(hours=3), reconcile_minutes=15))


async def _wish(house: House) -> SubscribeWish:
    async with house.app.database.read() as session:
        customer = await customer_of_user(session, "demo-card")
    assert customer is not None
    return SubscribeWish(plan_code="reader-pro", payment_method_id=customer.default_payment_method_id)


async def _again(house: House) -> None:
    await subscribe(house.app, house.actor("demo-card"), await _wish(house))


async def _nobody_clicks(house: House) -> None:
    assert (await house.work())["reconciled"] == 1


@pytest.mark.parametrize("recover", [_again, _nobody_clicks])
def test_a_backup_from_any_moment_of_a_purchase_charges_nobody_twice(
    home: Installation, recover: Callable[[House], Awaitable[None]]
) -> None:
    """Saved at every commit and gateway call of a subscribe that then goes on to be paid."""
    backup, then = home.place.save(), home.place.save()
    books = home.books.read_bytes()
    backups_that_know = 0

    def subscribing(points: Points) -> Awaitable[None]:
        async def work() -> None:
            async with home.open() as house:
                app = mortal(house.app, home.place.url, points)
                await subscribe(app, house.actor("demo-card"), await _wish(house))

        return work()

    async def bought_again(house: House) -> None:
        await _again(house)
        assert await states(house) == ([SubscriptionStatus.ACTIVE], [InvoiceStatus.PAID])

    async def restored(house: House) -> bool:
        if await states(house) == ([], []):
            return False  # told by the test above
        await recover(house)
        assert await states(house) == ([SubscriptionStatus.ACTIVE], [InvoiceStatus.PAID])
        assert list((await charges_by_invoice(house)).values()) == [1]
        assert await house.audit() == []
        return True

    points = in_child(subscribing, EVER)
    assert points is not None
    for deadly in range(points):
        home.restore(backup, books)
        killed(subscribing, deadly, home.place.url)
        then.restore(home.place)
        asyncio.run(in_use(home, bought_again, after=timedelta(minutes=1)))
        home.place.restore(then)
        backups_that_know += asyncio.run(in_use(home, restored, after=timedelta(hours=1), reconcile_minutes=15))
    assert backups_that_know == points - 1, "all but the one before the first commit"


@pytest.mark.parametrize("recover", [_again, _nobody_clicks])
def test_a_backup_that_knows_only_the_canceled_intent_finds_the_one_that_paid(
    home: Installation, recover: Callable[[House], Awaitable[None]]
) -> None:
    async def begin(house: House) -> None:
        answer = await Shopper(house, "demo-card", LOST).subscribe()
        assert answer["payment"]["status"] == "REQUIRES_PAYMENT_METHOD"

    async def cancel_and_pay(house: House) -> None:
        intent = (await dashboard(house).payment_intents.list_async()).data[0]
        await dashboard(house).payment_intents.cancel_async(intent.id)
        await buy(house)

    asyncio.run(in_use(home, begin))
    forgotten(home, cancel_and_pay, after=timedelta(minutes=1))

    async def afterwards(house: House) -> None:
        await recover(house)
        assert await states(house) == ([SubscriptionStatus.ACTIVE], [InvoiceStatus.PAID])
        assert list((await charges_by_invoice(house)).values()) == [1]
        assert await house.audit() == []

    asyncio.run(in_use(home, afterwards, after=timedelta(hours=1), reconcile_minutes=15))


def test_a_renewal_after_a_restore_meets_the_charge_of_the_one_before(home: Installation) -> None:
    asyncio.run(in_use(home, buy))

    async def renew(house: House) -> None:
        await house.work()
        assert await states(house) == ([SubscriptionStatus.ACTIVE], [InvoiceStatus.PAID] * 2)
        assert list((await charges_by_invoice(house)).values()) == [1, 1]

    forgotten(home, renew, after=MONTH)

    async def renew_again(house: House) -> None:
        await renew(house)
        assert told(await last_report(house)) == [("invoice_unknown", False)]
        assert await house.audit() == []
        house.pass_time(timedelta(minutes=15))
        await house.work()
        assert told(await last_report(house)) == []

    # Days later, when the gateway has forgotten every key.
    asyncio.run(in_use(home, renew_again, after=MONTH + timedelta(days=5), reconcile_minutes=15))


async def _change(house: House) -> None:
    async with house.app.database.read() as session:
        row = (await session.exec(select(Subscription))).one()
    wish = ChangePlanWish(row.id, plan_code="premium-monthly", is_now=True, idempotency_key="more")
    outcome = await change_plan(house.app, house.actor("demo-card"), wish)
    assert outcome.problems == ()
    assert outcome.invoice is not None
    assert (outcome.invoice.status, outcome.invoice.total_minor) == (InvoiceStatus.PAID, 224)


def test_a_change_that_is_repeated_under_its_key_after_a_restore_meets_its_own_charge(home: Installation) -> None:
    asyncio.run(in_use(home, buy))
    forgotten(home, _change, after=timedelta(days=7))

    async def repeated(house: House) -> None:
        await _change(house)
        assert sorted((await charges_by_invoice(house)).values()) == [1, 1]
        assert await house.audit() == []

    asyncio.run(in_use(home, repeated, after=timedelta(days=7, minutes=1)))


_READ = "query($after: String) { billingEvents(first: 100, after: $after) { nodes { type cursor } } }"


async def _read_on(house: House, after: str | None) -> list[dict[str, str]]:
    return (await house.ask(_READ, {"after": after}, "demo-admin"))["billingEvents"]["nodes"]


def test_who_has_read_what_the_backup_does_not_know_misses_nothing_that_is_told_later(home: Installation) -> None:
    read: list[dict[str, str]] = []

    async def buy_and_tell(house: House) -> None:
        await buy(house)
        await house.work()
        read.extend(await _read_on(house, read[-1]["cursor"] if read else None))

    backup = home.place.save()
    asyncio.run(in_use(home, buy_and_tell))
    home.place.restore(backup)
    asyncio.run(in_use(home, buy_and_tell, after=timedelta(hours=1)))
    first, second = read[:5], read[5:]
    assert [each["type"] for each in first] == [each["type"] for each in second]
    assert first[-1]["type"] == "subscription.activated"
