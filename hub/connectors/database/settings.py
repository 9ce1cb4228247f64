"""What a channel file says of a database, as a source and as a destination."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, ClassVar, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from sqlalchemy import make_url, text
from sqlalchemy.exc import ArgumentError

from hub.connectors.settings import Secret, Settings
from hub.connectors.times import Polls
from hub.core.units import Duration

_NAME = r"^[A-Za-z_]\w*$"


def _url(value: object) -> object:
    message = (
        'a database is a SQLAlchemy URL: "postgresql+psycopg://user@host/name", or "sqlite:///folder/file.db"; '
        "the password is a setting apart"
    )
    try:
        url = make_url(value) if isinstance(value, str) else None
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.password:
        raise ValueError(message)
    return value


DatabaseUrl = Annotated[str, BeforeValidator(_url), WithJsonSchema({"type": "string"})]


@lru_cache(maxsize=256)
def parameters(statement: str) -> frozenset[str]:
    """The names that stand as ``:name`` in *statement*."""
    return frozenset(text(statement).compile().params)


class DatabaseLogin(Settings):
    """Which database, and who we are there."""

    url: DatabaseUrl = Field(
        description="The database as a SQLAlchemy URL. A relative SQLite file begins at the site's folder. Drivers "
        "other than those of PostgreSQL (psycopg) and SQLite are installed beside the hub.",
        examples=["postgresql+psycopg://hub@db.clinic.example/practice"],
    )
    password: Secret | None = Field(
        None, description="The password, if the database wants one.", examples=[{"secret": "practice_db"}]
    )
    connect_within: Duration = Field(10.0, description="How long to wait for a connection.", examples=["10s"])
    answer_within: Duration = Field(
        60.0,
        description="How long a statement may take. On PostgreSQL the server ends it then; elsewhere the worker is "
        "ended.",
        examples=["60s"],
    )


class DatabaseSourceSettings(DatabaseLogin, Polls):
    """A query whose rows become messages, each the JSON of its columns and, as `event`, its kind."""

    begin_with: ClassVar[tuple[str, ...]] = ("done", "kind")

    query: str = Field(
        min_length=1,
        description="A SELECT without ORDER BY and LIMIT, which are put around it. Columns called account, mrn, "
        "visit_number or control_number make the message findable by them; a column called event says its kind.",
        examples=["SELECT id, account, mrn, code, amount FROM charge_events WHERE exported_at IS NULL"],
    )
    key: tuple[Annotated[str, Field(pattern=_NAME)], ...] = Field(
        min_length=1,
        description="The columns that tell rows apart and that rows are read in the order of.",
        examples=[["id"]],
    )
    done: str | None = Field(
        None,
        description="The statement that marks a row as read, once its message is stored, with its columns as :name. "
        "The query must leave such rows out. Without it the highest key is remembered, and rows above it are read: "
        "then a row must never appear beneath one that was read before, as happens when a transaction commits late.",
        examples=["UPDATE charge_events SET exported_at = CURRENT_TIMESTAMP WHERE id = :id"],
    )
    kind: str = Field(
        "row", min_length=1, max_length=32, description="The kind of the messages.", examples=["charge event"]
    )
    name: str = Field(
        "rows",
        pattern=r"^[a-z][a-z0-9_]{0,29}$",
        description="What the highest key is remembered under. Two sources of a channel need two; another name begins "
        "anew.",
        examples=["charge_events"],
    )
    batch: int = Field(500, ge=1, le=10_000, description="How many rows to read at a time.", examples=[500])

    @property
    def mark(self) -> str:
        """What the highest key is kept under."""
        return f"database {self.name}"

    @model_validator(mode="after")
    def _columns_are_distinct(self) -> Self:
        if len(set(self.key)) != len(self.key):
            raise ValueError("key names a column twice")
        if self.done is not None and not parameters(self.done):
            raise ValueError("done must say which row, with a column of it as :name")
        return self


class DatabaseDestinationSettings(DatabaseLogin):
    """Statements that write each output: a JSON object, whose values stand in them as `:name`, or a list of such."""

    begin_with: ClassVar[tuple[str, ...]] = ("receipts",)

    statements: tuple[str, ...] = Field(
        min_length=1,
        description="What to run for each object, all of an output in one transaction. Values stand as :name; what is "
        "an object or a list itself is written as JSON text. A name that the output lacks refuses it.",
        examples=[["INSERT INTO claim_status (claim, status, amount) VALUES (:claim, :status, :amount)"]],
    )
    receipts: str | None = Field(
        None,
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)?$",
        description="A table of that database in which each output's name is noted in the same transaction, so that "
        "none is written twice: CREATE TABLE hub_receipts (name VARCHAR(255) PRIMARY KEY, digest CHAR(64) NOT NULL). "
        'With it ambiguous = "retry" is right. Without it an output whose commit was not answered is ambiguous; leave '
        "it out where the statements may run twice without harm.",
        examples=["hub_receipts"],
    )
