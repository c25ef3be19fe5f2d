"""docs/dunning.md: what follows a refused renewal. Its tables are the engine's own answers."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from billing.charging import DECLINE_CODES, CardProblem, DeclineClass
from billing.dunning import (
    AFTER,
    AFTER_MEANINGS,
    MAX_TRIES,
    TRIES_SPAN,
    Card,
    DunningPolicy,
    Fate,
    FinalAction,
    Tried,
    fates,
    next_step,
)
from docs.markdown import page, table

INTRODUCTION = """A renewal that is refused leaves its subscription PAST_DUE: access goes on for a grace
period, the invoice stays open, and the card is tried again on the days of the organization's policy, counted
from the invoice's first failure. `Invoice.nextPaymentAttemptAt` and `Payment.nextRetryAt` tell when. The
policy is read with `organization` and changed with `updateDunningPolicy` by administrators; it decides from
the next refusal on."""

BOUNDS = f"""Whatever the policy says, an invoice is never tried more than {MAX_TRIES} times within
{TRIES_SPAN.days} days with one card while the customer is away, and never again with a card that said no.
Tries of a customer who is present (`retryPayment`, `startSubscriptionPayment`) do not count here; they have a
bound of their own. While the oldest invoice is open the next periods are billed, but nothing is tried for
them."""

WORKED = """Declined in the same way each time, with the policy that is in force unless somebody changes
it:"""

NEW_CARD = """Another default card, or another one pinned to the subscription, is tried on the open invoice at
once, whatever the first one's decline was. Where the bank wants its customer, `nextAction` asks for them: the
same intent is confirmed in the browser."""

END = """When the last day has not helped, or nothing can be tried on it, the final action is carried out. An
open intent is canceled at the gateway first; if it turns out to be paid, that wins. A cancellation asks for what was
used, or waited for the next invoice, by one last invoice, which is tried on the same days. What is written off
and comes after all is recorded with `recordManualPayment`."""

BACK = """What is UNPAID or left PAST_DUE comes back when its open invoice is paid, by the customer, with a
new card or by a late answer of the gateway. If its period is over by then a new one begins at that instant
and is billed at once: periods are counted from there, or stay on the billing day. What gave no access is not
asked for, the oldest invoice aside: paying it is the way back."""

SMALL = """An invoice that is too small for the gateway is no failure: what is due moves to the customer's
balance and is asked for with a later invoice. What is still owed so when the customer's last subscription
ends is written off."""

_ACTIONS = {
    FinalAction.CANCEL: "CANCELED, with the reason PAYMENT_FAILED",
    FinalAction.UNPAID: "UNPAID: no access, nothing more is billed",
    FinalAction.LEAVE: "PAST_DUE: access as the grace says, nothing more is billed",
}
_FATES = {Fate.KEEP: "stays open to be paid", Fate.VOID: "voided", Fate.WRITE_OFF: "written off (UNCOLLECTIBLE)"}
_FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def render() -> str:
    return page(
        "Dunning",
        INTRODUCTION,
        "## What is tried again",
        table(["class of the decline", "what follows by itself"], _classes()),
        BOUNDS,
        WORKED,
        table(["class of the decline", "tried after", "given up after"], (_worked(each) for each in DeclineClass)),
        NEW_CARD,
        "## The end",
        END,
        table(["final action", "the subscription", "unpaid, with access", "unpaid, without access"], _ends()),
        BACK,
        "## Small amounts",
        SMALL,
    )


def _classes() -> Iterable[list[str]]:
    return ([f"`{each}`", AFTER_MEANINGS[AFTER[each]]] for each in DeclineClass)


def _worked(decline_class: DeclineClass) -> list[str]:
    code = next(iter(sorted(DECLINE_CODES.get(decline_class, ()))), "insufficient_funds")
    policy, card = DunningPolicy(), Card("a card", _FIRST)
    tries = [Tried(_FIRST, card.id, True, CardProblem("card_declined", "", code))]
    while (step := next_step(policy, _FIRST, tries, card)).try_at is not None:
        tries.append(Tried(step.try_at, card.id, True, tries[0].problem))
    made = ", ".join(_after(each.at) for each in tries)
    return [f"`{decline_class}`", made, _after(step.give_up_at)]


def _after(instant: datetime) -> str:
    passed = instant - _FIRST
    if not passed:
        return "0"
    days, hours = passed.days, passed // timedelta(hours=1)
    return f"{days} d" if passed == timedelta(days=days) else f"{hours} h"


def _ends() -> Iterable[list[str]]:
    until = _FIRST + timedelta(days=7)
    for action in FinalAction:
        with_access, without = fates(action, [_FIRST, until], until)
        yield [f"`{action.name}`", _ACTIONS[action], _FATES[with_access], _FATES[without]]
