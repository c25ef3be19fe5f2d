"""A payment provider that is nothing like Stripe: signed REST, pages of its own, no secret for the browser.

For the contract's sake only. Requests are signed by HMAC over method, path, salt, time and body; amounts are decimal
texts in major units; a card is entered on a page of the provider's and the customer comes back; lists are cut by
serial numbers. It keeps what it is told in memory and knows nothing of us.
"""

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import count
from typing import Any

import httpx

PAGE = 20
Body = dict[str, Any]
CARDS = {"4111": ("paying", "none"), "4222": ("refused", "no_money"), "4333": ("asking", "none")}
"""Last four digits of the provider's test cards → what the card is like, and why it is refused."""


class Refusal(Exception):
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


def sign(secret: str, *parts: str | bytes) -> str:
    told = b"\n".join(part.encode() if isinstance(part, str) else part for part in parts)
    return hmac.new(secret.encode(), told, hashlib.sha256).hexdigest()


def _singular(kind: str) -> str:
    return "try" if kind == "tries" else kind.removesuffix("s")


@dataclass
class Provider:
    """The other side of the wire. `lose` says what becomes of the next request: `call` or `answer` never arrives."""

    secret: str
    now: Callable[[], datetime]
    rows: dict[str, Body] = field(default_factory=dict[str, Body])
    answered: dict[str, tuple[str, int, Body]] = field(default_factory=dict[str, tuple[str, int, Body]])
    lose: str | None = None
    deliveries: list[tuple[bytes, str]] = field(default_factory=list[tuple[bytes, str]])
    serial: Any = field(default_factory=lambda: count(1))

    def answer(self, request: httpx.Request) -> httpx.Response:
        """What goes over the wire."""
        lost, self.lose = self.lose, None
        if lost == "call":
            raise httpx.ConnectTimeout("never arrived", request=request)
        status, body = self._once(request)
        if lost == "answer":
            raise httpx.ReadTimeout("no answer", request=request)
        return httpx.Response(status, json=body)

    def _once(self, request: httpx.Request) -> tuple[int, Body]:
        """Carried out once for each idempotency key."""
        headers, path = request.headers, request.url.raw_path.decode()
        signed = sign(self.secret, request.method, path, headers["salt"], headers["timestamp"], request.content)
        if not hmac.compare_digest(signed, headers["signature"]):
            return 401, {"status": "ERROR", "error": "BAD_SIGNATURE"}
        key = headers.get("idempotency")
        wanted = f"{request.method} {path} {request.content!r}"
        if key in self.answered:
            known, status, body = self.answered[key]
            return (status, body) if known == wanted else (400, {"status": "ERROR", "error": "KEY_REUSED"})
        try:
            told = json.loads(request.content) if request.content else dict(request.url.params)
            done = self._route(request.method, request.url.path.strip("/").split("/")[1:], told)
            status, body = 200, {"status": "SUCCESS", "data": done}
        except Refusal as refusal:
            status, body = refusal.status, {"status": "ERROR", "error": refusal.code}
        if key is not None:
            self.answered[key] = wanted, status, json.loads(json.dumps(body))
        return status, body

    def _route(self, method: str, path: list[str], told: Body) -> Any:
        match method, path:
            case "POST", ["customers"]:
                return self._add("customer", state="HERE", default_card=None, **told)
            case "DELETE", ["customers", id]:
                return self._forget(self._customer(id))
            case "POST", ["card_pages"]:
                self._customer(told["customer"])
                return self._add("card_page", state="OPEN", card=None, **told)
            case "POST", ["payments"]:
                self._customer(told["customer"])
                return self._add("payment", state="OPEN", card=None, error=None, error_card=None, page=None, **told)
            case "POST", ["payments", id, "charge"]:
                return self._charge(self._get("payment", id), self._get("card", told["card"]), present=told["present"])
            case "POST", ["payments", id, "cancel"]:
                payment = self._get("payment", id)
                if payment["state"] == "PAID":
                    raise Refusal(409, "ALREADY_PAID")
                payment["state"], payment["page"] = "CANCELED", None
                return payment
            case "POST", ["refunds"]:
                return self._refund(told)
            case "POST", ["cards", id, "remove"]:
                card = self._get("card", id)
                if card["customer"] is None:
                    raise Refusal(409, "CARD_OF_NOBODY")
                self._news("card", card)
                card["customer"] = None
                return card
            case "POST", ["customers", id]:
                row = self._customer(id)
                row.update(told)
                return row
            case "POST", [kind, id]:
                row = self._get(_singular(kind), id)
                row.update(told)
                return row
            case "GET", [kind, id]:
                return self._get(_singular(kind), id)
            case "GET", [kind]:
                return self._list(_singular(kind), told)
            case _:
                raise Refusal(404, "NO_SUCH_PATH")

    def _add(self, kind: str, **body: Any) -> Body:
        serial = next(self.serial)
        row = {**body, "id": f"{kind}-{serial}", "kind": kind, "serial": serial, "at": int(self.now().timestamp())}
        self.rows[row["id"]] = row
        return row

    def _get(self, kind: str, id: str) -> Body:
        row = self.rows.get(id)
        if row is None or row["kind"] != kind:
            raise Refusal(404, "NOT_FOUND")
        return row

    def _customer(self, id: str) -> Body:
        """One who is still here."""
        row = self._get("customer", id)
        if row["state"] == "GONE":
            raise Refusal(404, "GONE")
        return row

    def _forget(self, customer: Body) -> Body:
        for row in self.rows.values():
            if row["kind"] == "card" and row["customer"] == customer["id"]:
                row.update(customer=None, holder=None, city=None, land=None)
        customer.update(state="GONE", default_card=None, name=None, email=None, phone=None, city=None, land=None)
        return customer

    def _list(self, kind: str, told: Body) -> Body:
        """Newest first, cut by serial numbers."""
        if "customer" in told:
            self._customer(told["customer"])
        before, since = int(told.pop("before", 10**9)), int(told.pop("since", 0))
        found = [
            row
            for row in reversed(self.rows.values())
            if row["kind"] == kind
            and row["serial"] < before
            and row["at"] >= since
            and all(row.get(name) == value for name, value in told.items())
        ]
        return {"rows": found[:PAGE], "more": len(found) > PAGE}

    def _charge(self, payment: Body, card: Body, *, present: bool) -> Body:
        if payment["state"] in ("PAID", "CANCELED"):
            raise Refusal(409, payment["state"])
        if card["customer"] != payment["customer"]:
            raise Refusal(409, "CARD_OF_ANOTHER")
        what, reason = CARDS[card["last4"]]
        payment["card"] = card["id"]
        if what == "asking" and present:
            payment["state"], payment["page"] = "WAITING", f"https://pages.provider.test/bank/{payment['id']}"
            return payment
        return self._tried(payment, card["id"], {"refused": reason, "asking": "bank_must_ask"}.get(what))

    def _tried(self, payment: Body, card: str, reason: str | None) -> Body:
        self._add("try", payment=payment["id"], card=card, reason=reason)
        payment.update(
            state="OPEN" if reason else "PAID",
            page=None,
            card=None if reason else card,
            error=reason,
            error_card=card if reason else None,
        )
        if reason is None:
            self._news("payment", payment)
        return payment

    def _refund(self, told: Body) -> Body:
        payment = self._get("payment", told["payment"])
        gone = sum(
            Decimal(row["amount"])
            for row in self.rows.values()
            if row["kind"] == "refund" and row["payment"] == payment["id"]
        )
        if payment["state"] != "PAID" or gone + Decimal(told["amount"]) > Decimal(payment["amount"]):
            raise Refusal(409, "TOO_MUCH")
        row = self._add("refund", currency=payment["currency"], **told)
        self._news("refund", row)
        return row

    def _news(self, about: str, row: Body) -> None:
        news = self._add(
            "event",
            about=about,
            ref=row["id"],
            customer=row.get("customer"),
            payment=row["payment"] if about == "refund" else None,
        )
        body = json.dumps({key: news[key] for key in ("id", "about", "ref", "at")}).encode()
        second = str(int(self.now().timestamp()))
        self.deliveries.append((body, f"{second}:{sign(self.secret, second, body)}"))

    # What the customer does on the provider's pages.

    def enter_card(self, page_url: str, last4: str) -> None:
        page = self._get("card_page", page_url.rsplit("/", 1)[-1])
        page["card"], page["state"] = self._new_card(page["customer"], last4)["id"], "DONE"

    def pay(self, page_url: str, last4: str) -> None:
        payment = self._get("payment", page_url.rsplit("/", 1)[-1])
        self._charge(payment, self._new_card(payment["customer"], last4), present=True)

    def answer_bank(self, page_url: str, *, agrees: bool) -> None:
        payment = self._get("payment", page_url.rsplit("/", 1)[-1])
        if payment["state"] != "WAITING":
            raise Refusal(409, "NOTHING_TO_ANSWER")
        self._tried(payment, payment["card"], None if agrees else "customer_said_no")

    def _new_card(self, customer: str, last4: str) -> Body:
        if last4 not in CARDS:
            raise Refusal(409, "NO_TEST_CARD")
        card = self._add("card", customer=customer, last4=last4, month=12, year=2034, holder=None, city=None, land=None)
        self._news("card", card)
        return card
