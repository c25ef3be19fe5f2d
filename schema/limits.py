"""How large a document may be, measured before anything is executed.

Owns: the limits and the one rule that holds them. Does not own: the cost of pages (`cost.py`), the body's size
(the guard) or the number of tokens (the parser, told by `documents.py`).

Each definition is walked once and each fragment measured once; a spread adds the fragment's totals. So the work is
linear in the document, however often fragments double one another.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from graphql import (
    BREAK,
    ASTValidationRule,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from schema.errors import DocumentError, RequestErrorCode

INTROSPECTION_FIELDS = ("__schema", "__type")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one document may hold. Depth counts nested fields, a leaf included; totals count every spread again."""

    depth: int = 12
    aliases: int = 30
    fields: int = 500
    root_fields: int = 20
    directives: int = 50
    selections: int = 2_000
    introspection_depth: int = 16
    introspection_fields: int = 500
    introspection_aliases: int = 2
    operations: int = 10
    variables: int = 50
    name_length: int = 100
    comparisons: int = 5_000


@dataclass(frozen=True, slots=True)
class Totals:
    """What a definition adds up to, its fragments included."""

    depth: int = 0
    aliases: int = 0
    fields: int = 0
    root_fields: int = 0
    directives: int = 0
    selections: int = 0
    introspection_depth: int = 0
    introspection_fields: int = 0
    introspection_aliases: int = 0

    def spread(self, inner: "Totals", depth: int, introspecting: bool) -> "Totals":
        """These totals with a fragment's added, spread where `depth` fields lie above it."""
        fields, meta_fields = inner.fields, inner.introspection_fields
        deepest, meta_deepest = inner.depth, inner.introspection_depth
        if introspecting:
            fields, meta_fields = 0, fields + meta_fields
            deepest, meta_deepest = 0, max(deepest, meta_deepest)
        return Totals(
            depth=max(self.depth, depth + deepest if deepest else 0),
            aliases=self.aliases + inner.aliases,
            fields=self.fields + fields,
            root_fields=self.root_fields + (inner.root_fields if depth == 0 else 0),
            directives=self.directives + inner.directives,
            selections=self.selections + inner.selections,
            introspection_depth=max(self.introspection_depth, depth + meta_deepest if meta_deepest else 0),
            introspection_fields=self.introspection_fields + meta_fields,
            introspection_aliases=self.introspection_aliases + inner.introspection_aliases,
        )


@dataclass(slots=True)
class Measure:
    """One definition's own totals and the spreads still to be added: (fragment, fields above it, introspecting)."""

    totals: Totals = Totals()
    spreads: list[tuple[str, int, bool]] = field(default_factory=list)
    longest_name: int = 0


# Totals of a definition → how it is said when there are too many.
WORDS: Mapping[str, str] = {
    "depth": "nested fields",
    "aliases": "aliases",
    "fields": "fields",
    "root_fields": "fields at the root",
    "directives": "directives",
    "selections": "selections",
    "introspection_depth": "nested fields under __schema or __type",
    "introspection_fields": "fields under __schema or __type",
    "introspection_aliases": "aliases under __schema or __type",
}


class DocumentLimitsRule(ASTValidationRule):
    """Refuses a document beyond `limits` and one whose fragments form a circle.

    It is meant to run alone and first: the specification's own rules are only safe on what it lets through.
    """

    limits = Limits()

    def enter_document(self, node: DocumentNode, *_args: Any) -> Any:
        for error in violations(node, self.limits):
            self.report_error(error)
        return BREAK


def violations(document: DocumentNode, limits: Limits) -> Iterator[DocumentError]:
    """Every limit that `document` passes, the first of each kind; nothing if it may be validated further."""
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    if len(operations) > limits.operations:
        yield _too_many("operations", len(operations), limits.operations)
    variables = max((len(operation.variable_definitions or ()) for operation in operations), default=0)
    if variables > limits.variables:
        yield _too_many("variables", variables, limits.variables)

    measures = {
        node.name.value: measure(node) for node in document.definitions if isinstance(node, FragmentDefinitionNode)
    }
    fragments, circle = resolve(measures)
    if circle is not None:
        code = RequestErrorCode.GRAPHQL_VALIDATION_FAILED
        yield DocumentError(f"Cannot spread fragment '{circle}' within itself.", code)
        return
    own = [measure(operation) for operation in operations]
    longest = max((each.longest_name for each in (*own, *measures.values())), default=0)
    if longest > limits.name_length:
        yield _too_many("characters in a name", longest, limits.name_length)
    # Fragments count by themselves too, for one that is never spread is still validated; they have no root.
    totals = [_with_spreads(each, fragments) for each in own]
    totals += [replace(each, root_fields=0) for each in fragments.values()]
    exceeded = False
    for name, words in WORDS.items():
        most, allowed = max((getattr(each, name) for each in totals), default=0), getattr(limits, name)
        if most > allowed:
            exceeded = True
            yield _too_many(words, most, allowed)
    if not exceeded and comparisons(document, limits.comparisons) > limits.comparisons:
        message = "The document repeats the same field too often; select each field once."
        yield DocumentError(message, RequestErrorCode.QUERY_TOO_COMPLEX, limit=limits.comparisons)


