"""Invoices and credit notes as PDF, behind links that expire: what stands on them, and who gets to see it."""

import io
import sys
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pypdf
import pytest

from documents.typesetting import is_installed
from tests.scenarios.orders import ADMIN, ordered
from tests.scenarios.test_refunds import refund, usd
from tests.support.breaking import alter
from tests.support.databases import copy_of_file
from tests.support.house import House, open_house

USER = "demo-card"
INVOICES = "{ invoices(first: 5) { nodes { id number pdfUrl creditNotes { number pdfUrl } payments { id } } } }"
CUSTOMER = """mutation ($i: CustomerInput!) { createCustomer(input: $i) { customer { id } userErrors { code } } }"""
PLAN = "mutation ($i: PlanInput!) { createPlan(input: $i) { userErrors { code message field } } }"
COUPON = "mutation ($i: CouponInput!) { createCoupon(input: $i) { userErrors { code message field } } }"
OF_ORDER = "query ($id: ID!) { subscription(id: $id) { invoices(first: 5) { nodes { number pdfUrl } } } }"


async def opened(house: House, url: str) -> httpx.Response:
    """As a browser opens a link: without a credential."""
    return await house.http.get(url)


async def pages(house: House, url: str) -> list[str]:
    """The lines of the PDF behind the link."""
    answer = await opened(house, url)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pdf")
    text = "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(answer.content)).pages)
    return [" ".join(line.split()) for line in text.splitlines()]


async def newest(house: House) -> dict[str, Any]:
    return (await house.ask(INVOICES, user=USER))["invoices"]["nodes"][0]


async def priced(house: House, code: str, currency: str, amount: str, **more: Any) -> str:
    """The code of a new plan that costs so much a month."""
    prices = [{"currencyCode": currency, "amount": amount, "isDefault": True}]
    plan = {"productCode": "acme-music", "code": code, "name": code, "interval": "MONTH", "prices": prices, **more}
    assert (await house.ask(PLAN, {"i": plan}, ADMIN))["createPlan"] == {"userErrors": []}
    return code


async def sent(house: House, who: dict[str, Any], plan: str, **wish: Any) -> dict[str, Any]:
    """The first invoice of a new customer who is billed by mail."""
    made = (await house.ask(CUSTOMER, {"i": {"userId": "reader", **who}}, ADMIN))["createCustomer"]
    assert made["userErrors"] == []
    order = await ordered(
        house, "reader", with_card=False, planCode=plan, collectionMethod="SEND_INVOICE", daysUntilDue=14, **wish
    )
    return (await house.ask(OF_ORDER, {"id": order}, ADMIN))["subscription"]["invoices"]["nodes"][0]


async def test_a_paid_invoice_says_what_was_paid_for_what(house: House) -> None:
    await ordered(house, USER, by=USER, planCode="reader-pro", quantity=3)
    invoice = await newest(house)
    assert await pages(house, invoice["pdfUrl"]) == [
        "Perennial PAID",
        f"Invoice {invoice['number']}",
        "Billed to",
        "Dana Card",
        "demo-card@example.com",
        "Issued January 31, 2026",
        "Paid January 31, 2026",
        "Period January 31, 2026 – February 28, 2026",
        "Description Quantity Unit price Amount",
        "Reader Pro (2026-01-31 to 2026-02-28) 3 $7.00 $21.00",
        "Subtotal $21.00",
        "Total $21.00",
        "Paid $21.00",
        "Amount due $0.00",
        f"Perennial · Invoice {invoice['number']} 1 / 1",
    ]


