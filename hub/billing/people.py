"""Who an NPI is: a provider of the practice, one from outside whom the site knows, or one whom the message named."""

from __future__ import annotations

from collections.abc import Sequence

from hub.billing.config import BillingConfig
from hub.billing.values import Charge, Visit
from hub.formats.x12.claim import Person, Provider
from hub.formats.x12.writer import clean


class People:
    """Everybody whom a claim of *visit* and its *charges* may name."""

    def __init__(self, config: BillingConfig, visit: Visit, charges: Sequence[Charge]) -> None:
        self._config = config
        named = (*visit.clinicians, *(each for charge in charges for each in charge.clinicians))
        self._named = {each.npi: each for each in reversed(named)}

    def named(self, npi: str) -> Provider | None:
        """The provider of that NPI; None for one whose name nobody knows, whom an 837 cannot carry."""
        known = self._config.known_provider(npi)
        if known:
            return Provider(Person(clean(known.family), clean(known.given)), known.npi, known.taxonomy)
        said = self._named.get(npi)
        if said is None or not npi:
            return None
        return Provider(Person(clean(said.family), clean(said.given), clean(said.middle)), npi)
