"""What clients may ask for: inputs of mutations."""

from datetime import datetime
from decimal import Decimal

import strawberry
from strawberry.scalars import JSON

from billing.calendar import Interval
from billing.charging import SetupFutureUsage
from billing.errors import ErrorCode, UserProblem
from gateways.customer_side import CardInput
from models.subscriptions import CollectionMethod
from schema.enums import CancellationReason, ChallengeOutcome, EffectiveAt
from schema.fields import described, optional
from schema.given import METADATA, notes, references
from schema.item_inputs import SubscribeItemInput
from schema.scalars import URL, CurrencyCode
from services.ends.canceling import CancelWish
from services.subscriptions.ordering import SubscribeWish

QUOTED = (
    "What a preview with the same input answered at most ten minutes ago: do exactly that, or be refused with "
    "QUOTE_STALE and a fresh quote."
)


@strawberry.input(
    description="What to subscribe to, and how to pay. Name the plan by `planId`, by `planCode`, or by `productCode` "
    "with `interval`. Without `paymentMethodId` the answer carries a client secret for the browser to confirm."
)
class SubscribeInput:
    plan_id: strawberry.ID | None = optional("The plan, by id.")
    plan_code: str | None = optional("The plan, by code: `reader-pro`.")
    product_code: str | None = optional("The product; its plan is found by `interval` and `currencyCode`.")
    interval: Interval | None = optional("The period's unit, together with `productCode`; any other plan must have it.")
    currency_code: CurrencyCode | None = optional("In which of the plan's currencies to pay; its default one else.")
    payment_method_id: strawberry.ID | None = optional("A saved card, by our id or the gateway's; charged at once.")
    setup_future_usage: SetupFutureUsage | None = optional(
        "Keep the card that the browser confirms; OFF_SESSION lets it pay the renewals."
    )
    name: str | None = optional("A name for the subscription, at most 250 characters.")
    auto_renew: bool | None = optional("Whether it renews when its period ends; as the plan says unless given.")
    quantity: int = strawberry.field(description="How many, 1 to 10000.", default=1)
    items: list[SubscribeItemInput] | None = optional(
        "Several things in one subscription, at most 20, instead of one plan: billed together, in one currency and "
        "equally often."
    )
    billing_day: int | None = optional(
        "The day of the month on which periods begin, 1 to 31 (in short months the last one). The first period is "
        "prorated up to it. For months and years; the plan's own day, else the day of the start, unless given."
    )
    start_at: datetime | None = optional(
        "When it starts, at most three years ago or ahead; at once unless given. Staff and API keys only."
    )
    ends_at: datetime | None = optional(
        "When its term ends; the last period is prorated up to it. Staff and API keys only."
    )
    period_count: int | None = optional(
        "After how many full periods its term ends, 1 to 120, instead of `endsAt`. A first stub comes on top."
    )
    collection_method: CollectionMethod | None = optional(
        "Whether invoices are charged, which is so unless given, or sent and waited for. Staff and API keys only."
    )
    days_until_due: int | None = optional(
        "With SEND_INVOICE: after how many days an invoice must be paid, 1 to 365; 30 unless given. Staff and API "
        "keys only."
    )
    tax_percent: Decimal | None = optional(
        "The tax on top of its prices, 0 to 100, instead of the plan's own. Staff and API keys only."
    )
    coupon_code: str | None = optional("A coupon to redeem with it, by its own code.")
    promotion_code: str | None = optional("A word that stands for a coupon instead, in capitals or not.")
    trial_period_days: int | None = optional(
        "How many days are free at first, 0 to 730, instead of the plan's; a product is tried once. Staff and API keys "
        "only."
    )
    customer_id: strawberry.ID | None = optional("For whom. Staff and API keys only; customers leave it out.")
    return_url: URL | None = optional(
        "Where the bank sends the customer after a challenge; for a checkout link, where its page does in the end."
    )
    error_url: URL | None = optional(
        "Where to send a customer whose payment failed for good, or who gives up on a checkout link's page."
    )
    metadata: JSON | None = optional(METADATA)
    quote_token: str | None = optional(QUOTED)
    idempotency_key: str | None = optional(
        "The same key with the same input gives the first answer again, for 30 days; at most 255 characters."
    )

    def wish(self) -> SubscribeWish:
        references(paymentMethodId=self.payment_method_id)
        at_most(250, name=self.name)
        at_most(255, idempotency_key=self.idempotency_key)
        if not 1 <= self.quantity <= 10_000:
            raise UserProblem(ErrorCode.INVALID, "Give a quantity of 1 to 10000.", ["quantity"])
        within(1, 31, billing_day=self.billing_day)
        within(1, 120, period_count=self.period_count)
        within(1, 365, days_until_due=self.days_until_due)
        within(0, 100, tax_percent=self.tax_percent)
        within(0, 730, trial_period_days=self.trial_period_days)
        return SubscribeWish(
            plan_id=self.plan_id,
            plan_code=self.plan_code,
            product_code=self.product_code,
            interval=self.interval,
            currency=self.currency_code,
            payment_method_id=self.payment_method_id,
            setup_future_usage=self.setup_future_usage,
            name=self.name,
            auto_renew=self.auto_renew,
            customer_id=self.customer_id,
            return_url=self.return_url,
            error_url=self.error_url,
            metadata=notes(self.metadata),
            idempotency_key=self.idempotency_key,
            quote_token=self.quote_token,
            quantity=self.quantity,
            items=None if self.items is None else [item.wish() for item in self.items],
            billing_day=self.billing_day,
            start_at=self.start_at,
            ends_at=self.ends_at,
            period_count=self.period_count,
            collection_method=self.collection_method,
            days_until_due=self.days_until_due,
            tax_percent=self.tax_percent,
            coupon_code=self.coupon_code,
            promotion_code=self.promotion_code,
            trial_period_days=self.trial_period_days,
        )


