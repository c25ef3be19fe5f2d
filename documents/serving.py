"""The answer to who opens a document's link."""

import re
from collections.abc import Callable
from datetime import datetime

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from documents.content import document_of
from documents.typesetting import typeset
from models.database import Database
from resolvers.document_links import DocumentKind, DocumentLinks

_SET_AT_ONCE = 2
_KINDS = frozenset(DocumentKind)
_UNSAFE_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]")
_NO_DOCUMENT = "This link does not hold, or not any more. Ask for a new one where you found it.\n"
_NO_TYPESETTER = "This server was set up without the typesetter: install the packages of requirements-pdf.txt.\n"


class Documents:
    """Sets what a link that holds leads to. What it does not lead to looks like any other link that does not hold."""

    def __init__(self, database: Database, links: DocumentLinks | None, now: Callable[[], datetime]) -> None:
        """`links` None: no document is made here. `now` is the security clock."""
        self._database, self._links, self._now = database, links, now
        self._limiter = CapacityLimiter(_SET_AT_ONCE)

    async def answer(self, request: Request) -> Response:
        if self._links is None:
            return PlainTextResponse(_NO_TYPESETTER, 501)
        kind, name, query = request.path_params["kind"], request.path_params["name"], request.query_params
        expires, signature = query.get("expires", ""), query.get("signature", "")
        if kind not in _KINDS or not self._links.holds(DocumentKind(kind), name, expires, signature, self._now()):
            return PlainTextResponse(_NO_DOCUMENT, 404)
        async with self._database.read() as session:
            document = await document_of(session, DocumentKind(kind), name)
        if document is None:
            return PlainTextResponse(_NO_DOCUMENT, 404)
        pdf = await to_thread.run_sync(typeset, document, limiter=self._limiter)
        file = f"{kind}-{_UNSAFE_IN_A_NAME.sub('-', document.number)}.pdf"
        headers = {"Content-Disposition": f'inline; filename="{file}"'}
        return Response(pdf, headers=headers, media_type="application/pdf")
