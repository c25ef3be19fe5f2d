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

_MANY = 1_000_000_000


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
    except ValueError:
        raise errors.invalid(f"There is no such fault: name one of {', '.join(Fault)}.", "kind") from None
    path = str(said["path_contains"]) if said.get("path_contains") else None
    if "rate" in said:
        seed = int(_number(said, "seed", 0, least=-_MANY, most=_MANY))
        faults.at_rate(kind, _number(said, "rate", 1, least=0, most=1), seed, path_contains=path)
    else:
        faults.arm(kind, count=int(_number(said, "count", 1, least=1, most=_MANY)), path_contains=path)
    return {"armed": True, "kind": kind.value}


def limit(limits: RateLimits, said: dict[str, object]) -> dict[str, object]:
    """Take so many calls a second, in all (`account`) and of each kind (`endpoint`); as many as wished where unsaid."""
    account, endpoint = (
        int(_number(said, name, 0, least=1, most=_MANY)) if said.get(name) else None for name in ("account", "endpoint")
    )
    limits.set(account=account, endpoint=endpoint)
    return {"account": account, "endpoint": endpoint}


def _number(said: dict[str, object], name: str, unsaid: int, *, least: int, most: int) -> float:
    """Between the two; whole unless it is a share of one."""
    try:
        number = (float if most == 1 else int)(str(said.get(name, unsaid)))
    except ValueError:
        number = most + 1
    if not least <= number <= most:  # which is so of no number, too
        raise errors.invalid(f"Expected a number from {least} to {most}.", name)
    return number
