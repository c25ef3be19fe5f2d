"""docs/lifecycle.md: each state machine as a picture and as a table, drawn from the tables that the engine runs."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from billing.lifecycle import MACHINES, Machine
from docs.markdown import code, page, table

AnyMachine = Machine[Any, Any]
Row = Mapping[StrEnum, StrEnum]

INTRODUCTION = """A status changes only by an event that its machine's table allows; any other event is refused and
changes nothing. Each change is kept with its reason, its author and its instant. In the pictures a diamond stands for
each of the states that lead into it, where several answer to the same events in the same way. Being refunded, disputed
or about to end with the period is no state but a fact beside it."""


def render() -> str:
    return page("Lifecycles", INTRODUCTION, *(block for machine in MACHINES for block in _section(machine)))


def reachable(machine: AnyMachine) -> list[StrEnum]:
    """The statuses that some sequence of events leads to, in the order of the machine's table."""
    seen: set[StrEnum] = set()
    ahead = list(machine.initial)
    while ahead:
        status = ahead.pop()
        if status not in seen:
            seen.add(status)
            ahead += machine.table[status].values()
    return [status for status in machine.table if status in seen]


def _section(machine: AnyMachine) -> Iterable[str]:
    used = reachable(machine)
    reserved = [status for status in machine.table if status not in used]
    yield f"## {machine.name.capitalize()}"
    yield _summary(machine, used, reserved)
    yield _picture(machine, used)
    yield _events(machine, used)


def _summary(machine: AnyMachine, used: list[StrEnum], reserved: list[StrEnum]) -> str:
    final = [status for status in used if status in machine.final]
    text = f"Starts as {code(machine.initial)}; ends as {code(final)}."
    if reserved:
        text += f" Reserved for later, nothing leads there yet: {code(reserved)}."
    return text


def _events(machine: AnyMachine, used: list[StrEnum]) -> str:
    """Rows are statuses, columns events; a dash is a refusal."""
    events = [event for event in _vocabulary(machine) if any(event in machine.table[status] for status in used)]
    rows = (
        [f"`{status}`", *(f"`{after}`" if (after := machine.table[status].get(event)) else "–" for event in events)]
        for status in used
    )
    return table(["in \\ on", *(f"`{event}`" for event in events)], rows)


def _picture(machine: AnyMachine, used: list[StrEnum]) -> str:
    lines = ["stateDiagram-v2", *(f"[*] --> {status}" for status in machine.initial)]
    for number, (row, statuses) in enumerate(_alike(machine, used), start=1):
        source = str(statuses[0])
        if len(statuses) > 1:
            source = f"alike{number}"
            lines += [f"state {source} <<choice>>", *(f"{status} --> {source}" for status in statuses)]
        lines += [f"{source} --> {after}: {', '.join(events)}" for after, events in _by_target(row)]
    lines += [f"{status} --> [*]" for status in used if status in machine.final]
    return "\n".join(("```mermaid", lines[0], *(f"    {line}" for line in lines[1:]), "```"))


def _alike(machine: AnyMachine, used: list[StrEnum]) -> list[tuple[Row, list[StrEnum]]]:
    """The statuses that something leaves, those with equal rows together."""
    groups: list[tuple[Row, list[StrEnum]]] = []
    for status in used:
        row = machine.table[status]
        same = next((statuses for other, statuses in groups if other == row), None)
        if same is not None:
            same.append(status)
        elif row:
            groups.append((row, [status]))
    return groups


def _by_target(row: Row) -> list[tuple[StrEnum, list[StrEnum]]]:
    targets = dict.fromkeys(row.values())
    return [(target, [event for event, after in row.items() if after == target]) for target in targets]


def _vocabulary(machine: AnyMachine) -> list[StrEnum]:
    """All events of the machine, in the order of their enumeration."""
    events: list[StrEnum] = [event for row in machine.table.values() for event in row]
    return list(type(events[0]))
