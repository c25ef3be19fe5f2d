"""What payment intents and setup intents have in common.

Owns: choosing the payment method, the errors that carry the intent, the next action of a challenge, what a browser may
see. Does not own: charging (payment_intents.py) and saving (setup_intents.py).
"""

from typing import Any

from gateways.sandbox.calls import Answer, Body, Call, assign, merge_metadata
from gateways.sandbox.cards import Decline
from gateways.sandbox.errors import ApiError, error_object, invalid, missing_parameter
from gateways.sandbox.parameter_kinds import refuse_both
from gateways.sandbox.payment_methods import decline_error, make_from_data, refuse_spent, usable_method
from gateways.sandbox.store import Record

CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
ALWAYS_CHANGEABLE = ("metadata", "description", "expand")
CONFIRM_ONLY = ("error_on_requires_action", "mandate_data", "off_session", "return_url")
LAST_ERROR = {"payment_intent": "last_payment_error", "setup_intent": "last_setup_error"}
TITLES = {"payment_intent": "PaymentIntent", "setup_intent": "SetupIntent"}

_SHARED_BROWSER_FIELDS = (
    "id",
    "object",
    "automatic_payment_methods",
    "cancellation_reason",
    "client_secret",
    "created",
    "description",
    "livemode",
    "next_action",
    "payment_method",
    "payment_method_configuration_details",
    "payment_method_types",
    "status",
)
BROWSER_FIELDS = {
    "payment_intent": (
        *_SHARED_BROWSER_FIELDS,
        "amount",
        "amount_details",
        "canceled_at",
        "capture_method",
        "confirmation_method",
        "currency",
        "last_payment_error",
        "processing",
        "receipt_email",
        "setup_future_usage",
        "shipping",
        "source",
    ),
    "setup_intent": (*_SHARED_BROWSER_FIELDS, "last_setup_error", "usage"),
}


def browser_view(value: Any) -> Any:
    """The subset of an intent that a publishable key may see, wherever the intent stands in an answer."""
    if not isinstance(value, dict):
        return value
    fields = BROWSER_FIELDS.get(value.get("object", ""))
    if fields is not None:
        return {name: value[name] for name in fields if name in value}
    return {name: browser_view(member) for name, member in value.items()}


async def addressed_intent(call: Call, kind: str) -> Record:
    """The intent in the address; a browser must also know its client secret."""
    secret = call.params.get("client_secret")
    if call.publishable and secret is None:
        raise missing_parameter("client_secret")
    intent = await call.addressed(kind, "intent")
    if secret is not None and secret != intent.body["client_secret"]:
        message = f"The client_secret provided does not match the client_secret associated with the {TITLES[kind]}."
        raise invalid(message, "client_secret", f"{kind}_invalid_parameter")
    return intent


def unexpected_state(intent: Record, message: str) -> ApiError:
    kind = intent.body["object"]
    return ApiError(400, message, code=f"{kind}_unexpected_state", executed=True, inside={kind: dict(intent.body)})


def require_status(intent: Record, allowed: tuple[str, ...], doing: str) -> None:
    status = intent.body["status"]
    if status not in allowed:
        title = TITLES[intent.body["object"]]
        raise unexpected_state(
            intent,
            f"You cannot {doing} this {title} because it has a status of {status}. Only a {title} with one of the "
            f"following statuses may do so: {', '.join(allowed)}.",
        )


def lacks_method(intent: Record) -> ApiError:
    title = TITLES[intent.body["object"]]
    return unexpected_state(
        intent,
        f"You cannot confirm this {title} because it's missing a payment method. You can either update the {title} "
        "with a payment method and then confirm it again, or confirm it again directly with a payment method.",
    )


def refuse_unless_confirming(params: Body, title: str) -> None:
    """Some parameters of a creation only make sense with `confirm=true`."""
    if params.get("confirm"):
        return
    for name in CONFIRM_ONLY:
        if name in params:
            message = (
                f"The parameter `{name}` cannot be passed when creating a {title} unless `confirm` is set to true."
            )
            raise invalid(message, name)


async def chosen_method(call: Call, intent: Record) -> Record | None:
    """The payment method that the request names or carries, checked against the intent's customer."""
    params = call.params
    refuse_both(params, "payment_method", "payment_method_data")
    if data := params.get("payment_method_data"):
        method = make_from_data(call, data, "payment_method_data")
    elif identity := params.get("payment_method"):
        method = await usable_method(call, identity, "payment_method")
    else:
        return None
    refuse_spent(method)
    check_ownership(intent, method)
    return method


