"""Messages to merchants' endpoints over HTTPS: the address that was checked is the address that is connected to.

A name is resolved once for each message and every address that it has is checked; the connection then goes to one of
those addresses, while TLS and the Host header still speak of the name. Nothing is resolved a second time, so a name
that changes its mind in between (DNS rebinding) gains nothing. Each message has a connection of its own: one that was
opened for another name at the same address must not be used again.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx

from gateways.outward import NoAnswer, TargetRefused
from gateways.targets import Address, Rules, Target, address_of, target_of

ANSWER_SECONDS = 10.0
RESOLVE_SECONDS = 5.0
_MOST_LOOKUPS = 100

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port → the addresses that the name has, OSError when it has none."""


class HttpsMessenger:
    """See the module. `resolve` is the system's unless given, `tls` what certificates are checked by."""

    def __init__(self, rules: Rules, *, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._rules = rules
        # Names that are slow to resolve must not keep those waiting who share the loop's own few threads.
        self._lookups = ThreadPoolExecutor(_MOST_LOOKUPS, thread_name_prefix="resolve")
        self._resolve = resolve or self._ask_the_system
        self._tls = tls
        self._client: httpx.AsyncClient | None = None

    async def check(self, url: str) -> None:
        await self._addresses(target_of(url))

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._post(target_of(url), body, headers)
        except TimeoutError:
            raise NoAnswer(f"no answer within {ANSWER_SECONDS:.0f} s") from None

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
        self._lookups.shutdown(wait=False, cancel_futures=True)

    async def _post(self, target: Target, body: bytes, headers: Mapping[str, str]) -> int:
        failure: httpx.HTTPError | None = None
        addresses = await self._addresses(target)
        # An address that swallows everything leaves time for the next one, and the last one time to answer.
        limits = httpx.Timeout(ANSWER_SECONDS, connect=ANSWER_SECONDS / (len(addresses) + 1))
        for address in addresses:
            try:
                return await self._post_to(target, address, body, headers, limits)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error  # Nothing was sent yet, and the name may have another address.
            except httpx.HTTPError as error:
                failure = error
                break
        raise NoAnswer(_in_words(failure)) from failure

    async def _post_to(
        self, target: Target, address: Address, body: bytes, headers: Mapping[str, str], limits: httpx.Timeout
    ) -> int:
        async with self._open().stream(
            "POST",
            target.at(address),
            content=body,
            headers={"Host": target.url.netloc.decode("ascii"), **headers},
            extensions={"sni_hostname": target.host},
            timeout=limits,
        ) as response:
            return response.status_code  # What else it says is not read: nothing would be done with it.

    async def _addresses(self, target: Target) -> Sequence[Address]:
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                found = [address_of(text) for text in await self._resolve(target.host, target.port)]
        except (OSError, UnicodeError, ValueError):  # A timeout is an OSError too.
            found = []
        if not found:
            raise TargetRefused("The host of the address has no address now. Check how it is written.")
        self._rules.admit(target, found)
        return list(dict.fromkeys(found))

    async def _ask_the_system(self, host: str, port: int) -> Sequence[str]:
        found = await asyncio.get_running_loop().run_in_executor(
            self._lookups, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [str(place[0]) for *_, place in found]

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(
                verify=self._tls or httpx.create_ssl_context(),
                trust_env=False,  # A proxy would resolve the name anew.
                follow_redirects=False,
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            )
        return self._client


def _in_words(error: httpx.HTTPError | None) -> str:
    return f"{type(error).__name__}: {error}"[:200].rstrip(": ")
