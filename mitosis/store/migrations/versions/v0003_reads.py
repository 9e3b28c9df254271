"""Which trials read other data than others, by an index.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

READS = sa.text("declared IS NOT NULL OR observed IS NOT NULL")


def upgrade() -> None:
    """Add the index."""
    op.create_index(
        "ix_details_reads",
        "details",
        ["trial", "declared", "observed"],
        sqlite_where=READS,
    )
