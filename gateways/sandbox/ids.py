"""Identifiers in Stripe's shapes.

Owns: prefixes, lengths and the source of randomness (the system's, or a seed for repeatable runs).
"""

import random
import secrets
import string
from collections.abc import Callable

_ALPHABET = (string.digits + string.ascii_uppercase + string.ascii_lowercase).encode()
# Every byte becomes a character; eight characters are a little likelier, which costs nothing that matters.
_CHARACTERS = bytes(_ALPHABET[byte % len(_ALPHABET)] for byte in range(256))

# kind -> (prefix, random characters)
SHAPES = {
    "customer": ("cus_", 14),
    "payment_method": ("pm_1", 23),
    "payment_intent": ("pi_3", 23),
    "setup_intent": ("seti_1", 23),
    "setup_attempt": ("setatt_1", 23),
    "charge": ("ch_3", 23),
    "refund": ("re_3", 23),
    "balance_transaction": ("txn_3", 23),
    "dispute": ("du_1", 23),
    "coupon": ("", 8),
    "promotion_code": ("promo_1", 23),
    "event": ("evt_1", 23),
    "webhook_endpoint": ("we_1", 23),
    "request": ("req_", 14),
    "client_secret": ("", 25),
    "challenge": ("", 32),
    "webhook_secret": ("whsec_", 32),
}


class Ids:
    """Makes identifiers. With a seed they repeat from run to run: for examples and golden files, never for secrets
    that guard anything but a sandbox."""

    def __init__(self, seed: int | str | None = None) -> None:
        self._bytes: Callable[[int], bytes] = (
            secrets.token_bytes if seed is None else random.Random(seed).randbytes  # noqa: S311
        )

    def new(self, kind: str) -> str:
        prefix, length = SHAPES[kind]
        return prefix + self._bytes(length).translate(_CHARACTERS).decode()

    def code(self) -> str:
        """Eight capitals and digits: a coupon's id or a promotion code that nobody chose."""
        return self.new("coupon").upper()
