"""Comparing saved cards, for the customers of whom the gateway has news of cards.

News only say whom to look at; what differs is decided by the gateway's list of the customer's cards.
"""

from collections.abc import Mapping, Sequence

from billing.charging import IntentStatus
from billing.reconciling import DriftKind
from gateways.port import (
    CardNews,
    CustomerSnapshot,
    GatewayNotFound,
    GatewayPage,
    PaymentMethodSnapshot,
)
from models.customers import (
    Customer,
    GatewayAccount,
    PaymentMethod,
    customer_accounts,
    customer_of_account,
    live_payment_method,
    live_payment_methods,
    payment_methods_of,
    setup_intent_of,
)
from services.books.drift import Pass
from services.inbox.webhooks import follow_customer
from services.wallet.cards import follow_setup_intent, forget_card, keep_by_ref
from services.wallet.keeping import differs

_ENDED = (IntentStatus.SUCCEEDED, IntentStatus.CANCELED)


async def compare_cards(run: Pass) -> None:
    """Setup intents and cards that the gateway has news of. Raises what the gateway raises."""
    setups, owners = await _news(run)
    for ref in setups:
        await run.keep_on()
        await _compare_setup(run, ref)
    for account, customer in owners:
        await run.keep_on()
        await _compare_customer(run, account, customer)


async def _news(run: Pass) -> tuple[list[str], Sequence[tuple[GatewayAccount, Customer]]]:
    """Setup intents and known customers with news, each once."""
    platform = run.app.gateway.platform
    setups: dict[str, None] = {}
    owners: dict[str, tuple[GatewayAccount, Customer]] = {}

    async def ask(after: str | None) -> GatewayPage[CardNews]:
        return await run.app.gateway.list_card_news(created_since=run.since, after=after)

    async for page in run.pages(ask):
        setups.update((news.object_ref, None) for news in page.items if news.object_kind == "setup_intent")
        customers = {news.customer_ref for news in page.items if news.customer_ref is not None}
        orphans = {news.object_ref for news in page.items if news.customer_ref is None}
        async with run.app.database.read() as session:
            rows = await payment_methods_of(session, platform, sorted(orphans))
            known = await customer_accounts(session, platform, sorted(customers), [row.customer_id for row in rows])
        owners.update((account.id, (account, customer)) for account, customer in known)
    return list(setups), list(owners.values())


async def _compare_setup(run: Pass, ref: str) -> None:
    run.checked += 1
    async with run.app.database.read() as session:
        row = await setup_intent_of(session, ref)
    if row is not None and row.status in _ENDED:
        return
    seen = await run.app.gateway.retrieve_setup_intent(ref)
    async with run.app.database.read() as session:
        owner = seen.customer_ref and await customer_of_account(session, run.app.gateway.platform, seen.customer_ref)
    if not owner or (row is not None and row.status is seen.status):
        return
    if run.repair:
        await follow_setup_intent(run.app, seen)
    local = str(row.status) if row is not None else None
    run.note(DriftKind.SETUP_DIFFERS, ref, local=local, gateway=str(seen.status), repaired=run.repair)


async def _compare_customer(run: Pass, account: GatewayAccount, customer: Customer) -> None:
    run.checked += 1
    try:
        seen = await run.app.gateway.retrieve_customer(account.gateway_ref)
    except GatewayNotFound:
        seen = CustomerSnapshot(account.gateway_ref, is_deleted=True, default_payment_method_ref=None)
    if seen.is_deleted:
        if run.repair:
            await follow_customer(run.app, account.gateway_ref)
        run.note(
            DriftKind.CUSTOMER_DELETED, account.gateway_ref, local=customer.id, gateway="deleted", repaired=run.repair
        )
        return
    listed = await run.app.gateway.list_payment_methods(customer_ref=account.gateway_ref)
    there = {card.ref: card for card in listed}
    async with run.app.database.read() as session:
        rows = await payment_methods_of(session, run.app.gateway.platform, list(there))
        live = await live_payment_methods(session, customer.id)
    await _compare_listed(run, customer, there, {row.gateway_ref: row for row in rows})
    for row in live:
        if row.gateway_ref not in there:
            await _examine_unlisted(run, account, row)
    if seen.default_payment_method_ref in there:
        await _compare_default(run, account, there[seen.default_payment_method_ref])


async def _compare_listed(
    run: Pass, customer: Customer, there: Mapping[str, PaymentMethodSnapshot], here: Mapping[str, PaymentMethod]
) -> None:
    """Oldest first, so that a first card becomes the default as it would have."""
    for ref, card in reversed(list(there.items())):
        row = here.get(ref)
        kind = _difference(customer, row, card)
        if kind is None:
            continue
        repairs = run.repair and kind is not DriftKind.CARD_OF_ANOTHER
        if repairs:
            await keep_by_ref(run.app, customer.id, ref)
        run.note(kind, ref, local=_ours(row), gateway=f"{_words(card)} of {customer.id}", repaired=repairs)


def _difference(customer: Customer, row: PaymentMethod | None, card: PaymentMethodSnapshot) -> DriftKind | None:
    if row is not None and row.customer_id != customer.id:
        return DriftKind.CARD_OF_ANOTHER
    if row is None or row.archived_at is not None:
        return DriftKind.CARD_MISSING_HERE
    return DriftKind.CARD_DIFFERS if differs(row, card) else None


async def _examine_unlisted(run: Pass, account: GatewayAccount, row: PaymentMethod) -> None:
    """A card that was not in the list: detached, unless it was attached after that or the list is longer."""
    try:
        seen = await run.app.gateway.retrieve_payment_method(row.gateway_ref)
    except GatewayNotFound:
        seen = None
    if seen is not None and seen.customer_ref == account.gateway_ref:
        return
    if run.repair:
        await forget_card(run.app, row.gateway_ref)
    gateway = f"{_words(seen)} of nobody" if seen is not None else None
    run.note(DriftKind.CARD_MISSING_THERE, row.gateway_ref, local=_ours(row), gateway=gateway, repaired=run.repair)


async def _compare_default(run: Pass, account: GatewayAccount, chosen: PaymentMethodSnapshot) -> None:
    async with run.app.database.read() as session:
        customer = await session.get_one(Customer, account.customer_id)
        default = customer.default_payment_method_id
        row = await session.get(PaymentMethod, default) if default else None
        own = await live_payment_method(session, customer.id, id_or_ref=chosen.ref)
    if own is None or (row is not None and row.gateway_ref == chosen.ref):
        return
    if run.repair:
        await follow_customer(run.app, account.gateway_ref)
    run.note(DriftKind.DEFAULT_CARD_DIFFERS, chosen.ref, local=_ours(row), gateway=_words(chosen), repaired=run.repair)


def _ours(row: PaymentMethod | None) -> str | None:
    if row is None:
        return None
    return f"{row.id} of {row.customer_id}{', detached' if row.archived_at is not None else ''}"


def _words(card: PaymentMethodSnapshot) -> str:
    return f"{card.card.brand} {card.card.last4}" if card.card is not None else card.type
