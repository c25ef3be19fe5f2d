"""Secrets of merchants' endpoints: made, kept sealed, and what is signed with them (Standard Webhooks).

A secret must be had again to sign, so it cannot be kept as a digest: it is encrypted with AES-256-GCM under a key of
this installation, bound to its endpoint, and never told after the answer that it was made in.
"""

import base64
import hmac
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from models.endpoints import WebhookEndpoint
from services.app import App

_PREFIX = "whsec_"
_SECRET_BYTES = 32
_NONCE_BYTES = 12


def new_secret() -> str:
    """`whsec_` and 256 random bits in base64."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def seal(app: App, secret: str, endpoint_id: str) -> bytes:
    """What is kept of it: useless without this installation's key, and for any other endpoint."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(app.endpoint_key).encrypt(nonce, secret.encode(), endpoint_id.encode())


def signed_headers(
    app: App, endpoint: WebhookEndpoint, message_id: str, body: bytes, now: datetime
) -> Mapping[str, str]:
    """The headers by which the receiver knows that it was us, just now; signed with each secret that holds at `now`."""
    second = str(int(now.timestamp()))
    content = b".".join((message_id.encode(), second.encode(), body))
    signatures = [f"v1,{_signature(secret, content)}" for secret in _secrets(app, endpoint, now)]
    return {"webhook-id": message_id, "webhook-timestamp": second, "webhook-signature": " ".join(signatures)}


def _signature(secret: str, content: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    return base64.b64encode(hmac.digest(key, content, "sha256")).decode()


def _secrets(app: App, endpoint: WebhookEndpoint, now: datetime) -> Sequence[str]:
    """The newest first."""
    opened = [_unseal(app, endpoint.secret, endpoint.id)]
    if endpoint.previous_secret is not None and endpoint.previous_until is not None and now < endpoint.previous_until:
        # One from under another key of this installation is lost; the new one was made because of that.
        with suppress(InvalidTag):
            opened.append(_unseal(app, endpoint.previous_secret, endpoint.id))
    return opened


def _unseal(app: App, sealed: bytes, endpoint_id: str) -> str:
    """Raises InvalidTag when it was sealed under another installation's key."""
    nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    return AESGCM(app.endpoint_key).decrypt(nonce, rest, endpoint_id.encode()).decode()
