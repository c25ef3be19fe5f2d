"""Customers: their handlers."""

from gateways.sandbox import payment_methods, shapes
from gateways.sandbox.calls import Body, Call, assign, merge_metadata, snapshot
from gateways.sandbox.errors import ApiError
from gateways.sandbox.forgetting import forget_person
from gateways.sandbox.store import DELETED, Listing, Record

_PLAIN = (
    "balance",
    "business_name",
    "description",
    "email",
    "individual_name",
    "invoice_prefix",
    "name",
    "next_invoice_sequence",
    "phone",
    "preferred_locales",
    "tax_exempt",
)


async def create(call: Call) -> Body:
    params = call.params
    identity = call.ids.new("customer")
    customer = call.unit.add("customer", shapes.customer(identity, call.second, identity[-8:].upper()))
    if token := params.get("payment_method"):
        method = await payment_methods.usable_method(call, token, "payment_method")
        payment_methods.refuse_spent(method)
        card = shapes.card_behind(method.private)
        if not card.attachable and card.decline:
            raise payment_methods.declined(card.decline)
        payment_methods.attach_to(call, method, customer.id)
    await _assign(call, customer)
    call.announce("customer.created", customer.body)
    return customer.body


async def retrieve(call: Call) -> Body:
    record = await call.unit.find("customer", call.path[0])
    if record is not None and record.deleted:
        return {"id": record.id, "object": "customer", "deleted": True}
    return (await call.addressed("customer")).body


async def update(call: Call) -> Body:
    customer = await call.addressed("customer")
    before = snapshot(customer.body)
    await _assign(call, customer)
    call.announce_update("customer.updated", customer, before)
    return customer.body


async def delete(call: Call) -> Body:
    """The customer goes, its cards are detached; what was charged stays, and nothing tells whose it was."""
    customer = await call.addressed("customer")
    await forget_person(call, customer)
    for method in await call.unit.find_all(Listing("payment_method", limit=1000, customer=customer.id)):
        payment_methods.detach_from(call, await call.object("payment_method", method.id, "payment_method"))
    call.announce("customer.deleted", customer.body)
    customer.kind += DELETED
    call.unit.change(customer)
    return {"id": customer.id, "object": "customer", "deleted": True}


async def delete_discount(call: Call) -> Body:
    """Customers get no discounts here: coupons are redeemed by whoever bills."""
    customer = await call.addressed("customer", "customer")
    raise ApiError(404, f"No active discount for customer: {customer.id}", code="resource_missing")


async def list_all(call: Call) -> Body:
    return await call.page(Listing("customer", lookup=call.params.get("email")), "/v1/customers")


async def _assign(call: Call, customer: Record) -> None:
    body, params = customer.body, call.params
    assign(body, params, *_PLAIN)
    for name in ("business_name", "individual_name"):
        if body.get(name, "") is None:
            del body[name]
    if "metadata" in params:
        merge_metadata(body, params["metadata"])
    if "address" in params:
        body["address"] = params["address"] and shapes.address(params["address"])
    if "shipping" in params:
        given = params["shipping"]
        body["shipping"] = given and {"phone": None, **given, "address": shapes.address(given["address"])}
    settings = params.get("invoice_settings", {})
    assign(body["invoice_settings"], settings, "custom_fields", "footer", "rendering_options")
    if "default_payment_method" in settings:
        body["invoice_settings"]["default_payment_method"] = await _own_method(
            call, customer, settings["default_payment_method"]
        )


async def _own_method(call: Call, customer: Record, identity: str | None) -> str | None:
    if identity is None:
        return None
    param = "invoice_settings[default_payment_method]"
    method = await payment_methods.usable_method(call, identity, param)
    if method.body["customer"] != customer.id:
        message = (
            f"The customer does not have a payment method with the ID {identity}. The payment method must be "
            "attached to the customer."
        )
        raise ApiError(400, message, code="resource_missing", param=param)
    return method.id
