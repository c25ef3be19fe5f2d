"""Following the coupons and promotion codes of the gateway's dashboard. Nothing of ours is ever written there.

What arrives, in whatever order, only says where to look: what the gateway shows now is what counts. A row that was
changed while the gateway was asked is looked at again, so that an older answer never covers a newer one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.couponing import LONGEST_CODE, LONGEST_FOLDED, folded
from billing.dashboard_coupons import (
    DEFAULT_INTERVAL,
    CodeTerms,
    DashboardCode,
    DashboardCoupon,
    TakesOff,
    coupon_difference,
    periods_of,
)
from billing.errors import ErrorCode, UserProblem
from billing.money import CURRENCIES, Money
from billing.offering import check_code
from billing.reconciling import DriftKind
from gateways.port import GatewayNotFound, GatewayRefused, GatewayUnavailable
from models.base import new_id
from models.coupons import (
    Coupon,
    PromotionCode,
    coupon_of_code,
    coupons_of_codes,
    coupons_on,
    promotion_of_code,
    promotion_of_gateway,
    promotions_of_gateway,
)
from models.database import is_unique_violation
from services.app import Actor, App
from services.books.drift import Drift, Pass
from services.changes import Why
from services.problems import gateway_unavailable
from services.selling.couponing import product_ids_of
from services.shielding import within_budget

_REPAIRED = (DriftKind.COUPON_MISSING_HERE, DriftKind.COUPON_MISSING_THERE, DriftKind.COUPON_DIFFERS)


@dataclass(frozen=True, slots=True)
class Followed:
    """What differed of one coupon or code, each side in words; `repaired`: whether both agree now."""

    kind: DriftKind
    local: str | None
    gateway: str | None
    repaired: bool


@dataclass(frozen=True, slots=True)
class Synced:
    """What a look at the whole dashboard came to. `is_finished`: whether it got to the end within the request."""

    imported: Sequence[Coupon]
    updated: Sequence[Coupon]
    drift: Sequence[Drift]
    is_finished: bool


class _Changed(Exception):
    """Somebody wrote the row while the gateway was asked."""


async def sync_coupons(app: App, actor: Actor) -> Synced:
    """Look at every coupon and code of the dashboard. Each is committed by itself: repeating it goes on.

    Raises UserProblem GATEWAY_UNAVAILABLE.
    """
    run = Pass(app, Why("syncCoupons", actor, app.now()), app.now(), repair=True, keep_on=_alone)
    is_finished = True
    try:
        await within_budget(app, compare_coupons(run))
    except (GatewayUnavailable, GatewayRefused):
        raise gateway_unavailable() from None
    except UserProblem as problem:
        if problem.code is not ErrorCode.PAYMENT_OUTCOME_UNKNOWN:
            raise
        is_finished = False
    found = list(run.found)
    of_coupons = {drift.gateway_ref: drift.kind for drift in found if drift.repaired and drift.kind in _REPAIRED}
    async with app.database.read() as session:
        rows = await coupons_of_codes(session, list(of_coupons))
    touched = [(kind, rows[code]) for code, kind in of_coupons.items() if code in rows]
    return Synced(
        imported=[row for kind, row in touched if kind is DriftKind.COUPON_MISSING_HERE],
        updated=[row for kind, row in touched if kind is not DriftKind.COUPON_MISSING_HERE],
        drift=[drift for drift in found if not drift.repaired],
        is_finished=is_finished,
    )


async def compare_coupons(run: Pass) -> None:
    """All coupons of the dashboard, then all its codes. Raises what the gateway raises."""
    gateway = run.app.gateway
    listed: set[str] = set()
    async for page in run.pages(lambda after: gateway.list_coupons(after=after)):
        run.checked += len(page.items)
        listed.update(there.code for there in page.items)
        async with run.app.database.read() as session:
            here = await coupons_of_codes(session, [there.code for there in page.items])
        for there in page.items:
            row = here.get(there.code)
            if coupon_difference(row.held(gateway.platform) if row is not None else None, there) is not None:
                await _note(run, there.code, await _repaired_coupon(run, there.code))
    async with run.app.database.read() as session:
        unlisted = [code for code in await coupons_on(session, gateway.platform) if code not in listed]
    for code in unlisted:
        await _note(run, code, await _repaired_coupon(run, code))
    async for page in run.pages(lambda after: gateway.list_promotion_codes(after=after)):
        run.checked += len(page.items)
        async with run.app.database.read() as session:
            known = await promotions_of_gateway(session, gateway.platform, [there.ref for there in page.items])
        for code in page.items:
            held = known.get(code.ref)
            if held is None or held.terms != code.terms:
                await run.keep_on()
                await _note(run, code.ref, await follow_promotion_code(run.app, code.ref, repair=run.repair))


async def _repaired_coupon(run: Pass, code: str) -> Followed | None:
    await run.keep_on()
    return await follow_coupon(run.app, code, repair=run.repair)


async def _note(run: Pass, reference: str, followed: Followed | None) -> None:
    if followed is not None:
        run.note(followed.kind, reference, local=followed.local, gateway=followed.gateway, repaired=followed.repaired)


async def follow_coupon(app: App, code: str, *, repair: bool = True) -> Followed | None:
    """Make our coupon what the dashboard says of the one with this code; None when they agree."""
    while True:
        async with app.database.read() as session:
            known = await coupon_of_code(session, code)
        try:
            there = await app.gateway.retrieve_coupon(code)
        except GatewayNotFound:
            there = None
        try:
            async with app.database.write() as session:
                row = await coupon_of_code(session, code, lock=True)
                if _version(row) != _version(known):
                    raise _Changed
                return await _follow_coupon(app, session, row, there, repair=repair)
        except _Changed:
            continue
        except IntegrityError as error:
            if not is_unique_violation(error):
                raise


async def _follow_coupon(
    app: App, session: AsyncSession, row: Coupon | None, there: DashboardCoupon | None, *, repair: bool
) -> Followed | None:
    held = row.held(app.gateway.platform) if row is not None else None
    kind = coupon_difference(held, there)
    if kind is None:
        return None
    local = _words(held.name, held.takes_off, is_gone=held.is_gone) if held is not None else None
    gateway = _words(there.name, there.takes_off) if there is not None else None
    unknown = there.takes_off.amounts_off.keys() - CURRENCIES if there is not None else ()
    if unknown:
        reason = f"It takes off {', '.join(sorted(unknown))}, which nothing is charged in."
        return Followed(DriftKind.COUPON_NOT_HELD, reason, gateway, repaired=False)
    if row is None and there is not None:
        try:
            await _product_ids(session, there)
        except UserProblem as problem:
            return Followed(DriftKind.COUPON_NOT_HELD, problem.message, gateway, repaired=False)
    if repair:
        await _repair_coupon(app, session, kind, row, there)
    return Followed(kind, local, gateway, repaired=repair and kind in _REPAIRED)


async def _repair_coupon(
    app: App, session: AsyncSession, kind: DriftKind, row: Coupon | None, there: DashboardCoupon | None
) -> None:
    now = app.now()
    if row is None:
        if there is not None:
            session.add(await _taken_over(app, session, there))
    elif kind in (DriftKind.COUPON_MISSING_THERE, DriftKind.COUPON_REMADE):
        if row.gone_at is None:
            row.gone_at = now
            row.touch(now)
    elif kind is DriftKind.COUPON_DIFFERS and there is not None:
        _copy(row, there)
        row.gone_at = None
        row.touch(now)


async def _taken_over(app: App, session: AsyncSession, there: DashboardCoupon) -> Coupon:
    now = app.now()
    row = Coupon(
        id=new_id("coupon"),
        code=there.code,
        duration=there.takes_off.duration,
        interval=DEFAULT_INTERVAL,
        product_ids=await _product_ids(session, there),
        max_redemptions=there.max_redemptions,
        expires_at=there.expires_at,
        platform=app.gateway.platform,
        gateway_ref=there.code,
        created_at=now,
        updated_at=now,
        meta=dict(there.metadata),
    )
    _copy(row, there)
    return row


def _copy(row: Coupon, there: DashboardCoupon) -> None:
    """What the dashboard owns."""
    takes_off = there.takes_off
    row.name, row.percent_off, row.amounts_off = there.name, takes_off.percent_off, dict(takes_off.amounts_off)
    row.duration, row.duration_in_months = takes_off.duration, takes_off.duration_in_months
    if not row.times_redeemed:
        row.duration_in_periods = periods_of(takes_off.duration_in_months, row.interval)


async def _product_ids(session: AsyncSession, there: DashboardCoupon) -> list[str] | None:
    """Raises UserProblem INVALID where the coupon cannot be held here: by its code, or for products unknown here."""
    check_code(there.code, "code")
    return await product_ids_of(session, there.product_codes)


async def follow_promotion_code(app: App, reference: str, *, repair: bool = True) -> Followed | None:
    """Make our promotion code, and before it its coupon, what the dashboard says; None when they agree."""
    while True:
        async with app.database.read() as session:
            known = await promotion_of_gateway(session, app.gateway.platform, reference)
        there = await app.gateway.retrieve_promotion_code(reference)
        await follow_coupon(app, there.coupon_code, repair=repair)
        try:
            async with app.database.write() as session:
                coupon = await coupon_of_code(session, there.coupon_code, lock=True)
                row = await promotion_of_gateway(session, app.gateway.platform, reference)
                if _version(row) != _version(known):
                    raise _Changed
                return await _follow_promotion_code(app, session, coupon, row, there, repair=repair)
        except _Changed:
            continue
        except IntegrityError as error:
            if not is_unique_violation(error):
                raise


async def _follow_promotion_code(
    app: App,
    session: AsyncSession,
    coupon: Coupon | None,
    row: PromotionCode | None,
    there: DashboardCode,
    *,
    repair: bool,
) -> Followed | None:
    """A code whose coupon was deleted here stays ended."""
    if coupon is not None and coupon.archived_at is not None:
        there = replace(there, terms=replace(there.terms, is_active=False))
    if row is not None and row.terms == there.terms:
        return None
    gateway = f"{there.code} for {there.coupon_code}, {_words_of_terms(there.terms)}"
    reason = await _why_not_held(app, session, coupon, row, there)
    if reason is not None:
        return Followed(DriftKind.PROMOTION_CODE_NOT_HELD, reason, gateway, repaired=False)
    local, now = _words_of_terms(row.terms) if row is not None else None, app.now()
    if repair and coupon is not None:
        if row is None:
            row = PromotionCode(
                id=new_id("promotion_code"),
                coupon_id=coupon.id,
                code=there.code,
                folded=folded(there.code),
                platform=app.gateway.platform,
                gateway_ref=there.ref,
                created_at=now,
                updated_at=now,
            )
            session.add(row)
        else:
            row.touch(now)
        terms = there.terms
        row.is_active, row.max_redemptions = terms.is_active, terms.max_redemptions
        row.expires_at, row.first_purchase_only = terms.expires_at, terms.first_purchase_only
    return Followed(DriftKind.PROMOTION_CODE_DIFFERS, local, gateway, repaired=repair)


async def _why_not_held(
    app: App, session: AsyncSession, coupon: Coupon | None, row: PromotionCode | None, there: DashboardCode
) -> str | None:
    """Why a code cannot be what it is on the dashboard; None: it can."""
    if coupon is None or coupon.platform != app.gateway.platform:
        return "Its coupon is not taken over from the dashboard."
    if there.is_restricted:
        return "It is for one customer, or from an amount on; taken over it would be for everybody."
    word = folded(there.code)
    if len(word) > LONGEST_FOLDED or len(there.code) > LONGEST_CODE:
        return f"It is longer than {LONGEST_CODE} characters."
    rival = await promotion_of_code(session, word) if there.terms.is_active else None
    if rival is not None and rival[0].is_active and (row is None or rival[0].id != row.id):
        return f"The word stands for the coupon {rival[1].code} already."
    return None


def _version(row: Coupon | PromotionCode | None) -> int | None:
    return row.version if row is not None else None


def _words(name: str | None, takes_off: TakesOff, *, is_gone: bool = False) -> str:
    amounts = (
        str(Money(minor, currency)) if currency in CURRENCIES else f"{currency} {minor} (minor units)"
        for currency, minor in sorted(takes_off.amounts_off.items())
    )
    off = f"{takes_off.percent_off} %" if takes_off.percent_off is not None else ", ".join(amounts)
    return f"{name or 'unnamed'}: {off} off, {takes_off.duration}{', gone' if is_gone else ''}"


def _words_of_terms(terms: CodeTerms) -> str:
    return "active" if terms.is_active else "ended"


async def _alone() -> None:
    """Nobody else takes over what an administrator asked for."""
