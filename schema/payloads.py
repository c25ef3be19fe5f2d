"""Answers to mutations: the objects as they are now, and beside them what stood in the way."""

import strawberry

from billing.errors import UserProblem
from billing.lifecycle import PaymentStatus
from models.payments import Payment as PaymentRow
from resolvers.standing import NOTHING_TO_DO, NextActionType, action_of_payment, action_of_subscription
from schema.actions import NextAction
from schema.cards import PaymentMethod
from schema.customers import Customer
from schema.fields import Info, described, optional
from schema.intents import PaymentIntent, SetupIntent, action_of_view
from schema.invoices import Invoice
from schema.payments import Payment
from schema.returns import Refund
from schema.subscriptions import PlanSubscription
from schema.user_errors import UserError, refusals
from services.amendments.changing import ChangeOutcome
from services.payments.outcomes import PaymentOutcome

ERRORS = "What stood in the way; empty when all went well. Always select it: success and refusal can come together."


@strawberry.type(description="The answer to `subscribe`.")
class SubscribePayload:
    subscription: PlanSubscription | None = described("The subscription, also when its first payment is not made yet.")
    payment: Payment | None = described("The first payment; null when nothing is to be paid.")
    payment_intent: PaymentIntent | None = described("The gateway's intent, with its client secret for the browser.")
    setup_intent: SetupIntent | None = described(
        "On a trial without a card: what the browser saves one with, for the first period."
    )
    next_action: NextAction | None = described("What the customer must do next; its `type` is NONE when nothing.")
    user_errors: list[UserError] = described(ERRORS)

    @classmethod
    async def of(cls, info: Info, outcome: PaymentOutcome) -> "SubscribePayload":
        return cls(
            subscription=_subscription(outcome),
            payment=_payment(outcome),
            payment_intent=_intent(info, outcome, started=True),
            setup_intent=_setup_intent(outcome),
            next_action=await _next_action(info, outcome, started=True),
            user_errors=refusals(outcome.problems),
        )

    @classmethod
    def refused(cls, problem: UserProblem) -> "SubscribePayload":
        return cls(
            subscription=None,
            payment=None,
            payment_intent=None,
            setup_intent=None,
            next_action=None,
            user_errors=refusals([problem]),
        )


@strawberry.type(description="The answer to a mutation about a subscription's payment.")
class SubscriptionPaymentPayload:
    subscription: PlanSubscription | None = described("The subscription as it is now.")
    payment: Payment | None = described("The payment as it is now.")
    payment_intent: PaymentIntent | None = described("The gateway's intent, with its client secret for the browser.")
    payment_ticket_id: strawberry.ID | None = described(
        "The id of the payment's newest try, which `Payment.attempts` tells of; null if no card was tried."
    )
    success: bool = described("Whether the payment is paid.")
    next_action: NextAction | None = described("What the customer must do next; its `type` is NONE when nothing.")
    user_errors: list[UserError] = described(ERRORS)

    @classmethod
    async def of(cls, info: Info, outcome: PaymentOutcome, *, started: bool = False) -> "SubscriptionPaymentPayload":
        """`started`: the mutation has begun what the client secret is for, and does not only ask about it."""
        paid = outcome.payment is not None and outcome.payment.status is PaymentStatus.SUCCEEDED
        return cls(
            subscription=_subscription(outcome),
            payment=_payment(outcome),
            payment_intent=_intent(info, outcome, started=started),
            payment_ticket_id=await _ticket_id(info, outcome),
            success=paid,
            next_action=await _next_action(info, outcome, started=started),
            user_errors=refusals(outcome.problems),
        )

    @classmethod
    def refused(cls, problem: UserProblem) -> "SubscriptionPaymentPayload":
        return cls(
            subscription=None,
            payment=None,
            payment_intent=None,
            payment_ticket_id=None,
            success=False,
            next_action=None,
            user_errors=refusals([problem]),
        )


@strawberry.type(description="The answer to a mutation about a subscription.")
class SubscriptionPayload:
    subscription: PlanSubscription | None = described("The subscription as it is now; null when refused.")
    refund: Refund | None = optional("What goes back to a card; null if nothing does.")
    invoice: Invoice | None = described("The invoice that the step made, withdrew or made due now; null if none.")
    payment: Payment | None = optional("The payment of the invoice that the step made; null if none.")
    next_action: NextAction | None = optional("What the customer must do about that payment; null if there is none.")
    user_errors: list[UserError] = described(ERRORS)

    @classmethod
    async def of_change(cls, info: Info, outcome: ChangeOutcome) -> "SubscriptionPayload":
        paid = outcome.payment
        return cls(
            subscription=PlanSubscription.of(outcome.subscription),
            invoice=Invoice.of(outcome.invoice) if outcome.invoice is not None else None,
            payment=_payment(paid) if paid is not None else None,
            next_action=await _next_action(info, paid, started=True) if paid is not None else None,
            user_errors=refusals(outcome.problems),
        )

    @classmethod
    def refused(cls, problem: UserProblem) -> "SubscriptionPayload":
        return cls(subscription=None, invoice=None, user_errors=refusals([problem]))


