"""What a resolver works with: the application, the caller and the request's loaders."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from models.audit_log import Author
from models.customers import Customer
from rates import Allowance
from resolvers.access import is_staff, reads_all
from resolvers.document_links import DocumentKind, DocumentLinks
from resolvers.entitlement_tokens import EntitlementKeys
from resolvers.identity import Identity, Role
from resolvers.loaders import Loaders
from services.app import Actor, ActorKind, App
from services.policies import grace_in_force
from settings import Settings

_KINDS = {
    Role.CUSTOMER: ActorKind.CUSTOMER,
    Role.SUPPORT: ActorKind.SUPPORT,
    Role.ADMIN: ActorKind.ADMIN,
    Role.SERVICE: ActorKind.SERVICE,
}


@dataclass(slots=True)
class RequestContext:
    """One request's surroundings. `request_id` is the one that logs and masked errors name.

    `document_links` None: this server makes no documents. `cost` is the operation's, noted when it was found allowed.
    """

    app: App
    identity: Identity
    loaders: Loaders
    settings: Settings
    entitlement_keys: EntitlementKeys
    document_links: DocumentLinks | None
    request_id: str
    allowance: Allowance
    cost: int = field(default=0, init=False)
    _results: int = field(default=0, init=False)
    _now: datetime | None = field(default=None, init=False)
    _grace: timedelta | None = field(default=None, init=False)

    @property
    def now(self) -> datetime:
        """The billing instant by which this request is answered, the same for all its fields."""
        if self._now is None:
            self._now = self.app.now()
        return self._now

    async def present_of(self, test_clock_id: str | None) -> datetime:
        """The present of a customer on that test clock; of all others, `now`."""
        if test_clock_id is None:
            return self.now
        clock = await self.loaders.test_clock.load(test_clock_id)
        return clock.now if clock is not None else self.now

    async def grace(self) -> timedelta:
        """How long PAST_DUE keeps access, the same for all of this request's fields."""
        if self._grace is None:
            async with self.app.database.read() as session:
                self._grace = await grace_in_force(session, self.app)
        return self._grace

    @property
    def actor(self) -> Actor:
        """The caller as the cause of a step; only for fields that nobody is kept from (KeyError for PUBLIC)."""
        who = self.identity
        return Actor(
            _KINDS[who.role],
            who.user_id,
            email=who.email,
            name=who.name,
            api_key_id=who.api_key_id,
            scopes=who.scopes,
        )

    def author(self, action: str) -> Author:
        """The caller as the audit log names it, carrying out `action` from now on."""
        who = self.identity
        return Author(
            actor=who.user_id or who.api_key_id or "",
            role=who.role.value,
            action=action,
            request_id=self.request_id or None,
            at=self.app.machine_now(),
        )

    @property
    def is_staff(self) -> bool:
        return is_staff(self.identity)

    def told_actor(self, full_actor: str) -> str:
        """An actor's role; which user or key it was only staff learns, and whoever it was."""
        kind, _, user_id = full_actor.partition(":")
        return full_actor if self.is_staff or user_id == self.identity.user_id else kind

    @property
    def reads_all(self) -> bool:
        """Whether every customer's rows may be shown, and lists of them all."""
        return reads_all(self.identity)

    def document_url(self, kind: DocumentKind, document_id: str) -> str | None:
        """A link to a document that the caller may see; None where none are made."""
        if self.document_links is None:
            return None
        return self.document_links.url(kind, document_id, self.app.machine_now())

    async def own_customer(self) -> Customer | None:
        """The caller's own customer; None before the first mutation of that user, and for nobody."""
        if self.identity.user_id is None:
            return None
        own = await self.loaders.customer_of_user.load(self.identity.user_id)
        if own is not None:
            self.loaders.customer.prime(own.id, own)
        return own

    async def owns(self, customer_id: str) -> bool:
        own = await self.own_customer()
        return own is not None and own.id == customer_id

    async def may_see(self, customer_id: str) -> bool:
        """Whether a row of that customer may be shown: to its owner and to those who read all."""
        return self.reads_all or await self.owns(customer_id)

    async def pay_for_a_result(self) -> None:
        """A live operation's first result was paid for with it. Each other one costs as much, and waits for it."""
        self._results += 1
        if self._results > 1:
            await self.allowance.draw(self.cost)

    def forget(self) -> None:
        """Read everything anew from here on: a step has changed rows."""
        self.loaders = self.loaders.fresh()
        self._now = self._grace = None
