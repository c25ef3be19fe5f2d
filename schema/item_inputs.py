"""What is subscribed to, item by item."""

import strawberry

from billing.errors import ErrorCode, UserProblem
from schema.fields import optional
from schema.money import MoneyInput
from services.subscriptions.ordering import WishedItem

MOST = 10_000


@strawberry.input(
    description="One thing to subscribe to. Name its plan by `planId`, by `planCode`, or by `productCode` with the "
    "subscription's `interval`."
)
class SubscribeItemInput:
    plan_id: strawberry.ID | None = optional("The plan, by id.")
    plan_code: str | None = optional("The plan, by code.")
    product_code: str | None = optional("The product, by code; its plan is found by interval and currency.")
    quantity: int = strawberry.field(description="How many, 1 to 10000.", default=1)
    unit_amount: MoneyInput | None = optional(
        "The price of one instead of the plan's. Staff and API keys only: a price from a browser is never trusted."
    )

    def wish(self) -> WishedItem:
        if not 1 <= self.quantity <= MOST:
            raise UserProblem(ErrorCode.INVALID, f"items: give a quantity of 1 to {MOST}.", ["items"])
        return WishedItem(
            plan_id=self.plan_id,
            plan_code=self.plan_code,
            product_code=self.product_code,
            quantity=self.quantity,
            unit_amount=None if self.unit_amount is None else self.unit_amount.value("items"),
        )
