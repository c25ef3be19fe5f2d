"""The committed picture of the schema: `python -m schema.snapshot` writes it, a test compares it."""

from pathlib import Path

from schema.build import build_schema

SNAPSHOT = Path(__file__).with_name("schema.graphql")


def render_snapshot() -> str:
    """The schema in its definition language, the sandbox's mutations included."""
    return build_schema(sandbox=True).as_str() + "\n"


if __name__ == "__main__":
    SNAPSHOT.write_text(render_snapshot())
