"""Who may do what, in one table: every root field and every guarded field, by its GraphQL coordinate.

Owns: which roles a field is for, which scope an API key needs for it, and that a row belongs to somebody.
Does not own: who is calling (identity, callers).
The schema refuses to be built with a root field that is missing here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from resolvers.identity import AccessDenied, Identity, Role
from services.scopes import Scope


class Ownership(Protocol):
    """Who is calling, and which customer that is."""

    identity: Identity

    async def owns(self, customer_id: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Allowed:
    """Which roles a field is for. A SERVICE moreover needs `scope`; None lets any key in."""

    roles: frozenset[Role]
    scope: Scope | None = None

    def admits(self, identity: Identity) -> bool:
        if identity.role not in self.roles:
            return False
        return identity.role is not Role.SERVICE or self.scope is None or self.scope in identity.scopes


def _to(*roles: Role, key: Scope | None = None) -> Allowed:
    """The roles, and any API key that has the scope `key`."""
    return Allowed(frozenset(roles) | ({Role.SERVICE} if key is not None else set()), key)


EVERYONE = Allowed(frozenset(Role))
CUSTOMERS = _to(Role.CUSTOMER)
STAFF = _to(Role.SUPPORT, Role.ADMIN)
ADMINS = _to(Role.ADMIN)
# Reading rows of customers: one's own, or all.
READERS = _to(Role.CUSTOMER, Role.SUPPORT, Role.ADMIN, key=Scope.READ)
READERS_OF_ALL = _to(Role.SUPPORT, Role.ADMIN, key=Scope.READ)
# Seeing the gateway's own objects.
LOOKERS_BEHIND = _to(Role.ADMIN, key=Scope.READ)
# Acting for oneself, or for the customer of a row or of `customerId`. Support buys and saves cards for nobody.
ACTORS = _to(Role.CUSTOMER, Role.SUPPORT, Role.ADMIN, key=Scope.ACT_FOR_CUSTOMER)
BUYERS = _to(Role.CUSTOMER, Role.ADMIN, key=Scope.ACT_FOR_CUSTOMER)
# Giving money back; how much support may, a setting says.
REFUNDERS = _to(Role.SUPPORT, Role.ADMIN, key=Scope.ACT_FOR_CUSTOMER)
# What the application's own side does for customers, never a customer.
CLERKS = _to(Role.ADMIN, key=Scope.ACT_FOR_CUSTOMER)
# Writing down what was agreed on and paid without a gateway.
BOOKKEEPERS = _to(Role.ADMIN, key=Scope.RECORD_PAYMENTS)
# What is for sale.
SELLERS = _to(Role.ADMIN, key=Scope.MANAGE_CATALOG)
# Seeing what was for sale and by how many it is held.
CURATORS = _to(Role.SUPPORT, Role.ADMIN, key=Scope.MANAGE_CATALOG)
# What the application measures; credits are granted by staff too.
METERS = _to(key=Scope.RECORD_USAGE)
GRANTERS = _to(Role.SUPPORT, Role.ADMIN, key=Scope.RECORD_USAGE)
# Letting what is due happen, and in the sandbox time pass.
RUNNERS = _to(Role.ADMIN, key=Scope.RUN_BILLING)

ACCESS: Mapping[str, Allowed] = {
    "Query.serverInfo": EVERYONE,
    "Query.gatewayConfig": EVERYONE,
    "Query.viewer": EVERYONE,
    "Query.plans": EVERYONE,
    "Query.plan": EVERYONE,
    "Query.products": EVERYONE,
    "Query.product": EVERYONE,
    "Query.features": EVERYONE,
    "Query.appRoles": CURATORS,
    "Query.paymentMethodTypes": EVERYONE,
    "Query.paymentMethodType": EVERYONE,
    "Query.previewSubscribe": EVERYONE,
    "Query.previewChangePlan": BUYERS,
    "Query.previewUpdateSubscription": BUYERS,
    "Query.previewRetryPayment": ACTORS,
    "Query.previewApplyCoupon": ACTORS,
    "Query.previewCancelSubscription": ACTORS,
    "Query.previewPauseSubscription": ACTORS,
    "Query.previewResumeSubscription": ACTORS,
    "Query.previewRefundPayment": REFUNDERS,
    "Query.node": EVERYONE,
    "Query.nodes": EVERYONE,
    "Query.me": CUSTOMERS,
    "Query.mySubscription": CUSTOMERS,
    "Query.subscription": READERS,
    "Query.subscriptions": READERS,
    "Query.paymentMethods": READERS,
    "Query.paymentMethod": READERS,
    "Query.invoices": READERS,
    "Query.invoice": READERS,
    "Query.payments": READERS,
    "Query.payment": READERS,
    "Query.customer": READERS_OF_ALL,
    "Query.customers": READERS_OF_ALL,
    "Query.coupon": READERS_OF_ALL,
    "Query.coupons": READERS_OF_ALL,
    "Query.billingEvents": _to(Role.ADMIN, key=Scope.READ),
    "Query.webhookEndpoints": ADMINS,
    "Query.subscriptionStatus": _to(Role.ADMIN, key=Scope.READ),
    "Query.apiKeys": ADMINS,
    "Query.organization": ADMINS,
    "Query.gatewayEvents": ADMINS,
    "Query.reconciliationReport": ADMINS,
    "Query.reconciliationReports": ADMINS,
    "Query.doubleChargeProof": ADMINS,
    "Query.auditLog": ADMINS,
    "Query.metrics": ADMINS,
    "Query.billingRun": RUNNERS,
    "Query.testClock": RUNNERS,
    "Mutation.subscribe": BUYERS,
    "Mutation.createCheckoutLink": BUYERS,
    "Mutation.createCustomer": CLERKS,
    "Mutation.updateProfile": CUSTOMERS,
    "Mutation.updateCustomer": _to(Role.SUPPORT, Role.ADMIN, key=Scope.ACT_FOR_CUSTOMER),
    "Mutation.anonymizeCustomer": ADMINS,
    "Mutation.createManualSubscription": BOOKKEEPERS,
    "Mutation.renewManualSubscription": BOOKKEEPERS,
    "Mutation.deleteManualSubscription": BOOKKEEPERS,
    "Mutation.recordManualPayment": BOOKKEEPERS,
    "Mutation.createPaymentRecord": BOOKKEEPERS,
    "Mutation.updatePaymentRecord": BOOKKEEPERS,
    "Mutation.deletePaymentRecord": ADMINS,
    "Mutation.createProduct": SELLERS,
    "Mutation.updateProduct": SELLERS,
    "Mutation.archiveProduct": ADMINS,
    "Mutation.createPlan": SELLERS,
    "Mutation.updatePlan": SELLERS,
    "Mutation.archivePlan": ADMINS,
    "Mutation.migratePlanSubscribers": ADMINS,
    "Mutation.updateFeature": SELLERS,
    "Mutation.createAppRole": SELLERS,
    "Mutation.updateAppRole": SELLERS,
    "Mutation.createCoupon": SELLERS,
    "Mutation.updateCoupon": SELLERS,
    "Mutation.deleteCoupon": ADMINS,
    "Mutation.syncCoupons": ADMINS,
    "Mutation.createPromotionCode": ADMINS,
    "Mutation.updatePromotionCode": ADMINS,
    "Mutation.applyCoupon": ACTORS,
    "Mutation.removeCoupon": _to(Role.SUPPORT, Role.ADMIN, key=Scope.ACT_FOR_CUSTOMER),
    "Mutation.recordUsage": METERS,
    "Mutation.consumeCredits": METERS,
    "Mutation.grantCredits": GRANTERS,
    "Mutation.createSetupIntent": BUYERS,
    "Mutation.attachPaymentMethod": BUYERS,
    "Mutation.setDefaultPaymentMethod": BUYERS,
    "Mutation.updatePaymentMethod": BUYERS,
    "Mutation.detachPaymentMethod": BUYERS,
    "Mutation.startSubscriptionPayment": BUYERS,
    "Mutation.retryPayment": ACTORS,
    "Mutation.updateSubscription": BUYERS,
    "Mutation.changePlan": BUYERS,
    "Mutation.cancelScheduledChange": BUYERS,
    "Mutation.updateSubscriptionPaymentMethod": BUYERS,
    "Mutation.uncancelSubscription": ACTORS,
    "Mutation.cancelSubscription": ACTORS,
    "Mutation.pauseSubscription": ACTORS,
    "Mutation.resumeSubscription": ACTORS,
    "Mutation.refundPayment": REFUNDERS,
    "Mutation.voidInvoice": ADMINS,
    "Mutation.refreshSubscriptionPayment": ACTORS,
    "Mutation.runBilling": RUNNERS,
    "Mutation.createTestClock": RUNNERS,
    "Mutation.advanceTestClock": RUNNERS,
    "Mutation.deleteTestClock": RUNNERS,
    "Mutation.createApiKey": ADMINS,
    "Mutation.updateDunningPolicy": ADMINS,
    "Mutation.updateOrganization": ADMINS,
    "Mutation.revokeApiKey": ADMINS,
    "Mutation.reconcilePayments": ADMINS,
    "Mutation.replayGatewayEvent": ADMINS,
    "Mutation.createWebhookEndpoint": ADMINS,
    "Mutation.updateWebhookEndpoint": ADMINS,
    "Mutation.deleteWebhookEndpoint": ADMINS,
    "Mutation.rotateWebhookSecret": ADMINS,
    "Mutation.redeliverWebhook": ADMINS,
    "Mutation.sandboxConfirmPaymentIntent": BUYERS,
    "Mutation.sandboxConfirmSetupIntent": BUYERS,
    "Mutation.sandboxAnswerChallenge": BUYERS,
    "Subscription.subscriptionUpdated": READERS,
    "Subscription.paymentUpdated": READERS,
    "Subscription.entitlementsChanged": CUSTOMERS,
    "Subscription.billingEvents": _to(Role.ADMIN, key=Scope.READ),
    # Secrets are moreover for few, whatever the role: see `require_secret_holder`.
    "PaymentIntent.clientSecret": ACTORS,
    "SetupIntent.clientSecret": ACTORS,
    "NextAction.clientSecret": ACTORS,
    "Card.raw": LOOKERS_BEHIND,
    "PaymentIntent.raw": LOOKERS_BEHIND,
    "Customer.testClock": RUNNERS,
    "Entitlements.token": READERS,
    "Entitlements.tokenExpiresAt": READERS,
    # A key that only runs the billing reads figures, not whose they are.
    "BillingRunItem.subscription": READERS_OF_ALL,
    "BillingRunItem.invoice": READERS_OF_ALL,
    "BillingRunItem.payment": READERS_OF_ALL,
    "TestClock.customers": READERS_OF_ALL,
    "ApiKeyPayload.secret": ADMINS,
    "WebhookEndpointPayload.secret": ADMINS,
    "Plan.subscriptionsCount": STAFF,
    "Plan.priceHistory": CURATORS,
    "PlanPrice.subscriptionsCount": CURATORS,
    "PlanSubscription.raw": _to(Role.ADMIN, key=Scope.READ),
    "CreditEntry.idempotencyKey": GRANTERS,
    "Coupon.maxRedemptions": READERS_OF_ALL,
    "Coupon.timesRedeemed": READERS_OF_ALL,
    "Coupon.promotionCodes": READERS_OF_ALL,
    "PromotionCode.maxRedemptions": READERS_OF_ALL,
    "PromotionCode.timesRedeemed": READERS_OF_ALL,
    "ChargeAttempt.idempotencyKey": STAFF,
}

SANDBOX_ONLY = frozenset(
    (
        "Query.testClock",
        "Mutation.createTestClock",
        "Mutation.advanceTestClock",
        "Mutation.deleteTestClock",
        "Mutation.sandboxConfirmPaymentIntent",
        "Mutation.sandboxConfirmSetupIntent",
        "Mutation.sandboxAnswerChallenge",
    )
)
"""Root fields that the schema of a real gateway does not have."""


def require(identity: Identity, coordinate: str) -> None:
    """Raises AccessDenied unless the field is for the caller."""
    allowed = ACCESS[coordinate]
    if allowed.admits(identity):
        return
    if identity.role is Role.SERVICE and Role.SERVICE in allowed.roles:
        raise AccessDenied(identity, f"This needs an API key with the scope {allowed.scope}.")
    raise AccessDenied(identity)


def permits(identity: Identity, coordinate: str) -> bool:
    return ACCESS[coordinate].admits(identity)


def permissions(identity: Identity, *, sandbox: bool) -> list[str]:
    """The root fields that the caller may call, as coordinates: `Mutation.subscribe`."""
    return sorted(
        coordinate
        for coordinate, allowed in ACCESS.items()
        if allowed.admits(identity)
        and coordinate.startswith(("Query.", "Mutation.", "Subscription."))
        and (sandbox or coordinate not in SANDBOX_ONLY)
    )


def is_staff(identity: Identity) -> bool:
    return STAFF.admits(identity)


def reads_all(identity: Identity) -> bool:
    return READERS_OF_ALL.admits(identity)


def require_curator(identity: Identity) -> None:
    """Raises AccessDenied for whoever may not look at what was withdrawn from the catalog."""
    if not CURATORS.admits(identity):
        raise AccessDenied(
            identity, "NOT_PERMITTED: includeArchived is for staff and keys that manage the catalog; leave it out."
        )


def refuse_foreign_owner(identity: Identity) -> AccessDenied:
    """What a customer hears who names another owner in a list's arguments."""
    return AccessDenied(identity, "NOT_PERMITTED: customers see their own; leave the owner's id out.")


def refuse_archived(identity: Identity) -> AccessDenied:
    """What a customer hears who asks for what was deleted."""
    return AccessDenied(identity, "NOT_PERMITTED: what was deleted is for staff; leave includeArchived out.")


async def require_secret_holder(context: Ownership, customer_id: str, *, started: bool) -> None:
    """Raises AccessDenied unless a client secret of that customer is for the caller.

    It is its owner's; of others only an API key has it that acts for the customer, where its own mutation has
    `started` what the secret is for.
    """
    key = context.identity.role is Role.SERVICE and Scope.ACT_FOR_CUSTOMER in context.identity.scopes
    if not (key and started) and not await context.owns(customer_id):
        raise AccessDenied(context.identity, "This is for its owner alone.")
