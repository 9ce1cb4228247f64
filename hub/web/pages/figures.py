"""The figures of a practice, the claims behind every number, and whether every cent has its place."""

from __future__ import annotations

from datetime import timedelta

from starlette.responses import Response

from hub.billing import reconcile
from hub.core.money import from_cents
from hub.web.call import Call, NotFound
from hub.web.csv_text import csv_file
from hub.web.queries import claims
from hub.web.queries import figures as queries

PERIODS = {"90": "services of the last 90 days", "365": "services of the last year", "all": "everything kept"}
_SUBJECTS = {"claim": "/claims", "remittance": "/remittances"}


def show(call: Call) -> Response:
    """Every figure with its definition, its parts as a table and as bars."""
    return call.page("figures.html", title="Figures", figures=_figures(call), period=_period(call), periods=PERIODS)


def as_csv(call: Call) -> Response:
    """The figures and their parts for a spreadsheet."""
    rows = [
        (figure.title, figure.value, part.label, len(part.claims), f"{from_cents(part.cents):f}", part.rate)
        for figure in _figures(call)
        for part in figure.parts
    ]
    call.look("figures", _period(call), action="export")
    return csv_file("figures.csv", ("Figure", "Value", "Part", "Claims", "Amount", "Share"), rows)


def behind(call: Call) -> Response:
    """The claims that one number counts."""
    figure, part = _part(call)
    with call.reading() as connection:
        rows = claims.by_ids(connection, part.claims[: claims.PAGE * 10])
    return call.page("figure_claims.html", title=part.label, figure=figure, part=part, rows=rows, period=_period(call))


def behind_csv(call: Call) -> Response:
    """The same claims for a spreadsheet: numbers and amounts, nobody's name."""
    figure, part = _part(call)
    with call.reading() as connection:
        rows = claims.by_ids(connection, part.claims)
    call.look("claims", f"{figure.key}/{part.key}"[:64], action="export")
    payers = call.site.settings.payers
    return csv_file(
        f"{figure.key}-{part.key}.csv",
        ("Claim", "Payer", "Service", "State", "Charge", "Paid", "Contract", "Patient", "Other", "Open"),
        [
            (
                row.control_number,
                payers.get(row.payer_id, row.payer_id),
                row.service_on,
                row.state,
                *(
                    f"{from_cents(cents):f}"
                    for cents in (
                        row.total_cents,
                        row.money.paid,
                        row.money.contract,
                        row.money.patient,
                        row.money.other,
                        row.money.open,
                    )
                ),
            )
            for row in rows
        ],
    )


def reconciliation(call: Call) -> Response:
    """Whether every cent has its place: the store's sums as equations, and every difference."""
    with call.reading() as connection:
        found = reconcile.figures(connection)
    return call.page(
        "reconcile.html",
        title="Reconciliation",
        found=found,
        differences=found.differences[:200],
        addresses=_SUBJECTS,
    )


def _figures(call: Call) -> list[queries.Figure]:
    settings = call.site.settings
    today = settings.clock.today()
    period = _period(call)
    since = "" if period == "all" else (today - timedelta(days=int(period))).isoformat()
    with call.reading() as connection:
        return queries.figures(connection, today, settings.payers, since)


def _period(call: Call) -> str:
    chosen = call.query.get("period", "")
    return chosen if chosen in PERIODS else "all" if call.site.settings.clock.day_seconds < 86_400 else "90"


def _part(call: Call) -> tuple[queries.Figure, queries.Part]:
    names = call.request.path_params
    for figure in _figures(call):
        for part in figure.parts:
            if (figure.key, part.key) == (names["figure"], names["part"]):
                return figure, part
    raise NotFound("There is no such number.")
