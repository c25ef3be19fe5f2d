"""docs/drift.md: every kind of difference that reconciling tells of."""

from billing.reconciling import DRIFT_MEANINGS
from docs.markdown import page, table

WHAT = """Reconciling compares our rows with the gateway's lists: payments, refunds and disputes, cards. The worker
does it on a timer, `reconcilePayments` on request; `reconciliationReports` lists what each pass found, `isClean` says
that it went to its end and nothing differed. It moves no money, and repairs only what a webhook would have brought
about."""


def render() -> str:
    return page(
        "Drift",
        WHAT,
        table(
            ["kind", "what differs, and what becomes of it"], ((f"`{k.name}`", m) for k, m in DRIFT_MEANINGS.items())
        ),
    )
