"""Payment methods: cards made of test numbers and tokens, attached and detached.

Owns: their handlers, and `usable_method`, through which every other handler accepts a payment method.
Does not own: what a card does when charged (cards.py).
"""

from gateways.sandbox import shapes
from gateways.sandbox.calls import Body, Call, assign, merge_metadata, snapshot
from gateways.sandbox.cards import BY_NUMBER, Card, Decline, card_of_payment_method, card_of_token
from gateways.sandbox.errors import ApiError, error_object, invalid, missing_parameter, no_such, unsupported_parameter
from gateways.sandbox.parameter_kinds import refuse_both
from gateways.sandbox.store import Listing, Record


async def create(call: Call) -> Body:
    params = call.params
    if "type" not in params:
        raise missing_parameter("type")
    return make_from_data(call, params).body


async def retrieve(call: Call) -> Body:
    return (await _addressed(call)).body


async def retrieve_of_customer(call: Call) -> Body:
    owner, identity = call.path
    await call.object("customer", owner, "customer", in_path=True)
    method = await call.object("payment_method", identity, "payment_method", in_path=True)
    if method.body["customer"] != owner:
        raise no_such("payment_method", identity, "payment_method", in_path=True)
    return method.body


async def list_all(call: Call) -> Body:
    if "customer" in call.params:
        await call.object("customer", call.params["customer"], "customer")
    return await _list(call, call.params.get("customer"), "/v1/payment_methods")


async def list_of_customer(call: Call) -> Body:
    owner = await call.addressed("customer", "customer")
    return await _list(call, owner.id, f"/v1/customers/{owner.id}/payment_methods")


async def _list(call: Call, owner: str | None, url: str) -> Body:
    if call.params.get("type", "card") != "card":
        return {"object": "list", "data": [], "has_more": False, "url": url}
    return await call.page(Listing("payment_method", customer=owner, lookup=call.params.get("allow_redisplay")), url)


async def update(call: Call) -> Body:
    method = await _addressed(call)
    if method.body["customer"] is None:
        raise invalid("You must save this PaymentMethod to a customer before you can update it.", None)
    before, body, params = snapshot(method.body), method.body, call.params
    assign(body, params, "allow_redisplay")
    if "metadata" in params:
        merge_metadata(body, params["metadata"])
    _assign_billing_details(body, params)
    if card := params.get("card"):
        month, year = _expiry(call, {**body["card"], **card}, "card")
        body["card"] |= {"exp_month": month, "exp_year": year}
        if networks := card.get("networks"):
            body["card"]["networks"]["preferred"] = networks.get("preferred")
    call.announce_update("payment_method.updated", method, before)
    return body


async def attach(call: Call) -> Body:
    method = await _addressed(call)
    owner = await call.object("customer", call.params["customer"], "customer")
    if method.body["customer"] == owner.id:
        return method.body
    if method.body["customer"] is not None:
        raise invalid("The payment method you provided has already been attached to a customer.", None)
    refuse_spent(method)
    card = shapes.card_behind(method.private)
    if not card.attachable and card.decline:
        raise declined(card.decline)
    attach_to(call, method, owner.id)
    return method.body


async def detach(call: Call) -> Body:
    method = await _addressed(call)
    owner_id = method.body["customer"]
    if owner_id is None:
        raise invalid(
            "The payment method you provided is not attached to a customer so detachment is impossible.", None
        )
    owner = await call.unit.find("customer", owner_id)
    detach_from(call, method)
    if owner is not None:
        before = snapshot(owner.body)
        settings = owner.body["invoice_settings"]
        if settings["default_payment_method"] == method.id:
            settings["default_payment_method"] = None
            call.announce_update("customer.updated", owner, before)
    return method.body


async def reissue(call: Call) -> Body:
    """The bank has sent its customer a new card, and the networks tell: Stripe's account updater, on request."""
    method = await _addressed(call)
    before, body, params = snapshot(method.body), method.body, call.params
    month, year = _expiry(call, {**body["card"], **params}, "card")
    if number := params.get("number"):
        if (card := BY_NUMBER.get(number)) is None:
            raise _refused_data("incorrect_number", "This is the number of no test card.", "number")
        method.private["card"] = number
        body["card"] = shapes.payment_method(method.id, 0, card, month, year, None)["card"]
        body["card"]["checks"] = before["card"]["checks"]
    body["card"] |= {"exp_month": month, "exp_year": year}
    call.announce_update("payment_method.automatically_updated", method, before)
    return body


async def _addressed(call: Call) -> Record:
    return await usable_method(call, call.path[0], "payment_method", in_path=True)


async def usable_method(call: Call, identity: str, param: str, *, in_path: bool = False) -> Record:
    """The payment method of this id. A token such as `pm_card_visa` makes a new one, once per call."""
    if (card := card_of_payment_method(identity)) is None:
        return await call.object("payment_method", identity, param, in_path=in_path)
    if identity not in call.made:
        call.made[identity] = _make_of_token(call, card)
    return call.made[identity]


