"""The committer merges chunks."""

from migrations.sql import run_beside

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
