"""Customers come into being with the first thing they ask for, at the gateway only when money or cards are involved."""

import secrets

from sqlalchemy.exc import IntegrityError

from billing.errors import ErrorCode, UserProblem
from gateways.port import CustomerFacts, GatewayRefused, GatewayUnavailable
from models.base import new_id
from models.customers import Customer, GatewayAccount, customer_of_user, gateway_account, locked_customer
from models.database import is_unique_violation
from services.app import Actor, ActorKind, App
from services.people.facts import told_to_gateways
from services.policies import zone_in_force
from services.problems import gateway_unavailable, not_found

_LONGEST_NAME = 250
_PREFIX_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


async def ensure_customer(app: App, actor: Actor) -> Customer:
    """The customer of the token's subject, made on its first mutation."""
    user_id = actor.user_id
    if user_id is None:
        raise UserProblem(ErrorCode.NOT_PERMITTED, "Only a signed-in user is a customer.")
    async with app.database.read() as session:
        known = await customer_of_user(session, user_id)
        if known is not None:
            return known
        zone = await zone_in_force(session, app)
    now = app.now()
    customer = Customer(
        id=new_id("customer"),
        user_id=user_id,
        email=actor.email,
        name=actor.name[:_LONGEST_NAME] if actor.name else None,
        timezone=zone,
        invoice_prefix=new_invoice_prefix(),
        created_at=now,
        updated_at=now,
        created_by=str(actor),
    )
    try:
        async with app.database.write() as session:
            session.add(customer)
    except IntegrityError as error:
        if not is_unique_violation(error):
            raise
        async with app.database.read() as session:
            first = await customer_of_user(session, user_id)
        if first is None:
            raise
        return first
    return customer


def new_invoice_prefix() -> str:
    """What a customer's invoice numbers begin with: ten characters that nobody mistakes for others."""
    return "".join(secrets.choice(_PREFIX_ALPHABET) for _ in range(10))


async def acting_customer(app: App, actor: Actor, customer_id: str | None) -> Customer:
    """The customer that a step is about: one's own, or the one that staff or an application's back end names.

    Raises NOT_PERMITTED when a customer names any other, REQUIRED when nobody is named who has to be, NOT_FOUND for
    one who is not there, INVALID_STATE for one who was anonymized.
    """
    if actor.kind is ActorKind.CUSTOMER:
        own = await ensure_customer(app, actor)
        if customer_id is not None and customer_id != own.id:
            raise UserProblem(
                ErrorCode.NOT_PERMITTED, "Customers act for themselves: leave customerId out.", ["customerId"]
            )
        return own
    if not actor.acts_for_customers:
        raise UserProblem(ErrorCode.NOT_PERMITTED, "This caller does not act for customers.", ["customerId"])
    if customer_id is None:
        if actor.user_id is not None and actor.kind is ActorKind.ADMIN:
            return await ensure_customer(app, actor)
        raise UserProblem(ErrorCode.REQUIRED, "Say for whom: give customerId.", ["customerId"])
    async with app.database.read() as session:
        customer = await session.get(Customer, customer_id)
    if customer is None:
        raise not_found("customer", "customerId")
    refuse_anonymized(customer, "customerId")
    return customer


def refuse_anonymized(customer: Customer, field: str) -> None:
    """Raises UserProblem INVALID_STATE when it is nobody any more."""
    if customer.archived_at is not None:
        message = "This customer was anonymized. Whoever it was comes anew, as another customer."
        raise UserProblem(ErrorCode.INVALID_STATE, message, [field])


async def may_act_for(app: App, actor: Actor, customer_id: str) -> bool:
    """Whether a step about that customer's rows is this actor's: its own, or anybody's for those who act for others."""
    return actor.acts_for_customers or (await acting_customer(app, actor, None)).id == customer_id


async def ensure_gateway_account(app: App, customer: Customer) -> str:
    """The customer's reference at the gateway, made there when missing.

    The key is new each minute: a gateway may keep a fault as a key's answer for a day, and then the key is of no use.
    At worst a customer without cards is left behind there. Raises UserProblem GATEWAY_UNAVAILABLE, and INVALID_STATE
    when the gateway does not take the customer.
    """
    account = await app.database.consult(gateway_account, customer.id, app.gateway.platform)
    if account is not None:
        return account.gateway_ref
    minute, facts = int(app.machine_now().timestamp()) // 60, told_to_gateways(customer)
    try:
        # Other facts under the same key would be refused.
        key = f"{customer.id}:{customer.version}:{minute}"
        ref = await app.gateway.create_customer(customer_id=customer.id, facts=facts, idempotency_key=key)
    except GatewayUnavailable:
        raise gateway_unavailable() from None
    except GatewayRefused as refusal:
        # Whoever wrote the token's claims can put it right: an e-mail address that is none, for example.
        raise UserProblem(ErrorCode.INVALID_STATE, f"The gateway does not take this customer: {refusal}") from None
    return await remember_account(app, customer.id, ref, told=facts)


async def remember_account(app: App, customer_id: str, ref: str, *, told: CustomerFacts | None = None) -> str:
    """Write down who the customer is at the gateway; what is written already stays, and is the answer.

    `told`: what the gateway was told of it; what has changed since then is told next.
    """
    try:
        async with app.database.write() as session:
            customer = await locked_customer(session, customer_id)
            is_behind = customer is not None and told is not None and told != told_to_gateways(customer)
            is_nobody = customer is not None and customer.archived_at is not None
            session.add(
                GatewayAccount(
                    id=new_id("gateway_account"),
                    customer_id=customer_id,
                    platform=app.gateway.platform,
                    gateway_ref=ref,
                    created_at=app.now(),
                    due_at=app.machine_now() if is_behind or is_nobody else None,
                )
            )
    except IntegrityError as error:
        if not is_unique_violation(error):
            raise
        async with app.database.read() as session:
            first = await gateway_account(session, customer_id, app.gateway.platform)
        if first is None:
            raise
        return first.gateway_ref
    return ref
