"""Payment intents: their handlers, and the charge that each attempt leaves behind."""

from gateways.sandbox import disputes, intents, shapes
from gateways.sandbox.balance import book
from gateways.sandbox.calls import Answer, Body, Call, assign, merge_metadata, snapshot
from gateways.sandbox.cards import AUTHENTICATION_REQUIRED, Decline, judge_charge
from gateways.sandbox.currencies import check_amount, check_currency
from gateways.sandbox.errors import ApiError, invalid
from gateways.sandbox.payment_methods import attach_to, check_cvc
from gateways.sandbox.store import Listing, Record

KIND = "payment_intent"
HELD_FOR_SECONDS = 7 * 24 * 3600
CANCELABLE = (*intents.CONFIRMABLE, "requires_capture", "processing")
_PLAIN = (
    "capture_method",
    "confirmation_method",
    "receipt_email",
    "setup_future_usage",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
)


async def create(call: Call) -> Body | Answer:
    params = call.params
    intents.refuse_unless_confirming(params, "PaymentIntent")
    currency = check_currency(params["currency"])
    check_amount(params["amount"], currency)
    identity = call.ids.new(KIND)
    secret = f"{identity}_secret_{call.ids.new('client_secret')}"
    body = shapes.payment_intent(identity, call.second, secret, params["amount"], currency)
    body["automatic_payment_methods"] = {"allow_redirects": "always", "enabled": True}
    intent = call.unit.add(KIND, body)
    await _assign(call, intent)
    method = await intents.chosen_method(call, intent)
    if method:
        body |= {"payment_method": method.id, "status": "requires_confirmation"}
    call.announce("payment_intent.created", body)
    if not params.get("confirm"):
        return body
    if method is None:
        return Answer(400, intents.lacks_method(intent).body)
    return await _attempt(call, intent, method)


async def retrieve(call: Call) -> Body:
    return (await intents.addressed_intent(call, KIND)).body


async def list_all(call: Call) -> Body:
    if customer := call.params.get("customer"):
        await call.object("customer", customer, "customer")
    return await call.page(Listing(KIND, customer=call.params.get("customer")), "/v1/payment_intents")


async def update(call: Call) -> Body:
    intent = await intents.addressed_intent(call, KIND)
    body, params = intent.body, call.params
    if touched := [name for name in params if name not in (*intents.ALWAYS_CHANGEABLE, "client_secret", "key")]:
        intents.require_status(intent, intents.CONFIRMABLE, f"update `{touched[0]}` of")
    currency = check_currency(params.get("currency", body["currency"]))
    amount = params.get("amount", body["amount"])
    check_amount(amount, currency)
    repriced = (amount, currency) != (body["amount"], body["currency"])
    body |= {"amount": amount, "currency": currency}
    await _assign(call, intent)
    method = await intents.chosen_method(call, intent)
    if method:
        body["payment_method"] = method.id
    elif "payment_method" in params:
        body["payment_method"] = None
    elif "customer" in params and body["payment_method"]:
        await intents.kept_method(call, intent)
    if "payment_method" in params or method or (repriced and body["status"] == "requires_action"):
        intents.end_challenge(intent)
        body["status"] = "requires_confirmation" if body["payment_method"] else "requires_payment_method"
    call.unit.change(intent)
    return body


async def confirm(call: Call) -> Body | Answer:
    intent = await intents.addressed_intent(call, KIND)
    body, params = intent.body, call.params
    intents.require_status(intent, intents.CONFIRMABLE, "confirm")
    if call.publishable and body["confirmation_method"] == "manual":
        raise invalid(
            "This PaymentIntent's confirmation_method is manual: it must be confirmed with a secret key.", None
        )
    expected = params.get("amount_to_confirm", body["amount"])
    if expected != body["amount"]:
        raise invalid(f"The amount to confirm is {body['amount']}, not {expected}.", "amount_to_confirm")
    method = await intents.chosen_method(call, intent)
    if method is None and body["payment_method"] is None:
        raise intents.lacks_method(intent)
    await _assign(call, intent)
    if method is None:
        method = await intents.kept_method(call, intent)
    authenticated = intent.private.pop("authenticated", None) == method.id
    return await _attempt(call, intent, method, authenticated=authenticated)


