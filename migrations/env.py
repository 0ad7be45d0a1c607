"""Where Alembic meets the tables. Run by Alembic, once a command; nobody imports it.

`service.kit.schema.migrate` takes the lock and hands the connection over: on SQLite inside one transaction for all
steps, on PostgreSQL outside any, so that each step has its own. Only the alembic command itself, with which a new
revision is written, comes without one.
"""

import os
from contextlib import closing, nullcontext

from alembic import context
from sqlalchemy import Connection
from sqlmodel import SQLModel

import service.accounts.models
import service.billing.models
import service.callbacks.models
import service.events.models
import service.kit.process.heartbeat
import service.media.models
import service.quotas.models
import service.runs.state.models
import service.webhooks.models  # noqa: F401 - the imports fill SQLModel.metadata
from service.kit.db.database import Database
from service.kit.db.patience import UNHURRIED


def run(connection: Connection) -> None:
    """Carry out the command on `connection`, in the transaction that is open there, else in one a step."""
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        # SQLite cannot alter most of a table: Alembic copies it instead.
        render_as_batch=connection.dialect.name == "sqlite",
        # Both databases roll DDL back. Alembic doubts SQLite, because Python's driver used to commit before it.
        transactional_ddl=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def run_alone() -> None:
    """The same for the alembic command: its address comes from `-x url=` or DATABASE_URL."""
    url = context.get_x_argument(as_dictionary=True).get("url") or os.environ["DATABASE_URL"]
    with (
        closing(Database(url, patience=UNHURRIED)) as database,
        database.engine.connect().execution_options(relay_writes=True) as connection,
        connection.begin() if database.is_sqlite else nullcontext(),
    ):
        run(connection)


if handed_over := context.config.attributes.get("connection"):
    run(handed_over)
else:
    run_alone()
