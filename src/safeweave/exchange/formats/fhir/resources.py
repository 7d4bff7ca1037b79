"""The resources of FHIR R4 as far as a claim needs them: only the fields named here are decoded, amounts exactly."""

from decimal import Decimal

import msgspec


class _Struct(msgspec.Struct, gc=False):
    pass


# ---------------------------------------------------------------- data types


class Coding(_Struct):
    system: str = ""
    code: str = ""
    display: str = ""


class Concept(_Struct):
    """A CodeableConcept."""

    coding: list[Coding] = []
    text: str = ""

    def codes(self) -> list[str]:
        """The codes of all codings, in their order."""
        return [c.code for c in self.coding]


class Identifier(_Struct):
    system: str = ""
    value: str = ""
    type: Concept | None = None

    def type_code(self) -> str:
        """The first code of the type, "" without one."""
        return next((c.code for c in self.type.coding if c.code), "") if self.type else ""


class Reference(_Struct):
    reference: str = ""
    identifier: Identifier | None = None
    display: str = ""


class Money(_Struct):
    value: Decimal | None = None
    currency: str = ""


class Quantity(_Struct):
    value: Decimal | None = None


class Period(_Struct):
    start: str = ""
    end: str = ""


class Extension(_Struct):
    url: str = ""
    valueString: str | None = None
    valueCode: str | None = None
    valueDate: str | None = None
    valueInteger: int | None = None
    valueBoolean: bool | None = None
    valueMoney: Money | None = None
    valueReference: Reference | None = None
    valueIdentifier: Identifier | None = None
    extension: list["Extension"] = []


class Meta(_Struct):
    lastUpdated: str = ""


# ---------------------------------------------------------------- people and places


class HumanName(_Struct):
    use: str = ""
    text: str = ""
    family: str = ""
    given: list[str | None] = []


class Resource(_Struct):
    """What every resource has."""

    id: str = ""


class Patient(Resource):
    identifier: list[Identifier] = []
    name: list[HumanName] = []
    gender: str = ""
    birthDate: str = ""
    deceasedDateTime: str = ""


class Organization(Resource):
    identifier: list[Identifier] = []


class Location(Organization):
    pass


# ---------------------------------------------------------------- visits


class EncounterDiagnosis(_Struct):
    condition: Reference = msgspec.field(default_factory=Reference)
    use: Concept | None = None
    rank: int | None = None


class Hospitalization(_Struct):
    admitSource: Concept | None = None
    dischargeDisposition: Concept | None = None


class StatusHistory(_Struct):
    status: str = ""
    period: Period = msgspec.field(default_factory=Period)


class Encounter(Resource):
    meta: Meta | None = None
    extension: list[Extension] = []
    identifier: list[Identifier] = []
    status: str = ""
    statusHistory: list[StatusHistory] = []
    class_: Coding | None = msgspec.field(default=None, name="class")
    priority: Concept | None = None
    subject: Reference | None = None
    period: Period | None = None
    diagnosis: list[EncounterDiagnosis] = []
    hospitalization: Hospitalization | None = None
    serviceProvider: Reference | None = None


class Condition(Resource):
    code: Concept | None = None
    verificationStatus: Concept | None = None
    encounter: Reference | None = None


# ---------------------------------------------------------------- bills


class Item(_Struct):
    """A line of a Claim."""

    sequence: int = 0
    extension: list[Extension] = []
    category: Concept | None = None
    productOrService: Concept | None = None
    servicedDate: str = ""
    servicedPeriod: Period | None = None
    quantity: Quantity | None = None
    net: Money | None = None
    encounter: list[Reference] = []


class Related(_Struct):
    claim: Reference | None = None
    relationship: Concept | None = None


class ClaimDiagnosis(_Struct):
    sequence: int = 0
    diagnosisCodeableConcept: Concept | None = None
    diagnosisReference: Reference | None = None
    type: list[Concept] = []


class Claim(Resource):
    extension: list[Extension] = []
    identifier: list[Identifier] = []
    status: str = ""
    type: Concept | None = None
    use: str = ""
    patient: Reference | None = None
    billablePeriod: Period | None = None
    created: str = ""
    provider: Reference | None = None
    related: list[Related] = []
    diagnosis: list[ClaimDiagnosis] = []
    item: list[Item] = []
    total: Money | None = None


class Payment(_Struct):
    amount: Money | None = None


class ExplanationOfBenefit(Resource):
    status: str = ""
    claim: Reference | None = None
    payment: Payment | None = None


class PriceComponent(_Struct):
    type: str = ""
    amount: Money | None = None


class InvoiceLine(_Struct):
    sequence: int = 0
    extension: list[Extension] = []
    chargeItemCodeableConcept: Concept | None = None
    chargeItemReference: Reference | None = None
    priceComponent: list[PriceComponent] = []


class Invoice(Resource):
    extension: list[Extension] = []
    identifier: list[Identifier] = []
    status: str = ""
    subject: Reference | None = None
    date: str = ""
    issuer: Reference | None = None
    lineItem: list[InvoiceLine] = []
    totalNet: Money | None = None
    totalGross: Money | None = None


class ChargeItem(Resource):
    extension: list[Extension] = []
    identifier: list[Identifier] = []
    status: str = ""
    code: Concept | None = None
    context: Reference | None = None
    occurrenceDateTime: str = ""
    occurrencePeriod: Period | None = None
    enteredDate: str = ""
    quantity: Quantity | None = None
    priceOverride: Money | None = None


READ: tuple[type[Resource], ...] = (
    Patient,
    Encounter,
    Condition,
    Claim,
    ExplanationOfBenefit,
    Invoice,
    ChargeItem,
    Organization,
    Location,
)  # named as FHIR names them; every other resource is only counted
