"""Entitlement tokens: what a customer may do now, signed, so that others can check it without asking us.

Owns: the signing keys, the key set that is published, the claims. Does not own: what a customer may do
(billing.entitlements), who may have a token (access).
"""

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import jwt
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import ECAlgorithm

LIFETIME = timedelta(minutes=10)
AUDIENCE = "entitlements"
TYPE = "entitlements+jwt"
"""Not the type of an access token: no verifier of those takes one of these, ours neither."""

_PRIVATE_KEY = re.compile(r"-----BEGIN ((?:EC )?PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)


class UnusableEntitlementKey(ValueError):
    """The text holds no key that could sign; the message says what was expected, and nothing of what was given."""


class EntitlementKeys:
    """P-256 keys: the first signs, all are published, so that what an earlier one signed holds until it expires."""

    def __init__(self, pem: str, issuer: str) -> None:
        self._issuer = issuer
        self._keys = [_loaded(found.group()) for found in _PRIVATE_KEY.finditer(pem.replace("\\n", "\n"))]
        if not self._keys:
            raise UnusableEntitlementKey("expected the PEM of a private key")
        self._public = [_public(key) for key in self._keys]

    @property
    def key_set(self) -> Mapping[str, Any]:
        """The public halves as a JWKS document."""
        return {"keys": self._public}

    def issue(
        self, user_id: str, *, role: str | None, allowed: Mapping[str, Mapping[str, int | None]], at: datetime
    ) -> str:
        """A token of what `user_id` may do; `at` is the security clock's.

        `allowed`: feature code → limit and used. What is not allowed is not named: whoever looks for it finds nothing.
        """
        claims = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": user_id,
            "iat": int(at.timestamp()),
            "exp": int((at + LIFETIME).timestamp()),
            "role": role,
            "ent": allowed,
        }
        headers = {"kid": self._public[0]["kid"], "typ": TYPE}
        return jwt.encode(claims, self._keys[0], algorithm="ES256", headers=headers)


def expiry(at: datetime) -> datetime:
    """When a token that is issued at that instant expires, to the second that it carries."""
    return (at + LIFETIME).replace(microsecond=0)


def new_key() -> str:
    """The PEM of a new signing key."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _loaded(pem: str) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UnusableEntitlementKey("a private key cannot be read, or it is locked with a password") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UnusableEntitlementKey("expected keys on the curve P-256")
    return key


def _public(key: ec.EllipticCurvePrivateKey) -> Mapping[str, str]:
    """The public half as a JSON web key, named by its thumbprint (RFC 7638)."""
    members = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    required = {name: members[name] for name in ("crv", "kty", "x", "y")}
    thumbprint = hashlib.sha256(orjson.dumps(required, option=orjson.OPT_SORT_KEYS)).digest()
    kid = urlsafe_b64encode(thumbprint).rstrip(b"=").decode()
    return {**required, "kid": kid, "use": "sig", "alg": "ES256"}
