"""The checkout page: what a link stands for is shown, paid in the browser, and led back to the shop."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from billing.errors import ErrorCode, UserProblem
from gateways.customer_side import CardInput
from models.organization import organization, organization_name
from pages.showing import Writer, wants_card
from services import sandbox
from services.app import App
from services.checkout import Checkout, CheckoutState, LinkExpired, LinkRefused, Stage, begin, follow, look, opened

ASSETS = Path(__file__).parent / "assets"
_STRICT = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# What Stripe.js asks of a page's policy: its script, its frames (the card's fields, the bank's challenge), its API.
# The first two come from names below js.stripe.com, too.
_WITH_STRIPE = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; script-src 'self' https://js.stripe.com https://*.js.stripe.com; "
    "frame-src https://js.stripe.com https://*.js.stripe.com https://hooks.stripe.com; "
    "connect-src 'self' https://api.stripe.com"
)
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

_MONTH, _YEAR = re.compile(r"[0-9]{1,2}"), re.compile(r"[0-9]{2}|[0-9]{4}")
_PASSING = frozenset((ErrorCode.GATEWAY_UNAVAILABLE, ErrorCode.PAYMENT_IN_PROGRESS, ErrorCode.PAYMENT_OUTCOME_UNKNOWN))


@dataclass(frozen=True, slots=True)
class _Visit:
    """One request for an open link."""

    request: Request
    checkout: Checkout
    address: str

    @property
    def return_url(self) -> str:
        return f"{self.address}/return"


class CheckoutPages:
    """The handlers. `address` is where others reach the server; `publishable_key` is the gateway's for browsers."""

    def __init__(self, app: App, address: str, publishable_key: str) -> None:
        self._app, self._address, self._key = app, address, publishable_key

    async def page(self, request: Request) -> Response:
        """GET shows how far it is; POST is the form."""
        visit = await self._visit(request)
        if isinstance(visit, Response):
            return visit
        try:
            if request.method == "POST":
                return await self._submitted(visit)
            return await self._shown(visit, await look(self._app, visit.checkout))
        except UserProblem as problem:
            return await self._refused(visit, problem)

    async def returned(self, request: Request) -> Response:
        """The customer comes back from the bank: ask what has become of it, and go on from there."""
        visit = await self._visit(request)
        if isinstance(visit, Response):
            return visit
        try:
            state = await follow(self._app, visit.checkout)
            if state.stage is Stage.DONE:
                return RedirectResponse(f"{visit.address}/done", 303)
            is_declined = state.stage in (Stage.PAYING, Stage.SAVING)
            problem = "That did not work. Try again, or use another card." if is_declined else None
            return await self._shown(visit, state, problem)
        except UserProblem as problem:
            return await self._refused(visit, problem)

    async def done(self, request: Request) -> Response:
        """It is bought: on to the shop. Before that there is nothing to see here."""
        visit = await self._visit(request)
        if isinstance(visit, Response):
            return visit
        try:
            state = await look(self._app, visit.checkout)
        except UserProblem as problem:
            return await self._refused(visit, problem)
        if state.stage is not Stage.DONE:
            return RedirectResponse(visit.address, 303)
        back = visit.checkout.wish.return_url
        # A page instead of a redirect: browsers hold a form's whole chain of redirects to `form-action 'self'`.
        return await self._message("Thank you", "You are subscribed.", back=back, goes_on_to=back)

    async def _submitted(self, visit: _Visit) -> Response:
        form = await _form(visit.request)
        state = await begin(
            self._app, visit.checkout, quote_token=form.get("quote") or None, return_url=visit.return_url
        )
        if state.client_secret is None or self._app.browser is None:
            if state.stage is Stage.DONE:
                return RedirectResponse(f"{visit.address}/done", 303)
            # With a real gateway the card is typed on the page that comes now, into the gateway's own fields.
            return RedirectResponse(visit.address, 303)
        card = _card(form)
        confirm = sandbox.confirm_setup_intent if state.stage is Stage.SAVING else sandbox.confirm_payment_intent
        seen = await confirm(self._app, client_secret=state.client_secret, card=card, return_url=visit.return_url)
        if seen.problems:
            return await self._shown(visit, await follow(self._app, visit.checkout), seen.problems[0].message, 402)
        view = seen.payment_intent or seen.setup_intent
        step = view.snapshot.next_step if view is not None and view.snapshot is not None else None
        if step is not None and step.redirect_url is not None:
            return RedirectResponse(step.redirect_url, 303)
        return RedirectResponse(visit.return_url, 303)

    async def _refused(self, visit: _Visit, problem: UserProblem) -> Response:
        """What stands in the way: of a form that can be sent again, beside it; else alone."""
        if problem.code is ErrorCode.ALREADY_SUBSCRIBED:
            return await self._message("Already subscribed", problem.message, back=visit.checkout.wish.return_url)
        if problem.code in _PASSING:
            return await self._message("One moment", problem.message, 503, back=visit.checkout.wish.error_url)
        if visit.request.method == "POST":
            try:
                # The form may have been sent twice: what the first one did is asked for, not waited for.
                return await self._shown(visit, await follow(self._app, visit.checkout), _told(problem), 409)
            except UserProblem as lasting:
                problem = lasting
        return await self._message(
            "This cannot be bought now", problem.message, 409, back=visit.checkout.wish.error_url
        )

    async def _shown(
        self, visit: _Visit, state: CheckoutState, problem: str | None = None, status: int = 200
    ) -> Response:
        wish = visit.checkout.wish
        if state.stage is Stage.DONE:
            return await self._message("Already done", "You are subscribed.", back=wish.return_url)
        if state.stage is Stage.OVER:
            text = "What was begun with this link has ended. Ask for a new one where you found it."
            return await self._message("This link is used up", text, 410, back=wish.error_url)
        if state.stage is Stage.WAITING:
            text = "Your payment is being made. This page looks again by itself."
            return await self._message("One moment", text, goes_on_to=visit.return_url)
        if state.stage is Stage.PAYING and state.client_secret is None:
            text = "The payment service does not answer. Try again in a minute; nothing was charged."
            return await self._message("One moment", text, 503, back=wish.error_url)
        return await self._form_page(visit, state, problem, status)

    async def _form_page(self, visit: _Visit, state: CheckoutState, problem: str | None, status: int) -> Response:
        writer = Writer(state.customer, self._app.timezone)
        has_begun = state.stage is not Stage.OPEN
        with_stripe = self._app.browser is None
        return await self._answer(
            "checkout.html",
            status,
            _WITH_STRIPE if with_stripe else _STRICT,
            title="Checkout",
            summary=writer.summary(state.quoted.quote) if state.quoted is not None else None,
            quote_token=state.quoted.token if state.quoted is not None else "",
            problem=problem,
            action=visit.address,
            cancel_url=visit.checkout.wish.error_url,
            types_card=not with_stripe and wants_card(visit.checkout, state),
            is_saving=state.stage is Stage.SAVING,
            is_sandbox=not with_stripe,
            stripe_key=self._key if with_stripe else None,
            client_secret=state.client_secret if with_stripe and has_begun else None,
            return_url=visit.return_url,
            needs_card=wants_card(visit.checkout, state),
        )

    async def _visit(self, request: Request) -> _Visit | Response:
        token = request.path_params["token"]
        try:
            return _Visit(request, await opened(self._app, token), f"{self._address}/checkout/{token}")
        except LinkExpired:
            text = "This link has expired. Ask for a new one where you found it."
            return await self._message("Too late", text, 410)
        except LinkRefused:
            text = "This link does not lead anywhere. Ask for a new one where you found it."
            return await self._message("Nothing here", text, 404)

    async def _message(
        self,
        title: str,
        text: str,
        status: int = 200,
        *,
        back: str | None = None,
        goes_on_to: str | None = None,
    ) -> Response:
        return await self._answer(
            "message.html", status, _STRICT, title=title, text=text, back=back, goes_on_to=goes_on_to
        )

    async def _answer(self, template: str, status: int, policy: str, **values: Any) -> Response:
        async with self._app.database.read() as session:
            seller = organization_name(await organization(session))
        body = _ENVIRONMENT.get_template(template).render(
            seller=seller, assets=f"{self._address}/checkout/assets", **values
        )
        return HTMLResponse(body, status, {"Content-Security-Policy": policy})


