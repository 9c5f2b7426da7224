"""Alembic's entry: runs the revisions of one database over the connection it was handed.

`server.kit.migrate` holds the lock that lets one process migrate at a time.
"""

from alembic import context
from sqlalchemy import Connection


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
