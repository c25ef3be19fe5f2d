"""Which addresses merchants' endpoints may have: public ones, and what the operator allows besides.

An address that somebody types in must not lead into the network that this server stands in, to its own machine or to
the services that hand out a cloud's credentials, however it is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

import httpx

from gateways.outward import TargetRefused

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LOOPBACK: Sequence[Network] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))

_NAMED_PORTS = {"http": 80, "https": 443}
# Beyond what the standard library calls not global: reserved for protocols (Oracle's metadata among them), the relays
# of a protocol given up, and the address at which Azure's machines ask for theirs.
_NOT_PUBLIC_V4 = [IPv4Network(net) for net in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")]
_PUBLIC_V6 = IPv6Network("2000::/3")
# Those carry an IPv4 address or are for examples.
_NOT_PUBLIC_V6 = [IPv6Network(net) for net in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]


@dataclass(frozen=True, slots=True)
class Target:
    """An address as it is reached: `host` is in ASCII, without brackets; `url` has none of its parts guessed."""

    url: httpx.URL
    host: str
    port: int

    @property
    def is_plain(self) -> bool:
        """Whether what is sent there can be read on the way."""
        return self.url.scheme == "http"

    def at(self, address: Address) -> httpx.URL:
        """The same at that very address: no name is left to be resolved."""
        return self.url.copy_with(host=str(address))


def target_of(url: str) -> Target:
    """Raises TargetRefused for what is no address of a web server, and for what does not belong into one."""
    try:
        parts, parsed = urlsplit(url), httpx.URL(url)
        host = parsed.raw_host.decode("ascii")
        port = parts.port or _NAMED_PORTS[parsed.scheme]
    except (httpx.InvalidURL, ValueError, KeyError):
        raise TargetRefused("This is no address of a web server. Give an https address.") from None
    if not host:
        raise TargetRefused("The address names no host. Give an https address.")
    if parsed.userinfo or parts.fragment:
        raise TargetRefused("Leave user, password and fragment out of the address.")
    return Target(parsed, host.strip("[]"), port)


@dataclass(frozen=True, slots=True)
class Rules:
    """`private`: networks that are allowed though they are not public. `plain_loopback`: so is this very machine, and
    to it http."""

    private: Sequence[Network] = ()
    plain_loopback: bool = False

    def admit(self, target: Target, addresses: Sequence[Address]) -> None:
        """Raises TargetRefused unless all that the name resolves to may be reached in this way."""
        for address in map(_plainly, addresses):
            if self.plain_loopback and _lies_in(address, LOOPBACK):
                continue
            if target.is_plain:
                raise TargetRefused("Only https addresses are told of anything.")
            if not is_public(address) and not _lies_in(address, self.private):
                raise TargetRefused(
                    "The address is private or reserved. Give a public one, or have the operator allow its network in "
                    "PERENNIAL_WEBHOOK_PRIVATE_TARGETS."
                )


def address_of(text: str) -> Address:
    """The address in what a resolver gives back; a zone (`fe80::1%eth0`) does not belong to it."""
    return ip_address(text.partition("%")[0])


def network_of(text: str) -> Network:
    return ip_network(text, strict=False)


def is_public(address: Address) -> bool:
    """Whether anybody on the internet is reached there, and nobody else."""
    address = _plainly(address)
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast and not _lies_in(address, _NOT_PUBLIC_V4)
    return address in _PUBLIC_V6 and address.is_global and not _lies_in(address, _NOT_PUBLIC_V6)


def _plainly(address: Address) -> Address:
    """An IPv4 address that is written as an IPv6 one is what it is."""
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def _lies_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)
