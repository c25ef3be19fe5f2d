"""`python -m gateways.sandbox`: the sandbox alone, for other languages' SDKs and as an independent witness."""

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator

import uvicorn
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.routing import Mount

from clocks import SystemClock
from gateways.sandbox import Sandbox


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m gateways.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=12111)
    parser.add_argument("--database", required=True, help="sqlite:///path or postgresql://user@host/name")
    parser.add_argument("--public-url", help="where callers reach it; by default the address it listens on")
    parser.add_argument("--webhook-url", help="send every event there")
    parser.add_argument("--webhook-secret", default="whsec_sandbox")
    parser.add_argument("--seed", type=int, help="make identifiers repeatable")
    asked = parser.parse_args()
    clock = SystemClock()
    try:
        sandbox = Sandbox(
            database_url=asked.database,
            clock=clock.now,
            system_clock=clock.now,
            public_url=asked.public_url or f"http://{asked.host}:{asked.port}",
            id_seed=asked.seed,
        )
        asyncio.run(_prepared(sandbox))
    except (ValueError, OSError, SQLAlchemyError) as problem:
        parser.error(f"--database: {str(problem).splitlines()[0]}")

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await sandbox.start()
        if asked.webhook_url:
            await sandbox.ensure_webhook_endpoint(asked.webhook_url, asked.webhook_secret)
        stop = asyncio.Event()
        delivering = asyncio.create_task(sandbox.run_deliveries(stop))
        yield
        stop.set()
        await delivering
        await sandbox.close()

    app = Starlette(routes=[Mount("/", app=sandbox.app)], lifespan=lifespan)
    uvicorn.run(app, host=asked.host, port=asked.port, log_level="warning")


async def _prepared(sandbox: Sandbox) -> None:
    """What the database does not let us do is told before anything listens."""
    try:
        await sandbox.start()
    finally:
        await sandbox.close()


if __name__ == "__main__":
    main()
