"""The random steps that change what a subscription is and what it costs; the customer's and the merchant's."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

from billing.couponing import CouponDuration, CouponTerms
from billing.dunning import FinalAction, TrialEndAction
from billing.lifecycle import InvoiceStatus, PaymentStatus
from billing.money import Money
from billing.proration import ProrationBehavior
from billing.returning import RefundReason
from models.invoices import Invoice
from models.payments import MANUAL, Payment, newest_intent
from models.subscriptions import CollectionMethod
from services.amendments.amending import UpdateWish, uncancel_subscription, update_subscription
from services.amendments.plan_changes import ChangePlanWish, cancel_scheduled_change, change_plan
from services.books.reconciling import reconcile_payments
from services.ends.canceling import CancelWish, cancel_subscription
from services.invoices.redeeming import apply_coupon, remove_coupon
from services.invoices.voiding import void_invoice
from services.payments.offline import PaymentRecord, record_manual_payment
from services.payments.paying_again import retry_payment, start_subscription_payment
from services.policies import PolicyChange, update_dunning_policy
from services.refunds.giving_back import RefundWish, refund_payment
from services.selling.couponing import NewCoupon, NewPromotionCode, create_coupon, create_promotion_code
from services.subscriptions.ordering import SubscribeWish, WishedItem
from services.subscriptions.pausing import PauseWish, ResumeWish, pause_subscription, resume_subscription
from services.subscriptions.subscribing import subscribe
from tests.scenarios.random_life import OWN_ACTS, Act, Life, kept_cards
from tests.support.house import House
from tests.support.outside import dashboard

PLANS = ("premium-monthly", "premium-yearly", "reader-pro", "free", "classic-coffee-monthly")
COUPONS = ("HALF", "FIVE", "ALL")
CAP = 2
"""How often FIVE may be redeemed in all, and the code `spring` too."""

AHEAD = (timedelta(hours=1), timedelta(days=2), timedelta(days=10), timedelta(days=45))


async def open_shop(house: House) -> None:
    """What lives need beside the demo data: coupons."""
    app = house.app
    half = CouponTerms(
        percent_off=Decimal(50),
        duration=CouponDuration.REPEATING,
        duration_in_periods=2,
        max_redemptions_per_customer=2,
    )
    await create_coupon(app, NewCoupon(half, "HALF"))
    five = CouponTerms(amounts_off=[Money.of("5.00", "USD"), Money.of("70.00", "CNY")], max_redemptions=CAP)
    await create_coupon(app, NewCoupon(five, "FIVE"))
    await create_coupon(app, NewCoupon(CouponTerms(percent_off=Decimal(100), duration=CouponDuration.FOREVER), "ALL"))
    await create_promotion_code(app, NewPromotionCode("HALF", "spring", max_redemptions=CAP))


async def choose_policy(life: Life) -> None:
    change = PolicyChange(
        final_action=life.dice.choice(list(FinalAction)),
        trial_end_action=life.dice.choice(list(TrialEndAction)),
        retry_after_days=life.dice.choice(((2, 7, 14, 21), (1, 3), (5, 20, 40))),
        grace_period_days=life.dice.choice((0, 7, 45)),
    )
    await update_dunning_policy(life.house.app, change)


async def order_for_customer(life: Life) -> None:
    """On terms that only the merchant gives."""
    customer = await life.customer_id()
    if customer is None:
        return
    now, dice = life.house.clock.now(), life.dice
    is_sent = dice.random() < 0.4
    wish = SubscribeWish(
        customer_id=customer,
        plan_code=dice.choice(PLANS[:4]),
        start_at=dice.choice((None, None, now + timedelta(days=5), now - timedelta(days=3))),
        ends_at=dice.choice((None, None, now + timedelta(days=50))),
        billing_day=dice.choice((None, 31, 5)),
        trial_period_days=dice.choice((None, None, 10)),
        tax_percent=dice.choice((None, Decimal("19"))),
        collection_method=CollectionMethod.SEND_INVOICE if is_sent else None,
        days_until_due=7 if is_sent else None,
        coupon_code=dice.choice((None, None, *COUPONS)),
    )
    life.note(await subscribe(life.house.app, life.merchant, wish))


async def change(life: Life) -> None:
    if (chosen := life.any_subscription()) is None:
        return
    now, dice = life.house.clock.now(), life.dice
    is_now = dice.random() < 0.7
    wish = ChangePlanWish(
        chosen,
        plan_code=dice.choice(PLANS),
        is_now=is_now,
        date=None if is_now else dice.choice((None, None, now + dice.choice(AHEAD))),
        proration=dice.choice((None, *ProrationBehavior)) if is_now or dice.random() < 0.3 else None,
    )
    await change_plan(life.house.app, life.anybody(), wish)


async def change_items(life: Life) -> None:
    if (chosen := life.any_subscription()) is None:
        return
    plans = life.dice.sample(PLANS[:3], life.dice.choice((1, 1, 2)))
    items = [WishedItem(plan_code=plan, quantity=life.dice.choice((1, 2, 5))) for plan in plans]
    proration = life.dice.choice((None, *ProrationBehavior))
    await update_subscription(life.house.app, life.anybody(), UpdateWish(chosen, items=items, proration=proration))


async def amend(life: Life) -> None:
    if (chosen := life.any_subscription()) is None:
        return
    now, dice = life.house.clock.now(), life.dice
    wish = dice.choice(
        (
            UpdateWish(chosen, auto_renew=dice.random() < 0.5),
            UpdateWish(chosen, billing_day=dice.choice((1, 15, 31))),
            UpdateWish(chosen, ends_at=now + dice.choice(AHEAD)),
            UpdateWish(chosen, trial_end=now + dice.choice((timedelta(hours=-1), *AHEAD))),
        )
    )
    await update_subscription(life.house.app, life.merchant, wish)


async def take_change_back(life: Life) -> None:
    if (chosen := life.any_subscription()) is not None:
        await cancel_scheduled_change(life.house.app, life.anybody(), subscription_id=chosen, expected_version=None)


async def cancel_at_date(life: Life) -> None:
    if (chosen := life.any_subscription()) is not None:
        at = life.house.clock.now() + life.dice.choice(AHEAD)
        await cancel_subscription(life.house.app, life.anybody(), CancelWish(chosen, at=at))


async def go_on_after_all(life: Life) -> None:
    if (chosen := life.any_subscription()) is not None:
        await uncancel_subscription(life.house.app, life.anybody(), subscription_id=chosen, expected_version=None)


async def pause(life: Life) -> None:
    if (chosen := life.any_subscription()) is None:
        return
    until = life.dice.choice((None, *(life.house.clock.now() + each for each in AHEAD)))
    wish = PauseWish(chosen, at_period_end=life.dice.random() < 0.3, until=until)
    await pause_subscription(life.house.app, life.anybody(), wish)


async def resume(life: Life) -> None:
    if (chosen := life.any_subscription()) is not None:
        await resume_subscription(life.house.app, life.anybody(), ResumeWish(chosen))


async def _paid(life: Life) -> Payment | None:
    rows = [each for each in await life.rows(Payment) if each.status is PaymentStatus.SUCCEEDED]
    return life.dice.choice(rows) if rows else None


async def refund(life: Life) -> None:
    payment = await _paid(life)
    if payment is None:
        return
    part = Money(life.dice.randint(1, 400), payment.currency)
    wish = RefundWish(
        payment.id,
        life.dice.choice(list(RefundReason)),
        idempotency_key=f"{payment.id}:{life.dice.randrange(4)}",
        amount=life.dice.choice((None, part)),
        ends_subscription=life.dice.random() < 0.2,
    )
    await refund_payment(life.house.app, life.merchant, wish)


async def refund_at_dashboard(life: Life) -> None:
    payment = await _paid(life)
    if payment is None or payment.platform == MANUAL:
        return
    async with life.house.app.database.read() as session:
        intent = await newest_intent(session, payment.id)
    if intent is not None and intent.gateway_ref is not None:
        life.was_at_dashboard = True
        part = {} if life.dice.random() < 0.3 else {"amount": life.dice.randint(1, 400)}
        await dashboard(life.house).refunds.create_async({"payment_intent": intent.gateway_ref, **part})


async def _unpaid(life: Life) -> Invoice | None:
    rows = [each for each in await life.rows(Invoice) if each.status is InvoiceStatus.OPEN]
    return life.dice.choice(rows) if rows else None


async def void(life: Life) -> None:
    if (invoice := await _unpaid(life)) is not None:
        await void_invoice(life.house.app, life.merchant, invoice_id=invoice.id, expected_version=None)


async def record_payment(life: Life) -> None:
    if (invoice := await _unpaid(life)) is not None:
        minor = life.dice.choice((invoice.amount_due.minor, invoice.amount_due.minor + 100, 100))
        await record_manual_payment(
            life.house.app,
            life.merchant,
            invoice_id=invoice.id,
            record=PaymentRecord(Money(minor, invoice.currency)),
            idempotency_key=f"{invoice.id}:{minor}",
        )


async def pay_again(life: Life) -> None:
    invoice = await _unpaid(life)
    cards = kept_cards(life)
    if invoice is None or not cards:
        return
    card = life.dice.choice(cards)
    if life.dice.random() < 0.5:
        outcome = await retry_payment(
            life.house.app, life.actor, invoice_id=invoice.id, payment_method_id=card, idempotency_key=None
        )
    else:
        outcome = await start_subscription_payment(
            life.house.app,
            life.actor,
            subscription_id=invoice.subscription_id,
            payment_method_id=card,
            return_url=None,
            idempotency_key=None,
        )
    life.note(outcome)


async def put_coupon_on(life: Life) -> None:
    if (chosen := life.any_subscription()) is not None:
        code = life.dice.choice((*COUPONS, None))
        await apply_coupon(
            life.house.app,
            life.anybody(),
            subscription_id=chosen,
            coupon_code=code,
            promotion_code=None if code else "Spring",
        )


async def take_coupon_off(life: Life) -> None:
    if (chosen := life.any_subscription()) is not None:
        await remove_coupon(
            life.house.app, life.anybody(), subscription_id=chosen, coupon_code=life.dice.choice(COUPONS)
        )


async def reconcile(life: Life) -> None:
    since = life.house.machine.now() - timedelta(days=1000)
    await reconcile_payments(life.house.app, life.merchant, since=since, repair=life.dice.random() < 0.8)


ACTS: Mapping[str, tuple[int, Act]] = {
    **OWN_ACTS,
    "choose policy": (1, choose_policy),
    "order for customer": (2, order_for_customer),
    "change plan": (4, change),
    "change items": (3, change_items),
    "amend": (2, amend),
    "take change back": (1, take_change_back),
    "cancel at date": (1, cancel_at_date),
    "go on after all": (1, go_on_after_all),
    "pause": (3, pause),
    "resume": (2, resume),
    "refund": (3, refund),
    "refund at dashboard": (2, refund_at_dashboard),
    "void": (1, void),
    "record payment": (1, record_payment),
    "pay again": (2, pay_again),
    "put coupon on": (2, put_coupon_on),
    "take coupon off": (1, take_coupon_off),
    "reconcile": (1, reconcile),
}
