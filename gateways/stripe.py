"""Stripe behind the port: the official SDK, the same code for the sandbox and for production.

Owns: parameters, idempotency keys on the wire, what each of the SDK's exceptions means. Does not own: when to call.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, TypeVar

import stripe
import structlog

from billing.charging import SetupFutureUsage
from billing.money import Money
from billing.returning import RefundReason
from gateways import snapshots
from gateways.deliveries import read_delivery
from gateways.port import (
    Address,
    CardNews,
    CardRefused,
    ChargeSnapshot,
    CustomerFacts,
    CustomerSnapshot,
    DisputeSnapshot,
    GatewayEventHint,
    GatewayNotFound,
    GatewayPage,
    GatewayRefused,
    GatewayUnavailable,
    PaymentIntentSnapshot,
    PaymentMethodSnapshot,
    RefundSnapshot,
    SetupIntentSnapshot,
)
from gateways.returns import REFUND_KEY

log = structlog.get_logger(__name__)

CALL_SECONDS = 6.0
"""How long one HTTP call may take; with one retry it stays within a worker's budget of 20 s."""
NETWORK_RETRIES = 1
_LIST_PAGE = 100
_MAX_LISTED = 10_000
_CARD_ONLY = ["card"]
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

_REFUND_REASONS = ("duplicate", "fraudulent", "requested_by_customer")

T = TypeVar("T")


