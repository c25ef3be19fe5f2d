"""One statement per edge and level, however long the list: each operation's statements, counted."""

import pytest

from tests.schema.rows import add_customer
from tests.support.house import House, counted

# Operation → the statements that it sends, the same for a list of one and of twenty.
OWN = "customer of the token"
OPERATIONS: dict[str, tuple[str, list[str]]] = {
    "server": ("{ serverInfo { now } gatewayConfig { publishableKey } viewer { role } }", []),
    "me": ("{ me { id name } }", [OWN]),
    "subscriptions": (
        "{ me { subscriptions(first: 20) { nodes { id status isActive amount { formatted } } } } }",
        [OWN, "page"],
    ),
    "total count": (
        "{ me { subscriptions(first: 20) { totalCount nodes { id } } } }",
        [OWN, "page", "count"],
    ),
    "what is subscribed to": (
        """{ me { subscriptions(first: 20) { nodes {
            plan { name product { name } role { code } price { amount { amount } } prices { currencyCode } }
            items { quantity plan { code } product { code } price { amount { amount } } }
        } } } }""",
        [OWN, "page", "plans", "products", "roles", "prices of plans", "items", "prices"],
    ),
    "how it is paid": (
        """{ me { subscriptions(first: 20) { nodes {
            customer { id } paymentMethod { isDefault card { last4 } } effectivePaymentMethod { id }
            paymentConfirmation nextAction { type }
            latestPayment { number gatewayPaymentId intent { status paymentMethod { id } } attempts { outcome } }
        } } } }""",
        [OWN, "page", "cards", "latest payments", "intents", "cards by reference", "attempts"],
    ),
    "what was billed": (
        """{ me { subscriptions(first: 20) { nodes {
            statusHistory { from to actor }
            invoices(first: 3) { totalCount nodes { number lines { plan { code } } payments { number } } }
            payments(first: 3) { totalCount nodes { number invoice { number } } }
        } } } }""",
        [
            OWN,
            "page",
            "history",
            "invoices",
            "counts of invoices",
            "lines",
            "plans",
            "payments of invoices",
            "payments",
            "counts of payments",
            "invoices of payments",
        ],
    ),
    "invoices": (
        """{ invoices(first: 20) { nodes {
            number customer { id } subscription { plan { code } } lines { amount { amount } }
        } } }""",
        [OWN, "page", "subscriptions", "plans", "lines"],
    ),
    "payments": (
        """{ payments(first: 20) { totalCount nodes {
            number paymentMethod { id } subscription { id } attempts { paymentMethod { id } error { code } }
        } } }""",
        [OWN, "page", "count", "cards", "subscriptions", "attempts"],
    ),
    "what went back": (
        """{ payments(first: 20) { nodes {
            status amountRefunded { amountMinor } invoice { amountRefunded { amountMinor } }
            refunds { status payment { id } } disputes { status payment { id } }
        } } }""",
        [OWN, "page", "invoices", "payments of invoices", "refunds", "disputes", "payments of both"],
    ),
    "what was taken back": (
        """{ invoices(first: 20) { nodes {
            creditNotes { number total { amountMinor } refund { id } } attemptCount nextPaymentAttemptAt
        } } }""",
        [OWN, "page", "notes", "refunds", "payments of invoices", "attempts"],
    ),
    "what happened": (
        """{ me { subscriptions(first: 20) { nodes {
            timeline(first: 3) { totalCount nodes { type actor details } }
            pricePaid { amountMinor } totalPaid { amountMinor } trial { end } scheduledChange { at }
        } } } }""",
        [OWN, "page", "events", "counts of events", "payments"],
    ),
    "what is taken off": (
        """{ me { balance { amountMinor } discounts { coupon { code } } subscriptions(first: 20) { nodes {
            discounts { coupon { code appliesTo { code } } end periodsLeft }
        } } } }""",
        [OWN, "balances", "live", "page", "discounts", "uses", "products"],
    ),
    "what is left of credits": (
        """{ me { creditBalances { unit } subscriptions(first: 20) { nodes {
            creditBalances { unit remaining entries(first: 2) { totalCount nodes { kind } } }
        } } } }""",
        [OWN, "page", "balances of the customer", "balances", "entries", "counts of entries"],
    ),
    "what was used": (
        """{ me { subscriptions(first: 20) { nodes {
            usage { feature { code } quantity amount { amountMinor } }
        } } } }""",
        [OWN, "page", "whether anything is metered"],
    ),
    "what it allows": (
        """{ me { entitlements { items { feature { code } } } role { code } subscriptions(first: 20) { nodes {
            entitlements { feature { code } limit used remaining }
        } } } }""",
        [OWN, "live", "page", "items", "plans", "entitlements of plans", "roles"],
    ),
    "paymentMethods": (
        "{ paymentMethods(first: 20) { nodes { isDefault customer { gatewayAccounts { customerId } } } } }",
        [OWN, "page", "accounts"],
    ),
    "plans": (
        """{ plans(first: 20, filter: {search: "plan-"}) { nodes {
            code product { code } role { id } usd: price { amount { amount } } eur: price(currencyCode: "EUR") { id }
        } } }""",
        ["page", "products", "roles", "prices"],
    ),
    "products": (
        "{ products(first: 20) { nodes { code plans(first: 2) { nodes { code } totalCount } } } }",
        ["page", "plans", "counts"],
    ),
    "mySubscription": ("{ mySubscription { id plan { code } } }", [OWN, "subscription", "plan"]),
}


@pytest.mark.parametrize("subscriptions", [1, 20])
async def test_the_number_of_statements_does_not_grow_with_the_list(house: House, subscriptions: int) -> None:
    await add_customer(house.app, "rows", subscriptions, coupons=True)
    found = {}
    for name, (operation, _) in OPERATIONS.items():
        async with counted(house.app) as statements:
            await house.ask(operation, user="rows")
        found[name] = len(statements)
    assert found == {name: len(expected) for name, (_, expected) in OPERATIONS.items()}


async def test_many_ids_of_one_type_are_looked_up_at_once(house: House) -> None:
    await add_customer(house.app, "rows", 5)
    listed = await house.ask("{ me { subscriptions { nodes { id } } } }", user="rows")
    ids = [node["id"] for node in listed["me"]["subscriptions"]["nodes"]]
    async with counted(house.app) as statements:
        found = await house.ask("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ids}, user="rows")
    assert [node["id"] for node in found["nodes"]] == ids
    assert len(statements) == 2  # the rows and the caller's customer


async def test_staff_counts_subscriptions_of_all_plans_at_once(house: House) -> None:
    await add_customer(house.app, "rows", 3)
    async with counted(house.app) as statements:
        data = await house.ask(
            '{ plans(filter: {search: "plan-rows"}) { nodes { code subscriptionsCount } } }', user="demo-admin"
        )
    assert data["plans"]["nodes"] == [{"code": f"plan-rows-{n}", "subscriptionsCount": 1} for n in range(3)]
    assert len(statements) == 2
