"""The biller of a long play: works denials as people do, by the same commands, so that corrections go round, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from hub.core.errors import HubError
from hub.engine.control import EngineAwayError, ask_engine
from hub.store.database import reading
from hub.store.tables import claim, denial, denial_action

ACTOR = "demo biller"
AT_ONCE = 5
_HABITS = ("correct", "correct", "appeal", "correct", "accept", "patient", "correct", "appeal", "leave")


class Biller:
    """Works through what stands in the store; whatever the hub refuses is left to stand in its queue."""

    def __init__(self, store: Engine, socket: Path) -> None:
        self._store = store
        self._socket = socket
        self._seen: set[int] = set()
        self.done = 0

    def work(self) -> None:
        """Do a few things; blocks. An engine that is away is asked again another time."""
        with reading(self._store) as connection:
            held = connection.execute(
                select(claim.c.id, claim.c.version).where(claim.c.state == "held", claim.c.replaces_id.is_not(None))
            ).all()
            letters = connection.execute(
                select(denial_action.c.id, denial_action.c.version, denial_action.c.state).where(
                    denial_action.c.kind == "appeal", denial_action.c.state.in_(("drafted", "sent"))
                )
            ).all()
            denials = connection.execute(
                select(denial.c.id, denial.c.version, denial.c.resubmit)
                .where(denial.c.state == "open")
                .order_by(denial.c.id.desc())
                .limit(200)
            ).all()
        try:
            for row in held[:AT_ONCE]:
                self._ask("approve_claim", row.id, claim_id=row.id, version=row.version)
            for letter in letters[:AT_ONCE]:
                about = {"denial_action_id": letter.id, "version": letter.version}
                if letter.state == "drafted":
                    self._ask("send_appeal", letter.id, how="portal", **about)
                else:
                    self._ask("decide_appeal", -letter.id, outcome="lost", **about)
            for each in [each for each in denials if each.id not in self._seen][:AT_ONCE]:
                self._decide(each)
        except EngineAwayError:
            return

    def _decide(self, row: Any) -> None:
        about = {"denial_id": row.id, "version": row.version}
        match _HABITS[(row.id >> 8) % len(_HABITS)]:
            case "correct":
                self._ask("correct_denied_claim", row.id, frequency="7", **about)
            case "appeal":
                self._ask("write_appeal", row.id, argument="The record shows why it was needed.", **about)
            case "accept":
                self._ask("accept_denial", row.id, reason="the payer is right", **about)
            case "patient":
                self._ask("bill_patient", row.id, reason="the plan leaves it to the patient", **about)
            case _:
                self._seen.add(row.id)

    def _ask(self, name: str, subject: int, **args: Any) -> None:
        """Ask once for each *subject*: a refusal is the hub's word."""
        if subject in self._seen:
            return
        self._seen.add(subject)
        try:
            answer = ask_engine(self._socket, "billing", {"name": name, "args": args}, actor=ACTOR)["answer"]
        except EngineAwayError:
            self._seen.discard(subject)
            raise
        except HubError:
            return
        self.done += bool(answer["ok"])
