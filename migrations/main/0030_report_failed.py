"""Which final reports could not be made."""

from migrations.sql import run_beside

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