async def test_discount_tax_and_the_rest_are_told_to_the_cent(small_house: House) -> None:
    wish = {"taxPercent": "19", "couponCode": "ten", "quantity": 2}
    coupon = {"code": "ten", "name": "Ten", "percentOff": "10", "duration": "ONCE"}
    assert (await small_house.ask(COUPON, {"i": coupon}, ADMIN))["createCoupon"] == {"userErrors": []}
    plan = await priced(small_house, "noten", "EUR", "1234.50")
    who = {"name": "Łukasz Ñandú-Жуков", "email": "l@example.eu", "locale": "de-DE", "timezone": "Europe/Berlin"}
    invoice = await sent(small_house, who, plan, **wish)
    assert await pages(small_house, invoice["pdfUrl"]) == [
        "Perennial OPEN",
        f"Invoice {invoice['number']}",
        "Billed to",
        "Łukasz Ñandú-Жуков",
        "l@example.eu",
        "Issued 31. Januar 2026",
        "Due 14. Februar 2026",
        "Period 31. Januar 2026 – 28. Februar 2026",
        "Description Quantity Unit price Amount",
        "noten (2026-01-31 to 2026-02-28) 2 1.234,50 € 2.469,00 €",
        "Subtotal 2.469,00 €",
        "ten (10 % off) -246,90 €",
        "Tax (19 %) 422,20 €",
        "Total 2.644,30 €",
        "Paid 0,00 €",
        "Amount due 2.644,30 €",
        f"Perennial · Invoice {invoice['number']} 1 / 1",
    ]


@pytest.mark.parametrize(
    ("currency", "price", "locale", "told"),
    [
        ("JPY", "1200", "ja-JP", ["￥1,200"]),
        ("KRW", "15000", "ko-KR", ["₩15,000"]),
        ("KWD", "1.250", "en-KW", ["KWD1.250"]),
        ("INR", "499.00", "en-IN", ["₹499.00"]),
        ("ISK", "1000.00", "is-IS", ["1.000 kr."]),
        ("UAH", "100.50", "uk-UA", ["100,50 ₴"]),
    ],
)
async def test_amounts_have_the_decimals_of_their_currency(
    small_house: House, currency: str, price: str, locale: str, told: list[str]
) -> None:
    plan = await priced(small_house, "plan", currency, price)
    invoice = await sent(small_house, {"name": "Reader", "locale": locale, "timezone": "Asia/Tokyo"}, plan)
    said = await pages(small_house, invoice["pdfUrl"])
    assert [line.removeprefix("Amount due ") for line in said if line.startswith("Amount due")] == told


@pytest.mark.parametrize(
    ("name", "locale"),
    [
        ("株式会社山田太郎", "ja"),
        ("陈小明有限公司", "zh-CN"),
        ("陳小明", "zh-TW"),
        ("김영희", "ko"),
        ("Ελένη Ψ", "el"),
        ("สมชาย", "th"),
    ],
)
async def test_names_are_written_in_any_script(small_house: House, name: str, locale: str) -> None:
    plan = await priced(small_house, "plan", "USD", "5.00")
    invoice = await sent(small_house, {"name": name, "locale": locale, "timezone": "UTC"}, plan)
    assert name in await pages(small_house, invoice["pdfUrl"])


async def test_it_is_billed_to_a_name_in_parts_at_the_address_for_bills(small_house: House) -> None:
    plan = await priced(small_house, "plan", "EUR", "5.00")
    home = {"line1": "Hauptstr. 1", "line2": "c/o Lovelace", "postalCode": "10115", "city": "Berlin"}
    who: dict[str, Any] = {
        "firstName": "Ada",
        "lastName": "Lovelace",
        "email": "ada@example.eu",
        "locale": "de",
        "timezone": "UTC",
        "businessVatId": "DE123456789",
        "addresses": [{**home, "countryCode": "DE"}, {"line1": "Elsewhere 2"}],
    }
    invoice = await sent(small_house, who, plan)
    said = await pages(small_house, invoice["pdfUrl"])
    assert said[said.index("Billed to") + 1 : said.index("Issued 31. Januar 2026")] == [
        "Ada Lovelace",
        "Hauptstr. 1",
        "c/o Lovelace",
        "10115 Berlin",
        "Deutschland",
        "VAT ID DE123456789",
        "ada@example.eu",
    ]


