"""What an insurer is told before the first patient comes: policies, hospitals and who may send, as files for import."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safeweave_simulator.hospital import Hospital
from safeweave_simulator.patients import Document, Person, Policy


def _documents(documents: Iterable[Document]) -> list[dict[str, str]]:
    return [
        {"kind": document.kind, "number": document.number}
        | ({"country": document.country} if document.country != "CHN" else {})
        for document in documents
    ]


def policy_row(person: Person, policy: Policy) -> dict[str, Any]:
    """One line of policies.jsonl: one insured person under one policy, with guardian and payee."""
    insured: dict[str, Any] = {
        "person": {
            "name": person.name,
            "documents": _documents(person.documents),
            "birth": person.birth.isoformat(),
            "sex": person.sex,
            "language": "en" if person.name.isascii() or " " in person.name else "zh",
            "phone": person.phone,
        },
        "relation": "child" if person.guardian else "self",
        "enrolled": "yes" if person.social else "no",
    }
    if policy.beneficiary:
        insured["beneficiary"] = policy.beneficiary
    if person.guardian:
        guardian = person.guardian
        about = {"name": guardian.name, "documents": _documents([guardian.document])}
        insured["guardians"] = [{"person": about, "proof": "户口簿"}]
    payee = person.guardian.account if person.guardian else person.payee
    role = "guardian" if person.guardian else "insured"
    insured["payees"] = [
        {"role": role, "name": payee.holder, "account": payee.number, "bank_code": payee.bank_code},
    ]
    return {
        "number": policy.number,
        "product": policy.product,
        "bank": "main",
        "insureds": [insured],
        "changes": [
            {
                "kind": "period",
                "first_day": period.first_day.isoformat(),
                "last_day": period.last_day.isoformat(),
                "since": period.since.isoformat(),
            }
            for period in policy.periods
        ],
    }


def policy_rows(people: Iterable[Person]) -> list[dict[str, Any]]:
    """The lines of policies.jsonl for everybody who holds a policy."""
    return [policy_row(person, policy) for person in people for policy in person.policies]


def hospital_rows(hospitals: Iterable[Hospital]) -> list[dict[str, Any]]:
    """The lines of hospitals.jsonl, as `safeweave hospitals import` reads them."""
    return [
        {
            "code": hospital.code,
            "name": hospital.name,
            "name_en": hospital.name_en,
            "level": hospital.level,
            "public": hospital.public,
            "region": hospital.region,
        }
        for hospital in hospitals
    ]


def sender_rows(hospitals: Iterable[Hospital]) -> list[dict[str, str]]:
    """The lines of senders.jsonl: id, institution code, and what MSH-3 and MSH-4 of each hospital say."""
    return [
        {"id": hospital.code, "hospital": hospital.code, "hl7_application": "HIS", "hl7_facility": hospital.code}
        for hospital in hospitals
    ]


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
