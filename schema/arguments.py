"""Arguments that fields share, and those that make no sense: refused where they stand in the document."""

from typing import Annotated, Any

import strawberry
from graphql import FieldNode

from schema.errors import DocumentError, RequestErrorCode
from schema.fields import argument

LONGEST_SEARCH = 100

OwnerId = Annotated[
    strawberry.ID | None,
    argument("Of which customer. Staff and API keys only: customers read their own and leave it out."),
]


def refuse_arguments(info: Any, message: str, *names: str) -> DocumentError:
    """The error BAD_USER_INPUT that blames those arguments of the field being resolved.

    `info` is Strawberry's or graphql-core's. When none of them was given, the field itself is to blame.
    """
    field: FieldNode = getattr(info, "_raw_info", info).field_nodes[0]
    given = [argument for argument in field.arguments or () if argument.name.value in names]
    return DocumentError(message, RequestErrorCode.BAD_USER_INPUT, given or field)


def searched(info: Any, text: str | None) -> str | None:
    """A filter's text to search for, None where there is none."""
    if text is not None and len(text) > LONGEST_SEARCH:
        raise refuse_arguments(info, f"filter.search: at most {LONGEST_SEARCH} characters are searched for.", "filter")
    return text or None


async def product_id_of(info: Any, code: str | None) -> str | None:
    """The product that goes by the code, its own or another name of it; None where none is named.

    An unknown one is "", to which nothing belongs.
    """
    if code is None:
        return None
    found = await info.context.loaders.product_of_code.load(code)
    return found.id if found is not None else ""


def one_of(info: Any, **given: str | None) -> None:
    """Refuse the field unless exactly one of these arguments was given."""
    if sum(value is not None for value in given.values()) != 1:
        raise refuse_arguments(info, f"{', '.join(given)}: give exactly one of them.", *given)
