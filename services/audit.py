"""Proof that the books are right: sums, payments against the ledger, one charge per invoice."""

from billing.money import Money
from models.ledger import captured_by_payment, succeeded_payments, sums_by_currency
from services.app import App


async def ledger_findings(app: App) -> list[str]:
    """What is wrong, a sentence each; empty when the ledger balances and agrees with the payments."""
    findings: list[str] = []
    async with app.database.read() as session:
        sums = await sums_by_currency(session)
        captured = await captured_by_payment(session)
        payments = await succeeded_payments(session)
    findings += [
        f"the ledger is off by {amount} minor units of {currency}" for currency, amount in sums.items() if amount
    ]
    paid = {payment.id: Money(payment.amount_paid_minor, payment.currency) for payment in payments}
    for payment_id in sorted(paid.keys() | captured.keys()):
        if paid.get(payment_id) != captured.get(payment_id):
            findings.append(
                f"payment {payment_id}: paid {paid.get(payment_id)}, captured by the ledger {captured.get(payment_id)}"
            )
    return findings
