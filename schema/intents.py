"""Intents: what the browser confirms at the gateway. Client secrets are the owner's, in answers to mutations only."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import strawberry
from strawberry.scalars import JSON

from billing.charging import IntentStatus, SetupFutureUsage
from models.payments import CollectionIntent, problem_of
from models.payments import Payment as PaymentRow
from resolvers.access import require_secret_holder
from resolvers.standing import NextAction as NextActionFacts
from resolvers.standing import NextActionType, action_of_intent, action_of_payment
from schema import cards, customers
from schema.actions import OWNERS_ONLY, GatewayError, NextAction
from schema.fields import CustomerRef, Info, PaymentMethodRef, described
from schema.interfaces import Node
from schema.mandates import Mandate
from schema.money import Money
from services.as_told import intent_as_told
from services.payments.outcomes import PaymentIntentView, SetupIntentView


@strawberry.type(description="The gateway's object for collecting one invoice. Every try of that invoice confirms it.")
class PaymentIntent(Node):
    gateway_id: str | None = described("The gateway's id for it; null until it has answered.")
    status: IntentStatus = described("Where it stands at the gateway.")
    amount: Money = described("What it collects.")
    setup_future_usage: SetupFutureUsage | None = described("Whether the card will be kept.")
    next_action: NextAction | None = described("What the customer must do; null if nothing.")
    last_error: GatewayError | None = described("Why the last card was refused, if it was.")
    livemode: bool = described("Whether it moves real money.")
    created_at: datetime = described("When it was begun.")
    customer_id: strawberry.Private[str]
    secret: strawberry.Private[str | None]
    started: strawberry.Private[bool]
    payment_method_ref: strawberry.Private[str | None]
    told: strawberry.Private[Mapping[str, Any] | None]

    @classmethod
    def of(cls, view: PaymentIntentView, *, livemode: bool, started: bool = False) -> "PaymentIntent":
        """`livemode` counts until the gateway itself has told; `started`: this very mutation has begun it."""
        row, payment, snapshot = view.row, view.payment, view.snapshot
        secret = snapshot.client_secret if snapshot is not None else None
        action = action_of_view(view)
        return cls(
            id=strawberry.ID(row.id),
            gateway_id=row.gateway_ref,
            status=snapshot.status if snapshot is not None else row.status,
            amount=Money.of(payment.amount),
            setup_future_usage=payment.setup_future_usage,
            next_action=NextAction.of(action, secret=secret, customer_id=payment.customer_id, started=started)
            if action.type is not NextActionType.NONE
            else None,
            last_error=GatewayError.of(snapshot.last_problem if snapshot is not None else problem_of(payment)),
            livemode=snapshot.livemode if snapshot is not None else livemode,
            created_at=row.created_at,
            customer_id=payment.customer_id,
            secret=secret,
            started=started,
            payment_method_ref=snapshot.payment_method_ref if snapshot is not None else row.payment_method_ref,
            told=snapshot.raw if snapshot is not None else None,
        )

    @strawberry.field(
        description="The gateway's own object, asked for now, without secrets and what tells of the holder; null "
        "before there is one, and while the gateway does not answer. For administrators and keys."
    )
    async def raw(self, info: Info) -> JSON | None:
        told = self.told
        if told is None and self.gateway_id is not None:
            told = await intent_as_told(info.context.app, self.gateway_id)
        return JSON(told) if told is not None else None

    @strawberry.field(description=OWNERS_ONLY)
    async def client_secret(self, info: Info) -> str | None:
        await require_secret_holder(info.context, self.customer_id, started=self.started)
        return self.secret

    @strawberry.field(description="The saved card that pays it; null before one is chosen or if it is not kept.")
    async def payment_method(self, info: Info) -> PaymentMethodRef | None:
        return await _method_of_ref(info, self.payment_method_ref)

    @strawberry.field(description="Who pays.")
    async def customer(self, info: Info) -> CustomerRef:
        return await customers.customer_of(info, self.customer_id)


@strawberry.type(description="The gateway's object for saving a card without a charge.")
class SetupIntent:
    id: strawberry.ID = described("Opaque and ours.")
    gateway_id: str = described("The gateway's id for it.")
    status: IntentStatus = described("Where it stands at the gateway.")
    usage: SetupFutureUsage = described("What the card is kept for.")
    application: str | None = described("The platform that made it, if one did.")
    cancellation_reason: str | None = described("Why it was given up, if it was.")
    description: str | None = described("A note kept at the gateway.")
    last_error: GatewayError | None = described("Why the last card was refused, if it was.")
    mandate: Mandate | None = described("The mandate that it gave, if any.")
    single_use_mandate: Mandate | None = described("The mandate for one charge that it gave, if any.")
    metadata: JSON = described("Notes kept at the gateway.")
    next_action: NextAction | None = described("What the customer must do; null if nothing.")
    on_behalf_of: str | None = described("The account that it was made for, if another's.")
    payment_method_types: list[str] = described("What may be saved with it.")
    request_three_d_secure: str = described("When the bank is asked to authenticate the holder: automatic.")
    livemode: bool = described("Whether it is about real cards.")
    created_at: datetime = described("When it was begun.")
    customer_id: strawberry.Private[str]
    secret: strawberry.Private[str | None]
    started: strawberry.Private[bool]
    payment_method_ref: strawberry.Private[str | None]

    @classmethod
    def of(cls, view: SetupIntentView, *, started: bool = False) -> "SetupIntent":
        """`started`: this very mutation has begun it."""
        row, snapshot = view.row, view.snapshot
        return cls(
            id=strawberry.ID(row.id),
            gateway_id=snapshot.ref,
            status=snapshot.status,
            usage=snapshot.usage,
            application=snapshot.application,
            cancellation_reason=snapshot.cancellation_reason,
            description=snapshot.description,
            last_error=GatewayError.of(snapshot.last_problem),
            mandate=Mandate.of(snapshot.mandate),
            single_use_mandate=Mandate.of(snapshot.single_use_mandate),
            metadata=JSON(dict(snapshot.metadata)),
            next_action=_setup_action(view, started=started),
            on_behalf_of=snapshot.on_behalf_of,
            payment_method_types=list(snapshot.payment_method_types),
            request_three_d_secure=snapshot.request_three_d_secure,
            livemode=snapshot.livemode,
            created_at=snapshot.created_at,
            customer_id=row.customer_id,
            secret=snapshot.client_secret,
            started=started,
            payment_method_ref=snapshot.payment_method_ref,
        )

    @strawberry.field(description=OWNERS_ONLY)
    async def client_secret(self, info: Info) -> str | None:
        await require_secret_holder(info.context, self.customer_id, started=self.started)
        return self.secret

    @strawberry.field(description="The card that it saved; null before one is.")
    async def payment_method(self, info: Info) -> PaymentMethodRef | None:
        return await _method_of_ref(info, self.payment_method_ref)

    @strawberry.field(description="Whose card it saves.")
    async def customer(self, info: Info) -> CustomerRef:
        return await customers.customer_of(info, self.customer_id)


def action_of_view(view: PaymentIntentView) -> NextActionFacts:
    """By the gateway's live answer where there is one, else by the payment as it stands."""
    if view.snapshot is None:
        return action_of_payment(view.payment, view.row.next_action_url)
    step = view.snapshot.next_step
    redirect_url = step.redirect_url if step is not None else None
    return action_of_intent(view.snapshot.status, redirect_url, view.payment.return_url, view.payment.error_url)


async def intent_of_payment(info: Info, payment: PaymentRow) -> PaymentIntent | None:
    """The payment's newest intent as last seen, without its secret."""
    row: CollectionIntent | None = await info.context.loaders.newest_intent(payment.id)
    if row is None:
        return None
    return PaymentIntent.of(PaymentIntentView(row, payment, None), livemode=info.context.app.gateway.livemode)


def _setup_action(view: SetupIntentView, *, started: bool) -> NextAction | None:
    step = view.snapshot.next_step
    redirect_url = step.redirect_url if step is not None else None
    facts = action_of_intent(view.snapshot.status, redirect_url, view.row.return_url, view.row.error_url)
    if facts.type is NextActionType.NONE:
        return None
    return NextAction.of(facts, secret=view.snapshot.client_secret, customer_id=view.row.customer_id, started=started)


async def _method_of_ref(info: Info, ref: str | None) -> PaymentMethodRef | None:
    row = await info.context.loaders.payment_method_of_ref.load(ref) if ref is not None else None
    return cards.PaymentMethod.of(row) if row is not None else None