async def cancel(call: Call) -> Body:
    intent = await call.addressed(KIND, "intent")
    intents.require_status(intent, CANCELABLE, "cancel")
    body = intent.body
    if body["status"] == "requires_capture":
        _release(call, await call.object("charge", body["latest_charge"], "charge"), "charge.refunded")
    _cancel(call, intent, call.params.get("cancellation_reason"))
    return body


def _cancel(call: Call, intent: Record, reason: str | None) -> None:
    intents.end_challenge(intent)
    intent.body |= {
        "status": "canceled",
        "canceled_at": call.second,
        "cancellation_reason": reason,
        "amount_capturable": 0,
    }
    call.unit.change(intent)
    call.announce("payment_intent.canceled", intent.body)


async def capture(call: Call) -> Body:
    intent = await call.addressed(KIND, "intent")
    intents.require_status(intent, ("requires_capture",), "capture")
    body, params = intent.body, call.params
    amount = params.get("amount_to_capture", body["amount_capturable"])
    if amount > body["amount_capturable"]:
        message = f"You cannot capture {amount}: only {body['amount_capturable']} can be captured."
        raise ApiError(400, message, code="amount_too_large", param="amount_to_capture")
    assign(body, params, "statement_descriptor", "statement_descriptor_suffix")
    if "metadata" in params:
        merge_metadata(body, params["metadata"])
    charge = await call.object("charge", body["latest_charge"], "charge")
    # What is not captured goes back to the card at once.
    charge.body |= {
        "captured": True,
        "amount_captured": amount,
        "amount_refunded": charge.body["amount"] - amount,
        "balance_transaction": book(call, "charge", charge.body, amount, charge.body["description"])["id"],
    }
    charge.body["payment_method_details"]["card"].pop("capture_before", None)
    call.unit.change(charge)
    call.announce("charge.captured", charge.body)
    if method := await call.unit.find("payment_method", charge.body["payment_method"]):
        disputes.open_if_objected(call, charge, shapes.card_behind(method.private))
    body |= {"status": "succeeded", "amount_received": amount, "amount_capturable": 0}
    call.unit.change(intent)
    call.announce("payment_intent.succeeded", body)
    return body


def _release(call: Call, charge: Record, event: str) -> None:
    """An authorized amount that is never captured goes back to the card. It was never booked, so no refund is made."""
    charge.body |= {"refunded": True, "amount_refunded": charge.body["amount"]}
    call.unit.change(charge)
    call.announce(event, charge.body)


async def expire_authorization(call: Call, charge: Record) -> None:
    """Nobody captured it in time."""
    intent = await call.object(KIND, charge.body["payment_intent"], "payment_intent")
    if intent.body["status"] == "requires_capture":
        _release(call, charge, "charge.expired")
        _cancel(call, intent, "automatic")


async def _assign(call: Call, intent: Record) -> None:
    await intents.assign_common(call, intent)
    _refuse_keeping_less(call, intent.body["setup_future_usage"])
    assign(intent.body, call.params, *_PLAIN)
    if "shipping" in call.params:
        given = call.params["shipping"]
        empty = {"carrier": None, "phone": None, "tracking_number": None}
        intent.body["shipping"] = given and {**empty, **given, "address": shapes.address(given["address"])}


def _refuse_keeping_less(call: Call, usage: str | None) -> None:
    """What the merchant has decided about keeping the card, a browser may only widen."""
    if call.publishable and usage and call.params.get("setup_future_usage", usage) not in (usage, "off_session"):
        message = "With a publishable key `setup_future_usage` can only be changed from `on_session` to `off_session`."
        raise invalid(message, "setup_future_usage")


def _refuse_keeping_off_session(call: Call, intent: Record) -> None:
    """Who is not there can allow nothing for later."""
    if call.params.get("off_session") and _future_usage(intent.body) in ("off_session", "on_session"):
        message = (
            "You cannot confirm with the `off_session` parameter when `setup_future_usage` is also set on the "
            "PaymentIntent because you cannot set up future usages when processing payments off-session."
        )
        raise invalid(message, "off_session")


