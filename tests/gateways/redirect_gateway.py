"""The port for the provider of redirect_provider.py: how a gateway of another style keeps the same promise.

It has no secret for a browser: whatever the customer must do is a page to go to. It has no coupons and tells of no
disputes; those lists are empty.
"""

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx

from billing.charging import CardProblem, IntentStatus, SetupFutureUsage
from billing.dashboard_coupons import DashboardCode, DashboardCoupon
from billing.lifecycle import RefundStatus
from billing.money import Money
from billing.returning import RefundReason
from clocks import SystemClock
from gateways.cards import CardFacts, CardNews, NextStep, PaymentMethodSnapshot, SetupIntentSnapshot
from gateways.method_types import CountrySpecification, MethodType
from gateways.persons import Address, BillingDetails, CustomerFacts
from gateways.port import (
    ChargeSnapshot,
    CustomerSnapshot,
    GatewayEventHint,
    GatewayNotFound,
    GatewayPage,
    GatewayRefused,
    GatewayUnavailable,
    PaymentIntentSnapshot,
    WebhookRefused,
)
from gateways.returns import REFUND_KEY, DisputeSnapshot, RefundSnapshot
from tests.gateways.redirect_provider import sign

PAGES = "https://pages.provider.test"
_TOLERANCE_SECONDS = 300
_STATES = {
    "OPEN": IntentStatus.REQUIRES_PAYMENT_METHOD,
    "WAITING": IntentStatus.REQUIRES_ACTION,
    "PAID": IntentStatus.SUCCEEDED,
    "CANCELED": IntentStatus.CANCELED,
}
_REASONS = {
    "no_money": CardProblem("card_declined", "The card has too little money.", "insufficient_funds"),
    "bank_must_ask": CardProblem("authentication_required", "The bank wants to ask.", "authentication_required"),
    "customer_said_no": CardProblem("authentication_not_handled", "The customer did not agree."),
}
_LANDS = {"EE": frozenset(("EUR", "USD")), "US": frozenset(("USD",))}
"""Where its merchants may be, and what they charge in."""
CARD = MethodType(
    code="card",
    name="Card",
    category="card",
    flow="redirect",
    accepts={"EE": ["EUR", "USD"], "US": ["USD"]},
    is_cancelable=True,
    is_refundable=True,
    is_tokenizable=True,
    is_restricted=False,
    allows_multiple_overage=False,
    virtual_type=None,
    seconds_to_pay=(0, 0),
    amounts={},
    wallets=(),
    required_fields=(),
    method_options=(),
    payment_options=(),
)
_KINDS = {"payment": "payment_intent", "card": "payment_method", "refund": "refund"}
Body = dict[str, Any]


