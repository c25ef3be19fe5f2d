"""The proof of the books finds whatever is wrong with them: each finding is made true by breaking the books."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from billing.lifecycle import PaymentStatus
from billing.returning import RefundReason
from cli import cli
from gateways.port import GatewayUnavailable
from gateways.sandbox import Fault
from models.base import new_id
from models.ledger import paid_by_payment, settled_payments
from services.books.audit import audit, prove_no_double_charge
from services.books.own_books import DOUBLE_CHARGES
from services.refunds.giving_back import RefundWish, refund_payment
from tests.scenarios.couponing import Story
from tests.scenarios.shopping import Channel, Shopper
from tests.support.breaking import add, alter, only
from tests.support.databases import copy_of_file
from tests.support.deliveries import dump
from tests.support.house import House, open_house
from tests.support.meanwhile import just_before
from tests.support.outside import VISA, dashboard, sandbox_of
from tests.support.written import written_logs

Act = Callable[[House], Awaitable[Any]]
LOST = Channel("webhooks off", (Fault.WEBHOOKS_OFF,))
PAYS_AT_ONCE = {"confirm": True, "payment_method": "pm_card_visa", "return_url": "https://shop.example/return"}


async def paid(house: House) -> tuple[Shopper, str]:
    """A customer with a paid subscription, and the gateway's reference of the intent that paid."""
    shopper = Shopper(house, "demo-card", LOST)
    told = await shopper.subscribe(paymentMethodId=await shopper.default_card())
    return shopper, told["paymentIntent"]["gatewayId"]


async def found(house: House) -> list[tuple[str, str]]:
    """Kind and sentence of each finding; looking changes nothing."""
    before = await dump(house, but=())
    result = await audit(house.app)
    assert await dump(house, but=()) == before
    return [(finding.kind.value, finding.text) for finding in result.findings]


async def second_intent(house: House, **more: Any) -> str:
    """Another intent for the one invoice, made at the gateway by somebody else: its reference."""
    v1 = dashboard(house)
    first = (await v1.payment_intents.list_async()).data[0]
    invoice = await only(house, "invoices")
    params: Any = {
        "amount": 700,
        "currency": "usd",
        "customer": first.customer,
        "metadata": {"perennial_invoice": invoice["id"]},
        **more,
    }
    return (await v1.payment_intents.create_async(params)).id


async def test_sound_books_have_no_finding(house: House) -> None:
    await paid(house)
    result = await audit(house.app)
    assert (list(result.findings), list(result.not_yet_known)) == ([], [])
    proof = await prove_no_double_charge(house.app)
    assert (proof.checked_periods, proof.violations, proof.checked_at) == (1, 0, house.clock.now())


async def test_a_ledger_that_does_not_sum_to_zero(house: House) -> None:
    await paid(house)
    await alter(house, "ledger_entries", {"kind": "payment_captured", "account": "receivable"}, amount_minor=-699)
    customer = (await only(house, "invoices"))["customer_id"]
    asks = f"customer {customer}: open invoices ask for 0 minor units of USD, 1 by the ledger"
    assert await found(house) == [
        ("ledger_off_balance", "the ledger is off by 1 minor units of USD"),
        ("receivable_off_ledger", asks),
    ]


async def test_a_payment_that_the_ledger_does_not_know(house: House) -> None:
    await paid(house)
    payment = (await only(house, "payments"))["id"]
    for account in ("gateway", "receivable"):
        where = {"kind": "payment_captured", "account": account}
        await alter(house, "ledger_entries", where, subject_id=new_id("payment"))
    kinds = [kind for kind, _ in await found(house)]
    assert kinds == ["payment_off_ledger", "payment_off_ledger", "capture_differs"]
    assert f"payment {payment}: USD 7.00 kept of it, None by the ledger" in [text for _, text in await found(house)]


async def test_a_payment_of_another_amount_than_booked(house: House) -> None:
    await paid(house)
    payment = (await only(house, "payments"))["id"]
    await alter(house, "payments", {"id": payment}, amount_paid_minor=600)
    assert await found(house) == [
        ("payment_off_ledger", f"payment {payment}: USD 6.00 kept of it, USD 7.00 by the ledger")
    ]


