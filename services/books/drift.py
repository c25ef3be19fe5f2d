"""One reconcile pass under way: what it may do, what it has looked at and what it has found."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import structlog

from billing.errors import ErrorCode, UserProblem
from billing.lifecycle import IllegalTransition
from billing.reconciling import DriftKind
from gateways.port import GatewayPage, GatewayRefused, PaymentIntentSnapshot
from services.app import App
from services.changes import Why
from services.payments.settling import AmountMismatch, Holder, settle

log = structlog.get_logger(__name__)

T = TypeVar("T")

MAX_PAGES = 1000
"""Of a gateway's list: a hundred thousand entries."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference, each side in words."""

    kind: DriftKind
    gateway_ref: str
    payment_id: str | None
    local: str | None
    gateway: str | None
    repaired: bool


@dataclass
class Pass:
    """Everything created since `since` is looked at, and everything that has not ended.

    `repair`: apply what the gateway says where that is certain. `keep_on` is called between pages and raises LeaseLost
    when another worker has taken over.
    """

    app: App
    why: Why
    since: datetime
    repair: bool
    keep_on: Callable[[], Awaitable[None]]
    checked: int = 0
    found: list[Drift] = field(default_factory=list)

    def note(
        self,
        kind: DriftKind,
        gateway_ref: str,
        *,
        payment_id: str | None = None,
        local: str | None,
        gateway: str | None,
        repaired: bool,
    ) -> None:
        self.found.append(Drift(kind, gateway_ref, payment_id, local, gateway, repaired))

    async def settle(self, snapshot: PaymentIntentSnapshot, holder: Holder | None = None) -> bool:
        """Settle by the gateway's state; one payment's trouble must not keep the others waiting."""
        try:
            return await settle(self.app, snapshot, cause=self.why.cause, actor=self.why.actor, holder=holder)
        except (GatewayRefused, AmountMismatch, IllegalTransition, LookupError):
            log.exception("reconcile_failed", intent=snapshot.ref)
            return False

    async def pages(self, ask: Callable[[str | None], Awaitable[GatewayPage[T]]]) -> AsyncIterator[GatewayPage[T]]:
        """The pages of a gateway's list. Raises UserProblem INVALID beyond MAX_PAGES, and what the gateway raises."""
        after: str | None = None
        for _ in range(MAX_PAGES):
            await self.keep_on()
            page = await ask(after)
            yield page
            after = page.next_after
            if after is None:
                return
        raise UserProblem(
            ErrorCode.INVALID, "There is too much to compare since then: name a later instant.", ["since"]
        )
