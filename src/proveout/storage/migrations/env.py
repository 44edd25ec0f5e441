"""Run by Alembic: migrates over the connection, and in the transaction, that `schema.migrate` hands in."""

from alembic import context

from proveout.storage.schema import VERSION_TABLE
from proveout.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
context.run_migrations()
