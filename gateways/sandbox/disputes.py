"""Disputes: a bank takes the money back, or asks first.

Owns: opening them, their handlers, and what a bank decides when its time has come. As in Stripe's test mode the
decision is written into the evidence: `winning_evidence`, `losing_evidence` or `escalate_inquiry_evidence` as
`uncategorized_text`.
Does not own: which cards bring one (cards.py) and the books (balance.py).
"""

from datetime import timedelta

from gateways.sandbox import shapes
from gateways.sandbox.balance import book
from gateways.sandbox.calls import Body, Call, assign, merge_metadata, snapshot
from gateways.sandbox.cards import Card
from gateways.sandbox.errors import ApiError
from gateways.sandbox.store import Listing, Record

DECIDED_AFTER_SECONDS = 5
DAYS_TO_ANSWER = 8
OPEN = ("needs_response", "under_review", "warning_needs_response", "warning_under_review")

# (the evidence's text, whether the bank only inquires) -> how it ends; other evidence stays under review
VERDICTS = {
    ("winning_evidence", False): "won",
    ("losing_evidence", False): "lost",
    ("winning_evidence", True): "warning_closed",
    ("losing_evidence", True): "warning_closed",
    ("escalate_inquiry_evidence", True): "needs_response",
}


def open_if_objected(call: Call, charge: Record, card: Card) -> None:
    """Bring the dispute that charging this card brings."""
    if card.objection is None:
        return
    dispute = shapes.dispute(call.ids.new("dispute"), call.second, charge.body, card.objection, _end_of_last_day(call))
    record = call.unit.add("dispute", dispute)
    charge.body["disputed"] = True
    call.unit.change(charge)
    if not card.objection.inquiry:
        _withdraw(call, dispute)
    call.announce("charge.dispute.created", dispute)
    if not card.objection.inquiry:
        call.announce("charge.dispute.funds_withdrawn", dispute)
    call.unit.plan("miss_dispute", record.id, dispute["evidence_details"]["due_by"] + 1)


def _end_of_last_day(call: Call) -> int:
    last = (call.now + timedelta(days=DAYS_TO_ANSWER)).replace(hour=23, minute=59, second=59, microsecond=0)
    return int(last.timestamp())


def _withdraw(call: Call, dispute: Body) -> None:
    taken = book(call, "dispute", dispute, -dispute["amount"], f"Chargeback withdrawal for {dispute['charge']}")
    dispute["balance_transactions"].append(taken)


def _is_inquiry(dispute: Body) -> bool:
    return dispute["status"].startswith("warning")


async def retrieve(call: Call) -> Body:
    return (await call.addressed("dispute", "dispute")).body


async def list_all(call: Call) -> Body:
    params = call.params
    intent = params.get("payment_intent")
    listing = Listing(
        "dispute",
        lookup=params.get("charge"),
        where=(lambda body: body["payment_intent"] == intent) if intent else None,
    )
    return await call.page(listing, "/v1/disputes")


async def update(call: Call) -> Body:
    """Evidence is staged, and submitted in the same breath unless `submit` is false."""
    dispute = await call.addressed("dispute", "dispute")
    before, body, params = snapshot(dispute.body), dispute.body, call.params
    _refuse_closed(body)
    assign(body, params, "intended_submission_method")
    if "metadata" in params:
        merge_metadata(body, params["metadata"])
    details = body["evidence_details"]
    if evidence := params.get("evidence"):
        if body["status"].endswith("under_review"):
            raise ApiError(400, "Evidence was submitted for this dispute before; it cannot be changed.", executed=True)
        body["evidence"] |= evidence
        details["has_evidence"] = any(value for name, value in body["evidence"].items() if name != "enhanced_evidence")
    if details["has_evidence"] and params.get("submit", "evidence" in params) and details["submission_count"] == 0:
        details |= {"submission_count": 1, "submission_method": "manual"}
        body["status"] = "warning_under_review" if _is_inquiry(body) else "under_review"
        if (body["evidence"]["uncategorized_text"], _is_inquiry(body)) in VERDICTS:
            call.plan("decide_dispute", dispute, DECIDED_AFTER_SECONDS)
    call.announce_update("charge.dispute.updated", dispute, before)
    return body


async def close(call: Call) -> Body:
    """Give in. There is no way back."""
    dispute = await call.addressed("dispute", "dispute")
    _refuse_closed(dispute.body)
    await _end(call, dispute, "warning_closed" if _is_inquiry(dispute.body) else "lost")
    return dispute.body


def _refuse_closed(dispute: Body) -> None:
    if dispute["status"] not in OPEN:
        raise ApiError(400, "This dispute is already closed", executed=True)


async def decide(call: Call, dispute: Record) -> None:
    """The bank has read the evidence."""
    body = dispute.body
    if not body["status"].endswith("under_review"):
        return
    verdict = VERDICTS[body["evidence"]["uncategorized_text"], _is_inquiry(body)]
    if verdict == "needs_response":
        _escalate(call, dispute)
    else:
        await _end(call, dispute, verdict)


async def miss_deadline(call: Call, dispute: Record) -> None:
    """Nobody answered in time: the bank keeps what it took, or drops its inquiry."""
    body = dispute.body
    if body["status"].endswith("needs_response") and body["evidence_details"]["due_by"] < call.second:
        await _end(call, dispute, "warning_closed" if _is_inquiry(body) else "lost")


def _escalate(call: Call, dispute: Record) -> None:
    """An inquiry becomes a chargeback, with a new time to answer."""
    before, body = snapshot(dispute.body), dispute.body
    body |= {"status": "needs_response", "is_charge_refundable": False}
    body["payment_method_details"]["card"]["case_type"] = "chargeback"
    body["evidence_details"] |= {
        "due_by": _end_of_last_day(call),
        "submission_count": 0,
        "submission_method": "not_submitted",
    }
    _withdraw(call, body)
    call.unit.plan("miss_dispute", dispute.id, body["evidence_details"]["due_by"] + 1)
    call.announce_update("charge.dispute.updated", dispute, before)
    call.announce("charge.dispute.funds_withdrawn", body)


async def _end(call: Call, dispute: Record, status: str) -> None:
    body = dispute.body
    body["status"] = status
    if status == "won":
        body["is_charge_refundable"] = True
        returned = book(call, "dispute_reversal", body, body["amount"], f"Chargeback reversal for {body['charge']}")
        body["balance_transactions"].append(returned)
        call.announce("charge.dispute.funds_reinstated", body)
    call.unit.change(dispute)
    call.announce("charge.dispute.closed", body)
