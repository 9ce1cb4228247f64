"""What can be wrong with reference data."""

from __future__ import annotations

from hub.core.errors import HubError


class BadFileError(HubError):
    """A file of reference data cannot be read, or cannot be loaded as it was asked."""

    code = "H540"
