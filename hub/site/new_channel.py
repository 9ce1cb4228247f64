"""A new channel that works: what ``hub new channel`` writes, made from the connectors' declarations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from hub.connectors import connectors
from hub.core.errors import HubError
from hub.site import samples
from hub.site.channels import BILLING, DEFAULT_FORMAT, Format
from hub.site.declared import ends, toml_value
from hub.site.findings import did_you_mean
from hub.site.load import Site, load_site
from hub.site.mapping import FETCHERS

_HEADER = """# {title}.
schema = 1
name = "{name}"
title = "{title}"
owner = "{owner}"
"""
_MAPPINGS: dict[tuple[str, bool], str] = {
    ("hl7v2", True): '''"""{title}: FT1 lines as charges."""

from collections.abc import Iterator

from hub.scripting import Charge, Message, Skip, mapping

FIELDS = {{
    "transaction": "FT1-2",
    "service_date": "FT1-4.1 | date",
    "code": "FT1-25.1 | code",
    "modifiers": "FT1-26[*].1 | code",
    "units": "FT1-10 | number",
    "amount": "FT1-11.1 | money",
    "diagnoses": "FT1-19[*].1 | icd",
}}


@mapping(accepts="{kind}", returns=Charge)
def {name}(message: Message) -> Iterator[Charge | Skip]:
    """Yield one charge for each FT1 line."""
    for line in message.each("FT1"):
        if line["FT1-6"] != "CG":
            yield Skip(line, "not a charge")
            continue
        yield Charge(
            account=message.required("PID-18.1"),
            mrn=message.identifier("PID-3", type="MR") or "",
            **line.fields(FIELDS),
        )
''',
    ("hl7v2", False): '''"""{title}: what the receiver wants to know, as a JSON document."""

from hub.scripting import Message, Outgoing, mapping


@mapping(accepts="{kind}", returns=Outgoing)
def {name}(message: Message) -> Outgoing:
    """One document for each message."""
    return Outgoing(
        kind="visit",
        name=f"{{message.control_id}}.json",
        body={{
            "mrn": message.identifier("PID-3", type="MR"),
            "account": message["PID-18.1"],
            "charges": [
                {{"transaction": line["FT1-2"], "code": line["FT1-25.1"], "amount": line["FT1-11.1"]}}
                for line in message.each("FT1")
            ],
        }},
    )
''',
    ("x12", True): '''"""{title}: files of a partner, for billing."""

from hub.scripting import Hold, PartnerFile, X12File, mapping

PARTNERS = {{"SAMPLECH": "{partner}"}}  # ISA06 -> config/partners/NAME.toml


@mapping(accepts=["TA1", "999", "277CA", "277", "271", "835"], returns=PartnerFile)
def {name}(file: X12File) -> PartnerFile | Hold:
    """Say whose file it is and what is in it; billing reads the rest."""
    partner = PARTNERS.get(file.sender)
    if partner is None:
        return Hold(file, reason="The sender of this file is not one of our partners.")
    return PartnerFile(partner=partner, kinds=file.kinds)
''',
    ("x12", False): '''"""{title}: files handed on as they came."""

from hub.scripting import Outgoing, X12File, mapping


@mapping(accepts="{kind}", returns=Outgoing)
def {name}(file: X12File) -> Outgoing:
    """The same bytes, under a name that tells the files apart."""
    return Outgoing(kind="{kind}", name=f"{{file.control_number}}.x12", body=file.raw)
''',
    ("json", True): '''"""{title}: JSON documents as charges."""

from datetime import date
from decimal import Decimal

from hub.scripting import Charge, Event, mapping


@mapping(accepts="{kind}", returns=Charge)
def {name}(event: Event) -> Charge:
    """One charge for each document."""
    return Charge(
        transaction=event.required("id"),
        account=event.required("account"),
        mrn=event["mrn"],
        service_date=date.fromisoformat(event.required("date")),
        code=event.required("code"),
        amount=Decimal(event.required("amount")),
    )
''',
    ("json", False): '''"""{title}: what the receiver wants to know, as a JSON document."""

from hub.scripting import Event, Outgoing, mapping


@mapping(accepts="{kind}", returns=Outgoing)
def {name}(event: Event) -> Outgoing:
    """One document for each event."""
    return Outgoing(
        kind="visit",
        name=event.required("id"),
        body={{"account": event["account"], "code": event["code"]}},
    )
''',
}  # fmt: skip
_UNCHANGED = '''"""{title}: messages handed on as they came."""

from hub.scripting import Message, Outgoing, mapping


@mapping(accepts="{kind}", returns=Outgoing)
def {name}(message: Message) -> Outgoing:
    """The same bytes. `Builder` writes a message of your own."""
    return Outgoing(kind=message.type, name=message.control_id, body=message.raw)
'''
_HL7 = r"""MSH|^~\&|EHR|CLINIC|CLAIMHUB|HUB|20261109100000-0600||DFT^P03^DFT_P03|SAMPLE1|{usage}|2.5.1
EVN|P03|20261109100000-0600
PID|1||M1001^^^CLINIC^MR||INVENTED^INA^Q||19800214|F||||||||||AC2001^^^CLINIC^AN
FT1|1|CHG4001||20261109|20261109|CG|OV3^^CDM|||1|150.00^USD|150.00^USD|FM||||||E11.9^^I10C||||||99213^^C4|25
"""
_ISA = "ISA*00*          *00*          *ZZ*SAMPLECH       *ZZ*SAMPLEUS       *"
_X12 = f"""{_ISA}261110*0930*^*00501*000000301*0*{{usage}}*:~
GS*FA*SAMPLECH*SAMPLEUS*20261110*0930*1*X*005010X231A1~
ST*999*0001*005010X231A1~
AK1*HC*1*005010X222A1~
AK9*A*1*1*1~
SE*4*0001~
GE*1*1~
IEA*1*000000301~
"""
_VISIT = {"account": "AC2001", "mrn": "M1001", "date": "2026-11-09", "code": "99213", "amount": "150.00"}
_SAMPLES: dict[str, tuple[str, str, str]] = {
    "hl7v2": ("DFT^P03", "in.hl7", _HL7),
    "x12": ("999", "in.x12", _X12),
    "schedule": (
        "schedule",
        "in.json",
        '{"day": "2026-11-30", "event": "schedule", "id": "2026-11-30T06:00:00-06:00"}\n',
    ),
    "json": ("visit", "in.json", json.dumps({"event": "visit", "id": "V1", **_VISIT}, indent=1) + "\n"),
    "fhir": ("Encounter", "in.json", json.dumps({"resourceType": "Encounter", "id": "V1", **_VISIT}, indent=1) + "\n"),
}
"""The kind, the file and the text of the sample that a new channel of each format, or source, begins with."""


class NewChannelError(HubError):
    """A channel cannot be written as asked."""

    code = "H229"


@dataclass(frozen=True, slots=True)
class _Wanted:
    name: str
    title: str
    source: str
    destination: str
    format: Format


def new_channel(site: Site, name: str, source: str, destination: str) -> list[str]:
    """Write the channel *name* from *source* to *destination* into *site*: file, mapping, sample, expectation.

    Returns the names of the files. Raises :class:`NewChannelError`, and writes over nothing.
    """
    wanted = _Wanted(name, name.replace("_", " ").capitalize(), source, destination, DEFAULT_FORMAT.get(source, "json"))
    script = f"{_package(site)}/{name}.py"
    case = f"{samples.FOLDER}/{name}/first"
    kind, sample_name, sample = _SAMPLES.get(wanted.source, _SAMPLES[wanted.format])
    usage = "P" if site.settings is not None and site.settings.environment == "production" else "T"
    files = {
        f"channels/{name}.toml": _channel(site, wanted, kind, script),
        f"transforms/{script}": _mapping(site, wanted, kind),
        f"{case}/{sample_name}": sample.replace("{usage}", usage),
        f"{case}/note.md": f"The sample that `hub new channel {name}` wrote: replace it with one of the sender's.\n",
    }
    for file in files:
        if (site.folder / file).exists():
            raise NewChannelError("This file is there already.", where=file, fix="Choose another name.")
    for file, text in files.items():
        path = site.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    written = load_site(site.folder)
    expectations = [
        f"{case}/{new}" for each in samples.cases(site.folder, name) for new in samples.update(written, each)
    ]
    return sorted([*files, *expectations])


def _channel(site: Site, wanted: _Wanted, kind: str, script: str) -> str:
    source = _model(wanted.source, "source")
    destination = _model(wanted.destination, "destination")
    if wanted.destination in FETCHERS.values() or wanted.source == BILLING:
        raise NewChannelError(
            f"{wanted.source} to {wanted.destination} depends on what billing or the server gives.",
            fix="Copy the demo site's results_to_ehr or ehr_fhir.",
        )
    owner = next((channel.owner for channel in site.channels.values()), "you@clinic.example")
    lines = [_HEADER.format(name=wanted.name, title=wanted.title, owner=owner), "[source]", f'type = "{wanted.source}"']
    lines += _settings(source, site, wanted.name, kind)
    accepted = (
        ["TA1", "999", "277CA", "277", "271", "835"] if _is_for_billing(wanted) and wanted.format == "x12" else [kind]
    )
    lines += [f"accepts = {toml_value(accepted)}"]
    module = script.removesuffix(".py").replace("/", ".")
    lines += ["", "[[step]]", f'name = "{wanted.name}"', f"on = {toml_value(accepted)}"]
    lines += [f'run = "{module}:{wanted.name}"', ""]
    end = "billing" if _is_for_billing(wanted) else "receiver"
    lines += [f"[destination.{end}]", f'type = "{wanted.destination}"']
    if not _is_for_billing(wanted):
        lines += _settings(destination, site, wanted.name, kind)
        lines += ['order = "lane"                   # strict, lane, or any: what waits for what']
        lines += [
            'ambiguous = "ask"                # it may have arrived: retry sends again, ask leaves it to a person'
        ]
    return "\n".join(lines) + "\n"


def _is_for_billing(wanted: _Wanted) -> bool:
    return wanted.destination == BILLING


def _model(name: str, side: str) -> type[BaseModel]:
    able = {known_as: model for known_as, _, model in ends(connectors(), side)}
    if name not in able:
        fix = did_you_mean(name, able).capitalize()
        raise NewChannelError(f'No connector "{name}" can be a {side}.', expected=f"one of {', '.join(able)}", fix=fix)
    return able[name]


def _settings(model: type[BaseModel], site: Site, channel: str, kind: str) -> Iterator[str]:
    """The required settings of *model* with their examples, and those that one can hardly do without."""
    begin_with = getattr(model, "begin_with", ())
    for name, field in model.model_fields.items():
        if not (field.is_required() or name in begin_with):
            continue
        value: Any = field.examples[0] if field.examples else ""
        if name == "listen":
            value = f"tcp:127.0.0.1:{_free_port(site, int(str(value).rpartition(':')[2]))}"
        if name == "folder":
            value = f"var/{channel}"
        if name == "kind":
            value = kind
        if name == "into":
            value = next(iter(site.channels), value)
        yield f"{field.alias or name} = {toml_value(value)}"


def _free_port(site: Site, first: int) -> int:
    """The first port from *first* on at which no channel of *site* listens."""
    taken = {
        endpoint.port
        for channel in site.channels.values()
        for _, settings in channel.sources
        if (endpoint := getattr(settings, "listen", None)) is not None
    }
    return next(port for port in range(first, 65_536) if port not in taken)


def _mapping(site: Site, wanted: _Wanted, kind: str) -> str:
    if wanted.destination == "mllp" and wanted.format == "hl7v2":
        text = _UNCHANGED
    elif (wanted.format, _is_for_billing(wanted)) == ("fhir", True):
        raise NewChannelError(
            "What a FHIR server's resources mean for billing depends on the server.",
            fix="Copy the demo site's channel ehr_fhir and its mapping.",
        )
    elif wanted.destination == "mllp":
        raise NewChannelError(
            f"{wanted.format} to HL7 depends on the message that the receiver wants.",
            fix="Begin with --to files, then write it with Builder.",
        )
    else:
        text = _MAPPINGS["json" if wanted.format == "fhir" else wanted.format, _is_for_billing(wanted)]
    partner = next(iter(site.billing.partners), "clearinghouse") if site.billing else "clearinghouse"
    return text.format(name=wanted.name, title=wanted.title, kind=kind, partner=partner)


def _package(site: Site) -> str:
    """The folder beneath ``transforms/`` that the site's scripts stand in."""
    folders = sorted(path.name for path in (site.folder / "transforms").glob("*/") if not path.name.startswith("_"))
    return folders[0] if folders else "site"


def channel_name(text: str) -> str:
    """*text* as the name of a channel. Raises :class:`NewChannelError`."""
    if not text.isascii() or not text.isidentifier() or text != text.lower() or text.startswith("_"):
        raise NewChannelError(
            "That is no name for a channel.", expected="lower case letters, digits and _", found=text,
            fix=f'Try "{"".join(c if c.isalnum() else "_" for c in text.lower())}".',
        )  # fmt: skip
    return text
