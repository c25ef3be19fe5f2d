"""A customer's shelf of rows, each subscription with a plan, card, invoice and payment of its own."""

from datetime import datetime, timedelta
from decimal import Decimal

from billing.calendar import Interval
from billing.charging import IntentStatus
from billing.couponing import CouponDuration
from billing.invoicing import InvoiceReason
from billing.lifecycle import AttemptOutcome, InvoiceStatus, PaymentStatus, RefundStatus, SubscriptionStatus
from billing.money import Money
from billing.returning import DisputeStatus, RefundOrigin, RefundReason
from models.base import new_id
from models.catalog import AppRole, Plan, Price, Product
from models.coupons import Coupon, Discount, DiscountStatus, DiscountUse
from models.credits import CreditBalance, CreditEntry, CreditKind
from models.customers import Customer, CustomerBalance, GatewayAccount, PaymentMethod
from models.events import BillingEvent
from models.invoices import CreditNote, Invoice, InvoiceLine
from models.payments import ChargeAttempt, CollectionIntent, Payment
from models.returns import Dispute, Refund
from models.subscriptions import Change, Subscription, SubscriptionItem
from services.app import App

CARD = {
    "brand": "visa",
    "last4": "4242",
    "exp_month": 12,
    "exp_year": 2030,
    "funding": "credit",
    "country": "US",
    "fingerprint": "Xt5EWLLDS7FJjR1c",
    "address_line1_check": None,
    "address_postal_code_check": "pass",
    "cvc_check": "pass",
    "networks": ["visa"],
    "preferred_network": None,
    "three_d_secure_supported": True,
    "wallet": None,
    "generated_from": None,
}
ROLE = 700
_OF_COUPONS = (Coupon, Discount, DiscountUse)


async def add_customer(app: App, user_id: str, subscriptions: int, *, coupons: bool = False) -> str:
    """A customer with that many active subscriptions, paid in full, with `coupons` one on each; the customer's id."""
    now = app.now()
    async with app.database.write() as session:
        if await session.get(AppRole, ROLE) is None:
            session.add(AppRole(id=ROLE, code="shelf", name="Shelf"))
        customer = Customer(
            id=new_id("customer"),
            user_id=user_id,
            timezone="UTC",
            invoice_prefix=f"P{user_id.upper()}"[:12],
            created_at=now,
            updated_at=now,
        )
        session.add(customer)
        await session.flush()
        session.add(
            GatewayAccount(
                id=new_id("gateway_account"),
                customer_id=customer.id,
                platform="sandbox",
                gateway_ref=f"cus_{user_id}",
                created_at=now,
            )
        )
        session.add(CustomerBalance(customer_id=customer.id, currency="USD"))
        for n in range(subscriptions):
            for generation in _subscription(customer.id, user_id, n, now + timedelta(minutes=n)):
                session.add_all(row for row in generation if coupons or not isinstance(row, _OF_COUPONS))
                await session.flush()
    return customer.id


