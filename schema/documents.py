"""From the text of a request to a document that is safe to execute, once per text.

Owns: parsing, the order of validation, the cache of both, and their place in Strawberry's life of a request.
Does not own: what the limits are (`limits.py`, `cost.py`) or how errors look (`errors.py`).
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import strawberry
import structlog
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    SelectionSetNode,
    execute,
    parse,
    specified_rules,
    validate,
)
from strawberry.extensions import SchemaExtension
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule
from strawberry.types import ExecutionContext

from rates import Allowance, Taken
from schema.cost import COST_LIMIT, Price, price, too_expensive
from schema.errors import DocumentError, RequestErrorCode, rate_limited, record
from schema.limits import INTROSPECTION_FIELDS, DocumentLimitsRule
from schema.required_selections import RequireUserErrors

MAX_TOKENS = 2_000
MAX_COMMENTS = 2_000
MAX_VALIDATION_ERRORS = 20
# Both bounds of the cache: how many documents, and what they weigh in all. A token of a tree takes about 300 bytes,
# as much as 100 characters of text at their widest, so the whole stays below 6 MB. It is small because the collector
# looks through it: five times as much held the loop for 0.3 s each time.
CACHED_DOCUMENTS = 1_000
CACHED_WEIGHT = 20_000
LONGEST_CACHED_TEXT = 64 * 1024


@dataclass(slots=True)
class Prepared:
    """A parsed and validated document. With `errors` it must not be executed."""

    document: DocumentNode
    errors: list[GraphQLError]
    weight: int = 0
    prices: dict[str | None, Price] = field(default_factory=dict)


@dataclass(slots=True)
class DocumentCache:
    """Parsed and validated documents, the least recently used leaving first. Only valid ones are kept."""

    schema: GraphQLSchema
    require_user_errors: bool
    parsed: int = 0
    validated: int = 0
    weight: int = 0
    _kept: OrderedDict[tuple[str, bool], Prepared] = field(default_factory=OrderedDict)

    def prepare(self, text: str, *, introspection: bool) -> Prepared:
        """`text` parsed and validated for a caller who may introspect or not. GraphQLSyntaxError if malformed."""
        key = (text, introspection)
        prepared = self._kept.get(key)
        if prepared is not None:
            self._kept.move_to_end(key)
            return prepared
        self.parsed += 1
        document = parse(text, max_lexical_tokens=MAX_TOKENS, max_comments=MAX_COMMENTS)
        self.validated += 1
        weight = document.token_count + len(text) // 100
        prepared = Prepared(document, self._validate(document, introspection), weight)
        if not prepared.errors and len(text) <= LONGEST_CACHED_TEXT:
            self._keep(key, prepared)
        return prepared

    def _validate(self, document: DocumentNode, introspection: bool) -> list[GraphQLError]:
        """The limits first and alone, for only then are the specification's rules safe to run."""
        errors = validate(self.schema, document, [DocumentLimitsRule])
        if not errors:
            rules = [*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule]
            if self.require_user_errors:
                rules.append(RequireUserErrors)
            if not introspection:
                rules.append(NoSchemaIntrospectionCustomRule)
            errors = validate(self.schema, document, rules, MAX_VALIDATION_ERRORS, hide_suggestions=not introspection)
        for error in errors:
            error.extensions = {"code": RequestErrorCode.GRAPHQL_VALIDATION_FAILED.value, **(error.extensions or {})}
        return errors

    def _keep(self, key: tuple[str, bool], prepared: Prepared) -> None:
        self._kept[key] = prepared
        self.weight += prepared.weight
        while len(self._kept) > CACHED_DOCUMENTS or self.weight > CACHED_WEIGHT:
            _, dropped = self._kept.popitem(last=False)
            self.weight -= dropped.weight

    def __len__(self) -> int:
        return len(self._kept)


