"""``config/hub.toml``: what this installation is, where it keeps its store, where it listens, how time passes."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hub.connectors.settings import ConnectTo, Secret, WebAddress
from hub.core.units import Duration

_DAY = 86_400.0


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StoreSettings(_Table):
    """``[store]``."""

    url: str = Field(
        default="embedded",
        description="`embedded` (SQLite in var/) or a PostgreSQL URL without its password.",
        examples=["postgresql+psycopg://hub@db.example/hub"],
    )


class WebSettings(_Table):
    """``[web]``. Pages show patient data, so they speak TLS: with a certificate of their own, or with the site's."""

    listen: str = Field(
        default="tcp:127.0.0.1:8080",
        pattern=r"^tcp:(?:[^:\s]+:)?\d{1,5}$",
        description="Without a host, loopback.",
    )
    tls: bool = Field(
        default=True, description="Off only where nothing but this machine reaches the pages, or behind a proxy."
    )
    certificate: str = Field(
        default="",
        description="A PEM file, its chain included, in the site or absolute. Empty: one made at the first run.",
        examples=["/etc/ssl/hub.pem"],
    )
    key: str = Field(default="", description="The certificate's key, a PEM file.", examples=["/etc/ssl/hub.key"])
    behind_tls_proxy: bool = Field(
        default=False,
        description="A proxy on this machine speaks TLS with browsers: cookies need TLS, X-Forwarded-For counts.",
    )

    @property
    def speaks_tls(self) -> bool:
        """Whether the pages themselves speak TLS."""
        return self.tls and not self.behind_tls_proxy

    @model_validator(mode="after")
    def _both_files(self) -> WebSettings:
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key go together")
        return self


class ClockSettings(_Table):
    """``[clock]``: business time that runs fast, for demonstrations and tests. Refused in production."""

    day_seconds: float = Field(default=86_400.0, gt=0, le=86_400, description="Real seconds that a business day takes.")
    business_epoch: datetime | None = Field(default=None, description="Business time at *real_epoch*, with offset.")
    real_epoch: datetime | None = Field(
        default=None, description="Real time at which *business_epoch* was, with offset."
    )

    @model_validator(mode="after")
    def _both_epochs(self) -> ClockSettings:
        if (self.business_epoch is None) != (self.real_epoch is None):
            raise ValueError("business_epoch and real_epoch go together")
        for moment in (self.business_epoch, self.real_epoch):
            if moment is not None and moment.tzinfo is None:
                raise ValueError("an epoch needs its offset, such as 2026-11-09T08:00:00-06:00")
        if self.day_seconds != 86_400 and self.business_epoch is None:
            raise ValueError("a fast clock needs business_epoch and real_epoch")
        return self


class WorkerSettings(_Table):
    """``[workers]``: how many processes of each pool."""

    mapping: int = Field(default=1, ge=1, le=64, description="Run mapping scripts; no network, no files.")
    billing: int = Field(default=1, ge=1, le=64, description="Decide, read X12, build claims.")
    transfer: int = Field(default=1, ge=1, le=64, description="SFTP and whatever else blocks.")
    message_time: Duration = Field(
        default=10.0, description="A message that takes longer in a mapping is held.", examples=["10s"]
    )


class RetentionSettings(_Table):
    """``[retention]``: how long after its end a message is kept. What is unresolved always stays.

    Claims, ledger, remittances, counters and the audit log are never pruned.
    """

    done: Duration = Field(default=90 * _DAY, ge=30 * _DAY, description="Content of messages that are done.")
    filtered: Duration = Field(default=30 * _DAY, ge=30 * _DAY, description="Content of messages nobody wanted.")
    rejected: Duration = Field(default=90 * _DAY, ge=30 * _DAY, description="Content of messages that were refused.")
    evidence: Duration = Field(
        default=3650 * _DAY,
        ge=2190 * _DAY,
        description="Content of claims, acknowledgements and remittances as they went and came.",
    )
    metadata: Duration = Field(
        default=730 * _DAY,
        ge=30 * _DAY,
        description="That a message was there: when, from whom, with what outcome.",
        examples=["730d"],
    )


class BackupSettings(_Table):
    """``[backup]``."""

    restore_margin: int = Field(
        default=1000,
        ge=1,
        le=1_000_000,
        description="How far a restore moves control numbers ahead: more than partners can have seen since the backup.",
    )


class Escalation(_Table):
    """``[[alerts.escalation]]``: who is told when nobody has taken an alert."""

    after: Duration = Field(gt=0, description="Not taken for so long after it was told of.", examples=["30m"])
    email_to: tuple[str, ...] = Field(min_length=1, description="Who is told.", examples=[["lead@clinic.example"]])


class AlertSettings(_Table):
    """``[alerts]``: how people who look at no page are told. What counts as too long stands in each channel."""

    open_after: Duration = Field(
        default=120.0,
        description="What is over within so long is told to nobody; nor is an end that lasted no longer.",
        examples=["2m"],
    )
    smtp: ConnectTo | None = Field(
        default=None, description="The mail server.", examples=["tcp:mail.clinic.example:587"]
    )
    smtp_user: str = Field(default="", description="Who logs in to it.", examples=["hub"])
    smtp_password: Secret | None = Field(
        default=None, description="The password; TLS is then required.", examples=[{"secret": "smtp"}]
    )
    email_from: str = Field(default="claimhub", description="The sender.", examples=["hub@clinic.example"])
    email_to: tuple[str, ...] = Field(default=(), description="Who is told.", examples=[["ops@clinic.example"]])
    webhook: WebAddress | None = Field(
        default=None, description="An address that gets what opened and closed, as JSON.",
        examples=["https://pager.clinic.example/hub"],
    )  # fmt: skip
    webhook_token: Secret | None = Field(
        default=None, description="The bearer token for it.", examples=[{"secret": "pager_token"}]
    )
    pages: WebAddress | None = Field(
        default=None,
        description="Where people reach the pages: what is sent leads there.",
        examples=["https://hub.clinic.example"],
    )
    escalation: tuple[Escalation, ...] = Field(
        default=(), description="Whom to tell next while nobody takes an alert, in order."
    )
    expires: dict[str, date] = Field(
        default={},
        description="When passwords and keys end, by the name of the secret. An alert says so two weeks before.",
        examples=[{"clearway_password": "2027-02-01"}],
    )

    @model_validator(mode="after")
    def _in_order(self) -> AlertSettings:
        times = [step.after for step in self.escalation]
        if times != sorted(times):
            raise ValueError("the steps of an escalation stand in the order of their times")
        if self.escalation and self.smtp is None:
            raise ValueError("an escalation is told by mail: say smtp")
        return self


class HubSettings(_Table):
    """The whole file."""

    schema_: Literal[1] = Field(alias="schema")
    title: str = Field(examples=["Alder Street Family Clinic"])
    environment: Literal["production", "test"] = Field(description="Bound to MSH-11 and ISA15: the two never mix.")
    store: StoreSettings = StoreSettings()
    web: WebSettings = WebSettings()
    clock: ClockSettings | None = None
    workers: WorkerSettings = WorkerSettings()
    retention: RetentionSettings = RetentionSettings()
    backup: BackupSettings = BackupSettings()
    alerts: AlertSettings = AlertSettings()

    @model_validator(mode="after")
    def _real_time_in_production(self) -> HubSettings:
        if self.environment == "production" and self.clock is not None:
            raise ValueError("production lives in real time: remove [clock]")
        return self
