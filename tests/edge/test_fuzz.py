"""Random input to what reads the client's bytes: refused in its own words, never by a fault."""

import asyncio
import string

import pytest
from graphql import GraphQLError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resolvers.identity import TokenRefused, TokenVerifier
from schema.documents import DocumentCache
from schema.parameters import BadParameters, Parameters, from_body, from_query_string
from schema.transport import GRAPHQL_RESPONSE, JSON, negotiate
from tests.edge.toy import NOW, Toy, settings_for

CACHE = DocumentCache(Toy().schema.documents.schema, require_user_errors=True)
VERIFIER = TokenVerifier(settings_for())
fuzzed = settings(max_examples=200)

words = st.sampled_from(
    "{ } ( ) ... : $v @skip(if: true on Query Note hello self notes first: F fragment query mutation addNote "
    'userErrors __schema __type 1 "x" [ ] Int ! = a: nodes'.split()
)


@fuzzed
@given(st.one_of(st.text(), st.lists(words, max_size=60).map(" ".join)))
def test_any_text_is_a_document_or_a_graphql_error(text):
    try:
        prepared = CACHE.prepare(text, introspection=False)
    except GraphQLError:
        return
    assert all(isinstance(error, GraphQLError) for error in prepared.errors)


json_like = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
)


@fuzzed
@given(st.one_of(st.binary(), json_like.map(repr).map(str.encode), st.text().map(lambda text: text.encode("utf-16"))))
def test_any_body_is_parameters_or_refused(body):
    with pytest.raises(BadParameters):
        from_body(body)


@fuzzed
@given(st.one_of(st.binary(), st.text(alphabet=string.printable).map(str.encode)))
@example(b"query=%7Bhello%7D&variables=[]")
@example(b"query=%7Bhello%7D&variables={%22v%22:1e400}")
@example(b"query=%7Bhello%7D;&query")
def test_any_query_string_is_parameters_or_refused(query_string):
    try:
        parameters = from_query_string(query_string)
    except BadParameters:
        return
    assert isinstance(parameters, Parameters)
    assert parameters.query.strip() != ""


@fuzzed
@given(st.lists(st.text(alphabet=string.printable)))
@example([";;q=,*/*;q=2"])
@example(["application/json;q=1;q=0"])
def test_any_accept_header_leads_to_one_of_our_media_types_or_none(accept):
    assert negotiate(accept) in (JSON, GRAPHQL_RESPONSE, None)


@fuzzed
@given(st.lists(st.one_of(st.text(), st.text(alphabet="abcXYZ019._-=").map("Bearer {}".format)), min_size=1))
def test_any_authorization_header_is_refused_as_a_token(authorization):
    with pytest.raises(TokenRefused):
        asyncio.run(VERIFIER.identify(authorization, NOW))
