"""Expanding: ids replaced by the objects behind them, where the caller asked for it.

Owns: reading `expand` paths, their limits, and the replacement. Which fields can be expanded is data in shapes.py.
"""

from gateways.sandbox.calls import Body, snapshot
from gateways.sandbox.errors import invalid
from gateways.sandbox.shapes import EXPANDABLE
from gateways.sandbox.store import Unit

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
        if expanded.get("object") == "list":
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
    if step in fields:
        target = fields[step]
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


def _check(kind: str, steps: list[str], path: str) -> None:
    """The rest of a path whose object is not there must still be one that could be expanded."""
    step, rest = steps[0], steps[1:]
    fields = EXPANDABLE.get(kind, {})
    target = fields.get(step, "") if step in fields else f"{kind}.{step}"
    if step not in fields and (target not in EXPANDABLE or not rest):
        raise _not_expandable(path)
    if rest:
        if target is None:
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
