"""The circuit breaker of automatic corrections: a rule that loses too often suspends itself and asks."""

from __future__ import annotations

from sqlalchemy import func, select

from hub.billing.decision import Decision
from hub.core.clock import DAY_MS
from hub.store.changes import Row
from hub.store.tables import denial_action

ACTIVE = "active"
SUSPENDED = "suspended"


def is_suspended(decision: Decision, rule: str) -> bool:
    """Whether *rule* may correct nothing by itself now."""
    row = decision.row("denial_rule", rule=rule)
    return row is not None and row["state"] == SUSPENDED


def set_state(decision: Decision, rule: str, state: str, reason: str) -> None:
    """Suspend *rule*, or let it work again; outcomes from before count no longer."""
    values = {
        "state": state,
        "changed_business_at": decision.now_ms,
        "changed_by": decision.actor,
        "reason": reason,
    }
    row = decision.row("denial_rule", rule=rule)
    if row is None:
        decision.insert("denial_rule", rule=rule, **values)
    else:
        decision.update("denial_rule", row, **values)


def judge(decision: Decision, action: Row) -> None:
    """Suspend the rule of *action*, which was just decided, when it won too few of its last corrections."""
    policy, rule = decision.config.policy.denials, action["rule"]
    if is_suspended(decision, rule):
        return
    row = decision.row("denial_rule", rule=rule)
    since = row["changed_business_at"] if row is not None else -1
    earlier = decision.connection.execute(
        select(denial_action.c.state)
        .where(
            denial_action.c.rule == rule,
            denial_action.c.automatic,
            denial_action.c.decided_business_at > since,
            denial_action.c.id != action["id"],
        )
        .order_by(denial_action.c.decided_business_at.desc(), denial_action.c.id.desc())
        .limit(policy.win_window - 1)
    ).scalars()
    states = [action["state"], *earlier]
    wins = states.count("won")
    if len(states) < policy.win_window or wins * 100 >= policy.win_rate * len(states):
        return
    set_state(decision, rule, SUSPENDED, f"won {wins} of {len(states)}")
    decision.open_item(
        queue="denials",
        key=f"denial-rule/{rule}/{decision.now_ms}",
        kind="rule suspended",
        sentence=(
            f"The automatic correction {rule} won {wins} of its last {len(states)} claims and suspended itself. "
            "It goes on when somebody lets it."
        ),
        rule=rule,
        evidence={"rule": rule, "wins": wins, "of": len(states)},
    )


def made_today(decision: Decision, rule: str) -> int:
    """How many corrections *rule* made by itself in the last day."""
    since = decision.now_ms - DAY_MS
    return int(
        decision.connection.execute(
            select(func.count()).where(
                denial_action.c.rule == rule, denial_action.c.automatic, denial_action.c.made_business_at > since
            )
        ).scalar_one()
    )
