"""Everything that can be known of a site without running it: wiring, scripts, paths, secrets, samples.

All findings at once, in the order in which they are best mended: files, wiring, scripts, paths, secrets, samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import is_dataclass
from fnmatch import fnmatchcase
from typing import Any

from pydantic import BaseModel

from hub.connectors.join import JoinSettings
from hub.core.errors import HubError
from hub.core.secret import SecretMissingError, SecretName, Secrets, site_secrets
from hub.formats.hl7v2.check import check_path
from hub.scripting import Declaration, Outgoing
from hub.site.channels import BILLING, CHANNEL, Channel, DestinationPlan, Step
from hub.site.files import Key
from hub.site.findings import Finding, Level, did_you_mean
from hub.site.load import Site
from hub.site.mapping import FETCHERS
from hub.site.ports import double_ports
from hub.site.rules import rule_files, rule_findings
from hub.site.sampled import sampled_paths
from hub.site.samples import cases
from hub.site.script_slips import slips
from hub.site.scripts import ScriptError, field_paths, impurities, mappings_of
from hub.site.site_segments import check_site_path, read_segments


def check_site(site: Site) -> list[Finding]:
    """Every finding about *site*, those of :func:`hub.site.load.load_site` first. Its scripts are loaded."""
    findings = list(site.findings)
    for channel in (*site.channels.values(), *site.unsound):
        findings += _wiring(site, channel)
    findings += _billing_kinds(site)
    findings += _handed_on(site)
    findings += double_ports(site)
    findings += _forms(site)
    findings += _scripts(site)
    if site.billing is not None:
        findings += rule_findings(site.billing, site.scripts, rule_files(site.folder))
    findings += _secrets(site)
    findings += _samples(site)
    findings += sampled_paths(site)
    return findings


def _wiring(site: Site, channel: Channel) -> Iterator[Finding]:
    file = channel.file
    fed = channel.accepts or channel.billing_kinds
    if channel.sound and not channel.steps and channel.name not in _joined(site):
        yield file.finding(("source",), "H207", "This channel has no step: every message would be filtered.")
    for kind in sorted(fed):
        if channel.sound and channel.steps and not any(step.takes(kind) for step in channel.steps):
            sentence = f"{kind} is accepted and no step takes it: it would be filtered."
            yield file.finding(("source", "accepts"), "H211", sentence, warning=True)
    declarations: list[Declaration] = []
    for step in channel.steps:
        yield from _where(channel, step)
        for pattern in step.on:
            if fed and not any(fnmatchcase(kind, pattern) for kind in fed):
                sentence = f'Step "{step.name}": the channel accepts no {pattern}.'
                fix = did_you_mean(pattern, fed) or "Add it to accepts."
                yield file.finding(("step", step.number, "on"), "H207", sentence, fix)
        declaration, found = _declaration(site, channel, step)
        yield from found
        if declaration:
            declarations.append(declaration)
    if channel.sound and len(declarations) == len(channel.steps):
        yield from _ends_meet(channel, declarations)


def _declaration(site: Site, channel: Channel, step: Step) -> tuple[Declaration | None, list[Finding]]:
    """What the step's function declares, or why it cannot be used."""
    if step.forward:
        return Declaration(step.on, (Outgoing,)), list(_forwards(channel, step))
    key = ("step", step.number, "run")
    try:
        _, declaration = site.scripts.function(step.module, step.function)
    except ScriptError as error:
        fix = error.fix
        if error.code == "H204":
            fix = did_you_mean(step.function, mappings_of(site.scripts.module(step.module))) or error.expected
        elif not site.scripts.path(step.module).is_file():
            fix = did_you_mean(step.module, site.scripts.names())
        sentence = f'Step "{step.name}": {error.what} ({error.where})'
        return None, [channel.file.finding(key, error.code, sentence, fix)]
    refused = [
        pattern
        for pattern in step.on
        if not any(fnmatchcase(pattern, accepted) or fnmatchcase(accepted, pattern) for accepted in declaration.accepts)
    ]
    if refused:
        sentence = f'Step "{step.name}": {step.run} does not accept {", ".join(refused)}.'
        fix = f"It accepts {', '.join(declaration.accepts)}."
        return declaration, [channel.file.finding(("step", step.number, "on"), "H207", sentence, fix)]
    return declaration, []


def _where(channel: Channel, step: Step) -> Iterator[Finding]:
    """Whether the paths that a step chooses messages by can be read."""
    for path, _ in step.where:
        key = ("step", step.number, "where", path)
        if channel.format == "x12":
            yield channel.file.finding(key, "H202", "where reads HL7 and JSON, and this channel has X12.")
        elif channel.format == "hl7v2" and not path.startswith("Z") and (found := check_path(path)) is not None:
            mild = found.severity != "error"
            yield channel.file.finding(key, "H405", f"{path}: {found.what}", found.suggestion, warning=mild)


