"""How an account stands beside its state: since when, by whom and why; and when it was used."""

from migrations.sql import run_beside

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
