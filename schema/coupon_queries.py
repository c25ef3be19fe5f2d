"""Reading coupons."""

from typing import Annotated

import strawberry

from models.catalog_lists import COUPONS
from models.coupons import coupon_of_code
from resolvers import owned
from schema.connections import After, Before, Connection, First, Last, span, whole
from schema.coupons import Coupon
from schema.fields import Info, argument


@strawberry.type(description="Coupons.")
class CouponQueries:
    @strawberry.field(description="One coupon; null if there is none. For staff and API keys.")
    async def coupon(self, info: Info, code: Annotated[str, argument("Its code.")]) -> Coupon | None:
        async with info.context.app.database.read() as session:
            row = await coupon_of_code(session, code)
        return Coupon.of(row) if row is not None else None

    @strawberry.field(description="The coupons, newest first. For staff and API keys.")
    async def coupons(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Coupon]:
        part = span(info, COUPONS, first=first, after=after, last=last, before=before)
        return await whole(owned.public(info.context, COUPONS), part, Coupon.of)
