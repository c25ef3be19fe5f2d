"""Coupons: an offer under an id of its maker's choice; only its name and metadata ever change.

Owns: their handlers. Does not own: the codes customers type (promotion_codes.py). Nothing is redeemed here, since the
sandbox has no subscriptions of Stripe's: `times_redeemed` stays 0.
"""

import re

from gateways.sandbox import promotion_codes, shapes
from gateways.sandbox.calls import Body, Call, assign, merge_metadata, snapshot
from gateways.sandbox.currencies import check_currency, check_step
from gateways.sandbox.errors import already_exists, invalid, missing_parameter
from gateways.sandbox.parameter_kinds import refuse_both
from gateways.sandbox.store import DELETED, Listing, Record

KIND = "coupon"
_ID = re.compile(r"[A-Za-z0-9_-]+")


async def create(call: Call) -> Body:
    params = call.params
    _check(call)
    identity = params.get("id") or call.ids.code()
    if not _ID.fullmatch(identity):
        raise invalid("A coupon's id may hold letters, digits, dashes and underscores only.", "id")
    body = shapes.coupon(identity, call.second, params)
    if "currency" in params:
        body["currency"] = check_currency(params["currency"])
        check_step(params.get("amount_off", 0), body["currency"])
    merge_metadata(body, params.get("metadata", {}))
    coupon = await _placed(call, body)
    if redeem_by := body["redeem_by"]:
        call.unit.plan("expire_coupon", coupon.id, redeem_by + 1)
    call.announce("coupon.created", body)
    return body


def _check(call: Call) -> None:
    """Refuses what would be no offer: nothing off, or both kinds off; a duration without its months."""
    params = call.params
    refuse_both(params, "percent_off", "amount_off")
    if "percent_off" not in params and "amount_off" not in params:
        raise invalid("You must specify either a percent_off or an amount_off.", "percent_off", "parameter_missing")
    if "amount_off" in params and "currency" not in params:
        raise missing_parameter("currency")
    repeating = params.get("duration", "once") == "repeating"
    if repeating and "duration_in_months" not in params:
        raise missing_parameter("duration_in_months")
    if not repeating and "duration_in_months" in params:
        message = "You can only pass duration_in_months if the duration is repeating."
        raise invalid(message, "duration_in_months")
    if params.get("redeem_by", call.second + 1) <= call.second:
        raise invalid("The redeem_by must be in the future.", "redeem_by")


async def _placed(call: Call, body: Body) -> Record:
    """The new coupon in the store; the id of one that was deleted may be given again."""
    known = await call.unit.find(KIND, body["id"])
    if known is None and not await call.unit.taken(body["id"]):
        return call.unit.add(KIND, body)
    if known is None or not known.deleted:
        raise already_exists(f"Coupon already exists: {body['id']}", "id")
    known.kind, known.body = KIND, body
    return call.unit.change(known)


async def retrieve(call: Call) -> Body:
    return (await call.addressed(KIND, KIND)).body


async def list_all(call: Call) -> Body:
    return await call.page(Listing(KIND), "/v1/coupons")


async def update(call: Call) -> Body:
    coupon = await call.addressed(KIND, KIND)
    before, params = snapshot(coupon.body), call.params
    assign(coupon.body, params, "name")
    if "metadata" in params:
        merge_metadata(coupon.body, params["metadata"])
    call.announce_update("coupon.updated", coupon, before)
    return coupon.body


async def delete(call: Call) -> Body:
    """No more can be redeemed; what was given stays."""
    coupon = await call.addressed(KIND, KIND)
    coupon.body["valid"] = False
    call.announce("coupon.deleted", coupon.body)
    coupon.kind += DELETED
    call.unit.change(coupon)
    await promotion_codes.deactivate_all(call, coupon.id)
    return {"id": coupon.id, "object": KIND, "deleted": True}


async def expire(call: Call, coupon: Record) -> None:
    """Its last day is over, unless another coupon has taken its id meanwhile."""
    redeem_by = coupon.body["redeem_by"]
    if not coupon.deleted and redeem_by and redeem_by < call.second:
        coupon.body["valid"] = False
        call.unit.change(coupon)
        await promotion_codes.deactivate_all(call, coupon.id)
