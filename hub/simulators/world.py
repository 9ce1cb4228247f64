"""The practice, its payers, fees and a seeded population of people who do not exist."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

PRACTICE_NAME = "ALDER STREET FAMILY CLINIC"
PRACTICE_NPI = "1999000015"
PRACTICE_TAX_ID = "371990001"
SUBMITTER = "ALDERST01"
CLEARINGHOUSE = "CLEARWAY01"
GRANITE = "GRANITE01"


@dataclass(frozen=True, slots=True)
class Provider:
    """A rendering provider; without an NPI, a local id stands in for it."""

    npi: str
    family: str
    given: str
    local_id: str = ""


@dataclass(frozen=True, slots=True)
class Payer:
    """A payer: how it is reached and how it pays (percent of the practice's fee, patient shares in cents)."""

    payer_id: str
    name: str
    filing: str
    receiver: str
    allowed_percent: int
    copay: int
    coinsurance_percent: int
    deductible: int
    card_series: str  # starts member ids and trace numbers; MBS is Medicare with a supplement behind it
    tax_id: str


@dataclass(frozen=True, slots=True)
class Procedure:
    """A line of the practice's fee schedule: numbers only."""

    code: str
    fee: int
    modifiers: tuple[str, ...] = ()
    department: str = ""
    revenue: str = ""  # a hospital's revenue code; its lines need no procedure


PROVIDERS = {
    "OKAFOR": Provider("1999000114", "OKAFOR", "MARIN"),
    "LINDQVIST": Provider("1999000221", "LINDQVIST", "TESS"),
    "DUARTE": Provider("1999000338", "DUARTE", "IVO"),
    "HALVORSEN": Provider("1999000445", "HALVORSEN", "PIA"),
}
# Whom a department's patients see.
SEEN_BY: dict[str, tuple[str, ...]] = {
    "TEL": ("OKAFOR", "LINDQVIST"),
    "UCC": ("DUARTE",),
    "PED": ("HALVORSEN",),
    "FM": ("OKAFOR", "LINDQVIST", "DUARTE"),
}
# Someone whose number has not come yet: charges with this performer belong in a queue.
NEWCOMER = Provider("", "NEWCOMER", "SAL", "L204")

PAYERS = {
    payer.payer_id: payer
    for payer in (
        Payer("90001", "CEDAR MUTUAL", "CI", CLEARINGHOUSE, 72, 2500, 10, 15000, "CM", "1990000001"),
        Payer("90002", "HARBOR STATE MEDICAID", "MC", CLEARINGHOUSE, 48, 0, 0, 0, "HS", "1990000002"),
        Payer("90003", "NORTHWIND HEALTH PLAN", "CI", CLEARINGHOUSE, 68, 3000, 20, 25000, "NW", "1990000003"),
        Payer("90004", "SUMMIT MEDICARE", "MB", CLEARINGHOUSE, 55, 0, 20, 10000, "MB", "1990000004"),
        Payer("90005", "GRANITE EMPLOYERS TRUST", "CI", GRANITE, 80, 2000, 10, 0, "GT", "1990000005"),
    )
}
# How many of a hundred or so households have each; none is the empty one.
PAYER_WEIGHTS = {"90001": 26, "90002": 18, "90003": 20, "90004": 16, "90005": 14, "": 6}
UNKNOWN_PAYER = ("99999", "UNLISTED HEALTH")

OFFICE_NEW = (Procedure("99202", 14500), Procedure("99203", 19000), Procedure("99204", 26500))
OFFICE = (
    Procedure("99212", 8500),
    Procedure("99213", 13500),
    Procedure("99214", 19500),
    Procedure("99215", 26000),
)
WELL_CHILD = (Procedure("99391", 13000), Procedure("99392", 14000), Procedure("99393", 14500))
WELL_ADULT = (Procedure("99395", 19000), Procedure("99396", 20500))
LABORATORY = (
    Procedure("36415", 1500, (), "LAB"),
    Procedure("81002", 1200, (), "LAB"),
    Procedure("83036", 4000, ("QW",), "LAB"),
    Procedure("80053", 4500, (), "LAB"),
    Procedure("80061", 5500, ("QW",), "LAB"),
    Procedure("85025", 3000, (), "LAB"),
    Procedure("87880", 3500, ("QW",), "LAB"),
    Procedure("87804", 4550, ("QW",), "LAB"),
)
ACTIONS = (
    Procedure("93000", 6000),
    Procedure("94010", 8000),
    Procedure("17110", 16000),
    Procedure("20610", 19000),
    Procedure("96372", 4525),
    Procedure("90471", 3500),
    Procedure("90686", 4000),
)
FEES = {
    item.code: item.fee for group in (OFFICE_NEW, OFFICE, WELL_CHILD, WELL_ADULT, LABORATORY, ACTIONS) for item in group
}
EVALUATION = {item.code for group in (OFFICE_NEW, OFFICE, WELL_CHILD, WELL_ADULT) for item in group}
NEEDS_25 = {"17110", "20610", "96372", "90471"}

DIAGNOSES = {
    "adult": ("E11.9", "I10", "J06.9", "J02.9", "R05.9", "N39.0", "F41.1", "M54.50", "M17.11", "B07.9"),
    "child": ("J06.9", "J02.9", "H66.90", "R50.9", "L20.9"),
    "well adult": ("Z00.00",),
    "well child": ("Z00.129",),
}

FAMILIES = (
    *("FAUXLEY", "MOCKRIDGE", "SAMPLESON", "PLACEHOLT", "IMAGINE", "DUMMOND", "FICTON", "PRETENDER", "SHAMBERG"),
    *("MAKEBELIEVE", "INVENTLY", "FABLEMAN", "NOWHERE", "STANDIN", "PHANTOME", "UNREALE", "NONESUCH"),
)
WOMEN = ("ADA", "BRISA", "CLEO", "DINA", "ELSA", "FREYA", "GRETA", "HEDDA", "INES", "JUNO", "KAIA", "MIRA")
MEN = ("ABEL", "BRAM", "CYRUS", "DREW", "EMIL", "FINN", "GUS", "HUGO", "ISAAC", "JONAS", "KNUD", "MILO")
STREETS = (
    "ELM AVE",
    "OAK LN",
    "MAPLE CT",
    "BIRCH RD",
    "WILLOW WAY",
    "ASPEN DR",
    "CHESTNUT ST",
    "ALDER STREET",
)


@dataclass(frozen=True, slots=True)
class Coverage:
    """One insurance of a person; the subscriber may be somebody else in the household."""

    payer_id: str
    payer_name: str
    member_id: str
    group: str
    relationship: str
    subscriber_family: str
    subscriber_given: str
    subscriber_birth: date
    subscriber_sex: str


@dataclass(frozen=True, slots=True)
class Person:
    """A patient of the practice."""

    number: int
    mrn: str
    family: str
    given: str
    middle: str
    birth: date
    sex: str
    street: str
    zip_code: str
    phone: str
    guarantor_family: str
    guarantor_given: str
    coverages: tuple[Coverage, ...] = field(default=())

    @property
    def payer_id(self) -> str:
        """The id of the primary payer; empty for a person who pays alone."""
        return self.coverages[0].payer_id if self.coverages else ""

    def age(self, on: date) -> int:
        """Return the age in whole years."""
        return on.year - self.birth.year - ((on.month, on.day) < (self.birth.month, self.birth.day))


class Population:
    """People in households, made one after another from a seed; ``letter`` begins their record numbers."""

    def __init__(self, seed: int, today: date, letter: str = "A") -> None:
        self._seed = seed
        self._letter = letter
        self._today = today
        self._count = 0

    def household(self) -> list[Person]:
        """Return the people of the next household: one to four, with one insurance between them."""
        rng = random.Random(f"{self._seed}:{self._letter}:household:{self._count}")
        family = rng.choice(FAMILIES)
        street = f"{rng.randint(10, 989)} {rng.choice(STREETS)}"
        zip_code = f"6270{rng.randint(1, 7)}"
        phone = f"^PRN^PH^^1^217^555{rng.randint(0, 9999):04d}"
        payer_id = rng.choices(list(PAYER_WEIGHTS), weights=list(PAYER_WEIGHTS.values()))[0]
        members = [("SEL", rng.randint(66, 90) if payer_id == "90004" else rng.randint(22, 64))]
        if payer_id != "90004":
            if rng.random() < 0.45:
                members.append(("SPO", max(20, members[0][1] + rng.randint(-5, 5))))
            children = rng.choice([0, 0, 1, 2]) if members[0][1] < 58 else 0
            members += [("CHD", rng.randint(1, 16)) for _ in range(children)]
        head: Person | None = None
        people: list[Person] = []
        for relationship, age in members:
            person = self._person(rng, family, age, (street, zip_code, phone))
            head = head or person
            person = replace(person, guarantor_family=head.family, guarantor_given=head.given)
            person = replace(person, coverages=_coverages(rng, payer_id, relationship, person, head))
            head = person if relationship == "SEL" else head
            people.append(person)
        return people

    def loner(self, payer_id: str, payer_name: str, member_id: str) -> Person:
        """Return one adult with exactly this insurance, for the mischief that needs it."""
        rng = random.Random(f"{self._seed}:loner:{self._count}")
        person = self._person(rng, rng.choice(FAMILIES), rng.randint(25, 60), ("7 ELM AVE", "62701", ""))
        coverage = Coverage(
            payer_id,
            payer_name,
            member_id,
            "GRPX",
            "SEL",
            person.family,
            person.given,
            person.birth,
            person.sex,
        )
        return replace(person, guarantor_family=person.family, guarantor_given=person.given, coverages=(coverage,))

    def _person(self, rng: random.Random, family: str, age: int, home: tuple[str, str, str]) -> Person:
        street, zip_code, phone = home
        self._count += 1
        sex = rng.choice("FM")
        birth = self._today - timedelta(days=age * 365 + rng.randint(30, 330) + age // 4)
        return Person(
            number=self._count,
            mrn=f"{self._letter}{self._seed % 100:02d}{self._count:06d}",
            family=family,
            given=rng.choice(WOMEN if sex == "F" else MEN),
            middle=rng.choice("ABCDEFGHJKLMNPRSTW"),
            birth=birth,
            sex=sex,
            street=street,
            zip_code=zip_code,
            phone=phone,
            guarantor_family="",
            guarantor_given="",
        )


def _coverages(
    rng: random.Random, payer_id: str, relationship: str, person: Person, head: Person
) -> tuple[Coverage, ...]:
    """Return a person's insurances, through the head of the household where there is one card for all."""
    if not payer_id:
        return ()
    secondary = payer_id == "90004" and rng.random() < 0.5
    if PAYERS[payer_id].filing == "MC":  # Medicaid gives each person a card
        relationship, holder = "SEL", person
    else:
        holder = head

    def coverage(payer_id: str, member_id: str, group: str) -> Coverage:
        return Coverage(
            payer_id,
            PAYERS[payer_id].name,
            member_id,
            group,
            relationship,
            holder.family,
            holder.given,
            holder.birth,
            holder.sex,
        )

    if holder.coverages:
        shared = holder.coverages[0]
        return (coverage(payer_id, shared.member_id, shared.group),)
    series = "MBS" if secondary else PAYERS[payer_id].card_series
    primary = coverage(payer_id, f"{series}{rng.randint(1_000_000, 99_999_999):08d}", f"GRP{rng.randint(100, 999)}")
    if not secondary:
        return (primary,)
    return (primary, coverage("90003", f"NW{rng.randint(1_000_000, 99_999_999):08d}", "SUPP1"))


def luhn_npi(npi: str) -> bool:
    """Say whether a number is an NPI by its check digit (ISO Luhn over 80840 and the number)."""
    if len(npi) != 10 or not npi.isdigit():
        return False
    total = 0
    for position, digit in enumerate(reversed("80840" + npi)):
        value = int(digit) * (2 if position % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
