"""Expanding: ids replaced by the objects behind them, where the caller asked for it.

Owns: reading `expand` paths, their limits, and the replacement. Which fields can be expanded is data in shapes.py.
"""

from typing import Any

from gateways.sandbox.calls import Body, snapshot
from gateways.sandbox.errors import invalid
from gateways.sandbox.shapes import EXPANDABLE, EXPANDED_LISTS
from gateways.sandbox.store import Listing, Unit

DEEPEST = 4


async def expand(unit: Unit, answer: Body, paths: list[str]) -> Body:
    """A copy of `answer` with every path expanded. A path goes through `data` in lists."""
    if not paths:
        return answer
    expanded = snapshot(answer)
    for path in paths:
        steps = path.split(".")
        if len(steps) > DEEPEST:
            raise invalid(f"You cannot expand more than {DEEPEST} levels of a property. Property: {path}", "expand")
        if expanded.get("object") in ("list", "search_result"):
            if steps[0] != "data" or len(steps) == 1:
                raise _not_expandable(path, hint=f"data.{path}")
            for member in expanded["data"]:
                await _follow(unit, member, member["object"], steps[1:], path)
        else:
            await _follow(unit, expanded, expanded.get("object", ""), steps, path)
    return expanded


async def _follow(unit: Unit, node: Body, kind: str, steps: list[str], path: str) -> None:
    step, rest = steps[0], steps[1:]
    fields = EXPANDABLE.get(kind, {})
    if (listed := EXPANDED_LISTS.get((kind, step))) is not None:
        if not isinstance(node.get(step), dict):
            node[step] = await _list_of(unit, node, step, listed)
        await _through_list(unit, node[step]["data"], listed, rest, path)
        return
    if step in fields:
        target = fields[step]
        if isinstance(target, tuple):
            target = await _which(unit, target, node.get(step))
        found: Body | None = None
        if target is not None and isinstance(node.get(step), str):
            found = node[step] = await _behind(unit, target, node[step])
        elif isinstance(node.get(step), dict):
            found = node[step]
        if not rest:
            return
        if target is None:
            raise _not_expandable(path)
        if found is None:
            _check(target, rest, path)
        elif not found.get("deleted"):
            await _follow(unit, found, target, rest, path)
        return
    inner = f"{kind}.{step}"
    if inner not in EXPANDABLE or not rest:
        raise _not_expandable(path)
    value = node.get(step)
    if value is None:
        _check(inner, rest, path)
    else:
        await _follow(unit, value, inner, rest, path)


async def _through_list(unit: Unit, members: list[Body], kind: str, steps: list[str], path: str) -> None:
    if not steps:
        return
    if steps[0] != "data" or len(steps) == 1:
        raise _not_expandable(path)
    if not members:
        _check(kind, steps[1:], path)
    for member in members:
        await _follow(unit, member, kind, steps[1:], path)


async def _list_of(unit: Unit, owner: Body, field: str, kind: str) -> Body:
    """The newest ten of what belongs to `owner`."""
    records = await unit.find_all(Listing(kind, lookup=owner["id"]))
    return {
        "object": "list",
        "data": [snapshot(record.body) for record in records[:10]],
        "has_more": len(records) > 10,
        "url": f"/v1/{owner['object']}s/{owner['id']}/{field}",
    }


async def _which(unit: Unit, kinds: tuple[str, ...], value: Any) -> str:
    """The kind of what is behind an id, or of what was expanded already."""
    if isinstance(value, dict):
        return value["object"]
    for kind in kinds:
        if await unit.find(kind, value) is not None:
            return kind
    return kinds[0]


def _check(kind: str, steps: list[str], path: str) -> None:
    """The rest of a path whose object is not there must still be one that could be expanded."""
    step, rest = steps[0], steps[1:]
    fields = EXPANDABLE.get(kind, {})
    target = EXPANDED_LISTS.get((kind, step)) or fields.get(step, f"{kind}.{step}")
    if (kind, step) in EXPANDED_LISTS:
        if rest and (rest[0] != "data" or len(rest) == 1):
            raise _not_expandable(path)
        rest = rest[1:]
    elif step not in fields and (target not in EXPANDABLE or not rest):
        raise _not_expandable(path)
    if rest:
        if not isinstance(target, str):
            raise _not_expandable(path)
        _check(target, rest, path)


async def _behind(unit: Unit, kind: str, identity: str) -> Body:
    record = await unit.find(kind, identity)
    if record is None or record.deleted:
        return {"id": identity, "object": kind, "deleted": True}
    return snapshot(record.body)


def _not_expandable(path: str, hint: str | None = None) -> Exception:
    tail = f" You may want to try expanding '{hint}' instead." if hint else ""
    return invalid(f"This property cannot be expanded ({path}).{tail}", "expand")
