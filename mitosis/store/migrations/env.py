"""Runs migrations for alembic on the connection that `setup` hands over, in its transaction."""

from alembic import context

from mitosis.store import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    version_table=schema.VERSION_TABLE,
    render_as_batch=True,  # SQLite alters most things by making the table anew
)
with context.begin_transaction():
    context.run_migrations()
