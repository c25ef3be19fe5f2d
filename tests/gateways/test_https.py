"""Messages over real sockets: to the address that was checked, in time, and no further."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from clocks import SystemClock
from gateways import https
from gateways.https import HttpsMessenger
from gateways.outward import NoAnswer, TargetRefused
from gateways.targets import LOOPBACK, Rules
from tests.support.receiver import Got, Receiver, receiver, response

HERE = "127.0.0.1"
DEVELOPMENT = Rules(plain_loopback=True)
INSIDE = Rules(private=LOOPBACK)


class Names:
    """A resolver whose answers follow one another; the last one stays."""

    def __init__(self, *answers: Sequence[str] | OSError) -> None:
        self.answers, self.asked = list(answers), list[tuple[str, int]]()

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer


@pytest.fixture
async def own() -> AsyncIterator[Receiver]:
    async with receiver() as opened:
        yield opened


async def post(url: str, rules: Rules, *, names: Names | None = None, tls: ssl.SSLContext | None = None) -> int:
    messenger = HttpsMessenger(rules, resolve=names, tls=tls)
    try:
        return await messenger.post(url, b'{"a":1}', {"content-type": "application/json", "webhook-id": "m"})
    finally:
        await messenger.close()


async def test_a_message_arrives_with_its_headers_and_body(own: Receiver) -> None:
    own.status = 202
    assert await post(f"{own.url}?a=b", DEVELOPMENT) == 202
    (got,) = own.got
    assert (got.method, got.path, got.body) == ("POST", "/hooks?a=b", b'{"a":1}')
    assert (got.headers["webhook-id"], got.headers["content-type"]) == ("m", "application/json")
    assert got.headers["host"] == own.url.split("/")[2]


async def test_the_systems_names_are_resolved(own: Receiver) -> None:
    assert await post(own.url.replace(HERE, "localhost"), DEVELOPMENT) == 200
    assert own.got[0].headers["host"].startswith("localhost:")


@pytest.mark.parametrize("written", ["2130706433", "0x7f000001", "127.1", "0177.0.0.1", "[::ffff:127.0.0.1]"])
async def test_other_ways_of_writing_this_machine_are_seen_through(own: Receiver, written: str) -> None:
    url = own.url.replace(HERE, written).replace("http:", "https:")
    with pytest.raises(TargetRefused):
        await post(url, Rules())
    assert own.got == []


async def test_a_name_is_resolved_once_and_that_very_address_is_connected_to(own: Receiver) -> None:
    """Rebinding: the second answer would lead inside, but nobody asks a second time."""
    names = Names([HERE], ["169.254.169.254"])
    assert await post(own.url.replace(HERE, "shop.example"), DEVELOPMENT, names=names) == 200
    assert names.asked == [("shop.example", int(own.url.split(":")[2].split("/")[0]))]


async def test_a_name_that_now_leads_inside_is_refused_before_anything_is_connected(own: Receiver) -> None:
    names = Names(["93.184.216.34"], [HERE])
    messenger = HttpsMessenger(Rules(), resolve=names)
    url = own.url.replace(HERE, "shop.example").replace("http:", "https:")
    await messenger.check(url)
    with pytest.raises(TargetRefused, match="private or reserved"):
        await messenger.post(url, b"{}", {})
    await messenger.close()
    assert (len(own.got), own.most_under_way) == (0, 0)


@pytest.mark.parametrize("answer", [OSError("no such host"), []])
async def test_a_name_without_an_address_is_refused(answer: Sequence[str] | OSError) -> None:
    with pytest.raises(TargetRefused, match="no address"):
        await post("https://nowhere.example/", Rules(), names=Names(answer))


async def test_the_next_address_of_a_name_is_tried_when_one_does_not_listen(own: Receiver) -> None:
    names = Names(["::1", HERE])
    assert await post(own.url.replace(HERE, "shop.example"), DEVELOPMENT, names=names) == 200
    assert len(own.got) == 1


async def test_an_address_that_swallows_everything_leaves_time_for_the_next_one(
    own: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a route that is gone: what is sent there is never answered, not even by a refusal."""
    monkeypatch.setattr(https, "ANSWER_SECONDS", 1.5)
    port = int(own.url.split(":")[2].split("/")[0])
    with socket.create_server(("::1", port), family=socket.AF_INET6, backlog=0) as full, ExitStack() as waiting:
        for _ in range(2):  # nobody takes them, so the next one is not even greeted
            first = waiting.enter_context(socket.socket(socket.AF_INET6))
            first.setblocking(False)
            first.connect_ex(full.getsockname())
        names = Names(["::1", HERE])
        assert await post(own.url.replace(HERE, "shop.example"), DEVELOPMENT, names=names) == 200
    assert len(own.got) == 1