def _forwards(channel: Channel, step: Step) -> Iterator[Finding]:
    """Whether the destinations that a step forwards to are there and take messages as they are."""
    able = [plan.name for plan in channel.destinations.values() if _can_take(plan, Outgoing)]
    for name in step.forward:
        if channel.sound and name not in able:
            sentence = f'Step "{step.name}" forwards to {name}, which takes no messages here.'
            fix = did_you_mean(name, able) or f"known: {', '.join(able)}"
            yield channel.file.finding(("step", step.number, "forward"), "H209", sentence, fix)


def _joined(site: Site) -> dict[str, Channel]:
    """The channels whose messages another one joins, each with that one: they need no step of their own."""
    return {
        settings.channel: channel
        for channel in site.channels.values()
        for _, settings in channel.sources
        if isinstance(settings, JoinSettings)
    }


def _handed_on(site: Site) -> Iterator[Finding]:
    """Whether the channels that others hand messages to are there, and no message would go round for ever."""
    onward: dict[str, set[str]] = {}
    for name, joining in _joined(site).items():
        onward.setdefault(name, set()).add(joining.name)
        if name not in site.channels:
            fix = did_you_mean(name, site.channels) or f"known: {', '.join(site.channels)}"
            yield joining.file.finding(("source", "channel"), "H231", f'There is no channel "{name}".', fix)
        elif name == joining.name:
            sentence = "A channel that joins its own messages would never end."
            yield joining.file.finding(("source", "channel"), "H231", sentence, "Join those of another one.")
    for channel in site.channels.values():
        for plan in channel.destinations.values():
            if not plan.into:
                continue
            key = ("destination", plan.name, "into" if plan.connector == CHANNEL else "answers_to")
            if plan.into not in site.channels:
                fix = did_you_mean(plan.into, site.channels) or f"known: {', '.join(site.channels)}"
                yield channel.file.finding(key, "H231", f'There is no channel "{plan.into}".', fix)
            else:
                onward.setdefault(channel.name, set()).add(plan.into)
                if _leads_to(onward, plan.into, channel.name):
                    sentence = (
                        f"What goes into {plan.into} comes back to {channel.name}: messages could go round for ever."
                    )
                    yield channel.file.finding(key, "H231", sentence, "Break the circle.")


def _leads_to(onward: dict[str, set[str]], start: str, end: str) -> bool:
    """Whether one comes from the channel *start* to *end*."""
    seen, ahead = set[str](), [start]
    while ahead:
        name = ahead.pop()
        if name == end:
            return True
        if name not in seen:
            seen.add(name)
            ahead += onward.get(name, ())
    return False


def _ends_meet(channel: Channel, declarations: list[Declaration]) -> Iterator[Finding]:
    """Whether each destination gets something, and everything that steps return has a destination."""
    returned = {kind for declaration in declarations for kind in declaration.returns}
    plans = channel.destinations.values()
    for plan in plans:
        if not any(_can_take(plan, kind) for kind in returned):
            sentence = f'Nothing reaches the destination "{plan.name}".'
            fix = "Remove it, or have a step return what it takes."
            yield channel.file.finding(("destination", plan.name), "H208", sentence, fix)
    for step, declaration in zip(channel.steps, declarations, strict=True):
        for kind in declaration.returns:
            if not any(_can_take(plan, kind) for plan in plans):
                sentence = f'Step "{step.name}" returns {kind.__name__}, which no destination takes.'
                yield channel.file.finding(("step", step.number), "H209", sentence)


def _can_take(plan: DestinationPlan, kind: type) -> bool:
    if kind in FETCHERS:
        return plan.connector == FETCHERS[kind]
    if kind is Outgoing:
        return plan.connector not in {BILLING, *FETCHERS.values()}
    return plan.connector == BILLING and (not plan.takes or kind.__name__ in plan.takes)


def _billing_kinds(site: Site) -> Iterator[Finding]:
    """Two channels that take the same kind from billing would both send it."""
    takers: dict[str, str] = {}
    for channel in site.channels.values():
        for kind in sorted(channel.billing_kinds):
            if kind in takers:
                sentence = f'"{kind}" is also taken by {takers[kind]}: it would be sent twice.'
                yield channel.file.finding(("source", "takes"), "H214", sentence, warning=True)
            takers.setdefault(kind, channel.name)


def _forms(site: Site) -> Iterator[Finding]:
    """A department's claims need a channel that takes their form."""
    if site.billing is None:
        return
    taken = {kind for channel in site.channels.values() for kind in channel.billing_kinds}
    if not taken & {"837P", "837I"}:  # it sends no claims at all, yet
        return
    for department in site.billing.practice.departments:
        forms = ("837P", "837I") if department.bills == "both" else (department.bills,)
        for form in forms:
            if form not in taken:
                sentence = f"Department {department.code} bills by {form}, and no channel takes it from billing."
                fix = f'Add "{form}" to the takes of the channel that sends claims.'
                yield Finding("config/practice.toml", 0, 0, "H239", "warning", sentence, fix)