async def test_a_period_with_two_paid_invoices(house: House) -> None:
    await paid(house)
    invoice = await only(house, "invoices")
    twin = {"id": new_id("invoice"), "number": "TWIN-0001", "occasion": "1"}
    await add(house, "invoices", **{**invoice, **twin})
    subscription = invoice["subscription_id"]
    assert await found(house) == [
        ("invoice_off_lines", f"invoice {twin['id']}: a total of 700 minor units, 0 by its lines"),
        ("period_paid_twice", f"subscription {subscription}: 2 paid invoices for the period from 2026-01-31T09:30:00Z"),
    ]
    assert (await prove_no_double_charge(house.app)).violations == 1


async def test_an_invoice_paid_by_two_intents(house: House) -> None:
    await paid(house)
    row = await only(house, "collection_intents")
    ref = await second_intent(house, **PAYS_AT_ONCE)
    twin = {"id": new_id("payment_intent"), "n": 2, "gateway_ref": ref}
    await add(house, "collection_intents", **{**row, **twin})
    invoice = row["invoice_id"]
    assert await found(house) == [
        ("invoice_paid_twice", f"invoice {invoice}: paid by 2 intents"),
        ("invoice_charged_twice", f"invoice {invoice}: 2 charges succeeded at the gateway"),
    ]
    assert (await prove_no_double_charge(house.app)).violations == 1


async def test_a_second_charge_that_only_the_gateway_knows(house: House) -> None:
    await paid(house)
    ref = await second_intent(house, **PAYS_AT_ONCE)
    invoice = (await only(house, "invoices"))["id"]
    says = f"intent {ref} for invoice {invoice}: USD 7.00 captured at the gateway"
    assert await found(house) == [
        ("paid_there_only", f"{says}, unknown here"),
        ("invoice_charged_twice", f"invoice {invoice}: 2 charges succeeded at the gateway"),
    ]
    assert (await prove_no_double_charge(house.app)).violations == 1


async def test_a_payment_that_was_given_up_here_and_paid_there(house: House) -> None:
    _, ref = await paid(house)
    payment = await only(house, "payments")
    await alter(house, "payments", {"id": payment["id"]}, status=PaymentStatus.CANCELED, amount_paid_minor=0)
    await alter(house, "collection_intents", {"gateway_ref": ref}, status="canceled")
    says = f"intent {ref} for invoice {payment['invoice_id']}: USD 7.00 captured at the gateway"
    assert ("paid_there_only", f"{says}, payment {payment['id']} is canceled") in await found(house)


async def test_a_payment_that_the_gateway_does_not_hold_for_paid(house: House) -> None:
    shopper = Shopper(house, "demo-new", LOST)
    ref = (await shopper.subscribe())["paymentIntent"]["gatewayId"]
    await alter(house, "collection_intents", {"gateway_ref": ref}, status="succeeded")
    assert await found(house) == [("paid_here_only", f"intent {ref}: paid here and not at the gateway")]


async def test_an_intent_that_the_gateway_does_not_know(house: House) -> None:
    _, ref = await paid(house)
    await alter(house, "collection_intents", {"gateway_ref": ref}, gateway_ref="pi_gone")
    assert [kind for kind, _ in await found(house)] == ["paid_there_only", "paid_here_only"]


async def test_another_amount_captured_at_the_gateway(house: House) -> None:
    _, ref = await paid(house)
    payment = (await only(house, "payments"))["id"]
    invoice = (await only(house, "invoices"))["id"]
    for account, amount in (("gateway", 701), ("receivable", -701)):
        await alter(house, "ledger_entries", {"kind": "payment_captured", "account": account}, amount_minor=amount)
    for account, amount in (("revenue", -701), ("receivable", 701)):
        await alter(house, "ledger_entries", {"kind": "invoice_issued", "account": account}, amount_minor=amount)
    await alter(house, "payments", {"id": payment}, amount_paid_minor=701)
    says = f"intent {ref} for invoice {invoice}: USD 7.00 captured at the gateway"
    assert await found(house) == [("capture_differs", f"{says}, USD 7.01 by the ledger for payment {payment}")]