@strawberry.input(description="How a card shall be kept.")
class CreateSetupIntentInput:
    usage: SetupFutureUsage = strawberry.field(
        description="What it shall be kept for.", default=SetupFutureUsage.OFF_SESSION
    )
    payment_method_types: list[str] | None = optional(
        "Which kinds of ways to pay may be saved, of those that `paymentMethodTypes` tells to be enabled; all of them "
        "unless given."
    )
    return_url: URL | None = optional("Where the bank sends the customer after a challenge.")
    error_url: URL | None = optional(
        "Where the application sends the customer after a challenge that failed; told again in `NextAction.errorUrl`."
    )
    customer_id: strawberry.ID | None = optional("For whom. Staff and API keys only; customers leave it out.")
    idempotency_key: str | None = optional(
        "The same key with the same input gives the first answer again; at most 255 characters."
    )

    def check(self) -> None:
        at_most(255, idempotency_key=self.idempotency_key)


@strawberry.input(description="A card that the browser has given to the gateway.")
class AttachPaymentMethodInput:
    payment_method_id: str = described("The gateway's id of it, in any of the gateway's forms.")
    make_default: bool = strawberry.field(
        description="Whether it shall pay for what has no card of its own. A first card does anyway.", default=False
    )
    customer_id: strawberry.ID | None = optional("For whom. Staff and API keys only; customers leave it out.")

    def check(self) -> None:
        references(paymentMethodId=self.payment_method_id)
        at_most(255, payment_method_id=self.payment_method_id)


@strawberry.input(description="Which saved card shall pay.")
class SetDefaultPaymentMethodInput:
    payment_method_id: strawberry.ID = described("The saved card, by our id or the gateway's.")
    customer_id: strawberry.ID | None = optional("For whom. Staff and API keys only; customers leave it out.")
    apply_to_subscriptions: bool = strawberry.field(
        description="Whether subscriptions with a card of their own shall be paid by this one too.", default=True
    )

    def check(self) -> None:
        references(paymentMethodId=self.payment_method_id)


