"""Stories with coupons: what the merchant and the customers ask of the API."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.scenarios.merchant import ADMIN, Merchant, do, done
from tests.support.house import House

SHOWN = """id status amount { amountMinor } originalAmount { amountMinor } discountAmount { amountMinor }
  nextAction { type }
  discounts { coupon { code } promotionCode { code } end percentOff amountOff { amountMinor } periodsLeft }
  invoices(first: 20) { nodes { status reason subtotal { amountMinor } discountTotal { amountMinor }
    total { amountMinor } creditApplied { amountMinor } payments { status amount { amountMinor } }
    lines { kind description amount { amountMinor } discount { amountMinor } } } }"""
MINE = f"{{ mySubscription {{ {SHOWN} }} }}"
COUPON = """query ($code: String!) { coupon(code: $code) { status timesRedeemed
  promotionCodes { code timesRedeemed } } }"""
USER = "demo-card"
A_MONTH = timedelta(days=31)


@dataclass
class Story:
    """`user` has a card and is at the page; the merchant sells coffee at USD 10.00 or EUR 9.00 a month."""

    house: House
    user: str = USER
    subscribed: list[str] = field(default_factory=list)

    async def begin(self) -> "Story":
        prices = [{"currencyCode": "USD", "amount": "10.00"}, {"currencyCode": "EUR", "amount": "9.00"}]
        await Merchant(self.house).plan("coffee", "10.00", prices=prices)
        return self

    async def coupon(self, code: str, **terms: Any) -> str:
        told = await done(self.house, "createCoupon", "CouponInput", {"code": code, **terms}, "coupon { id code }")
        return told["coupon"]["code"]

    async def promote(self, coupon: str, code: str, **more: Any) -> None:
        given = {"couponCode": coupon, "code": code, **more}
        await done(self.house, "createPromotionCode", "CreatePromotionCodeInput", given, "promotionCode { id }")

    async def subscribe(self, *, user: str | None = None, card: bool = True, **wish: Any) -> dict[str, Any]:
        given = {**({} if "items" in wish else {"planCode": "coffee"}), **wish}
        if card:
            given["paymentMethodId"] = await self.card(user or self.user)
        return await do(
            self.house,
            "subscribe",
            "SubscribeInput",
            given,
            f"subscription {{ {SHOWN} }} payment {{ id status }}",
            user=user or self.user,
        )

    async def buy(self, **wish: Any) -> dict[str, Any]:
        """Subscribed, and active at once."""
        told = await self.subscribe(**wish)
        assert told["userErrors"] == []
        assert told["subscription"]["status"] == "ACTIVE"
        self.subscribed.append(told["subscription"]["id"])
        return told["subscription"]

    async def card(self, user: str) -> str:
        told = await self.house.ask("{ me { defaultPaymentMethod { id } } }", user=user)
        return told["me"]["defaultPaymentMethod"]["id"]

    async def pay_by(self, card: str) -> None:
        """From now on."""
        given = {"paymentMethodId": card, "makeDefault": True}
        asked = "paymentMethod { id }"
        await done(self.house, "attachPaymentMethod", "AttachPaymentMethodInput", given, asked, user=self.user)

    async def apply(self, *, user: str | None = None, **wish: Any) -> dict[str, Any]:
        given = {"subscriptionId": self.subscribed[-1], **wish}
        asked = f"subscription {{ {SHOWN} }}"
        return await do(self.house, "applyCoupon", "ApplyCouponInput", given, asked, user=user or self.user)

    async def remove(self, code: str) -> dict[str, Any]:
        given = {"subscriptionId": self.subscribed[-1], "couponCode": code}
        return await do(self.house, "removeCoupon", "RemoveCouponInput", given, f"subscription {{ {SHOWN} }}")

    async def mine(self, user: str | None = None) -> dict[str, Any]:
        return (await self.house.ask(MINE, user=user or self.user))["mySubscription"]

    async def months(self, count: int) -> list[int]:
        """So many renewals later: what all invoices came to, oldest first."""
        for _ in range(count):
            self.house.pass_time(A_MONTH)
            await self.house.work()
        await self.house.deliver()
        return totals(await self.mine())

    async def standing(self, code: str) -> tuple[str, int]:
        """How a coupon stands and how often it has been redeemed."""
        found = (await self.house.ask(COUPON, {"code": code}, ADMIN))["coupon"]
        return found["status"], found["timesRedeemed"]


def totals(subscription: dict[str, Any]) -> list[int]:
    return [each["total"]["amountMinor"] for each in reversed(subscription["invoices"]["nodes"])]


def newest(subscription: dict[str, Any]) -> dict[str, Any]:
    return subscription["invoices"]["nodes"][0]


def codes(told: dict[str, Any]) -> list[str]:
    return [error["code"] for error in told["userErrors"]]


def price(subscription: dict[str, Any]) -> tuple[int, int, int]:
    """amount, originalAmount, discountAmount."""
    return tuple(subscription[name]["amountMinor"] for name in ("amount", "originalAmount", "discountAmount"))


def on_it(subscription: dict[str, Any]) -> list[tuple[str, int | None]]:
    """The coupons on it, and for how many periods more."""
    return [(each["coupon"]["code"], each["periodsLeft"]) for each in subscription["discounts"]]
