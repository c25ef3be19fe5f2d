"""Links to a page of ours, on which a customer subscribes."""

from datetime import datetime
from typing import Annotated

import strawberry

from billing.errors import UserProblem
from schema.fields import Info, described
from schema.inputs import SubscribeInput
from schema.scalars import URL
from schema.steps import INPUT
from schema.user_errors import UserError, refusals
from services.checkout import create_checkout_link


@strawberry.type(description="The answer to `createCheckoutLink`.")
class CheckoutLinkPayload:
    url: URL | None = described("The page's address; null when refused. Whoever has it may open the page.")
    expires_at: datetime | None = described("How long it holds: 24 hours.")
    user_errors: list[UserError] = described("What stood in the way; empty when all went well.")


@strawberry.type(description="Checkout links.")
class CheckoutMutations:
    @strawberry.mutation(
        description="A link to a page of this server, on which the customer sees what this input costs, types a card "
        "and subscribes, once. Checked as `previewSubscribe` does; nothing is written before the page is used. In the "
        "end it leads to `returnUrl`, or to `errorUrl` who gives up."
    )
    async def create_checkout_link(self, info: Info, input: Annotated[SubscribeInput, INPUT]) -> CheckoutLinkPayload:
        context = info.context
        try:
            link = await create_checkout_link(context.app, context.actor, input.wish())
        except UserProblem as problem:
            return CheckoutLinkPayload(url=None, expires_at=None, user_errors=refusals([problem]))
        url = f"{context.settings.public_address}/checkout/{link.token}"
        return CheckoutLinkPayload(url=URL(url), expires_at=link.expires_at, user_errors=[])
