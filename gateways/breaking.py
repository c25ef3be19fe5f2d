"""Any gateway, left alone while it does not answer: who would wait in vain hears so at once."""

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any, cast

from billing.breaking import Breaker
from clocks import Clock
from gateways.port import (
    CardRefused,
    GatewayBusy,
    GatewayHeld,
    GatewayRefused,
    GatewayUnavailable,
    PaymentGateway,
)
from gauges import BREAKER_OPEN


def breaking(gateway: PaymentGateway, breaker: Breaker, clock: Clock) -> PaymentGateway:
    """The same gateway; GatewayUnavailable without a call while the breaker is open."""
    return cast(PaymentGateway, _Breaking(gateway, breaker, clock))


class _Breaking:
    def __init__(self, gateway: PaymentGateway, breaker: Breaker, clock: Clock) -> None:
        self._gateway, self._breaker, self._clock = gateway, breaker, clock

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._gateway, name)
        return self._guarded(found) if iscoroutinefunction(found) and name != "close" else found

    def _guarded(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        breaker = self._breaker

        async def guarded(*args: Any, **kwargs: Any) -> Any:
            if not breaker.admits(self._clock.now()):
                raise GatewayUnavailable("not asked: the gateway has not answered lately")
            is_probe = breaker.is_open
            try:
                answer = await call(*args, **kwargs)
            except (GatewayRefused, CardRefused, GatewayBusy, GatewayHeld):
                breaker.heard()
                raise
            except GatewayUnavailable:
                breaker.missed(self._clock.now(), is_probe=is_probe)
                raise
            except BaseException:
                breaker.gave_up(is_probe=is_probe)
                raise
            else:
                breaker.heard()
                return answer
            finally:
                BREAKER_OPEN.set(breaker.is_open)

        return guarded