def measure(definition: OperationDefinitionNode | FragmentDefinitionNode) -> Measure:
    """The definition's own totals, spreads left open. Linear in its size."""
    result = Measure(longest_name=len(definition.name.value) if definition.name else 0)
    aliases = fields = root_fields = selections = deepest = meta_fields = meta_deepest = meta_aliases = 0
    directives = len(definition.directives or ())
    if isinstance(definition, OperationDefinitionNode):
        directives += sum(len(variable.directives or ()) for variable in definition.variable_definitions or ())
    # A fragment on __Type can only be spread where introspection is under way already.
    on_meta_type = getattr(definition, "type_condition", None)
    started = on_meta_type is not None and on_meta_type.name.value.startswith("__")
    stack = [(definition.selection_set, 0, started)]
    while stack:
        selection_set, depth, introspecting = stack.pop()
        for selection in selection_set.selections:
            selections += 1
            directives += len(selection.directives or ())
            if isinstance(selection, FragmentSpreadNode):
                result.spreads.append((selection.name.value, depth, introspecting))
                continue
            inside, meta = depth, introspecting
            if isinstance(selection, FieldNode):
                inside, meta = depth + 1, introspecting or selection.name.value in INTROSPECTION_FIELDS
                aliases += selection.alias is not None
                root_fields += depth == 0
                name = selection.alias or selection.name
                result.longest_name = max(result.longest_name, len(name.value))
                if meta:
                    meta_fields, meta_deepest = meta_fields + 1, max(meta_deepest, inside)
                    # Several types may be asked for by name; anything else renamed repeats the whole schema.
                    meta_aliases += selection.alias is not None and selection.name.value != "__type"
                else:
                    fields, deepest = fields + 1, max(deepest, inside)
            nested: SelectionSetNode | None = getattr(selection, "selection_set", None)
            if nested is not None:
                stack.append((nested, inside, meta))
    result.totals = Totals(
        deepest, aliases, fields, root_fields, directives, selections, meta_deepest, meta_fields, meta_aliases
    )
    return result


def resolve(measures: Mapping[str, Measure]) -> tuple[dict[str, Totals], str | None]:
    """Each fragment's totals with its spreads added, and the name of one that reaches itself, if any.

    Walks the fragments depth first without recursion; each is finished once.
    """
    finished: dict[str, Totals] = {}
    for root in measures:
        path = [root]
        on_path = {root}
        while path:
            name = path[-1]
            waiting = None
            if name not in finished:
                inner = (spread for spread, _, _ in measures[name].spreads if spread in measures)
                waiting = next((spread for spread in inner if spread not in finished), None)
            if waiting is None:
                if name not in finished:
                    finished[name] = _with_spreads(measures[name], finished)
                on_path.discard(path.pop())
            elif waiting in on_path:
                return finished, waiting
            else:
                path.append(waiting)
                on_path.add(waiting)
    return finished, None


def _with_spreads(own: Measure, fragments: Mapping[str, Totals]) -> Totals:
    totals = own.totals
    for name, depth, introspecting in own.spreads:
        if name in fragments:
            totals = totals.spread(fragments[name], depth, introspecting)
    return totals


def comparisons(document: DocumentNode, enough: int) -> int:
    """How many pairs of same-named fields the specification's merge rule will compare; stops beyond `enough`.

    That rule takes every pair of fields with one response name at one place, and again what lies below them, so
    a field repeated n times costs n². Spreads at one place are compared pairwise too. Call it only on documents
    within the other limits: it expands fragments.
    """
    fragments = {
        node.name.value: node.selection_set for node in document.definitions if isinstance(node, FragmentDefinitionNode)
    }
    pairs = 0
    for definition in document.definitions:
        root: SelectionSetNode | None = getattr(definition, "selection_set", None)
        places = [[root]] if root is not None else []
        while places and pairs <= enough:
            together, spreads = _merged(places.pop(), fragments)
            groups = [*together.values()]
            for count in (spreads, *map(len, groups)):
                pairs += count * (count - 1) // 2
            for group in groups:
                below = [node.selection_set for node in group if node.selection_set is not None]
                if below:
                    places.append(below)
    return pairs


def _merged(
    sets: list[SelectionSetNode], fragments: Mapping[str, SelectionSetNode]
) -> tuple[dict[str, list[FieldNode]], int]:
    """The fields that meet at one place by response name, and how many fragments were spread there."""
    together: dict[str, list[FieldNode]] = {}
    spread: set[str] = set()
    stack = list(sets)
    while stack:
        for selection in stack.pop().selections:
            if isinstance(selection, FieldNode):
                name = (selection.alias or selection.name).value
                together.setdefault(name, []).append(selection)
            elif not isinstance(selection, FragmentSpreadNode):
                stack.append(selection.selection_set)  # type: ignore[attr-defined]
            elif selection.name.value not in spread and selection.name.value in fragments:
                spread.add(selection.name.value)
                stack.append(fragments[selection.name.value])
    return together, len(spread)


def _too_many(words: str, found: int, limit: int) -> DocumentError:
    shown = str(found) if found < 10**9 else "far more"
    message = f"The document is too complex: {shown} {words}, at most {limit} are allowed."
    return DocumentError(message, RequestErrorCode.QUERY_TOO_COMPLEX, limit=limit)


__all__ = ["DocumentLimitsRule", "Limits", "Totals", "comparisons", "measure", "resolve", "violations"]
