"""Killed at every commit while merchants are told: each event arrives, under one message id, in one delivery."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from sqlmodel import col, select

from models.endpoints import WebhookDelivery
from models.events import BillingEvent
from services.app import App
from services.events.endpoints import EndpointChange, create_endpoint
from tests.services.conftest import Fresh
from tests.services.killing import killed_everywhere
from tests.support.endpoints import subscribe
from tests.support.house import House
from worker import Worker


@pytest.fixture
def outlasting() -> Iterator[tuple[str, list[str]]]:
    """An endpoint that lives through the deaths of those who call it: its address, and the message ids that it got."""
    got: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.headers["webhook-id"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", got
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_telling_killed_at_every_point_tells_all_at_least_once(fresh: Fresh, outlasting: tuple[str, list[str]]) -> None:
    url, got = outlasting

    async def prepare(house: House) -> None:
        wish = EndpointChange(url=url, event_types=["subscription.*", "payment.*"])
        await create_endpoint(house.app, house.actor("demo-admin"), wish)
        await subscribe(house)

    async def tell(app: App, house: House) -> None:
        await Worker(app).once()

    async def recover(house: House) -> None:
        """A minute later: every lease of the dead has ended."""
        await house.work()
        async with house.app.database.read() as session:
            events = (await session.exec(select(BillingEvent).order_by(col(BillingEvent.position)))).all()
            rows = (await session.exec(select(WebhookDelivery))).all()
        wanted = {event.id for event in events if not event.type.startswith("invoice.")}
        assert len({event.position for event in events} - {None}) == 5
        assert sorted(row.event_id for row in rows) == sorted(wanted)
        assert [(row.status, row.due_at) for row in rows] == [("succeeded", None)] * 3
        assert set(got) == wanted
        assert len(got) <= len(wanted) + 3, "sent again only what was under way"
        got.clear()
        await house.work()
        assert got == []

    got.clear()
    killed_everywhere(fresh, prepare, tell, recover, at=timedelta(minutes=1), least=14)
