"""HL7 v2 over MLLP: a listener that answers what is stored, a sender that believes only answers.

Sources: HL7 v2 Transport Specification (MLLP, release 1); HL7 v2.5.1 chapter 2, sections 2.9 (acknowledgement) and
2.10 (batches, continuation), tables 0155, 0211 and 0357.
"""

from __future__ import annotations

from hub.connectors.mllp.destination import MllpDestination
from hub.connectors.mllp.settings import MllpDestinationSettings, MllpSourceSettings
from hub.connectors.mllp.source import MllpSource
from hub.connectors.reach import probe
from hub.engine.contracts import Connector

__all__ = ["CONNECTOR", "MllpDestination", "MllpDestinationSettings", "MllpSource", "MllpSourceSettings"]

CONNECTOR = Connector(
    name="mllp",
    summary="HL7 v2 over TCP in MLLP blocks, answered after the message is stored.",
    source_settings=MllpSourceSettings,
    open_source=MllpSource,
    destination_settings=MllpDestinationSettings,
    open_destination=MllpDestination,
    probe=probe,
)
