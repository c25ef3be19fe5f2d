"""The fenced blocks of a page: what to run, and what it must answer."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ANYTHING = "…"
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Snippet:
    """One block: its language, its text, and the title of the section that it stands in."""

    language: str
    text: str
    section: str


def snippets(page: str) -> list[Snippet]:
    """Every fenced block of a page of the repository, in its order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    titles = [(each.start(), each[1]) for each in re.finditer(r"^## (.+)$", text, re.MULTILINE)]
    return [
        Snippet(block[1], block[2], next((title for at, title in reversed(titles) if at < block.start()), ""))
        for block in _FENCE.finditer(text)
    ]


def difference(expected: Any, actual: Any, at: str = "$") -> str | None:
    """Where and how `actual` is not what was `expected`, or None; `…` within an expected text stands for anything."""
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        if expected.keys() != actual.keys():
            return f"{at}: has {sorted(actual)} instead of {sorted(expected)}"
        pairs = [(expected[key], actual[key], f"{at}.{key}") for key in expected]
    elif isinstance(expected, Sequence) and isinstance(actual, Sequence) and not isinstance(expected, str):
        if len(expected) != len(actual):
            return f"{at}: has {len(actual)} members instead of {len(expected)}"
        pairs = [(one, other, f"{at}[{n}]") for n, (one, other) in enumerate(zip(expected, actual, strict=True))]
    elif isinstance(expected, str) and isinstance(actual, str):
        pattern = ".+".join(re.escape(part) for part in expected.split(ANYTHING))
        return None if re.fullmatch(pattern, actual, re.DOTALL) else f"{at}: {actual!r} instead of {expected!r}"
    else:
        same = type(expected) is type(actual) and expected == actual
        return None if same else f"{at}: {actual!r} instead of {expected!r}"
    return next((found for one, other, where in pairs if (found := difference(one, other, where))), None)


def answered(language: str, text: str) -> Any:
    """What an answer's block, or the output beside it, says: the data of a JSON answer, the text of any other."""
    return {"data": json.loads(text)["data"]} if language == "json" else text.strip()
