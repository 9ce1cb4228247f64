"""What can go wrong between X12 bytes and values."""

from __future__ import annotations

from hub.core.errors import HubError


class X12Error(HubError):
    """X12 data that cannot be used. *where* names the interchange and the segment, never their content."""

    code = "H300"


class NotAnInterchangeError(X12Error):
    """The bytes do not begin with a readable ISA segment, so the delimiters are unknown."""

    code = "H301"


class BrokenSegmentError(X12Error):
    """A segment runs on past any sensible length: its terminator is missing or wrong."""

    code = "H302"


class UnwritableError(X12Error):
    """A value cannot be written into an interchange as the guide wants it."""

    code = "H303"


class WrongTransactionError(X12Error):
    """A reader was given a transaction of another kind."""

    code = "H304"


class BadRecordError(X12Error):
    """A stored claim does not have the fields that a claim has."""

    code = "H305"


class WrongValueError(X12Error):
    """An element that must be an amount, a quantity or a date is not one."""

    code = "H306"
