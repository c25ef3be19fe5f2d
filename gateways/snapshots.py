"""Reading Stripe's objects: from their JSON to the port's snapshots. No calls, no decisions.

Source of the fields: the objects' typings in the installed SDK, which pins the API version.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from billing.charging import CardProblem, IntentStatus, SetupFutureUsage
from billing.couponing import CouponDuration
from billing.dashboard_coupons import CodeTerms, DashboardCode, DashboardCoupon, TakesOff
from billing.lifecycle import RefundStatus
from billing.money import CURRENCIES, Money
from billing.returning import DisputeStatus, RefundReason
from gateways.cards import (
    CardFacts,
    CardNews,
    MandateFacts,
    NextStep,
    PaymentMethodSnapshot,
    SetupIntentSnapshot,
)
from gateways.method_types import CountrySpecification
from gateways.persons import Address, BillingDetails
from gateways.port import (
    ChargeSnapshot,
    CustomerSnapshot,
    DisputeSnapshot,
    GatewayNotFound,
    PaymentIntentSnapshot,
    RefundSnapshot,
)

INVOICE_KEY = "perennial_invoice"
"""The metadata key under which an intent carries our invoice id."""

_REFUND_STATUSES = {status.value: status for status in RefundStatus} | {"requires_action": RefundStatus.PENDING}
_REFUND_REASONS = {
    reason.value: reason
    for reason in (RefundReason.DUPLICATE, RefundReason.FRAUDULENT, RefundReason.REQUESTED_BY_CUSTOMER)
}

_LONGEST_BIN = 8
# What of a card's object is kept as it is: nothing that tells who holds it.
_TELLING = (
    "brand",
    "checks",
    "country",
    "description",
    "display_brand",
    "exp_month",
    "exp_year",
    "fingerprint",
    "funding",
    "issuer",
    "last4",
    "networks",
    "regulated_status",
    "three_d_secure_usage",
)

_PERSONAL = frozenset(("billing_details", "client_secret", "iin", "receipt_email", "shipping", "wallet"))

Json = Mapping[str, Any]


def invoice_of(intent: Json) -> str | None:
    """The invoice of ours that an intent was made for, None when others made it."""
    return (intent.get("metadata") or {}).get(INVOICE_KEY)


def may_be_ours(body: Json) -> bool:
    """Whether it is in a currency that we charge: an account holds others' too, and of times when there were others."""
    return str(body["currency"]).upper() in CURRENCIES


def _currency_of(body: Json) -> str:
    if not may_be_ours(body):
        raise GatewayNotFound(f"{body['id']} is in {body['currency']}, which nothing of ours is charged in")
    return str(body["currency"]).upper()


def payment_intent(body: Json) -> PaymentIntentSnapshot:
    currency = _currency_of(body)
    error = body.get("last_payment_error")
    return PaymentIntentSnapshot(
        ref=body["id"],
        invoice_id=invoice_of(body),
        status=IntentStatus(body["status"]),
        amount=Money(body["amount"], currency),
        captured=Money(body.get("amount_received") or 0, currency),
        customer_ref=_ref(body.get("customer")),
        payment_method_ref=_ref(body.get("payment_method")),
        setup_future_usage=_usage(body.get("setup_future_usage")),
        next_step=_next_step(body.get("next_action")),
        last_problem=problem(error),
        last_problem_method_ref=_ref(error.get("payment_method")) if error else None,
        latest_charge_ref=_ref(body.get("latest_charge")),
        client_secret=body.get("client_secret") or "",
        created_at=_instant(body["created"]),
        livemode=body["livemode"],
        metadata=dict(body.get("metadata") or {}),
        raw=_impersonal(body),
    )


def charge(body: Json) -> ChargeSnapshot | None:
    """None while it is pending. A charge tells the issuer's reason in its outcome, an intent in its error."""
    if body["status"] == "pending":
        return None
    outcome = body.get("outcome") or {}
    refused = {
        "code": body.get("failure_code"),
        "message": body.get("failure_message"),
        "decline_code": outcome.get("reason"),
        "advice_code": outcome.get("advice_code"),
    }
    return ChargeSnapshot(
        ref=body["id"],
        intent_ref=_ref(body.get("payment_intent")),
        problem=problem(refused) if body["status"] == "failed" else None,
        payment_method_ref=_ref(body.get("payment_method")),
        created_at=_instant(body["created"]),
    )


