"""The issuer's key set: fetched seldom, bounded, and only with keys that may check our algorithm."""

import asyncio
import json
from datetime import timedelta

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from resolvers.identity import TokenRefused, TokenVerifier
from resolvers.keys import KeySet, KeysUnavailable, usable_keys
from tests.edge.toy import NOW, Toy, settings_for

URL = "https://issuer.example/jwks"
SETTINGS = settings_for(jwt_secret=None, jwt_algorithm="RS256", jwt_jwks_url=URL)
FIRST = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SECOND = rsa.generate_private_key(public_exponent=65537, key_size=2048)
MINUTE = timedelta(minutes=1)


def entry(key: rsa.RSAPrivateKey, kid: str | None = None, **changes: object) -> dict[str, object]:
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    return {**jwk, **({"kid": kid} if kid else {}), **changes}


def token(key: rsa.RSAPrivateKey, kid: str | None) -> str:
    claims = {"iss": "perennial-dev", "aud": "perennial", "sub": "u", "exp": NOW + timedelta(days=1)}
    return jwt.encode(claims, key, "RS256", headers={"kid": kid} if kid else None)


class Issuer(httpx.AsyncBaseTransport):
    """An identity provider's key endpoint, which can be changed, slowed and broken."""

    def __init__(self, *keys: dict[str, object]) -> None:
        self.body: bytes = json.dumps({"keys": list(keys)}).encode()
        self.status = 200
        self.headers: dict[str, str] = {}
        self.fetches = 0
        self.down = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.fetches += 1
        await asyncio.sleep(0)
        if self.down:
            raise httpx.ConnectError("refused")
        return httpx.Response(self.status, stream=httpx.ByteStream(self.body), headers=self.headers)


def verifier(issuer: Issuer) -> TokenVerifier:
    return TokenVerifier(SETTINGS, KeySet(URL, "RS256", transport=issuer))


async def test_fifty_requests_at_once_fetch_the_keys_once():
    issuer = Issuer(entry(FIRST, "k1"))
    tokens = verifier(issuer)
    identities = await asyncio.gather(*(tokens.verify(token(FIRST, "k1"), NOW) for _ in range(50)))
    assert {identity.user_id for identity in identities} == {"u"}
    assert issuer.fetches == 1


async def test_a_rotated_key_is_fetched_for_its_unknown_kid_but_at_most_once_a_minute():
    issuer = Issuer(entry(FIRST, "k1"))
    tokens = verifier(issuer)
    await tokens.verify(token(FIRST, "k1"), NOW)
    issuer.body = json.dumps({"keys": [entry(SECOND, "k2")]}).encode()
    for _ in range(10):
        with pytest.raises(TokenRefused, match="no such signing key"):
            await tokens.verify(token(SECOND, "k2"), NOW + timedelta(seconds=59))
    assert issuer.fetches == 1
    assert (await tokens.verify(token(SECOND, "k2"), NOW + MINUTE)).user_id == "u"
    assert issuer.fetches == 2


async def test_a_key_that_was_withdrawn_stops_serving_after_ten_minutes():
    issuer = Issuer(entry(FIRST, "k1"))
    tokens = verifier(issuer)
    await tokens.verify(token(FIRST, "k1"), NOW)
    issuer.body = json.dumps({"keys": [entry(SECOND, "k2")]}).encode()
    assert (await tokens.verify(token(FIRST, "k1"), NOW + 10 * MINUTE)).user_id == "u"
    with pytest.raises(TokenRefused, match="no such signing key"):
        await tokens.verify(token(FIRST, "k1"), NOW + 10 * MINUTE + timedelta(seconds=1))


async def test_old_keys_serve_for_an_hour_while_the_issuer_is_down():
    issuer = Issuer(entry(FIRST, "k1"))
    tokens = verifier(issuer)
    await tokens.verify(token(FIRST, "k1"), NOW)
    issuer.down = True
    assert (await tokens.verify(token(FIRST, "k1"), NOW + 60 * MINUTE)).user_id == "u"
    with pytest.raises(KeysUnavailable):
        await tokens.verify(token(FIRST, "k1"), NOW + 60 * MINUTE + timedelta(seconds=1))
    issuer.down = False
    assert (await tokens.verify(token(FIRST, "k1"), NOW + 62 * MINUTE)).user_id == "u"


def broken(**changes: object) -> Issuer:
    issuer = Issuer(entry(FIRST, "k1"))
    for name, value in changes.items():
        setattr(issuer, name, value)
    return issuer


@pytest.mark.parametrize(
    "issuer",
    [
        broken(down=True),
        broken(status=500),
        broken(status=302, headers={"location": "https://evil.example/jwks"}),
        broken(body=b"<html>"),
        broken(body=b"[]"),
        broken(body=b'{"keys": {}}'),
        broken(body=b" " * (256 * 1024 + 1)),
    ],
)
async def test_without_a_key_set_no_token_is_judged(issuer):
    with pytest.raises(KeysUnavailable):
        await verifier(issuer).verify(token(FIRST, "k1"), NOW)
    assert issuer.fetches == 1


async def test_an_unreachable_issuer_is_not_the_callers_fault():
    toy = Toy(jwt_secret=None, jwt_algorithm="RS256", jwt_jwks_url="http://127.0.0.1:1/jwks")
    async with toy.client:
        headers = {"authorization": f"Bearer {token(FIRST, 'k1')}"}
        response = await toy.client.post("/graphql", json={"query": "{ role }"}, headers=headers)
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
        assert response.json()["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
        assert (await toy.ask("{ role }")).json()["data"] == {"role": "public"}


async def test_a_token_without_kid_is_checked_by_the_only_key_and_refused_if_there_are_two():
    assert (await verifier(Issuer(entry(FIRST, "k1"))).verify(token(FIRST, None), NOW)).user_id == "u"
    with pytest.raises(TokenRefused, match="no such signing key"):
        await verifier(Issuer(entry(FIRST, "k1"), entry(SECOND, "k2"))).verify(token(FIRST, None), NOW)


SMALL = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 (it must be refused)


@pytest.mark.parametrize(
    "unusable",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k", "alg": "RS256"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "k"},
        entry(FIRST, "k", alg="HS256"),
        entry(FIRST, "k", alg="RS512"),
        entry(FIRST, "k", use="enc"),
        entry(FIRST, "k", key_ops=["encrypt"]),
        entry(FIRST, "k", key_ops="verify"),
        {**entry(FIRST), "kid": 7},
        entry(FIRST, "k", n="!!"),
        entry(FIRST, "k", e=7),
        {"kty": "RSA", "kid": "k"},
        entry(SMALL, "k"),
        "no key",
        None,
    ],
)
def test_a_key_that_may_not_check_our_algorithm_is_left_out_and_the_rest_serves(unusable):
    assert list(usable_keys({"keys": [unusable, entry(FIRST, "good")]}, "RS256")) == ["good"]


def test_only_the_public_half_of_a_leaked_private_key_is_kept():
    private = {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(FIRST)), "kid": "k", "key_ops": ["verify"]}
    assert not isinstance(usable_keys({"keys": [private]}, "RS256")["k"].key, rsa.RSAPrivateKey)
