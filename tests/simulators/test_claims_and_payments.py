"""A clearinghouse and a payer, met with other people's SFTP clients and read by other people's parsers."""

from __future__ import annotations

import io
import shutil
import subprocess
from base64 import b64decode
from collections import Counter
from decimal import Decimal

import paramiko
import pytest
import pyx12.params
import pyx12.x12n_document

PAIR = [{"pcn": "AAA1"}, {"pcn": "AAA2", "member": "CM23456789"}]


@pytest.fixture
def pair(start, clock, hub_key, tmp_path):
    """A running clearinghouse and payer, and a function to configure them."""

    def begin(**more):
        common = {
            "clock": clock,
            "user": "alder",
            "authorized_key": hub_key.with_suffix(".pub").read_text(),
            "exchange": str(tmp_path / "exchange"),
            "pay_days": [1, 3],
        } | more
        payer = start("payer", **common, sftp_root=str(tmp_path / "granite"))
        clearinghouse = start("clearinghouse", **common, sftp_root=str(tmp_path / "clearway"))
        return clearinghouse, payer

    return begin


def connect(simulator, hub_key):
    """A paramiko client that trusts exactly the announced host key."""
    name, kind, key = simulator.ready["known_hosts"].split()
    client = paramiko.SSHClient()
    client.get_host_keys().add(name, kind, paramiko.Ed25519Key(data=b64decode(key)))
    client.connect(
        "127.0.0.1",
        simulator.ready["sftp_port"],
        "alder",
        key_filename=str(hub_key),
        allow_agent=False,
        look_for_keys=False,
    )
    return client


def openssh(simulator, hub_key, tmp_path, commands):
    """Run OpenSSH's sftp with a batch of commands; the host key is checked."""
    known = tmp_path / "known_hosts"
    known.write_text(simulator.ready["known_hosts"] + "\n")
    options = [f"-oUserKnownHostsFile={known}", "-oStrictHostKeyChecking=yes", "-oIdentitiesOnly=yes"]
    command = ["sftp", "-b", "-", "-i", str(hub_key), "-P", str(simulator.ready["sftp_port"]), *options]
    return subprocess.run(
        [*command, "alder@127.0.0.1"], input=commands, text=True, capture_output=True, timeout=30, check=False
    )


def segments(text):
    return [segment.strip().split("*") for segment in text.split("~") if segment.strip()]


def accepted_by_pyx12(text):
    params = pyx12.params.params()
    return pyx12.x12n_document.x12n_document(params, io.StringIO(text), io.StringIO(), None, None, None)


def balances(text):
    """Check an 835 at its three levels with Decimal; returns the amounts by CLP01."""
    paid, claim, line = Counter(), None, None
    provider, bpr, total = Decimal(0), None, Decimal(0)
    claims = []
    for segment in segments(text):
        match segment[0]:
            case "BPR":
                bpr = Decimal(segment[2])
            case "CLP":
                claim = {
                    "charge": Decimal(segment[3]),
                    "paid": Decimal(segment[4]),
                    "cas": Decimal(0),
                    "lines": [],
                }
                claims.append(claim)
                paid[segment[1]] += claim["paid"]
                total += claim["paid"]
            case "SVC":
                line = {"charge": Decimal(segment[2]), "paid": Decimal(segment[3]), "cas": Decimal(0)}
                claim["lines"].append(line)
            case "CAS":
                amount = sum(Decimal(value) for value in segment[3::3])
                line["cas"] += amount
                claim["cas"] += amount
            case "PLB":
                provider += sum(Decimal(value) for value in segment[4::2])
    for claim in claims:
        assert claim["charge"] - claim["cas"] == claim["paid"]
        assert sum(line["charge"] for line in claim["lines"]) == claim["charge"]
        assert all(line["charge"] - line["cas"] == line["paid"] for line in claim["lines"])
    assert total - provider == bpr
    return paid


