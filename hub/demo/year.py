"""What the site of a year's play has more than the repository's own: seven payers and four providers."""

from __future__ import annotations

from pathlib import Path

PAYERS = (
    ("90006", "Briarwood Health", "CI"),
    ("90007", "Copperfield Plan", "CI"),
    ("90008", "Dellwood Community", "MC"),
    ("90009", "Eastgate Mutual", "CI"),
    ("90010", "Fernhill Union Trust", "CI"),
    ("90011", "Glenrock Benefit", "CI"),
    ("90012", "Heather Valley Care", "MC"),
)
PROVIDERS = (
    ("1999000551", "BRANDT", "OLE"),
    ("1999000668", "CASTELLAN", "RUE"),
    ("1999000775", "EDEVANE", "SKY"),
    ("1999000882", "FALKENRATH", "UDO"),
)
BUSIEST = 20  # visits a day
FEWEST = 2
AT_ONCE = 730  # visits that are played within minutes, however many days they are spread over


def visits_of(days: int) -> int:
    """How many visits so many days have: a month is busy, a year has two a day."""
    return days * max(FEWEST, min(BUSIEST, AT_ONCE // days))


def enlarge(site: Path) -> None:
    """Write the files of the additional payers, and the providers into the practice's."""
    for payer_id, name, filing in PAYERS:
        lines = (
            "schema = 1",
            f'payer_id = "{payer_id}"',
            f'name = "{name}"',
            'partner = "clearway"',
            f'claim_filing = "{filing}"',
            "timely_filing_days = 180",
            "appeal_days = [90, 60]",
        )
        (site / "config" / "payers" / f"{payer_id}.toml").write_text("\n".join(lines) + "\n")
    practice = site / "config" / "practice.toml"
    providers = (
        f'\n[[provider]]\nnpi = "{npi}"\ntaxonomy = "207Q00000X"\nfamily = "{family}"\ngiven = "{given}"\n'
        for npi, family, given in PROVIDERS
    )
    practice.write_text(practice.read_text() + "".join(providers))
