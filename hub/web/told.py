"""What pages and alerts are told of a site: its settings, channels and payers, read from its files."""

from __future__ import annotations

from datetime import date
from functools import partial

from hub.billing.config import BillingConfig
from hub.billing.rules.layers import rule_book
from hub.billing.rules.model import Rule
from hub.core.secret import sealed_secrets, site_secrets
from hub.site.bundle import read_bundle
from hub.site.client_keys import key_set
from hub.site.load import Site
from hub.site.places import certificate_files, control_socket
from hub.web.settings import ChannelInfo, DestinationInfo, PayerInfo, RuleInfo, WebSettings


def web_settings(site: Site) -> WebSettings:
    """What pages say of a sound *site*."""
    assert site.settings is not None
    assert site.billing is not None
    return WebSettings(
        title=site.settings.title,
        organisation=site.organisation,
        environment=site.settings.environment,
        zone=str(site.zone),
        control_socket=control_socket(site),
        clock=site.clock,
        bundle=site.bundle,
        channels=tuple(
            ChannelInfo(
                name=channel.name,
                title=channel.title,
                owner=channel.owner,
                source=", ".join(dict.fromkeys(kind for kind, _ in channel.sources)),
                quiet_after=channel.alerts.quiet_after,
                queue_age=channel.alerts.queue_age,
                errors=channel.alerts.errors,
                error_window=channel.alerts.error_window,
                destinations=tuple(
                    DestinationInfo(plan.name, plan.connector, order=plan.order, ambiguous=plan.ambiguous)
                    for plan in channel.destinations.values()
                ),
            )
            for channel in site.channels.values()
        ),
        payers={payer.payer_id: payer.name for payer in site.billing.payers.values()},
        payer_infos={payer_id: _payer(site.billing, payer_id) for payer_id in site.billing.payers},
        secure=site.settings.web.behind_tls_proxy or site.settings.web.speaks_tls,
        folder=site.home,
        files=read_bundle(site.folder).files,
        mapping_seconds=site.settings.workers.message_time,
        certificates=certificate_files(site),
        key_set=lambda: key_set(site.channels.values(), site_secrets(site.var)),
        secret_ends=partial(secret_ends, site),
    )


def secret_ends(site: Site) -> dict[str, date]:
    """When passwords and keys end, by name: as the settings say, and as they were set."""
    sealed = {entry.name: entry.ends for entry in sealed_secrets(site.var).entries() if entry.ends}
    return (site.settings.alerts.expires if site.settings else {}) | sealed


def _payer(billing: BillingConfig, payer_id: str) -> PayerInfo:
    payer = billing.payers[payer_id]
    return PayerInfo(
        name=payer.name,
        partner=payer.partner,
        source=payer.source,
        filing_days=payer.timely_filing_days,
        decides_within=payer.decides_within,
        accepts_replacement=payer.accepts_replacement,
        appeal_days=payer.appeal_days,
        interim=payer.interim,
        late_charges=payer.late_charges,
        rules=tuple(
            RuleInfo(
                name=each.name,
                layer=each.layer,
                verb=each.rule.verbs[0] if each.rule.verbs else f"replaces {each.rule.replaces}",
                severity=each.rule.severity,
                say=each.rule.say,
                source=each.rule.source,
                in_force=_in_force(each.rule),
            )
            for each in rule_book(billing, payer_id).rules
        ),
    )


def _in_force(rule: Rule) -> str:
    words = [f"from {rule.effective}"] * (rule.effective is not None) + [f"to {rule.ends}"] * (rule.ends is not None)
    return " ".join(words) or "always"
