"""Access tokens (promise S5): what is let in, and each forgery that is not."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from resolvers.identity import NOBODY, Identity, Role, TokenRefused, TokenVerifier, issue_development_token
from resolvers.keys import FAMILIES, usable_keys
from settings import JWT_ALGORITHMS
from tests.edge.toy import NOW, Toy, looked_for, settings_for, told_beside

SECRET = "s" * 40
SETTINGS = settings_for(jwt_secret=SECRET)
LATER = int((NOW + timedelta(hours=1)).timestamp())
CLAIMS = {"iss": "perennial-dev", "aud": "perennial", "sub": "user-1", "exp": LATER}
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
RSA_SETTINGS = settings_for(jwt_secret=None, jwt_algorithm="RS256", jwt_jwks_url="https://issuer.example/jwks")
LEFT_OUT = object()


def public_jwk(key: rsa.RSAPrivateKey, kid: str) -> dict[str, object]:
    return {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig"}


class StoredKeys:
    """A key set that was fetched already."""

    def __init__(self, *entries: dict[str, object]) -> None:
        self.keys = usable_keys({"keys": list(entries)}, "RS256")

    async def find(self, kid, now):
        return self.keys.get(kid)


def hs(headers: dict | None = None, secret: str = SECRET, algorithm: str = "HS256", **changes: object) -> str:
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not LEFT_OUT}
    return jwt.encode(claims, secret, algorithm=algorithm, headers=headers)


def part(content: object) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: dict[str, object], claims: object, secret: bytes = SECRET.encode()) -> str:
    """A token signed by hand, for headers and claims that no library would write."""
    head = f"{part(header)}.{part(claims)}"
    return f"{head}.{part(hmac.new(secret, head.encode(), hashlib.sha256).digest())}"


async def verify(token: str, settings=SETTINGS, keys=None, now=NOW) -> Identity:
    return await TokenVerifier(settings, keys).verify(token, now)


async def refused(token: str, **where: object) -> str:
    with pytest.raises(TokenRefused) as caught:
        await verify(token, **where)
    return caught.value.reason


async def test_a_token_without_a_role_is_a_customers():
    identity = await verify(hs(email="a@example.org", name="Ann"))
    expected = Identity(Role.CUSTOMER, "user-1", "a@example.org", "Ann", NOW + timedelta(hours=1))
    assert identity == expected
    assert identity.expires_at is not None
    assert identity.expires_at.tzinfo is UTC


@pytest.mark.parametrize("role", ["customer", "support", "admin"])
async def test_the_role_claim_gives_the_role(role):
    assert (await verify(hs(role=role))).role is Role(role)


@pytest.mark.parametrize("role", ["service", "public", "Admin", "ADMIN", "root", "", None, 1, ["admin"], {"admin": 1}])
async def test_an_unknown_role_is_refused(role):
    assert await refused(hs(role=role)) == "unknown role"


async def test_one_of_several_audiences_is_enough():
    assert (await verify(hs(aud=["other", "perennial"]))).user_id == "user-1"


async def test_an_access_token_may_say_so():
    assert (await verify(hs({"typ": "at+jwt"}, token_use="access", typ="Bearer"))).user_id == "user-1"


async def test_a_kid_changes_nothing_for_a_shared_secret():
    for kid in ("../../dev/null", "x' UNION SELECT 'key'; --", "", "a" * 500):
        assert (await verify(hs({"kid": kid}))).user_id == "user-1"
        assert await refused(hs({"kid": kid}, secret="t" * 40)) == "the signature does not hold"


@pytest.mark.parametrize("none", ["none", "None", "NONE", "nOnE", "", "none ", None])
async def test_no_spelling_of_the_algorithm_none_is_accepted(none):
    head = f"{part({'alg': none, 'typ': 'JWT'})}.{part(CLAIMS)}"
    for signature in ("", part(b"x"), hs().rsplit(".", 1)[1]):
        assert await refused(f"{head}.{signature}") in ("another algorithm", "malformed")


async def test_a_header_without_algorithm_is_refused():
    assert await refused(signed({"typ": "JWT"}, CLAIMS)) == "another algorithm"


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
async def test_another_algorithm_of_the_family_is_refused(algorithm):
    assert await refused(hs(secret="s" * 64, algorithm=algorithm), settings=settings_for(jwt_secret="s" * 64)) == (
        "another algorithm"
    )


@pytest.mark.parametrize("form", [serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1])
@pytest.mark.parametrize("encoding", [serialization.Encoding.PEM, serialization.Encoding.DER])
async def test_the_public_rsa_key_is_no_hmac_secret(form, encoding):
    public = RSA_KEY.public_key().public_bytes(encoding, form)
    keys = StoredKeys(public_jwk(RSA_KEY, "k1"))
    forged = signed({"alg": "HS256", "typ": "JWT", "kid": "k1"}, CLAIMS, public)
    assert await refused(forged, settings=RSA_SETTINGS, keys=keys) == "another algorithm"
    lying = signed({"alg": "RS256", "typ": "JWT", "kid": "k1"}, CLAIMS, public)
    assert await refused(lying, settings=RSA_SETTINGS, keys=keys) == "the signature does not hold"


async def test_an_rsa_token_is_refused_where_a_secret_is_configured():
    token = jwt.encode(CLAIMS, RSA_KEY, algorithm="RS256")
    assert await refused(token) == "another algorithm"


async def test_an_rsa_token_holds_by_its_key_and_by_no_other():
    keys = StoredKeys(public_jwk(RSA_KEY, "k1"), public_jwk(OTHER_RSA_KEY, "k2"))
    where = {"settings": RSA_SETTINGS, "keys": keys}
    assert (await verify(jwt.encode(CLAIMS, RSA_KEY, "RS256", headers={"kid": "k1"}), **where)).user_id == "user-1"
    crossed = jwt.encode(CLAIMS, RSA_KEY, "RS256", headers={"kid": "k2"})
    assert await refused(crossed, **where) == "the signature does not hold"
    for kid in ("k3", "../../k1", "k1' OR '1'='1", ""):
        token = jwt.encode(CLAIMS, RSA_KEY, "RS256", headers={"kid": kid})
        assert await refused(token, **where) == "no such signing key"


@pytest.mark.parametrize("kid", [1, None, ["k1"], {"k": 1}, True])
async def test_a_kid_that_is_no_string_is_refused(kid):
    assert await refused(signed({"alg": "HS256", "kid": kid}, CLAIMS)) == "malformed"


async def test_headers_that_bring_their_own_key_are_refused_even_when_signed_with_it():
    jwk = public_jwk(OTHER_RSA_KEY, "k1")
    keys = StoredKeys(public_jwk(RSA_KEY, "k1"))
    brought = [
        {"jwk": jwk},
        {"jku": "https://evil.example/jwks"},
        {"x5u": "https://evil.example/cert"},
        {"x5c": ["MIIB"]},
    ]
    for header in brought:
        token = jwt.encode(CLAIMS, OTHER_RSA_KEY, "RS256", headers={"kid": "k1", **header})
        assert await refused(token, settings=RSA_SETTINGS, keys=keys) == "a header that is not accepted"
        own = jwt.encode(CLAIMS, RSA_KEY, "RS256", headers={"kid": "k1", **header})
        assert await refused(own, settings=RSA_SETTINGS, keys=keys) == "a header that is not accepted"


@pytest.mark.parametrize("crit", [["exp"], ["b64"], [], "exp", None])
async def test_critical_headers_are_refused(crit):
    token = signed({"alg": "HS256", "crit": crit, "exp": LATER, "b64": True}, CLAIMS)
    assert await refused(token) in ("a header that is not accepted", "malformed")


async def test_an_unencoded_payload_is_refused():
    assert await refused(signed({"alg": "HS256", "b64": False, "crit": ["b64"]}, CLAIMS)) == "malformed"


@pytest.mark.parametrize("typ", ["refresh+jwt", "logout+jwt", "dpop+jwt", 7, None])
async def test_a_header_that_names_another_kind_of_token_is_refused(typ):
    assert await refused(signed({"alg": "HS256", "typ": typ}, CLAIMS)) == "not an access token"


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "exp"])
async def test_each_required_claim_must_be_there(name):
    reasons = {
        "iss": "another issuer",
        "aud": "another audience",
        "sub": "sub is not a usable user id",
        "exp": "no exp",
    }
    assert await refused(hs(**{name: LEFT_OUT})) == reasons[name]


@pytest.mark.parametrize("value", ["", "perennial", "PERENNIAL-DEV", "perennial-dev ", "https://evil.example", None])
async def test_another_issuer_is_refused(value):
    assert await refused(signed({"alg": "HS256"}, {**CLAIMS, "iss": value})) == "another issuer"


@pytest.mark.parametrize("value", ["", "other", "Perennial", "perennial2", [], ["other"], None, {"perennial": 1}, 7])
async def test_another_audience_is_refused(value):
    assert await refused(signed({"alg": "HS256"}, {**CLAIMS, "aud": value})) == "another audience"


@pytest.mark.parametrize("value", ["", " ", "\t", "a\x00b", "a\nb", "a\x7f", "a\x85b", "x" * 256, 7, None, ["u"], True])
async def test_a_subject_that_is_no_user_id_is_refused(value):
    assert await refused(signed({"alg": "HS256"}, {**CLAIMS, "sub": value})) == "sub is not a usable user id"


async def test_a_lone_surrogate_in_the_subject_is_refused():
    claims = json.dumps({**CLAIMS, "sub": "\ud800"}).encode()
    assert await refused(signed({"alg": "HS256"}, claims)) == "the signature does not hold"


async def test_a_subject_of_255_characters_is_a_user_id():
    assert (await verify(hs(sub="ü" * 255))).user_id == "ü" * 255


async def test_a_token_ends_at_its_exp_without_leeway():
    now = int(NOW.timestamp())
    assert await refused(hs(exp=now - 3600)) == "expired"
    assert await refused(hs(exp=now)) == "expired"
    assert (await verify(hs(exp=now + 1))).user_id == "user-1"


@pytest.mark.parametrize("name", ["nbf", "iat"])
async def test_a_token_of_the_future_is_refused_beyond_five_seconds(name):
    now = int(NOW.timestamp())
    assert await refused(hs(**{name: now + 6})) == "not yet valid"
    assert (await verify(hs(**{name: now + 5}))).user_id == "user-1"


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
async def test_instants_must_be_plain_numbers(name):
    for value in ("4102444800", True, None, [LATER], {"at": LATER}):
        token = signed({"alg": "HS256"}, {**CLAIMS, name: value})
        assert await refused(token) == f"{name} is no number"
    for value in (-1, 1e300, 10**15):
        token = signed({"alg": "HS256"}, {**CLAIMS, name: value})
        assert await refused(token) == f"{name} is out of range"


@pytest.mark.parametrize(
    "mark",
    [
        {"token_use": "refresh"},
        {"token_use": "id"},
        {"token_use": "Access"},
        {"token_use": ""},
        {"token_use": None},
        {"token_type": "refresh"},
        {"typ": "Refresh"},
        {"type": "refresh"},
    ],
)
async def test_a_refresh_token_is_no_access_token(mark):
    assert await refused(signed({"alg": "HS256"}, {**CLAIMS, **mark})) == "not an access token"


async def test_a_payload_or_signature_changed_by_one_byte_is_refused():
    head, claims, signature = hs().split(".")
    other = part({**CLAIMS, "role": "admin"})
    assert await refused(f"{head}.{other}.{signature}") == "the signature does not hold"
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    assert await refused(f"{head}.{claims}.{flipped}") == "the signature does not hold"
    assert await refused(f"{head}.{claims}.") == "the signature does not hold"


@pytest.mark.parametrize("claims", [b"null", b"[]", b'"x"', b"7", b"{", b"\xff", b"", b'{"exp": NaN}'])
async def test_claims_that_are_no_json_object_are_refused(claims):
    reason = await refused(signed({"alg": "HS256"}, claims))
    assert reason in ("the claims are no object", "the signature does not hold")


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "...", "a", "a.b", "a.b.c", "a.b.c.d", "é.é.é", "x" * 8193, "." * 8000, " ", "e30.e30.e30",
     f"{part({'alg': 'HS256'})}.{'!' * 20}.x", f"{part(b'[]')}.e30.e30", f"{part(b'[' * 5000)}.e30.e30"],
)  # fmt: skip
async def test_what_is_no_token_is_refused(token):
    assert await refused(token) in ("empty or too long", "not three parts", "malformed", "another algorithm")


@pytest.mark.parametrize("algorithm", ["none", "None", "", "HS1", "RSA", "ES256K"])
def test_the_server_does_not_start_with_an_unknown_algorithm(algorithm):
    with pytest.raises(ValueError, match="PERENNIAL_JWT_ALGORITHM: write one of HS256, "):
        settings_for(jwt_secret=None, jwt_algorithm=algorithm, jwt_jwks_url="https://i.example/k")


def test_keys_are_known_of_each_algorithm_that_may_be_set():
    assert tuple(FAMILIES) == JWT_ALGORITHMS


async def test_unusable_display_claims_are_left_out_not_refused():
    identity = await verify(hs(email=7, name="a\nb"))
    assert (identity.email, identity.name) == (None, None)


async def test_a_development_token_opens_the_door_for_twelve_hours():
    token = issue_development_token(SETTINGS, user_id="demo-admin", role=Role.ADMIN, now=NOW)
    assert await verify(token) == Identity(Role.ADMIN, "demo-admin", None, None, NOW + timedelta(hours=12))
    assert await refused(token, now=NOW + timedelta(hours=12)) == "expired"


def test_development_tokens_are_not_issued_in_production_nor_for_roles_without_tokens():
    production = settings_for(
        environment="production",
        secret_key="p" * 40,
        jwt_secret="j" * 40,
        stripe_secret_key="sk_test_x",
        stripe_publishable_key="pk_test_x",
        stripe_webhook_secret="whsec_x",
        entitlement_key="a PEM",
        public_url="https://billing.example",
    )
    with pytest.raises(ValueError, match="development only"):
        issue_development_token(production, user_id="u", role=Role.CUSTOMER, now=NOW)
    with pytest.raises(ValueError, match="development only"):
        issue_development_token(RSA_SETTINGS, user_id="u", role=Role.CUSTOMER, now=NOW)
    with pytest.raises(ValueError, match="no token gives the role service"):
        issue_development_token(SETTINGS, user_id="u", role=Role.SERVICE, now=NOW)


async def test_without_the_header_the_caller_is_nobody():
    assert await TokenVerifier(SETTINGS).identify([], NOW) is NOBODY


ROLE = {"query": "{ role }"}


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_a_bearer_token_names_the_caller_over_http(toy: Toy, scheme):
    response = await toy.client.post("/graphql", json=ROLE, headers={"authorization": f"{scheme} {hs(role='admin')}"})
    assert response.json()["data"] == {"role": "admin"}


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "Bearer nonsense")],
        [("authorization", "Bearer")],
        [("authorization", "")],
        [("authorization", hs())],
        [("authorization", f"Basic {hs()}")],
        [("authorization", f"Bearer {hs()}, Bearer {hs()}")],
        [("authorization", f"Bearer {hs()}"), ("authorization", f"Bearer {hs()}")],
        [("authorization", f"Bearer {hs(exp=1)}")],
    ],
)
async def test_a_bad_credential_is_401_and_nothing_runs(toy: Toy, headers):
    mutation = {"query": 'mutation { addNote(text: "x") { userErrors { code } } }'}
    response = await toy.client.post("/graphql", json=mutation, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert response.json()["errors"] == [
        {
            "message": "The access token is not valid or has expired; sign in again.",
            "extensions": {"code": "UNAUTHENTICATED", **looked_for(response)},
        }
    ]
    assert told_beside(response) == {}
    assert toy.database == []


def test_curves_of_another_size_are_not_usable():
    key = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key()))
    assert usable_keys({"keys": [{**key, "kid": "k"}]}, "ES256") == {}
    assert list(usable_keys({"keys": [{**key, "kid": "k"}]}, "ES384")) == ["k"]
