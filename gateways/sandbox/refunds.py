"""Refunds: money sent back to the card, at once, later, or in vain.

Owns: their handlers, and what becomes of a refund when its time has come. Does not own: the books (balance.py) and
authorizations that were never captured (payment_intents.py).
"""

from gateways.sandbox import shapes
from gateways.sandbox.balance import book
from gateways.sandbox.calls import Body, Call, merge_metadata, snapshot
from gateways.sandbox.cards import Refunding
from gateways.sandbox.currencies import check_step, priced
from gateways.sandbox.errors import ApiError, invalid
from gateways.sandbox.store import Listing, Record

SETTLES_AFTER_SECONDS = 5
FAILURE_REASON = "expired_or_canceled_card"


async def create(call: Call) -> Body:
    params = call.params
    charge = await _charge_asked_for(call)
    amount = _amount(call, charge.body)
    refund = shapes.refund(call.ids.new("refund"), call.second, charge.body, amount, params.get("reason"))
    merge_metadata(refund, params.get("metadata", {}))
    record = call.unit.add("refund", refund)
    refund["balance_transaction"] = book(call, "refund", refund, -amount, "REFUND FOR CHARGE")["id"]
    refunding = await _refunding(call, charge)
    if refunding == Refunding.ARRIVES_LATER:
        refund |= {"status": "pending", "pending_reason": "processing"}
    if refunding != Refunding.ARRIVES:
        call.plan("settle_refund", record, SETTLES_AFTER_SECONDS)
    if params.get("reason") == "fraudulent":
        charge.body["fraud_details"] = {"user_report": "fraudulent"}
    _count(call, charge, amount)
    call.announce("refund.created", refund)
    call.announce("charge.refunded", charge.body)
    return refund


async def _charge_asked_for(call: Call) -> Record:
    """The charge that the request names, itself or by its intent, if money can go back on it."""
    params = call.params
    if "charge" not in params and "payment_intent" not in params:
        raise invalid(
            "One of the following params should be provided for this request: payment_intent or charge.", None
        )
    intent_id = params.get("payment_intent")
    if "charge" in params:
        charge = await call.object("charge", params["charge"], "id", in_path=True)
        if intent_id is not None and charge.body["payment_intent"] != intent_id:
            raise invalid(f"The charge {charge.id} does not belong to the PaymentIntent {intent_id}.", "payment_intent")
        intent_id = charge.body["payment_intent"]
    else:
        intent = await call.object("payment_intent", params["payment_intent"], "payment_intent")
        if (latest := intent.body["latest_charge"]) is None:
            raise _nothing_to_refund(intent.id)
        charge = await call.object("charge", latest, "charge")
    if charge.body["status"] != "succeeded":
        raise _nothing_to_refund(intent_id)
    if not charge.body["captured"] and not charge.body["refunded"]:
        message = f"The charge {charge.id} was never captured. Cancel its PaymentIntent ({intent_id}) instead."
        raise ApiError(400, message, executed=True)
    for dispute in await call.unit.find_all(Listing("dispute", limit=100, lookup=charge.id)):
        if not dispute.body["is_charge_refundable"]:
            message = f"Charge {charge.id} has been charged back; cannot issue a refund."
            raise ApiError(400, message, code="charge_disputed", executed=True)
    return charge


def _nothing_to_refund(intent_id: str | None) -> ApiError:
    message = f"This PaymentIntent ({intent_id}) does not have a successful charge to refund."
    return ApiError(400, message, executed=True)


def _amount(call: Call, charge: Body) -> int:
    """How much goes back: what was asked for, or all that is left."""
    left = charge["amount"] - charge["amount_refunded"]
    if left == 0:
        message = f"Charge {charge['id']} has already been refunded."
        raise ApiError(400, message, code="charge_already_refunded", executed=True)
    amount = call.params.get("amount", left)
    check_step(amount, charge["currency"])
    if amount > left:
        asked, most = priced(amount, charge["currency"]), priced(left, charge["currency"])
        message = f"Refund amount ({asked}) is greater than unrefunded amount on charge ({most})"
        raise ApiError(400, message, param="amount", executed=True)
    return amount


async def _refunding(call: Call, charge: Record) -> Refunding:
    method = await call.unit.find("payment_method", charge.body["payment_method"])
    return shapes.card_behind(method.private).refunding if method else Refunding.ARRIVES


def _count(call: Call, charge: Record, amount: int) -> None:
    """Note on the charge that `amount` went back, or, below zero, that it came home again."""
    charge.body["amount_refunded"] += amount
    charge.body["refunded"] = charge.body["amount_refunded"] == charge.body["amount"]
    call.unit.change(charge)


async def settle(call: Call, refund: Record) -> None:
    """What is on its way arrives; what seemed to have arrived comes back. Its charge is then as if never refunded."""
    before, body = snapshot(refund.body), refund.body
    charge = await call.object("charge", body["charge"], "charge")
    if await _refunding(call, charge) == Refunding.ARRIVES_LATER:
        del body["pending_reason"]
        body["status"] = "succeeded"
    else:
        returned = book(call, "refund_failure", body, body["amount"], "REFUND FAILURE")
        body |= {
            "status": "failed",
            "failure_reason": FAILURE_REASON,
            "failure_balance_transaction": returned["id"],
        }
        _count(call, charge, -body["amount"])
        call.announce("refund.failed", body)
    call.announce_update("refund.updated", refund, before)
    call.announce_update("charge.refund.updated", refund, before)


async def retrieve(call: Call) -> Body:
    return (await call.addressed("refund")).body


async def list_all(call: Call) -> Body:
    params = call.params
    intent = params.get("payment_intent")
    listing = Listing(
        "refund",
        lookup=params.get("charge"),
        where=(lambda body: body["payment_intent"] == intent) if intent else None,
    )
    return await call.page(listing, "/v1/refunds")


async def update(call: Call) -> Body:
    refund = await call.addressed("refund")
    before = snapshot(refund.body)
    if "metadata" in call.params:
        merge_metadata(refund.body, call.params["metadata"])
    call.announce_update("refund.updated", refund, before)
    call.announce_update("charge.refund.updated", refund, before)
    return refund.body


async def cancel(call: Call) -> Body:
    """Only what waits for the customer's action can be called back, and no refund to a card does."""
    await call.addressed("refund")
    raise ApiError(400, "Canceling this refund is unsupported.", executed=True)