class PreparedDocuments(SchemaExtension):
    """Puts the cached document where Strawberry would parse and validate, and tells the cost."""

    execution_context: ExecutionContext
    _prepared: Prepared | None = None
    _requested: int | None = None
    _taken: Taken | None = None

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        schema = context.schema
        assert isinstance(schema, GuardedSchema)
        self._prepared = schema.documents.prepare(context.query or "", introspection=schema.introspection)
        context.graphql_document = self._prepared.document
        yield

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        assert self._prepared is not None
        errors = list(self._prepared.errors)
        if not errors:
            errors.extend(self._refused_for_cost(self._prepared))
        context.pre_execution_errors = errors
        yield

    async def on_execute(self) -> AsyncIterator[None]:
        """The whole schema takes a tenth of a second to tell, and waits for nothing: it is told beside the loop."""
        context = self.execution_context
        document = context.graphql_document
        operation = select_operation(document, context._provided_operation_name) if document is not None else None
        if document is not None and operation is not None and tells_the_schema_alone(document, operation):
            context.result = await asyncio.to_thread(  # pyright: ignore[reportAttributeAccessIssue] (nothing in it is awaited)
                execute,
                context.schema._schema,
                document,
                variable_values=context.variables,
                operation_name=context._provided_operation_name,
            )
        yield

    def get_results(self) -> dict[str, Any]:
        if self._requested is None:
            return {}
        told: dict[str, Any] = {"cost": {"requested": self._requested, "limit": COST_LIMIT}}
        if self._taken is not None:
            told["rate"] = {"limit": self._taken.limit, "remaining": self._taken.remaining}
        return told

    def _refused_for_cost(self, prepared: Prepared) -> Iterator[GraphQLError]:
        context = self.execution_context
        # Strawberry's `operation_name` falls back to the first operation; the specification asks for a name.
        operation = select_operation(prepared.document, context._provided_operation_name)
        if operation is None:
            message = "Must provide operationName: the document holds several operations."
            yield DocumentError(message, RequestErrorCode.BAD_USER_INPUT)
            return
        name = operation.name.value if operation.name else None
        structlog.contextvars.bind_contextvars(operation=name)
        known = prepared.prices.get(name)
        if known is None or known.varies:
            schema: Any = context.schema
            try:
                known = price(schema.documents.schema, prepared.document, operation, context.variables)
            except GraphQLError as error:
                yield error
                return
            prepared.prices[name] = known
        self._requested = context.context.cost = known.requested
        refused = too_expensive(known.requested) or self._refused_for_rate(context.context.allowance, known.requested)
        if refused is not None:
            yield refused

    def _refused_for_rate(self, allowance: Allowance, requested: int) -> DocumentError | None:
        if not allowance.is_limited:
            return None
        self._taken = allowance.spend(requested)
        return None if self._taken.granted else rate_limited(self._taken)


class GuardedSchema(strawberry.Schema):
    """A Strawberry schema that refuses oversized documents, caches the others and logs no query text."""

    def __init__(self, *args: Any, introspection: bool = True, require_user_errors: bool = True, **kwargs: Any) -> None:
        extensions = [PreparedDocuments, *kwargs.pop("extensions", ())]
        super().__init__(*args, extensions=extensions, **kwargs)
        self.introspection = introspection
        self.documents = DocumentCache(self._schema, require_user_errors)

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        record(errors)


def select_operation(document: DocumentNode, name: str | None) -> OperationDefinitionNode | None:
    """The operation of that name; without a name the only one; else None."""
    operations: Mapping[str | None, OperationDefinitionNode] = {
        node.name.value if node.name else None: node
        for node in document.definitions
        if isinstance(node, OperationDefinitionNode)
    }
    if name is not None:
        return operations.get(name)
    return next(iter(operations.values())) if len(operations) == 1 else None


def tells_the_schema_alone(document: DocumentNode, operation: OperationDefinitionNode) -> bool:
    """Whether a valid operation asks for nothing but the schema."""
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}

    def alone(selections: SelectionSetNode) -> bool:
        for node in selections.selections:
            if isinstance(node, FieldNode):
                if node.name.value not in (*INTROSPECTION_FIELDS, "__typename"):
                    return False
                continue
            if isinstance(node, FragmentSpreadNode):
                node = fragments[node.name.value]
            if isinstance(node, FragmentDefinitionNode | InlineFragmentNode) and not alone(node.selection_set):
                return False
        return True

    return alone(operation.selection_set)
