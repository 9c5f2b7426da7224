"""The job queue's own tables, in a schema of their own, as its library declares them."""

from alembic import op
from sqlalchemy import text
from sqlalchemy.util import await_only

from migrations.sql import run_beside
from server.kit.jobs import install_sql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(text("SET LOCAL lock_timeout = '2s'"))
    driver = op.get_bind().connection.driver_connection
    if driver is None:
        raise RuntimeError("the migration connection is gone")
    await_only(driver.execute(install_sql()))
    run_beside(__file__)
