"""``channels/NAME.toml``: the models, and what a channel is once its file is checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hub.connectors.settings import Settings
from hub.core.units import Duration
from hub.engine.contracts import Connector, Description
from hub.formats.hl7v2.path import PathError, parse_path
from hub.site.files import Key, TomlFile
from hub.site.findings import Finding, did_you_mean
from hub.site.models import check_model

Format = Literal["hl7v2", "x12", "fhir", "json"]
BILLING = "billing"
CHANNEL = "channel"
WITHIN = frozenset({BILLING, CHANNEL})
"""What messages come from without leaving the store; nothing is opened for it."""
DEFAULT_FORMAT: dict[str, Format] = {
    "mllp": "hl7v2",
    "fhir": "fhir",
    "http": "json",
    "sftp": "x12",
    "files": "x12",
    "email": "x12",
    BILLING: "json",
}
LANES = ("patient", "account", "strict", "any")
_SOURCE_KEYS = ("type", "accepts", "format", "lane", "duplicates", "ack")
_DESTINATION_KEYS = (
    "type",
    "order",
    "ambiguous",
    "takes",
    "max_attempts",
    "backoff",
    "backoff_max",
    "shadow",
    "answers_to",
)


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class SourceFile(_Table):
    """What every source says, whatever its connector."""

    type: str = Field(description="The connector.", examples=["mllp"])
    accepts: tuple[str, ...] = Field(
        default=(), description="Kinds that go on; others are filtered. Empty: every kind."
    )
    format: Format | None = Field(default=None, description="How bytes are read; each connector has its own.")
    lane: str = Field(
        default="patient",
        description="What order is kept by: patient, account, strict, any, or a path.",
        examples=["account", "PV1-19.1"],
    )
    duplicates: Literal["replay_ack", "process"] = Field(
        default="replay_ack", description="A repeat gets the earlier answer and no other effect, or is processed."
    )
    ack: Literal["committed", "processed"] = Field(
        default="committed", description="Answer when stored, or when the steps are done."
    )


class StepFile(_Table):
    """``[[step]]``."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", examples=["charges"])
    on: tuple[str, ...] = Field(min_length=1, description="Kinds, or patterns such as ADT^*.")
    run: str = Field(
        default="",
        pattern=r"^([a-z_][\w.]*:[A-Za-z_]\w*)?$",
        description="The mapping that makes outputs of the message.",
        examples=["acme.charges:charges"],
    )
    forward: tuple[str, ...] = Field(
        default=(),
        description="Instead of run: the destinations that get the message as it came.",
        examples=[["laboratory", "archive"]],
    )
    where: dict[str, str | tuple[str, ...]] = Field(
        default={},
        description="Only for messages that hold, at each of these paths, one of these texts; * stands for any "
        "characters.",
        examples=[{"MSH-4.1": ["NORTH", "SOUTH*"]}],
    )

    @model_validator(mode="after")
    def _does_one_thing(self) -> Self:
        if bool(self.run) == bool(self.forward):
            raise ValueError("a step has either run, a mapping, or forward, destinations")
        return self


class DestinationFile(_Table):
    """What every destination says, whatever its connector."""

    type: str
    order: Literal["strict", "patient", "account", "lane", "any"] = Field(
        description="Within what deliveries keep their order."
    )
    ambiguous: Literal["retry", "ask"] = Field(
        description="What to do when a delivery may have arrived: send again, or ask a person."
    )
    takes: tuple[str, ...] = Field(default=(), description="Kinds of output. Empty: all that its type can take.")
    max_attempts: int | None = Field(default=None, ge=1, description="Refuse after so many; without it, try for ever.")
    backoff: Duration = Field(default=5.0, description="Wait after the first failure; it doubles.")
    backoff_max: Duration = Field(default=300.0, description="The longest wait.")
    shadow: bool = Field(default=False, description="Build and keep, never send.")
    answers_to: str = Field(
        default="",
        description="The channel that each answer of the receiver becomes a message of, linked to the one it answers.",
        examples=["lab_answers"],
    )


