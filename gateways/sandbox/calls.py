"""One call being carried out: what a handler gets in its hand.

Owns: reading objects by id with Stripe's "No such ..." answers, announcing events, and previous_attributes.
Does not own: transactions and idempotency (wire.py), queries (store.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from gateways.sandbox import shapes
from gateways.sandbox.errors import no_such
from gateways.sandbox.ids import Ids
from gateways.sandbox.parameter_kinds import refuse_both
from gateways.sandbox.store import Listing, Record, Unit

Body = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """An answer whose effects stay, whatever its status: a decline is one."""

    status: int
    body: Body


@dataclass
class Call:
    """`now` is the billing clock. Without `request_id` it is Stripe itself that acts (a challenge answered)."""

    unit: Unit
    ids: Ids
    now: datetime
    public_url: str
    params: Body = field(default_factory=dict)
    path: tuple[str, ...] = ()
    request_id: str | None = None
    idempotency_key: str | None = None
    publishable: bool = False
    events: list[Record] = field(default_factory=list)
    made: dict[str, Record] = field(default_factory=dict)

    @property
    def second(self) -> int:
        return int(self.now.timestamp())

    async def object(self, kind: str, identity: str, param: str, *, in_path: bool = False) -> Record:
        """The living object of this id, or the answer that there is none."""
        record = await self.unit.find(kind, identity)
        if record is None or record.deleted:
            raise no_such(kind, identity, param, in_path=in_path)
        return record

    async def addressed(self, kind: str, param: str = "id") -> Record:
        """The object that the request's address names first."""
        return await self.object(kind, self.path[0], param, in_path=True)

    def announce(self, kind: str, subject: Body, previous: Body | None = None) -> None:
        """Record an event; its object is the subject as it is now, never expanded."""
        request = {"id": self.request_id, "idempotency_key": self.idempotency_key if self.request_id else None}
        body = shapes.event(
            self.ids.new("event"), self.second, kind, snapshot(subject), previous=previous, request=request
        )
        self.events.append(self.unit.add("event", body))

    def announce_update(self, kind: str, record: Record, before: Body) -> None:
        """Save the record; announce what changed with its former values, or nothing when nothing did."""
        self.unit.change(record)
        if previous := _former(before, record.body):
            self.announce(kind, record.body, previous)

    def plan(self, duty: str, record: Record, seconds: int) -> None:
        """Let the sandbox act on `record` by itself, so many seconds of the billing clock from now."""
        self.unit.plan(duty, record.id, self.second + seconds)

    async def page(self, listing: Listing, url: str) -> Body:
        """A list answer, honouring limit and cursors."""
        params = self.params
        refuse_both(params, "starting_after", "ending_before")
        older = params.get("starting_after")
        cursor = older or params.get("ending_before")
        if cursor:
            if await self.unit.find(listing.kind, cursor) is None:
                name = "starting_after" if older else "ending_before"
                raise no_such(listing.kind, cursor, name, in_path=False)
            listing = Listing(**{**vars(listing), "cursor": (cursor, bool(older))})
        limit = params.get("limit", 10)
        listing = Listing(**{**vars(listing), "limit": limit, "created": params.get("created") or listing.created})
        records = await self.unit.find_all(listing)
        kept = records[:limit]
        if cursor and not older:
            kept.reverse()
        return {
            "object": "list",
            "data": [record.body for record in kept],
            "has_more": len(records) > limit,
            "url": url,
        }


def snapshot(body: Body) -> Body:
    """A copy that later changes do not reach."""
    return orjson.loads(orjson.dumps(body))


def _former(before: Mapping[str, Any], after: Mapping[str, Any]) -> Body:
    changed: Body = {}
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        both = isinstance(old, dict) and isinstance(new, dict)
        changed[name] = _former(old, new) if both else old  # pyright: ignore[reportArgumentType]
    return changed


def merge_metadata(body: Body, given: dict[str, str] | None) -> None:
    """Empty values remove their key; None, an empty whole, removes all."""
    if given is None:
        body["metadata"] = {}
        return
    merged = {**body["metadata"], **given}
    body["metadata"] = {name: value for name, value in merged.items() if value != ""}


def assign(body: Body, params: Body, *names: str) -> None:
    """Copy the parameters that were given onto the object's fields of the same name."""
    for name in names:
        if name in params:
            body[name] = params[name]
