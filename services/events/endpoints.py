"""Merchants' endpoints: made, changed, given another secret, withdrawn. All of it goes by the security clock."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.delivering import DeliveryStatus
from billing.errors import ErrorCode, UserProblem
from billing.events import EVERY, unknown_among
from gateways.outward import TargetRefused
from models.base import new_id
from models.endpoints import WebhookDelivery, WebhookEndpoint, locked_delivery, locked_endpoint, webhook_endpoints
from models.leases import release
from services.app import Actor, App
from services.changes import Why, remember
from services.events.endpoint_secrets import new_secret, seal
from services.problems import not_found, refuse_stale

MACHINE = "webhook_endpoint"
MOST_ENDPOINTS = 20
ROTATION = timedelta(hours=24)
"""How long the secret that was replaced still signs beside the new one."""


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """What is wished of an endpoint; None leaves it as it is, or as it is by itself: enabled, told of everything."""

    url: str | None = None
    event_types: Sequence[str] | None = None
    is_enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class IssuedSecret:
    """An endpoint with its new secret, which nobody can tell a second time."""

    row: WebhookEndpoint
    secret: str = field(repr=False)


async def create_endpoint(app: App, actor: Actor, wish: EndpointChange) -> IssuedSecret:
    """Raises UserProblem REQUIRED, INVALID, INVALID_STATE."""
    if wish.url is None:
        raise UserProblem(ErrorCode.REQUIRED, "Say where to send events: give an https address.", ["url"])
    await _check(app, wish)
    why = Why("createWebhookEndpoint", actor, app.machine_now())
    id, secret = new_id("webhook_endpoint"), new_secret()
    row = WebhookEndpoint(
        id=id,
        url=wish.url,
        event_types=_distinct(wish.event_types) if wish.event_types is not None else [EVERY],
        is_enabled=wish.is_enabled is not False,
        secret=seal(app, secret, id),
        created_by=str(actor),
        created_at=why.now,
        updated_at=why.now,
    )
    async with app.database.write() as session:
        if len(await webhook_endpoints(session)) >= MOST_ENDPOINTS:
            message = f"There are {MOST_ENDPOINTS} endpoints already: delete one first."
            raise UserProblem(ErrorCode.INVALID_STATE, message)
        session.add(row)
        remember(session, MACHINE, row.id, None, _standing(row), why)
    return IssuedSecret(row, secret)


async def update_endpoint(
    app: App, actor: Actor, endpoint_id: str, wish: EndpointChange, expected_version: int | None
) -> WebhookEndpoint:
    """Raises UserProblem NOT_FOUND, REQUIRED, INVALID, VERSION_CONFLICT."""
    await _check(app, wish)
    why = Why("updateWebhookEndpoint", actor, app.machine_now())
    async with app.database.write() as session:
        row = await _locked(session, endpoint_id, expected_version)
        before = (row.url, row.event_types, row.is_enabled)
        if wish.url is not None:
            row.url = wish.url
        if wish.event_types is not None:
            row.event_types = _distinct(wish.event_types)
        if wish.is_enabled is not None:
            enable(session, row, why, to=wish.is_enabled)
        if before != (row.url, row.event_types, row.is_enabled):
            row.touch(why.now)
        return row


async def rotate_secret(app: App, actor: Actor, endpoint_id: str) -> IssuedSecret:
    """A new secret; the one before signs beside it for a while, one before that no more. Raises NOT_FOUND."""
    why = Why("rotateWebhookSecret", actor, app.machine_now())
    secret = new_secret()
    async with app.database.write() as session:
        row = await _locked(session, endpoint_id)
        row.previous_secret, row.previous_until = row.secret, why.now + ROTATION
        row.secret = seal(app, secret, row.id)
        row.touch(why.now)
        remember(session, MACHINE, row.id, _standing(row), _standing(row), why)
    return IssuedSecret(row, secret)


async def delete_endpoint(app: App, actor: Actor, endpoint_id: str) -> WebhookEndpoint:
    """Nothing more is sent to it. Repeating it changes nothing. Raises NOT_FOUND."""
    why = Why("deleteWebhookEndpoint", actor, app.machine_now())
    async with app.database.write() as session:
        row = await locked_endpoint(session, endpoint_id)
        if row is None:
            raise not_found("webhook endpoint", "id")
        if row.archived_at is None:
            before, row.archived_at = _standing(row), why.now
            row.touch(why.now)
            remember(session, MACHINE, row.id, before, _standing(row), why)
        return row


async def redeliver(app: App, delivery_id: str) -> WebhookDelivery:
    """Send it again from the first try on. One that is due or under way stays as it is.

    Raises UserProblem NOT_FOUND, and INVALID_STATE when its endpoint takes nothing.
    """
    now = app.machine_now()
    async with app.database.write() as session:
        row = await locked_delivery(session, delivery_id)
        if row is None:
            raise not_found("delivery", "deliveryId")
        endpoint = await session.get_one(WebhookEndpoint, row.endpoint_id)
        if not endpoint.takes:
            message = f"Its endpoint is {_standing(endpoint)}, so nothing is sent to it. Enable it, or make another."
            raise UserProblem(ErrorCode.INVALID_STATE, message, ["deliveryId"])
        is_held = row.leased_until is not None and row.leased_until > now
        if not is_held and (row.due_at is None or row.due_at > now):
            row.status, row.http_status, row.error, row.tries = DeliveryStatus.PENDING, None, None, 0
            release(row, due_at=now)
        return row


def enable(session: AsyncSession, row: WebhookEndpoint, why: Why, *, to: bool) -> None:
    """Let it be told of events, or of none, in the caller's transaction."""
    if row.is_enabled is not to:
        before, row.is_enabled = _standing(row), to
        remember(session, MACHINE, row.id, before, _standing(row), why)


async def _locked(session: AsyncSession, endpoint_id: str, expected_version: int | None = None) -> WebhookEndpoint:
    row = await locked_endpoint(session, endpoint_id)
    if row is None or row.archived_at is not None:
        raise not_found("webhook endpoint", "id")
    refuse_stale(row.version, expected_version)
    return row


async def _check(app: App, wish: EndpointChange) -> None:
    """Before any transaction: the name of a host is looked up."""
    if wish.event_types is not None:
        if not wish.event_types:
            raise UserProblem(ErrorCode.REQUIRED, "Name types of events, or give * for all of them.", ["eventTypes"])
        refuse_unknown_types(wish.event_types, "eventTypes")
    if wish.url is not None:
        try:
            await app.messenger.check(wish.url)
        except TargetRefused as refused:
            raise UserProblem(ErrorCode.INVALID, str(refused), ["url"]) from None


def refuse_unknown_types(names: Sequence[str], field: str) -> None:
    """Raises INVALID for the first name that means no type of event."""
    unknown = unknown_among(names)
    if unknown:
        message = f"There is no event {unknown[0][:60]!r}. Name a type such as invoice.paid, all of one kind such as "
        raise UserProblem(ErrorCode.INVALID, f"{message}invoice.*, or * for all.", [field])


def _distinct(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _standing(row: WebhookEndpoint) -> str:
    if row.archived_at is not None:
        return "deleted"
    return "enabled" if row.is_enabled else "disabled"
