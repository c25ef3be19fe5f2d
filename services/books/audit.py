"""Proof that the books are right: our own among themselves, and against the gateway's to the cent.

Nothing is changed. A payment or refund whose answer is still awaited is no finding; it is told as not yet known.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from billing.charging import IntentStatus
from billing.lifecycle import PAYMENT, RefundStatus
from billing.money import Money
from gateways.port import (
    ChargeSnapshot,
    DisputeSnapshot,
    GatewayNotFound,
    GatewayPage,
    PaymentIntentSnapshot,
    RefundSnapshot,
)
from models.books import Collection, collections_of, paid_periods, succeeded_refs
from models.ledger import captured_of
from models.returns import Refund, disputes_by_ref, refunds_by_ref
from services.app import App
from services.books.own_books import DOUBLE_CHARGES, Finding, FindingKind, audit_own_books

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Audit:
    """What is wrong, and what cannot be judged yet, a sentence each."""

    findings: Sequence[Finding] = ()
    not_yet_known: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class DoubleChargeProof:
    """How many periods have been paid, and of how many invoices and periods more than once. Billing time."""

    checked_periods: int
    violations: int
    checked_at: datetime


async def audit(app: App) -> Audit:
    """Both proofs together. Raises GatewayUnavailable and GatewayRefused when the gateway's books cannot be read."""
    own = await audit_own_books(app)
    there = await audit_against_gateway(app)
    return Audit([*own, *there.findings], there.not_yet_known)


async def prove_no_double_charge(app: App) -> DoubleChargeProof:
    """Raises as `audit` does."""
    found = await audit(app)
    async with app.database.read() as session:
        periods = await paid_periods(session)
    doubled = {finding.subject for finding in found.findings if finding.kind in DOUBLE_CHARGES}
    return DoubleChargeProof(periods, len(doubled), app.now())


async def audit_against_gateway(app: App) -> Audit:
    """Each intent of ours at the gateway against its row, each paid row against its intent, charges by invoice.

    Of the intents that both hold for paid, moreover each refund and dispute against its row.
    """
    books = _GatewayBooks(app)
    async for page in _pages(lambda after: app.gateway.list_payment_intents(created_since=None, after=after)):
        await books.compare(page.items)
    async for page in _pages(lambda after: app.gateway.list_charges(after=after)):
        books.count(page.items)
    books.judge_charges()
    async for page in _pages(lambda after: app.gateway.list_refunds(created_since=None, after=after)):
        await books.compare_refunds(page.items)
    async for page in _pages(lambda after: app.gateway.list_disputes(created_since=None, after=after)):
        await books.compare_disputes(page.items)
    await books.judge_missing()
    return Audit(books.findings, books.not_yet_known)


