"""What an executed operation tells, as clients see it, whichever way it goes to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLError

from schema.errors import about_request, present


@dataclass(frozen=True, slots=True)
class Answer:
    """A result as the draft wants it: what was never executed has no `data`."""

    body: dict[str, Any]
    executed: bool

    @classmethod
    def of(
        cls, data: Any, errors: Sequence[GraphQLError], extensions: dict[str, Any], *, hide_suggestions: bool
    ) -> "Answer":
        executed = data is not None or any(error.path is not None for error in errors)
        body: dict[str, Any] = {}
        if errors:
            body["errors"] = present(errors, hide_suggestions=hide_suggestions)
        if executed:
            body["data"] = data
        body["extensions"] = {**about_request(), **extensions}
        return cls(body, executed)