def _subscription(customer_id: str, user_id: str, n: int, now: datetime) -> list[list[object]]:
    """One subscription and all around it, parents before children."""
    born = {"created_at": now, "updated_at": now}
    name, end = f"{user_id}-{n}", now + timedelta(days=31)
    product = Product(id=new_id("product"), code=f"product-{name}", name=f"Product {name}", **born)
    plan = Plan(
        id=new_id("plan"),
        product_id=product.id,
        code=f"plan-{name}",
        name=f"Plan {name}",
        interval=Interval.MONTH,
        role_id=ROLE,
        position=100,
        **born,
    )
    prices = [
        Price(
            id=new_id("price"),
            plan_id=plan.id,
            currency=currency,
            amount_minor=amount,
            is_default=currency == "USD",
            effective_from=now,
        )
        for currency, amount in (("USD", 1_000 + n), ("EUR", 900 + n))
    ]
    method = PaymentMethod(
        id=new_id("payment_method"),
        customer_id=customer_id,
        platform="sandbox",
        gateway_ref=f"pm_{name}",
        type="card",
        card=CARD,
        billing_details={"name": "Rosa Rows", "address": {"postal_code": "10115", "country": "DE"}},
        **born,
    )
    subscription = Subscription(
        id=new_id("subscription"),
        customer_id=customer_id,
        product_id=product.id,
        plan_id=plan.id,
        status=SubscriptionStatus.ACTIVE,
        status_updated_at=now,
        currency="USD",
        original_amount_minor=1_000 + n,
        interval=Interval.MONTH,
        interval_count=1,
        timezone="UTC",
        anchor=now,
        period_start=now,
        period_end=end,
        started_at=now,
        activated_at=now,
        payment_method_id=method.id,
        **born,
    )
    item = SubscriptionItem(
        id=new_id("subscription_item"),
        subscription_id=subscription.id,
        plan_id=plan.id,
        price_id=prices[0].id,
        product_id=plan.product_id,
        created_at=now,
    )
    changes = [
        Change(
            id=new_id("change"),
            machine="subscription",
            subject_id=subscription.id,
            from_status=before,
            to_status=after,
            cause="subscribe",
            actor=actor,
            at=now,
        )
        for before, after, actor in (
            (None, SubscriptionStatus.INCOMPLETE, f"customer:{user_id}"),
            (SubscriptionStatus.INCOMPLETE, SubscriptionStatus.ACTIVE, "admin:demo-admin"),
        )
    ]
    invoice = Invoice(
        id=new_id("invoice"),
        number=f"{name}-0001",
        customer_id=customer_id,
        subscription_id=subscription.id,
        reason=InvoiceReason.SUBSCRIPTION_CREATE,
        occasion="0",
        status=InvoiceStatus.PAID,
        currency="USD",
        period_start=now,
        period_end=end,
        subtotal_minor=1_000 + n,
        discount_total_minor=0,
        tax_total_minor=0,
        total_minor=1_000 + n,
        credit_applied_minor=0,
        amount_paid_minor=1_000 + n,
        issued_at=now,
        paid_at=now,
        **born,
    )
    lines = [
        InvoiceLine(
            id=new_id("invoice_line"),
            invoice_id=invoice.id,
            position=position,
            plan_id=plan.id,
            description=f"Line {position}",
            quantity=Decimal(1),
            currency="USD",
            unit_amount_minor=1_000 + n,
            amount_minor=1_000 + n,
            period_start=now,
            period_end=end,
            explanation_text="Because.",
            explanation_formula="quantity × unitAmount",
            explanation_inputs=[
                {"name": "quantity", "value": "1", "source": None},
                {"name": "unitAmount", "value": str(Money(1_000 + n, "USD")), "source": None},
            ],
        )
        for position in range(2)
    ]
    payment = Payment(
        id=new_id("payment"),
        invoice_id=invoice.id,
        customer_id=customer_id,
        subscription_id=subscription.id,
        platform="sandbox",
        status=PaymentStatus.SUCCEEDED,
        currency="USD",
        amount_minor=1_000 + n,
        amount_paid_minor=1_000 + n,
        payment_method_id=method.id,
        **born,
    )
    intent = CollectionIntent(
        id=new_id("payment_intent"),
        invoice_id=invoice.id,
        payment_id=payment.id,
        n=1,
        platform="sandbox",
        gateway_ref=f"pi_{name}",
        status=IntentStatus.SUCCEEDED,
        payment_method_ref=method.gateway_ref,
        **born,
    )
    attempts = [
        ChargeAttempt(
            id=new_id("charge_attempt"),
            payment_id=payment.id,
            intent_id=intent.id,
            sequence=sequence,
            trigger="purchase",
            idempotency_key=f"att-{name}-{sequence}",
            outcome=outcome,
            payment_method_id=method.id,
            error_code=error,
            error_decline_code=error and "insufficient_funds",
            started_at=now,
            finished_at=now,
        )
        for sequence, outcome, error in (
            (1, AttemptOutcome.DECLINED, "card_declined"),
            (2, AttemptOutcome.SUCCEEDED, None),
        )
    ]
    refund = Refund(
        id=new_id("refund"),
        payment_id=payment.id,
        platform="sandbox",
        gateway_ref=f"re_{name}",
        currency="USD",
        amount_minor=100,
        reason=RefundReason.REQUESTED_BY_CUSTOMER,
        status=RefundStatus.PENDING,
        origin=RefundOrigin.GATEWAY,
        **born,
    )
    note = CreditNote(
        id=new_id("credit_note"),
        number=f"{name}-C0001",
        invoice_id=invoice.id,
        customer_id=customer_id,
        refund_id=refund.id,
        reason=refund.reason,
        currency=refund.currency,
        total_minor=refund.amount_minor,
        lines=[{"line_id": None, "description": "a part", "amount_minor": refund.amount_minor, "tax_minor": 0}],
        created_at=now,
    )
    dispute = Dispute(
        id=new_id("dispute"),
        payment_id=payment.id,
        platform="sandbox",
        gateway_ref=f"dp_{name}",
        currency="USD",
        amount_minor=1_000 + n,
        status=DisputeStatus.WARNING_NEEDS_RESPONSE,
        reason="fraudulent",
        asked_at=now,
        **born,
    )
    coupon = Coupon(
        id=new_id("coupon"),
        code=f"coupon-{name}",
        percent_off=Decimal(10),
        duration=CouponDuration.REPEATING,
        duration_in_periods=3,
        product_ids=[product.id],
        times_redeemed=1,
        **born,
    )
    discount = Discount(
        id=new_id("discount"),
        subscription_id=subscription.id,
        customer_id=customer_id,
        coupon_id=coupon.id,
        status=DiscountStatus.ACTIVE,
        started_at=now,
    )
    use = DiscountUse(discount_id=discount.id, invoice_id=invoice.id, period_number=0)
    balance = CreditBalance(
        id=new_id("credit_balance"),
        subscription_id=subscription.id,
        customer_id=customer_id,
        unit="cup",
        total_granted=30,
        remaining=30,
        **born,
    )
    entry = CreditEntry(
        id=new_id("credit_entry"),
        balance_id=balance.id,
        kind=CreditKind.GRANT,
        quantity=30,
        balance_after=30,
        occurred_at=now,
        created_at=now,
    )
    events = [
        BillingEvent(
            id=new_id("billing_event"),
            type=type,
            subject_id=subscription.id,
            customer_id=customer_id,
            payload={"from": before, "to": after, "cause": "subscribe", "actor": "worker"},
            at=now,
        )
        for type, before, after in (
            ("subscription.created", None, "incomplete"),
            ("subscription.activated", "incomplete", "active"),
        )
    ]
    return [
        [product],
        [plan, method, coupon],
        [*prices, subscription],
        [item, *changes, *events, invoice, discount, balance],
        [*lines, payment, use, entry],
        [intent],
        attempts,
        [refund, dispute],
        [note],
    ]
