"""A bank takes the money back, or asks first."""

from datetime import UTC, datetime, timedelta

import pytest
import stripe

from gateways.sandbox.disputes import DECIDED_AFTER_SECONDS
from tests.gateways.sandbox_fixtures import Bench
from tests.gateways.test_sandbox_refunds import booked, charge_of, paid

DECIDED = timedelta(seconds=DECIDED_AFTER_SECONDS)


async def disputed(bench: Bench, card: str = "pm_card_createDispute", **more) -> stripe.Dispute:
    intent = await paid(bench, card, **more)
    return (await bench.v1.disputes.list_async({"payment_intent": intent.id})).data[0]


async def answer(bench: Bench, dispute: stripe.Dispute, text: str, **more) -> stripe.Dispute:
    return await bench.v1.disputes.update_async(dispute.id, {"evidence": {"uncategorized_text": text}, **more})


@pytest.mark.parametrize(
    ("card", "reason", "network_code"),
    [
        ("pm_card_createDispute", "fraudulent", "10.4"),
        ("pm_card_createDisputeProductNotReceived", "product_not_received", "13.1"),
    ],
)
async def test_a_chargeback_comes_with_the_charge_and_takes_the_money(quick, card, reason, network_code) -> None:
    intent = await paid(quick, card)
    assert intent.status == "succeeded"
    dispute = (await quick.v1.disputes.list_async({"charge": intent.latest_charge})).data[0]
    assert (dispute.status, dispute.reason, dispute.amount, dispute.currency) == (
        "needs_response",
        reason,
        3000,
        "usd",
    )
    assert (dispute.charge, dispute.payment_intent, dispute.is_charge_refundable) == (
        intent.latest_charge,
        intent.id,
        False,
    )
    told = dispute.payment_method_details.card
    assert (told.case_type, told.network_reason_code) == ("chargeback", network_code)
    assert datetime.fromtimestamp(dispute.evidence_details.due_by, UTC) == datetime(2027, 2, 8, 23, 59, 59, tzinfo=UTC)
    assert [(entry.type, entry.reporting_category, entry.amount) for entry in dispute.balance_transactions] == [
        ("adjustment", "dispute", -3000)
    ]
    assert (await charge_of(quick, intent)).disputed is True
    assert (await quick.event_types())[-4:] == [
        "charge.succeeded",
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "payment_intent.succeeded",
    ]
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await quick.v1.refunds.create_async({"payment_intent": intent.id, "amount": 1})
    assert (refusal.value.http_status, refusal.value.code) == (400, "charge_disputed")
    assert await booked(quick) == [("charge", 3000), ("adjustment", -3000)]


async def test_winning_evidence_brings_the_money_back_when_the_bank_has_read_it(bench) -> None:
    dispute = await disputed(bench)
    submitted = await answer(bench, dispute, "winning_evidence")
    details = submitted.evidence_details
    assert (submitted.status, details.has_evidence, details.submission_count, details.submission_method) == (
        "under_review",
        True,
        1,
        "manual",
    )
    bench.clock.advance(DECIDED)
    won = await bench.v1.disputes.retrieve_async(dispute.id)
    assert (won.status, won.is_charge_refundable) == ("won", True)
    assert [entry.amount for entry in won.balance_transactions] == [-3000, 3000]
    assert await booked(bench) == [("charge", 3000), ("adjustment", -3000), ("adjustment", 3000)]
    assert (await bench.event_types())[-3:] == [
        "charge.dispute.updated",
        "charge.dispute.funds_reinstated",
        "charge.dispute.closed",
    ]
    assert (await bench.v1.refunds.create_async({"charge": dispute.charge})).amount == 3000
    with pytest.raises(stripe.InvalidRequestError) as closed:
        await bench.v1.disputes.close_async(dispute.id)
    assert closed.value.user_message == "This dispute is already closed"


async def test_losing_evidence_loses(bench) -> None:
    dispute = await disputed(bench)
    await answer(bench, dispute, "losing_evidence")
    bench.clock.advance(DECIDED)
    assert (await bench.v1.disputes.retrieve_async(dispute.id)).status == "lost"
    assert await booked(bench) == [("charge", 3000), ("adjustment", -3000)]
    assert (await bench.event_types())[-2:] == ["charge.dispute.updated", "charge.dispute.closed"]


async def test_other_evidence_stays_under_review_past_its_day(quick) -> None:
    dispute = await disputed(quick)
    await answer(quick, dispute, "The customer signed for it.")
    quick.clock.advance(timedelta(days=60))
    assert (await quick.v1.disputes.retrieve_async(dispute.id)).status == "under_review"
    with pytest.raises(stripe.InvalidRequestError) as late:
        await answer(quick, dispute, "winning_evidence")
    assert late.value.http_status == 400
    assert (await quick.v1.disputes.close_async(dispute.id)).status == "lost"


