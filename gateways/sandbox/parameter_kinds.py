"""The kinds a request parameter can be, and how each one is read from the wire.

Owns: reading form-encoded requests into Python values and refusing what does not fit, in Stripe's words.
Does not own: which operation takes which parameters (parameters.py).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl

from gateways.sandbox.errors import (
    ApiError,
    exclusive_parameters,
    invalid,
    missing_parameter,
    unknown_parameters,
    unsupported_parameter,
)

MOST_PARAMETERS = 1000
DEEPEST_NESTING = 10

# Eighteen digits: what a 64-bit column holds.
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")
_PLACE = re.compile(r"[0-9]{1,9}")
_DECIMAL = re.compile(r"[0-9]{1,3}(\.[0-9]{1,4})?")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_SCHEME = re.compile(r"(?!(?i:javascript|data|vbscript)$)[A-Za-z][A-Za-z0-9+.-]*")

Raw = str | dict[str, "Raw"]


class Kind(Protocol):
    """Reads one raw value; `name` is its full wire name, such as `card[exp_month]`."""

    def read(self, raw: Raw, name: str) -> Any: ...


def decode(encoded: str) -> dict[str, Raw]:
    """Form-encoded text as nested dicts; list members keep their place as string keys ("0", "1", ...)."""
    try:
        pairs = parse_qsl(encoded, keep_blank_values=True, max_num_fields=MOST_PARAMETERS, errors="strict")
    except ValueError as problem:
        raise ApiError(400, f"Invalid request: {problem}") from None
    tree: dict[str, Raw] = {}
    for key, value in pairs:
        _plant(tree, key, value)
    return tree


def _plant(tree: dict[str, Raw], key: str, value: str) -> None:
    head, bracket, rest = key.partition("[")
    steps = [head]
    if bracket:
        if not rest.endswith("]"):
            raise invalid(f"Invalid parameter name: {key}", key)
        steps += rest[:-1].split("][")
    if len(steps) > DEEPEST_NESTING:
        raise invalid("Parameters are nested too deeply.", head)
    node = tree
    for step in steps[:-1]:
        child = node.setdefault(step or str(len(node)), {})
        if not isinstance(child, dict):
            raise invalid("Invalid object", key)
        node = child
    last = steps[-1] or str(len(node))
    if isinstance(node.get(last), dict):
        raise invalid("Invalid object", key)
    node[last] = value


@dataclass(frozen=True)
class Text:
    """A string. An empty one means "unset" where the parameter can be unset, and is refused elsewhere."""

    clearable: bool = False
    longest: int = 5000

    def read(self, raw: Raw, name: str) -> str | None:
        if not isinstance(raw, str) or "\0" in raw:
            raise invalid("Invalid string", name)
        if raw == "":
            return None if self.clearable else _refuse_empty(name)
        if len(raw) > self.longest:
            raise invalid(f"Invalid string: must be at most {self.longest} characters", name)
        return raw


def _refuse_empty(name: str) -> None:
    message = (
        f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter; "
        f"however '{name}' cannot be unset. You should remove '{name}' from your request or supply a non-empty value."
    )
    raise invalid(message, name, "parameter_invalid_empty")


@dataclass(frozen=True)
class Email:
    """An e-mail address, or an empty text that takes it away."""

    def read(self, raw: Raw, name: str) -> str | None:
        text = Text(clearable=True, longest=512).read(raw, name)
        if text is not None and not _EMAIL.fullmatch(text):
            raise invalid(f"Invalid email address: {text}", name, "email_invalid")
        return text


@dataclass(frozen=True)
class Url:
    """An address with a scheme: one of `schemes`, or any of its own (an app's) but those that browsers execute."""

    schemes: tuple[str, ...] = ()

    def read(self, raw: Raw, name: str) -> str:
        text = Text(longest=500).read(raw, name) or ""
        scheme, separator, rest = text.partition("://")
        known = scheme.lower() in self.schemes if self.schemes else _SCHEME.fullmatch(scheme)
        if not (separator and rest and known) or any(character <= " " for character in text):
            raise invalid("Not a valid URL", name, "url_invalid")
        return text


@dataclass(frozen=True)
class Integer:
    least: int | None = None
    most: int | None = None

    def read(self, raw: Raw, name: str) -> int:
        if not isinstance(raw, str) or not _WHOLE_NUMBER.fullmatch(raw):
            shown = raw if isinstance(raw, str) else "hash"
            raise invalid(f"Invalid integer: {shown}", name, "parameter_invalid_integer")
        value = int(raw)
        if self.least is not None and value < self.least:
            message = f"This value must be greater than or equal to {self.least}."
            raise invalid(message, name, "parameter_invalid_integer")
        if self.most is not None and value > self.most:
            message = f"This value must be less than or equal to {self.most}."
            raise invalid(message, name, "parameter_invalid_integer")
        return value


@dataclass(frozen=True)
class Percentage:
    """More than nothing, at most all; whole numbers are read as such."""

    def read(self, raw: Raw, name: str) -> int | float:
        if not isinstance(raw, str) or not _DECIMAL.fullmatch(raw):
            raise invalid(f"Invalid decimal: {raw if isinstance(raw, str) else 'hash'}", name)
        value = float(raw)
        if not 0 < value <= 100:
            raise invalid("This value must be greater than 0 and less than or equal to 100.", name)
        return int(value) if value.is_integer() else value


@dataclass(frozen=True)
class Boolean:
    def read(self, raw: Raw, name: str) -> bool:
        if raw not in ("true", "false"):
            raise invalid(f"Invalid boolean: {raw if isinstance(raw, str) else 'hash'}", name)
        return raw == "true"


@dataclass(frozen=True)
class OneOf:
    choices: tuple[str, ...]
    clearable: bool = False

    def read(self, raw: Raw, name: str) -> str | None:
        if raw == "" and self.clearable:
            return None
        if raw not in self.choices:
            listed = ", ".join(self.choices[:-1]) + f", or {self.choices[-1]}"
            if len(self.choices) == 1:
                listed = self.choices[0]
            raise invalid(f"Invalid {name}: must be one of {listed}", name)
        return str(raw)


def one_of(*choices: str, clearable: bool = False) -> OneOf:
    return OneOf(choices, clearable)


@dataclass(frozen=True)
class BooleanOr:
    """A boolean, or one of a few words (`off_session`)."""

    choices: tuple[str, ...]

    def read(self, raw: Raw, name: str) -> bool | str:
        return str(raw) if raw in self.choices else Boolean().read(raw, name)


@dataclass(frozen=True)
class Metadata:
    """At most 50 pairs; an empty value removes its key, an empty whole removes all (read as None)."""

    def read(self, raw: Raw, name: str) -> dict[str, str] | None:
        if raw == "":
            return None
        if not isinstance(raw, dict):
            raise invalid("Invalid object", name)
        if len(raw) > 50:
            raise invalid("Metadata can hold at most 50 keys.", name)
        for key, value in raw.items():
            if not isinstance(value, str):
                raise invalid(f"Metadata values must be strings, but `{key}` is a hash.", f"{name}[{key}]")
            if "\0" in key + value:
                raise invalid("Invalid string", f"{name}[{key}]")
            if len(key) > 40:
                raise invalid("Metadata keys can be at most 40 characters long.", f"{name}[{key}]")
            if len(value) > 500:
                raise invalid("Metadata values can be at most 500 characters long.", f"{name}[{key}]")
        return dict(raw)  # pyright: ignore[reportReturnType]


@dataclass(frozen=True)
class Many:
    """A list, written `name[0]`, `name[1]` or `name[]`."""

    member: Kind
    clearable: bool = False

    def read(self, raw: Raw, name: str) -> list[Any] | None:
        if raw == "" and self.clearable:
            return None
        if not isinstance(raw, dict) or not all(map(_PLACE.fullmatch, raw)):
            raise invalid("Invalid array", name)
        return [self.member.read(raw[key], f"{name}[{key}]") for key in sorted(raw, key=int)]


@dataclass(frozen=True)
class Hash:
    """A hash of known parameters; anything else inside is named `parent[child]` and refused."""

    members: Mapping[str, Kind]
    required: tuple[str, ...] = ()
    clearable: bool = False

    def read(self, raw: Raw, name: str) -> dict[str, Any] | None:
        if raw == "" and self.clearable:
            return None
        if not isinstance(raw, dict):
            raise invalid("Invalid object", name)
        return self._members(raw, lambda child: f"{name}[{child}]")

    def read_request(self, raw: dict[str, Raw]) -> dict[str, Any]:
        """The whole request: like a hash, but its members' names stand alone."""
        return self._members(raw, lambda child: child)

    def _members(self, raw: dict[str, Raw], full: Any) -> dict[str, Any]:
        if unknown := [full(child) for child in raw if child not in self.members]:
            raise unknown_parameters(unknown)
        for child in self.required:
            if child not in raw:
                raise missing_parameter(full(child))
        return {child: self.members[child].read(value, full(child)) for child, value in raw.items()}


def hash_of(*required: str, clearable: bool = False, **members: Kind) -> Hash:
    return Hash(members, required, clearable)


@dataclass(frozen=True)
class Anything:
    """A hash whose inside the sandbox neither judges nor uses."""

    def read(self, raw: Raw, name: str) -> Raw:
        return raw


@dataclass(frozen=True)
class Unsupported:
    """Known to Stripe, not carried out here: better refused than silently ignored."""

    def read(self, raw: Raw, name: str) -> None:
        raise unsupported_parameter(name)


@dataclass(frozen=True)
class Instants:
    """A `created` filter: a second, or bounds `gt`, `gte`, `lt`, `lte`; read as those bounds."""

    bounds: Hash = field(default_factory=lambda: hash_of(gt=Integer(), gte=Integer(), lt=Integer(), lte=Integer()))

    def read(self, raw: Raw, name: str) -> dict[str, int]:
        if isinstance(raw, str):
            second = Integer().read(raw, name)
            return {"gte": second, "lte": second}
        return self.bounds.read(raw, name) or {}


def refuse_both(params: Mapping[str, Any], first: str, second: str) -> None:
    if params.get(first) is not None and params.get(second) is not None:
        raise exclusive_parameters(first, second)
