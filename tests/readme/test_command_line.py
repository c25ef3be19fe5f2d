"""What stands against a command is told in a line or two, with exit code 1 and nothing half done."""

import socket
import sqlite3
import threading
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli import cli
from resolvers.entitlement_tokens import new_key
from settings import DEVELOPMENT_SECRET, Settings, SettingsError, load_settings, unknown_settings
from tests.readme.snippets import ROOT
from tests.support.databases import copy_of_file
from tests.support.processes import free_port, running
from tests.support.waiting import PATIENCE_SECONDS

NO_DATABASE = "postgresql://nobody@127.0.0.1:1/perennial"
BEHIND = (
    "PERENNIAL_DATABASE_URL: the database cannot be used "
    "(its schema is not this version's: run `python cli.py migrate` first)."
)
AHEAD = (
    "PERENNIAL_DATABASE_URL: a newer version has migrated the database "
    "(Can't locate revision identified by '9999'): use that one."
)
ENDING = (["worker", "--once"], ["check"], ["demo"])


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a .env file, and without the settings of test runs."""
    monkeypatch.chdir(tmp_path)
    for name in unknown_settings():
        monkeypatch.delenv(name)


def told(command: list[str], **settings: str) -> tuple[int, list[str]]:
    """The exit code, and what is said on stderr. Nothing stays open: a connection to SQLite is a thread."""
    environment = {f"PERENNIAL_{name.upper()}": value for name, value in settings.items()}
    before = threading.enumerate()
    ran: Result = CliRunner().invoke(cli, command, env=environment)
    for thread in set(threading.enumerate()) - {*before}:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
    return ran.exit_code, ran.stderr.splitlines()


@pytest.mark.parametrize("command", [*ENDING, ["serve"], ["worker"], ["migrate"]], ids=" ".join)
def test_a_database_that_is_away_ends_what_cannot_wait_for_it(command: list[str]) -> None:
    code, lines = told(command, database_url=NO_DATABASE)
    (line,) = lines
    assert code == 1
    assert line.startswith("PERENNIAL_DATABASE_URL: the database cannot be ")
    assert "Connect call failed" in line


@pytest.mark.parametrize("command", [["check"], ["migrate"]], ids=" ".join)
def test_what_renters_of_postgresql_write_of_tls_is_taken(command: list[str]) -> None:
    code, (line,) = told(command, database_url=f"{NO_DATABASE}?sslmode=require")
    assert code == 1
    assert "Connect call failed" in line


@pytest.mark.parametrize("name", ["database_url", "sandbox_database_url", "database_listen_url"])
def test_an_option_that_no_driver_knows_is_told(name: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(_env_file=None, **{name: f"{NO_DATABASE}?sslmode=require&channel_binding=require"})
    assert str(refused.value) == (
        f"PERENNIAL_{name.upper()}: 'channel_binding' is no option here; "
        "host, passfile, port, ssl, sslmode, target_session_attrs are"
    )


def test_with_a_real_gateway_what_goes_on_waits_for_the_database(tmp_path: Path) -> None:
    port = str(free_port())
    settings = {
        "PERENNIAL_DATABASE_URL": NO_DATABASE,
        "PERENNIAL_WORKER_PORT": port,
        "PERENNIAL_STRIPE_SECRET_KEY": "sk_test_x",
        "PERENNIAL_STRIPE_PUBLISHABLE_KEY": "pk_test_x",
    }
    address = f"http://127.0.0.1:{port}/health"
    with running([str(ROOT / "cli.py"), "worker"], f"{address}/live", tmp_path, settings):
        with pytest.raises(urllib.error.HTTPError) as unready:
            urllib.request.urlopen(f"{address}/ready")  # noqa: S310 (our own address)
        assert unready.value.code == 503
        unready.value.close()


@pytest.mark.parametrize("command", [*ENDING, ["serve"], ["worker"]], ids=" ".join)
def test_a_database_that_was_not_migrated_is_left_as_it_is(command: list[str], tmp_path: Path) -> None:
    code, lines = told(command, database_url=f"sqlite:///{tmp_path / 'new.db'}")
    assert (code, lines) == (1, [BEHIND])
    with closing(sqlite3.connect(tmp_path / "new.db")) as made:
        assert made.execute("SELECT name FROM sqlite_master").fetchall() == []


@pytest.mark.parametrize(
    ("revision", "command", "expected"),
    [
        ("0018", ["worker", "--once"], (1, [BEHIND])),
        ("9999", ["worker", "--once"], (0, [])),
        ("9999", ["migrate"], (1, [AHEAD])),
    ],
    ids=["older", "newer", "not migrated back"],
)
def test_an_older_schema_is_not_worked_on_and_a_newer_one_is(
    sqlite_file: Path, tmp_path: Path, revision: str, command: list[str], expected: tuple[int, list[str]]
) -> None:
    url = copy_of_file(sqlite_file, tmp_path / "perennial.db")
    with closing(sqlite3.connect(tmp_path / "perennial.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    assert told(command, database_url=url) == expected


@pytest.mark.parametrize("command", [["migrate"], ["serve"], ["check"]], ids=" ".join)
def test_a_folder_that_cannot_be_made_is_told(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, (line,) = told(command, database_url=f"sqlite:///{tmp_path / 'file' / 'x' / 'perennial.db'}")
    assert code == 1
    assert line.startswith("PERENNIAL_DATABASE_URL: the database cannot be ")
    assert "Not a directory" in line


@pytest.mark.parametrize(
    ("command", "setting"), [(["serve"], "port"), (["worker"], "worker_port")], ids=["serve", "worker"]
)
def test_a_port_that_is_taken_is_told_with_its_setting(command: list[str], setting: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, lines = told(command, **{setting: str(port)})
    told_so = f"Port {port} on 127.0.0.1 cannot be used (Address already in use): stop what runs there, or set"
    assert (code, lines) == (1, [f"{told_so} PERENNIAL_{setting.upper()}."])


@pytest.mark.parametrize(
    "address",
    [
        "mysql://x/y",
        "nonsense",
        "sqlite:///",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql://h:port/x",
        "postgresql+asyncpg://h/x",
    ],
)
@pytest.mark.parametrize("name", ["database_url", "sandbox_database_url"])
def test_an_address_of_no_database_is_told(name: str, address: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(_env_file=None, **{name: address})
    assert str(refused.value) == f"PERENNIAL_{name.upper()}: write sqlite:///path or postgresql://user@host/name"


@pytest.mark.parametrize(
    ("mode", "publishable"),
    [("test", "sk_test_x"), ("test", "pk_live_x"), ("live", "rk_live_x"), ("live", "pk_test_x")],
)
def test_browsers_are_told_no_secret_key_and_none_of_another_mode(mode: str, publishable: str) -> None:
    """`gatewayConfig` tells the publishable key to everybody."""
    with pytest.raises(SettingsError) as refused:
        load_settings(_env_file=None, **of_an_account(mode), stripe_publishable_key=publishable)
    assert str(refused.value) == (
        f"PERENNIAL_STRIPE_PUBLISHABLE_KEY: everybody is told it; expected the key that starts with pk_{mode}_"
    )
    allowed = load_settings(_env_file=None, **of_an_account(mode), stripe_publishable_key=f"pk_{mode}_x")
    assert allowed.gateway_publishable_key == f"pk_{mode}_x"


def of_an_account(mode: str) -> dict[str, str]:
    return {
        "stripe_secret_key": f"sk_{mode}_x",
        "stripe_webhook_secret": "whsec_x",
        "environment": "production",
        "secret_key": "p" * 40,
        "entitlement_key": new_key(),
        "public_url": "https://billing.example",
    }


def test_everything_that_production_lacks_is_told_a_line_each() -> None:
    code, lines = told(["serve"], environment="production")
    assert code == 1
    assert [line.partition(":")[0] for line in lines] == [
        "PERENNIAL_STRIPE_PUBLISHABLE_KEY",
        "PERENNIAL_STRIPE_SECRET_KEY",
        "PERENNIAL_STRIPE_WEBHOOK_SECRET",
        "PERENNIAL_SECRET_KEY",
        "PERENNIAL_ENTITLEMENT_KEY",
        "PERENNIAL_PUBLIC_URL",
    ]


@pytest.mark.parametrize("environment", ["preview", "staging"])
def test_where_others_come_in_the_secret_that_everybody_knows_is_refused(environment: str) -> None:
    """With it anybody signs tokens of administrators, and checkout links."""
    told = "PERENNIAL_SECRET_KEY: only development takes the secret that everybody knows; set 32 random bytes or more"
    for more in ({}, {"jwt_secret": "j" * 40}, {"secret_key": "s" * 40, "jwt_secret": DEVELOPMENT_SECRET}):
        with pytest.raises(SettingsError) as refused:
            load_settings(_env_file=None, environment=environment, **more)
        assert str(refused.value) == told
    assert load_settings(_env_file=None, environment=environment, secret_key="s" * 40).environment == environment


def test_preparing_in_production_serves_without_demo_data(sqlite_file: Path, tmp_path: Path) -> None:
    port = str(free_port())
    settings = {
        "PERENNIAL_ENVIRONMENT": "production",
        "PERENNIAL_PORT": port,
        "PERENNIAL_DATABASE_URL": copy_of_file(sqlite_file, tmp_path / "perennial.db"),
        "PERENNIAL_WORKER": "off",
        "PERENNIAL_STRIPE_SECRET_KEY": "sk_test_x",
        "PERENNIAL_STRIPE_PUBLISHABLE_KEY": "pk_test_x",
        "PERENNIAL_STRIPE_WEBHOOK_SECRET": "whsec_x",
        "PERENNIAL_STRIPE_API_BASE": "http://127.0.0.1:1",
        "PERENNIAL_SECRET_KEY": "p" * 40,
        "PERENNIAL_ENTITLEMENT_KEY": new_key(),
        "PERENNIAL_PUBLIC_URL": "https://billing.example",
    }
    command = [str(ROOT / "cli.py"), "serve", "--prepare"]
    with running(command, f"http://127.0.0.1:{port}/health/ready", tmp_path, settings):
        pass
    with closing(sqlite3.connect(tmp_path / "perennial.db")) as made:
        assert made.execute("SELECT count(*) FROM plans").fetchall() == [(0,)]


@pytest.mark.parametrize("name", ["secret_key", "jwt_secret", "metrics_token"])
def test_a_secret_that_is_too_short_is_refused_wherever_it_is_used(name: str) -> None:
    """Also an own secret beside another for access tokens: API keys, links and endpoints' secrets rest on it."""
    beside = {"jwt_secret": "j" * 32} if name == "secret_key" else {}
    with pytest.raises(SettingsError, match=f"^PERENNIAL_{name.upper()}: at least 32 characters are needed"):
        load_settings(_env_file=None, **beside, **{name: "s" * 31})
    assert load_settings(_env_file=None, **beside, **{name: "s" * 32})