def outbound(tmp_path, pattern, root="clearway"):
    return sorted((tmp_path / root / "outbound").glob(pattern))


def test_claims_put_by_paramiko_come_back_acknowledged_and_paid(pair, hub_key, tmp_path, tools):
    clearinghouse, payer = pair()
    client = connect(clearinghouse, hub_key)
    sftp = client.open_sftp()
    sftp.putfo(io.BytesIO(tools.file_837(11, PAIR).encode()), "/inbound/one.837.tmp")
    sftp.posix_rename("/inbound/one.837.tmp", "/inbound/one.837")

    tools.wait_for(lambda: payer.summary()["adjudicated"] == 2 and payer.summary()["idle"])
    tools.wait_for(lambda: len(payer.entries("remittance")) == len(outbound(tmp_path, "*.835")))
    names = sftp.listdir("/outbound")
    texts = {name: sftp.open(f"/outbound/{name}").read().decode() for name in names}
    sftp.remove(f"/outbound/{names[0]}")
    assert names[0] not in sftp.listdir("/outbound")
    client.close()

    kinds = Counter(name.rpartition(".")[2] for name in names)
    assert kinds["ta1"] == 1
    assert kinds["999"] == 1
    assert kinds["277"] == 2
    ta1 = next(text for name, text in texts.items() if name.endswith(".ta1"))
    assert ["TA1", "000000011", "260302", "0815", "A", "000"] in segments(ta1)
    functional = next(text for name, text in texts.items() if name.endswith(".999"))
    assert [each for each in segments(functional) if each[0] in {"AK1", "AK2", "IK5", "AK9"}] == [
        ["AK1", "HC", "11", "005010X222A1"],
        ["AK2", "837", "0001", "005010X222A1"],
        ["IK5", "A"],
        ["AK9", "A", "1", "1", "1"],
    ]
    for name, text in texts.items():
        if name.endswith((".277", ".835")):
            assert accepted_by_pyx12(text), text

    paid = Counter()
    for name, text in texts.items():
        if name.endswith(".835"):
            paid.update(balances(text))
    booked = Counter()
    for entry in payer.entries("remittance"):
        for claim in entry["claims"]:
            booked[claim["pcn"]] += claim["paid_cents"]
    assert {pcn: int(amount * 100) for pcn, amount in paid.items()} == dict(booked)
    positions = {entry["pcn"]: entry for entry in payer.entries("position")}
    assert {pcn: positions[pcn]["paid_cents"] for pcn in booked} == dict(booked)
    for position in positions.values():
        assert position["charge_cents"] == position["paid_cents"] + sum(position["adjustments"].values())


def test_openssh_puts_and_renames_and_the_rest_of_the_disk_stays_out_of_reach(pair, hub_key, tmp_path, tools):
    if not shutil.which("sftp"):
        pytest.fail("OpenSSH's sftp is needed: apt-get install openssh-client")
    clearinghouse, _ = pair()
    local = tmp_path / "two.837"
    local.write_text(tools.file_837(12, [{"pcn": "BBB1"}]))
    done = openssh(
        clearinghouse,
        hub_key,
        tmp_path,
        f"put {local} /inbound/.two.part\nrename /inbound/.two.part /inbound/two.837\n"
        "ls -la /\ncd /outbound\npwd\n-get /../../../../etc/passwd nothing\n",
    )
    assert done.returncode == 0, done.stderr
    assert "Remote working directory: /outbound" in done.stdout
    assert "inbound" in done.stdout
    assert "not found" in done.stderr
    claims = tools.wait_for(lambda: clearinghouse.entries("claim"))
    assert [entry["pcn"] for entry in claims] == ["BBB1"]


