"""What an operation may cost, known before it is executed.

Owns: the price of a document by its page sizes. Does not own: the document's shape (`limits.py`).

The cost is the number of values the answer may hold: each field counts one, and what lies below a list counts as
often as the list may be long. A page is as long as its size argument says, 25 without one; a list of what `ids` name
is as long as they are; any other list is taken as 5 long. What has to be worked out counts for more than it holds: see
WEIGHTS. Introspection is free: it has limits of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_list_type,
)

from schema.errors import DocumentError, RequestErrorCode

PAGE_ARGUMENTS = ("first", "last", "pageSize", "ids")
DEFAULT_PAGE = 25
MAX_PAGE = 100
PLAIN_LIST = 5
COST_LIMIT = 10_000
_A_YEAR_AHEAD = 12 * 5
_A_QUESTION_OUTSIDE = 300
_FOR_EACH_CURRENCY = 80
WEIGHTS: Mapping[str, int] = {
    "PlanSubscription.upcomingInvoices": 5,
    "PaymentIntent.raw": _A_QUESTION_OUTSIDE,
    "PaymentMethodType.amountRanges": _FOR_EACH_CURRENCY,
    "Query.previewSubscribe": _A_YEAR_AHEAD,
    "Query.previewChangePlan": _A_YEAR_AHEAD,
    "Query.previewUpdateSubscription": _A_YEAR_AHEAD,
    "Query.previewCancelSubscription": _A_YEAR_AHEAD,
    "Query.previewPauseSubscription": _A_YEAR_AHEAD,
    "Query.previewResumeSubscription": _A_YEAR_AHEAD,
    "Query.previewApplyCoupon": _A_YEAR_AHEAD,
    "Query.previewRetryPayment": _A_YEAR_AHEAD,
    "Query.previewRefundPayment": _A_YEAR_AHEAD,
}
"""What a field counts on top, once for each entry of its list: an invoice to come is worked out, not read; a preview
tells of twelve charges to come; the gateway is asked for its own object; a card pays in 130 currencies, not in five."""


@dataclass(frozen=True, slots=True)
class Price:
    """What an operation asks for. `varies` when a page size is a variable, so that each request is priced anew."""

    requested: int
    varies: bool


def price(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation: OperationDefinitionNode,
    variables: Mapping[str, Any] | None,
) -> Price:
    """Price one operation of a valid document. DocumentError when a page is larger than 100.

    Linear in the document: a fragment is priced once for each page size that it stands under.
    """
    pricing = _Pricing(schema, _fragments(document), _sizes(operation, variables or {}))
    root = schema.get_root_type(operation.operation)
    requested = pricing.selection_set(operation.selection_set, root, None) if root is not None else 0
    return Price(requested, pricing.varies)


def too_expensive(requested: int) -> DocumentError | None:
    """The refusal of an operation beyond the limit, which says how to come below it."""
    if requested <= COST_LIMIT:
        return None
    message = f"The operation may return {requested} values, at most {COST_LIMIT} are allowed: ask for smaller pages."
    return DocumentError(message, RequestErrorCode.QUERY_TOO_COMPLEX, limit=COST_LIMIT, requested=requested)


def _fragments(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    return {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}


def _sizes(operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The operation's variables that may size a page, their defaults filled in."""
    sizes: dict[str, Any] = {}
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        if name in variables:
            sizes[name] = variables[name]
        elif isinstance(definition.default_value, IntValueNode):
            sizes[name] = _integer(definition.default_value)
        elif isinstance(definition.default_value, ListValueNode):
            sizes[name] = definition.default_value.values
    return sizes


def _integer(literal: IntValueNode) -> int:
    """The literal's value; of a very long one the beginning, which is too large all the same."""
    return int(literal.value[:18])


@dataclass(slots=True)
class _Pricing:
    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]
    sizes: Mapping[str, Any]
    varies: bool = False
    priced: dict[tuple[str, int | None], int] = field(default_factory=dict)

    def selection_set(self, selections: SelectionSetNode, parent: GraphQLNamedType | None, page: int | None) -> int:
        """The cost of a selection set on `parent`; `page` is the size of the connection it stands on, if any."""
        total = 0
        for node in selections.selections:
            if isinstance(node, FieldNode):
                total += self.field(node, parent, page)
            elif isinstance(node, FragmentSpreadNode):
                total += self.spread(node.name.value, page)
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition
                inner = self.schema.get_type(condition.name.value) if condition else parent
                total += self.selection_set(node.selection_set, inner, page)
        return total

    def spread(self, name: str, page: int | None) -> int:
        fragment = self.fragments.get(name)
        if fragment is None:
            return 0
        key = (name, page)
        if key not in self.priced:
            on_type = self.schema.get_type(fragment.type_condition.name.value)
            self.priced[key] = self.selection_set(fragment.selection_set, on_type, page)
        return self.priced[key]

    def field(self, node: FieldNode, parent: GraphQLNamedType | None, page: int | None) -> int:
        name = node.name.value
        if name in ("__schema", "__type"):
            return 0
        if parent is None or not is_composite_type(parent):
            return 1
        definition = self.schema.get_field(parent, name)
        if definition is None or node.selection_set is None:
            return 1 + WEIGHTS.get(f"{parent.name}.{name}", 0)
        own_page = self.page_of(node, definition)
        inner, weight = get_named_type(definition.type), WEIGHTS.get(f"{parent.name}.{name}", 0)
        if not is_list_type(get_nullable_type(definition.type)):
            return 1 + weight + self.selection_set(node.selection_set, inner, own_page)
        length = own_page if own_page is not None else page if page is not None else PLAIN_LIST
        return 1 + length * (weight + self.selection_set(node.selection_set, inner, None))

    def page_of(self, node: FieldNode, definition: GraphQLField) -> int | None:
        """How many entries the field's page holds at most; None if it is no page."""
        accepted = [name for name in PAGE_ARGUMENTS if name in definition.args]
        if not accepted:
            return None
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        sizes = [size for name in accepted if name in given and (size := self.size(name, given[name])) is not None]
        own = [size for name in accepted if isinstance(size := definition.args[name].default_value, int)]
        return max(sizes, default=max(own, default=DEFAULT_PAGE))

    def size(self, argument: str, value: ValueNode) -> int | None:
        """A page size as given; None when left open. A wrong type is the coercion's to refuse."""
        if isinstance(value, VariableNode):
            self.varies = True
            given = self.sizes.get(value.name.value)
        elif isinstance(value, ListValueNode):
            given = value.values
        else:
            given = _integer(value) if isinstance(value, IntValueNode) else None
        if isinstance(given, list | tuple):
            return len(given)
        if isinstance(given, float) and given.is_integer():
            given = int(given)  # which 100.0 is taken for, too
        if isinstance(given, bool) or not isinstance(given, int):
            return None
        if given > MAX_PAGE:
            message = f"{argument}: {given} is more than a page can hold, ask for at most {MAX_PAGE}."
            raise DocumentError(message, RequestErrorCode.BAD_USER_INPUT, value, limit=MAX_PAGE)
        return max(given, 0)
