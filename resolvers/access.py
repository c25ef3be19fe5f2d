"""Who may do what, in one table: every root field and every guarded field, by its GraphQL coordinate.

Owns: which roles a field is for, and that a row belongs to somebody. Does not own: who is calling (identity).
The schema refuses to be built with a root field that is missing here.
"""

from collections.abc import Mapping
from typing import Protocol

from resolvers.identity import AccessDenied, Identity, Role


class Ownership(Protocol):
    """Who is calling, and which customer that is."""

    identity: Identity

    async def owns(self, customer_id: str) -> bool: ...


EVERYONE = frozenset((Role.PUBLIC, Role.CUSTOMER, Role.SUPPORT, Role.ADMIN))
SIGNED_IN = frozenset((Role.CUSTOMER, Role.SUPPORT, Role.ADMIN))
CUSTOMERS = frozenset((Role.CUSTOMER,))
CUSTOMERS_AND_ADMINS = frozenset((Role.CUSTOMER, Role.ADMIN))
STAFF = frozenset((Role.SUPPORT, Role.ADMIN))

ACCESS: Mapping[str, frozenset[Role]] = {
    "Query.serverInfo": EVERYONE,
    "Query.gatewayConfig": EVERYONE,
    "Query.viewer": EVERYONE,
    "Query.plans": EVERYONE,
    "Query.plan": EVERYONE,
    "Query.products": EVERYONE,
    "Query.product": EVERYONE,
    "Query.node": EVERYONE,
    "Query.nodes": EVERYONE,
    "Query.me": CUSTOMERS,
    "Query.mySubscription": CUSTOMERS,
    "Query.subscription": SIGNED_IN,
    "Query.paymentMethods": SIGNED_IN,
    "Query.paymentMethod": SIGNED_IN,
    "Query.invoices": SIGNED_IN,
    "Query.invoice": SIGNED_IN,
    "Query.payments": SIGNED_IN,
    "Query.payment": SIGNED_IN,
    "Mutation.subscribe": CUSTOMERS_AND_ADMINS,
    "Mutation.createSetupIntent": CUSTOMERS_AND_ADMINS,
    "Mutation.attachPaymentMethod": CUSTOMERS_AND_ADMINS,
    "Mutation.setDefaultPaymentMethod": CUSTOMERS_AND_ADMINS,
    "Mutation.cancelSubscription": SIGNED_IN,
    "Mutation.refreshSubscriptionPayment": SIGNED_IN,
    "Mutation.sandboxConfirmPaymentIntent": SIGNED_IN,
    "Mutation.sandboxConfirmSetupIntent": SIGNED_IN,
    "Mutation.sandboxAnswerChallenge": SIGNED_IN,
    # Secrets are moreover the owner's alone, whatever the role: see `require_owner`.
    "PaymentIntent.clientSecret": SIGNED_IN,
    "SetupIntent.clientSecret": SIGNED_IN,
    "NextAction.clientSecret": SIGNED_IN,
    "Plan.subscriptionsCount": STAFF,
    "ChargeAttempt.idempotencyKey": STAFF,
}


def require(identity: Identity, coordinate: str) -> None:
    """Raises AccessDenied unless the caller's role is among the field's."""
    if identity.role not in ACCESS[coordinate]:
        raise AccessDenied(identity)


def permissions(role: Role, *, sandbox: bool) -> list[str]:
    """The root fields that `role` may call, as coordinates: `Mutation.subscribe`."""
    return sorted(
        coordinate
        for coordinate, roles in ACCESS.items()
        if role in roles
        and coordinate.startswith(("Query.", "Mutation."))
        and (sandbox or not coordinate.startswith("Mutation.sandbox"))
    )


def is_staff(identity: Identity) -> bool:
    return identity.role in STAFF


def refuse_foreign_owner(identity: Identity) -> AccessDenied:
    """What a customer hears who names another owner in a list's arguments."""
    return AccessDenied(identity, "NOT_PERMITTED: customers see their own; leave the owner's id out.")


async def require_owner(context: "Ownership", customer_id: str) -> None:
    """Raises AccessDenied unless the caller is that very customer, whatever the role."""
    if not await context.owns(customer_id):
        raise AccessDenied(context.identity, "This is for its owner alone.")
