"""A gateway that is not ours: Stripe's wire format under keys of its own, without any of the sandbox's levers.

It stands for whatever other process speaks that format. What is inside is the sandbox, which the product cannot know.

    python -m tests.support.stranger --port 12112 --database sqlite:///stranger.db --webhook-url URL --webhook-url URL
"""

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from clocks import SystemClock
from gateways.sandbox import Sandbox

SECRET_KEY = "sk_test_stranger"
PUBLISHABLE_KEY = "pk_test_stranger"
WEBHOOK_SECRET = "whsec_stranger"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.stranger", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--webhook-url", action="append", default=[], help="send every event there; may be repeated")
    asked = parser.parse_args()
    now = SystemClock().now
    gateway = Sandbox(
        database_url=asked.database,
        clock=now,
        system_clock=now,
        public_url=f"http://127.0.0.1:{asked.port}",
        secret_key=SECRET_KEY,
        publishable_key=PUBLISHABLE_KEY,
    )

    async def without_levers(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/sandbox"):
            scope["path"] = "/nothing"
        await gateway.app(scope, receive, send)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await gateway.start()
        for url in asked.webhook_url:
            await gateway.ensure_webhook_endpoint(url, WEBHOOK_SECRET)
        stop = asyncio.Event()
        delivering = asyncio.create_task(gateway.run_deliveries(stop))
        yield
        stop.set()
        await delivering
        await gateway.close()

    app = Starlette(routes=[Mount("/", app=without_levers)], lifespan=lifespan)
    uvicorn.run(app, host="127.0.0.1", port=asked.port, log_level="warning")


if __name__ == "__main__":
    main()
