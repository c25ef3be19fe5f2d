"""Tells the shelf's story in a browser against a server of its own: `make explorer-test`.

The server has a fresh database and a free port, so neither `make run` nor its data is touched. Exit code: the story's.
SHOTS=<folder> keeps the pictures.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from settings import ROOT
from tests.support.processes import perennial

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="perennial-story-") as folder, perennial(Path(folder)) as address:
        story = subprocess.run(
            ["node", "tests/explorer/story.mjs"], cwd=ROOT, env={**os.environ, "BASE_URL": address}, check=False
        )
    sys.exit(story.returncode)