async def test_another_amount_than_was_asked_for_is_a_finding_though_the_payment_is_open(house: House) -> None:
    """It will be asked about for ever, and never booked."""
    shopper = Shopper(house, "demo-new", LOST)
    secret = (await shopper.subscribe())["paymentIntent"]["clientSecret"]
    reference = secret.partition("_secret_")[0]
    await dashboard(house).payment_intents.update_async(reference, {"amount": 701})
    await shopper.browser.confirm(secret, VISA)
    invoice, payment = await only(house, "invoices"), await only(house, "payments")
    says = f"intent {reference} for invoice {invoice['id']}: USD 7.01 captured at the gateway"
    text = f"{says}, USD 7.00 asked for by payment {payment['id']}"
    assert await found(house) == [("capture_differs", text)]
    assert (await audit(house.app)).not_yet_known == []


async def test_an_answer_on_its_way_is_not_yet_known_and_no_finding(house: House) -> None:
    sandbox_of(house).faults.arm(Fault.TIMEOUT_AFTER, count=2, path_contains="/confirm")
    shopper = Shopper(house, "demo-card", LOST)
    told = await shopper.subscribe(paymentMethodId=await shopper.default_card())
    assert told["payment"]["status"] == "UNKNOWN"
    ref, invoice = told["payment"]["intent"]["gatewayId"], (await only(house, "invoices"))["id"]
    result = await audit(house.app)
    says = f"intent {ref} for invoice {invoice}: USD 7.00 captured at the gateway"
    waits = f"payment {told['payment']['id']} is unknown and will be asked about"
    assert (list(result.findings), list(result.not_yet_known)) == ([], [f"{says}; {waits}"])


async def test_a_refund_whose_answer_is_missing_is_not_yet_known_and_no_finding(house: House) -> None:
    await paid(house)
    payment = await only(house, "payments")

    async def lose_the_answer() -> None:
        sandbox_of(house).faults.arm(Fault.TIMEOUT_AFTER, path_contains="/refunds")

    app = just_before(house.app, "create_refund", lose_the_answer)
    wish = RefundWish(payment["id"], RefundReason.DUPLICATE, "once")
    outcome = await refund_payment(app, house.actor("demo-admin"), wish)
    assert [problem.code for problem in outcome.problems] == ["PAYMENT_OUTCOME_UNKNOWN"]
    (there,) = (await dashboard(house).refunds.list_async()).data
    text = f"refund {there.id}: USD 7.00 succeeded at the gateway, USD 7.00 pending here; it will be asked about"
    result = await audit(house.app)
    assert (list(result.findings), list(result.not_yet_known)) == ([], [text])


async def test_a_payment_that_nobody_will_ask_about_is_a_finding(house: House) -> None:
    shopper = Shopper(house, "demo-new", LOST)
    told = await shopper.subscribe()
    await shopper.browser.confirm(told["paymentIntent"]["clientSecret"], VISA)
    assert await found(house) == []
    await alter(house, "payments", {"id": told["payment"]["id"]}, due_at=None)
    assert [kind for kind, _ in await found(house)] == ["paid_there_only"]


async def test_what_others_write_while_the_books_are_read_is_no_finding(house: House) -> None:
    """`check` is for systems at work: payments, ledger and invoices are held together at one instant."""
    shopper = Shopper(house, "demo-card", LOST)
    card = await shopper.default_card()
    async with house.app.database.snapshot() as session:
        assert await paid_by_payment(session) == {}
        await shopper.subscribe(paymentMethodId=card)
        assert list(await settled_payments(session)) == []
    async with house.app.database.snapshot() as session:
        assert len(await settled_payments(session)) == 1


async def test_without_the_gateways_books_there_is_no_proof(house: House) -> None:
    sandbox_of(house).faults.arm(Fault.TIMEOUT_BEFORE, count=2, path_contains="/v1/charges")
    with pytest.raises(GatewayUnavailable):
        await audit(house.app)


def test_what_counts_as_charged_twice_is_named() -> None:
    assert sorted(kind.value for kind in DOUBLE_CHARGES) == [
        "invoice_charged_twice",
        "invoice_paid_twice",
        "period_paid_twice",
    ]


# ── python cli.py check ──


