"""Where a database stands among the migrations that this code knows."""

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from models.database import Database
from settings import ROOT


async def is_behind(database: Database) -> bool:
    """Whether migrating has to come first. What a newer version has migrated is not behind: this code may go on."""
    async with database.engine.connect() as connection:
        revision = await connection.run_sync(_revision)
    script = ScriptDirectory.from_config(Config(ROOT / "alembic.ini"))
    older = {each.revision for each in script.walk_revisions()} - {script.get_current_head()}
    return revision is None or revision in older


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
