"""The explorer's shelf told without a page: each operation by the rule of explorer/src/recall.js, in its order."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateways.browser import SandboxBrowser
from gateways.customer_side import CardInput
from settings import ROOT

SHELF = ROOT / "explorer" / "shelf"
RETURN_URL = "https://shop.example/return"
_PLACEHOLDER = re.compile(r"\{\{\s*([\w.]+)\s*\}\}")

Ask = Callable[[str, Mapping[str, Any], str], Awaitable[dict[str, Any]]]
"""A document, its variables and a user: the data of the answer."""


@dataclass(frozen=True)
class Operation:
    """One file of the shelf."""

    name: str
    document: str
    variables: Mapping[str, Any]
    user: str


def shelf() -> list[Operation]:
    """Every operation, in the order of the story."""
    found: list[Operation] = []
    for path in sorted(SHELF.glob("*.graphql")):
        document = path.read_text()
        (name,) = re.findall(r"^(?:query|mutation) (\w+)", document, re.MULTILINE)
        (user,) = re.findall(r"^# as: (\S+)$", document, re.MULTILINE)
        variables = json.loads(path.with_suffix(".variables.json").read_text())
        found.append(Operation(name, document, variables, user))
    return found


class Story:
    """Remembers each answer; what the sandbox's mutations do in the explorer, `browser` does at the gateway."""

    def __init__(self, ask: Ask, browser: SandboxBrowser) -> None:
        self._ask, self._browser = ask, browser
        self._remembered: dict[str, Any] = {}

    async def tell(self, operation: Operation, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The data; {} for what the browser did. `variables` stand for the shelf's own."""
        given = self._filled(operation.variables if variables is None else variables)
        if "sandbox" in operation.document:
            await self._at_the_gateway(operation.document, given["input"])
            return {}
        data = await self._ask(operation.document, given, operation.user)
        self._remembered |= data
        return data

    async def _at_the_gateway(self, document: str, told: Mapping[str, Any]) -> None:
        secret = told["clientSecret"]
        if "sandboxAnswerChallenge" in document:
            await self._browser.answer_challenge(secret, succeed=told["outcome"] == "SUCCEEDED")
            return
        card = CardInput(number=told["cardNumber"])
        if "sandboxConfirmSetupIntent" in document:
            await self._browser.confirm_setup_intent(secret, card, return_url=RETURN_URL)
        else:
            await self._browser.confirm_payment_intent(secret, card, return_url=RETURN_URL)

    def _filled(self, value: Any) -> Any:
        if isinstance(value, str) and (found := _PLACEHOLDER.fullmatch(value)):
            return self._remembered_at(found[1])
        if isinstance(value, list):
            return [self._filled(each) for each in value]
        return {key: self._filled(each) for key, each in value.items()} if isinstance(value, dict) else value

    def _remembered_at(self, path: str) -> Any:
        found: Any = self._remembered
        for step in path.split("."):
            found = found[int(step)] if isinstance(found, list) else found[step]
        assert found is not None, f"nothing is remembered at {path}"
        return found
