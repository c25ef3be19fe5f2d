"""Writes the pages that are drawn from the code: `python -m docs.generate`.

With `--check` nothing is written; the names of stale pages are printed and the exit code is 1.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from docs import drift, dunning, errors, lifecycle, schema, webhooks

HERE = Path(__file__).resolve().parent
PAGES: dict[str, Callable[[], str]] = {
    "lifecycle.md": lifecycle.render,
    "errors.md": errors.render,
    "drift.md": drift.render,
    "dunning.md": dunning.render,
    "schema.md": schema.render,
    "webhooks.md": webhooks.render,
}


def stale(folder: Path = HERE) -> list[str]:
    """The pages in `folder` that are missing or differ from what the code says now."""
    return [name for name, render in PAGES.items() if _read(folder / name) != render()]


def write(folder: Path = HERE) -> list[str]:
    """Write the stale pages and name them."""
    outdated = stale(folder)
    for name in outdated:
        (folder / name).write_text(PAGES[name](), encoding="utf-8")
    return outdated


def main(arguments: Sequence[str], folder: Path = HERE) -> int:
    if list(arguments) not in ([], ["--check"]):
        print("usage: python -m docs.generate [--check]", file=sys.stderr)
        return 2
    if not arguments:
        for name in write(folder):
            print(f"docs/{name} written")
        return 0
    outdated = stale(folder)
    for name in outdated:
        print(f"docs/{name} is stale: run python -m docs.generate")
    return 1 if outdated else 0


def _read(page: Path) -> str | None:
    return page.read_text(encoding="utf-8") if page.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