async def test_nobody_listening_is_no_answer(own: Receiver) -> None:
    with pytest.raises(NoAnswer, match="ConnectError"):
        await post(own.url.replace(HERE, "[::1]"), DEVELOPMENT)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(own: Receiver, status: int) -> None:
    async with receiver() as elsewhere:

        async def redirect(_got: Got) -> bytes:
            return response(status, {"Location": elsewhere.url})

        own.respond = redirect
        assert await post(own.url, DEVELOPMENT) == status
        assert elsewhere.got == []


@pytest.mark.parametrize("how", ["silent", "dripping"])
async def test_an_endpoint_has_so_much_time_whatever_it_does(
    own: Receiver, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(https, "ANSWER_SECONDS", 0.3)
    ended = asyncio.Event()

    async def respond(_got: Got) -> bytes:
        await ended.wait()
        return b""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not ended.is_set():
            writer.write(b"H")
            await asyncio.sleep(0.02)
        writer.transport.abort()

    own.respond = respond
    server = await asyncio.start_server(drip, HERE, 0)
    url = own.url if how == "silent" else f"http://{HERE}:{server.sockets[0].getsockname()[1]}/"
    async with asyncio.timeout(60):  # of itself it never ends
        with pytest.raises(NoAnswer, match="no answer within" if how == "silent" else "."):
            await post(url, DEVELOPMENT)
    ended.set()
    server.close()
    await asyncio.sleep(0.1)  # the drip ends


async def test_a_body_without_end_is_not_read(own: Receiver) -> None:
    async def endless(_got: Got) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 100_000

    own.respond = endless
    assert await post(own.url, DEVELOPMENT) == 200


async def test_what_is_no_http_is_no_answer(own: Receiver) -> None:
    async def rude(_got: Got) -> bytes:
        return b"SSH-2.0-OpenSSH_9.6\r\n\r\n"

    own.respond = rude
    with pytest.raises(NoAnswer, match="RemoteProtocolError"):
        await post(own.url, DEVELOPMENT)


async def test_a_proxy_of_the_environment_is_not_used(own: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would resolve the name itself."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.3:9")
    assert await post(own.url, DEVELOPMENT) == 200


# ── TLS ──


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server with a certificate for that name, and a client that trusts it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), SystemClock().now()
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / f"{name}.pem", folder / f"{name}.key"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(public, private)
    return server, ssl.create_default_context(cafile=str(public))


async def test_tls_speaks_of_the_name_while_the_connection_goes_to_the_address(tmp_path: Path) -> None:
    server, client = certificate(tmp_path, "shop.example")
    seen: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: seen.append(name)
    async with receiver(tls=server) as own:
        url = own.url.replace(HERE, "shop.example")
        assert await post(url, INSIDE, names=Names([HERE]), tls=client) == 200
    assert seen == ["shop.example"]
    assert own.got[0].headers["host"] == url.split("/")[2]


async def test_a_certificate_for_another_name_is_not_believed(tmp_path: Path) -> None:
    server, client = certificate(tmp_path, "other.example")
    async with receiver(tls=server) as own:
        with pytest.raises(NoAnswer, match="CERTIFICATE_VERIFY_FAILED"):
            await post(own.url.replace(HERE, "shop.example"), INSIDE, names=Names([HERE]), tls=client)
    assert own.got == []


async def test_a_connection_of_one_name_is_never_used_for_another_at_the_same_address(tmp_path: Path) -> None:
    server, client = certificate(tmp_path, "shop.example")
    async with receiver(tls=server) as own:
        messenger = HttpsMessenger(INSIDE, resolve=Names([HERE]), tls=client)
        assert await messenger.post(own.url.replace(HERE, "shop.example"), b"{}", {}) == 200
        with pytest.raises(NoAnswer, match="CERTIFICATE_VERIFY_FAILED"):
            await messenger.post(own.url.replace(HERE, "other.example"), b"{}", {})
        await messenger.close()