def refund(body: Json) -> RefundSnapshot:
    return RefundSnapshot(
        ref=body["id"],
        intent_ref=_ref(body.get("payment_intent")),
        amount=Money(body["amount"], _currency_of(body)),
        # What Stripe does not tell (the typings allow null) is not known to have arrived.
        status=_REFUND_STATUSES[body["status"]] if body.get("status") else RefundStatus.PENDING,
        reason=_REFUND_REASONS.get(body.get("reason") or "", RefundReason.OTHER),
        failure_reason=body.get("failure_reason"),
        created_at=_instant(body["created"]),
        metadata=dict(body.get("metadata") or {}),
    )


def dispute(body: Json) -> DisputeSnapshot:
    currency = _currency_of(body)
    moved = body.get("balance_transactions") or ()
    return DisputeSnapshot(
        ref=body["id"],
        intent_ref=_ref(body.get("payment_intent")),
        amount=Money(body["amount"], currency),
        withdrawn=Money(_moved(body, [-each["amount"] for each in moved if each["amount"] < 0], moved), currency),
        reinstated=Money(_moved(body, [each["amount"] for each in moved if each["amount"] > 0], moved), currency),
        status=DisputeStatus(body["status"]),
        reason=body["reason"],
        created_at=_instant(body["created"]),
    )


def _moved(body: Json, amounts: Sequence[int], moved: Sequence[Json]) -> int:
    """What was taken or given back in all. Booked in another currency, it is told by the dispute's own amount."""
    if all(each["currency"] == body["currency"] for each in moved):
        return sum(amounts)
    return body["amount"] if amounts else 0


def setup_intent(body: Json) -> SetupIntentSnapshot:
    card_options = (body.get("payment_method_options") or {}).get("card") or {}
    return SetupIntentSnapshot(
        ref=body["id"],
        status=IntentStatus(body["status"]),
        usage=SetupFutureUsage(body.get("usage") or SetupFutureUsage.OFF_SESSION),
        customer_ref=_ref(body.get("customer")),
        payment_method_ref=_ref(body.get("payment_method")),
        next_step=_next_step(body.get("next_action")),
        last_problem=problem(body.get("last_setup_error")),
        client_secret=body.get("client_secret") or "",
        created_at=_instant(body["created"]),
        livemode=body["livemode"],
        application=_ref(body.get("application")),
        cancellation_reason=body.get("cancellation_reason"),
        description=body.get("description"),
        mandate=_mandate(body.get("mandate")),
        single_use_mandate=_mandate(body.get("single_use_mandate"), is_single_use=True),
        on_behalf_of=_ref(body.get("on_behalf_of")),
        payment_method_types=list(body.get("payment_method_types") or ()),
        request_three_d_secure=card_options.get("request_three_d_secure") or "automatic",
        metadata=dict(body.get("metadata") or {}),
    )


def payment_method(body: Json) -> PaymentMethodSnapshot:
    billing = body.get("billing_details") or {}
    address = billing.get("address") or {}
    return PaymentMethodSnapshot(
        ref=body["id"],
        type=body["type"],
        customer_ref=_ref(body.get("customer")),
        created_at=_instant(body["created"]),
        livemode=body["livemode"],
        card=_card(body["card"]) if body.get("card") else None,
        billing_details=BillingDetails(
            name=billing.get("name"),
            email=billing.get("email"),
            phone=billing.get("phone"),
            address=Address(
                **{key: address.get(key) for key in ("line1", "line2", "city", "state", "postal_code", "country")}
            ),
        ),
        metadata=dict(body.get("metadata") or {}),
    )


def country_specification(body: Json) -> CountrySpecification:
    return CountrySpecification(
        country=body["id"],
        currencies=frozenset(each.upper() for each in body["supported_payment_currencies"]),
        method_types=frozenset(body["supported_payment_methods"]),
    )


def customer(body: Json) -> CustomerSnapshot:
    settings = body.get("invoice_settings") or {}
    return CustomerSnapshot(
        ref=body["id"],
        is_deleted=bool(body.get("deleted")),
        default_payment_method_ref=_ref(settings.get("default_payment_method")),
    )


def coupon(body: Json) -> DashboardCoupon:
    """An amount is the coupon's own one; what it takes off in other currencies is told only where asked for."""
    percent, amount = body.get("percent_off"), body.get("amount_off")
    return DashboardCoupon(
        code=body["id"],
        name=body.get("name"),
        takes_off=TakesOff(
            percent_off=Decimal(f"{Decimal(str(percent)).normalize():f}") if percent is not None else None,
            amounts_off={str(body["currency"]).upper(): amount} if amount is not None else {},
            duration=CouponDuration(body["duration"]),
            duration_in_months=body.get("duration_in_months"),
        ),
        max_redemptions=body.get("max_redemptions"),
        expires_at=_instant(body["redeem_by"]) if body.get("redeem_by") else None,
        metadata=dict(body.get("metadata") or {}),
    )


