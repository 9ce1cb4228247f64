"""Patient accounts: finding one, and its charges, ledger and balances."""

from __future__ import annotations

from sqlalchemy import Connection
from starlette.responses import Response

from hub.web.call import Call, NotFound
from hub.web.pages.people import account_number, person
from hub.web.queries import accounts


def listing(call: Call) -> Response:
    """The accounts that changed last, or those found."""
    text = call.query.get("q", "").strip()[:100]
    with call.reading() as connection:
        rows = (
            accounts.find(connection, call.site.vault, text, authorities(call, connection))
            if text
            else accounts.recent(connection)
        )
    call.look(
        "accounts",
        "",
        patients=[row.patient_id for row in rows],
        action="search" if text else "list",
        always=bool(text),
    )
    with call.reading() as connection:
        found = [(row, person(call, row), accounts.balance(connection, row.patient_id)) for row in rows]
    return call.page("accounts.html", title="Accounts", text=text, found=found)


def show(call: Call) -> Response:
    """One patient's account."""
    patient_id = call.path_id()
    with call.reading() as connection:
        row = accounts.get(connection, patient_id)
        survivor = accounts.survivors(connection, [patient_id])[patient_id]
    if row is None:
        raise NotFound("There is no account of that number.")
    if survivor != patient_id and call.query.get("merged") != "1":
        return call.back(f"/accounts/{survivor}", "merged")
    call.look("account", patient_id, patients=[patient_id])
    with call.reading() as connection:
        ledger = accounts.ledger(connection, patient_id)
        visits = accounts.visits(connection, patient_id)
        charges = accounts.charges(connection, patient_id)
        claims = accounts.claims(connection, patient_id)
        coverages = accounts.coverages(connection, patient_id)
    return call.page(
        "account.html",
        title="Account",
        row=row,
        who=person(call, row),
        visits=[(visit, account_number(call, visit.sealed)) for visit in visits],
        charges=charges,
        claims=claims,
        numbers={claim.id: claim.control_number for claim in claims},
        coverages=[
            (c, call.shown(str(call.unseal("coverage", c.sealed).get("member_id") or ""), "member number"))
            for c in coverages
        ],
        ledger=ledger,
        last=ledger[-1] if ledger else None,
        payers=call.site.settings.payers,
    )


def authorities(call: Call, connection: Connection) -> tuple[str, ...]:
    """Who gives out record numbers here, by the newest patients; a person who searches types the number alone."""
    known = {str(call.unseal("patient", row.sealed).get("authority", "")) for row in accounts.recent(connection)}
    return tuple(sorted(known | {""}))
