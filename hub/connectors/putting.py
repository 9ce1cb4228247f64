"""Putting files into a folder, wherever it is: what the sftp and files destinations share."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed

from hub.connectors.settings import Settings
from hub.connectors.working import Working
from hub.engine.contracts import DestinationContext, Failure, Outcome, Parcel

LONGEST_NAME = 200


class Putting(Working):
    """A destination that makes a file of each parcel. Only the last step makes it visible."""

    def __init__(
        self,
        name: str,
        address: str,
        settings: Settings,
        context: DestinationContext,
        steps: tuple[str, ...] = ("put",),
    ) -> None:
        super().__init__(
            name,
            address,
            settings,
            context,
            steps=steps,
            may_be="The file may be in its place.",
            is_not="The file is not in its place.",
        )

    def deliver(self, parcel: Parcel) -> Deferred[Outcome]:
        """Put *parcel* under its name."""
        if not _is_plain(parcel.name):
            reason = "The output has no name that a file can have."
            return succeed(Outcome(Failure.PERMANENT, reason))
        return super().deliver(parcel)


def _is_plain(name: str) -> bool:
    """Whether *name* names a file in a folder, and nothing outside it."""
    return 0 < len(name) <= LONGEST_NAME and name not in {".", ".."} and "/" not in name and "\0" not in name