def _scripts(site: Site) -> Iterator[Finding]:
    level: Level
    declared, found_in_file = read_segments(site.folder)
    yield from found_in_file
    for name in site.scripts.names():
        path = site.scripts.path(name)
        shown = site.scripts.shown(path)
        source = path.read_text(encoding="utf-8", errors="replace")
        try:
            wrong = list(impurities(source))
            paths = list(field_paths(source))
            if not wrong:
                wrong = list(slips(source, site.scripts.module(name)))
        except SyntaxError as error:
            place = (error.lineno or 0, error.offset or 0)
            yield Finding(shown, *place, "H401", "error", f"This is not Python: {error.msg}.")
            continue
        except ScriptError as error:
            failed, _, number = error.where.rpartition(":")
            file, at = (failed, int(number)) if number.isdigit() else (shown, 0)
            yield Finding(file, at, 0, "H401", "error", error.what, error.fix or error.expected)
            continue
        for found in wrong:
            yield Finding(shown, found.line, found.column, found.code, "error", found.sentence, found.fix)
        for text, line, column in paths:
            if text.startswith("Z"):
                if own := check_site_path(text, declared):
                    sentence, fix, mild = own
                    level = "warning" if mild else "error"
                    yield Finding(shown, line, column, "H405", level, f"{text}: {sentence}", fix)
                continue
            finding = check_path(text)
            if finding is not None:
                level = "error" if finding.severity == "error" else "warning"
                yield Finding(shown, line, column, "H405", level, f"{text}: {finding.what}", finding.suggestion)


def _secrets(site: Site) -> Iterator[Finding]:
    secrets = site_secrets(site.var)
    for channel in site.channels.values():
        several = isinstance(channel.file.data["source"], list)
        ends: list[tuple[Key, Any]] = [
            (("source", number) if several else ("source",), settings)
            for number, (_, settings) in enumerate(channel.sources)
        ]
        ends += [(("destination", plan.name), plan.settings) for plan in channel.destinations.values()]
        for key, settings in ends:
            for name, secret in secret_names(settings):
                if wrong := _secret_problem(secrets, secret):
                    yield channel.file.finding((*key, name), *wrong, warning=True)
    for partner in site.billing.partners.values() if site.billing else ():
        for name, secret in secret_names(partner):
            if wrong := _secret_problem(secrets, secret):
                code, sentence, fix = wrong
                file = f"config/partners/{partner.name}.toml"
                yield Finding(file, 0, 0, code, "warning", f"{name}: {sentence}", fix)
    for _, secret in secret_names(site.settings.alerts) if site.settings else ():
        if wrong := _secret_problem(secrets, secret):
            code, sentence, fix = wrong
            yield Finding("config/hub.toml", 0, 0, code, "warning", sentence, fix)


def _secret_problem(secrets: Secrets, secret: SecretName) -> tuple[str, str, str] | None:
    """Code, sentence and fix when *secret* cannot be had."""
    try:
        secrets.value(secret)
    except SecretMissingError as error:
        looked = ", ".join(secrets.places(secret))
        return error.code, f"{error.what.removesuffix('.')} (looked in: {looked}).", error.fix
    except HubError as error:
        return error.code, error.what, error.fix
    return None


def secret_names(settings: Any) -> Iterator[tuple[str, SecretName]]:
    """The secrets that *settings* (a connector's model) name, each with the setting that names it."""
    names = list(type(settings).model_fields) if isinstance(settings, BaseModel) else []
    if is_dataclass(settings) and not isinstance(settings, type):
        names = list(settings.__dataclass_fields__)
    for name in names:
        value = getattr(settings, name)
        held = value.values() if isinstance(value, dict) else value
        for item in held if isinstance(value, tuple | list | dict) else (value,):
            if isinstance(item, SecretName):
                yield name, item
            elif isinstance(item, BaseModel):
                yield from ((name, secret) for _, secret in secret_names(item))


def _samples(site: Site) -> Iterator[Finding]:
    for channel in site.channels.values():
        try:
            found = cases(site.folder, channel.name)
        except HubError as error:
            yield Finding(error.where, 0, 0, error.code, "error", error.what, error.fix)
            continue
        if not found:
            folder = f"tests/channels/{channel.name}"
            sentence = f"{folder} has no sample: nothing shows that this channel does what is meant."
            fix = "Put a message into a folder there as in.hl7 (or .json, .x12) and run hub test --update."
            yield channel.file.finding(("name",), "H440", sentence, fix, warning=True)
