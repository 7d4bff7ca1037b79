"""What the state of an Encounter tells: admission, discharge, outpatient visit, leave, or that it never was."""

from datetime import datetime
from typing import Literal

from safeweave.clock import shanghai_day
from safeweave.errors import Malformed
from safeweave.events import (
    AdmissionCancelled,
    AdmissionReported,
    Diagnosis,
    HospitalEvent,
    LeaveBegan,
    LeaveEnded,
    OutpatientVisited,
    PatientDischarged,
)
from safeweave.exchange.formats.fhir import resources as fhir
from safeweave.exchange.formats.fhir.found import Found, Role, by_url, code_of, diagnosis_of, place
from safeweave.exchange.formats.fhir.persons import hospital_of, person_of
from safeweave.exchange.formats.fhir.profile import (
    ACCIDENT_ON,
    DISCHARGE_WAY,
    EMERGENCY,
    ICU_DAYS,
    INPATIENT,
    NEVER_WAS,
    TREATMENT,
    WARD,
    WARDS,
)
from safeweave.exchange.formats.values import DISCHARGES, DISPOSITIONS, day_in, diagnoses_for, instant_in
from safeweave.facts import Ward

_VISIT_NUMBERS = ("urn:oid:2.16.156.10011.1.12", "urn:oid:2.16.156.10011.1.11")  # 住院号, 门诊号
_HERE = ("arrived", "triaged", "in-progress", "onleave")
_STATUSES = (*_HERE, "planned", "finished", "cancelled", "entered-in-error", "unknown")
_DISPOSITIONS = {
    "home": "1",
    "alt-home": "1",
    "other-hcf": "2",
    "aadvice": "4",
    "exp": "5",
    "oth": "9",
    "hosp": "9",
    "rehab": "9",
}
_ROLES: dict[str, Role] = {"AD": "A", "DD": "F"}


