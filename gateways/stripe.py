"""Stripe behind the port: the official SDK, the same code for the sandbox and for production.

Owns: parameters and idempotency keys on the wire. Does not own: when to call, what an answer means (answers.py).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import stripe

from billing.charging import SetupFutureUsage
from billing.dashboard_coupons import DashboardCode, DashboardCoupon
from billing.money import Money
from billing.returning import RefundReason
from gateways import snapshots
from gateways.answers import LIST_PAGE, answer, answer_or_declined, is_replay, object_of, page_of
from gateways.cards import CardNews, PaymentMethodSnapshot, SetupIntentSnapshot
from gateways.deliveries import read_delivery
from gateways.method_types import CountrySpecification
from gateways.persons import Address
from gateways.port import (
    ChargeSnapshot,
    CustomerFacts,
    CustomerSnapshot,
    DisputeSnapshot,
    GatewayEventHint,
    GatewayPage,
    GatewayRefused,
    PaymentIntentSnapshot,
    RefundSnapshot,
)
from gateways.returns import REFUND_KEY
from gateways.stripe_method_types import stripe_method_types

CALL_SECONDS = 6.0
"""How long one HTTP call may take; with one retry it stays within a worker's budget of 20 s."""
NETWORK_RETRIES = 1
_MAX_LISTED = 10_000
_CARD_ONLY = ["card"]
_WITH_MANDATES = ["mandate", "single_use_mandate"]
# No more than the 20 that Stripe takes at once.
_CARD_NEWS = [
    "customer.deleted",
    "customer.updated",
    "payment_method.attached",
    "payment_method.automatically_updated",
    "payment_method.detached",
    "payment_method.updated",
    "setup_intent.canceled",
    "setup_intent.requires_action",
    "setup_intent.setup_failed",
    "setup_intent.succeeded",
]
_RETURN_NEWS = [
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
    "refund.created",
    "refund.failed",
    "refund.updated",
]

# What shares method and path at Stripe, and with them a limit.
_ENDPOINTS = {
    "blank_payment_method": "update_payment_method",
    "find_charges": "list_charges",
    "find_disputes": "list_disputes",
    "find_payment_intents": "list_payment_intents",
    "find_refunds": "list_refunds",
    "list_card_news": "list_return_news",
    "set_default_payment_method": "update_customer",
}
_REFUND_REASONS = ("duplicate", "fraudulent", "requested_by_customer")


