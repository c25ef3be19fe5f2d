"""A customer of the shop: what its page asks of the API, and what its browser does at the gateway."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from gateways.sandbox import Fault
from tests.support.house import House
from tests.support.outside import Browser, faults_always

_DAY = timedelta(days=1)
SUBSCRIBE = """
mutation Subscribe($input: SubscribeInput!) {
  subscribe(input: $input) {
    subscription { id status isActive nextAction { type } }
    payment { id status intent { gatewayId } }
    paymentIntent { gatewayId status setupFutureUsage clientSecret }
    nextAction { type redirectUrl clientSecret }
    userErrors {
      code
      field
      ... on CardDeclinedError { declineCode isRetryable }
      ... on PaymentActionRequiredError { nextAction { type redirectUrl } }
    }
  }
}
"""

REFRESH = """
mutation Refresh($id: ID!) {
  refreshSubscriptionPayment(input: {subscriptionId: $id}) {
    success
    subscription { id status }
    payment { id status }
    nextAction { type redirectUrl clientSecret }
    userErrors { code }
  }
}
"""

CANCEL = """
mutation Cancel($input: CancelSubscriptionInput!) {
  cancelSubscription(input: $input) {
    subscription { id status isActive cancelAtPeriodEnd endsAt endedAt cancellation { reason comment requestedBy } }
    invoice { status }
    userErrors { code field }
  }
}
"""

ATTACH = """
mutation Attach($card: String!) {
  attachPaymentMethod(input: {paymentMethodId: $card}) {
    paymentMethod { id isDefault card { last4 } }
    userErrors { code ... on CardDeclinedError { declineCode } }
  }
}
"""


@dataclass(frozen=True)
class Channel:
    """How the gateway's news reach us: which webhook faults strike, and who asks when at the end."""

    name: str
    faults: Sequence[Fault] = ()
    hears_each_step: bool = False
    waits: timedelta = timedelta(0)
    refreshes: bool = False
    is_hard: bool = False


CHANNELS = (
    Channel("webhooks on", hears_each_step=True),
    Channel("webhooks twice", (Fault.WEBHOOKS_TWICE,), hears_each_step=True),
    Channel("webhooks twice, shuffled, at the end", (Fault.WEBHOOKS_TWICE, Fault.WEBHOOKS_SHUFFLED), is_hard=True),
    Channel("webhooks late", (Fault.WEBHOOKS_LATE,), waits=timedelta(seconds=30)),
    Channel("webhooks off, the page refreshes", (Fault.WEBHOOKS_OFF,), refreshes=True),
    Channel("webhooks off, the worker alone", (Fault.WEBHOOKS_OFF,), waits=timedelta(seconds=45), is_hard=True),
)


@dataclass
class Shopper:
    """`user` at the page and in the browser."""

    house: House
    user: str
    channel: Channel = CHANNELS[0]
    subscribed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.browser = Browser(self.house)
        faults_always(self.house, *self.channel.faults)

    async def subscribe(self, plan: str | None = "reader-pro", **more: Any) -> dict[str, Any]:
        wish: Mapping[str, Any] = {"planCode": plan, **more} if plan else more
        told = (await self.house.ask(SUBSCRIBE, {"input": dict(wish)}, self.user))["subscribe"]
        if told["subscription"] is not None and told["subscription"]["id"] not in self.subscribed:
            self.subscribed.append(told["subscription"]["id"])
        return told

    async def refresh(self) -> dict[str, Any]:
        return (await self.house.ask(REFRESH, {"id": self.subscribed[-1]}, self.user))["refreshSubscriptionPayment"]

    async def cancel(self, **more: Any) -> dict[str, Any]:
        wish = {"subscriptionId": self.subscribed[-1], **more}
        return (await self.house.ask(CANCEL, {"input": wish}, self.user))["cancelSubscription"]

    async def save_card(self, card: str) -> str:
        """Save a card that is attachable: its id."""
        told = (await self.house.ask(ATTACH, {"card": card}, self.user))["attachPaymentMethod"]
        assert told["userErrors"] == []
        return told["paymentMethod"]["id"]

    async def default_card(self) -> str:
        told = await self.house.ask("{ me { defaultPaymentMethod { id } } }", user=self.user)
        return told["me"]["defaultPaymentMethod"]["id"]

    async def ask(self, query: str, user: str | None = None, **wish: Any) -> dict[str, Any]:
        """A mutation about the newest subscription."""
        given = {"subscriptionId": self.subscribed[-1], **wish}
        (told,) = (await self.house.ask(query, {"input": given}, user or self.user)).values()
        return told

    async def pass_to(self, at: datetime) -> None:
        """Day by day, the worker running."""
        while self.house.clock.now() < at:
            self.house.pass_time(min(_DAY, at - self.house.clock.now()))
            await self.house.work()
        await self.house.deliver()

    async def hear(self) -> None:
        """A moment between two acts, in which webhooks come if they do."""
        if self.channel.hears_each_step:
            await self.house.deliver()

    async def come_to_rest(self) -> None:
        """Until the news of all acts have reached us in the channel's way."""
        if self.channel.refreshes:
            told = await self.refresh()
            assert told["userErrors"] in ([], [{"code": "CARD_DECLINED"}])
            return
        self.house.pass_time(self.channel.waits)
        await self.house.deliver()