class RedirectGateway:
    """`http` reaches the provider, `secret` signs what is sent to it and what comes from it."""

    platform = "redirect"
    livemode = False
    publishable_key = ""
    signature_header = "Signature"
    endpoints: Mapping[str, str] = {}
    method_types = {"card": CARD}

    def __init__(self, http: httpx.AsyncClient, secret: str) -> None:
        self._http, self._secret = http, secret

    # ── the wire ──

    async def _call(self, method: str, path: str, told: Body | None = None, *, key: str | None = None) -> Any:
        body = json.dumps(told).encode() if method == "POST" else b""
        request = self._http.build_request(
            method, path, content=body, params=told if method == "GET" and told else None
        )
        stamp, salt = str(int(SystemClock().now().timestamp())), uuid4().hex
        target = request.url.raw_path.decode()
        request.headers["salt"], request.headers["timestamp"] = salt, stamp
        request.headers["signature"] = sign(self._secret, method, target, salt, stamp, body)
        if key is not None:
            request.headers["idempotency"] = key
        try:
            answer = await self._http.send(request)
        except httpx.TransportError as error:
            raise GatewayUnavailable(str(error)) from error
        if answer.status_code == 404:
            raise GatewayNotFound(path, code=answer.json()["error"])
        if answer.status_code in (400, 409):
            raise GatewayRefused(path, code=answer.json()["error"])
        if not answer.is_success:
            raise GatewayUnavailable(f"HTTP {answer.status_code}", is_fault=answer.status_code >= 500)
        return answer.json()["data"]

    async def _get(self, kind: str, ref: str) -> Body:
        return await self._call("GET", f"/v1/{kind}/{ref}")

    async def _page(
        self, kind: str, after: str | None = None, since: datetime | None = None, **more: str
    ) -> GatewayPage[Body]:
        asked: Body = {**more, **({"before": after} if after else {})}
        if since is not None:
            asked["since"] = int(since.timestamp())
        page = await self._call("GET", f"/v1/{kind}", asked)
        rows = page["rows"]
        return GatewayPage(rows, str(rows[-1]["serial"]) if page["more"] else None)

    async def _all(self, kind: str, since: datetime | None = None, **more: str) -> list[Body]:
        found: list[Body] = []
        after: str | None = None
        while True:
            page = await self._page(kind, after, since, **more)
            found += page.items
            if (after := page.next_after) is None:
                return found

    # ── customers and cards ──

    async def create_customer(self, *, customer_id: str, facts: CustomerFacts, idempotency_key: str) -> str:
        told = {**_told(facts), "reference": customer_id}
        return (await self._call("POST", "/v1/customers", told, key=idempotency_key))["id"]

    async def update_customer(self, ref: str, facts: CustomerFacts, *, idempotency_key: str) -> None:
        await self._call("POST", f"/v1/customers/{ref}", _told(facts), key=idempotency_key)

    async def delete_customer(self, ref: str) -> None:
        await self._call("DELETE", f"/v1/customers/{ref}")

    async def retrieve_customer(self, ref: str) -> CustomerSnapshot:
        row = await self._get("customers", ref)
        return CustomerSnapshot(
            row["id"], is_deleted=row["state"] == "GONE", default_payment_method_ref=row["default_card"]
        )

    async def create_setup_intent(
        self, *, customer_ref: str, usage: SetupFutureUsage, method_types: Sequence[str], idempotency_key: str
    ) -> SetupIntentSnapshot:
        if set(method_types) - set(self.method_types):
            raise GatewayRefused("This provider keeps cards only.", code="unknown_method_type", param="method_types")
        told = {"customer": customer_ref, "usage": usage.value}
        return _setup(await self._call("POST", "/v1/card_pages", told, key=idempotency_key))

    async def retrieve_setup_intent(self, ref: str) -> SetupIntentSnapshot:
        return _setup(await self._get("card_pages", ref))

    async def attach_payment_method(
        self, ref: str, *, customer_ref: str, idempotency_key: str
    ) -> PaymentMethodSnapshot:
        """A card comes into being on its customer's page and nowhere else."""
        seen = await self.retrieve_payment_method(ref)
        if seen.customer_ref != customer_ref:
            raise GatewayRefused("This card was entered by somebody else.", code="card_of_another")
        return seen

    async def redeem_card_token(self, reference: str, *, idempotency_key: str) -> str:
        return reference

    async def retrieve_payment_method(self, ref: str) -> PaymentMethodSnapshot:
        return _card(await self._get("cards", ref))

    async def update_payment_method(
        self,
        ref: str,
        *,
        name: str | None,
        address: Address | None,
        exp_month: int | None,
        exp_year: int | None,
        idempotency_key: str,
    ) -> PaymentMethodSnapshot:
        given = {
            "holder": name,
            "month": exp_month,
            "year": exp_year,
            "city": address and address.city,
            "land": address and address.country,
        }
        told = {name: value for name, value in given.items() if value is not None}
        return _card(await self._call("POST", f"/v1/cards/{ref}", told, key=idempotency_key))

    async def blank_payment_method(self, ref: str, *, idempotency_key: str) -> None:
        if (await self.retrieve_payment_method(ref)).customer_ref is None:
            raise GatewayRefused("This card belongs to nobody.", code="card_of_nobody")
        nothing = {"holder": None, "city": None, "land": None}
        await self._call("POST", f"/v1/cards/{ref}", nothing, key=idempotency_key)

    async def detach_payment_method(self, ref: str, *, idempotency_key: str) -> None:
        await self._call("POST", f"/v1/cards/{ref}/remove", {}, key=idempotency_key)

    async def set_default_payment_method(
        self, *, customer_ref: str, payment_method_ref: str, idempotency_key: str
    ) -> None:
        await self._call(
            "POST", f"/v1/customers/{customer_ref}", {"default_card": payment_method_ref}, key=idempotency_key
        )

    async def list_payment_methods(self, *, customer_ref: str) -> Sequence[PaymentMethodSnapshot]:
        return [_card(row) for row in await self._all("cards", customer=customer_ref)]

    # ── charging ──

    async def create_payment_intent(
        self,
        *,
        customer_ref: str,
        amount: Money,
        invoice_id: str,
        description: str,
        setup_future_usage: SetupFutureUsage | None,
        idempotency_key: str,
    ) -> PaymentIntentSnapshot:
        told = {
            "customer": customer_ref,
            "amount": str(amount.major),
            "currency": amount.currency,
            "reference": invoice_id,
            "text": description,
            "keep": setup_future_usage,
        }
        return _intent(await self._call("POST", "/v1/payments", told, key=idempotency_key))

    async def update_payment_intent(
        self, ref: str, *, setup_future_usage: SetupFutureUsage | None, idempotency_key: str
    ) -> PaymentIntentSnapshot:
        return _intent(
            await self._call("POST", f"/v1/payments/{ref}", {"keep": setup_future_usage}, key=idempotency_key)
        )

    async def confirm_payment_intent(
        self, ref: str, *, payment_method_ref: str, off_session: bool, return_url: str | None, idempotency_key: str
    ) -> PaymentIntentSnapshot:
        told = {"card": payment_method_ref, "present": not off_session, "return_url": return_url}
        return await self._intent_with_try(
            await self._call("POST", f"/v1/payments/{ref}/charge", told, key=idempotency_key)
        )

    async def retrieve_payment_intent(self, ref: str) -> PaymentIntentSnapshot:
        return await self._intent_with_try(await self._get("payments", ref))

    async def _intent_with_try(self, row: Body) -> PaymentIntentSnapshot:
        """Tries are objects of their own here: the newest one is looked up."""
        tries = await self._page("tries", payment=row["id"])
        return replace(_intent(row), latest_charge_ref=tries.items[0]["id"] if tries.items else None)

    async def cancel_payment_intent(self, ref: str, *, idempotency_key: str) -> PaymentIntentSnapshot:
        try:
            return _intent(await self._call("POST", f"/v1/payments/{ref}/cancel", {}, key=idempotency_key))
        except GatewayRefused as refusal:
            if refusal.code != "ALREADY_PAID":
                raise
            return await self.retrieve_payment_intent(ref)

    async def find_payment_intents(
        self, *, customer_ref: str, invoice_id: str, created_since: datetime | None
    ) -> Sequence[PaymentIntentSnapshot]:
        rows = await self._all("payments", created_since, customer=customer_ref, reference=invoice_id)
        return [_intent(row) for row in rows]

    async def find_charges(self, intent_ref: str) -> Sequence[ChargeSnapshot]:
        return [_charge(row) for row in reversed(await self._all("tries", payment=intent_ref))]

    async def retrieve_charge(self, ref: str) -> ChargeSnapshot | None:
        return _charge(await self._get("tries", ref))

    # ── giving back ──

    async def create_refund(
        self, intent_ref: str, *, amount: Money, reason: RefundReason, refund_id: str, idempotency_key: str
    ) -> RefundSnapshot:
        told = {"payment": intent_ref, "amount": str(amount.major), "reason": reason.value, "reference": refund_id}
        return _refund(await self._call("POST", "/v1/refunds", told, key=idempotency_key))

    async def retrieve_refund(self, ref: str) -> RefundSnapshot:
        return _refund(await self._get("refunds", ref))

    async def find_refunds(self, intent_ref: str) -> Sequence[RefundSnapshot]:
        return [_refund(row) for row in reversed(await self._all("refunds", payment=intent_ref))]

    async def retrieve_dispute(self, ref: str) -> DisputeSnapshot:
        raise GatewayNotFound("This provider tells of no disputes.")

    async def find_disputes(self, intent_ref: str) -> Sequence[DisputeSnapshot]:
        return []

    # ── lists and news ──

    async def list_payment_intents(
        self, *, created_since: datetime | None, after: str | None
    ) -> GatewayPage[PaymentIntentSnapshot]:
        page = await self._page("payments", after, created_since)
        return GatewayPage([_intent(row) for row in page.items], page.next_after)

    async def list_charges(self, *, after: str | None) -> GatewayPage[ChargeSnapshot]:
        page = await self._page("tries", after)
        return GatewayPage([_charge(row) for row in page.items], page.next_after)

    async def list_refunds(self, *, created_since: datetime | None, after: str | None) -> GatewayPage[RefundSnapshot]:
        page = await self._page("refunds", after, created_since)
        return GatewayPage([_refund(row) for row in page.items], page.next_after)

    async def list_disputes(self, *, created_since: datetime | None, after: str | None) -> GatewayPage[DisputeSnapshot]:
        return GatewayPage([], None)

    async def list_card_news(self, *, created_since: datetime, after: str | None) -> GatewayPage[CardNews]:
        page = await self._page("events", after, created_since, about="card")
        return GatewayPage(
            [CardNews("payment_method", row["ref"], row["customer"]) for row in page.items], page.next_after
        )

    async def list_return_news(self, *, created_since: datetime, after: str | None) -> GatewayPage[str | None]:
        page = await self._page("events", after, created_since, about="refund")
        return GatewayPage([row["payment"] for row in page.items], page.next_after)

    async def country_specification(self, country: str) -> CountrySpecification:
        if country not in _LANDS:
            raise GatewayNotFound("This provider has no merchants there.")
        return CountrySpecification(country, _LANDS[country], frozenset(self.method_types))

    async def list_coupons(self, *, after: str | None) -> GatewayPage[DashboardCoupon]:
        return GatewayPage([], None)

    async def retrieve_coupon(self, ref: str) -> DashboardCoupon:
        raise GatewayNotFound("This provider has no coupons.")

    async def list_promotion_codes(self, *, after: str | None) -> GatewayPage[DashboardCode]:
        return GatewayPage([], None)

    async def retrieve_promotion_code(self, ref: str) -> DashboardCode:
        raise GatewayNotFound("This provider has no promotion codes.")

    # ── webhooks ──

    def verify_webhook(self, body: bytes, signature: str | None, *, now: datetime) -> GatewayEventHint:
        second, _, digest = (signature or "").partition(":")
        if not second.isdigit() or abs(now.timestamp() - int(second)) > _TOLERANCE_SECONDS:
            raise WebhookRefused("without a time, too old or from the future")
        if not hmac.compare_digest(sign(self._secret, second, body), digest):
            raise WebhookRefused("the signature does not match")
        told = json.loads(body)
        kind = _KINDS.get(told["about"])
        return GatewayEventHint(told["id"], told["about"], _instant(told["at"]), kind, told["ref"], {})

    async def close(self) -> None:
        await self._http.aclose()