class StripeGateway:
    """Stripe, or whatever speaks its wire format, through `stripe.StripeClient`."""

    signature_header = "Stripe-Signature"
    endpoints: Mapping[str, str] = _ENDPOINTS

    def __init__(
        self,
        client: stripe.StripeClient,
        *,
        platform: str,
        publishable_key: str,
        webhook_secrets: Sequence[str],
        livemode: bool,
        close: Callable[[], Awaitable[None]],
    ) -> None:
        self.platform = platform
        self.publishable_key = publishable_key
        self.livemode = livemode
        self.method_types = stripe_method_types()
        self._v1 = client.v1
        self._webhook_secrets = tuple(webhook_secrets)
        self._close = close

    async def create_customer(self, *, customer_id: str, facts: CustomerFacts, idempotency_key: str) -> str:
        params: Any = {"metadata": {"perennial_customer": customer_id}, **{k: v for k, v in _told(facts).items() if v}}
        key = idempotency_key
        while True:
            made = await object_of(self._v1.customers.create_async(params, {"idempotency_key": key}))
            if not is_replay(made) or not (await self.retrieve_customer(made["id"])).is_deleted:
                return made["id"]
            # The dashboard has deleted it since its making; the next one's key follows from it.
            key = f"{idempotency_key}:{made['id']}"

    async def update_customer(self, ref: str, facts: CustomerFacts, *, idempotency_key: str) -> None:
        params: Any = _told(facts)
        await answer(self._v1.customers.update_async(ref, params, {"idempotency_key": idempotency_key}))

    async def delete_customer(self, ref: str) -> None:
        await answer(self._v1.customers.delete_async(ref))

    async def retrieve_customer(self, ref: str) -> CustomerSnapshot:
        return snapshots.customer(await answer(self._v1.customers.retrieve_async(ref)))

    async def create_setup_intent(
        self, *, customer_ref: str, usage: SetupFutureUsage, method_types: Sequence[str], idempotency_key: str
    ) -> SetupIntentSnapshot:
        params: Any = {
            "customer": customer_ref,
            "usage": usage.value,
            "allowed_payment_method_types": list(method_types),
            "expand": _WITH_MANDATES,
        }
        made = await object_of(self._v1.setup_intents.create_async(params, {"idempotency_key": idempotency_key}))
        if is_replay(made):
            return await self.retrieve_setup_intent(made["id"])  # What was told first may have been confirmed since.
        return snapshots.setup_intent(made.to_dict())

    async def retrieve_setup_intent(self, ref: str) -> SetupIntentSnapshot:
        params: Any = {"expand": _WITH_MANDATES}
        return snapshots.setup_intent(await answer(self._v1.setup_intents.retrieve_async(ref, params)))

    async def attach_payment_method(
        self, ref: str, *, customer_ref: str, idempotency_key: str
    ) -> PaymentMethodSnapshot:
        call = self._v1.payment_methods.attach_async(
            ref, {"customer": customer_ref}, {"idempotency_key": idempotency_key}
        )
        return snapshots.payment_method(await answer(call))

    async def redeem_card_token(self, reference: str, *, idempotency_key: str) -> str:
        if not reference.startswith("tok_"):
            return reference
        params: Any = {"type": "card", "card": {"token": reference}}
        made = await answer(self._v1.payment_methods.create_async(params, {"idempotency_key": idempotency_key}))
        return made["id"]

    async def retrieve_payment_method(self, ref: str) -> PaymentMethodSnapshot:
        return snapshots.payment_method(await answer(self._v1.payment_methods.retrieve_async(ref)))

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
        place = {k: v for k, v in asdict(address).items() if v is not None} if address is not None else None
        holder = {k: v for k, v in {"name": name, "address": place}.items() if v is not None}
        card = {k: v for k, v in {"exp_month": exp_month, "exp_year": exp_year}.items() if v is not None}
        params: Any = {k: v for k, v in {"billing_details": holder, "card": card}.items() if v}
        call = self._v1.payment_methods.update_async(ref, params, {"idempotency_key": idempotency_key})
        return snapshots.payment_method(await answer(call))

    async def blank_payment_method(self, ref: str, *, idempotency_key: str) -> None:
        params: Any = {"billing_details": _told(CustomerFacts())}
        await answer(self._v1.payment_methods.update_async(ref, params, {"idempotency_key": idempotency_key}))

    async def detach_payment_method(self, ref: str, *, idempotency_key: str) -> None:
        await answer(self._v1.payment_methods.detach_async(ref, None, {"idempotency_key": idempotency_key}))

    async def set_default_payment_method(
        self, *, customer_ref: str, payment_method_ref: str, idempotency_key: str
    ) -> None:
        params: Any = {"invoice_settings": {"default_payment_method": payment_method_ref}}
        await answer(self._v1.customers.update_async(customer_ref, params, {"idempotency_key": idempotency_key}))

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
        params: Any = {
            "amount": amount.minor,
            "currency": amount.currency.lower(),
            "customer": customer_ref,
            "description": description,
            "allowed_payment_method_types": _CARD_ONLY,
            "metadata": {snapshots.INVOICE_KEY: invoice_id},
        }
        if setup_future_usage is not None:
            params["setup_future_usage"] = setup_future_usage.value
        body = await answer(self._v1.payment_intents.create_async(params, {"idempotency_key": idempotency_key}))
        return snapshots.payment_intent(body)

    async def update_payment_intent(
        self, ref: str, *, setup_future_usage: SetupFutureUsage | None, idempotency_key: str
    ) -> PaymentIntentSnapshot:
        params: Any = {"setup_future_usage": setup_future_usage.value if setup_future_usage else ""}
        body = await answer(self._v1.payment_intents.update_async(ref, params, {"idempotency_key": idempotency_key}))
        return snapshots.payment_intent(body)

    async def confirm_payment_intent(
        self, ref: str, *, payment_method_ref: str, off_session: bool, return_url: str | None, idempotency_key: str
    ) -> PaymentIntentSnapshot:
        params: Any = {"payment_method": payment_method_ref}
        if off_session:
            params["off_session"] = True
        elif return_url is not None:
            params["return_url"] = return_url
        call = self._v1.payment_intents.confirm_async(ref, params, {"idempotency_key": idempotency_key})
        return snapshots.payment_intent(await answer_or_declined(call))

    async def retrieve_payment_intent(self, ref: str) -> PaymentIntentSnapshot:
        return snapshots.payment_intent(await answer(self._v1.payment_intents.retrieve_async(ref)))

    async def cancel_payment_intent(self, ref: str, *, idempotency_key: str) -> PaymentIntentSnapshot:
        call = self._v1.payment_intents.cancel_async(ref, None, {"idempotency_key": idempotency_key})
        try:
            return snapshots.payment_intent(await answer(call))
        except GatewayRefused as refusal:
            if refusal.code != "payment_intent_unexpected_state":
                raise
            return await self.retrieve_payment_intent(ref)

    async def find_payment_intents(
        self, *, customer_ref: str, invoice_id: str, created_since: datetime | None
    ) -> Sequence[PaymentIntentSnapshot]:
        params: Any = {"customer": customer_ref, "limit": LIST_PAGE}
        if created_since is not None:
            params["created"] = {"gte": int(created_since.timestamp())}
        found: list[PaymentIntentSnapshot] = []
        for _ in range(_MAX_LISTED // LIST_PAGE):
            page = await answer(self._v1.payment_intents.list_async(params))
            rows: list[Any] = page["data"]
            found += [snapshots.payment_intent(row) for row in rows if snapshots.invoice_of(row) == invoice_id]
            if not page["has_more"]:
                return found
            params = {**params, "starting_after": rows[-1]["id"]}
        raise GatewayRefused(f"more than {_MAX_LISTED} intents of one customer; narrow the search", code="too_many")

    async def find_charges(self, intent_ref: str) -> Sequence[ChargeSnapshot]:
        params: Any = {"payment_intent": intent_ref, "limit": LIST_PAGE}
        page = await answer(self._v1.charges.list_async(params))
        ended = [snapshots.charge(row) for row in reversed(page["data"])]
        return [charge for charge in ended if charge is not None]

    async def retrieve_charge(self, ref: str) -> ChargeSnapshot | None:
        return snapshots.charge(await answer(self._v1.charges.retrieve_async(ref)))

    async def create_refund(
        self, intent_ref: str, *, amount: Money, reason: RefundReason, refund_id: str, idempotency_key: str
    ) -> RefundSnapshot:
        params: Any = {"payment_intent": intent_ref, "amount": amount.minor, "metadata": {REFUND_KEY: refund_id}}
        if reason.value in _REFUND_REASONS:
            params["reason"] = reason.value
        # Not even the SDK repeats it: whoever misses the answer looks for the refund first.
        options: Any = {"idempotency_key": idempotency_key, "max_network_retries": 0}
        return snapshots.refund(await answer(self._v1.refunds.create_async(params, options)))

    async def retrieve_refund(self, ref: str) -> RefundSnapshot:
        return snapshots.refund(await answer(self._v1.refunds.retrieve_async(ref)))

    async def find_refunds(self, intent_ref: str) -> Sequence[RefundSnapshot]:
        page = await page_of(self._v1.refunds.list_async, None, payment_intent=intent_ref)
        return [snapshots.refund(row) for row in reversed(page.items)]

    async def retrieve_dispute(self, ref: str) -> DisputeSnapshot:
        return snapshots.dispute(await answer(self._v1.disputes.retrieve_async(ref)))

    async def find_disputes(self, intent_ref: str) -> Sequence[DisputeSnapshot]:
        page = await page_of(self._v1.disputes.list_async, None, payment_intent=intent_ref)
        return [snapshots.dispute(row) for row in reversed(page.items)]

    async def list_payment_intents(
        self, *, created_since: datetime | None, after: str | None
    ) -> GatewayPage[PaymentIntentSnapshot]:
        page = await page_of(self._v1.payment_intents.list_async, after, created_since=created_since)
        ours = [snapshots.payment_intent(row) for row in page.items if snapshots.invoice_of(row) is not None]
        return GatewayPage(ours, page.next_after)

    async def list_charges(self, *, after: str | None) -> GatewayPage[ChargeSnapshot]:
        page = await page_of(self._v1.charges.list_async, after)
        found = [snapshots.charge(row) for row in page.items]
        return GatewayPage([charge for charge in found if charge is not None], page.next_after)

    async def list_refunds(self, *, created_since: datetime | None, after: str | None) -> GatewayPage[RefundSnapshot]:
        page = await page_of(self._v1.refunds.list_async, after, created_since=created_since)
        found = [snapshots.refund(row) for row in page.items if snapshots.may_be_ours(row)]
        return GatewayPage(found, page.next_after)

    async def list_disputes(self, *, created_since: datetime | None, after: str | None) -> GatewayPage[DisputeSnapshot]:
        page = await page_of(self._v1.disputes.list_async, after, created_since=created_since)
        found = [snapshots.dispute(row) for row in page.items if snapshots.may_be_ours(row)]
        return GatewayPage(found, page.next_after)

    async def list_card_news(self, *, created_since: datetime, after: str | None) -> GatewayPage[CardNews]:
        page = await page_of(self._v1.events.list_async, after, created_since=created_since, types=_CARD_NEWS)
        return GatewayPage([snapshots.card_news(row) for row in page.items], page.next_after)

    async def list_return_news(self, *, created_since: datetime, after: str | None) -> GatewayPage[str | None]:
        page = await page_of(self._v1.events.list_async, after, created_since=created_since, types=_RETURN_NEWS)
        return GatewayPage([snapshots.intent_of_news(row) for row in page.items], page.next_after)

    async def country_specification(self, country: str) -> CountrySpecification:
        return snapshots.country_specification(await answer(self._v1.country_specs.retrieve_async(country)))

    async def list_payment_methods(self, *, customer_ref: str) -> Sequence[PaymentMethodSnapshot]:
        params: Any = {"limit": LIST_PAGE, "type": "card"}
        page = await answer(self._v1.customers.payment_methods.list_async(customer_ref, params))
        return [snapshots.payment_method(row) for row in page["data"]]

    async def list_coupons(self, *, after: str | None) -> GatewayPage[DashboardCoupon]:
        page = await page_of(self._v1.coupons.list_async, after)
        return GatewayPage([snapshots.coupon(row) for row in page.items], page.next_after)

    async def retrieve_coupon(self, ref: str) -> DashboardCoupon:
        return snapshots.coupon(await answer(self._v1.coupons.retrieve_async(ref)))

    async def list_promotion_codes(self, *, after: str | None) -> GatewayPage[DashboardCode]:
        page = await page_of(self._v1.promotion_codes.list_async, after)
        return GatewayPage([snapshots.promotion_code(row) for row in page.items], page.next_after)

    async def retrieve_promotion_code(self, ref: str) -> DashboardCode:
        return snapshots.promotion_code(await answer(self._v1.promotion_codes.retrieve_async(ref)))

    def verify_webhook(self, body: bytes, signature: str | None, *, now: datetime) -> GatewayEventHint:
        return read_delivery(body, signature, secrets=self._webhook_secrets, now=now)

    async def close(self) -> None:
        await self._close()


def _told(facts: CustomerFacts) -> dict[str, Any]:
    """As parameters; an empty text takes away what was there."""
    address = facts.address and {part: text or "" for part, text in asdict(facts.address).items()}
    return {"name": facts.name or "", "email": facts.email or "", "phone": facts.phone or "", "address": address or ""}
