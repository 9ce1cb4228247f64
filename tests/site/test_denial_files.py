"""What a site says of denials is read, laid over the shipped table, and complained about by line."""

from __future__ import annotations

from pathlib import Path

from hub.site.denial_files import appeal_letters, denial_table


def test_a_sites_rows_go_over_the_shipped_ones(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.mkdir()
    (config / "denials.csv").write_text("payer,reason,category,action\n90001,50,documents,records\n")
    (config / "denial_remarks.csv").write_text("remark,effect,note\nN999,no appeal,Ours.\n")
    table, findings = denial_table(tmp_path)
    assert not findings
    assert table.look_up("90001", "CO", "50", ()).action == "records"
    assert table.look_up("90002", "CO", "50", ()).action == "appeal"
    assert table.look_up("90002", "CO", "50", ("N999",)).appeal == "no"


def test_what_cannot_be_used_is_named_with_its_line(tmp_path: Path) -> None:
    config = tmp_path / "config"
    (config / "appeals").mkdir(parents=True)
    (config / "denials.csv").write_text("reason,category,action\n50,documents,records\n51,documents,shout\n")
    (config / "denial_remarks.csv").write_text("remark,effects\nN1,no appeal\n")
    (config / "appeals" / "ours.txt").write_text("Dear payer,\n{{ patient.shoe_size }}\n")
    _, findings = denial_table(tmp_path)
    assert [(each.file, each.line, each.code) for each in findings] == [
        ("config/denials.csv", 3, "H630"),
        ("config/denial_remarks.csv", 1, "H630"),
    ]
    letters, complaints = appeal_letters(tmp_path)
    assert not letters
    assert [(each.file, each.code) for each in complaints] == [("config/appeals/ours.txt", "H631")]
