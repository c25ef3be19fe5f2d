"""No committed file holds a secret that opens anything."""

import re

import pytest

from tests.architecture.test_committed_files import committed_texts

SECRETS = {
    "a key of the gateway's": re.compile(r"\b[sr]k_(?:live|test)_\w{8,}"),
    "a webhook's signing secret": re.compile(r"\bwhsec_[\w+/=-]{8,}"),
    "a client secret": re.compile(r"\b(?:pi|seti)_[A-Za-z0-9]{14,}_secret_[A-Za-z0-9]{14,}"),
    "an API key of ours": re.compile(r"\bprk_[0-9a-f]{12}_[\w-]{40,}"),
    "an access token": re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}"),
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----"),
    "a password in an address": re.compile(r"(?<=://)[^/\s:@'\"{}<>$]+:[^/\s@'\"{}<>$]+(?=@)"),
    "a cloud's access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[\w-]{35}"),
    "a forge's or a chat's token": re.compile(r"\bgh[pousr]_\w{30,}|\bgithub_pat_\w{30,}|\bxox[abprs]-[\w-]{10,}"),
}
# Invented by tests and by the manual; the sandbox's own `sk_test_sandbox` and `whsec_sandbox` are public constants.
INVENTED = {
    "sk_live_1234567890",
    "sk_live_0123456789abcdef",
    "sk_test_stranger",
    "sk_test_wrong_0123456789",
    "whsec_for_tests",
    "whsec_stranger",
    "whsec_contract",
    "whsec_0123456789",
    "user:password",
    "user:pw",
    "user:secret",
    "user:word",
}
PUBLIC = {"sk_test_sandbox", "whsec_sandbox"}


@pytest.mark.parametrize("what", SECRETS)
def test_no_committed_file_holds(what: str) -> None:
    found = {
        f"{name}: {secret[:24]}"
        for name, text in committed_texts().items()
        for secret in SECRETS[what].findall(text)
        if secret not in INVENTED | PUBLIC
    }
    assert found == set()


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("a key of the gateway's", "key = 'rk_live_{}'".format("51Hx" * 6)),
        ("a webhook's signing secret", "whsec_{}".format("Zm9v" * 8)),
        ("a client secret", "pi_{0}_secret_{0}".format("3Ab" * 8)),
        ("an API key of ours", "prk_0123456789ab_{}".format("A-_b" * 11)),
        ("an access token", "Bearer eyJ{0}.eyJ{0}.{0}".format("hbGciOi" * 4)),
        ("a private key", "-----BEGIN {}PRIVATE KEY-----".format("EC ")),
        ("a password in an address", "postgresql://perennial:{}@db/books".format("hunter2")),
        ("a cloud's access key", "AKIA{}".format("ABCD" * 4)),
        ("a forge's or a chat's token", "ghp_{}".format("a1B2" * 9)),
    ],
)
def test_one_would_be_found(what: str, text: str) -> None:
    assert SECRETS[what].search(text)
