"""Payers: how it goes with each, and the rules for its claims."""

from __future__ import annotations

from starlette.responses import Response

from hub.billing.edits.table import EDITS
from hub.formats.x12 import vocabulary
from hub.web.call import Call, NotFound
from hub.web.queries import payers


def listing(call: Call) -> Response:
    """Every payer that the site knows or that has claims."""
    with call.reading() as connection:
        counts = {each.payer_id: each for each in payers.counts(connection)}
    known = call.site.settings.payer_infos
    names = [*counts, *(payer_id for payer_id in known if payer_id not in counts)]
    return call.page("payers.html", title="Payers", names=names, counts=counts, known=known)


def show(call: Call) -> Response:
    """One payer: its claims, its denials by code, and its rules with how often each found something."""
    payer_id = str(call.request.path_params["payer"])
    info = call.site.settings.payer_infos.get(payer_id)
    with call.reading() as connection:
        states = payers.states(connection, payer_id)
        if info is None and not states:
            raise NotFound("There is no payer of that number.")
        denials = payers.denials(connection, payer_id)
        findings = payers.findings(connection, payer_id)
    rules = info.rules if info else ()
    others = {name: times for name, times in findings.most_common() if name not in {rule.name for rule in rules}}
    return call.page(
        "payer.html",
        title=info.name if info else payer_id,
        payer_id=payer_id,
        info=info,
        states=states,
        denials=denials,
        rules=rules,
        findings=findings,
        others=others,
        edits=EDITS,
        reason_of=vocabulary.adjustment_reason,
    )
