"""The one command line: `python cli.py --help`.

Owns: commands, and faults of the surroundings told in one line. Does not own: what the commands do.
May import: everything; heavy parts only inside the command that needs them, so that mistakes are told at once.
"""

import asyncio
import errno
import socket
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer
from rich.console import Console

from settings import ROOT, Settings, SettingsError, WorkerMode, load_settings, unknown_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from bootstrap import Installation
    from services.app import App

cli = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # variables hold tokens and client secrets
)
out = Console()
err = Console(stderr=True)


T = TypeVar("T")


class TokenRole(StrEnum):
    CUSTOMER = "customer"
    SUPPORT = "support"
    ADMIN = "admin"


_TOKEN_USERS = {TokenRole.CUSTOMER: "demo-card", TokenRole.SUPPORT: "demo-support", TokenRole.ADMIN: "demo-admin"}


@cli.callback()
def begin() -> None:
    """Perennial: subscription billing behind GraphQL."""
    from logs import configure_logging

    configure_logging(json=not sys.stderr.isatty())


@cli.command()
def serve(
    prepare: Annotated[bool, typer.Option(help="Migrate first and, but in production, load the demo data.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="How many server processes share the port.")] = 1,
) -> None:
    """Serve the API, the explorer and, in sandbox mode, the sandbox; the worker runs inside unless it is off."""
    settings = _settings()
    if workers > 1 and settings.worker is not WorkerMode.OFF:
        _fail("PERENNIAL_WORKER: set it to off for several server processes, and run `python cli.py worker` beside.")
    _refuse_taken_port(settings.host, settings.port, "PERENNIAL_PORT")
    if prepare:
        _migrate(settings)
    from bootstrap import entitlement_keys
    from server import create_app
    from serving import log_as_server, serve_from_processes, the_server

    log_as_server()
    try:
        entitlement_keys(settings)
    except SettingsError as problem:
        _fail(str(problem))
    installation = _built(settings)

    async def run() -> None:
        await _begin(installation, waits=True)
        if prepare and not settings.is_production:
            await _demo(installation)
        _welcome(installation)
        if workers == 1:
            await the_server(create_app(installation), settings).serve()
        else:
            await installation.close()

    asyncio.run(run())
    if workers > 1:
        serve_from_processes(settings, workers)


@cli.command()
def worker(
    once: Annotated[bool, typer.Option(help="Do what is due and exit: for a daily cron job.")] = False,
) -> None:
    """Do what is due: ask about unknown payments, work on webhooks, end what is over."""
    settings = _settings()
    port = None if once else settings.worker_port
    if port is not None:
        _refuse_taken_port(settings.host, port, "PERENNIAL_WORKER_PORT")
    installation = _built(settings)

    async def run() -> None:
        await _begin(installation, waits=True)
        if port is not None:
            from server import create_worker_app
            from serving import the_server

            await the_server(create_worker_app(installation), settings, port=port).serve()
            return
        from worker import Worker

        try:
            await _until_signalled(Worker(installation.app).run)
        finally:
            await installation.close()

    if once:
        _carry_out(installation, lambda: _work_once(installation.app))
    else:
        asyncio.run(run())


@cli.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    settings = _settings()
    _migrate(settings)
    out.print("The database is at the newest schema.")


@cli.command()
def demo() -> None:
    """Load the demo catalog and customers, once. Refused in production."""
    installation = _built(_settings())
    _carry_out(installation, lambda: _demo(installation))
    out.print("The demo data is there.")


@cli.command()
def token(
    role: Annotated[TokenRole, typer.Option(help="What the bearer may do.")] = TokenRole.CUSTOMER,
    user: Annotated[str | None, typer.Option(help="The user id; demo-card or demo-admin unless given.")] = None,
) -> None:
    """Print an access token, in development only."""
    settings = _settings()
    if not settings.is_development:
        _fail("PERENNIAL_ENVIRONMENT: tokens are issued here in development only; ask your identity provider.")
    from clocks import SystemClock
    from resolvers.identity import Role, issue_development_token

    try:
        issued = issue_development_token(
            settings, user_id=user or _TOKEN_USERS[role], role=Role(role.value), now=SystemClock().now()
        )
    except ValueError as problem:
        _fail(f"PERENNIAL_JWT_ALGORITHM: {problem}.")
    sys.stdout.write(f"{issued}\n")


@cli.command()
def schema() -> None:
    """Print the GraphQL schema in SDL, as the sandbox serves it."""
    from schema.snapshot import render_snapshot

    sys.stdout.write(render_snapshot())


@cli.command()
def check() -> None:
    """Prove that the books are right, the gateway's too; exit 1 and say what is wrong if not."""
    settings = _settings().model_copy(update={"database_statement_seconds": 0})  # it reads everything
    from gateways.port import GatewayRefused, GatewayUnavailable
    from services.books.audit import Audit, audit_against_gateway
    from services.books.own_books import audit_own_books

    installation = _built(settings)

    async def run() -> tuple[list[str], Audit]:
        wrong = [finding.text for finding in await audit_own_books(installation.app)]
        try:
            there = await audit_against_gateway(installation.app)
        except (GatewayUnavailable, GatewayRefused) as problem:
            return [*wrong, f"the gateway's books could not be read ({problem})"], Audit()
        return [*wrong, *(finding.text for finding in there.findings)], there

    wrong, there = _carry_out(installation, run)
    for text in there.not_yet_known:
        out.print(f"not yet known: {text}", style="yellow", markup=False, soft_wrap=True, highlight=False)
    for text in wrong:
        err.print(text, style="red", markup=False, soft_wrap=True)
    if wrong:
        raise typer.Exit(1)
    out.print("The ledger balances and agrees with every payment, here and at the gateway.", soft_wrap=True)


async def _work_once(app: "App") -> None:
    """Passes until nothing is due. People see a bar and a report; programs get what each step counted, and the same
    counts as a run of the billing has."""
    from dataclasses import replace

    from progress import Progress
    from services.runs.backlog import read_standing
    from worker import Worker

    progress = Progress(out, (await read_standing(app)).due["happened"])
    with progress.shown():
        worked = await Worker(replace(app, witness=progress.note)).once()
    left = (await read_standing(app)).due["happened"]
    if out.is_terminal:
        progress.report(left)
    else:
        out.print_json(data={**worked, **progress.counts(), "left": left})


def _settings() -> Settings:
    try:
        settings = load_settings()
    except SettingsError as problem:
        _fail(str(problem))
    for name in unknown_settings():
        err.print(
            f"{name}: there is no such setting; .env.example lists them.", style="yellow", markup=False, soft_wrap=True
        )
    return settings


def _fail(message: str) -> NoReturn:
    err.print(message, style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1)


def _refuse_taken_port(host: str, port: int, setting: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as problem:
            is_host = isinstance(problem, socket.gaierror) or problem.errno == errno.EADDRNOTAVAIL
            advice = "set PERENNIAL_HOST" if is_host else f"stop what runs there, or set {setting}"
            _fail(f"Port {port} on {host} cannot be used ({problem.strerror}): {advice}.")


def _built(settings: Settings) -> "Installation":
    from bootstrap import build

    try:
        return build(settings)
    except OSError as fault:  # the folder of an SQLite file
        _fail(f"PERENNIAL_DATABASE_URL: the database cannot be used ({_first_line(fault)}).")


async def _begin(installation: "Installation", *, waits: bool = False) -> None:
    """Start on a database that is there and migrated; anything else is told in a line.

    What `waits` for a database that is away tells so by its readiness, and tries again; with the sandbox, whose own
    tables must be there first, nothing can.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from migrations.standing import is_behind

    setting = "PERENNIAL_DATABASE_URL"
    try:
        if not await is_behind(installation.app.database):
            if installation.settings.sandbox_database_url:
                setting = "PERENNIAL_SANDBOX_DATABASE_URL"
            await installation.start()
            return
        problem = "its schema is not this version's: run `python cli.py migrate` first"
    except (SQLAlchemyError, OSError) as fault:
        if waits and installation.sandbox is None:
            return
        problem = _first_line(fault)
    await installation.close()
    _fail(f"{setting}: the database cannot be used ({problem}).")


def _carry_out(installation: "Installation", work: "Callable[[], Coroutine[None, None, T]]") -> T:
    """A command that comes to an end, and does not wait for a database that is away."""
    from sqlalchemy.exc import SQLAlchemyError

    async def run() -> T:
        await _begin(installation)
        try:
            return await work()
        finally:
            await installation.close()

    try:
        return asyncio.run(run())
    except (SQLAlchemyError, OSError) as fault:
        _fail(f"PERENNIAL_DATABASE_URL: the database cannot be used ({_first_line(fault)}).")


def _first_line(fault: Exception) -> str:
    """A time-out says nothing but its name."""
    return (str(fault).splitlines() or [type(fault).__name__])[0]


def _migrate(settings: Settings) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError
    from sqlalchemy.exc import DBAPIError

    from models.database import Database

    config = Config(ROOT / "alembic.ini")
    config.set_main_option("sqlalchemy.url", settings.direct_database_url.replace("%", "%%"))
    try:
        Database(settings.database_url)  # makes the folder of an SQLite file
        command.upgrade(config, "head")
    except (DBAPIError, OSError) as fault:
        _fail(f"PERENNIAL_DATABASE_URL: the database cannot be reached or migrated ({_first_line(fault)}).")
    except CommandError as fault:
        _fail(
            f"PERENNIAL_DATABASE_URL: a newer version has migrated the database ({_first_line(fault)}): use that one."
        )


async def _demo(installation: "Installation") -> None:
    if installation.settings.is_production:
        _fail("PERENNIAL_ENVIRONMENT: production refuses demo data.")
    from models.audit_log import Author, authored
    from services.demo import load_catalog, load_demo

    with authored(Author("command line", None, "demo", None, installation.app.machine_now())):
        if installation.sandbox is None:
            await load_catalog(installation.app)  # the demo customers' cards exist in the sandbox only
            return
        await load_demo(installation.app)


def _welcome(installation: "Installation") -> None:
    from server import demo_tokens

    address = installation.settings.own_address
    where = f"{address}/" if installation.settings.serves_explorer else f"{address}/graphql"
    out.print(f"\n[bold green]Perennial[/] listens. Explorer: [bold]{where}[/]\n", highlight=False)
    tokens = {name: issued for name, _, issued in demo_tokens(installation)}
    for name in ("demo-card", "demo-admin"):
        if name in tokens:
            out.print(f"  token of {name}:", style="bold")
            out.print(f"  {tokens[name]}\n", soft_wrap=True, highlight=False, markup=False)


async def _until_signalled(run: "Callable[[asyncio.Event], Awaitable[None]]") -> None:
    import signal

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    await run(stop)


if __name__ == "__main__":
    cli()
