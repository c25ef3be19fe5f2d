"""docs/errors.md: every code that a client can meet, what it means and what to do."""

from billing.charging import DECLINE_ADVICE, DECLINE_CODES, DeclineClass
from billing.errors import ERROR_MEANINGS
from docs.markdown import code, page, table
from schema.errors import RequestErrorCode

AS_DATA = """A refusal that the caller can act on is data: it stands in the payload's `userErrors`, beside whatever the
step has done. `field` is the path of the input at fault. Show the customer the `message`; decide by the `code`."""

AS_ERRORS = """What was not executed, is not allowed or went wrong stands in the top-level `errors`, its code in
`extensions.code`, with the `requestId` to quote and the `timestamp` of the request. An object that does not exist
or is not yours is `null`, never an error."""

DECLINES = """A declined card's reason belongs to one of five classes. The issuer's reason decides, then the code, then
the advice; a reason that is not listed is of the class `soft`. A card is tried again without the customer only in the
classes `soft` and `technical`."""

REQUEST_MEANINGS: dict[RequestErrorCode, str] = {
    RequestErrorCode.UNAUTHENTICATED: "The credential is missing or does not hold. Get a new token or API key.",
    RequestErrorCode.FORBIDDEN: "Your role or API key may not use this field. Leave it out, or get the scope.",
    RequestErrorCode.GRAPHQL_PARSE_FAILED: "The document is no GraphQL. Correct it at the given location.",
    RequestErrorCode.GRAPHQL_VALIDATION_FAILED: "The document does not fit the schema. Correct it as the message says.",
    RequestErrorCode.QUERY_TOO_COMPLEX: "The document is too deep, too wide or too costly. Ask for less at a time.",
    RequestErrorCode.BAD_USER_INPUT: "An argument or a variable has a value of the wrong kind. Correct it.",
    RequestErrorCode.BAD_REQUEST: "The request is no GraphQL over HTTP. Correct it as the message says.",
    RequestErrorCode.METHOD_NOT_ALLOWED: "Use POST, or GET for a query.",
    RequestErrorCode.NOT_ACCEPTABLE: "No media type in `Accept` can be served. Accept `application/json`.",
    RequestErrorCode.PAYLOAD_TOO_LARGE: "The body is too large. Send less.",
    RequestErrorCode.UNSUPPORTED_MEDIA_TYPE: "Send `Content-Type: application/json`.",
    RequestErrorCode.RATE_LIMITED: (
        "You ask for too much at a time. Wait for the seconds that `Retry-After` or `extensions.retryAfter` tells."
    ),
    RequestErrorCode.ORIGIN_REFUSED: "Pages of this origin may not call. Its operator can add the origin.",
    RequestErrorCode.PREFLIGHT_REQUIRED: "Add the header `graphql-require-preflight: 1`.",
    RequestErrorCode.UNAVAILABLE: "The server cannot answer at present. Repeat the request later.",
    RequestErrorCode.TIMEOUT: "The request took too long and was given up. Read the state before you repeat it.",
    RequestErrorCode.INTERNAL: "A fault of ours, masked. Report it with the request id.",
}

DECLINE_MEANINGS: dict[DeclineClass, str] = {
    DeclineClass.NEW_CARD: "This card will not be charged. Ask for another card.",
    DeclineClass.CUSTOMER_UPDATES: "The card's details are wrong or have ended. Ask the customer to correct them.",
    DeclineClass.CUSTOMER_AUTHENTICATES: "The bank wants its customer. Have the same payment confirmed in the browser.",
    DeclineClass.SOFT: "Not now: try the same card on a later day.",
    DeclineClass.TECHNICAL: "Nobody's fault: try the same card within minutes.",
}


def render() -> str:
    return page(
        "Errors",
        "## Refusals: `userErrors`",
        AS_DATA,
        table(["code", "meaning, and what to do"], ((f"`{c}`", meaning) for c, meaning in ERROR_MEANINGS.items())),
        "## Requests that failed: `errors`",
        AS_ERRORS,
        table(["code", "meaning, and what to do"], ((f"`{c}`", meaning) for c, meaning in REQUEST_MEANINGS.items())),
        "## Declined cards",
        DECLINES,
        table(["class", "what to do", "reasons", "advice"], (_decline_row(c) for c in DeclineClass)),
    )


def _decline_row(decline_class: DeclineClass) -> list[str]:
    reasons = sorted(DECLINE_CODES.get(decline_class, ()))
    advice = [advice for advice, advised in DECLINE_ADVICE.items() if advised is decline_class]
    return [
        f"`{decline_class}`",
        DECLINE_MEANINGS[decline_class],
        code(reasons) or "any other",
        code(advice) or "–",
    ]
