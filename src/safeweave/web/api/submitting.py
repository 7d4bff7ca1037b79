"""Claim/$submit: a hospital's claim, taken like any message at its door, and answered as a ClaimResponse."""

from typing import Any

import msgspec

from safeweave.database import Transaction
from safeweave.errors import Malformed
from safeweave.exchange import inbound, senders
from safeweave.exchange.formats import Limits
from safeweave.web.api.call import Answer, Call, Endpoints
from safeweave.web.api.problem import FHIR
from safeweave.web.resources import instant

endpoints = Endpoints()


@endpoints.post("/fhir/Claim/$submit", "submit", scope="Claim", kind=FHIR)
def submit(call: Call, tx: Transaction) -> Answer:
    """Take a Claim, alone or in a Bundle with what it rests on; the decision follows and is read later."""
    sender = senders.every(tx).get(call.must_as_sender(tx, "claims.submit"))
    if sender is None:
        raise Malformed("this client's hospital is no registered sender")
    claim = _claim(call)
    limits = Limits(max_bytes=call.asked.site.settings.max_message_bytes)
    arrived = inbound.open_message(call.raw, sender, limits, "application/fhir+json")
    (receipt,), told = inbound.take(tx, [arrived], call.asked.now)
    call.asked.tell(tx, told)
    if receipt.fault is not None:  # it is kept for repair like any message, so nothing is rolled back
        issue = {
            "severity": "error",
            "code": "conflict" if receipt.status == "conflict" else "invalid",
            "diagnostics": receipt.fault.what,
            "expression": [receipt.fault.field or f"line {receipt.fault.line}"],
        }
        refused = {"resourceType": "OperationOutcome", "issue": [issue]}
        return Answer(refused, 409 if receipt.status == "conflict" else 422)
    settings = call.asked.site.settings
    return Answer({
        "resourceType": "ClaimResponse",
        "id": f"message-{receipt.number}",
        "identifier": [{"system": "urn:safeweave:message", "value": str(receipt.number)}],
        "status": "active",
        "type": claim["type"],
        "use": "claim",
        "patient": claim["patient"],
        "created": instant(call.asked.now),
        "insurer": {"type": "Organization", "display": settings.company},
        "request": {"type": "Claim", **({"display": claim["id"]} if claim.get("id") else {})},
        "outcome": "queued",
        "disposition": receipt.status,
    })  # fmt: skip


def _claim(call: Call) -> dict[str, Any]:
    """The one claim that is submitted. Raises Malformed."""
    told = call.body(dict[str, Any])
    found = [told]
    if told.get("resourceType") == "Bundle":
        entries = told.get("entry") if isinstance(told.get("entry"), list) else []
        found = [each["resource"] for each in entries or [] if isinstance(each, dict) and "resource" in each]
    claims = [each for each in found if isinstance(each, dict) and each.get("resourceType") == "Claim"]
    if len(claims) != 1:
        raise Malformed(f"one Claim is submitted at a time, not {len(claims)}", field="resourceType")
    (claim,) = claims
    for name in ("type", "patient"):
        try:
            msgspec.convert(claim.get(name), dict[str, Any])
        except msgspec.ValidationError:
            raise Malformed("a Claim says it", field=name) from None
    return claim
