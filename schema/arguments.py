"""Arguments that make no sense, refused where they stand in the document."""

from typing import Any

from graphql import FieldNode

from schema.errors import DocumentError, RequestErrorCode


def refuse_arguments(info: Any, message: str, *names: str) -> DocumentError:
    """The error BAD_USER_INPUT that blames those arguments of the field being resolved.

    `info` is Strawberry's or graphql-core's. When none of them was given, the field itself is to blame.
    """
    field: FieldNode = getattr(info, "_raw_info", info).field_nodes[0]
    given = [argument for argument in field.arguments or () if argument.name.value in names]
    return DocumentError(message, RequestErrorCode.BAD_USER_INPUT, given or field)