class Alerts(_Table):
    """``[alerts]``."""

    quiet_after: Duration | None = Field(
        default=None,
        description="No message for so long, at hours at which some came a week before. Left out: by what is usual.",
        examples=["2h"],
    )
    queue_age: Duration = Field(default=1800.0, description="The oldest delivery waits for so long.", examples=["30m"])
    errors: int = Field(default=1, ge=1, le=1000, description="So many messages ended in an error within error_window.")
    error_window: Duration = Field(default=3600.0, gt=0, description="How far back errors count.", examples=["1h"])


class ChannelFile(_Table):
    """The parts of the file that depend on no connector."""

    schema_: Literal[1] = Field(alias="schema")
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", examples=["ehr_visits"])
    title: str
    owner: str = Field(description="Who answers for this channel.", examples=["integration@hub.example"])
    source: Any
    step: tuple[Any, ...] = ()
    destination: dict[str, Any] = {}
    alerts: Alerts = Alerts()


class BillingSource(Settings):
    """``type = "billing"``: what billing hands out."""

    takes: tuple[str, ...] = Field(
        min_length=1, description="Kinds that billing emits.", examples=[["837P"], ["payment", "claim status"]]
    )


class BillingDestination(Settings):
    """``type = "billing"``: visits, charges, appointments, documents, merges and partners' files go to billing."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: for which kinds it runs which function."""

    name: str
    on: tuple[str, ...]
    run: str
    forward: tuple[str, ...] = ()
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()
    place: str = ""
    """Where forward stands, as ``file:line``."""
    number: int = 0
    """Which of the file's steps it is, from 0."""

    def takes(self, kind: str) -> bool:
        """Whether the step runs for messages of *kind*."""
        return any(fnmatchcase(kind, pattern) for pattern in self.on)

    @property
    def module(self) -> str:
        """``acme.charges``."""
        return self.run.partition(":")[0]

    @property
    def function(self) -> str:
        """``charges``."""
        return self.run.partition(":")[2]


@dataclass(frozen=True, slots=True)
class DestinationPlan:
    """One destination of a channel, checked. *settings* are the connector's own."""

    name: str
    connector: str
    settings: Any
    order: str
    ambiguous: str
    takes: tuple[str, ...] = ()
    max_attempts: int | None = None
    backoff: float = 5.0
    backoff_max: float = 300.0
    shadow: bool = False
    answers_to: str = ""

    @property
    def into(self) -> str:
        """The channel that what comes of its deliveries goes into; empty for none."""
        return self.settings.into if self.connector == CHANNEL else self.answers_to


def _undescribed(raw: bytes) -> Description:
    raise NotImplementedError(f"no format for these {len(raw)} bytes")


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel, checked. *sources* are pairs of connector name and its settings.

    One that is not *sound* lacks the parts that are wrong; it is there to be checked further, never to run.
    """

    name: str
    title: str
    owner: str
    file: TomlFile
    sources: tuple[tuple[str, Any], ...]
    accepts: frozenset[str]
    format: Format
    lane: str
    duplicates: str
    ack: str
    steps: tuple[Step, ...]
    destinations: dict[str, DestinationPlan]
    alerts: Alerts
    sound: bool = True
    describe: Callable[[bytes], Description] = field(default=_undescribed)

    @property
    def encoding(self) -> str | None:
        """How to read HL7 messages that do not say it themselves, where a source's settings know."""
        return next((found for _, settings in self.sources if (found := getattr(settings, "encoding", ""))), None)

    @property
    def billing_kinds(self) -> frozenset[str]:
        """The kinds that this channel takes from billing."""
        return frozenset(
            kind for _, settings in self.sources if isinstance(settings, BillingSource) for kind in settings.takes
        )