@pytest.fixture
def checked(
    sqlite_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Act], tuple[int, str, str]]:
    """Does something to an installation, then checks its books: exit code, output and errors."""
    url = copy_of_file(sqlite_file, tmp_path / "perennial.db")
    monkeypatch.setenv("PERENNIAL_DATABASE_URL", url)

    def check(act: Act) -> tuple[int, str, str]:
        async def prepare() -> None:
            async with open_house(url) as house:
                await act(house)

        asyncio.run(prepare())
        with written_logs():  # the command sets the logs up for its own stream, which is closed when it ends
            result = CliRunner().invoke(cli, ["check"])
        return result.exit_code, result.stdout, result.stderr

    return check


def test_sound_books_end_the_command_well(checked: Callable[[Act], tuple[int, str, str]]) -> None:
    assert checked(paid) == (0, "The ledger balances and agrees with every payment, here and at the gateway.\n", "")


def test_each_finding_is_a_line_and_the_command_fails(checked: Callable[[Act], tuple[int, str, str]]) -> None:
    async def break_the_ledger(house: House) -> None:
        await paid(house)
        await alter(house, "ledger_entries", {"kind": "payment_captured", "account": "receivable"}, amount_minor=-699)

    code, said, wrong = checked(break_the_ledger)
    assert (code, said) == (1, "")
    assert [line.partition(":")[0].partition(" cst_")[0] for line in wrong.splitlines()] == [
        "the ledger is off by 1 minor units of USD",
        "customer",
    ]


def test_what_is_not_known_yet_is_told_and_is_no_failure(checked: Callable[[Act], tuple[int, str, str]]) -> None:
    async def lose_the_answer(house: House) -> None:
        sandbox_of(house).faults.arm(Fault.TIMEOUT_AFTER, count=2, path_contains="/confirm")
        await paid(house)

    code, said, wrong = checked(lose_the_answer)
    assert (code, wrong) == (0, "")
    told, sound = said.splitlines()
    assert told.startswith("not yet known: intent pi_")
    assert told.endswith(" is unknown and will be asked about")
    assert sound == "The ledger balances and agrees with every payment, here and at the gateway."


async def test_a_balance_that_the_ledger_does_not_know(house: House) -> None:
    await paid(house)
    customer = (await only(house, "invoices"))["customer_id"]
    await add(house, "customer_balances", customer_id=customer, currency="USD", amount_minor=5)
    assert await found(house) == [
        ("balance_off_ledger", f"customer {customer}: a balance of 5 minor units of USD, 0 by the ledger")
    ]


async def test_a_line_whose_formula_comes_to_something_else(house: House) -> None:
    await paid(house)
    line = await only(house, "invoice_lines")
    await alter(house, "invoice_lines", {"id": line["id"]}, explanation_formula="quantity × unitAmount × 2")
    says = f"line {line['id']} of invoice {line['invoice_id']}, {line['description']!r}"
    assert await found(house) == [
        ("line_unexplained", f"{says}: quantity × unitAmount × 2 comes to USD 14.00, not USD 7.00")
    ]
    await alter(house, "invoice_lines", {"id": line["id"]}, explanation_formula=line["explanation_formula"])


async def test_a_code_that_is_counted_more_often_than_it_was_redeemed(house: House) -> None:
    story = await Story(house).begin()
    await story.promote(await story.coupon("HALF", percentOff="50", duration="ONCE"), "spring")
    await story.buy(promotionCode="spring")
    assert await found(house) == []
    await alter(house, "promotion_codes", {"code": "spring"}, times_redeemed=2)
    await alter(house, "coupons", {"code": "HALF"}, times_redeemed=0)
    assert await found(house) == [
        ("redemptions_miscounted", "code HALF: counted 0 times, 1 discounts were given for it"),
        ("redemptions_miscounted", "code spring: counted 2 times, 1 discounts were given for it"),
    ]


async def test_a_discount_that_takes_off_more_than_there_is(house: House) -> None:
    await paid(house)
    row = await only(house, "subscriptions")
    for discount in (701, -1):
        await alter(house, "subscriptions", {"id": row["id"]}, discount_amount_minor=discount)
        says = f"subscription {row['id']}: {discount} minor units of USD are taken off 700"
        assert await found(house) == [("subscription_off_amount", says)]
