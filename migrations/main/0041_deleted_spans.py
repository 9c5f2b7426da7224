"""Spans of their track that drivers deleted."""

from migrations.sql import run_beside

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
