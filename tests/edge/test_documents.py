"""The cache of documents: a second equal request parses and validates nothing, and the cache stays small."""

from schema import documents
from schema.documents import DocumentCache


async def test_an_equal_request_parses_and_validates_nothing(toy):
    text = "query A($n: Int) { notes(first: $n) { totalCount } }"
    for n in (1, 2, 2):
        assert (await toy.ask(text, variables={"n": n})).json()["data"] == {"notes": {"totalCount": n}}
    assert (toy.schema.documents.parsed, toy.schema.documents.validated) == (1, 1)
    assert (await toy.ask(text + " ")).status_code == 200
    assert (toy.schema.documents.parsed, toy.schema.documents.validated) == (2, 2)


async def test_a_refused_document_is_not_kept(toy):
    for _ in range(2):
        assert "errors" in (await toy.ask("{ nothing }")).json()
        assert "errors" in (await toy.ask("{")).json()
    assert len(toy.schema.documents) == 0


def test_a_document_allowed_to_one_who_may_introspect_is_validated_again_for_another(toy):
    cache = DocumentCache(toy.schema.documents.schema, require_user_errors=True)
    text = "{ __schema { description } }"
    assert cache.prepare(text, introspection=True).errors == []
    assert len(cache.prepare(text, introspection=False).errors) == 1
    assert cache.prepare(text, introspection=True).errors == []
    assert cache.validated == 2


def test_the_cache_is_bounded_by_number_and_drops_the_least_recently_used(toy, monkeypatch):
    monkeypatch.setattr(documents, "CACHED_DOCUMENTS", 3)
    cache = DocumentCache(toy.schema.documents.schema, require_user_errors=True)
    for name in ("A", "B", "C", "A", "D"):
        cache.prepare(f"query {name} {{ hello }}", introspection=True)
    assert (len(cache), cache.parsed) == (3, 4)
    cache.prepare("query A { hello }", introspection=True)
    assert cache.parsed == 4
    cache.prepare("query B { hello }", introspection=True)
    assert (len(cache), cache.parsed) == (3, 5)


def test_the_cache_is_bounded_by_weight(toy):
    cache = DocumentCache(toy.schema.documents.schema, require_user_errors=True)
    text = "query Q{} {{" + " " * 60_000 + "hello }}"
    for n in range(200):
        cache.prepare(text.format(n), introspection=True)
    each = 5 + 600
    assert len(cache) == 20_000 // each
    assert cache.weight == len(cache) * each


def test_a_text_beyond_64_kb_is_served_but_not_kept(toy):
    cache = DocumentCache(toy.schema.documents.schema, require_user_errors=True)
    assert cache.prepare("{hello}" + " " * 65_536, introspection=True).errors == []
    assert len(cache) == 0