def make_from_data(call: Call, data: Body, prefix: str = "") -> Record:
    """A new payment method from `type`, `card` and the rest; `prefix` names the enclosing parameter, if any."""

    def named(name: str) -> str:
        return f"{prefix}[{name}]" if prefix else name

    if data["type"] != "card":
        raise unsupported_parameter(f"{named('type')}={data['type']}")
    if "card" not in data:
        raise missing_parameter(named("card"))
    given = data["card"]
    refuse_both(given, "token", "number")
    if token := given.get("token"):
        if (card := card_of_token(token)) is None:
            raise no_such("token", token, named("card") + "[token]", in_path=False)
        method = _make_of_token(call, card)
    else:
        method = _make_of_number(call, given, named("card"))
    assign(method.body, data, "allow_redisplay")
    merge_metadata(method.body, data.get("metadata", {}))
    _assign_billing_details(method.body, data)
    return method


def _make_of_token(call: Call, card: Card) -> Record:
    return _make(call, card, call.now.month, call.now.year + 1, "unchecked")


def _make_of_number(call: Call, given: Body, name: str) -> Record:
    for part in ("number", "exp_month", "exp_year"):
        if part not in given:
            raise missing_parameter(f"{name}[{part}]")
    number = given["number"].replace(" ", "").replace("-", "")
    if not number.isdigit() or not 12 <= len(number) <= 19 or not _passes_luhn(number):
        raise _refused_data("incorrect_number", "Your card number is incorrect.", "number")
    if (card := BY_NUMBER.get(number)) is None:
        message = "Your card was declined. Your request was in test mode, but used a non test card."
        raise _refused_data("card_declined", message, "number", {"decline_code": "test_mode_live_card"})
    month, year = _expiry(call, given, name)
    cvc = given.get("cvc")
    if cvc is not None and not (cvc.isdigit() and len(cvc) == (4 if card.brand == "amex" else 3)):
        raise _refused_data("invalid_cvc", "Your card's security code is invalid.", "cvc")
    return _make(call, card, month, year, "unchecked" if cvc else None)


def _make(call: Call, card: Card, month: int, year: int, cvc_check: str | None) -> Record:
    identity = call.ids.new("payment_method")
    body = shapes.payment_method(identity, call.second, card, month, year, cvc_check)
    return call.unit.add("payment_method", body, {"card": card.number})


def _expiry(call: Call, given: Body, name: str) -> tuple[int, int]:
    month, year = given["exp_month"], given["exp_year"]
    year += 2000 if 0 <= year < 100 else 0
    if not 1 <= month <= 12:
        raise _refused_data("invalid_expiry_month", "Your card's expiration month is invalid.", "exp_month")
    if not call.now.year <= year <= call.now.year + 50:
        raise _refused_data("invalid_expiry_year", "Your card's expiration year is invalid.", "exp_year")
    if (year, month) < (call.now.year, call.now.month):
        raise _refused_data("invalid_expiry_month", "Your card's expiration month is invalid.", "exp_month")
    return month, year


def _refused_data(code: str, message: str, param: str, inside: Body | None = None) -> ApiError:
    return ApiError(402, message, code=code, param=param, kind="card_error", inside=inside)


def _passes_luhn(number: str) -> bool:
    digits = [int(digit) for digit in reversed(number)]
    doubled = [digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _assign_billing_details(body: Body, params: Body) -> None:
    for name, value in (params.get("billing_details") or {}).items():
        body["billing_details"][name] = shapes.address(value) if name == "address" else value


def refuse_spent(method: Record) -> None:
    """A card once charged without being kept, or detached, is used up."""
    if method.private.get("spent"):
        raise invalid(
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared "
            "with a connected account without Customer attachment, or was detached from a Customer. It may not be "
            "used again. To use a PaymentMethod multiple times, you must attach it to a Customer first.",
            "payment_method",
        )


def attach_to(call: Call, method: Record, owner_id: str) -> None:
    method.body["customer"] = owner_id
    check_cvc(call, method)
    call.unit.change(method)
    call.announce("payment_method.attached", method.body)


def detach_from(call: Call, method: Record) -> None:
    method.body["customer"] = None
    method.private["spent"] = True
    call.unit.change(method)
    call.announce("payment_method.detached", method.body)


def check_cvc(call: Call, method: Record) -> None:
    """The first use of a card checks its security code."""
    checks = method.body["card"]["checks"]
    if checks["cvc_check"] == "unchecked":
        checks["cvc_check"] = shapes.card_behind(method.private).cvc_check
        call.unit.change(method)


def declined(decline: Decline) -> ApiError:
    """The issuer refused to have the card kept: nothing changes."""
    told = _told_by_issuer(decline)
    return ApiError(
        402, decline.message, code=decline.code, param=decline.param, kind="card_error", executed=True, inside=told
    )


def decline_error(decline: Decline, *, method: Body, charge: str | None) -> Body:
    """The error hash of a declined card, as answers and `last_..._error` carry it."""
    inside = {**_told_by_issuer(decline), "charge": charge, "payment_method": method}
    return error_object("card_error", decline.message, code=decline.code, param=decline.param, inside=inside)


def _told_by_issuer(decline: Decline) -> Body:
    return {
        "decline_code": decline.decline_code,
        "advice_code": decline.advice,
        "network_decline_code": decline.network_decline_code,
        "network_advice_code": decline.network_advice_code,
    }
