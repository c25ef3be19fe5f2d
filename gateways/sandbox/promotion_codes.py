"""Promotion codes: what a customer types to get a coupon.

Owns: their handlers. Among active codes that one customer could use, each is there once, whatever its case. They are
never deleted, only deactivated.
"""

import re

from gateways.sandbox import shapes
from gateways.sandbox.calls import Body, Call, assign, merge_metadata, snapshot
from gateways.sandbox.currencies import check_currency
from gateways.sandbox.errors import already_exists, invalid, missing_parameter
from gateways.sandbox.store import Listing, Record

KIND = "promotion_code"
_CODE = re.compile(r"[A-Za-z0-9-]+")


async def create(call: Call) -> Body:
    params = call.params
    if "coupon" not in params["promotion"]:
        raise missing_parameter("promotion[coupon]")
    coupon = await call.object("coupon", params["promotion"]["coupon"], "promotion[coupon]")
    owner = params.get("customer")
    if owner:
        await call.object("customer", owner, "customer")
    code = params.get("code") or call.ids.code()
    if not _CODE.fullmatch(code):
        raise invalid("Promotion codes may only contain letters (a-z, A-Z), digits (0-9) and dashes.", "code")
    _check_limits(call, coupon.body)
    body = shapes.promotion_code(call.ids.new(KIND), call.second, code, coupon.id, params)
    if body["active"]:
        await _refuse_useless(call, body)
    body["restrictions"] |= _restrictions(params.get("restrictions", {}))
    merge_metadata(body, params.get("metadata", {}))
    record = call.unit.add(KIND, body)
    if expires_at := body["expires_at"]:
        call.unit.plan("expire_promotion_code", record.id, expires_at + 1)
    call.announce("promotion_code.created", body)
    return body


def _check_limits(call: Call, coupon: Body) -> None:
    """A code reaches no further than its coupon."""
    params = call.params
    if params.get("expires_at", call.second + 1) <= call.second:
        raise invalid("The expires_at must be in the future.", "expires_at")
    for name, of_coupon in (("expires_at", "redeem_by"), ("max_redemptions", "max_redemptions")):
        if name in params and coupon[of_coupon] is not None and params[name] > coupon[of_coupon]:
            raise invalid(f"The {name} of a promotion code cannot exceed its coupon's {of_coupon}.", name)


def _restrictions(given: Body) -> Body:
    if ("minimum_amount" in given) != ("minimum_amount_currency" in given):
        absent = "minimum_amount_currency" if "minimum_amount" in given else "minimum_amount"
        raise missing_parameter(f"restrictions[{absent}]")
    if "minimum_amount_currency" in given:
        name = "restrictions[minimum_amount_currency]"
        return {**given, "minimum_amount_currency": check_currency(given["minimum_amount_currency"], name)}
    return given


async def _refuse_useless(call: Call, body: Body) -> None:
    """An active code needs a coupon that is valid, and must not be mistaken for another active one."""
    coupon = await call.unit.find("coupon", body["promotion"]["coupon"])
    if coupon is None or not coupon.body["valid"]:
        raise invalid("This promotion code cannot be active because its coupon is no longer valid.", "active")
    if body["expires_at"] is not None and body["expires_at"] < call.second:
        raise invalid("This promotion code has expired and cannot be active.", "active")
    owner = body["customer"]
    rivals = Listing(
        KIND,
        lookup=body["code"],
        where=lambda other: (
            other["active"] and other["id"] != body["id"] and (owner is None or other["customer"] in (None, owner))
        ),
    )
    if await call.unit.find_all(rivals):
        raise already_exists(f"A promotion code with code {body['code']} already exists.", "code")


async def retrieve(call: Call) -> Body:
    return (await call.addressed(KIND, KIND)).body


async def list_all(call: Call) -> Body:
    params = call.params

    def asked_for(body: Body) -> bool:
        return (
            params.get("active", body["active"]) == body["active"]
            and params.get("coupon", body["promotion"]["coupon"]) == body["promotion"]["coupon"]
        )

    listing = Listing(KIND, customer=params.get("customer"), lookup=params.get("code"), where=asked_for)
    return await call.page(listing, "/v1/promotion_codes")


async def update(call: Call) -> Body:
    record = await call.addressed(KIND, KIND)
    before, body, params = snapshot(record.body), record.body, call.params
    assign(body, params, "active")
    if body["active"] and not before["active"]:
        await _refuse_useless(call, body)
    if "metadata" in params:
        merge_metadata(body, params["metadata"])
    call.announce_update("promotion_code.updated", record, before)
    return body


async def deactivate_all(call: Call, coupon_id: str) -> None:
    """Its codes end with a coupon."""
    of_coupon = Listing(
        KIND, limit=1000, where=lambda body: body["active"] and body["promotion"]["coupon"] == coupon_id
    )
    for record in await call.unit.find_all(of_coupon):
        _deactivate(call, await call.object(KIND, record.id, KIND))


async def expire(call: Call, record: Record) -> None:
    if record.body["active"]:
        _deactivate(call, record)


def _deactivate(call: Call, record: Record) -> None:
    before = snapshot(record.body)
    record.body["active"] = False
    call.announce_update("promotion_code.updated", record, before)
