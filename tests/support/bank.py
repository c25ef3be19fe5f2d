"""The bank behind a test card, which may change its mind: what it answers to charges from now on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from gateways.sandbox.cards import BY_NUMBER, Asks, Decline

MAY_DECLINE = "4000000000000341"
"""A card that can be saved and does not pay: `pm_card_chargeCustomerFail`."""


class Bank:
    """Its cards by number. Use `bank()`, which makes it forget all it was told."""

    def declines(self, number: str, decline: Decline) -> None:
        BY_NUMBER[number] = replace(BY_NUMBER[number], decline=decline)

    def pays(self, number: str) -> None:
        BY_NUMBER[number] = replace(BY_NUMBER[number], decline=None, asks=Asks.NEVER)

    def asks(self, number: str) -> None:
        """From now on its holder must confirm each charge."""
        BY_NUMBER[number] = replace(BY_NUMBER[number], decline=None, asks=Asks.ALWAYS)


@contextmanager
def bank() -> Iterator[Bank]:
    kept = dict(BY_NUMBER)
    try:
        yield Bank()
    finally:
        BY_NUMBER.clear()
        BY_NUMBER.update(kept)
