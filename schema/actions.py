"""What the customer is told to do, and why a card was refused."""

import strawberry

from billing.charging import CardProblem, is_retryable
from resolvers.access import require_secret_holder
from resolvers.standing import NextAction as NextActionFacts
from resolvers.standing import NextActionType
from schema.fields import Info, described
from schema.scalars import URL

OWNERS_ONLY = (
    "For the gateway's browser SDK. The owner's alone, and only in the answer to a mutation; null elsewhere. Ask "
    "`refreshSubscriptionPayment` for it again. An API key that acts for the customer has it in the answer to the "
    "mutation that began it."
)


@strawberry.type(description="Why a card was refused.")
class GatewayError:
    code: str = described("The gateway's code, such as card_declined.")
    decline_code: str | None = described("The issuer's reason, such as insufficient_funds.")
    message: str = described("For the customer to read.")
    is_retryable: bool = described("Whether the same card may be tried again as it is.")

    @classmethod
    def of(cls, problem: CardProblem | None) -> "GatewayError | None":
        if problem is None:
            return None
        return cls(
            code=problem.code,
            decline_code=problem.decline_code,
            message=problem.message,
            is_retryable=is_retryable(problem),
        )


@strawberry.type(description="What the customer must do next.")
class NextAction:
    type: NextActionType = described("Which kind of step.")
    redirect_url: URL | None = described("For REDIRECT: the page to visit.")
    return_url: URL | None = described("Where that page sends the customer afterwards.")
    error_url: URL | None = described(
        "Where the application sends the customer when that step has failed: the page itself returns to `returnUrl`, "
        "then with `redirect_status=failed`."
    )
    secret: strawberry.Private[str | None] = None
    customer_id: strawberry.Private[str | None] = None
    started: strawberry.Private[bool] = False

    @classmethod
    def of(
        cls,
        facts: NextActionFacts,
        *,
        secret: str | None = None,
        customer_id: str | None = None,
        started: bool = False,
    ) -> "NextAction":
        """`secret` belongs to `customer_id`; `started`: for what this very mutation has begun."""
        return cls(
            type=facts.type,
            redirect_url=_url(facts.redirect_url),
            return_url=_url(facts.return_url),
            error_url=_url(facts.error_url),
            secret=secret if facts.type is NextActionType.CONFIRM_WITH_SDK else None,
            customer_id=customer_id,
            started=started,
        )

    @strawberry.field(description=f"For CONFIRM_WITH_SDK. {OWNERS_ONLY}")
    async def client_secret(self, info: Info) -> str | None:
        if self.secret is not None and self.customer_id is not None:
            await require_secret_holder(info.context, self.customer_id, started=self.started)
        return self.secret


def _url(value: str | None) -> URL | None:
    return URL(value) if value is not None else None
