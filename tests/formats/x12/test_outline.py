from __future__ import annotations

from hub.formats.x12.outline import outline_837


def test_every_segment_stands_in_a_named_loop(samples) -> None:
    rows = outline_837(samples["837p_secondary"])
    opened = [(r.loop, r.name) for r in rows if r.opens]
    assert opened == [
        ("HEADER", "Transaction"),
        ("1000A", "Submitter"),
        ("1000B", "Receiver"),
        ("2000A", "Billing level"),
        ("2010AA", "Billing provider"),
        ("2000B", "Subscriber level"),
        ("2010BA", "Subscriber"),
        ("2010BB", "Payer"),
        ("2300", "Claim"),
        ("2310B", "Provider of the claim"),
        ("2320", "Other payer's decision"),
        ("2330A", "Other subscriber"),
        ("2330B", "Other payer"),
        ("2400", "Service line"),
        ("2430", "Other payer's decision on the line"),
        ("2400", "Service line"),
        ("2430", "Other payer's decision on the line"),
    ]
    assert "".join(r.text + "~\n" for r in rows).encode() == samples["837p_secondary"]


def test_elements_are_named_as_guides_name_them(samples) -> None:
    (clm,) = [r for r in outline_837(samples["837p_original"]) if r.text.startswith("CLM")]
    assert [(e.reference, e.value) for e in clm.elements][:5] == [
        ("CLM01", "H7K2M9Q4A1"),
        ("CLM02", "215"),
        ("CLM05-1", "11"),
        ("CLM05-2", "B"),
        ("CLM05-3", "1"),
    ]
    assert (clm.position, clm.claim) == (19, "H7K2M9Q4A1")


def test_rows_know_their_claim_and_the_envelope_has_none(samples) -> None:
    rows = outline_837(samples["837p_original"])
    assert {r.claim for r in rows if r.loop == "2400"} == {"H7K2M9Q4A1"}
    assert {r.claim for r in rows if r.loop in {"", "HEADER", "2000A", "2010BA"}} == {""}
    assert [r.name for r in rows[:2] + rows[-2:]] == ["Envelope"] * 4