async def test_what_looks_like_markup_is_text(small_house: House) -> None:
    name = '#panic("x") *bold* $x$ <a> @b `c` \\ // "d" [e]'
    plan = await priced(small_house, "plan", "USD", "5.00")
    invoice = await sent(small_house, {"name": name, "locale": "en", "timezone": "UTC"}, plan)
    assert name in await pages(small_house, invoice["pdfUrl"])


async def test_what_goes_to_the_balance_and_what_was_owed_are_called_so(small_house: House) -> None:
    order = await ordered(small_house, USER, by=USER, planCode="reader-pro", quantity=3)
    fewer = {"subscriptionId": order, "items": [{"planCode": "reader-pro", "quantity": 1}], "proration": "PRORATE_NOW"}
    query = "mutation ($i: UpdateSubscriptionInput!) { updateSubscription(input: $i) { userErrors { code } } }"
    assert (await small_house.ask(query, {"i": fewer}, USER))["updateSubscription"] == {"userErrors": []}
    said = await pages(small_house, (await newest(small_house))["pdfUrl"])
    assert said[said.index("Total -$14.00") : -1] == [
        "Total -$14.00",
        "To your balance $14.00",
        "Paid $0.00",
        "Amount due $0.00",
    ]
    await alter(small_house, "customer_balances", {"amount_minor": 1400}, amount_minor=-30)
    small_house.pass_time(timedelta(days=28))
    await small_house.work()
    said = await pages(small_house, (await newest(small_house))["pdfUrl"])
    assert said[said.index("Total $7.00") : -1] == [
        "Total $7.00",
        "Owed from before $0.30",
        "Paid $7.30",
        "Amount due $0.00",
    ]


async def test_a_credit_note_says_what_was_taken_back_and_the_invoice_what_was_refunded(house: House) -> None:
    await ordered(house, USER, by=USER, planCode="reader-pro")
    payment = (await newest(house))["payments"][0]["id"]
    assert (await refund(house, payment, "r", amount=usd("2.50")))["userErrors"] == []
    invoice = await newest(house)
    (note,) = invoice["creditNotes"]
    assert await pages(house, note["pdfUrl"]) == [
        "Perennial",
        f"Credit note {note['number']}",
        "Billed to",
        "Dana Card",
        "demo-card@example.com",
        "Issued January 31, 2026",
        f"Of invoice {invoice['number']}",
        "Reason Requested by customer",
        "Description Amount",
        "Reader Pro (2026-01-31 to 2026-02-28) $2.50",
        "Total credited $2.50",
        f"Perennial · Credit note {note['number']} 1 / 1",
    ]
    said = await pages(house, invoice["pdfUrl"])
    assert said[said.index("Total $7.00") : -1] == ["Total $7.00", "Paid $7.00", "Amount due $0.00", "Refunded $2.50"]


async def test_the_same_document_is_the_same_file(small_house: House) -> None:
    await ordered(small_house, USER, by=USER, planCode="reader-pro")
    first = await opened(small_house, (await newest(small_house))["pdfUrl"])
    small_house.pass_time(timedelta(minutes=1))
    again = await opened(small_house, (await newest(small_house))["pdfUrl"])
    assert first.content == again.content
    assert first.headers["content-length"] == str(len(first.content))


async def test_a_link_is_private_and_names_its_file(small_house: House) -> None:
    await ordered(small_house, USER, by=USER, planCode="reader-pro")
    invoice = await newest(small_house)
    answer = await opened(small_house, invoice["pdfUrl"])
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["content-disposition"] == f'inline; filename="invoice-{invoice["number"]}.pdf"'
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_it_holds_for_fifteen_minutes_by_the_machines_clock(small_house: House) -> None:
    await ordered(small_house, USER, by=USER, planCode="reader-pro")
    url = (await newest(small_house))["pdfUrl"]
    small_house.clock.advance(timedelta(days=1))
    small_house.machine.advance(timedelta(minutes=14, seconds=59))
    assert (await opened(small_house, url)).status_code == 200
    small_house.machine.advance(timedelta(seconds=1))
    assert (await opened(small_house, url)).status_code == 404


