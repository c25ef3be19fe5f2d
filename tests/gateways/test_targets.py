"""Where messages may go (promise S: a typed-in address never leads inside), however the address is written."""

import ipaddress

import pytest

from gateways.outward import TargetRefused
from gateways.targets import Rules, address_of, is_public, network_of, target_of

PUBLIC = [
    "1.1.1.1",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001:82a::200e",
    "::ffff:1.1.1.1",
]
INSIDE = {
    "this host": ["0.0.0.1", "0.1.2.3", "::"],
    "loopback": ["127.0.0.1", "127.255.255.254", "::1"],
    "private": ["10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1"],
    "shared by carriers": ["100.64.0.1", "100.127.255.255"],
    "link-local": ["169.254.0.1", "fe80::1", "fe80::1%eth0", "febf::1"],
    "unique local": ["fc00::1", "fd12:3456:789a::1"],
    "site local": ["fec0::1"],
    "metadata of clouds": [
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "fd00:ec2::254",
        "fd20:ce::254",
    ],
    "multicast": ["224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.1", "255.255.255.255", "192.0.0.8", "192.88.99.1", "198.18.0.1", "198.19.255.255"],
    "for examples": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
    "IPv4 written as IPv6": ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1"],
    "IPv4 carried in IPv6": ["64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::1", "2002:a00:1::", "2001:0:1::1"],
    "not assigned": ["4000::1", "8000::1", "100::1", "5f00::1"],
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached(address: str) -> None:
    Rules().admit(target_of("https://shop.example/hooks"), [address_of(address)])


@pytest.mark.parametrize("address", [each for kind in INSIDE.values() for each in kind])
def test_what_lies_inside_is_refused(address: str) -> None:
    assert not is_public(address_of(address))
    for rules in (Rules(), Rules(private=[network_of("10.99.0.0/16"), network_of("fd99::/16")])):
        with pytest.raises(TargetRefused, match="private or reserved"):
            rules.admit(target_of("https://shop.example/hooks"), [address_of(address)])


def test_one_address_inside_spoils_all() -> None:
    """Whoever connects takes any of them."""
    with pytest.raises(TargetRefused):
        Rules().admit(target_of("https://shop.example"), [address_of("1.1.1.1"), address_of("10.0.0.1")])


def test_networks_that_the_operator_allows_are_reached_by_https_alone() -> None:
    rules = Rules(private=[network_of("10.20.0.0/16"), network_of("127.0.0.0/8")])
    for address in ("10.20.0.1", "10.20.255.255", "::ffff:10.20.0.1", "127.0.0.1"):
        rules.admit(target_of("https://shop.internal"), [address_of(address)])
        with pytest.raises(TargetRefused, match="Only https"):
            rules.admit(target_of("http://shop.internal"), [address_of(address)])
    with pytest.raises(TargetRefused, match="private or reserved"):
        rules.admit(target_of("https://shop.internal"), [address_of("10.21.0.1")])


def test_in_development_this_machine_is_reached_and_nothing_else_besides() -> None:
    rules = Rules(plain_loopback=True)
    for address in ("127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"):
        rules.admit(target_of("http://localhost:3000"), [address_of(address)])
        rules.admit(target_of("https://localhost:3000"), [address_of(address)])
    for address in ("10.0.0.1", "169.254.169.254", "1.1.1.1", "::"):
        with pytest.raises(TargetRefused, match="Only https"):
            rules.admit(target_of("http://shop.example"), [address_of(address)])


@pytest.mark.parametrize(
    "url",
    [
        "ftp://shop.example/",
        "file:///etc/passwd",
        "gopher://shop.example",
        "shop.example/hooks",
        "https://",
        "https:///hooks",
        "https://user:password@shop.example/",
        "https://user@shop.example/",
        "https://shop.example/#part",
        "https://shop.example:99999/",
        "https://[::1",
        "https://shop.example:0x50/",
        "javascript:alert(1)",
        "",
    ],
)
def test_what_is_no_plain_address_of_a_web_server_is_refused(url: str) -> None:
    with pytest.raises(TargetRefused):
        target_of(url)


@pytest.mark.parametrize(
    ("url", "host", "port", "at"),
    [
        ("https://shop.example/a?b=c", "shop.example", 443, "https://192.0.2.7/a?b=c"),
        ("https://shop.example:8443", "shop.example", 8443, "https://192.0.2.7:8443"),
        ("http://localhost:3000/", "localhost", 3000, "http://192.0.2.7:3000/"),
        ("https://bücher.example/", "xn--bcher-kva.example", 443, "https://192.0.2.7/"),
        ("https://[2001:db8::1]:8443/x", "2001:db8::1", 8443, "https://192.0.2.7:8443/x"),
    ],
)
def test_what_is_connected_to_is_an_address_and_the_rest_stays(url: str, host: str, port: int, at: str) -> None:
    target = target_of(url)
    assert (target.host, target.port) == (host, port)
    assert str(target.at(ipaddress.ip_address("192.0.2.7"))) == at


def test_an_ipv6_address_stands_in_brackets() -> None:
    at = target_of("https://shop.example:8443/x").at(ipaddress.ip_address("2606:4700::1111"))
    assert str(at) == "https://[2606:4700::1111]:8443/x"
