"""Errors as problem+json (RFC 9457), and as OperationOutcome where FHIR is spoken."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from safeweave.errors import Conflict, Malformed, NotAllowed, NotFound, StoreUnavailable, Unavailable
from safeweave.web.asked import Asked, SignInFirst, Stale, TooLong, TooMany
from safeweave.words import Language, say

PROBLEM, FHIR = "application/problem+json", "application/fhir+json"

# FHIR R4 IssueType for each status.
_ISSUES = {
    400: "invalid", 401: "login", 403: "forbidden", 404: "not-found", 405: "not-supported", 409: "conflict",
    413: "too-long", 415: "not-supported", 422: "invalid", 429: "throttled", 500: "exception", 503: "transient",
}  # fmt: skip


class Problem(Exception):
    """An answer that says no: a status, what is wrong in words, and where."""

    def __init__(
        self, status: int, detail: str = "", field: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.field, self.headers = status, detail, field, dict(headers or {})


def problem_of(error: Exception, asked: Asked) -> Problem | None:
    """The problem an error is, in the caller's language if the error can say it; None if we are wrong."""
    match error:
        case Problem():
            return error
        case SignInFirst():
            return Problem(401, headers={"www-authenticate": 'Bearer realm="safeweave"'})  # RFC 6750 section 3
        case NotFound():
            return Problem(404)
        case NotAllowed():
            return Problem(403)
        case Stale():
            return Problem(409, asked.say("api.stale", version=error.version), "version")
        case Conflict():
            return Problem(409, asked.said(error) or str(error))
        case Malformed():
            return Problem(400, asked.said(error) or error.what, error.field)
        case TooLong():
            return Problem(413)
        case TooMany():
            return Problem(429, headers={"retry-after": str(error.seconds)})
        case StoreUnavailable() | Unavailable():
            return Problem(503, headers={"retry-after": "5"})
    return None


def answered(problem: Problem, instance: str, language: Language, fhir: bool) -> Response:
    """The answer for a problem."""
    title = say(f"api.problem.{problem.status}", language)
    if fhir:
        issue: dict[str, Any] = {
            "severity": "error", "code": _ISSUES.get(problem.status, "processing"),
            "diagnostics": problem.detail or title,
        }  # fmt: skip
        if problem.field:
            issue["expression"] = [problem.field]
        body: dict[str, Any] = {"resourceType": "OperationOutcome", "issue": [issue]}
    else:
        body = {"type": f"urn:safeweave:problem:{problem.status}", "title": title, "status": problem.status,
                "instance": instance}  # fmt: skip
        if problem.detail:
            body["detail"] = problem.detail
        if problem.field:
            body["field"] = problem.field
    headers = {**problem.headers, "content-language": "zh-CN" if language == "zh" else "en"}
    return Response(msgspec.json.encode(body), problem.status, headers, media_type=FHIR if fhir else PROBLEM)
