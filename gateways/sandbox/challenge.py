"""The challenge: what stands for the bank's 3-D Secure page.

Owns: the page for a person, the convention for programs (POST `outcome=succeeded|failed` to the same address) and where
the answer leads. The unguessable token in the address is the only key. No scripts, so it works under any policy.
"""

import hmac
from html import escape
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from gateways.sandbox import payment_intents, setup_intents
from gateways.sandbox.calls import Body, Call
from gateways.sandbox.currencies import written
from gateways.sandbox.store import Record, Unit

ANSWERERS = {
    "payment_intent": payment_intents.answer_challenge,
    "setup_intent": setup_intents.answer_challenge,
}
OUTCOMES = ("succeeded", "failed")
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors *; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Access-Control-Allow-Origin": "*",
}


async def find_challenged(unit: Unit, identity: str, token: str) -> Record | None:
    """The intent whose challenge, waiting or answered, has this token."""
    kind = "setup_intent" if identity.startswith("seti_") else "payment_intent"
    intent = await unit.find(kind, identity)
    if intent is None:
        return None
    for name in ("challenge", "answered"):
        known = intent.private.get(name)
        if known and hmac.compare_digest(known["token"].encode(), token.encode()):
            return intent
    return None


def waits(intent: Record, token: str) -> bool:
    challenge = intent.private.get("challenge")
    return intent.body["status"] == "requires_action" and bool(challenge) and challenge["token"] == token


async def settle(call: Call, intent: Record, token: str, outcome: str) -> None:
    """Carry out the holder's answer, once; answering again changes nothing."""
    if not waits(intent, token):
        return
    intent.private["answered"] = {**intent.private["challenge"], "outcome": outcome}
    call.unit.change(intent)
    await ANSWERERS[intent.body["object"]](call, intent, passed=outcome == "succeeded")


async def read_outcome(request: Request) -> str | None:
    fields = parse_qs((await request.body()).decode(errors="replace"))
    outcome = fields.get("outcome", [""])[0]
    return outcome if outcome in OUTCOMES else None


def after_answer(request: Request, intent: Body, answered: Body) -> Response:
    """Back to the shop, with the query names its page expects; a plain answer when there is nowhere to go."""
    if return_url := answered.get("return_url"):
        return RedirectResponse(_with_result(return_url, intent), status_code=303, headers=HEADERS)
    if "text/html" in request.headers.get("accept", ""):
        return _page("Answered", "<p>You can close this page and return to the shop.</p>")
    told = {"id": intent["id"], "object": intent["object"], "status": intent["status"], "livemode": False}
    return JSONResponse(told, headers=HEADERS)


def _with_result(return_url: str, intent: Body) -> str:
    kind, parts = intent["object"], urlsplit(return_url)
    good = intent["status"] in ("succeeded", "requires_capture", "requires_confirmation", "processing")
    result = urlencode(
        {
            kind: intent["id"],
            f"{kind}_client_secret": intent["client_secret"],
            "redirect_status": "succeeded" if good else "failed",
        }
    )
    query = f"{parts.query}&{result}" if parts.query else result
    return urlunsplit(parts._replace(query=query))


def missing_page() -> Response:
    return _page("Nothing to confirm", "<p>This address belongs to no challenge.</p>", status=404)


def bad_outcome() -> Response:
    told = {"error": {"message": "Send outcome=succeeded or outcome=failed.", "param": "outcome"}}
    return JSONResponse(told, status_code=400, headers=HEADERS)


def page(intent: Body, *, waiting: bool) -> Response:
    """What a person sees: what is asked for, and two buttons."""
    if intent["object"] == "payment_intent":
        what = (
            f"Pay <strong>{written(intent['amount'], intent['currency'])} {escape(intent['currency'].upper())}</strong>"
        )
    else:
        what = "Save your card for later payments"
    if not waiting:
        return _page("Already answered", f"<p>{what}</p><p>This challenge was answered before.</p>")
    buttons = (
        '<form method="post">'
        '<button name="outcome" value="succeeded" class="good">Complete authentication</button>'
        '<button name="outcome" value="failed">Fail authentication</button></form>'
    )
    return _page(
        "Confirm it is you",
        f"<p>{what}</p><p class='quiet'>Your bank would ask for a code here. "
        f"Choose how it ends.</p>{buttons}<p class='quiet'><code>{escape(intent['id'])}</code></p>",
    )


_STYLE = """
:root{color-scheme:light dark}*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1rem;font:16px/1.5 system-ui,sans-serif;
background:#eef1f6;color:#1a2233}
main{width:100%;max-width:26rem;background:#fff;border-radius:14px;overflow:hidden;
box-shadow:0 10px 40px rgba(20,30,60,.15)}
.mark{background:#b45309;color:#fff;text-align:center;font-weight:700;letter-spacing:.12em;padding:.5rem;font-size:.8rem}
section{padding:1.5rem 1.75rem 1.25rem}h1{font-size:1.3rem;margin:0 0 .5rem}strong{font-size:1.25rem}
.quiet{color:#596579;font-size:.9rem}code{font-size:.75rem;overflow-wrap:anywhere}
form{display:grid;gap:.6rem;margin:1.25rem 0}
button{font:inherit;padding:.7rem;border-radius:9px;border:1px solid #c3cad8;background:transparent;color:inherit;
cursor:pointer}
button.good{background:#1d4ed8;border-color:#1d4ed8;color:#fff;font-weight:600}
button:focus-visible{outline:3px solid #93b4ff;outline-offset:2px}
@media(prefers-color-scheme:dark){body{background:#10141d;color:#e7ebf3}main{background:#1b2130}
.quiet{color:#a3adc0}button{border-color:#46506a}}
"""


def _page(title: str, inside: str, status: int = 200) -> Response:
    html = (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>SANDBOX: {escape(title)}</title>'
        f"<style>{_STYLE}</style><main><div class='mark'>SANDBOX · NO REAL MONEY</div>"
        f"<section><h1>{escape(title)}</h1>{inside}</section></main></html>"
    )
    return HTMLResponse(html, status_code=status, headers=HEADERS)