def test_a_file_that_is_still_being_written_is_not_taken(pair, hub_key, tmp_path, tools):
    clearinghouse, _ = pair()
    client = connect(clearinghouse, hub_key)
    sftp = client.open_sftp()
    text = tools.file_837(13, [{"pcn": "CCC1"}]).encode()
    with sftp.open("/inbound/three.837", "wb") as file:
        file.write(text[:300])
        file.flush()
        sftp.putfo(io.BytesIO(tools.file_837(14, [{"pcn": "CCC2"}]).encode()), "/inbound/four.837")
        tools.wait_for(lambda: clearinghouse.entries("file_in"))
        file.write(text[300:])
    tools.wait_for(lambda: len(clearinghouse.entries("file_in")) == 2)
    client.close()
    assert [(entry["name"], entry["outcome"]) for entry in clearinghouse.entries("file_in")] == [
        ("four.837", "accepted"),
        ("three.837", "accepted"),
    ]


def test_bad_claims_and_bad_interchanges_are_refused_with_their_reason(pair, hub_key, tmp_path, tools):
    clearinghouse, _ = pair()
    client = connect(clearinghouse, hub_key)
    sftp = client.open_sftp()
    claims = [{"pcn": "DDD1", "member": "NOT-VALID"}, {"pcn": "DDD2", "payer": "99999"}, {"pcn": "DDD3"}]
    files = {
        "a.837": tools.file_837(21, claims),
        "b.837": tools.file_837(21, claims),
        "c.837": tools.file_837(22, claims, test="P"),
        "d.837": tools.file_837(23, claims, sender="SOMEBODY"),
        "e.837": tools.file_837(24, claims)[:-40],
    }
    for name, text in files.items():
        sftp.putfo(io.BytesIO(text.encode()), f"/inbound/{name}.part")
        sftp.rename(f"/inbound/{name}.part", f"/inbound/{name}")
        tools.wait_for(lambda name=name: any(each["name"] == name for each in clearinghouse.entries("file_in")))
    client.close()
    ta1 = tools.wait_for(lambda: len(outbound(tmp_path, "*.ta1")) == 5 and outbound(tmp_path, "*.ta1"))
    answers = [next(each for each in segments(path.read_text()) if each[0] == "TA1") for path in ta1]
    assert sorted((each[1], each[4], each[5]) for each in answers) == [
        ("000000021", "A", "000"),
        ("000000021", "R", "025"),
        ("000000022", "R", "020"),
        ("000000023", "R", "006"),
        ("000000024", "R", "023"),
    ]
    first = tools.wait_for(lambda: outbound(tmp_path, "CLEARWAY01_*.277"))[0].read_text()
    found = segments(first)
    status = [(found[n][2], found[n + 1][1]) for n in range(len(found)) if found[n][:2] == ["TRN", "2"]][1:]
    assert status == [("DDD1", "A7:164:IL"), ("DDD2", "A3:116"), ("DDD3", "A2:20")]
    assert accepted_by_pyx12(first), first


def test_the_direct_payer_has_a_door_of_its_own(pair, hub_key, tmp_path, tools):
    _, payer = pair()
    client = connect(payer, hub_key)
    text = tools.file_837(31, [{"pcn": "EEE1", "payer": "90005"}], receiver="GRANITE01")
    client.open_sftp().putfo(io.BytesIO(text.encode()), "/inbound/five.837")
    client.close()
    tools.wait_for(lambda: payer.summary()["adjudicated"] == 1 and payer.summary()["idle"])
    names = [path.suffix for path in outbound(tmp_path, "*", "granite")]
    assert sorted(set(names)) == [".277", ".835", ".999", ".ta1"]
    assert not outbound(tmp_path, "*.835")
    for path in outbound(tmp_path, "*.835", "granite"):
        balances(path.read_text())


