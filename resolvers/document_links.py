"""Links to documents: whoever holds one may open the document for a quarter of an hour.

Owns: how a link is signed and checked. Does not own: who is given one (schema: whoever sees the row), the document.
"""

import hmac
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256

LIFETIME = timedelta(minutes=15)


class DocumentKind(StrEnum):
    """The kinds of documents, by their names in links."""

    INVOICE = "invoice"
    CREDIT_NOTE = "credit-note"


class DocumentLinks:
    """Signed addresses of documents, by the security clock."""

    def __init__(self, address: str, key: bytes) -> None:
        self._address, self._key = address, key

    def url(self, kind: DocumentKind, document_id: str, now: datetime) -> str:
        expires = int((now + LIFETIME).timestamp())
        query = f"expires={expires}&signature={self._signature(kind, document_id, str(expires))}"
        return f"{self._address}/documents/{kind}/{document_id}.pdf?{query}"

    def holds(self, kind: DocumentKind, document_id: str, expires: str, signature: str, now: datetime) -> bool:
        """Whether we have signed exactly this, and it has not expired."""
        expected = self._signature(kind, document_id, expires)
        if not hmac.compare_digest(signature.encode(errors="replace"), expected.encode()):
            return False
        return now.timestamp() < int(expires)

    def _signature(self, kind: DocumentKind, document_id: str, expires: str) -> str:
        # A document's id and digits hold no line break, so nothing can be shifted from one part to another.
        signed = "\n".join((kind, document_id, expires))
        return hmac.new(self._key, signed.encode(errors="replace"), sha256).hexdigest()
