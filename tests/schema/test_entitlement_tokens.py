"""Entitlement tokens: what they say, how long they hold, and who can check them, with any JWT library."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bootstrap import _kept_key, entitlement_keys
from resolvers.entitlement_tokens import EntitlementKeys, UnusableEntitlementKey, new_key
from settings import SettingsError, load_settings
from tests.scenarios.orders import ordered
from tests.scenarios.test_entitlements import stock
from tests.schema.keys import ask_with_key, post_with_key, secret_of_key
from tests.support.databases import copy_of_file
from tests.support.house import START, House, open_house

USER = "demo-card"
MINE = "{ me { entitlements { token tokenExpiresAt } } }"
STATUS = "query ($user: ID!) { subscriptionStatus(userId: $user) { entitlements { token tokenExpiresAt } } }"
ISSUER = "http://127.0.0.1:8000"


async def _token(house: House) -> str:
    return (await house.ask(MINE, user=USER))["me"]["entitlements"]["token"]


async def _checked(house: House, token: str, **expected: Any) -> dict[str, Any]:
    """As a merchant checks it, but for the time, which stands still in tests."""
    answer = await house.http.get("/.well-known/jwks.json")
    key = jwt.PyJWKSet.from_dict(answer.json())[jwt.get_unverified_header(token)["kid"]]
    wanted: dict[str, Any] = {"audience": "entitlements", "issuer": ISSUER, **expected}
    options: Any = {"verify_exp": False, "verify_iat": False}
    return jwt.decode(token, key, algorithms=["ES256"], options=options, **wanted)


async def test_it_says_what_the_user_may_do_for_ten_minutes(house: House) -> None:
    await stock(house)
    await ordered(house, USER, by=USER, planCode="reader-pro")
    mine = (await house.ask(MINE, user=USER))["me"]["entitlements"]
    assert mine["tokenExpiresAt"] == "2026-01-31T09:40:00Z"
    assert await _checked(house, mine["token"]) == {
        "iss": ISSUER,
        "aud": "entitlements",
        "sub": USER,
        "iat": 1769851800,
        "exp": 1769852400,
        "role": "reader",
        "ent": {"capacity": {"limit": 1000, "used": 0}},  # export is switched off: it is not named
    }
    await ordered(house, USER, by=USER, planCode="premium-monthly", quantity=3, periodCount=1)
    both = await _checked(house, await _token(house))
    assert both["ent"] == {"capacity": {"limit": 2500, "used": 0}, "export": {"limit": None, "used": 0}}


async def test_it_counts_by_the_machines_clock_to_the_second(small_house: House) -> None:
    small_house.machine.advance(timedelta(hours=1, milliseconds=900))
    mine = (await small_house.ask(MINE, user=USER))["me"]["entitlements"]
    assert mine["tokenExpiresAt"] == "2026-01-31T10:40:00Z"
    claims = await _checked(small_house, mine["token"])
    assert datetime.fromtimestamp(claims["exp"], UTC) == START + timedelta(hours=1, minutes=10)
    assert (claims["role"], claims["ent"]) == (None, {})


async def test_a_back_end_gets_it_for_any_user_and_a_key_that_may_not_read_does_not(small_house: House) -> None:
    key = await secret_of_key(small_house, "read")
    told = (await ask_with_key(small_house, key, STATUS, {"user": "nobody"}))["subscriptionStatus"]
    assert (await _checked(small_house, told["entitlements"]["token"]))["sub"] == "nobody"
    other = await secret_of_key(small_house, "act_for_customer")
    refused = (await post_with_key(small_house, other, STATUS, {"user": USER})).json()
    assert refused["data"] is None
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_another_audience_issuer_or_key_is_refused_and_so_is_an_altered_one(small_house: House) -> None:
    token = await _token(small_house)
    with pytest.raises(jwt.InvalidAudienceError):
        await _checked(small_house, token, audience="perennial")
    with pytest.raises(jwt.InvalidIssuerError):
        await _checked(small_house, token, issuer="https://billing.example")
    header, claims, signature = token.split(".")
    forged = EntitlementKeys(new_key(), ISSUER).issue(USER, role="admin", allowed={}, at=START)
    for altered in (f"{header}.{forged.split('.')[1]}.{signature}", f"{header}.{claims}.{forged.split('.')[2]}"):
        with pytest.raises(jwt.InvalidSignatureError):
            await _checked(small_house, altered)
    with pytest.raises(KeyError):  # it names a key that is not published
        await _checked(small_house, forged)


def test_an_expired_one_is_refused() -> None:
    keys = EntitlementKeys(new_key(), ISSUER)
    public = jwt.PyJWKSet.from_dict(dict(keys.key_set)).keys[0]
    token = keys.issue(USER, role=None, allowed={}, at=START)  # START is past by the machine's real clock
    with pytest.raises(jwt.ExpiredSignatureError):
        jwt.decode(token, public, algorithms=["ES256"], audience="entitlements", issuer=ISSUER)


async def test_it_is_no_access_token(small_house: House) -> None:
    answer = await small_house.http.post(
        "/graphql",
        json={"query": "{ me { id } }"},
        headers={"Authorization": f"Bearer {await _token(small_house)}"},
    )
    assert answer.status_code == 401


async def test_the_key_set_is_public_and_may_be_kept(small_house: House) -> None:
    answer = await small_house.http.get("/.well-known/jwks.json", headers={"Origin": "https://shop.example"})
    assert answer.headers["cache-control"] == "public, max-age=600"
    assert answer.headers["access-control-allow-origin"] == "*"
    (key,) = answer.json()["keys"]
    assert {name: key[name] for name in ("kty", "crv", "use", "alg")} == {
        "kty": "EC",
        "crv": "P-256",
        "use": "sig",
        "alg": "ES256",
    }
    assert "d" not in key


def test_a_key_is_named_by_its_thumbprint() -> None:
    """The thumbprint of a fixed key, computed apart."""
    private = ec.derive_private_key(1, ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    (key,) = EntitlementKeys(pem, ISSUER).key_set["keys"]
    assert key["x"] == "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY"
    assert key["kid"] == "xx0BcA-wMohw8atYDJOe6peGModklG2wRHBlXHMvl0M"


async def test_while_a_key_is_replaced_both_are_published_and_the_first_signs(
    stocked_file: Path, tmp_path: Path
) -> None:
    old, new = new_key(), new_key()
    was = EntitlementKeys(old, ISSUER).issue(USER, role=None, allowed={}, at=START)
    both = f"{new}{old}".replace("\n", "\\n")  # as it is written on one line
    database = copy_of_file(stocked_file, tmp_path / "perennial.db")
    async with open_house(database, demo=False, entitlement_key=both) as house:
        assert (await _checked(house, was))["sub"] == USER
        token = await _token(house)
        assert (await _checked(house, token))["sub"] == USER
        published = (await house.http.get("/.well-known/jwks.json")).json()["keys"]
        assert [key["kid"] for key in published].index(jwt.get_unverified_header(token)["kid"]) == 0
        assert len(published) == 2


def test_without_one_a_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "var" / "key.pem"
    made = _kept_key(path)
    assert _kept_key(path) == made == path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    EntitlementKeys(made, ISSUER)


def _pem(key: Any) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    "pem",
    [
        "not a key",
        new_key().replace("M", "*"),
        _pem(ec.generate_private_key(ec.SECP384R1())),
        _pem(rsa.generate_private_key(65537, 2048)),
    ],
    ids=["no PEM", "broken", "another curve", "RSA"],
)
def test_what_cannot_sign_stops_the_server_with_a_sentence(pem: str) -> None:
    with pytest.raises(UnusableEntitlementKey):
        EntitlementKeys(pem, ISSUER)
    with pytest.raises(SettingsError, match=r"^PERENNIAL_ENTITLEMENT_KEY: .*; make one with `openssl"):
        entitlement_keys(load_settings(_env_file=None, entitlement_key=pem))


PRODUCTION = {
    "environment": "production",
    "secret_key": "p" * 40,
    "jwt_secret": "j" * 40,
    "stripe_secret_key": "sk_test_x",
    "stripe_publishable_key": "pk_test_x",
    "stripe_webhook_secret": "whsec_x",
}


def test_production_does_not_start_without_the_key_and_an_address() -> None:
    with pytest.raises(SettingsError, match=r"^PERENNIAL_ENTITLEMENT_KEY: production needs"):
        load_settings(_env_file=None, **PRODUCTION)
    with pytest.raises(SettingsError, match=r"^PERENNIAL_PUBLIC_URL: production needs"):
        load_settings(_env_file=None, **PRODUCTION, entitlement_key=new_key())
    ready = load_settings(_env_file=None, **PRODUCTION, entitlement_key=new_key(), public_url="https://b.example/")
    assert ready.public_address == "https://b.example"
    for address in ("b.example", "ftp://b.example", "https://", "https://b.example?x=1"):
        with pytest.raises(SettingsError, match=r"^PERENNIAL_PUBLIC_URL: write https"):
            load_settings(_env_file=None, public_url=address)
