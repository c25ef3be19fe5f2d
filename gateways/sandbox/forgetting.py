"""Forgetting a person: what a deleted customer leaves behind no longer tells who it was.

Owns: which fields of which objects are a person's. Does not own: when (customers.py). Amounts and ids stay.
"""

from typing import Any

import orjson

from gateways.sandbox.calls import Body, Call
from gateways.sandbox.store import Listing, Record

_PERSONAL = frozenset(
    ("address", "business_name", "email", "individual_name", "name", "phone", "receipt_email", "shipping", "tax_id")
)
_KEPT_BESIDE = ("payment_intent", "charge", "setup_intent")
_MOST = 1_000_000


async def forget_person(call: Call, customer: Record) -> None:
    """Blank the customer, its cards (detached ones too), what was charged, the events of all and repeated answers."""
    told = await call.unit.mentioning("event", customer.id)
    cards = {event.body["data"]["object"]["id"] for event in told if _is_card(event.body["data"]["object"])}
    kept = [
        record
        for kind in (*_KEPT_BESIDE, "payment_method")
        for record in await call.unit.find_all(Listing(kind, limit=_MOST, customer=customer.id))
    ]
    cards |= {record.id for record in kept if record.kind == "payment_method"}
    known = [await call.unit.find("payment_method", card) for card in sorted(cards)]
    events = [event for card in sorted(cards) for event in await call.unit.mentioning("event", card)]
    for record in (customer, *kept, *filter(None, known), *told, *events):
        _blank(record.body)
        call.unit.change(record)
    for identity in (customer.id, *sorted(cards)):
        await call.unit.rewrite_answers(identity, _blanked_answer)


def _is_card(body: Body) -> bool:
    return body["object"] == "payment_method"


def _blanked_answer(answer: str) -> str:
    body = orjson.loads(answer)
    _blank(body)
    return orjson.dumps(body).decode()


def _blank(value: Any) -> None:
    """In place, however deep it stands."""
    if isinstance(value, list):
        for each in value:
            _blank(each)
    if not isinstance(value, dict):
        return
    if value.get("object") == "customer":
        value |= {"description": None, "metadata": {}}
    for name, within in value.items():
        if name not in _PERSONAL:
            _blank(within)
        elif name == "address" and isinstance(within, dict):
            value[name] = dict.fromkeys(within)
        else:
            value[name] = None
