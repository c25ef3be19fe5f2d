"""Does a token allow a feature? Checked here, without a question to the server but for its keys, once."""

import sys

import jwt

server, token, feature = sys.argv[1:]
keys = jwt.PyJWKClient(f"{server}/.well-known/jwks.json", lifespan=600)
key = keys.get_signing_key_from_jwt(token)
claims = jwt.decode(token, key, algorithms=["ES256"], audience="entitlements", issuer=server)
print(f"{claims['sub']}: {feature} is {'allowed' if feature in claims['ent'] else 'not allowed'}")
