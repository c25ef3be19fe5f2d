"""A mutation whose payload can carry user errors must ask for them.

Owns: one validation rule. Does not own: what the user errors are.
"""

from collections.abc import Iterator
from typing import Any

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    ValidationRule,
    get_named_type,
    is_object_type,
)

REQUIRED = "userErrors"
LINE_TO_ADD = "userErrors { code message field }"


class RequireUserErrors(ValidationRule):
    """Refuses a mutation that would not see its own refusal; the message holds the line to add."""

    def enter_operation_definition(self, node: OperationDefinitionNode, *_args: Any) -> None:
        root = self.context.schema.mutation_type
        if node.operation is not OperationType.MUTATION or root is None:
            return
        for mutation in self._fields(node.selection_set):
            definition = root.fields.get(mutation.name.value)
            payload = get_named_type(definition.type) if definition else None
            if not is_object_type(payload) or REQUIRED not in payload.fields:
                continue
            selected = mutation.selection_set
            if selected is None or not any(each.name.value == REQUIRED for each in self._fields(selected)):
                self.report_error(
                    GraphQLError(
                        f"'{mutation.name.value}' can be refused without failing: add the line "
                        f"{LINE_TO_ADD} to its selection.",
                        mutation,
                    )
                )

    def _fields(self, selections: SelectionSetNode) -> Iterator[FieldNode]:
        """The fields at this level, those of fragments included, each fragment once."""
        seen: set[str] = set()
        stack = [selections]
        while stack:
            for node in stack.pop().selections:
                if isinstance(node, FieldNode):
                    yield node
                    continue
                inner: Any = node
                if isinstance(node, FragmentSpreadNode):
                    inner = self.context.get_fragment(node.name.value) if node.name.value not in seen else None
                    seen.add(node.name.value)
                if inner is not None:
                    stack.append(inner.selection_set)
