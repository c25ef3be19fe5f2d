"""Every seam: each step killed before and after every commit and every call to the gateway, on one database.

These are the tests in `tests/services` that kill; here at all of their points also on PostgreSQL.

    python -m tests.soak.seams --database sqlite
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from settings import ROOT
from tests.soak.surroundings import parser


def main() -> int:
    asked = parser("seams", __doc__, jobs=os.cpu_count() or 1).parse_args()
    began = time.monotonic()
    with tempfile.NamedTemporaryFile("r", prefix="perennial-kills-") as tally:
        command = [sys.executable, "-m", "pytest", "-q", "tests/services", "-k", f"kill and {asked.database}"]
        tests = subprocess.run(
            [*command, "-n", str(asked.jobs)],
            cwd=ROOT,
            env={**os.environ, "PERENNIAL_TEST_EVERY_KILL": "1", "PERENNIAL_TEST_KILLS_FILE": tally.name},
            stdout=subprocess.PIPE,
            text=True,
        )
        kills = len(Path(tally.name).read_text())
    counted = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|errors?)", tests.stdout)}
    broken = sum(number for word, number in counted.items() if word != "passed")
    if tests.returncode:
        print(tests.stdout)
    print(
        f"{asked.database}: killed at {kills} points in {counted.get('passed', 0) + broken} stories: {broken} broken; "
        f"{time.monotonic() - began:.0f} s"
    )
    return 1 if tests.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