class Encounters:
    """The encounters of a message: the visits they stand for, and what they tell."""

    def __init__(self, found: Found) -> None:
        self.found = found
        self.conditions: dict[int, list[fhir.Condition]] = {}
        for _, condition in found.all(fhir.Condition):
            encounter = found.resolve(condition.encounter, fhir.Encounter)
            if encounter is not None:
                self.conditions.setdefault(id(encounter), []).append(condition)

    def visit(self, encounter: fhir.Encounter, path: str = "") -> str:
        """The number of the visit an encounter is; Malformed if it has neither number nor id."""
        number = "" if self.found.sender.claims_from_encounters else self._number(encounter)
        if not number and not encounter.id:
            raise Malformed("no identifier and no id; send the number of the visit", field=place(path, "identifier"))
        return number or encounter.id

    @staticmethod
    def _number(encounter: fhir.Encounter) -> str:
        told = [i for i in encounter.identifier if i.value]
        best = [i for i in told if i.system in _VISIT_NUMBERS or i.type_code() == "VN"]
        return (best or told)[0].value if told else ""

    def visit_of(self, reference: fhir.Reference | None) -> str:
        """The visit a reference means: its identifier, else the Encounter in this message, else the id it names."""
        if reference is None:
            return ""
        if reference.identifier is not None and reference.identifier.value:
            return reference.identifier.value
        encounter = self.found.resolve(reference, fhir.Encounter)
        if encounter is not None:
            return self.visit(encounter)
        url = reference.reference.partition("/_history/")[0]
        return url.rsplit("/", 1)[-1].removeprefix("urn:uuid:")

    def told(self) -> list[HospitalEvent]:
        """What the encounters of the message tell, in its order."""
        return [event for path, encounter in self.found.all(fhir.Encounter) for event in self._told(encounter, path)]

    def _told(self, encounter: fhir.Encounter, path: str) -> list[HospitalEvent]:
        found, sender = self.found, self.found.sender
        visit = self.visit(encounter, path)
        status, class_ = encounter.status, encounter.class_.code if encounter.class_ else ""
        if status not in _STATUSES:
            raise Malformed(
                f"no Encounter status of R4; write one of {', '.join(_STATUSES)}", field=place(path, "status")
            )
        hospital = hospital_of(found, encounter.serviceProvider)
        period = encounter.period or fhir.Period()
        start = instant_in(period.start, place(path, "period.start")) if period.start else None
        end = instant_in(period.end, place(path, "period.end")) if period.end else None
        recorded = encounter.meta.lastUpdated if encounter.meta else ""
        recorded_at = instant_in(recorded, place(path, "meta.lastUpdated")) if recorded else None

        if status in NEVER_WAS:
            at = recorded_at or found.sent_at or end or start
            if at is None:
                raise Malformed("no time; send meta.lastUpdated", field=place(path, "meta.lastUpdated"))
            return [AdmissionCancelled(occurred_at=at, visit=visit, sender=sender.id, hospital=hospital)]
        if status in ("planned", "unknown") or class_ == "PRENC":
            found.note(f"Encounter {class_[:10]} {status} moves no case")
            return []
        if start is None:
            raise Malformed("missing; send when the visit began", field=place(path, "period.start"))
        person = person_of(found, encounter.subject, place(path, "subject"))
        diagnoses = diagnoses_for(self._diagnoses(encounter, path), sender, found.notes)
        extensions = by_url(encounter.extension)
        emergency = self._emergency(encounter, class_, extensions.get(EMERGENCY))
        accident = extensions.get(ACCIDENT_ON)
        accident_on = None
        if accident is not None and accident.valueDate:
            accident_on = day_in(accident.valueDate, place(path, "extension.accident-on.valueDate"))

        if class_ not in INPATIENT:
            return [
                OutpatientVisited(
                    occurred_at=recorded_at or start,
                    visit=visit,
                    sender=sender.id,
                    hospital=hospital,
                    person=person,
                    visited_at=start,
                    diagnoses=diagnoses,
                    treatment=code_of(extensions.get(TREATMENT)),
                    emergency=emergency,
                    accident_on=accident_on,
                )
            ]
        leaves = self._leaves(encounter, visit, hospital, path)
        ward = self._ward(code_of(extensions.get(WARD)))
        discharged: list[HospitalEvent] = []
        if status == "finished":
            if end is None:
                raise Malformed("missing; a finished stay has an end", field=place(path, "period.end"))
            icu = extensions.get(ICU_DAYS)
            told = PatientDischarged(
                occurred_at=recorded_at or end,
                visit=visit,
                sender=sender.id,
                hospital=hospital,
                discharged_at=end,
                diagnoses=diagnoses,
                disposition="5" if self._died(encounter, start, end) else self._disposition(encounter),
                icu_days=icu.valueInteger or 0 if icu else 0,
                person=person,
                admitted_at=start,
            )
            if ward == "ordinary" and not emergency and accident_on is None:
                return [*leaves, told]
            discharged = [told]  # a discharge says nothing of these three, so the admission is told with it
        at = start if status == "finished" else recorded_at or found.sent_at or start
        admitted = AdmissionReported(
            occurred_at=at,
            visit=visit,
            sender=sender.id,
            hospital=hospital,
            person=person,
            admitted_at=start,
            diagnoses=diagnoses,
            ward=ward,
            emergency=emergency,
            accident_on=accident_on,
        )
        if status == "onleave" and not any(h.status == "onleave" and not h.period.end for h in encounter.statusHistory):
            leaves.append(LeaveBegan(occurred_at=at, visit=visit, sender=sender.id, hospital=hospital))
        return [admitted, *leaves, *discharged]

    def _diagnoses(self, encounter: fhir.Encounter, path: str) -> list[Diagnosis]:
        found = self.found
        listed: list[tuple[int, Diagnosis]] = []
        seen: set[int] = set()
        for told in encounter.diagnosis:
            condition = found.resolve(told.condition, fhir.Condition)
            if condition is None:
                found.note("a diagnosis refers to a Condition that is not in this message")
                continue
            seen.add(id(condition))
            role: Role = next((_ROLES[c] for c in (told.use.codes() if told.use else ()) if c in _ROLES), "W")
            diagnosis = diagnosis_of(condition.code, role, told.rank == 1, found)
            if diagnosis is not None and _stands(condition):
                listed.append((told.rank or 1_000_000, diagnosis))
        listed.sort(key=lambda pair: pair[0])
        for condition in self.conditions.get(id(encounter), ()):
            if id(condition) not in seen and _stands(condition):
                diagnosis = diagnosis_of(condition.code, "W", False, found)
                if diagnosis is not None:
                    listed.append((0, diagnosis))
        return [diagnosis for _, diagnosis in listed]

    @staticmethod
    def _emergency(encounter: fhir.Encounter, class_: str, told: fhir.Extension | None) -> bool:
        if told is not None and told.valueBoolean is not None:
            return told.valueBoolean
        source = encounter.hospitalization.admitSource if encounter.hospitalization else None
        priority = encounter.priority.codes() if encounter.priority else ()
        return class_ == "EMER" or "EM" in priority or "emd" in (source.codes() if source else ())

    def _ward(self, told: str) -> Ward:
        if told and told not in WARDS:
            self.found.note(f'ward "{told[:20]}" is not known')
        return told if told in WARDS else "ordinary"  # type: ignore[return-value]

    def _disposition(self, encounter: fhir.Encounter) -> Literal["1", "2", "3", "4", "5", "9", ""]:
        told = encounter.hospitalization.dischargeDisposition if encounter.hospitalization else None
        for coding in told.coding if told else ():
            if coding.system == DISCHARGE_WAY and coding.code in DISPOSITIONS:
                return coding.code  # type: ignore[return-value]
            known = _DISPOSITIONS.get(coding.code) or DISCHARGES.get(coding.code)
            if known:
                return known  # type: ignore[return-value]
        if told is not None:
            self.found.note("a discharge disposition is not known")
        return ""

    def _died(self, encounter: fhir.Encounter, start: datetime, end: datetime) -> bool:
        """Whether the patient's day of death lies in the stay."""
        patient = self.found.resolve(encounter.subject, fhir.Patient)
        if patient is None or not patient.deceasedDateTime:
            return False
        died_on = day_in(patient.deceasedDateTime, "Patient.deceasedDateTime")
        return shanghai_day(start) <= died_on <= shanghai_day(end)

    def _leaves(self, encounter: fhir.Encounter, visit: str, hospital: str, path: str) -> list[HospitalEvent]:
        events: list[HospitalEvent] = []
        for index, history in enumerate(encounter.statusHistory):
            if history.status != "onleave" or not history.period.start:
                continue
            where = place(path, f"statusHistory[{index}].period")
            for text, end, make in (
                (history.period.start, ".start", LeaveBegan),
                (history.period.end, ".end", LeaveEnded),
            ):
                if text:
                    at = instant_in(text, where + end)
                    events.append(make(occurred_at=at, visit=visit, sender=self.found.sender.id, hospital=hospital))
        return events


def _stands(condition: fhir.Condition) -> bool:
    status = condition.verificationStatus.codes() if condition.verificationStatus else ()
    return "refuted" not in status and "entered-in-error" not in status