async def test_evidence_is_staged_until_it_is_submitted(quick) -> None:
    dispute = await disputed(quick)
    staged = await answer(quick, dispute, "winning_evidence", submit=False)
    assert (staged.status, staged.evidence_details.has_evidence) == ("needs_response", True)
    assert staged.evidence_details.submission_count == 0
    renamed = await quick.v1.disputes.update_async(dispute.id, {"metadata": {"case": "7"}})
    assert (renamed.status, renamed.metadata.to_dict()) == ("needs_response", {"case": "7"})
    submitted = await quick.v1.disputes.update_async(dispute.id, {"submit": True})
    assert (submitted.status, submitted.evidence.uncategorized_text) == ("under_review", "winning_evidence")
    quick.clock.advance(DECIDED)
    assert (await quick.v1.disputes.retrieve_async(dispute.id)).status == "won"


async def test_closing_gives_the_money_up_at_once(quick) -> None:
    dispute = await disputed(quick)
    assert (await quick.v1.disputes.close_async(dispute.id)).status == "lost"
    assert (await quick.event_types())[-1] == "charge.dispute.closed"
    with pytest.raises(stripe.InvalidRequestError) as closed:
        await answer(quick, dispute, "winning_evidence")
    assert closed.value.user_message == "This dispute is already closed"


async def test_an_unanswered_dispute_is_lost_after_its_last_second(bench) -> None:
    dispute = await disputed(bench)
    due = datetime.fromtimestamp(dispute.evidence_details.due_by, UTC)
    bench.clock.set(due)
    assert (await bench.v1.disputes.retrieve_async(dispute.id)).status == "needs_response"
    bench.clock.advance(timedelta(seconds=1))
    assert (await bench.v1.disputes.retrieve_async(dispute.id)).status == "lost"


async def test_an_inquiry_takes_nothing_yet_and_leaves_the_charge_refundable(quick) -> None:
    inquiry = await disputed(quick, "pm_card_createDisputeInquiry")
    assert (inquiry.status, inquiry.is_charge_refundable) == ("warning_needs_response", True)
    assert (inquiry.payment_method_details.card.case_type, inquiry.balance_transactions) == ("inquiry", [])
    assert (await quick.event_types())[-2:] == ["charge.dispute.created", "payment_intent.succeeded"]
    assert (await quick.v1.refunds.create_async({"charge": inquiry.charge, "amount": 1000})).status == "succeeded"
    answered = await answer(quick, inquiry, "winning_evidence")
    assert answered.status == "warning_under_review"
    quick.clock.advance(DECIDED)
    assert (await quick.v1.disputes.retrieve_async(inquiry.id)).status == "warning_closed"
    assert await booked(quick) == [("charge", 3000), ("refund", -1000)]


async def test_an_inquiry_escalates_to_a_chargeback(bench) -> None:
    inquiry = await disputed(bench, "pm_card_createDisputeInquiry")
    await answer(bench, inquiry, "escalate_inquiry_evidence")
    bench.clock.advance(DECIDED)
    escalated = await bench.v1.disputes.retrieve_async(inquiry.id)
    assert (escalated.status, escalated.is_charge_refundable) == ("needs_response", False)
    assert escalated.payment_method_details.card.case_type == "chargeback"
    assert await booked(bench) == [("charge", 3000), ("adjustment", -3000)]
    assert (await bench.event_types())[-2:] == ["charge.dispute.updated", "charge.dispute.funds_withdrawn"]
    await answer(bench, inquiry, "winning_evidence")
    bench.clock.advance(DECIDED)
    assert (await bench.v1.disputes.retrieve_async(inquiry.id)).status == "won"
    assert await booked(bench) == [("charge", 3000), ("adjustment", -3000), ("adjustment", 3000)]


async def test_a_held_amount_is_disputed_only_once_it_is_captured(quick) -> None:
    held = await paid(quick, "pm_card_createDispute", capture_method="manual")
    assert (await quick.v1.disputes.list_async()).data == []
    await quick.v1.payment_intents.capture_async(held.id, {"amount_to_capture": 2000})
    assert [dispute.amount for dispute in (await quick.v1.disputes.list_async()).data] == [2000]


async def test_disputes_expand_and_are_missed_by_name(quick) -> None:
    dispute = await disputed(quick)
    full = await quick.v1.disputes.retrieve_async(dispute.id, {"expand": ["charge.customer", "payment_intent"]})
    assert (full.charge.id, full.charge.customer, full.payment_intent.status) == (dispute.charge, None, "succeeded")
    entry = dispute.balance_transactions[0]
    found = await quick.v1.balance_transactions.retrieve_async(entry.id, {"expand": ["source"]})
    assert found.source.id == dispute.id
    with pytest.raises(stripe.InvalidRequestError) as missing:
        await quick.v1.disputes.retrieve_async("du_none")
    assert (missing.value.http_status, missing.value.param, missing.value.code) == (404, "dispute", "resource_missing")
    with pytest.raises(stripe.InvalidRequestError) as upload:
        await quick.v1.disputes.update_async(dispute.id, {"evidence": {"receipt": "file_1"}})
    assert upload.value.param == "evidence[receipt]"
