"""Charges: what attempts left behind, to be read and annotated."""

from gateways.sandbox import shapes
from gateways.sandbox.calls import Body, Call, assign, merge_metadata, snapshot
from gateways.sandbox.store import Listing


async def retrieve(call: Call) -> Body:
    return (await call.addressed("charge")).body


async def list_all(call: Call) -> Body:
    params = call.params
    listing = Listing("charge", customer=params.get("customer"), lookup=params.get("payment_intent"))
    return await call.page(listing, "/v1/charges")


async def update(call: Call) -> Body:
    charge = await call.addressed("charge")
    before, body, params = snapshot(charge.body), charge.body, call.params
    assign(body, params, "description", "receipt_email", "transfer_group")
    if "metadata" in params:
        merge_metadata(body, params["metadata"])
    if "customer" in params:
        body["customer"] = (await call.object("customer", params["customer"], "customer")).id
    if "fraud_details" in params:
        body["fraud_details"] = {name: told for name, told in params["fraud_details"].items() if told}
    if "shipping" in params:
        given = params["shipping"]
        body["shipping"] = given and {**given, "address": shapes.address(given["address"])}
    call.announce_update("charge.updated", charge, before)
    return body
