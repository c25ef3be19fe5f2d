"""The sandbox's own levers, beside Stripe's API: what a person or a test may bring about.

Owns: what is armed at /sandbox/faults and how requests to the levers are read. Does not own: faults themselves
(faults.py), cards (payment_methods.py).
"""

import orjson
from starlette.requests import Request

from gateways.sandbox import errors
from gateways.sandbox.faults import Fault, Faults
from gateways.sandbox.limits import RateLimits
from gateways.sandbox.parameter_kinds import decode


async def told(request: Request) -> dict[str, object]:
    """What the request's JSON object or form says."""
    body = await request.body()
    if "json" not in request.headers.get("content-type", ""):
        return {**decode(body.decode(errors="replace"))}
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        said = None
    if not isinstance(said, dict):
        raise errors.invalid("Send a JSON object or a form.", None)
    return said


def arm(faults: Faults, said: dict[str, object]) -> dict[str, object]:
    """Arm a fault: `kind`, and `count` or `rate` with `seed`, and `path_contains`."""
    try:
        kind = Fault(str(said.get("kind", "")))
        path = str(said["path_contains"]) if said.get("path_contains") else None
        if "rate" in said:
            rate, seed = float(str(said["rate"])), int(str(said.get("seed", 0)))
            faults.at_rate(kind, rate, seed, path_contains=path)
        else:
            faults.arm(kind, count=int(str(said.get("count", 1))), path_contains=path)
    except ValueError as problem:
        raise errors.invalid(str(problem), "kind") from None
    return {"armed": True, "kind": kind.value}


def limit(limits: RateLimits, said: dict[str, object]) -> dict[str, object]:
    """Take so many calls a second, in all (`account`) and of each kind (`endpoint`); as many as wished where unsaid."""
    try:
        account, endpoint = (int(str(said[name])) if said.get(name) else None for name in ("account", "endpoint"))
    except ValueError as problem:
        raise errors.invalid(str(problem), "account") from None
    limits.set(account=account, endpoint=endpoint)
    return {"account": account, "endpoint": endpoint}
