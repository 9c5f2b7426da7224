"""The register of what was given to somebody outside."""

from migrations.sql import run_beside

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