async def kept_method(call: Call, intent: Record) -> Record:
    """The payment method that the intent holds already, still usable for it."""
    method = await call.object("payment_method", intent.body["payment_method"], "payment_method")
    refuse_spent(method)
    check_ownership(intent, method)
    return method


def check_ownership(intent: Record, method: Record) -> None:
    owner, customer = method.body["customer"], intent.body["customer"]
    if owner is not None and owner != customer:
        title = TITLES[intent.body["object"]]
        raise invalid(
            f"The provided PaymentMethod ({method.id}) belongs to another customer than the {title}. Use a payment "
            f"method of the {title}'s own customer, or one that is not attached.",
            "payment_method",
        )
    allowed = intent.body["payment_method_types"]
    if "card" not in allowed:
        raise invalid(
            f"The PaymentMethod provided (card) is not allowed for this {TITLES[intent.body['object']]}, which takes "
            f"{', '.join(allowed)}.",
            "payment_method",
            "payment_intent_incompatible_payment_method",
        )


async def assign_common(call: Call, intent: Record) -> None:
    """The parameters that both kinds of intent take, at creation, update or confirmation."""
    body, params = intent.body, call.params
    assign(body, params, "description", "excluded_payment_method_types", "flow_directions")
    if customer := params.get("customer"):
        body["customer"] = (await call.object("customer", customer, "customer")).id
    if "metadata" in params:
        merge_metadata(body, params["metadata"])
    if types := params.get("allowed_payment_method_types"):
        body |= {"allowed_payment_method_types": types, "payment_method_types": list(dict.fromkeys(types))}
        body["automatic_payment_methods"] = None
    elif automatic := params.get("automatic_payment_methods"):
        body["automatic_payment_methods"] = {"allow_redirects": "always", **automatic}
    options = params.get("payment_method_options", {})
    if "card" in options:
        body["payment_method_options"]["card"] |= options["card"] or {}


def requests_challenge(intent: Body) -> bool:
    """Whether the merchant asks for 3-D Secure wherever the card can do it."""
    return intent["payment_method_options"]["card"]["request_three_d_secure"] in ("any", "challenge")


def demand_action(call: Call, intent: Record, method: Record) -> None:
    """Put the intent before its holder: redirect when there is somewhere to return to, else for Stripe.js. Either way
    the address of the challenge page is in the next action."""
    params, token = call.params, call.ids.new("challenge")
    url = f"{call.public_url}/challenge/{intent.id}/{token}"
    return_url = params.get("return_url")
    intent.private["challenge"] = {"token": token, "method": method.id, "return_url": return_url}
    if return_url and not params.get("use_stripe_sdk"):
        action = {"type": "redirect_to_url", "redirect_to_url": {"return_url": return_url, "url": url}}
    else:
        source = {"type": "three_d_secure_redirect", "stripe_js": url}
        action = {"type": "use_stripe_sdk", "use_stripe_sdk": source}
    # A new try makes the error of the one before history.
    last_error = LAST_ERROR[intent.body["object"]]
    intent.body |= {"status": "requires_action", "payment_method": method.id, "next_action": action, last_error: None}
    call.unit.change(intent)
    call.announce(f"{intent.body['object']}.requires_action", intent.body)


def end_challenge(intent: Record) -> None:
    intent.private.pop("challenge", None)
    intent.body["next_action"] = None


def failed_answer(intent: Record, method: Record, decline: Decline, charge: str | None = None) -> Answer:
    """Mark the intent declined and answer 402 with it inside."""
    error = decline_error(decline, method=dict(method.body), charge=charge)
    leave_without_method(intent, error)
    return Answer(402, {"error": {**error, intent.body["object"]: dict(intent.body)}})


def authentication_failure(intent: Record, method: Record) -> Body:
    """Mark the intent as failed by its holder's authentication; the error it then carries."""
    kind = intent.body["object"]
    message = (
        "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new "
        f"PaymentMethod to attempt to fulfill this {TITLES[kind]} again."
    )
    error = error_object(
        "invalid_request_error",
        message,
        code=f"{kind}_authentication_failure",
        inside={"payment_method": dict(method.body)},
    )
    leave_without_method(intent, error)
    return error


def leave_without_method(intent: Record, error: Body) -> None:
    end_challenge(intent)
    last_error = LAST_ERROR[intent.body["object"]]
    intent.body |= {"status": "requires_payment_method", "payment_method": None, last_error: error}