def read_channel(file: TomlFile, known: Mapping[str, Connector]) -> tuple[Channel | None, list[Finding]]:
    """The channel that *file* declares, with *known* connectors by name, and what is wrong with it.

    One that is too wrong to run comes without its wrong parts and is not sound; None when nothing can be told of it.
    """
    stem = file.name.rpartition("/")[2].removesuffix(".toml")
    whole, findings = check_model(ChannelFile, file.data, file, ())
    whole = whole or _parts(file.data, stem)
    if whole is None:
        return None, findings
    if whole.name != stem:
        findings.append(file.finding(("name",), "H210", f'Channel "{whole.name}" stands in the file {stem}.toml.'))
    sources, found = _sources(whole, file, known)
    findings += found
    steps, found = _steps(whole, file)
    findings += found
    destinations = {}
    for name, data in whole.destination.items():
        plan, found = _destination(name, data, file, known)
        findings += found
        if plan:
            destinations[name] = plan
    plain = [common for common, _ in sources]
    first = plain[0] if plain else SourceFile(type="")
    channel_format = first.format or DEFAULT_FORMAT.get(first.type, "json")
    findings += _source_findings(plain, [settings for _, settings in sources], channel_format, file)
    findings += _step_names(steps, file)
    channel = Channel(
        name=whole.name,
        title=whole.title,
        owner=whole.owner,
        file=file,
        sources=tuple((common.type, settings) for common, settings in sources),
        accepts=frozenset(kind for common in plain for kind in common.accepts),
        format=channel_format,
        lane=first.lane,
        duplicates=first.duplicates,
        ack=first.ack,
        steps=tuple(steps),
        destinations=destinations,
        alerts=whole.alerts,
        sound=not any(finding.level == "error" for finding in findings),
    )
    return channel, findings


def _parts(data: Mapping[str, Any], name: str) -> ChannelFile | None:
    """The parts of a channel file that does not fit as a whole, to be checked all the same; None without any."""
    source, step, destination = data.get("source"), data.get("step", []), data.get("destination", {})
    if not (isinstance(source, dict | list) and isinstance(step, list) and isinstance(destination, dict)):
        return None
    return ChannelFile.model_construct(
        name=name, title="", owner="", source=source, step=tuple(step), destination=destination
    )


def _sources(
    whole: ChannelFile, file: TomlFile, known: Mapping[str, Connector]
) -> tuple[list[tuple[SourceFile, Any]], list[Finding]]:
    """The sources that are right, each with its connector's settings."""
    several = whole.source if isinstance(whole.source, list) else None
    sources: list[tuple[SourceFile, Any]] = []
    findings: list[Finding] = []
    for number, data in enumerate([whole.source] if several is None else several):
        key: Key = ("source",) if several is None else ("source", number)
        common, settings, found = _end(SourceFile, _SOURCE_KEYS, data, file, key, known, "source_settings")
        findings += found
        if isinstance(common, SourceFile) and settings is not None:
            sources.append((common, settings))
    return sources, findings


def _steps(whole: ChannelFile, file: TomlFile) -> tuple[list[Step], list[Finding]]:
    """The steps that are right, in their order."""
    steps: list[Step] = []
    findings: list[Finding] = []
    for number, data in enumerate(whole.step):
        step, found = check_model(StepFile, data, file, ("step", number))
        findings += found
        if step:
            where = tuple((path, (t,) if isinstance(t, str) else t) for path, t in step.where.items())
            place = f"{file.name}:{file.place(('step', number, 'forward'))[0]}"
            steps.append(Step(step.name, step.on, step.run, step.forward, where, place, number))
    return steps, findings


def _source_findings(
    plain: Sequence[SourceFile], settings: Sequence[Any], channel_format: Format, file: TomlFile
) -> list[Finding]:
    """What is wrong with the sources together, each being right by itself."""
    if not plain:
        return []
    findings = _lane_findings(plain[0].lane, channel_format, file) + _mark_findings(settings, file)
    if plain[0].ack == "processed" and any(source.type != "mllp" for source in plain):
        findings.append(
            file.finding(("source", "ack"), "H202", 'Only an MLLP source can answer "processed".', 'use "committed"')
        )
    return findings


def _step_names(steps: Sequence[Step], file: TomlFile) -> list[Finding]:
    """What two steps of one name do could not be told apart."""
    first: dict[str, int] = {}
    return [
        file.finding(
            ("step", step.number, "name"), "H234", f'Step "{step.name}" stands here twice.', "Give each its own name."
        )
        for step in steps
        if first.setdefault(step.name, step.number) != step.number
    ]


