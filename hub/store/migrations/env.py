"""What Alembic runs: the migrations, on the connection that :mod:`hub.store.schema` opened."""

from alembic import context

from hub.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