def promotion_code(body: Json) -> DashboardCode:
    limits = body.get("restrictions") or {}
    return DashboardCode(
        ref=body["id"],
        coupon_code=_ref(body["promotion"]["coupon"]) or "",
        code=body["code"],
        terms=CodeTerms(
            is_active=body["active"],
            max_redemptions=body.get("max_redemptions"),
            expires_at=_instant(body["expires_at"]) if body.get("expires_at") else None,
            first_purchase_only=bool(limits.get("first_time_transaction")),
        ),
        is_restricted=any((body.get("customer"), body.get("customer_account"), limits.get("minimum_amount"))),
    )


def card_news(event: Json) -> CardNews:
    """Whose news it is stands in the object; a card that was detached is nobody's."""
    body = event["data"]["object"]
    owner = body["id"] if body["object"] == "customer" else body.get("customer")
    return CardNews(object_kind=body["object"], object_ref=body["id"], customer_ref=_ref(owner))


def intent_of_news(event: Json) -> str | None:
    """The intent that a refund or dispute in the news belongs to, if any."""
    return _ref(event["data"]["object"].get("payment_intent"))


def problem(error: Json | None) -> CardProblem | None:
    if not error:
        return None
    return CardProblem(
        code=error.get("code") or "card_declined",
        message=error.get("message") or "The card was declined.",
        decline_code=error.get("decline_code"),
        advice_code=error.get("advice_code"),
    )


def _card(card: Json) -> CardFacts:
    checks = card.get("checks") or {}
    networks = card.get("networks") or {}
    wallet = card.get("wallet") or {}
    generated = card.get("generated_from") or {}
    return CardFacts(
        brand=card["brand"],
        last4=card["last4"],
        exp_month=card["exp_month"],
        exp_year=card["exp_year"],
        funding=card["funding"],
        country=card.get("country"),
        fingerprint=card.get("fingerprint"),
        address_line1_check=checks.get("address_line1_check"),
        address_postal_code_check=checks.get("address_postal_code_check"),
        cvc_check=checks.get("cvc_check"),
        networks=tuple(networks.get("available") or ()),
        preferred_network=networks.get("preferred"),
        three_d_secure_supported=bool((card.get("three_d_secure_usage") or {}).get("supported")),
        wallet=wallet.get("type"),
        generated_from=generated.get("charge") or _ref(generated.get("setup_attempt")),
        bin=(card.get("iin") or "")[:_LONGEST_BIN] or None,
        level=card.get("description"),
        raw={name: card[name] for name in _TELLING if name in card} | {"wallet": _wallet(wallet)},
    )


def _wallet(wallet: Json) -> Json | None:
    """Which one it is; its own part may tell of the holder."""
    return {name: wallet.get(name) for name in ("type", "dynamic_last4")} if wallet else None


def _mandate(mandate: Any, *, is_single_use: bool = False) -> MandateFacts | None:
    """As much as is told: an id alone where it was not expanded."""
    if not isinstance(mandate, Mapping):
        return MandateFacts(mandate, None, None, is_single_use) if mandate else None
    bound = mandate.get(mandate["type"]) or {}
    return MandateFacts(
        ref=mandate["id"],
        status=mandate["status"],
        max_amount=Money(bound["amount"], bound["currency"].upper()) if bound.get("amount") else None,
        is_single_use=mandate["type"] == "single_use",
    )


def _impersonal(value: Any) -> Any:
    """The object without secrets and what tells of a person, however deep they stand."""
    if isinstance(value, Mapping):
        return {name: _impersonal(part) for name, part in value.items() if name not in _PERSONAL}
    if isinstance(value, list):
        return [_impersonal(part) for part in value]
    return value


def _ref(value: Any) -> str | None:
    """An id, whether the object was expanded or not."""
    return value["id"] if isinstance(value, Mapping) else value


def _usage(value: str | None) -> SetupFutureUsage | None:
    return SetupFutureUsage(value) if value else None


def _next_step(action: Json | None) -> NextStep | None:
    if not action:
        return None
    return NextStep(redirect_url=(action.get("redirect_to_url") or {}).get("url"))


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