def _mark_findings(sources: Sequence[Any], file: TomlFile) -> list[Finding]:
    """Two sources that remembered their place under one name would skip each other's messages."""
    marks = Counter(getattr(settings, "mark", None) for settings in sources)
    return [
        file.finding(
            ("source", number, "name"),
            "H230",
            f'Another source of this channel remembers how far it came as "{settings.name}" too.',
            "Give each a name of its own.",
        )
        for number, settings in enumerate(sources)
        if getattr(settings, "mark", None) is not None and marks[settings.mark] > 1
    ]


def _destination(
    name: str, data: Any, file: TomlFile, known: Mapping[str, Connector]
) -> tuple[DestinationPlan | None, list[Finding]]:
    if isinstance(data, dict) and data.get("type") in WITHIN:
        # These complete a delivery in the transaction that takes its effect: nothing can be ambiguous there.
        data = {"order": "lane", "ambiguous": "retry", **data}
    key = ("destination", name)
    common, settings, findings = _end(
        DestinationFile, _DESTINATION_KEYS, data, file, key, known, "destination_settings"
    )
    if not isinstance(common, DestinationFile) or settings is None:
        return None, findings
    if common.type in WITHIN and common.answers_to:
        what = f'A "{common.type}" destination gets no answers that a channel could take.'
        findings.append(file.finding((*key, "answers_to"), "H201", what, "Remove answers_to."))
    plan = DestinationPlan(
        name=name,
        connector=common.type,
        settings=settings,
        order=common.order,
        ambiguous=common.ambiguous,
        takes=common.takes,
        max_attempts=common.max_attempts,
        backoff=common.backoff,
        backoff_max=common.backoff_max,
        shadow=common.shadow,
        answers_to=common.answers_to,
    )
    return plan, findings


def _end(
    model: type[BaseModel],
    own_keys: tuple[str, ...],
    data: Any,
    file: TomlFile,
    key: Key,
    known: Mapping[str, Connector],
    side: Literal["source_settings", "destination_settings"],
) -> tuple[BaseModel | None, Any, list[Finding]]:
    """One end of a channel: what every end says, the connector's own settings, and the findings about both."""
    if not isinstance(data, dict):
        return None, None, [file.finding(key, "H202", "This is not a table.", f"Write [{key[0]}].")]
    common, findings = check_model(model, {k: v for k, v in data.items() if k in own_keys}, file, key)
    name = data.get("type")
    settings_model = _settings_model(name, known, side)
    if settings_model is None:
        if isinstance(name, str):
            able = sorted(n for n in (*known, BILLING) if _settings_model(n, known, side))
            what = side.partition("_")[0]
            fix = did_you_mean(name, able) or f"known: {', '.join(able)}"
            findings.append(file.finding((*key, "type"), "H206", f'No connector "{name}" can be a {what}.', fix))
        return None, None, findings
    rest = {k: v for k, v in data.items() if k not in own_keys or k in settings_model.model_fields}
    rest.pop("type", None)
    settings, found = check_model(settings_model, rest, file, key, also=own_keys)
    return common, settings, findings + found


def _settings_model(name: Any, known: Mapping[str, Connector], side: str) -> type[BaseModel] | None:
    if name == BILLING:
        return BillingSource if side == "source_settings" else BillingDestination
    connector = known.get(name) if isinstance(name, str) else None
    return getattr(connector, side) if connector else None


def _lane_findings(lane: str, channel_format: Format, file: TomlFile) -> list[Finding]:
    if lane in LANES:
        return []
    key = ("source", "lane")
    if channel_format != "hl7v2":
        return [file.finding(key, "H202", f'"{lane}" is not a lane.', f"known: {', '.join(LANES)}")]
    try:
        parse_path(lane)
    except PathError as error:
        fix = did_you_mean(lane, LANES) or error.fix or f"known: {', '.join(LANES)}, or a path such as PV1-19.1"
        return [file.finding(key, "H202", f'"{lane}" is neither a lane nor a path.', fix)]
    return []
