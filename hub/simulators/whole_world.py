"""The larger world of a year: twelve payers, eight providers, and denials of forty kinds.

:func:`enlarge` is called by a simulator's process before anything else, so that all of them know the same world.
"""

from __future__ import annotations

from hub.simulators.world import CLEARINGHOUSE, PAYER_WEIGHTS, PAYERS, PROVIDERS, SEEN_BY, Payer, Provider

MORE_PAYERS = (
    Payer("90006", "BRIARWOOD HEALTH", "CI", CLEARINGHOUSE, 74, 2000, 15, 20000, "BW", "1990000006"),
    Payer("90007", "COPPERFIELD PLAN", "CI", CLEARINGHOUSE, 66, 3500, 20, 30000, "CP", "1990000007"),
    Payer("90008", "DELLWOOD COMMUNITY", "MC", CLEARINGHOUSE, 45, 0, 0, 0, "DW", "1990000008"),
    Payer("90009", "EASTGATE MUTUAL", "CI", CLEARINGHOUSE, 70, 2500, 10, 0, "EG", "1990000009"),
    Payer("90010", "FERNHILL UNION TRUST", "CI", CLEARINGHOUSE, 82, 1500, 0, 0, "FU", "1990000010"),
    Payer("90011", "GLENROCK BENEFIT", "CI", CLEARINGHOUSE, 61, 4000, 25, 50000, "GB", "1990000011"),
    Payer("90012", "HEATHER VALLEY CARE", "MC", CLEARINGHOUSE, 50, 0, 0, 0, "HV", "1990000012"),
)
MORE_PROVIDERS = {
    "BRANDT": Provider("1999000551", "BRANDT", "OLE"),
    "CASTELLAN": Provider("1999000668", "CASTELLAN", "RUE"),
    "EDEVANE": Provider("1999000775", "EDEVANE", "SKY"),
    "FALKENRATH": Provider("1999000882", "FALKENRATH", "UDO"),
}
# Group, reason, remark.
FORTY_DENIALS = (
    ("CO", "4", ""),
    ("CO", "5", "M77"),
    ("CO", "6", ""),
    ("CO", "8", "N95"),
    ("CO", "11", ""),
    ("CO", "15", "M62"),
    ("CO", "16", "N290"),
    ("CO", "16", "MA130"),
    ("CO", "16", "M47"),
    ("CO", "16", "M51"),
    ("CO", "18", ""),
    ("CO", "22", ""),
    ("PR", "27", ""),
    ("CO", "29", ""),
    ("CO", "31", ""),
    ("CO", "39", ""),
    ("CO", "49", ""),
    ("CO", "50", "N115"),
    ("CO", "97", "M15"),
    ("PR", "96", "N130"),
    ("CO", "96", "N425"),
    ("OA", "109", ""),
    ("CO", "119", ""),
    ("OA", "133", ""),
    ("CO", "140", ""),
    ("CO", "146", ""),
    ("CO", "150", ""),
    ("CO", "167", "N386"),
    ("CO", "170", "N95"),
    ("CO", "181", ""),
    ("CO", "197", ""),
    ("CO", "198", ""),
    ("PR", "204", ""),
    ("CO", "206", "N257"),
    ("CO", "226", "N706"),
    ("CO", "236", "M15"),
    ("CO", "252", "N29"),
    ("CO", "256", ""),
    ("CO", "B7", "N570"),
    ("CO", "278", ""),
)
DENIED_PERCENT = 14


def enlarge() -> None:
    """Add the payers and providers of the year to the world, for this process."""
    for payer in MORE_PAYERS:
        PAYERS.setdefault(payer.payer_id, payer)
        PAYER_WEIGHTS.setdefault(payer.payer_id, 12)
    PROVIDERS.update(MORE_PROVIDERS)
    SEEN_BY["FM"] = ("OKAFOR", "LINDQVIST", "DUARTE", "BRANDT", "CASTELLAN")
    SEEN_BY["UCC"] = ("DUARTE", "EDEVANE")
    SEEN_BY["PED"] = ("HALVORSEN", "FALKENRATH")
