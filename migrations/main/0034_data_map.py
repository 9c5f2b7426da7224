"""What each column holds and until when; and for how many days a company keeps plans."""

from migrations.sql import run_beside

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
