"""What was corrected of a person's own data, and addresses that wait for their code."""

from migrations.sql import run_beside

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
