"""Thousands of random subscriptions, changed and paused at random: each pays what it had, to the rounded line.

Every seed is one life in a house of its own; one that is unfair is told with its story.

    python -m tests.soak.fair_shares --database sqlite --rounds 1000 --seed 1
"""

import os
import sys

from tests.scenarios.fair_shares import pay_fairly
from tests.soak.interleavings import live_and_tell
from tests.soak.surroundings import parser


def main() -> int:
    given = parser("fair_shares", __doc__, rounds=1000, jobs=os.cpu_count() or 1).parse_args()
    return live_and_tell(given, pay_fairly, "subscriptions", "paid more or less than what they had")


if __name__ == "__main__":
    sys.exit(main())
