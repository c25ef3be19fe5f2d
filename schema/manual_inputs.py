"""What the merchant writes down by hand: manual subscriptions, their credits, and payments that came another way."""

from datetime import date, datetime

import strawberry
from strawberry.scalars import JSON

from billing.calendar import Interval
from billing.consuming import LARGEST_GRANT
from billing.errors import ErrorCode, UserProblem
from schema.fields import described, optional
from schema.given import METADATA, notes
from schema.inputs import at_most
from schema.lookups import CustomerLookup
from schema.money import MoneyInput
from schema.scalars import BigInt
from services.payments.offline import PaymentRecord
from services.people.registering import KnownAs
from services.subscriptions.manual import ManualOrder
from services.subscriptions.manual_renewals import ManualRenewal
from services.usage.allowances import Allowance

KEY = "The same key with the same input gives the first answer again, for 30 days; at most 255 characters."
MOST_UNITS = 50


@strawberry.input(description="A payment that came by other ways than the gateway's.")
class ManualPaymentInput:
    amount_due: MoneyInput | None = optional(
        "What was asked for: for a new period its price, `amountPaid` unless given; for an open invoice what it still "
        "asks for, if given."
    )
    amount_paid: MoneyInput = described("What has come. What is too much goes to the customer's balance.")
    paid_at: datetime | None = optional("When it came; now unless given.")
    reference: str | None = optional("The merchant's own reference of it, at most 255 characters.")

    def record(self, reference: str | None = None) -> PaymentRecord:
        """`reference` holds where the payment has none of its own."""
        at_most(255, "payment", reference=self.reference)
        if self.reference and reference and self.reference != reference:
            message = "paymentReference and payment.reference are one: give one."
            raise UserProblem(ErrorCode.INVALID, message, ["paymentReference"])
        return PaymentRecord(
            paid=self.amount_paid.value("payment"),
            due=None if self.amount_due is None else self.amount_due.value("payment"),
            paid_at=self.paid_at,
            reference=self.reference or reference,
        )


@strawberry.input(description="Credits that a manual subscription grants.")
class CreditAllowanceInput:
    unit: str = described("What is counted, such as `classic_coffee`; at most 100 characters.")
    daily: BigInt | None = optional("How many may be used a day; any number unless given.")
    total: BigInt | None = optional("How many in all; daily × the period's days unless given.")
    expires_at: datetime | None = optional("When what is left of them expires.")

    def allowance(self) -> Allowance:
        if not 1 <= len(self.unit) <= 100:
            raise UserProblem(ErrorCode.INVALID, "credits: a unit has 1 to 100 characters.", ["credits"])
        if not all(0 <= each <= LARGEST_GRANT for each in (self.daily or 0, self.total or 0)):
            raise UserProblem(ErrorCode.INVALID, "credits: give numbers of zero or more, at most 10^15.", ["credits"])
        return Allowance(self.unit, self.daily, self.total, self.expires_at)


@strawberry.input(
    description="What was agreed on and paid elsewhere. Days begin at midnight in the customer's zone. Nothing is ever "
    "charged for it."
)
class CreateManualSubscriptionInput:
    customer: CustomerLookup = described(
        "For whom. A customer who is not known yet is made, by `userId` or by `externalId`; the latter then is the "
        "user's id too."
    )
    external_id: str | None = optional("The merchant's own id for it, at most 255 characters; no other has it.")
    subscription_id: str | None = optional("The same as `externalId`.")
    plan_id: strawberry.ID | None = optional("The plan, by id. It need not be on sale.")
    plan_code: str | None = optional("The plan, by code.")
    name: str | None = optional("A name for it, at most 250 characters.")
    interval: Interval = described("The unit of its period, by which it is renewed.")
    period_start: date = described("Its first day, in the past or to come.")
    period_end: date = described("The first day after it. The same day: it has ended already.")
    payment_reference: str | None = optional("The merchant's own reference of the payment, as `payment.reference`.")
    payment: ManualPaymentInput | None = optional("What was asked for and what has come; without it nothing was.")
    credits: list[CreditAllowanceInput] | None = optional("The credits that it grants, each unit once.")
    is_fixed_credit: bool = strawberry.field(
        description="Whether the credits are granted once, and never anew by a renewal.", default=False
    )
    is_active: bool = strawberry.field(description="Whether it gives access; else it is PAUSED.", default=True)
    is_out_of_credits: bool = strawberry.field(
        description="Whether all its credits have been used already.", default=False
    )
    metadata: JSON | None = optional(METADATA)
    idempotency_key: str | None = optional(KEY)

    def known_as(self) -> KnownAs:
        at_most(255, idempotency_key=self.idempotency_key)
        return KnownAs(**self.customer.given())

    def order(self) -> ManualOrder:
        at_most(250, name=self.name)
        at_most(
            255,
            external_id=self.external_id,
            subscription_id=self.subscription_id,
            payment_reference=self.payment_reference,
        )
        if self.external_id and self.subscription_id and self.external_id != self.subscription_id:
            raise UserProblem(ErrorCode.INVALID, "externalId and subscriptionId are one: give one.", ["subscriptionId"])
        if self.payment is None and self.payment_reference is not None:
            raise UserProblem(ErrorCode.INVALID, "A reference goes with a payment.", ["paymentReference"])
        return ManualOrder(
            plan_id=self.plan_id,
            plan_code=self.plan_code,
            interval=self.interval,
            period_start=self.period_start,
            period_end=self.period_end,
            external_id=self.external_id or self.subscription_id or None,
            name=self.name or None,
            payment=None if self.payment is None else self.payment.record(self.payment_reference),
            credits=allowances(self.credits) or (),
            is_fixed_credit=self.is_fixed_credit,
            is_active=self.is_active,
            is_out_of_credits=self.is_out_of_credits,
            metadata=notes(self.metadata),
        )


@strawberry.input(description="What was agreed on for the time after a manual subscription's end.")
class RenewManualSubscriptionInput:
    subscription_id: strawberry.ID = described("The subscription. It must not have ended.")
    period_end: date | None = optional("The first day after the new period; one interval later unless given.")
    payment: ManualPaymentInput | None = optional(
        "What was asked for and what has come. Without it an open invoice asks for the same again."
    )
    credits: list[CreditAllowanceInput] | None = optional(
        "Credits instead of those of before, which are granted anew unless they are fixed; of a fixed unit they come "
        "on top."
    )
    idempotency_key: str = described(KEY)

    def renewal(self) -> ManualRenewal:
        at_most(255, idempotency_key=self.idempotency_key)
        return ManualRenewal(
            subscription_id=self.subscription_id,
            period_end=self.period_end,
            payment=None if self.payment is None else self.payment.record(),
            credits=allowances(self.credits),
        )


@strawberry.input(description="A payment for an invoice.")
class RecordManualPaymentInput:
    invoice_id: strawberry.ID = described("The invoice, open or written off.")
    payment: ManualPaymentInput = described("What has come.")
    idempotency_key: str = described(KEY)

    def record(self) -> PaymentRecord:
        at_most(255, idempotency_key=self.idempotency_key)
        return self.payment.record()


def allowances(given: list[CreditAllowanceInput] | None) -> list[Allowance] | None:
    if given is not None and len(given) > MOST_UNITS:
        raise UserProblem(ErrorCode.INVALID, f"credits: at most {MOST_UNITS} units.", ["credits"])
    return None if given is None else [each.allowance() for each in given]
