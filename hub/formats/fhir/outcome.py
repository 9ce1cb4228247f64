"""What a server says of a request: OperationOutcomes in words, and the outcome of each entry of a Bundle.

Sources: FHIR R4, OperationOutcome with its issue types; http, sections 3.1.0.11 and 3.1.0.12 (batch, transaction).
Texts of the server's own may quote the resource, so none is repeated: issue types, element paths and codes say enough.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from hub.formats.fhir.text import FhirError, Resource, read

_TYPES = {
    "invalid": "the content is invalid",
    "structure": "the structure is wrong",
    "required": "a required element is missing",
    "value": "an element's value is not allowed",
    "invariant": "a rule of the server is not satisfied",
    "security": "security does not allow it",
    "login": "the server does not know who asks",
    "unknown": "the server does not know who asks",
    "expired": "the login has expired",
    "forbidden": "it is not permitted",
    "suppressed": "something is withheld",
    "processing": "the server cannot process it",
    "not-supported": "the server does not support it",
    "duplicate": "the server has it already",
    "multiple-matches": "more than one resource matches",
    "not-found": "something it refers to is not there",
    "deleted": "it was deleted",
    "too-long": "it is too long",
    "code-invalid": "a code is not valid",
    "extension": "an extension is not acceptable",
    "too-costly": "it would cost the server too much",
    "business-rule": "a business rule forbids it",
    "conflict": "somebody changed it meanwhile",
    "transient": "the server asks to try later",
    "lock-error": "it is locked",
    "no-store": "the server's store is away",
    "exception": "the server failed",
    "timeout": "the server took too long",
    "incomplete": "not everything could be had",
    "throttled": "there are too many requests",
}
LATER = frozenset({"transient", "lock-error", "no-store", "exception", "timeout", "throttled"})
"""Issue types that say that the same request may succeed later."""
_PATH = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}(?:\.[A-Za-z0-9]{1,64}|\[\d{1,4}\]|\.){0,20}\Z")
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}\Z")
_MOST_ISSUES = 3


@dataclass(frozen=True, slots=True)
class Issue:
    """One issue of an OperationOutcome: severity, issue type, element path, the server's own code if fit to show."""

    severity: str
    type: str
    where: str = ""
    code: str = ""

    @property
    def words(self) -> str:
        """``ClaimResponse.insurer: a required element is missing``."""
        said = _TYPES.get(self.type, "something is wrong")
        return (f"{self.where}: " if self.where else "") + said + (f" ({self.code})" if self.code else "")


@dataclass(frozen=True, slots=True)
class EntryOutcome:
    """What became of one entry of a Bundle, counted from 1. *status* is 0 where the server does not say it."""

    number: int
    status: int
    location: str
    issues: tuple[Issue, ...]

    @property
    def ok(self) -> bool:
        """Whether the server did what the entry asked."""
        return 200 <= self.status < 300

    @property
    def may_succeed_later(self) -> bool:
        """Whether the same entry may succeed if it is sent again."""
        return self.status in {408, 425, 429} or self.status >= 500 or said_later(self.issues)


def issues_in(body: bytes) -> tuple[Issue, ...]:
    """The issues of the OperationOutcome that *body* is, the gravest first; none when it is something else."""
    try:
        resource = read(body)
    except FhirError:
        return ()
    return issues_of(resource)


def issues_of(resource: Any) -> tuple[Issue, ...]:
    """The same of a resource that was read already."""
    if not isinstance(resource, dict) or resource.get("resourceType") != "OperationOutcome":
        return ()
    order = ("fatal", "error", "warning", "information")
    found = [_issue(item) for item in _list(resource.get("issue")) if isinstance(item, dict)]
    return tuple(sorted(found, key=lambda issue: order.index(issue.severity) if issue.severity in order else 9))


def in_words(issues: tuple[Issue, ...]) -> str:
    """The first few *issues* as one phrase; empty for none. What is only information is left out."""
    grave = [issue for issue in issues if issue.severity in {"fatal", "error", ""}] or list(issues)
    said = list(dict.fromkeys(issue.words for issue in grave))
    more = f"; and {len(said) - _MOST_ISSUES} more" if len(said) > _MOST_ISSUES else ""
    return "; ".join(said[:_MOST_ISSUES]) + more


def said_later(issues: tuple[Issue, ...]) -> bool:
    """Whether every grave issue says that the same request may succeed later."""
    grave = [issue for issue in issues if issue.severity in {"fatal", "error"}]
    return bool(grave) and all(issue.type in LATER for issue in grave)


def entry_outcomes(bundle: Resource) -> tuple[EntryOutcome, ...]:
    """What became of each entry of a Bundle that was sent, in its order."""
    found = []
    for number, entry in enumerate(_list(bundle.get("entry")), 1):
        response = entry.get("response") if isinstance(entry, dict) else None
        response = response if isinstance(response, dict) else {}
        status = str(response.get("status", ""))[:3]
        found.append(
            EntryOutcome(
                number,
                int(status) if status.isdecimal() else 0,
                str(response.get("location", "")),
                issues_of(response.get("outcome")),
            )
        )
    return tuple(found)


def _issue(item: dict[str, Any]) -> Issue:
    places = [*_list(item.get("expression")), *_list(item.get("location"))]
    where = next((text for text in places if isinstance(text, str) and _PATH.match(text)), "")
    details = item.get("details")
    codings = _list(details.get("coding")) if isinstance(details, dict) else []
    codes = [coding.get("code") for coding in codings if isinstance(coding, dict)]
    code = next((text for text in codes if isinstance(text, str) and _CODE.match(text)), "")
    kind = item.get("code")
    severity = item.get("severity")
    return Issue(
        severity if isinstance(severity, str) else "",
        kind if isinstance(kind, str) and kind in _TYPES else "",
        where,
        code,
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
