"""Whether what a payer wants authorised beforehand is, and whether the authorisation covers what is billed under it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from hub.billing.edits.context import Authorised, Context, known
from hub.billing.edits.facts import rendering_npi
from hub.billing.edits.registry import Found, Proposal, edit
from hub.formats.x12.claim import Claim, ClaimLine


@edit("CL-14")
def _authorised(claim: Claim, context: Context) -> Iterator[Found]:
    for each in context.authorisations:
        yield from (_placed(found, claim) for found in _under(each, claim, context))
    codes = known(context.payer.requires_auth, "payer.requires_auth")
    for number, line in enumerate(claim.lines, 1):
        if line.code in codes and not _named(claim, line):
            yield Found(number, proposal=_on_file(claim, line, context))


def _named(claim: Claim, line: ClaimLine) -> str:
    """The number under which a line is billed: its own, or the claim's."""
    return line.prior_authorisation or claim.prior_authorisation


def _placed(found: Found, claim: Claim) -> Found:
    """*found* where the number stands that it is about: with the line, or with the claim."""
    own = found.line and claim.institutional is None and claim.lines[found.line - 1].prior_authorisation
    return replace(found, at="2400 REF02 (G1)") if own else found


def _under(known: Authorised, claim: Claim, context: Context) -> Iterator[Found]:
    """What is wrong with the lines that are billed under the authorisation."""
    lines = [(number, line) for number, line in enumerate(claim.lines, 1) if _named(claim, line) == known.number]
    own = next((number for number, line in lines if line.prior_authorisation), 0)
    if lines and not known.active:
        yield Found(own, sentence="The payer refused the prior authorisation that the claim names, or took it back.")
        return
    meant = [(number, line) for number, line in lines if _is_for(known, line)]
    if lines and not meant:
        yield Found(own, sentence="The prior authorisation covers none of the services that are billed under it.")
        return
    wanted = context.payer.requires_auth or ()
    for number, line in lines:
        if not _is_for(known, line) and (line.prior_authorisation or line.code in wanted):
            yield Found(number, sentence="The prior authorisation does not cover this service.")
    yield from (found for number, line in meant if (found := _outside(known, claim, number, line)))
    yield from _too_many(known, meant)


def _is_for(known: Authorised, line: ClaimLine) -> bool:
    return not known.services or "" in known.services or line.billed_code in known.services


def _outside(known: Authorised, claim: Claim, number: int, line: ClaimLine) -> Found | None:
    """What a line is outside of: the authorisation's days, or the providers whom it is for."""
    first, last = line.service_date, line.service_to or line.service_date
    if (known.effective and first < known.effective) or (known.expires and last > known.expires):
        return Found(number, sentence="The service was done outside the days of the prior authorisation.")
    if known.providers and not known.providers & _providers(claim, line):
        return Found(number, sentence="The prior authorisation is for another provider.")
    return None


def _providers(claim: Claim, line: ClaimLine) -> set[str]:
    """Everybody for whom an authorisation may have been given: who did it, who bills, where it was done."""
    stay, facility = claim.institutional, line.facility or claim.facility
    attending = stay.attending.npi if stay and stay.attending else ""
    return {rendering_npi(claim, line), claim.billing_provider.npi, facility.npi if facility else "", attending}


def _too_many(known: Authorised, lines: list[tuple[int, ClaimLine]]) -> Iterator[Found]:
    """The lines with which more units are billed than were authorised, earlier claims included."""
    taken = {code: _used(known, code) for code in known.services}
    for number, line in lines:
        code = line.billed_code if line.billed_code in known.services else ""
        most = known.services.get(code)
        taken[code] = taken.get(code, Decimal(0)) + line.units
        if most is not None and taken[code] > most:
            yield Found(number, sentence="More units are billed than the prior authorisation has left.")


def _used(known: Authorised, code: str) -> Decimal:
    """What other claims took of a service's units; of those for any service: all whose codes have none of their own."""
    own = {code} if code else set(known.used) - set(known.services)
    return sum((units for each, units in known.used.items() if each in own), Decimal(0))


def _on_file(claim: Claim, line: ClaimLine, context: Context) -> Proposal | None:
    """The number of an authorisation on file that covers the line, for a person to accept."""
    for each in context.authorisations:
        left = [(1, line)]
        fits = each.active and _is_for(each, line) and not _outside(each, claim, 1, line)
        if fits and not any(_too_many(each, left)):
            return Proposal("prior_authorisation", each.number)
    return None
