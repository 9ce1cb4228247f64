"""A claim's sealed body: what it says now, and how it came from what the charges said.

Repairs of form and accepted proposals are kept beside the original, so that each can be taken back or shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from hub.billing.edits.registry import Proposal
from hub.billing.rules.fields import field_of, write
from hub.formats.x12.claim import Claim


@dataclass(frozen=True, slots=True)
class ClaimBody:
    """*said* is what the claim said before any repair; *accepted* are the proposals that people accepted.

    *undone* names the repairs that people took back.
    """

    claim: Claim
    said: Claim
    accepted: tuple[Proposal, ...] = ()
    undone: tuple[str, ...] = ()

    @classmethod
    def new(cls, claim: Claim) -> Self:
        """The body of a claim as it is made."""
        return cls(claim, claim)

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
        )

    def plain(self) -> dict[str, Any]:
        """The body as JSON values: the claim alone where nothing was done to it."""
        if self == ClaimBody.new(self.claim):
            return self.claim.to_dict()
        return {
            "claim": self.claim.to_dict(),
            "said": self.said.to_dict(),
            "accepted": [[each.field, each.value, each.line] for each in self.accepted],
            "undone": list(self.undone),
        }

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
