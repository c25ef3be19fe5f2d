"""How a customer stands: everything that the API tells its owner, comparable from run to run.

Ids are replaced by their kind, instants stay exact where they belong to the contract (periods) and are left out where
they only say when somebody noticed.
"""

import re
from typing import Any

from tests.support.house import House
from tests.support.outside import gateway_books

STANDING = """
query Standing {
  me {
    id
    defaultPaymentMethod { card { last4 } }
    paymentMethods(first: 3) { nodes { isDefault card { last4 brand } } }
    subscriptions(first: 3) {
      nodes {
        id
        status
        isActive
        currencyCode
        amount { amountMinor }
        currentPeriod { start end }
        nextBillingAt
        cancelAtPeriodEnd
        paymentConfirmation
        nextAction { type redirectUrl clientSecret }
        effectivePaymentMethod { card { last4 } }
        statusHistory { from to }
        plan { code }
        invoices(first: 3) {
          nodes {
            id
            status
            reason
            total { formatted }
            amountPaid { formatted }
            amountDue { formatted }
            lines { description quantity amount { amountMinor } explanation { text formula } }
            payments {
              id
              status
              statusLiteral
              success
              amountPaid { amountMinor }
              error { code declineCode isRetryable }
              paymentMethod { card { last4 } }
              intent { status setupFutureUsage clientSecret lastError { code } nextAction { type } }
              attempts {
                sequence
                trigger
                outcome
                error { code declineCode }
                paymentMethod { card { last4 } }
              }
            }
          }
        }
      }
    }
  }
}
"""

_ID = re.compile(r"^(cst|sbs|inv|pay|pmd)_[0-9a-f]{32}$")


async def standing(house: House, user: str) -> dict[str, Any]:
    """The customer's whole standing, and the gateway's books beside it."""
    told = await house.ask(STANDING, user=user)
    return {"customer": nameless(told["me"]), "gateway": await gateway_books(house)}


def nameless(value: Any) -> Any:
    """The same JSON with each of our ids replaced by its kind."""
    if isinstance(value, dict):
        return {key: nameless(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [nameless(inner) for inner in value]
    if isinstance(value, str):
        return _ID.sub(r"\1", value)
    return value
