"""Files that the clearinghouse and the direct payer put out for us."""

from hub.scripting import Hold, PartnerFile, X12File, mapping

PARTNERS = {"CLEARWAY01": "clearway", "GRANITE01": "granite"}


@mapping(accepts=["TA1", "999", "997", "277CA", "277", "271", "835"], returns=PartnerFile)
def partner_file(file: X12File) -> PartnerFile | Hold:
    """Say whose file it is and what is in it; billing reads the rest from the stored bytes."""
    partner = PARTNERS.get(file.sender)
    if partner is None:
        return Hold(file, reason="The sender of this file is not one of our partners.")
    return PartnerFile(partner=partner, kinds=file.kinds)
