"""What every gateway must keep of the promise in gateways/port.py, whatever it is like behind it.

A gateway's own tests derive a class from GatewayContract and give it the fixture `outside`: the gateway, and the hands
of those who act on it without us: the customer's browser, the bank, the network. No test assumes an empty account.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol
from uuid import uuid4

import pytest

from billing.charging import DeclineClass, IntentStatus, SetupFutureUsage, classify
from billing.lifecycle import RefundStatus
from billing.money import CURRENCIES, Money
from billing.returning import RefundReason
from gateways.cards import PaymentMethodSnapshot, SetupIntentSnapshot
from gateways.persons import Address, BillingDetails, CustomerFacts
from gateways.port import (
    GatewayNotFound,
    GatewayPage,
    GatewayRefused,
    GatewayUnavailable,
    PaymentGateway,
    PaymentIntentSnapshot,
    WebhookRefused,
)

PRICE = Money(1_000, "USD")
REST = Money(400, "USD")
PART = Money(600, "USD")
TOLERANCE = timedelta(seconds=300)
ROSA = CustomerFacts(
    name="Rosa", email="rosa@example.com", phone="+4930123", address=Address(city="Bonn", country="DE")
)
MOVED = CustomerFacts(name="Rosa B.", email="rosa.b@example.com", address=Address(city="Graz", country="AT"))
FLOWS = {"direct", "redirect", "debit", "wallet", "voucher", "transfer"}


class Card(StrEnum):
    """Cards that a customer may have: one that pays, one that is kept and refused, one whose bank always asks."""

    GOOD = "good"
    REFUSED = "refused"
    ASKING = "asking"


@dataclass(frozen=True)
class Delivery:
    """A webhook as it left the gateway, by its clock."""

    body: bytes
    signature: str
    sent_at: datetime


class Outside(Protocol):
    """A gateway and everybody who acts on it beside us."""

    gateway: PaymentGateway

    async def enter_card(self, setup: SetupIntentSnapshot, card: Card) -> None:
        """The customer enters a card to be kept, and agrees to whatever the bank asks."""
        ...

    async def pay(self, intent: PaymentIntentSnapshot, card: Card) -> None:
        """The customer enters a card to pay with."""
        ...

    async def answer_bank(self, intent: PaymentIntentSnapshot, *, agrees: bool) -> None:
        """The customer carries out the next step that the intent waits for."""
        ...

    async def lose_next_answer(self) -> None:
        """The next call is carried out, and its answer never arrives."""
        ...

    async def lose_next_call(self) -> None:
        """The next call never arrives."""
        ...

    async def told_of_customer(self, ref: str) -> CustomerFacts:
        """What the gateway keeps of a customer, read on its own side; of the address, city and country."""
        ...

    async def delivery(self, pay: Awaitable[PaymentIntentSnapshot]) -> Delivery:
        """The webhook that tells of the intent that `pay` pays."""
        ...


def key() -> str:
    return f"key_{uuid4().hex}"


async def everything(ask: Callable[[str | None], Awaitable[GatewayPage[Any]]]) -> list[Any]:
    """All entries of a list, page by page."""
    found: list[Any] = []
    after: str | None = None
    while True:
        page = await ask(after)
        found += page.items
        if page.next_after is None:
            return found
        after = page.next_after


@dataclass
class Till:
    """What we ask of the gateway in nearly every test."""

    outside: Outside

    @property
    def gateway(self) -> PaymentGateway:
        return self.outside.gateway

    async def customer(self) -> str:
        return await self.gateway.create_customer(customer_id=f"cst_{uuid4().hex}", facts=ROSA, idempotency_key=key())

    async def setup(self, customer: str) -> SetupIntentSnapshot:
        return await self.gateway.create_setup_intent(
            customer_ref=customer, usage=SetupFutureUsage.OFF_SESSION, method_types=["card"], idempotency_key=key()
        )

    async def kept(self, customer: str, card: Card = Card.GOOD) -> PaymentMethodSnapshot:
        """A card that the customer has saved."""
        setup = await self.setup(customer)
        await self.outside.enter_card(setup, card)
        done = await self.gateway.retrieve_setup_intent(setup.ref)
        assert (done.status, done.customer_ref) == (IntentStatus.SUCCEEDED, customer)
        assert done.payment_method_ref is not None
        return await self.gateway.retrieve_payment_method(done.payment_method_ref)

    async def intent(
        self, customer: str, *, invoice: str | None = None, idempotency_key: str | None = None
    ) -> PaymentIntentSnapshot:
        return await self.gateway.create_payment_intent(
            customer_ref=customer,
            amount=PRICE,
            invoice_id=invoice or f"inv_{uuid4().hex}",
            description="Coffee",
            setup_future_usage=None,
            idempotency_key=idempotency_key or key(),
        )

    async def confirm(
        self,
        intent: PaymentIntentSnapshot,
        card: PaymentMethodSnapshot,
        *,
        off_session: bool = True,
        with_key: str = "",
    ) -> PaymentIntentSnapshot:
        return await self.gateway.confirm_payment_intent(
            intent.ref,
            payment_method_ref=card.ref,
            off_session=off_session,
            return_url=None if off_session else "https://shop.example/return",
            idempotency_key=with_key or key(),
        )

    async def paid(self, customer: str, card: PaymentMethodSnapshot | None = None) -> PaymentIntentSnapshot:
        paid = await self.confirm(await self.intent(customer), card or await self.kept(customer))
        assert paid.status is IntentStatus.SUCCEEDED
        return paid

    async def charges(self, intent: PaymentIntentSnapshot) -> list[str | None]:
        """Of each try that ended why it failed, oldest first; None: it succeeded."""
        return [each.problem and each.problem.code for each in await self.gateway.find_charges(intent.ref)]

    async def refund(
        self, intent: PaymentIntentSnapshot, amount: Money, *, refund: str = "rfd_1", with_key: str = ""
    ) -> Any:
        return await self.gateway.create_refund(
            intent.ref,
            amount=amount,
            reason=RefundReason.REQUESTED_BY_CUSTOMER,
            refund_id=refund,
            idempotency_key=with_key or key(),
        )


class GatewayContract:
    """Derive from it, and give the fixture `outside`. `page_size`: how many entries a page of its lists has."""

    page_size = 100

    @pytest.fixture
    def till(self, outside: Outside) -> Till:
        return Till(outside)

    # ── who it is ──

    def test_it_says_who_it_is(self, till: Till) -> None:
        assert till.gateway.platform
        assert till.gateway.signature_header
        assert till.gateway.livemode is False

    # ── ways to pay ──

    def test_every_way_to_pay_is_told_whole(self, till: Till) -> None:
        types = till.gateway.method_types
        assert "card" in types
        for code, type_ in types.items():
            assert (type_.code, type_.flow in FLOWS) == (code, True)
            assert type_.name
            assert type_.category
            assert type_.accepts
            assert all(len(country) == 2 and country.isupper() for country in type_.accepts)
            assert all(type_.accepts.values()), "a country whose customers pay in no currency"
            paid_in = {currency for currencies in type_.accepts.values() for currency in currencies}
            assert paid_in <= CURRENCIES
            assert set(type_.amounts) <= paid_in
            for currency, bounds in type_.amounts.items():
                told = [bound for bound in (bounds.minimum, bounds.maximum) if bound is not None]
                assert {bound.currency for bound in told} == {currency}
                assert [bound.minor for bound in told] == sorted(bound.minor for bound in told)
            shortest, longest = type_.seconds_to_pay
            assert 0 <= shortest <= longest

    async def test_a_country_where_accounts_are_has_currencies_and_cards(self, till: Till) -> None:
        told = await till.gateway.country_specification("US")
        assert (told.country, "USD" in told.currencies, "card" in told.method_types) == ("US", True, True)
        # It may name more than we can bill in.
        assert all(len(currency) == 3 and currency.isupper() for currency in told.currencies)

    async def test_a_country_where_no_account_can_be_is_not_found(self, till: Till) -> None:
        with pytest.raises(GatewayNotFound):
            await till.gateway.country_specification("ZZ")

    # ── customers and cards ──

    async def test_a_customer_is_made_once_for_each_key(self, till: Till) -> None:
        again, other = key(), key()

        async def make(with_key: str) -> str:
            return await till.gateway.create_customer(customer_id="cst_1", facts=ROSA, idempotency_key=with_key)

        first = await make(again)
        assert await make(again) == first
        assert await make(other) != first
        seen = await till.gateway.retrieve_customer(first)
        assert (seen.ref, seen.is_deleted, seen.default_payment_method_ref) == (first, False, None)
        assert await till.outside.told_of_customer(first) == ROSA

    async def test_what_is_told_of_a_customer_is_told_of_no_other_and_nothing_is_told_as_well(self, till: Till) -> None:
        customer, other = await till.customer(), await till.customer()
        card = await till.kept(customer)
        await till.gateway.set_default_payment_method(
            customer_ref=customer, payment_method_ref=card.ref, idempotency_key=key()
        )
        await till.gateway.update_customer(customer, MOVED, idempotency_key=key())
        assert await till.outside.told_of_customer(customer) == MOVED
        assert await till.outside.told_of_customer(other) == ROSA
        assert (await till.gateway.retrieve_customer(customer)).default_payment_method_ref == card.ref
        await till.gateway.update_customer(customer, CustomerFacts(), idempotency_key=key())
        assert await till.outside.told_of_customer(customer) == CustomerFacts()

    async def test_a_deleted_customer_lets_go_of_its_cards_and_keeps_what_was_charged(self, till: Till) -> None:
        customer, other = await till.customer(), await till.customer()
        card, others = await till.kept(customer), await till.kept(other)
        await till.gateway.set_default_payment_method(
            customer_ref=customer, payment_method_ref=card.ref, idempotency_key=key()
        )
        paid = await till.paid(customer, card)
        await till.gateway.delete_customer(customer)
        seen = await till.gateway.retrieve_customer(customer)
        assert (seen.ref, seen.is_deleted, seen.default_payment_method_ref) == (customer, True, None)
        let_go = await till.gateway.retrieve_payment_method(card.ref)
        assert (let_go.customer_ref, let_go.billing_details) == (None, BillingDetails())
        with pytest.raises(GatewayNotFound):
            await till.gateway.list_payment_methods(customer_ref=customer)
        assert (await till.gateway.retrieve_payment_intent(paid.ref)).captured == PRICE
        assert await till.charges(paid) == [None]
        assert await till.outside.told_of_customer(other) == ROSA
        assert [each.ref for each in await till.gateway.list_payment_methods(customer_ref=other)] == [others.ref]
        with pytest.raises(GatewayNotFound):
            await till.gateway.delete_customer(customer)
        with pytest.raises(GatewayNotFound):
            await till.gateway.update_customer(customer, ROSA, idempotency_key=key())
        with pytest.raises(GatewayRefused):
            await till.intent(customer)

    async def test_a_card_is_saved_by_a_kind_of_way_to_pay_that_the_gateway_knows(self, till: Till) -> None:
        customer = await till.customer()
        assert list((await till.setup(customer)).payment_method_types) == ["card"]
        with pytest.raises(GatewayRefused):
            await till.gateway.create_setup_intent(
                customer_ref=customer,
                usage=SetupFutureUsage.OFF_SESSION,
                method_types=["no_such_type"],
                idempotency_key=key(),
            )

    async def test_a_setup_waits_for_the_customer_and_then_names_the_card(self, till: Till) -> None:
        customer = await till.customer()
        setup = await till.setup(customer)
        assert (setup.customer_ref, setup.payment_method_ref) == (customer, None)
        assert setup.status in (IntentStatus.REQUIRES_PAYMENT_METHOD, IntentStatus.REQUIRES_ACTION)
        # Either the browser's library has a secret to go on with, or there is a page to send the customer to.
        assert setup.client_secret or (setup.next_step is not None and setup.next_step.redirect_url)
        await till.outside.enter_card(setup, Card.GOOD)
        done = await till.gateway.retrieve_setup_intent(setup.ref)
        assert (done.ref, done.status) == (setup.ref, IntentStatus.SUCCEEDED)
        card = await till.gateway.retrieve_payment_method(str(done.payment_method_ref))
        assert (card.ref, card.type, card.customer_ref) == (done.payment_method_ref, "card", customer)
        assert card.card is not None
        assert len(card.card.last4) == 4
        assert [each.ref for each in await till.gateway.list_payment_methods(customer_ref=customer)] == [card.ref]

    async def test_a_default_card_is_told_with_the_customer(self, till: Till) -> None:
        customer = await till.customer()
        card = await till.kept(customer)
        await till.gateway.set_default_payment_method(
            customer_ref=customer, payment_method_ref=card.ref, idempotency_key=key()
        )
        assert (await till.gateway.retrieve_customer(customer)).default_payment_method_ref == card.ref

    async def test_a_cards_details_change_and_what_is_not_given_stays(self, till: Till) -> None:
        card = await till.kept(await till.customer())
        assert card.card is not None
        changed = await till.gateway.update_payment_method(
            card.ref,
            name="Rosa B.",
            address=Address(city="Berlin", country="DE"),
            exp_month=11,
            exp_year=card.card.exp_year + 1,
            idempotency_key=key(),
        )
        seen = await till.gateway.retrieve_payment_method(card.ref)
        assert seen == changed
        assert seen.card is not None
        assert (seen.card.exp_month, seen.card.exp_year, seen.card.last4) == (
            11,
            card.card.exp_year + 1,
            card.card.last4,
        )
        assert (seen.billing_details.name, seen.billing_details.address.city) == ("Rosa B.", "Berlin")

    async def test_a_blanked_card_pays_on_and_tells_of_nobody(self, till: Till) -> None:
        customer = await till.customer()
        card, other = await till.kept(customer), await till.kept(customer)
        for each in (card, other):
            await till.gateway.update_payment_method(
                each.ref,
                name="Rosa B.",
                address=Address(city="Berlin", country="DE"),
                exp_month=None,
                exp_year=None,
                idempotency_key=key(),
            )
        await till.gateway.blank_payment_method(card.ref, idempotency_key=key())
        seen = await till.gateway.retrieve_payment_method(card.ref)
        assert (seen.billing_details, seen.customer_ref, seen.card) == (BillingDetails(), customer, card.card)
        assert (await till.gateway.retrieve_payment_method(other.ref)).billing_details.name == "Rosa B."
        await till.paid(customer, seen)

    async def test_a_card_of_nobody_is_not_blanked(self, till: Till) -> None:
        card = await till.kept(await till.customer())
        await till.gateway.detach_payment_method(card.ref, idempotency_key=key())
        with pytest.raises(GatewayRefused):
            await till.gateway.blank_payment_method(card.ref, idempotency_key=key())

    async def test_a_detached_card_is_nobodys_and_is_not_detached_again(self, till: Till) -> None:
        customer = await till.customer()
        card = await till.kept(customer)
        await till.gateway.detach_payment_method(card.ref, idempotency_key=key())
        assert await till.gateway.list_payment_methods(customer_ref=customer) == []
        with pytest.raises(GatewayRefused):
            await till.gateway.detach_payment_method(card.ref, idempotency_key=key())
        with pytest.raises(GatewayRefused):
            await till.confirm(await till.intent(customer), card)

    async def test_what_is_no_card_token_stays_as_it_is(self, till: Till) -> None:
        card = await till.kept(await till.customer())
        assert await till.gateway.redeem_card_token(card.ref, idempotency_key=key()) == card.ref

    # ── charging ──

    async def test_an_intent_is_made_once_for_each_key_and_found_by_its_invoice(self, till: Till) -> None:
        customer, invoice, again = await till.customer(), f"inv_{uuid4().hex}", key()
        first = await till.intent(customer, invoice=invoice, idempotency_key=again)
        second = await till.intent(customer, invoice=invoice, idempotency_key=again)
        assert (second.ref, second.invoice_id, second.amount) == (first.ref, invoice, PRICE)
        assert (first.customer_ref, first.captured, first.last_problem) == (customer, Money(0, "USD"), None)
        await till.intent(customer)
        other = await till.customer()
        await till.intent(other, invoice=invoice)

        async def found(customer: str, **more: Any) -> Sequence[str]:
            asked = {"customer_ref": customer, "invoice_id": invoice, "created_since": None, **more}
            return [each.ref for each in await till.gateway.find_payment_intents(**asked)]

        assert await found(customer) == [first.ref]
        assert await found(customer, created_since=first.created_at) == [first.ref]
        assert await found(customer, created_since=first.created_at + timedelta(days=1)) == []
        assert await found(customer, invoice_id="inv_none") == []

    async def test_a_good_card_pays_all_at_once(self, till: Till) -> None:
        customer = await till.customer()
        card = await till.kept(customer)
        paid = await till.paid(customer, card)
        assert (paid.captured, paid.payment_method_ref, paid.next_step) == (PRICE, card.ref, None)
        seen = await till.gateway.retrieve_payment_intent(paid.ref)
        assert (seen.status, seen.captured) == (IntentStatus.SUCCEEDED, PRICE)
        (charge,) = await till.gateway.find_charges(paid.ref)
        assert (charge.intent_ref, charge.problem, charge.payment_method_ref) == (paid.ref, None, card.ref)
        assert charge.ref == seen.latest_charge_ref
        assert await till.gateway.retrieve_charge(charge.ref) == charge

    async def test_a_refused_card_is_an_answer_and_another_one_pays_the_same_intent(self, till: Till) -> None:
        customer = await till.customer()
        bad, good = await till.kept(customer, Card.REFUSED), await till.kept(customer)
        intent = await till.intent(customer)
        refused = await till.confirm(intent, bad)
        assert (refused.ref, refused.status) == (intent.ref, IntentStatus.REQUIRES_PAYMENT_METHOD)
        assert refused.last_problem is not None
        assert (refused.last_problem_method_ref, refused.captured.minor) == (bad.ref, 0)
        paid = await till.confirm(intent, good)
        assert (paid.ref, paid.status, paid.captured) == (intent.ref, IntentStatus.SUCCEEDED, PRICE)
        assert await till.charges(intent) == [refused.last_problem.code, None]

    async def test_the_same_key_is_the_same_answer_and_charges_once(self, till: Till) -> None:
        customer = await till.customer()
        card = await till.kept(customer)
        intent, again = await till.intent(customer), key()
        first = await till.confirm(intent, card, with_key=again)
        second = await till.confirm(intent, card, with_key=again)
        assert (first.status, second.status) == (IntentStatus.SUCCEEDED, IntentStatus.SUCCEEDED)
        assert await till.charges(intent) == [None]

    async def test_what_is_paid_is_not_paid_again(self, till: Till) -> None:
        customer = await till.customer()
        card = await till.kept(customer)
        paid = await till.paid(customer, card)
        with pytest.raises(GatewayRefused):
            await till.confirm(paid, card)
        assert await till.charges(paid) == [None]

    @pytest.mark.parametrize("agrees", [True, False])
    async def test_a_bank_that_asks_waits_for_the_customer(self, till: Till, agrees: bool) -> None:
        customer = await till.customer()
        card = await till.kept(customer, Card.ASKING)
        intent = await till.confirm(await till.intent(customer), card, off_session=False)
        assert (intent.status, intent.captured.minor) == (IntentStatus.REQUIRES_ACTION, 0)
        assert intent.next_step is not None
        await till.outside.answer_bank(intent, agrees=agrees)
        seen = await till.gateway.retrieve_payment_intent(intent.ref)
        if agrees:
            assert (seen.status, seen.captured, seen.last_problem) == (IntentStatus.SUCCEEDED, PRICE, None)
        else:
            assert (seen.status, seen.captured.minor) == (IntentStatus.REQUIRES_PAYMENT_METHOD, 0)
            assert seen.last_problem is not None

    async def test_without_the_customer_a_bank_that_asks_is_a_refusal_that_says_so(self, till: Till) -> None:
        customer = await till.customer()
        card = await till.kept(customer, Card.ASKING)
        intent = await till.confirm(await till.intent(customer), card)
        assert intent.status is IntentStatus.REQUIRES_PAYMENT_METHOD
        assert intent.last_problem is not None
        assert classify(intent.last_problem) is DeclineClass.CUSTOMER_AUTHENTICATES

    async def test_the_customer_pays_in_the_browser(self, till: Till) -> None:
        intent = await till.intent(await till.customer())
        await till.outside.pay(intent, Card.GOOD)
        paid = await till.gateway.retrieve_payment_intent(intent.ref)
        assert (paid.status, paid.captured) == (IntentStatus.SUCCEEDED, PRICE)
        assert await till.charges(intent) == [None]

    async def test_whether_the_card_is_kept_can_be_changed_until_it_pays(self, till: Till) -> None:
        intent = await till.intent(await till.customer())
        for usage in (SetupFutureUsage.OFF_SESSION, None):
            changed = await till.gateway.update_payment_intent(
                intent.ref, setup_future_usage=usage, idempotency_key=key()
            )
            assert changed.setup_future_usage is usage

    # ── what is not known ──

    async def test_a_lost_answer_is_unknown_and_the_intent_tells_the_rest(self, till: Till) -> None:
        customer = await till.customer()
        card = await till.kept(customer)
        intent, again = await till.intent(customer), key()
        await till.outside.lose_next_answer()
        with pytest.raises(GatewayUnavailable):
            await till.confirm(intent, card, with_key=again)
        assert (await till.gateway.retrieve_payment_intent(intent.ref)).status is IntentStatus.SUCCEEDED
        assert (await till.confirm(intent, card, with_key=again)).status is IntentStatus.SUCCEEDED
        assert await till.charges(intent) == [None]

    async def test_a_call_that_never_arrived_changed_nothing_and_may_be_repeated(self, till: Till) -> None:
        customer = await till.customer()
        card = await till.kept(customer)
        intent, again = await till.intent(customer), key()
        await till.outside.lose_next_call()
        with pytest.raises(GatewayUnavailable):
            await till.confirm(intent, card, with_key=again)
        assert await till.charges(intent) == []
        assert (await till.confirm(intent, card, with_key=again)).status is IntentStatus.SUCCEEDED
        assert await till.charges(intent) == [None]

    async def test_an_intent_whose_making_was_not_answered_is_found(self, till: Till) -> None:
        customer, invoice = await till.customer(), f"inv_{uuid4().hex}"
        await till.outside.lose_next_answer()
        with pytest.raises(GatewayUnavailable):
            await till.intent(customer, invoice=invoice)
        (found,) = await till.gateway.find_payment_intents(
            customer_ref=customer, invoice_id=invoice, created_since=None
        )
        assert (found.invoice_id, found.amount) == (invoice, PRICE)

    # ── canceling ──

    async def test_a_canceled_intent_charges_nobody(self, till: Till) -> None:
        customer = await till.customer()
        card = await till.kept(customer)
        intent = await till.intent(customer)
        canceled = await till.gateway.cancel_payment_intent(intent.ref, idempotency_key=key())
        assert (canceled.ref, canceled.status) == (intent.ref, IntentStatus.CANCELED)
        with pytest.raises(GatewayRefused):
            await till.confirm(intent, card)
        assert await till.charges(intent) == []
        again = await till.gateway.cancel_payment_intent(intent.ref, idempotency_key=key())
        assert again.status is IntentStatus.CANCELED

    async def test_what_is_paid_is_not_canceled(self, till: Till) -> None:
        paid = await till.paid(await till.customer())
        answer = await till.gateway.cancel_payment_intent(paid.ref, idempotency_key=key())
        assert (answer.status, answer.captured) == (IntentStatus.SUCCEEDED, PRICE)
        assert (await till.gateway.retrieve_payment_intent(paid.ref)).status is IntentStatus.SUCCEEDED

    # ── giving back ──

    async def test_money_goes_back_once_for_each_key_and_carries_our_refund(self, till: Till) -> None:
        paid = await till.paid(await till.customer())
        again = key()
        first = await till.refund(paid, PART, refund="rfd_one", with_key=again)
        assert (await till.refund(paid, PART, refund="rfd_one", with_key=again)).ref == first.ref
        assert (first.intent_ref, first.amount, first.refund_id) == (paid.ref, PART, "rfd_one")
        assert first.status in (RefundStatus.SUCCEEDED, RefundStatus.PENDING)
        rest = await till.refund(paid, REST, refund="rfd_two")
        found = await till.gateway.find_refunds(paid.ref)
        assert [(each.ref, each.refund_id) for each in found] == [(first.ref, "rfd_one"), (rest.ref, "rfd_two")]
        assert (await till.gateway.retrieve_refund(first.ref)).amount == PART
        listed = await everything(lambda after: till.gateway.list_refunds(created_since=None, after=after))
        mine = [each.ref for each in listed if each.intent_ref == paid.ref]
        assert mine == [rest.ref, first.ref]

    async def test_more_than_was_paid_never_goes_back(self, till: Till) -> None:
        paid = await till.paid(await till.customer())
        await till.refund(paid, PART)
        for amount in (PRICE, PART):
            with pytest.raises(GatewayRefused):
                await till.refund(paid, amount)
        assert [each.amount for each in await till.gateway.find_refunds(paid.ref)] == [PART]

    async def test_what_was_not_paid_does_not_go_back(self, till: Till) -> None:
        intent = await till.intent(await till.customer())
        with pytest.raises(GatewayRefused):
            await till.refund(intent, PART)
        assert await till.gateway.find_refunds(intent.ref) == []

    async def test_a_refund_whose_answer_was_lost_is_found_by_our_id(self, till: Till) -> None:
        paid = await till.paid(await till.customer())
        await till.outside.lose_next_answer()
        with pytest.raises(GatewayUnavailable):
            await till.refund(paid, PART, refund="rfd_lost")
        assert [each.refund_id for each in await till.gateway.find_refunds(paid.ref)] == ["rfd_lost"]

    async def test_a_payment_that_nobody_objects_to_has_no_disputes(self, till: Till) -> None:
        paid = await till.paid(await till.customer())
        assert await till.gateway.find_disputes(paid.ref) == []
        listed = await everything(lambda after: till.gateway.list_disputes(created_since=None, after=after))
        assert [each for each in listed if each.intent_ref == paid.ref] == []

    # ── lists and news ──

    async def test_lists_go_through_everything_newest_first(self, till: Till) -> None:
        customer = await till.customer()
        made = [await till.intent(customer) for _ in range(self.page_size + 1)]
        listed = await everything(lambda after: till.gateway.list_payment_intents(created_since=None, after=after))
        assert [each.ref for each in listed if each.customer_ref == customer] == [each.ref for each in reversed(made)]
        since = await till.gateway.list_payment_intents(created_since=made[-1].created_at, after=None)
        assert made[-1].ref in [each.ref for each in since.items]
        later = made[-1].created_at + timedelta(days=1)
        assert (await till.gateway.list_payment_intents(created_since=later, after=None)).items == []

    async def test_charges_are_listed_once_they_ended(self, till: Till) -> None:
        customer = await till.customer()
        paid = await till.paid(customer)
        waiting = await till.intent(customer)
        listed = await everything(lambda after: till.gateway.list_charges(after=after))
        assert [each.problem for each in listed if each.intent_ref == paid.ref] == [None]
        assert [each for each in listed if each.intent_ref == waiting.ref] == []

    async def test_news_say_whose_cards_and_which_payments_to_look_at(self, till: Till) -> None:
        customer = await till.customer()
        setup = await till.setup(customer)
        since = setup.created_at
        await till.outside.enter_card(setup, Card.GOOD)
        paid = await till.paid(customer)
        await till.refund(paid, PART)
        cards = await everything(lambda after: till.gateway.list_card_news(created_since=since, after=after))
        assert customer in {each.customer_ref for each in cards}
        returns = await everything(lambda after: till.gateway.list_return_news(created_since=since, after=after))
        assert paid.ref in returns

    async def test_coupons_of_a_dashboard_are_listed_or_there_are_none(self, till: Till) -> None:
        for ask in (till.gateway.list_coupons, till.gateway.list_promotion_codes):
            await everything(lambda after, ask=ask: ask(after=after))

    # ── what is nowhere ──

    async def test_what_does_not_exist_is_not_found(self, till: Till) -> None:
        gateway = till.gateway
        for retrieve in (
            gateway.retrieve_customer,
            gateway.retrieve_setup_intent,
            gateway.retrieve_payment_method,
            gateway.retrieve_payment_intent,
            gateway.retrieve_charge,
            gateway.retrieve_refund,
            gateway.retrieve_dispute,
            gateway.retrieve_coupon,
            gateway.retrieve_promotion_code,
        ):
            with pytest.raises(GatewayNotFound):
                await retrieve("none")
        for change in (gateway.blank_payment_method, gateway.detach_payment_method, gateway.cancel_payment_intent):
            with pytest.raises(GatewayNotFound):
                await change("none", idempotency_key=key())
        with pytest.raises(GatewayNotFound):
            await gateway.list_payment_methods(customer_ref="none")
        with pytest.raises(GatewayNotFound):
            await gateway.update_customer("none", ROSA, idempotency_key=key())
        with pytest.raises(GatewayNotFound):
            await gateway.delete_customer("none")
        with pytest.raises(GatewayRefused):
            await till.setup("none")
        with pytest.raises(GatewayRefused):
            await till.intent("none")

    # ── webhooks ──

    async def test_a_webhook_is_believed_as_it_left_the_gateway(self, till: Till) -> None:
        customer = await till.customer()
        intent = await till.intent(customer)
        told = await till.outside.delivery(till.confirm(intent, await till.kept(customer)))
        hint = till.gateway.verify_webhook(told.body, told.signature, now=told.sent_at)
        assert (hint.object_kind, hint.object_ref) == ("payment_intent", intent.ref)
        assert hint.ref
        for late in (TOLERANCE, -TOLERANCE):
            assert till.gateway.verify_webhook(told.body, told.signature, now=told.sent_at + late) == hint

    async def test_a_webhook_that_is_forged_altered_or_old_is_refused(self, till: Till) -> None:
        customer = await till.customer()
        card = await till.kept(customer)
        told = await till.outside.delivery(till.paid(customer, card))
        longer = TOLERANCE + timedelta(seconds=1)
        for body, signature, now in (
            (told.body, None, told.sent_at),
            (told.body, "", told.sent_at),
            (told.body, "nonsense", told.sent_at),
            (told.body, told.signature[:-1] + ("0" if told.signature[-1] != "0" else "1"), told.sent_at),
            (told.body + b" ", told.signature, told.sent_at),
            (told.body.replace(b"a", b"b", 1), told.signature, told.sent_at),
            (told.body, told.signature, told.sent_at + longer),
            (told.body, told.signature, told.sent_at - longer),
        ):
            with pytest.raises(WebhookRefused):
                till.gateway.verify_webhook(body, signature, now=now)