# ── from billing's words to the provider's, and back ──


def _told(facts: CustomerFacts) -> Body:
    place = facts.address or Address()
    return {
        "name": facts.name,
        "email": facts.email,
        "phone": facts.phone,
        "city": place.city,
        "land": place.country,
    }


def _intent(row: Body) -> PaymentIntentSnapshot:
    amount, status = Money.of(row["amount"], row["currency"]), _STATES[row["state"]]
    # An open payment has a page to pay on, a waiting one the bank's.
    pages = {"OPEN": f"{PAGES}/pay/{row['id']}", "WAITING": row["page"]}
    return PaymentIntentSnapshot(
        ref=row["id"],
        invoice_id=row["reference"],
        status=status,
        amount=amount,
        captured=amount if status is IntentStatus.SUCCEEDED else Money.zero(amount.currency),
        customer_ref=row["customer"],
        payment_method_ref=row["card"],
        setup_future_usage=SetupFutureUsage(row["keep"]) if row["keep"] else None,
        next_step=NextStep(pages[row["state"]]) if row["state"] in pages else None,
        last_problem=_REASONS[row["error"]] if row["error"] else None,
        last_problem_method_ref=row["error_card"],
        latest_charge_ref=None,
        client_secret="",
        created_at=_instant(row["at"]),
        livemode=False,
        metadata={},
        raw={"id": row["id"], "state": row["state"]},
    )


