"""`python -m bench.engine`: how fast the engine decides, alone: no database, no gateway.

A year of subscriptions is billed by the engine and, for the ratio, by the plainest arithmetic that gives the same
amounts: an oracle that explains nothing. A decision is one invoice: what happens next, which period, which lines,
coupons, tax and balance, each amount with its formula.
"""

import argparse
import platform
import random
from collections.abc import Callable, Sequence
from time import perf_counter

from tests.support.year import Billed, Sold, billed, expected, sold


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__)
    parser.add_argument("--subscriptions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    rng = random.Random(asked.seed)
    book = [sold(rng) for _ in range(asked.subscriptions)]
    engine_seconds, invoices = _timed(billed, book)
    bare_seconds, again = _timed(expected, book)
    if invoices != again:
        raise SystemExit("the engine and the oracle disagree; see tests/billing/test_year.py")
    decisions = sum(len(each) for each in invoices)
    print(f"a year of {asked.subscriptions} subscriptions: {decisions} invoices in {engine_seconds:.1f} s")
    print(f"decisions per second: {decisions / engine_seconds:.0f}")
    print(f"against bare arithmetic: {engine_seconds / bare_seconds:.1f} times its time")
    print(f"`python -m bench.engine --subscriptions {asked.subscriptions} --seed {asked.seed}`; ", end="")
    print(f"Python {platform.python_version()}.")


def _timed(bill: Callable[[Sold], list[Billed]], book: Sequence[Sold]) -> tuple[float, list[list[Billed]]]:
    begun = perf_counter()
    invoices = [bill(each) for each in book]
    return perf_counter() - begun, invoices


if __name__ == "__main__":
    main()