@strawberry.input(description="Which subscription to end, when and why.")
class CancelSubscriptionInput:
    subscription_id: strawberry.ID = described("The subscription.")
    effective_at: EffectiveAt = strawberry.field(
        description="At once, when the paid period ends, or at `date`. An unpaid first period ends at once either way.",
        default=EffectiveAt.PERIOD_END,
    )
    date: datetime | None = optional(
        "For AT_DATE: an instant to come. Periods that begin before it are billed in full; nothing is paid back."
    )
    reason: CancellationReason | None = optional("Why.")
    comment: str | None = optional("Why, in the customer's own words; at most 1000 characters.")
    refund_unused: bool = strawberry.field(
        description="With NOW: whether what is unused of the paid period goes back to the card that paid.",
        default=False,
    )
    expected_version: int | None = optional("Only if the subscription is still at this version.")
    quote_token: str | None = optional(QUOTED)
    idempotency_key: str | None = optional(
        "The same key with the same input gives the first answer again, for 30 days; at most 255 characters."
    )

    def wish(self) -> CancelWish:
        at_most(1_000, comment=self.comment)
        at_most(255, idempotency_key=self.idempotency_key)
        if self.effective_at is EffectiveAt.AT_DATE and self.date is None:
            raise UserProblem(ErrorCode.REQUIRED, "Give the date at which it shall end.", ["date"])
        if self.effective_at is not EffectiveAt.AT_DATE and self.date is not None:
            raise UserProblem(ErrorCode.INVALID, "A date goes with effectiveAt: AT_DATE only.", ["date"])
        return CancelWish(
            subscription_id=self.subscription_id,
            at_period_end=self.effective_at is EffectiveAt.PERIOD_END,
            at=self.date,
            refunds_unused=self.refund_unused,
            reason=self.reason.value if self.reason is not None else None,
            comment=self.comment,
            expected_version=self.expected_version,
            quote_token=self.quote_token,
            idempotency_key=self.idempotency_key,
        )


@strawberry.input(description="Which payment to look after at the gateway.")
class RefreshSubscriptionPaymentInput:
    subscription_id: strawberry.ID = described("The subscription.")
    payment_id: strawberry.ID | None = optional("One of its payments; its latest one unless given.")


@strawberry.input(description="The card that the customer would type into the browser. Test cards only.")
class SandboxConfirmInput:
    client_secret: str = described("The intent's client secret.")
    card_number: str | None = optional("A test card's number, such as 4242424242424242.")
    exp_month: int | None = optional("The month of expiry; a month to come unless given.")
    exp_year: int | None = optional("The year of expiry; a year to come unless given.")
    cvc: str | None = optional("The security code.")
    payment_method_id: strawberry.ID | None = optional("A saved card instead, by our id or the gateway's.")

    def card(self) -> CardInput:
        return CardInput(
            number=self.card_number,
            exp_month=self.exp_month,
            exp_year=self.exp_year,
            cvc=self.cvc,
            payment_method_ref=self.payment_method_id,
        )


@strawberry.input(description="How the customer answers the bank's challenge.")
class SandboxAnswerChallengeInput:
    client_secret: str = described("The client secret of the intent that waits for the challenge.")
    outcome: ChallengeOutcome = described("Whether the challenge is passed.")


def within(least: int, most: int, **numbers: Decimal | int | None) -> None:
    """Raises UserProblem INVALID for a number outside of these bounds, naming its field."""
    for name, number in numbers.items():
        if number is not None and not least <= number <= most:
            field = _camel(name)
            raise UserProblem(ErrorCode.INVALID, f"{field}: give {least} to {most}.", [field])


def at_most(longest: int, *within: str, **texts: str | None) -> None:
    """Raises UserProblem INVALID for a text beyond `longest` characters, naming its field, which stands `within`."""
    for name, text in texts.items():
        if text is not None and len(text) > longest:
            path = [*within, _camel(name)]
            raise UserProblem(ErrorCode.INVALID, f"{'.'.join(path)}: at most {longest} characters are kept.", path)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)