@strawberry.type(description="The answer to a mutation that writes down a payment.")
class PaymentPayload:
    payment: Payment | None = described("The payment as it is written down; null when refused.")
    invoice: Invoice | None = described("The invoice as it is now; null when refused.")
    user_errors: list[UserError] = described(ERRORS)

    @classmethod
    async def of(cls, info: Info, row: PaymentRow) -> "PaymentPayload":
        invoice = await info.context.loaders.invoice.load(row.invoice_id)
        return cls(
            payment=Payment.of(row), invoice=Invoice.of(invoice) if invoice is not None else None, user_errors=[]
        )

    @classmethod
    def refused(cls, problem: UserProblem) -> "PaymentPayload":
        return cls(payment=None, invoice=None, user_errors=refusals([problem]))


@strawberry.type(description="The answer to a mutation about a setup intent.")
class SetupIntentPayload:
    setup_intent: SetupIntent | None = described("The setup intent; null when refused.")
    user_errors: list[UserError] = described(ERRORS)


@strawberry.type(description="The answer to a mutation about a payment intent.")
class PaymentIntentPayload:
    payment_intent: PaymentIntent | None = described("The payment intent; null when refused.")
    user_errors: list[UserError] = described(ERRORS)


@strawberry.type(description="The answer to a challenge.")
class ChallengePayload:
    payment_intent: PaymentIntent | None = described("The intent that the challenge was for, if it collects a payment.")
    setup_intent: SetupIntent | None = described("The intent that the challenge was for, if it saves a card.")
    user_errors: list[UserError] = described(ERRORS)


@strawberry.type(description="The answer to a mutation about a saved card.")
class PaymentMethodPayload:
    payment_method: PaymentMethod | None = described("The saved card; null when refused.")
    user_errors: list[UserError] = described(ERRORS)


@strawberry.type(description="The answer to `setDefaultPaymentMethod`.")
class DefaultPaymentMethodPayload:
    customer: Customer | None = described("The customer with the new default card; null when refused.")
    payment_method: PaymentMethod | None = described("The default card; null when refused.")
    updated_subscriptions: list[PlanSubscription] = described("The subscriptions whose own card gave way to it.")
    user_errors: list[UserError] = described(ERRORS)


def _subscription(outcome: PaymentOutcome) -> PlanSubscription | None:
    return PlanSubscription.of(outcome.subscription) if outcome.subscription is not None else None


def _payment(outcome: PaymentOutcome) -> Payment | None:
    return Payment.of(outcome.payment) if outcome.payment is not None else None


async def _ticket_id(info: Info, outcome: PaymentOutcome) -> strawberry.ID | None:
    tries = await info.context.loaders.attempts_of_payment.load(outcome.payment.id) if outcome.payment else ()
    return strawberry.ID(tries[-1].id) if tries else None


def _setup_intent(outcome: PaymentOutcome) -> SetupIntent | None:
    view = outcome.setup_intent
    return SetupIntent.of(view, started=True) if view is not None else None


def _intent(info: Info, outcome: PaymentOutcome, *, started: bool) -> PaymentIntent | None:
    if outcome.intent is None:
        return None
    return PaymentIntent.of(outcome.intent, livemode=info.context.app.gateway.livemode, started=started)


async def _next_action(info: Info, outcome: PaymentOutcome, *, started: bool) -> NextAction:
    """The payment under way first, with the secret that it needs; then a card for the renewals."""
    view, subscription = outcome.intent, outcome.subscription
    if view is not None:
        action = action_of_view(view)
        if action.type is not NextActionType.NONE:
            secret = view.snapshot.client_secret if view.snapshot is not None else None
            return NextAction.of(action, secret=secret, customer_id=view.payment.customer_id, started=started)
    elif outcome.payment is not None:
        action = action_of_payment(outcome.payment, None)
        if action.type is not NextActionType.NONE:
            return NextAction.of(action)
    if subscription is None:
        return NextAction.of(NOTHING_TO_DO)
    loaders = info.context.loaders
    customer = await loaders.customer.load(subscription.customer_id)
    card = subscription.paying_card(customer.default_payment_method_id if customer is not None else None)
    awaits_invoice, has_card = await loaders.awaits_invoice(subscription), card is not None
    return NextAction.of(
        action_of_subscription(subscription, None, None, awaits_invoice=awaits_invoice, has_card=has_card)
    )
