"""271: what a payer says about a person's coverage (005010X279A1).

Reading is tolerant: benefits of unknown kinds are kept, a date that is none is missing. What an answer means for a day
is for whoever asks; a plan's days are taken from ranges and from dates that are called its begin or end, because a
single plan date (DTP*291*D8) is the first day for some payers and the day that was asked about for others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from hub.formats.x12.claim import Organisation, Party
from hub.formats.x12.envelope import Transaction
from hub.formats.x12.errors import WrongTransactionError
from hub.formats.x12.parts import element, first, party, split
from hub.formats.x12.segments import Segment
from hub.formats.x12.values import day, period

_ACTIVE, _INACTIVE = frozenset("12345"), frozenset("678")  # EB01
_OTHER_PAYER = "R"
_WHOLE_PLAN = "30"
_PAYERS = frozenset({"PR", "PRP", "SEP", "TTP"})  # NM101 of 2120: a payer, the first, second or third one
_SPANS, _BEGINS, _ENDS = ("291", "307"), ("346", "348", "356"), ("347", "349", "357")
_QUALIFIED_BENEFICIARY = "QM"  # EB04: Medicaid pays the shares of a poor Medicare patient, whom nobody may bill


@dataclass(frozen=True, slots=True)
class Benefit:
    """One EB with what belongs to it: *code* is EB01, *services* EB03, *insurance_type* EB04, *plan* EB05.

    *payers* are the names of other payers that it speaks of (loop 2120).
    """

    code: str
    services: tuple[str, ...]
    insurance_type: str
    plan: str
    begins: date | None
    ends: date | None
    payers: tuple[str, ...]

    @property
    def is_of_plan(self) -> bool:
        """Whether it speaks of the plan as a whole and not of one kind of service."""
        return not self.services or _WHOLE_PLAN in self.services


@dataclass(frozen=True, slots=True)
class CoverageAnswer:
    """What a payer answers about one person: the subscriber, or the dependent where the answer is about one.

    *answered* is BHT04, *trace* the TRN02 that came back. *refused* are the AAA03 by which it could not answer.
    """

    payer_id: str
    payer_name: str
    answered: date | None
    trace: str
    member_id: str
    person: Party
    birth_date: date | None
    begins: date | None
    ends: date | None
    benefits: tuple[Benefit, ...]
    refused: tuple[str, ...]
    where: str

    @property
    def active(self) -> bool | None:
        """Whether the coverage is in force: of the plan where that is said; None where it is not, or both are."""
        about = [each for each in self.benefits if each.is_of_plan] or list(self.benefits)
        said = {each.code in _ACTIVE for each in about if each.code in _ACTIVE | _INACTIVE}
        return said.pop() if len(said) == 1 else None

    @property
    def span(self) -> tuple[date | None, date | None]:
        """The first and last day of the plan, as far as they are said: by the person's dates, else by a benefit's."""
        if self.begins or self.ends:
            return self.begins, self.ends
        states = _ACTIVE | _INACTIVE
        dated = (
            each for each in self.benefits if each.code in states and each.is_of_plan and (each.begins or each.ends)
        )
        found = next(dated, None)
        return (found.begins, found.ends) if found else (None, None)

    @property
    def plan(self) -> str:
        """The plan's name, where a benefit that is in force says it."""
        return next((each.plan for each in self.benefits if each.code in _ACTIVE and each.plan), "")

    @property
    def not_to_be_billed(self) -> bool:
        """Whether the person is a qualified Medicare beneficiary, whom nobody may bill for deductible and share."""
        return any(
            each.insurance_type == _QUALIFIED_BENEFICIARY and each.code not in _INACTIVE for each in self.benefits
        )

    @property
    def other_payers(self) -> tuple[str, ...]:
        """The other payers that it names; an empty name for each that is told of without one."""
        told = [name for each in self.benefits if each.code == _OTHER_PAYER for name in each.payers or ("",)]
        return tuple(dict.fromkeys(told))


def read_271(transaction: Transaction) -> tuple[CoverageAnswer, ...]:
    """The answers in a 271, one for each subscriber or dependent that it is about.

    Raises :class:`WrongTransactionError` for another kind.
    """
    if transaction.st.id != "271":
        place = transaction.segments[0].place
        raise WrongTransactionError("This is not a 271.", where=place, found=transaction.kind)
    head, levels = split(transaction.segments, "HL")
    answered = day(element(head, "BHT", 4))
    source: list[Segment] = []
    subscriber: list[Segment] = []
    answers: list[CoverageAnswer] = []
    for level in levels:
        match level[0][3]:
            case "20":
                source = level
                answers += _refusals(source, level, [], answered)
            case "21":
                answers += _refusals(source, level, [], answered)
            case "22":
                subscriber = level
                if level[0][4] != "1":
                    answers.append(_answer(source, level, level, answered))
            case "23":
                answers.append(_answer(source, subscriber, level, answered))
    return tuple(answers)


def _refusals(
    source: list[Segment], level: list[Segment], subscriber: list[Segment], answered: date | None
) -> Iterator[CoverageAnswer]:
    """Yield an answer about nobody where the payer, or its clearinghouse, refuses everything at once."""
    if first(level, "AAA"):
        yield _answer(source, subscriber, level, answered, Organisation(""))


def _answer(
    source: list[Segment],
    subscriber: list[Segment],
    level: list[Segment],
    answered: date | None,
    person: Party | None = None,
) -> CoverageAnswer:
    own, benefits = split(level, "EB")
    begins, ends = _span(own)
    payer = first(source, "NM1")
    return CoverageAnswer(
        payer_id=payer[9] if payer else "",
        payer_name=payer[3] if payer else "",
        answered=answered,
        trace=element(own, "TRN", 2, "2"),
        member_id=element(own, "NM1", 9, "03") or element(subscriber, "NM1", 9, "IL"),
        person=person or party(first(own, "NM1")),
        birth_date=day(element(own, "DMG", 2)),
        begins=begins,
        ends=ends,
        benefits=tuple(_benefit(each) for each in benefits),
        refused=tuple(segment[3] for segment in level if segment.id == "AAA"),
        where=level[0].place,
    )


def _benefit(segments: list[Segment]) -> Benefit:
    eb = segments[0]
    begins, ends = _span(segments)
    return Benefit(
        code=eb[1],
        services=tuple(each for each in eb.repetitions(3) if each),
        insurance_type=eb[4],
        plan=eb[5],
        begins=begins,
        ends=ends,
        payers=tuple(each[3] for each in segments if each.id == "NM1" and each[1] in _PAYERS),
    )


def _span(segments: list[Segment]) -> tuple[date | None, date | None]:
    """The first and last day that the DTP among *segments* give."""
    begins: date | None = None
    ends: date | None = None
    for dtp in segments:
        if dtp.id != "DTP":
            continue
        first_day, last_day = period(dtp[2], dtp[3])
        if dtp[1] in _SPANS and dtp[2] == "RD8":
            begins, ends = begins or first_day, ends or last_day
        elif dtp[1] in _BEGINS:
            begins = begins or first_day
        elif dtp[1] in _ENDS:
            ends = ends or first_day
    return begins, ends