def _setup(row: Body) -> SetupIntentSnapshot:
    is_done = row["state"] == "DONE"
    return SetupIntentSnapshot(
        ref=row["id"],
        status=IntentStatus.SUCCEEDED if is_done else IntentStatus.REQUIRES_ACTION,
        usage=SetupFutureUsage(row["usage"]),
        customer_ref=row["customer"],
        payment_method_ref=row["card"],
        next_step=None if is_done else NextStep(f"{PAGES}/cards/{row['id']}"),
        last_problem=None,
        client_secret="",
        created_at=_instant(row["at"]),
        livemode=False,
        application=None,
        cancellation_reason=None,
        description=None,
        mandate=None,
        single_use_mandate=None,
        on_behalf_of=None,
        payment_method_types=["card"],
        request_three_d_secure="automatic",
        metadata={},
    )


def _card(row: Body) -> PaymentMethodSnapshot:
    return PaymentMethodSnapshot(
        ref=row["id"],
        type="card",
        customer_ref=row["customer"],
        created_at=_instant(row["at"]),
        livemode=False,
        card=CardFacts("unknown", row["last4"], row["month"], row["year"], "unknown"),
        billing_details=BillingDetails(name=row["holder"], address=Address(city=row["city"], country=row["land"])),
        metadata={},
    )


def _charge(row: Body) -> ChargeSnapshot:
    problem = _REASONS[row["reason"]] if row["reason"] else None
    return ChargeSnapshot(row["id"], row["payment"], problem, row["card"], _instant(row["at"]))


def _refund(row: Body) -> RefundSnapshot:
    return RefundSnapshot(
        ref=row["id"],
        intent_ref=row["payment"],
        amount=Money.of(Decimal(row["amount"]), row["currency"]),
        status=RefundStatus.SUCCEEDED,
        reason=RefundReason(row["reason"]),
        failure_reason=None,
        created_at=_instant(row["at"]),
        metadata={REFUND_KEY: row["reference"]},
    )


def _instant(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