def test_a_copy_of_the_example_with_every_line_uncommented_and_nothing_filled_in_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    (tmp_path / ".env").write_text(
        text.replace("#PERENNIAL_", "PERENNIAL_").replace("sqlite:///", f"sqlite:///{ROOT}/")
    )
    assert load_settings() == load_settings(_env_file=None)
    monkeypatch.setenv("PERENNIAL_WORKER_PORT", "")
    assert Settings(_env_file=None).worker_port is None  # type: ignore[call-arg]


def test_no_key_and_no_place_for_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("bootstrap._OWN_KEY", tmp_path / "file" / "key.pem")
    code, (line,) = told(["serve"], database_url=f"sqlite:///{tmp_path / 'perennial.db'}")
    assert code == 1
    assert line.startswith("PERENNIAL_ENTITLEMENT_KEY: set one, for none can be made and kept (")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("cors_origins", "https://app.example, app.example", "'app.example' is no exact origin, such as "),
        ("cors_origins", "https://app.example/shop", "'https://app.example/shop' is no exact origin, such as "),
        ("cors_origins", "*", "'*' is no exact origin, such as https://app.example"),
        ("stripe_api_base", "127.0.0.1:12111", "write https://host, with the path under which it is served"),
        ("jwt_jwks_url", "issuer.example/keys", "write https://host, with the path under which it is served"),
        (
            "stripe_webhook_secret",
            "whsec_x, we_1NAbc",
            "the endpoint's signing secret is wanted, Stripe's start with whsec_",
        ),
        ("public_url", "http://[x", "write https://host, with the path under which it is served"),
        ("grace_period_days", "99999999999", "Input should be less than or equal to 3660"),
        ("reconcile_minutes", "99999999999999", "Input should be less than or equal to 527040"),
    ],
)
def test_what_would_never_work_is_told_with_its_setting(name: str, value: str, expected: str) -> None:
    code, (line,) = told(["token"], **{name: value})
    assert code == 1
    assert line.startswith(f"PERENNIAL_{name.upper()}: {expected}")


