"""What insurers authorised beforehand, as FHIR R4 tells it: ClaimResponses to a preauthorisation."""

from collections.abc import Iterator

from hub.scripting import Authorisation, AuthorisedService, Event, Skip, mapping

from .fhir import CPT, NPI, patient

FIELDS = {"effective": "preAuthPeriod.start | date", "expires": "preAuthPeriod.end | date"}


@mapping(accepts="Bundle/*", returns=Authorisation)
def authorisations(event: Event) -> Iterator[Authorisation | Skip]:
    """Yield one authorisation for each answer that has a number; one that was cancelled is not in force."""
    for answer in event.resources("ClaimResponse"):
        if answer["use"] != "preauthorization" or not answer["preAuthRef"]:
            yield Skip(answer, "no answer with the number of an authorisation")
            continue
        items = answer.each("addItem")
        providers = {item.identifier(NPI, "provider.identifier") for item in items} - {""}
        yield Authorisation(
            number=answer["preAuthRef"],
            mrn=patient(event).mrn,
            authority="ALDER",
            payer_id=answer.identifier("urn:alder:payer", "insurer.identifier"),
            services=tuple(service(item) for item in items),
            provider_npis=tuple(sorted(providers)),
            active=answer["status"] == "active" and answer["outcome"] != "error",
            as_of=answer["meta.lastUpdated"] or answer["created"],
            **answer.fields(FIELDS),
        )


def service(item: Event) -> AuthorisedService:
    """One service that the payer added to its answer: the code, and how many units of it."""
    return AuthorisedService(
        code="".join(item.codes("productOrService", CPT)[:1]), **item.fields({"units": "quantity.value | number"})
    )
