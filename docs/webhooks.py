"""docs/webhooks.md: being told of what happens. Its tables are the code's own."""

from datetime import timedelta

from billing.delivering import RETRY_AFTER
from billing.events import EVENT_MEANINGS
from docs.markdown import page, table
from gateways.https import ANSWER_SECONDS
from services.events.delivering import LANES
from services.events.endpoints import MOST_ENDPOINTS, ROTATION

INTRODUCTION = """Your own programs learn what happens in two ways, and both tell the same: **webhooks**, sent to
addresses of yours, and **`billingEvents`**, a stream that you read on from wherever you were. Webhooks are fast; the
stream misses nothing, however long you were away. An administrator sets endpoints up; the stream is for administrators
and for API keys with the scope `read`."""

SET_UP = """```graphql
mutation {
  createWebhookEndpoint(input: { url: "https://shop.example/hooks", eventTypes: ["subscription.*", "invoice.paid"] }) {
    webhookEndpoint { id }
    secret
    userErrors { code message field }
  }
}
```

The secret is told this once. Without `eventTypes` an endpoint is told of everything."""

VERIFY = """Deliveries are signed by the rules of [Standard Webhooks](https://www.standardwebhooks.com): take its
library for your language and give it the body as it came, before anything has parsed it.

```python
from standardwebhooks import Webhook

event = Webhook("whsec_…").verify(body, headers)  # raises when it is not from us, or older than five minutes
```

```javascript
import { Webhook } from "standardwebhooks";

const event = new Webhook("whsec_…").verify(body, headers);
```

The headers are `webhook-id`, `webhook-timestamp` and `webhook-signature`. The id is the event's own: a delivery that
comes again, by itself or by hand, has the same one, so remember the ids that you have worked on. Deliveries may come
out of order; `timestamp` in the body says when a thing happened, in billing time."""

ANSWER = f"""Answer with 2xx within {ANSWER_SECONDS:.0f} seconds, and do the work afterwards. Anything else is a
failure, a redirect too, and is tried again:"""

GIVEN_UP = f"""Then it is a DEAD_LETTER. `redeliverWebhook` sends any delivery again, with all its tries before it;
`webhookEndpoints` shows each endpoint's deliveries with the last answer. By **410** an endpoint turns itself off for
good: it gets nothing more until `updateWebhookEndpoint` enables it. What happens while it is off is not sent later, and
what comes due meanwhile is given up; the stream has it all.

At most {MOST_ENDPOINTS} endpoints are kept, and each gets {LANES} deliveries at a time from each worker. A slow one
waits for itself alone."""

ROTATE = f"""`rotateWebhookSecret` gives a new secret. For {ROTATION // timedelta(hours=1)} hours everything is signed
with both, so change your side within that time; nothing is refused in between. Asked for again, also because the answer
was lost, only the last two sign: then change your side at once."""

BODY = """```json
{
  "id": "bev_01a2270589cd73a79a19332a6f503b31",
  "type": "subscription.activated",
  "timestamp": "2026-01-31T09:30:00Z",
  "data": {
    "from": "incomplete",
    "to": "active",
    "cause": "subscribe",
    "actor": "customer",
    "kid": "user_kid",
    "subscription_id": "sbs_01a2270588ec723485b4d7438bc53055",
    "interval": "month",
    "payment_method_id": "pmd_01a22705874872939c543faeb6ec242a",
    "total_paid": 4900,
    "name": null,
    "coupon_id": null,
    "daily_classic_coffee_count": 1,
    "total_classic_coffee_count": 28,
    "user_metadata": {
      "first_name": "",
      "last_name": "",
      "phone_number": "",
      "kid": "user_kid",
      "birth_date": "",
      "email": "someone@example.com",
      "emirate": ""
    },
    "created_at": "2026-01-31T09:30:00Z",
    "status": "active",
    "plan_code": "classic-coffee-monthly",
    "currency": "AED"
  }
}
```

There is more in it than shown, and more may come: take what you know and leave the rest."""

WORDS = (
    ("`kid`", "your own id of the customer (`externalId`), or null"),
    ("`subscription_id`", "your own id of the subscription (`externalId`); without one, ours"),
    ("`perennial_subscription_id`, `customer_id`, `user_id`", "ours, ours, and the token's `sub`"),
    ("`interval`, `interval_count`", "`day`, `week`, `month` or `year`, and how many of them make a period"),
    ("`payment_method_id`", "the card that pays, its own or the default one; our id, null where invoices are sent"),
    ("`total_paid`, `amount`, …", "minor units of `currency`: 4900 is 49.00"),
    ("`coupon_id`, `coupon_ids`", "the code of the first coupon on it, and of all"),
    ("`daily_…_count`, `total_…_count`", "by unit of credits: how many a day (0: no limit of its own) and in all"),
    ("`user_metadata`", 'who the customer is; what is not known is `""`'),
    ("`from`, `to`, `cause`, `actor`", "the change of status, what brought it about, and whose role that was"),
    ("`invoice`, `payment`, `refund`", "what the event is about besides, each with its id, status and amounts"),
)

AS_OF = """What is told is what was so when the event became readable, a moment after it happened, and it never changes
afterwards, but for a person who is [forgotten](customers.md#forgetting-a-person): `to` is the status that the event
brought, `status` may be a later one already."""

STREAM = """```graphql
query Next($after: String) {
  billingEvents(after: $after, types: ["subscription.*"], first: 100) {
    nodes { id cursor type at payload }
    pageInfo { hasNextPage }
  }
}
```

Work on each event, keep its `cursor` in the same transaction, and ask for what follows it. Events become readable in
one order that is the same for all, and none is put before one that can be read already: whoever reads on has left
nothing out. They become readable by the worker, within a second or so of happening. A cursor holds whatever `types` are
asked for."""

TARGETS = """Endpoints have public addresses and speak HTTPS with a certificate that holds. Private, local and reserved
addresses are refused when an endpoint is made and again at each delivery, whatever a name resolves to by then; the
operator allows networks of their own in `PERENNIAL_WEBHOOK_PRIVATE_TARGETS`. In development this very machine may be
told, by plain HTTP too."""


def render() -> str:
    return page(
        "Webhooks and events",
        INTRODUCTION,
        "## Setting up an endpoint",
        SET_UP,
        "## Verifying what comes",
        VERIFY,
        "## Answering",
        ANSWER,
        table(["failed try", "the next one follows after"], _tries()),
        GIVEN_UP,
        "## Another secret",
        ROTATE,
        "## The body",
        BODY,
        table(["word", "meaning"], WORDS),
        AS_OF,
        "## Reading the stream",
        STREAM,
        "## Which addresses",
        TARGETS,
        "## Events",
        table(["type", "what has happened"], ((f"`{type}`", meaning) for type, meaning in EVENT_MEANINGS.items())),
    )


def _tries() -> list[list[str]]:
    waits = [[str(n), _span(wait)] for n, wait in enumerate(RETRY_AFTER, 1)]
    return [*waits, [str(len(waits) + 1), "none: it is given up"]]


def _span(wait: timedelta) -> str:
    for unit, name in ((timedelta(hours=1), "h"), (timedelta(minutes=1), "min")):
        if wait >= unit:
            return f"{wait // unit} {name}"
    return f"{wait // timedelta(seconds=1)} s"