async def test_whoever_holds_a_link_does_not_take_the_server_from_the_others(stocked_file: Any, tmp_path: Any) -> None:
    """Each opening sets the document anew, which takes a processor tens of milliseconds."""
    url = copy_of_file(stocked_file, tmp_path / "busy.db")
    async with open_house(url, demo=False, rate_address_per_minute=1000) as house:
        await ordered(house, USER, with_card=True, planCode="reader-pro")
        link = (await newest(house))["pdfUrl"]
        assert [(await opened(house, link)).status_code for _ in range(4)] == [200, 200, 200, 429]
        refused = await opened(house, link)
        assert refused.headers["retry-after"] == "12"
        assert refused.json()["errors"][0]["message"] == "Too much was asked for; try again in 12 s."
        page = f"{link.partition('/documents')[0]}/checkout/gone"
        assert [(await opened(house, page)).status_code for _ in range(2)] == [404, 429]
        assert (await house.ask("{ viewer { role } }", user=USER))["viewer"] == {"role": "CUSTOMER"}
        house.machine.advance(timedelta(seconds=18))
        assert (await opened(house, link)).status_code == 200


async def test_what_was_altered_is_refused_like_what_never_was(small_house: House) -> None:
    await ordered(small_house, USER, by=USER, planCode="reader-pro")
    url = (await newest(small_house))["pdfUrl"]
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    own = parts.path.removeprefix("/documents/invoice/").removesuffix(".pdf")

    def altered(path: str = parts.path, **changed: str) -> str:
        return f"{path}?{urlencode({**query, **changed})}"

    answers = [
        await opened(small_house, each)
        for each in (
            altered(expires=str(int(query["expires"]) + 1)),
            altered(expires="x"),
            altered(expires=""),
            altered(signature="0" * 64),
            altered(signature="ä"),
            altered(signature=""),
            parts.path,
            altered(f"/documents/credit-note/{own}.pdf"),
            altered(f"/documents/receipt/{own}.pdf"),
            altered("/documents/invoice/inv_none.pdf"),
        )
    ]
    assert {(answer.status_code, answer.text) for answer in answers} == {
        (404, "This link does not hold, or not any more. Ask for a new one where you found it.\n")
    }
    assert {answer.headers["cache-control"] for answer in answers} == {"private, no-store"}


async def test_a_link_of_another_installation_does_not_hold(stocked_file: Any, tmp_path: Any) -> None:
    database = copy_of_file(stocked_file, tmp_path / "perennial.db")
    async with open_house(database, demo=False) as house:
        await ordered(house, USER, by=USER, planCode="reader-pro")
        url = (await newest(house))["pdfUrl"]
    async with open_house(database, demo=False, secret_key="another secret of thirty-two characters") as house:
        assert (await opened(house, url)).status_code == 404


async def test_without_the_extra_there_is_no_link_and_the_route_says_what_to_do(
    stocked_file: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [])  # nothing more can be found than what is loaded
    for name in [name for name in sys.modules if name.partition(".")[0] in ("typst", "manimgx_fonts_cjk")]:
        monkeypatch.delitem(sys.modules, name)
    assert not is_installed()
    database = copy_of_file(stocked_file, tmp_path / "perennial.db")
    async with open_house(database, demo=False) as house:
        await ordered(house, USER, by=USER, planCode="reader-pro")
        assert (await newest(house))["pdfUrl"] is None
        answer = await opened(house, "/documents/invoice/inv_none.pdf")
    assert (answer.status_code, answer.text) == (
        501,
        "This server was set up without the typesetter: install the packages of requirements-pdf.txt.\n",
    )