def test_faults_repeat_spoil_halve_and_invent_files_and_the_money_that_counts_still_balances(
    pair, hub_key, tmp_path, tools
):
    clearinghouse, payer = pair(faults=True, refuse_seconds=0.5)
    refusals = []

    def let_in():
        try:
            return connect(clearinghouse, hub_key)
        except paramiko.AuthenticationException as refusal:
            refusals.append(refusal)
            return None

    client = tools.wait_for(let_in)
    sftp = client.open_sftp()
    for batch in range(4):
        claims = [
            {"pcn": f"F{batch}{n:02d}", "member": f"CM{batch}{n:02d}45678", "payer": f"9000{n % 4 + 1}"}
            for n in range(30)
        ]
        sftp.putfo(io.BytesIO(tools.file_837(41 + batch, claims).encode()), f"/inbound/{batch}.837.tmp")
        sftp.posix_rename(f"/inbound/{batch}.837.tmp", f"/inbound/{batch}.837")
    tools.wait_for(lambda: payer.summary()["received"] == 89)
    assert [entry["outcome"] for entry in clearinghouse.entries("file_in")] == ["rejected_999", *["accepted"] * 3]
    assert [entry["pcn"] for entry in clearinghouse.entries("claim_blamed")] == ["F000"]
    assert [entry["pcn"] for entry in clearinghouse.entries("claim_lost")] == ["F129"]
    tools.wait_for(lambda: payer.summary()["idle"] and clearinghouse.summary()["idle"])
    remittances = payer.entries("remittance")
    assert sum(not entry["balanced"] for entry in remittances) == 1
    assert sum(entry["foreign"] for entry in remittances) == 1
    assert any(claim["sent_pcn"] != claim["pcn"] for entry in remittances for claim in entry["claims"])
    assert any(claim["status"] == "22" for entry in remittances for claim in entry["claims"])
    bad = next(entry for entry in remittances if not entry["balanced"])
    good = [entry for entry in remittances if entry["trace"] == bad["trace"] and entry["counts"]]
    assert len(good) == 1
    out = clearinghouse.entries("file_out")
    assert any(entry["repeat_of"] for entry in out)
    assert any(entry["halves"] for entry in out)
    names = {path.name for path in outbound(tmp_path, "*.835")}
    assert {entry["file"] for entry in remittances} <= names
    for entry in remittances:
        text = next(path for path in outbound(tmp_path, entry["file"])).read_text()
        assert accepted_by_pyx12(text), text
        if entry["balanced"]:
            balances(text)
        else:
            with pytest.raises(AssertionError):
                balances(text)
    client.close()
    tools.wait_for(let_in).close()
    assert refusals
    assert [entry["fault"] for entry in clearinghouse.entries("fault")] == ["login_refused"]


def test_a_transaction_refused_by_999_goes_no_further_and_may_come_again(pair, hub_key, tmp_path, tools):
    clearinghouse, payer = pair(reject_group=True)
    client = connect(clearinghouse, hub_key)
    sftp = client.open_sftp()
    for control in (51, 52):
        text = tools.file_837(control, [{"pcn": "GGG1"}]).encode()
        sftp.putfo(io.BytesIO(text), f"/inbound/{control}.837")
        count = control - 50
        tools.wait_for(lambda count=count: len(clearinghouse.entries("file_in")) == count)
    client.close()
    files = tools.wait_for(lambda: len(found := outbound(tmp_path, "*.999")) == 2 and found)
    answers = [next(each for each in segments(path.read_text()) if each[0] == "AK9") for path in files]
    assert answers == [["AK9", "R", "1", "1", "0"], ["AK9", "A", "1", "1", "1"]]
    assert [entry["outcome"] for entry in clearinghouse.entries("file_in")] == ["rejected_999", "accepted"]
    tools.wait_for(lambda: payer.summary()["received"])
    assert [entry["isa13"] for entry in clearinghouse.entries("claim")] == ["000000052"]


def test_a_stranger_s_key_is_refused(pair, tmp_path, tools):
    clearinghouse, _ = pair()
    path = tools.write_key(tmp_path / "other")
    with pytest.raises(paramiko.AuthenticationException):
        connect(clearinghouse, path)