def test_origins_are_as_browsers_write_them() -> None:
    given = "https://App.example/, http://localhost:3000,capacitor://localhost"
    expected = ("https://app.example", "http://localhost:3000", "capacitor://localhost")
    assert load_settings(_env_file=None, cors_origins=given).cors_origins == expected


@pytest.mark.parametrize(
    "text", ["PERENNIAL_TIMEZONE=Europe/Zürich\n".encode("latin-1"), "PERENNIAL_".encode("utf-16")]
)
def test_a_file_of_settings_that_is_no_text_is_told(text: bytes, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(text)
    code, (line,) = told(["token"])
    assert code == 1
    assert line.startswith(".env: a text in UTF-8 is expected, which can be read ('utf-8' codec can't decode byte ")


def test_a_misspelt_setting_is_told_and_left(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PERENNIAL_PROT=9000\nPOSTGRES_PASSWORD=x\n")
    there_is_none = "there is no such setting; .env.example lists them."
    expected = [f"PERENNIAL_GRACE_DAYS: {there_is_none}", f"PERENNIAL_PROT: {there_is_none}"]
    assert told(["token"], grace_days="3") == (0, expected)


def test_tokens_of_an_issuer_are_not_issued_here() -> None:
    expected = (
        "PERENNIAL_JWT_ALGORITHM: tokens are issued here in development only, with a shared secret; "
        "ask your identity provider."
    )
    assert told(["token"], jwt_algorithm="RS256", jwt_jwks_url="https://i.example/keys?of=a") == (1, [expected])


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_a_host_that_is_not_here_is_told_with_its_setting(host: str) -> None:
    code, (line,) = told(["serve"], host=host)
    assert code == 1
    assert line.startswith(f"Port 8000 on {host} cannot be used (")
    assert line.endswith("): set PERENNIAL_HOST.")


def test_a_database_of_the_sandbox_that_is_away_is_told_as_that(sqlite_file: Path, tmp_path: Path) -> None:
    url = copy_of_file(sqlite_file, tmp_path / "perennial.db")
    code, (line,) = told(["check"], database_url=url, sandbox_database_url=NO_DATABASE)
    assert code == 1
    assert line.startswith("PERENNIAL_SANDBOX_DATABASE_URL: the database cannot be used (")


def test_a_database_that_cannot_be_opened_is_not_migrated(tmp_path: Path) -> None:
    code, lines = told(["migrate"], database_url=f"sqlite:///{tmp_path}")
    told_so = "the database cannot be reached or migrated ((sqlite3.OperationalError) unable to open database file)."
    assert (code, lines) == (1, [f"PERENNIAL_DATABASE_URL: {told_so}"])
