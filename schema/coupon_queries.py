"""Reading coupons."""

from typing import Annotated

import strawberry

from models.catalog_lists import COUPONS
from models.coupons import coupon_of_code
from resolvers import owned
from schema.connections import After, Before, Connection, First, Last, PageNumber, PageSize, span, whole
from schema.coupon_filters import CouponFilter
from schema.coupons import Coupon
from schema.fields import Info, argument


@strawberry.type(description="Coupons.")
class CouponQueries:
    @strawberry.field(description="One coupon; null if there is none. For staff and API keys.")
    async def coupon(self, info: Info, code: Annotated[str, argument("Its code.")]) -> Coupon | None:
        async with info.context.app.database.read() as session:
            row = await coupon_of_code(session, code)
        return Coupon.of(row) if row is not None else None

    @strawberry.field(description="The coupons, newest first; deleted ones only if asked for. For staff and API keys.")
    async def coupons(
        self,
        info: Info,
        filter: Annotated[CouponFilter | None, argument("Only those that match.")] = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        page: PageNumber = None,
        page_size: PageSize = None,
    ) -> Connection[Coupon]:
        part = span(info, COUPONS, first=first, after=after, last=last, before=before, page=page, page_size=page_size)
        where = (filter or CouponFilter()).where(info)
        return await whole(owned.public(info.context, COUPONS, where), part, Coupon.of)
