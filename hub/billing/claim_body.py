"""A claim's sealed body: what it says now, and how it came from what the charges said.

Repairs of form and accepted proposals are kept beside the original, so that each can be taken back or shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from hub.billing.edits.registry import Proposal
from hub.billing.rules.fields import field_of, write
from hub.billing.values import Origins
from hub.core.codec import from_plain, to_plain
from hub.formats.x12.claim import Claim


@dataclass(frozen=True, slots=True)
class Source:
    """Where a visit or charge stood when the claim was made of it: its message, and where in that each field was read.

    *diagnoses* are those that it named, in its order.
    """

    message_id: int | None
    origins: Origins = ()
    diagnoses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sources:
    """What a claim was made of: the visit, and the charge of each line."""

    visit: Source
    charges: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class ClaimBody:
    """*said* is what the claim said before any repair; *accepted* are the proposals that people accepted.

    *undone* names the repairs that people took back. *sources* are those of the day the claim was made, whatever became
    of the visit and its charges since; None for a claim that was made of another claim.
    """

    claim: Claim
    said: Claim
    accepted: tuple[Proposal, ...] = ()
    undone: tuple[str, ...] = ()
    sources: Sources | None = None

    @classmethod
    def new(cls, claim: Claim, sources: Sources | None = None) -> Self:
        """The body of a claim as it is made."""
        return cls(claim, claim, sources=sources)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        """The body that :meth:`plain` made, or that is the claim alone."""
        if "claim" not in plain:
            return cls.new(Claim.from_dict(plain))
        claim = Claim.from_dict(plain["claim"])
        return cls(
            claim=claim,
            said=Claim.from_dict(plain["said"]) if "said" in plain else claim,
            accepted=tuple(Proposal(*each) for each in plain.get("accepted", ())),
            undone=tuple(plain.get("undone", ())),
            sources=from_plain(Sources, plain["sources"]) if "sources" in plain else None,
        )

    def plain(self) -> dict[str, Any]:
        """The body as JSON values: the claim alone where nothing was done to it."""
        if self == ClaimBody.new(self.claim):
            return self.claim.to_dict()
        plain: dict[str, Any] = {"claim": self.claim.to_dict()}
        if self != ClaimBody.new(self.claim, self.sources):
            plain |= {
                "said": self.said.to_dict(),
                "accepted": [[each.field, each.value, each.line] for each in self.accepted],
                "undone": list(self.undone),
            }
        return plain | ({"sources": to_plain(self.sources)} if self.sources else {})

    def decided(self) -> Claim:
        """What the claim said, with what people accepted: what repairs and rules begin with."""
        claim = self.said
        for each in self.accepted:
            claim = write(claim, field_of(each.field), each.value, each.line)
        return claim

    def accept(self, proposal: Proposal) -> ClaimBody:
        """The body with one more proposal accepted."""
        return replace(self, accepted=(*self.accepted, proposal))

    def undo(self, rule: str) -> ClaimBody:
        """The body with the repairs of *rule* taken back."""
        return replace(self, undone=(*self.undone, rule))