class StripeGateway:
    """Stripe, or whatever speaks its wire format, through `stripe.StripeClient`."""

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
        self._v1 = client.v1
        self._webhook_secrets = tuple(webhook_secrets)
        self._close = close

    async def create_customer(self, *, customer_id: str, facts: CustomerFacts, idempotency_key: str) -> str:
        params: Any = {"metadata": {"perennial_customer": customer_id}, **{k: v for k, v in _told(facts).items() if v}}
        key = idempotency_key
        while True:
            made = await _object(self._v1.customers.create_async(params, {"idempotency_key": key}))
            if not _is_replay(made) or not (await self.retrieve_customer(made["id"])).is_deleted:
                return made["id"]
            # The dashboard has deleted it since its making; the next one's key follows from it.
            key = f"{idempotency_key}:{made['id']}"

    async def update_customer(self, ref: str, facts: CustomerFacts, *, idempotency_key: str) -> None:
        params: Any = _told(facts)
        await _answer(self._v1.customers.update_async(ref, params, {"idempotency_key": idempotency_key}))

    async def delete_customer(self, ref: str) -> None:
        await _answer(self._v1.customers.delete_async(ref))

    async def retrieve_customer(self, ref: str) -> CustomerSnapshot:
        return snapshots.customer(await _answer(self._v1.customers.retrieve_async(ref)))

    async def create_setup_intent(
        self, *, customer_ref: str, usage: SetupFutureUsage, idempotency_key: str
    ) -> SetupIntentSnapshot:
        params: Any = {"customer": customer_ref, "usage": usage.value, "allowed_payment_method_types": _CARD_ONLY}
        body = await _answer(self._v1.setup_intents.create_async(params, {"idempotency_key": idempotency_key}))
        return snapshots.setup_intent(body)

    async def retrieve_setup_intent(self, ref: str) -> SetupIntentSnapshot:
        return snapshots.setup_intent(await _answer(self._v1.setup_intents.retrieve_async(ref)))

    async def attach_payment_method(
        self, ref: str, *, customer_ref: str, idempotency_key: str
    ) -> PaymentMethodSnapshot:
        call = self._v1.payment_methods.attach_async(
            ref, {"customer": customer_ref}, {"idempotency_key": idempotency_key}
        )
        return snapshots.payment_method(await _answer(call))

    async def redeem_card_token(self, reference: str, *, idempotency_key: str) -> str:
        if not reference.startswith("tok_"):
            return reference
        params: Any = {"type": "card", "card": {"token": reference}}
        made = await _answer(self._v1.payment_methods.create_async(params, {"idempotency_key": idempotency_key}))
        return made["id"]

    async def retrieve_payment_method(self, ref: str) -> PaymentMethodSnapshot:
        return snapshots.payment_method(await _answer(self._v1.payment_methods.retrieve_async(ref)))

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
        return snapshots.payment_method(await _answer(call))

    async def blank_payment_method(self, ref: str, *, idempotency_key: str) -> None:
        params: Any = {"billing_details": _told(CustomerFacts())}
        await _answer(self._v1.payment_methods.update_async(ref, params, {"idempotency_key": idempotency_key}))

    async def detach_payment_method(self, ref: str, *, idempotency_key: str) -> None:
        await _answer(self._v1.payment_methods.detach_async(ref, None, {"idempotency_key": idempotency_key}))

    async def set_default_payment_method(
        self, *, customer_ref: str, payment_method_ref: str, idempotency_key: str
    ) -> None:
        params: Any = {"invoice_settings": {"default_payment_method": payment_method_ref}}
        await _answer(self._v1.customers.update_async(customer_ref, params, {"idempotency_key": idempotency_key}))

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
        body = await _answer(self._v1.payment_intents.create_async(params, {"idempotency_key": idempotency_key}))
        return snapshots.payment_intent(body)

    async def update_payment_intent(
        self, ref: str, *, setup_future_usage: SetupFutureUsage | None, idempotency_key: str
    ) -> PaymentIntentSnapshot:
        params: Any = {"setup_future_usage": setup_future_usage.value if setup_future_usage else ""}
        body = await _answer(self._v1.payment_intents.update_async(ref, params, {"idempotency_key": idempotency_key}))
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
        return snapshots.payment_intent(await _answer_or_declined(call, "payment_intent"))

    async def retrieve_payment_intent(self, ref: str) -> PaymentIntentSnapshot:
        return snapshots.payment_intent(await _answer(self._v1.payment_intents.retrieve_async(ref)))

    async def cancel_payment_intent(self, ref: str, *, idempotency_key: str) -> PaymentIntentSnapshot:
        call = self._v1.payment_intents.cancel_async(ref, None, {"idempotency_key": idempotency_key})
        try:
            return snapshots.payment_intent(await _answer(call))
        except GatewayRefused as refusal:
            if refusal.code != "payment_intent_unexpected_state":
                raise
            return await self.retrieve_payment_intent(ref)

    async def find_payment_intents(
        self, *, customer_ref: str, invoice_id: str, created_since: datetime | None
    ) -> Sequence[PaymentIntentSnapshot]:
        params: Any = {"customer": customer_ref, "limit": _LIST_PAGE}
        if created_since is not None:
            params["created"] = {"gte": int(created_since.timestamp())}
        found: list[PaymentIntentSnapshot] = []
        for _ in range(_MAX_LISTED // _LIST_PAGE):
            page = await _answer(self._v1.payment_intents.list_async(params))
            rows: list[Any] = page["data"]
            found += [
                snapshots.payment_intent(row)
                for row in rows
                if (row.get("metadata") or {}).get(snapshots.INVOICE_KEY) == invoice_id
            ]
            if not page["has_more"]:
                return found
            params = {**params, "starting_after": rows[-1]["id"]}
        raise GatewayRefused(f"more than {_MAX_LISTED} intents of one customer; narrow the search", code="too_many")

    async def find_charges(self, intent_ref: str) -> Sequence[ChargeSnapshot]:
        params: Any = {"payment_intent": intent_ref, "limit": _LIST_PAGE}
        page = await _answer(self._v1.charges.list_async(params))
        ended = [snapshots.charge(row) for row in reversed(page["data"])]
        return [charge for charge in ended if charge is not None]

    async def retrieve_charge(self, ref: str) -> ChargeSnapshot | None:
        return snapshots.charge(await _answer(self._v1.charges.retrieve_async(ref)))

    async def create_refund(
        self, intent_ref: str, *, amount: Money, reason: RefundReason, refund_id: str, idempotency_key: str
    ) -> RefundSnapshot:
        params: Any = {"payment_intent": intent_ref, "amount": amount.minor, "metadata": {REFUND_KEY: refund_id}}
        if reason.value in _REFUND_REASONS:
            params["reason"] = reason.value
        # Not even the SDK repeats it: whoever misses the answer looks for the refund first.
        options: Any = {"idempotency_key": idempotency_key, "max_network_retries": 0}
        return snapshots.refund(await _answer(self._v1.refunds.create_async(params, options)))

    async def retrieve_refund(self, ref: str) -> RefundSnapshot:
        return snapshots.refund(await _answer(self._v1.refunds.retrieve_async(ref)))

    async def find_refunds(self, intent_ref: str) -> Sequence[RefundSnapshot]:
        page = await _page(self._v1.refunds.list_async, None, payment_intent=intent_ref)
        return [snapshots.refund(row) for row in reversed(page.items)]

    async def retrieve_dispute(self, ref: str) -> DisputeSnapshot:
        return snapshots.dispute(await _answer(self._v1.disputes.retrieve_async(ref)))

    async def find_disputes(self, intent_ref: str) -> Sequence[DisputeSnapshot]:
        page = await _page(self._v1.disputes.list_async, None, payment_intent=intent_ref)
        return [snapshots.dispute(row) for row in reversed(page.items)]

    async def list_payment_intents(
        self, *, created_since: datetime | None, after: str | None
    ) -> GatewayPage[PaymentIntentSnapshot]:
        page = await _page(self._v1.payment_intents.list_async, after, created_since=created_since)
        found = [snapshots.payment_intent(row) for row in page.items]
        return GatewayPage([intent for intent in found if intent.invoice_id is not None], page.next_after)

    async def list_charges(self, *, after: str | None) -> GatewayPage[ChargeSnapshot]:
        page = await _page(self._v1.charges.list_async, after)
        found = [snapshots.charge(row) for row in page.items]
        return GatewayPage([charge for charge in found if charge is not None], page.next_after)

    async def list_refunds(self, *, created_since: datetime | None, after: str | None) -> GatewayPage[RefundSnapshot]:
        page = await _page(self._v1.refunds.list_async, after, created_since=created_since)
        return GatewayPage([snapshots.refund(row) for row in page.items], page.next_after)

    async def list_disputes(self, *, created_since: datetime | None, after: str | None) -> GatewayPage[DisputeSnapshot]:
        page = await _page(self._v1.disputes.list_async, after, created_since=created_since)
        return GatewayPage([snapshots.dispute(row) for row in page.items], page.next_after)

    async def list_card_news(self, *, created_since: datetime, after: str | None) -> GatewayPage[CardNews]:
        page = await _page(self._v1.events.list_async, after, created_since=created_since, types=_CARD_NEWS)
        return GatewayPage([snapshots.card_news(row) for row in page.items], page.next_after)

    async def list_return_news(self, *, created_since: datetime, after: str | None) -> GatewayPage[str | None]:
        page = await _page(self._v1.events.list_async, after, created_since=created_since, types=_RETURN_NEWS)
        return GatewayPage([snapshots.intent_of_news(row) for row in page.items], page.next_after)

    async def list_payment_methods(self, *, customer_ref: str) -> Sequence[PaymentMethodSnapshot]:
        params: Any = {"limit": _LIST_PAGE, "type": "card"}
        page = await _answer(self._v1.customers.payment_methods.list_async(customer_ref, params))
        return [snapshots.payment_method(row) for row in page["data"]]

    def verify_webhook(self, body: bytes, signature: str | None, *, now: datetime) -> GatewayEventHint:
        return read_delivery(body, signature, secrets=self._webhook_secrets, now=now)

    async def close(self) -> None:
        await self._close()


def _told(facts: CustomerFacts) -> dict[str, Any]:
    """As parameters; an empty text takes away what was there."""
    address = facts.address and {part: text or "" for part, text in asdict(facts.address).items()}
    return {"name": facts.name or "", "email": facts.email or "", "phone": facts.phone or "", "address": address or ""}


async def _answer(call: Awaitable[Any]) -> Mapping[str, Any]:
    """The object as plain JSON, or the port's exception for what the SDK raised."""
    return (await _object(call)).to_dict()


async def _object(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except stripe.CardError as error:
        raise CardRefused(_problem_of(error)) from error
    except stripe.StripeError as error:
        raise translated(error) from error


def _is_replay(made: Any) -> bool:
    """Whether the gateway told its first answer under this key again."""
    response = made.last_response
    return response is not None and response.headers.get("Idempotent-Replayed") == "true"


async def _page(
    list_async: Callable[[Any], Awaitable[Any]],
    after: str | None,
    *,
    created_since: datetime | None = None,
    **more: Any,
) -> GatewayPage[Any]:
    params: Any = {"limit": _LIST_PAGE, **more}
    if after is not None:
        params["starting_after"] = after
    if created_since is not None:
        params["created"] = {"gte": int(created_since.timestamp())}
    page = await _answer(list_async(params))
    rows = page["data"]
    return GatewayPage(rows, rows[-1]["id"] if page["has_more"] else None)


async def _answer_or_declined(call: Awaitable[Any], kind: str) -> Mapping[str, Any]:
    """Like `_answer`, but a decline is the intent that the refusal carries."""
    try:
        return (await call).to_dict()
    except stripe.StripeError as error:
        if isinstance(error, stripe.CardError) and (intent := error_body(error).get(kind)):
            return intent
        raise translated(error) from error


def error_body(error: stripe.StripeError) -> Mapping[str, Any]:
    body: Any = error.json_body
    return body.get("error") or {} if isinstance(body, dict) else {}


def _problem_of(error: stripe.CardError) -> snapshots.CardProblem:
    problem = snapshots.problem(error_body(error) or {"message": str(error)})
    if problem is None:
        raise AssertionError("a card error has a body or a message")
    return problem


def translated(error: stripe.StripeError) -> Exception:
    """Certainly refused, or no telling: only the gateway's own clear 'no' counts as a refusal."""
    body = error_body(error)
    code, message, param = body.get("code"), body.get("message") or str(error), body.get("param")
    if isinstance(error, stripe.IdempotencyError):
        return GatewayRefused(message, code="idempotency_error")
    if isinstance(error, stripe.InvalidRequestError) and error.http_status in (400, 404):
        if code == "resource_missing":
            return GatewayNotFound(message, code=code, param=param)
        return GatewayRefused(message, code=code, param=param)
    if isinstance(error, stripe.CardError):
        return GatewayRefused(message, code=code)
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        log.error("gateway_credentials_refused", status=error.http_status)
    message = f"{type(error).__name__} (HTTP {error.http_status})"
    return GatewayUnavailable(message, is_fault=(error.http_status or 0) >= 500)
