"""Other people's parsers read the same remittances: where they accept a file, their sums must be ours."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import oxedi
import pytest
from x12sdk.io import X12ModelReader

from hub.formats.x12 import institutional, professional
from hub.formats.x12.acks import read_999, read_ta1
from hub.formats.x12.balance import balance
from hub.formats.x12.claim_status import read_277ca
from hub.formats.x12.envelope import identify, read_interchanges, read_transactions
from hub.formats.x12.errors import NotAnInterchangeError, WrongValueError, X12Error
from hub.formats.x12.outline import outline_837
from hub.formats.x12.remittance import Remittance, read_835


def remittances(data: bytes) -> list[Remittance]:
    return [read_835(t) for t in read_transactions(data) if t.kind == "835"]


def as_x12sdk_reads(data: bytes) -> list[tuple[str, Decimal, Decimal]]:
    with X12ModelReader(data.decode("latin-1")) as reader:
        return [(c.patient_control_number, c.charge, c.paid) for model in reader.models() for c in model.claims()]


def plain_sums(data: bytes) -> tuple[Decimal, Decimal]:
    """CLP03 and CLP04 summed in the plainest way there is."""
    rows = [r.strip().split("*") for r in data.decode("latin-1").split("~")]
    claims = [r for r in rows if r[0] == "CLP"]
    return sum((Decimal(r[3]) for r in claims), Decimal(0)), sum((Decimal(r[4]) for r in claims), Decimal(0))


def test_oxedi_counts_and_sums_the_sample_as_we_do(samples) -> None:
    result = oxedi.parse(samples["835"])
    (remittance,) = remittances(samples["835"])
    assert result.sum_payments() == remittance.header.amount == Decimal(85)
    assert result.count_claims() == len(remittance.claims)
    assert [d.rule for d in result.diagnostics if d.level == 3] == []


def test_x12sdk_reads_the_samples_claims_as_we_do(samples) -> None:
    (remittance,) = remittances(samples["835"])
    assert as_x12sdk_reads(samples["835"]) == [(c.control_number, c.charge, c.paid) for c in remittance.claims]


@pytest.mark.parametrize("change", [(b"*215*120*", b"*215*119*"), (b"BPR*I*85", b"BPR*I*86"), (b"SE*45*", b"SE*44*")])
def test_what_we_find_out_of_balance_oxedi_finds_too(samples, change: tuple[bytes, bytes]) -> None:
    data = samples["835"].replace(*change)
    assert not balance(remittances(data)[0]).ok
    assert oxedi.parse(data).diagnostics


# The corpus -------------------------------------------------------------------------------------------------------


@pytest.mark.corpus
def test_every_file_of_the_corpus_is_identified_or_refused(corpus: Path) -> None:
    refused = []
    for path in sorted(p for p in corpus.glob("*/*") if p.is_file()):
        try:
            kinds = identify(path.read_bytes())
        except NotAnInterchangeError:
            refused.append(path)
            continue
        folder = path.parent.name.upper()
        assert folder == "MISC" or set(kinds) == {folder}, (path.name, kinds)
    # Those that are refused indeed lack an ISA, or name no delimiters in it.
    for path in refused:
        head = path.read_bytes()[:106]
        assert not head.startswith(b"ISA") or head[105:106].isalnum(), path.name


@pytest.mark.corpus
def test_every_remittance_of_the_corpus_is_read_and_agrees_with_other_parsers(corpus: Path) -> None:
    agreed = 0
    for path in sorted((corpus / "835").iterdir()):
        data = path.read_bytes()
        try:
            found = remittances(data)
        except NotAnInterchangeError:
            continue
        assert found, path.name
        for remittance in found:
            verdict = balance(remittance)
            assert verdict.ok or verdict.imbalances or verdict.problems
            assert all(i.difference for i in verdict.imbalances)
        if data[3:4] != b"*":
            continue
        claims = [c for r in found for c in r.claims]
        charge, paid = plain_sums(data)
        assert (sum(c.charge for c in claims), sum(c.paid for c in claims)) == (charge, paid), path.name
        result = oxedi.parse(data)
        assert result.count_claims() == len(claims), path.name
        assert result.sum_payments() == sum(r.header.amount for r in found), path.name
        agreed += 1
    assert agreed >= 10


@pytest.mark.corpus
def test_every_answer_of_the_corpus_is_read(corpus: Path) -> None:
    seen = {"999": 0, "997": 0, "277CA": 0, "277": 0, "TA1": 0}
    for folder in ("999", "997", "277ca", "277", "ta1"):
        for path in sorted((corpus / folder).iterdir()):
            for interchange in read_interchanges(path.read_bytes()):
                for segment in interchange.acknowledgements:
                    assert read_ta1(segment).code in {"A", "E", "R"}
                    seen["TA1"] += 1
                for transaction in interchange.transactions:
                    if transaction.kind in {"999", "997"}:
                        read_999(transaction)
                    else:
                        answer = read_277ca(transaction)
                        expected = sum(s.id == "STC" for s in transaction.segments)
                        statuses = sum(
                            len(holder.statuses) + sum(len(line.statuses) for line in getattr(holder, "lines", ()))
                            for holder in (*answer.batches, *answer.providers, *answer.claims)
                        )
                        assert statuses == expected, path.name
                    seen[transaction.kind] += 1
    assert all(seen.values()), seen


@pytest.mark.corpus
@pytest.mark.parametrize(("folder", "least"), [("837p", 500), ("837i", 10)])
def test_every_claim_of_the_corpus_is_read_or_says_why_not(corpus: Path, folder: str, least: int) -> None:
    read = 0
    claims_of = professional.claims_of if folder == "837p" else institutional.claims_of
    for path in sorted((corpus / folder).iterdir()):
        try:
            transactions = list(read_transactions(path.read_bytes()))
        except NotAnInterchangeError:
            continue
        for transaction in transactions[:20]:
            try:
                claims = claims_of(transaction)
            except WrongValueError:
                continue
            assert len(claims) == sum(s.id == "CLM" for s in transaction.segments), path.name
            read += len(claims)
    assert read >= least


@pytest.mark.corpus
def test_every_claim_file_of_the_corpus_has_an_outline_of_known_loops(corpus: Path) -> None:
    for folder in ("837p", "837i"):
        for path in sorted((corpus / folder).glob("lfh__*")):
            data = path.read_bytes()
            if b"*005010X" not in data:  # version 4010 had other parties
                continue
            rows = outline_837(data)
            assert {r.loop for r in rows if r.name == "Other loop"} == set(), path.name


@pytest.mark.corpus
def test_a_file_of_the_corpus_cut_anywhere_never_raises_anything_else(corpus: Path) -> None:
    for folder in ("835", "277ca", "277", "999", "997", "ta1", "837p", "837i"):
        for path in sorted((corpus / folder).iterdir()):
            data = path.read_bytes()[:4000].rstrip()
            for cut in range(0, len(data), 7):
                try:
                    for transaction in read_transactions(data[:cut]):
                        if transaction.kind == "835":
                            balance(read_835(transaction))
                        elif transaction.st.id == "277":
                            read_277ca(transaction)
                        elif transaction.kind == "837P":
                            professional.claims_of(transaction)
                        elif transaction.kind == "837I":
                            institutional.claims_of(transaction)
                        elif transaction.st.id in {"999", "997"}:
                            read_999(transaction)
                except X12Error:
                    pass
