"""Any gateway, each call measured: how long it took, how it ended, and which cards were declined."""

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from time import perf_counter
from typing import Any, cast

from billing.charging import DECLINE_CODES, CardProblem
from gateways.port import CardRefused, GatewayBusy, GatewayNotFound, GatewayRefused, GatewayUnavailable, PaymentGateway
from gauges import DECLINES, GATEWAY_CALLS

_ENDINGS = (
    (CardRefused, "declined"),
    (GatewayNotFound, "not_found"),
    (GatewayRefused, "refused"),
    (GatewayBusy, "busy"),
    (GatewayUnavailable, "unavailable"),
)
# Networks invent codes: those without advice of their own are counted as one.
_CODES = frozenset(("generic_decline", "insufficient_funds", "do_not_honor", "card_velocity_exceeded")).union(
    *DECLINE_CODES.values()
)
_CHARGES = "confirm_payment_intent"


def measured(gateway: PaymentGateway) -> PaymentGateway:
    """The same gateway; whoever calls it sees no difference."""
    return cast(PaymentGateway, _Measured(gateway))


class _Measured:
    def __init__(self, gateway: PaymentGateway) -> None:
        self._gateway = gateway

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._gateway, name)
        return _timed(name, found) if iscoroutinefunction(found) and name != "close" else found


def _timed(method: str, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def timed(*args: Any, **kwargs: Any) -> Any:
        began, outcome = perf_counter(), "broken_off"
        try:
            answer = await call(*args, **kwargs)
            outcome = "answered"
            if method == _CHARGES and answer.last_problem is not None:
                outcome = "declined"
                _note(answer.last_problem)
            return answer
        except Exception as error:
            outcome = next((word for kind, word in _ENDINGS if isinstance(error, kind)), "fault")
            if isinstance(error, CardRefused):
                _note(error.problem)
            raise
        finally:
            GATEWAY_CALLS.labels(method, outcome).observe(perf_counter() - began)

    return timed


def _note(problem: CardProblem) -> None:
    code = problem.decline_code or problem.code
    DECLINES.labels(code if code in _CODES else "other").inc()
