"""Pages drawn from the code say what the code says."""

from pathlib import Path

import pytest

from billing.charging import DeclineClass
from billing.errors import ErrorCode
from billing.lifecycle import ATTEMPT, INVOICE, PAYMENT, SUBSCRIPTION, Machine
from docs.errors import DECLINE_MEANINGS, REQUEST_MEANINGS
from docs.generate import PAGES, main, stale
from docs.lifecycle import reachable
from docs.schema import draw
from resolvers.access import BUYERS, EVERYONE
from schema.errors import RequestErrorCode


def test_the_committed_pages_are_fresh() -> None:
    assert stale() == []


def test_check_names_each_stale_page_writes_nothing_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([], tmp_path) == 0
    assert capsys.readouterr().out.splitlines() == [f"docs/{name} written" for name in PAGES]
    assert main(["--check"], tmp_path) == 0
    assert capsys.readouterr().out == ""

    page = tmp_path / "lifecycle.md"
    page.write_text("edited by hand", encoding="utf-8")
    (tmp_path / "errors.md").unlink()
    assert main(["--check"], tmp_path) == 1
    assert capsys.readouterr().out.splitlines() == [
        "docs/lifecycle.md is stale: run python -m docs.generate",
        "docs/errors.md is stale: run python -m docs.generate",
    ]
    assert page.read_text(encoding="utf-8") == "edited by hand"


def test_another_argument_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    assert main(["--chekc"], tmp_path) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("machine", "reserved"),
    [
        (SUBSCRIPTION, set()),
        (INVOICE, set()),
        (PAYMENT, set()),
        (ATTEMPT, set()),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_only_what_can_be_reached_is_drawn_and_the_rest_is_called_reserved(
    machine: Machine, reserved: set[str]
) -> None:
    assert set(machine.table) - set(reachable(machine)) == reserved
    section = PAGES["lifecycle.md"]().split(f"## {machine.name.capitalize()}\n")[1].split("\n## ")[0]
    _, picture, events = section.split("```")
    assert [status for status in reserved if status in picture.split() or f"`{status}`" in events] == []
    assert [status for status in reachable(machine) if status not in picture.split()] == []
    assert ("Reserved for later" in section) is bool(reserved)


def test_each_code_of_each_kind_is_explained_once() -> None:
    assert list(REQUEST_MEANINGS) == list(RequestErrorCode)
    assert list(DECLINE_MEANINGS) == list(DeclineClass)
    page = PAGES["errors.md"]()
    for code in [*ErrorCode, *RequestErrorCode, *DeclineClass]:
        assert page.count(f"\n| `{code.value}` |") == 1


SDL = '''
type Query {
  """What is for sale."""
  plans("At most | this many." first: Int = 20, where: PlanFilter = {active: true}, after: String): [String!]!
}
type Mutation {
  """Start a subscription."""
  subscribe(input: PlanFilter!): Boolean
}
input PlanFilter {
  "Those on offer."
  active: Boolean = false
}
'''


def test_a_root_field_is_described_with_its_roles_arguments_and_defaults() -> None:
    page = draw(SDL, {"Query.plans": EVERYONE, "Mutation.subscribe": BUYERS})
    assert (
        page.split("## Query\n\n")[1]
        == """### plans

What is for sale.

For everyone. Returns `[String!]!`.

| argument | type | default | meaning |
| --- | --- | --- | --- |
| `first` | `Int` | `20` | At most \\| this many. |
| `where` | `PlanFilter` | `{ active: true }` | – |
| `where.active` | `Boolean` | `false` | Those on offer. |
| `after` | `String` | – | – |

## Mutation

### subscribe

Start a subscription.

For `CUSTOMER`, `ADMIN`, `SERVICE` with the scope `act_for_customer`. Returns `Boolean`.

| argument | type | default | meaning |
| --- | --- | --- | --- |
| `input` | `PlanFilter!` | – | – |
| `input.active` | `Boolean` | `false` | Those on offer. |
"""
    )


def test_a_root_field_without_roles_is_not_described_as_open() -> None:
    with pytest.raises(KeyError, match=r"Mutation\.subscribe"):
        draw(SDL, {"Query.plans": EVERYONE})
