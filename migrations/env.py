"""Alembic's entry: runs the revisions of one database over the connection it was handed."""

from alembic import context
from sqlalchemy import Connection, text

# Two servers that start at once must not migrate at once.
LOCK_KEY = 7_242_001


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        context.run_migrations()


run(context.config.attributes["connection"])