@dataclass
class _GatewayBooks:
    app: App
    findings: list[Finding] = field(default_factory=list)
    not_yet_known: list[str] = field(default_factory=list)
    invoice_of: dict[str, str] = field(default_factory=dict)
    succeeded: set[str] = field(default_factory=set)
    paid_on_both_sides: set[str] = field(default_factory=set)
    charges: Counter[str] = field(default_factory=Counter)

    async def compare(self, listed: Sequence[PaymentIntentSnapshot]) -> None:
        refs = [there.ref for there in listed]
        async with self.app.database.read() as session:
            here = await collections_of(session, self.app.gateway.platform, refs)
            captured = await captured_of(session, [row.payment.id for row in here.values()])
        for there in listed:
            if there.invoice_id is not None:
                self.invoice_of[there.ref] = there.invoice_id
            if there.status is IntentStatus.SUCCEEDED:
                self.succeeded.add(there.ref)
                row = here.get(there.ref)
                self._judge_paid(there, row, captured.get(row.payment.id) if row else None)

    def _judge_paid(self, there: PaymentIntentSnapshot, row: Collection | None, captured: Money | None) -> None:
        says = f"intent {there.ref} for invoice {there.invoice_id}: {there.captured} captured at the gateway"
        if row is not None and row.intent.status is IntentStatus.SUCCEEDED:
            self.paid_on_both_sides.add(there.ref)
            if captured != there.captured:
                text = f"{says}, {captured} by the ledger for payment {row.payment.id}"
                self.findings.append(Finding(FindingKind.CAPTURE_DIFFERS, there.ref, text))
        elif row is not None and row.payment.status not in PAYMENT.final and there.captured != row.payment.amount:
            text = f"{says}, {row.payment.amount} asked for by payment {row.payment.id}"
            self.findings.append(Finding(FindingKind.CAPTURE_DIFFERS, there.ref, text))
        elif row is not None and row.payment.status not in PAYMENT.final and row.payment.due_at is not None:
            self.not_yet_known.append(
                f"{says}; payment {row.payment.id} is {row.payment.status} and will be asked about"
            )
        else:
            ours = f"payment {row.payment.id} is {row.payment.status}" if row else "unknown here"
            self.findings.append(Finding(FindingKind.PAID_THERE_ONLY, there.ref, f"{says}, {ours}"))

    def count(self, charges: Sequence[ChargeSnapshot]) -> None:
        for charge in charges:
            if charge.problem is None and charge.intent_ref in self.invoice_of:
                self.charges[self.invoice_of[charge.intent_ref]] += 1

    def judge_charges(self) -> None:
        for invoice, count in sorted(self.charges.items()):
            if count > 1:
                text = f"invoice {invoice}: {count} charges succeeded at the gateway"
                self.findings.append(Finding(FindingKind.INVOICE_CHARGED_TWICE, invoice, text))

    async def compare_refunds(self, listed: Sequence[RefundSnapshot]) -> None:
        ours = [there for there in listed if there.intent_ref in self.paid_on_both_sides]
        async with self.app.database.read() as session:
            here = await refunds_by_ref(session, self.app.gateway.platform, [there.ref for there in ours])
            asked = {
                there.ref: await session.get(Refund, there.refund_id)
                for there in ours
                if there.ref not in here and there.refund_id is not None
            }
        for there in ours:
            row = here.get(there.ref)
            if row is not None and (row.status, row.amount) == (there.status, there.amount):
                continue
            row = row or asked.get(there.ref)
            text = f"refund {there.ref}: {there.amount} {there.status} at the gateway, {_of_refund(row)} here"
            if row is not None and row.amount == there.amount and row.status is RefundStatus.PENDING and row.due_at:
                self.not_yet_known.append(f"{text}; it will be asked about")
            else:
                self.findings.append(Finding(FindingKind.REFUND_DIFFERS, there.ref, text))

    async def compare_disputes(self, listed: Sequence[DisputeSnapshot]) -> None:
        ours = [there for there in listed if there.intent_ref in self.paid_on_both_sides]
        async with self.app.database.read() as session:
            here = await disputes_by_ref(session, self.app.gateway.platform, [there.ref for there in ours])
        for there in ours:
            row = here.get(there.ref)
            if row is None or (row.withdrawn, row.reinstated) != (there.withdrawn, there.reinstated):
                moved = f"{row.withdrawn} withdrawn and {row.reinstated} reinstated" if row else "unknown"
                text = f"dispute {there.ref}: {there.withdrawn} and {there.reinstated} at the gateway, {moved} here"
                self.findings.append(Finding(FindingKind.DISPUTE_DIFFERS, there.ref, text))

    async def judge_missing(self) -> None:
        """What we hold for paid and the list did not show is asked for by name: it may have been paid since."""
        async with self.app.database.read() as session:
            paid = await succeeded_refs(session, self.app.gateway.platform)
        for ref in paid:
            if ref not in self.succeeded and not await self._is_paid_there(ref):
                text = f"intent {ref}: paid here and not at the gateway"
                self.findings.append(Finding(FindingKind.PAID_HERE_ONLY, ref, text))

    async def _is_paid_there(self, ref: str) -> bool:
        try:
            return (await self.app.gateway.retrieve_payment_intent(ref)).status is IntentStatus.SUCCEEDED
        except GatewayNotFound:
            return False


async def _pages(ask: Callable[[str | None], Awaitable[GatewayPage[T]]]) -> AsyncIterator[GatewayPage[T]]:
    after: str | None = None
    while True:
        page = await ask(after)
        yield page
        after = page.next_after
        if after is None:
            return


def _of_refund(row: Refund | None) -> str:
    return f"{row.amount} {row.status}" if row else "unknown"
