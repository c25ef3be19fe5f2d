"""Setup intents and their attempts: saving a card for later."""

from gateways.sandbox import intents, shapes
from gateways.sandbox.calls import Answer, Body, Call, assign
from gateways.sandbox.cards import Decline, judge_setup
from gateways.sandbox.payment_methods import attach_to, check_cvc
from gateways.sandbox.store import Listing, Record

KIND = "setup_intent"


async def create(call: Call) -> Body | Answer:
    params = call.params
    intents.refuse_unless_confirming(params, "SetupIntent")
    identity = call.ids.new(KIND)
    secret = f"{identity}_secret_{call.ids.new('client_secret')}"
    body = shapes.setup_intent(identity, call.second, secret)
    body["automatic_payment_methods"] = {"allow_redirects": "always", "enabled": True}
    intent = call.unit.add(KIND, body)
    assign(body, params, "usage")
    await intents.assign_common(call, intent)
    method = await intents.chosen_method(call, intent)
    if method:
        body |= {"payment_method": method.id, "status": "requires_confirmation"}
    call.announce("setup_intent.created", body)
    if not params.get("confirm"):
        return body
    if method is None:
        return Answer(400, intents.lacks_method(intent).body)
    return await _attempt(call, intent, method)


async def retrieve(call: Call) -> Body:
    return (await intents.addressed_intent(call, KIND)).body


async def list_all(call: Call) -> Body:
    params = call.params
    listing = Listing(KIND, customer=params.get("customer"), lookup=params.get("payment_method"))
    return await call.page(listing, "/v1/setup_intents")


async def list_attempts(call: Call) -> Body:
    intent = await call.object(KIND, call.params["setup_intent"], "setup_intent")
    return await call.page(Listing("setup_attempt", lookup=intent.id), "/v1/setup_attempts")


async def update(call: Call) -> Body:
    intent = await intents.addressed_intent(call, KIND)
    body, params = intent.body, call.params
    if touched := [name for name in params if name not in (*intents.ALWAYS_CHANGEABLE, "client_secret", "key")]:
        intents.require_status(intent, intents.CONFIRMABLE, f"update `{touched[0]}` of")
    await intents.assign_common(call, intent)
    method = await intents.chosen_method(call, intent)
    if method or "payment_method" in params:
        intents.end_challenge(intent)
        body["payment_method"] = method.id if method else None
        body["status"] = "requires_confirmation" if method else "requires_payment_method"
    elif "customer" in params and body["payment_method"]:
        await intents.kept_method(call, intent)
    call.unit.change(intent)
    return body


async def confirm(call: Call) -> Body | Answer:
    intent = await intents.addressed_intent(call, KIND)
    intents.require_status(intent, intents.CONFIRMABLE, "confirm")
    method = await intents.chosen_method(call, intent)
    if method is None and intent.body["payment_method"] is None:
        raise intents.lacks_method(intent)
    await intents.assign_common(call, intent)
    if method is None:
        method = await intents.kept_method(call, intent)
    return await _attempt(call, intent, method)


async def cancel(call: Call) -> Body:
    intent = await call.addressed(KIND, "intent")
    intents.require_status(intent, intents.CONFIRMABLE, "cancel")
    intents.end_challenge(intent)
    intent.body |= {"status": "canceled", "cancellation_reason": call.params.get("cancellation_reason")}
    call.unit.change(intent)
    call.announce("setup_intent.canceled", intent.body)
    return intent.body


async def _attempt(call: Call, intent: Record, method: Record, *, authenticated: bool = False) -> Body | Answer:
    verdict = judge_setup(
        shapes.card_behind(method.private),
        requested=intents.requests_challenge(intent.body),
        authenticated=authenticated,
    )
    if verdict == "challenge":
        intents.demand_action(call, intent, method)
        _note_attempt(call, intent, method, "requires_action")
        return intent.body
    check_cvc(call, method)
    if isinstance(verdict, Decline):
        answer = intents.failed_answer(intent, method, verdict)
        error = intent.body["last_setup_error"]
        await _end_attempt(call, intent, method, "failed", error, authenticated=authenticated)
        answer.body["error"]["setup_intent"] = dict(intent.body)
        call.announce("setup_intent.setup_failed", intent.body)
        return answer
    method.private["set_up"] = method.private.get("set_up") or intent.body["usage"] == "off_session"
    call.unit.change(method)
    if intent.body["customer"] and method.body["customer"] is None:
        attach_to(call, method, intent.body["customer"])
    intents.end_challenge(intent)
    intent.body |= {"status": "succeeded", "payment_method": method.id, "last_setup_error": None}
    await _end_attempt(call, intent, method, "succeeded", None, authenticated=authenticated)
    call.announce("setup_intent.succeeded", intent.body)
    return intent.body


def _note_attempt(call: Call, intent: Record, method: Record, status: str, error: Body | None = None) -> None:
    attempt = shapes.setup_attempt(
        call.ids.new("setup_attempt"),
        call.second,
        intent.body,
        method.body,
        status=status,
        error=error,
    )
    call.unit.add("setup_attempt", attempt)
    intent.body["latest_attempt"] = attempt["id"]
    call.unit.change(intent)


async def _end_attempt(
    call: Call, intent: Record, method: Record, status: str, error: Body | None, *, authenticated: bool
) -> None:
    """The attempt that waited for its holder ends; one that did not wait is noted whole."""
    if authenticated:
        attempt = await call.object("setup_attempt", intent.body["latest_attempt"], "latest_attempt")
        attempt.body |= {"status": status, "setup_error": error}
        if status == "succeeded":
            attempt.body["payment_method_details"]["card"]["three_d_secure"] = shapes.CHALLENGED_SETUP
        call.unit.change(attempt)
        call.unit.change(intent)
    else:
        _note_attempt(call, intent, method, status, error)


async def answer_challenge(call: Call, intent: Record, *, passed: bool) -> None:
    """The holder has authenticated, or has failed to."""
    method = await call.object("payment_method", intent.private["challenge"]["method"], "payment_method")
    if passed:
        await _attempt(call, intent, method, authenticated=True)
        return
    error = intents.authentication_failure(intent, method)
    await _end_attempt(call, intent, method, "failed", error, authenticated=True)
    call.announce("setup_intent.setup_failed", intent.body)