def _future_usage(intent: Body) -> str | None:
    return intent["payment_method_options"]["card"].get("setup_future_usage") or intent["setup_future_usage"]


async def _attempt(call: Call, intent: Record, method: Record, *, authenticated: bool = False) -> Body | Answer:
    """Charge the card, or ask its holder, or take the issuer's no."""
    params = call.params
    _refuse_keeping_off_session(call, intent)
    verdict = judge_charge(
        shapes.card_behind(method.private),
        off_session=bool(params.get("off_session")),
        set_up=bool(method.private.get("set_up")),
        requested=intents.requests_challenge(intent.body),
        authenticated=authenticated,
    )
    if verdict == "challenge":
        if not params.get("error_on_requires_action"):
            intents.demand_action(call, intent, method)
            return intent.body
        verdict = AUTHENTICATION_REQUIRED
    check_cvc(call, method)
    if isinstance(verdict, Decline):
        return _decline(call, intent, method, verdict, authenticated=authenticated)
    return _approve(call, intent, method, authenticated=authenticated)


def _charge(
    call: Call, intent: Record, method: Record, decline: Decline | None, *, captured: bool, authenticated: bool
) -> Record:
    charge = shapes.charge(
        call.ids.new("charge"),
        call.second,
        intent.body,
        snapshot(method.body),
        decline,
        captured=captured,
        authenticated=authenticated,
    )
    record = call.unit.add("charge", charge)
    if captured:
        charge["balance_transaction"] = book(call, "charge", charge, charge["amount"], charge["description"])["id"]
    elif decline is None:
        charge["payment_method_details"]["card"]["capture_before"] = call.second + HELD_FOR_SECONDS
        call.plan("expire_authorization", record, HELD_FOR_SECONDS)
    call.announce("charge.failed" if decline else "charge.succeeded", charge)
    if captured:
        disputes.open_if_objected(call, record, shapes.card_behind(method.private))
    return record


def _decline(call: Call, intent: Record, method: Record, decline: Decline, *, authenticated: bool) -> Answer:
    charge = _charge(call, intent, method, decline, captured=False, authenticated=authenticated)
    intent.body["latest_charge"] = charge.id
    answer = intents.failed_answer(intent, method, decline, charge.id)
    call.unit.change(intent)
    call.announce("payment_intent.payment_failed", intent.body)
    return answer


def _approve(call: Call, intent: Record, method: Record, *, authenticated: bool) -> Body:
    body = intent.body
    options = body["payment_method_options"]["card"]
    usage = _future_usage(body)
    captured = "manual" not in (body["capture_method"], options.get("capture_method"))
    charge = _charge(call, intent, method, None, captured=captured, authenticated=authenticated)
    if usage in ("off_session", "on_session"):
        method.private["set_up"] = method.private.get("set_up") or usage == "off_session"
        call.unit.change(method)
        if body["customer"] and method.body["customer"] is None:
            attach_to(call, method, body["customer"])
    elif method.body["customer"] is None:
        method.private["spent"] = True
        call.unit.change(method)
    intents.end_challenge(intent)
    body |= {
        "status": "succeeded" if captured else "requires_capture",
        "amount_received": body["amount"] if captured else 0,
        "amount_capturable": 0 if captured else body["amount"],
        "payment_method": method.id,
        "latest_charge": charge.id,
        "last_payment_error": None,
    }
    call.unit.change(intent)
    call.announce("payment_intent." + ("succeeded" if captured else "amount_capturable_updated"), body)
    return body


async def answer_challenge(call: Call, intent: Record, *, passed: bool) -> None:
    """The holder has authenticated, or has failed to."""
    method = await call.object("payment_method", intent.private["challenge"]["method"], "payment_method")
    if not passed:
        intents.authentication_failure(intent, method)
        call.unit.change(intent)
        call.announce("payment_intent.payment_failed", intent.body)
    elif intent.body["confirmation_method"] == "manual":
        intents.end_challenge(intent)
        intent.private["authenticated"] = method.id
        intent.body["status"] = "requires_confirmation"
        call.unit.change(intent)
    else:
        await _attempt(call, intent, method, authenticated=True)
