"""What happened in a random life, for whoever has to find out what broke it."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def story_of(seed: int) -> Iterator[list[str]]:
    """What the life appends is printed when the test fails."""
    story: list[str] = []
    try:
        yield story
    except BaseException:
        print(f"seed {seed}:", *story, sep="\n  ")
        raise
