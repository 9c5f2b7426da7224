"""The history is deleted of nobody but who is being erased."""

from migrations.sql import run_beside

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
