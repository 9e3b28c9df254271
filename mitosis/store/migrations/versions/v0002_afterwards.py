"""What is said of a trial after it has ended: its code's identity, expectations, removal, attestations.

Revision ID: 0002
"""

import json
from typing import Literal

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

HEX = sa.String().with_variant(sa.String(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the columns and the table, and fill the column that the outcomes know."""
    # made anew in SQLite: columns that are added to a table there stand behind its constraints
    recreate: Literal["always", "never"] = "always" if op.get_bind().dialect.name == "sqlite" else "never"
    with op.batch_alter_table("trials", recreate=recreate) as batch:
        batch.add_column(sa.Column("code_identity", HEX, nullable=True))
        batch.add_column(sa.Column("expectation", sa.String(), nullable=True))
        batch.add_column(sa.Column("removed", sa.BigInteger(), nullable=True))
    op.create_table(
        "attestations",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("trial", NUMBER, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("made", sa.BigInteger(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attestations")),
        sa.ForeignKeyConstraint(["trial"], ["trials.seq"], name=op.f("fk_attestations_trial")),
    )
    op.create_index("ix_attestations_trial", "attestations", ["trial"])
    _fill()


def _fill() -> None:
    connection = op.get_bind()
    details = sa.table("details", sa.column("trial"), sa.column("outcome"))
    trials = sa.table("trials", sa.column("seq"), sa.column("code_identity"))
    ended = sa.select(details.c.trial, details.c.outcome).where(details.c.outcome.is_not(None))
    found = [
        {"row": trial, "identity": identity}
        for trial, outcome in connection.execute(ended)
        if (identity := json.loads(outcome).get("code_identity"))
    ]
    if found:
        statement = trials.update().where(trials.c.seq == sa.bindparam("row"))
        connection.execute(statement.values(code_identity=sa.bindparam("identity")), found)