def _told(problem: UserProblem) -> str:
    if problem.code is ErrorCode.QUOTE_STALE:
        return "The price was reckoned anew, for the old one was too old. Nothing was charged: look at it again."
    return problem.message


async def _form(request: Request) -> Mapping[str, str]:
    """The form's fields. Raises UserProblem INVALID for what is no form of ours."""
    try:
        fields = parse_qs((await request.body()).decode(errors="replace"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        raise UserProblem(ErrorCode.INVALID, "This form was not sent as it was shown. Fill it in again.") from None
    return {name: values[0].strip() for name, values in fields.items()}


def _card(form: Mapping[str, str]) -> CardInput:
    """Test cards only: a real one is typed into the gateway's own fields. Raises UserProblem INVALID."""
    month, _, year = form.get("expiry", "").replace(" ", "").partition("/")
    number, cvc = form.get("number", "").replace(" ", ""), form.get("cvc", "")
    if not (number.isascii() and number.isdecimal() and cvc.isascii() and cvc.isdecimal()):
        raise UserProblem(ErrorCode.INVALID, "Type the card's number and its security code, in digits.")
    if not (_MONTH.fullmatch(month) and _YEAR.fullmatch(year)):
        raise UserProblem(ErrorCode.INVALID, "Type the card's expiry as month and year: 12/34.")
    return CardInput(number=number, exp_month=int(month), exp_year=int(year) + (2000 if len(year) == 2 else 0), cvc=cvc)
