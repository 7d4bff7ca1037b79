"""What a hospital puts on the wire for each happening: HL7 v2, FHIR bundles, 医保 JSON and fiscal e-bills.

The forms are those of docs/reference/wire.md. Nothing here decides; everything is written from the happening alone.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from xml.sax.saxutils import escape

import msgspec

from safeweave.clock import SHANGHAI
from safeweave.money import yuan_text
from safeweave_simulator.bills import CHARGE_CLASSES, Bill, FeeLine
from safeweave_simulator.patients import Document, Person
from safeweave_simulator.stays import Happening, Stay

Door = Literal["mllp", "fhir", "yibao", "ebill"]
SW = "https://safeweave.example/fhir/"
_V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"
_encode = msgspec.json.Encoder(decimal_format="number").encode

CONTENT_TYPES: dict[Door, str] = {
    "mllp": "application/hl7-v2",
    "fhir": "application/fhir+json",
    "yibao": "application/json",
    "ebill": "application/xml",
}


class Message(msgspec.Struct, frozen=True):
    """One message as it goes out. `id` is the control id under which a repetition is recognised; `at` simulated."""

    at: datetime
    hospital: str
    door: Door
    id: str
    what: str
    stay: int
    body: bytes


def yuan(fen: int) -> Decimal:
    """The amount as a JSON number with two decimals."""
    return Decimal(fen).scaleb(-2)


def _digits(ten_thousandths: int) -> str:
    """A quantity without needless zeros: 15000 is "1.5"."""
    whole, rest = divmod(abs(ten_thousandths), 10_000)
    text = f"{whole}.{rest:04d}".rstrip("0").rstrip(".")
    return f"-{text}" if ten_thousandths < 0 else text


def names_of(name: str) -> tuple[str, str]:
    """Family and given name."""
    if " " in name:
        parts = name.split(" ")
        return (" ".join(parts[1:]), parts[0])
    cut = 2 if name[:2] in ("欧阳", "上官", "司徒", "诸葛", "测试") and len(name) > 2 else 1
    return name[:cut], name[cut:]


# ---------------------------------------------------------------- HL7 v2

_HL7_ESCAPES = str.maketrans({"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"})
_CX_TYPES = {
    "resident_id": ("CN-MPS", "NI"),
    "hmt_residence_permit": ("CN-MPS", "NI"),
    "foreign_permanent_resident": ("CN-NIA", "PRC"),
}
# Trigger, message structure, and whether it tells diagnoses.
_ADT = {
    "admitted": ("A01", "ADT_A01", "A"),
    "visited": ("A04", "ADT_A01", "F"),
    "updated": ("A08", "ADT_A01", "W"),
    "moved": ("A02", "ADT_A02", ""),
    "left": ("A21", "ADT_A21", ""),
    "returned": ("A22", "ADT_A21", ""),
    "discharged": ("A03", "ADT_A03", "F"),
    "admission_cancelled": ("A11", "ADT_A09", ""),
    "discharge_cancelled": ("A13", "ADT_A01", ""),
}


def _hl7_time(at: datetime) -> str:
    return at.astimezone(SHANGHAI).strftime("%Y%m%d%H%M%S+0800")


def _segment(name: str, fields: dict[int, str]) -> str:
    return "|".join([name, *(fields.get(n, "") for n in range(1, max(fields) + 1))])


def _cx(document: Document) -> str:
    authority, kind = _CX_TYPES.get(document.kind, (document.country, "PPN"))
    return f"{document.number}^^^{authority}^{kind}"


def hl7_message(happening: Happening, control_id: str, sequence: int, sent_at: datetime) -> bytes:
    """The ADT or DFT message of a happening, in the character set of its hospital."""
    stay, hospital = happening.stay, happening.stay.hospital
    if happening.kind == "charged":
        trigger, structure, role = "P03", "DFT_P03", ""
        message_type = "DFT^P03^DFT_P03"
    else:
        trigger, structure, role = _ADT[happening.kind]
        message_type = f"ADT^{trigger}^{structure}"
    segments = [
        f"MSH|^~\\&|HIS|{hospital.code}|CLAIMS|INS01|{_hl7_time(sent_at)}||{message_type}|{control_id}|P|2.5.1"
        f"|{sequence}||AL|NE|CHN|{hospital.charset}",
        _segment("EVN", {2: _hl7_time(happening.at + timedelta(seconds=30)), 5: "OP01", 6: _hl7_time(happening.at)}),
        _pid(stay, dead=happening.kind == "discharged" and stay.disposition == "5"),
        _pv1(stay),
    ]
    if role:
        for number, (code, name) in enumerate(stay.diagnoses, 1):
            fields = {
                1: str(number),
                3: f"{code}^{name}^I10-NHSA",
                5: f"{happening.at.astimezone(SHANGHAI):%Y%m%d}",
                6: role,
            }
            segments.append(_segment("DG1", fields | {15: "1" if number == 1 else "2"}))
    if happening.kind in ("admitted", "visited") and stay.accident_on:
        segments.append(f"ACC|{stay.accident_on:%Y%m%d}")
    segments += [_ft1(number, stay, line) for number, line in enumerate(happening.lines, 1)]
    text = "\r".join(segments) + "\r"
    return text.encode("gb18030" if hospital.charset == "GB18030" else "utf-8")


def _pid(stay: Stay, *, dead: bool) -> str:
    person = stay.person
    family, given = (part.translate(_HL7_ESCAPES) for part in names_of(person.name))
    fields = {
        1: "1",
        3: f"{stay.record}^^^{stay.hospital.code}^MR~" + "~".join(map(_cx, person.documents)),
        5: f"{family}^{given}",
        7: f"{person.birth:%Y%m%d}",
        8: person.sex,
    }
    if dead and stay.discharged_at:
        fields |= {29: _hl7_time(stay.discharged_at), 30: "Y"}
    return _segment("PID", fields)


def _pv1(stay: Stay) -> str:
    hospital = stay.hospital.code
    fields = {
        1: "1",
        2: "I" if stay.inpatient else "O",
        3: f"{stay.ward.code}^{stay.bed:03d}^01^{hospital}",
        4: "E" if stay.emergency else "R",
        10: stay.ward.department,
        19: f"{stay.visit}^^^{hospital}^VN",
        44: _hl7_time(stay.admitted_at),
    }
    if stay.discharged_at:
        fields |= {36: stay.disposition, 45: _hl7_time(stay.discharged_at)}
    return _segment("PV1", fields)


def _charge_id(stay: Stay, number: int) -> str:
    return f"{stay.visit}-{number:04d}"


def _ft1(number: int, stay: Stay, line: FeeLine) -> str:
    item = line.item
    price = Decimal(item.price).scaleb(-4).normalize()
    fields = {
        1: str(number),
        2: _charge_id(stay, line.no),
        4: _hl7_time(line.at),
        6: "CD" if line.refund_of else "CG",
        7: f"{item.code}^{item.name}^NHSA^{item.category}^{CHARGE_CLASSES[item.category]}^CHRGITM",
        10: _digits(line.count),
        11: f"{yuan_text(line.amount)}&CNY",
        12: f"{price:f}&CNY",
    }
    if line.refund_of:
        fields[8] = f"退{_charge_id(stay, line.refund_of)}"
    return _segment("FT1", fields)


# ---------------------------------------------------------------- 医保

_CERT_TYPES = {
    "resident_id": "01",
    "hmt_residence_permit": "01",
    "foreign_permanent_resident": "07",
    "passport": "08",
}
_LEVELS = {"甲": "01", "乙": "02", "丙": "03"}


def _clock(at: datetime) -> str:
    return at.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")


def yibao_id(stay: Stay, number: int, sent_at: datetime) -> str:
    """A msgid: institution code, second of sending, four digits."""
    return f"{stay.hospital.code}{sent_at.astimezone(SHANGHAI):%Y%m%d%H%M%S}{(stay.no * 16 + number) % 10_000:04d}"


def yibao_message(happening: Happening, control_id: str, sent_at: datetime) -> bytes:
    """4101A for a settlement, 2305 (inpatient) or 2208 for its cancellation."""
    stay, bill = happening.stay, happening.bill
    assert bill is not None
    person = stay.person
    content: dict[str, Any]
    visit = {"ipt_no" if stay.inpatient else "ipt_otp_no": stay.visit}
    if happening.kind == "settled" and stay.no % 5 == 3:
        visit = {}  # found by its bill
    if happening.kind == "settlement_cancelled":
        infno = "2305" if stay.inpatient else "2208"
        data = {
            "psn_no": person.social_number,
            "mdtrt_id": stay.medical_visit,
            "setl_id": happening.settlement_no,
            **visit,
        }
        content = {"data": data}
    else:
        infno = "4101A"
        content = _settlement_content(happening, bill, visit)
    return _encode(
        {
            "infno": infno,
            "msgid": control_id,
            "mdtrtarea_admvs": stay.hospital.region,
            "insuplc_admdvs": "330200",
            "recer_sys_code": "FSI_SYS",
            "infver": "V1.0",
            "opter_type": "1",
            "opter": "OP01",
            "opter_name": "结算员",
            "inf_time": _clock(sent_at),
            "fixmedins_code": stay.hospital.code,
            "fixmedins_name": stay.hospital.name,
            "input": content,
        }
    )


def _settlement_content(happening: Happening, bill: Bill, visit: dict[str, str]) -> dict[str, Any]:
    stay, settlement, person = happening.stay, bill.settlement, happening.stay.person
    assert settlement is not None
    pool = "310100" if person.social == "310" else "390100"
    funds = (
        (pool, "统筹基金", settlement.hifp),
        ("320100", "公务员补助", settlement.cvlserv),
        ("330100", "大额补助", settlement.hifob),
        ("390200", "居民大病", settlement.hifmi),
        ("610100", "医疗救助", settlement.maf),
    )
    intensive = stay.intensive_hours
    return {
        "setlinfo": {
            "psn_no": person.social_number,
            "mdtrt_id": stay.medical_visit,
            "setl_id": happening.settlement_no,
            **visit,
            "medcasno": stay.record,
            "psn_name": person.name,
            "psn_cert_type": _CERT_TYPES[stay.document.kind],
            "certno": stay.document.number,
            "gend": "1" if person.sex == "M" else "2",
            "brdy": person.birth.isoformat(),
            "insutype": person.social,
            "med_type": "21" if stay.inpatient else "13" if stay.emergency else "11",
            "adm_time": _clock(stay.admitted_at),
            "dscg_time": _clock(stay.discharged_at or stay.admitted_at),
            **({"dscg_way": stay.disposition} if stay.disposition else {}),
            **(
                {"acp_medins_name": stay.transferred_to.name, "acp_optins_code": stay.transferred_to.code}
                if stay.transferred_to
                else {}
            ),
            "bill_code": bill.code,
            "bill_no": bill.number,
            "setl_time": _clock(happening.at),
            "medfee_sumamt": yuan(settlement.total),
            "fulamt_ownpay_amt": yuan(settlement.own),
            "overlmt_selfpay": yuan(settlement.over),
            "preselfpay_amt": yuan(settlement.first),
            "inscp_scp_amt": yuan(settlement.within),
            "act_pay_dedc": yuan(settlement.threshold),
            "hifp_pay": yuan(settlement.hifp),
            "cvlserv_pay": yuan(settlement.cvlserv),
            "hifes_pay": yuan(0),
            "hifmi_pay": yuan(settlement.hifmi),
            "hifob_pay": yuan(settlement.hifob),
            "maf_pay": yuan(settlement.maf),
            "oth_pay": yuan(0),
            "fund_pay_sumamt": yuan(settlement.fund_total),
            "psn_part_amt": yuan(settlement.person),
            "acct_pay": yuan(settlement.account),
            "psn_cash_pay": yuan(settlement.cash),
            "acct_mulaid_pay": yuan(0),
            "hosp_part_amt": yuan(0),
        },
        "setldetail": [
            {"fund_pay_type": code, "fund_pay_type_name": name, "fund_payamt": yuan(fen)}
            for code, name, fen in funds
            if fen
        ],
        "feedetail": [_fee_detail(stay, line) for line in bill.lines],
        "diseinfo": [
            {
                "diag_type": "1",
                "maindiag_flag": "1" if number == 0 else "0",
                "diag_code": code,
                "diag_name": name,
                "adm_cond_type": "1",
            }
            for number, (code, name) in enumerate(stay.diagnoses)
        ],
        "icuinfo": [{"scs_cutd_ward_type": "1", "scs_cutd_sum_dura": f"{intensive // 24}/{intensive % 24}/0"}]
        if intensive
        else [],
    }


def _fee_detail(stay: Stay, line: FeeLine) -> dict[str, Any]:
    item = line.item
    share = {"甲": 0, "乙": item.share, "丙": 10_000}[item.catalogue_class]
    return {
        "feedetl_sn": _charge_id(stay, line.no),
        **({"init_feedetl_sn": _charge_id(stay, line.refund_of)} if line.refund_of else {}),
        "mdtrt_id": stay.medical_visit,
        "fee_ocur_time": _clock(line.at),
        "med_list_codg": item.code,
        "medins_list_codg": item.local,
        "medins_list_name": item.name,
        "det_item_fee_sumamt": yuan(line.amount),
        "cnt": Decimal(line.count).scaleb(-4),
        "pric": Decimal(item.price).scaleb(-4),
        "pric_uplmt_amt": yuan(item.cap),
        "selfpay_prop": Decimal(share).scaleb(-4),
        "fulamt_ownpay_amt": yuan(line.own),
        "overlmt_amt": yuan(line.over),
        "preselfpay_amt": yuan(line.first),
        "inscp_scp_amt": yuan(line.within),
        "chrgitm_lv": _LEVELS[item.catalogue_class],
        "med_chrgitm_type": item.category,
    }


# ---------------------------------------------------------------- fiscal e-bill


def _tags(pairs: Iterable[tuple[str, str]]) -> str:
    return "".join(f"<{name}>{escape(text)}</{name}>" for name, text in pairs)


def masked(number: str) -> str:
    """The number with its middle starred, as printed on a bill."""
    return (
        number[:6] + "*" * (len(number) - 10) + number[-4:]
        if len(number) > 10
        else number[:2] + "*" * (len(number) - 2)
    )


def ebill_message(happening: Happening, *, listed: bool = True) -> bytes:
    """The e-bill of a `billed` happening, or the red bill of a `reversed` one; `listed`: with the line list."""
    stay, bill = happening.stay, happening.bill
    assert bill is not None
    hospital, person = stay.hospital, stay.person
    code, number = happening.red or (bill.code, bill.number)
    total = -bill.total if happening.red else bill.total + happening.false_total
    issued = happening.at.astimezone(SHANGHAI)
    related = (bill.code, bill.number) if happening.red else bill.replaces
    head = _tags((("EInvoiceTag", "CZ-EI-33"), ("EInvoiceID", f"{code}-{number}"), ("Version", "1.0")))
    kind = "住院" if stay.inpatient else "门诊"
    main = _tags(
        (
            ("EInvoiceName", f"医疗{kind}收费票据（电子）"),
            ("EInvoiceCode", code),
            ("EInvoiceNumber", number),
            ("RandomNumber", bill.check),
            ("SupervisorAreaCode", hospital.region),
            ("TotalAmount", yuan_text(total)),
            ("IssueDate", f"{issued:%Y%m%d}"),
            ("IssueTime", f"{issued:%H:%M:%S}"),
        )
    )
    parties = (
        "<InvoicingParty>"
        + _tags((("InvoicingPartyCode", hospital.uscc), ("InvoicingPartyName", hospital.name)))
        + "</InvoicingParty><PayerParty>"
        + _tags(
            (("PayerPartyType", "1"), ("PayerPartyCode", masked(stay.document.number)), ("PayerPartyName", person.name))
        )
        + "</PayerParty>"
    )
    business = _tags((("BizCode", f"{stay.visit}{number[-1]}"), ("CurrencyType", "CNY")))
    if happening.red:
        extra, details = _tags((_visit_tag(stay),)), ""
    else:
        extra, details = _tags(_bill_extra(stay, bill)), _details(bill, listed=listed)
    if related:
        extra += _tags((("RelatedInvoiceCode", related[0]), ("RelatedInvoiceNumber", related[1])))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<EInvoice><Header>{head}</Header><EInvoiceData><Main>{main}{parties}{business}<MainExt>{extra}</MainExt></Main>"
        f"{details}</EInvoiceData></EInvoice>"
    ).encode()


def _visit_tag(stay: Stay) -> tuple[str, str]:
    return ("HospitalizationNumber" if stay.inpatient else "PatientNumber", stay.visit)


def _bill_extra(stay: Stay, bill: Bill) -> list[tuple[str, str]]:
    person, settlement = stay.person, bill.settlement
    kind = {"310": "职工基本医疗保险", "390": "城乡居民基本医疗保险", "": "自费"}[person.social if settlement else ""]
    amounts = (
        (
            ("FundPayAmount", settlement.hifp),
            ("OtherPayAmount", settlement.other),
            ("AccountPayAmount", settlement.account),
            ("OwnPayAmount", settlement.cash),
            ("SelfpaymentAmount", settlement.self_pay),
            ("SelfpaymentCost", settlement.self_cost),
        )
        if settlement
        else (
            ("FundPayAmount", 0),
            ("OtherPayAmount", 0),
            ("AccountPayAmount", 0),
            ("OwnPayAmount", bill.total),
            ("SelfpaymentAmount", 0),
            ("SelfpaymentCost", bill.total),
        )
    )
    pairs = [("Gender", "男" if person.sex == "M" else "女"), ("Age", str(person.age_on(stay.admitted_at.date())))]
    pairs.append(("MedicalInsuranceType", kind))
    if settlement:
        pairs.append(("MedicalInsuranceID", person.social_number))
    pairs += [(name, yuan_text(fen)) for name, fen in amounts]
    pairs.append(_visit_tag(stay))
    if not stay.inpatient:
        return [*pairs, ("MedicalDate", stay.admitted_at.date().isoformat())]
    prepayment = bill.prepayment
    return [
        *pairs,
        ("CaseNumber", stay.record),
        ("DepartmentName", stay.ward.department),
        ("InHospitalDate", stay.admitted_at.astimezone(SHANGHAI).date().isoformat()),
        ("OutHospitalDate", (stay.discharged_at or stay.admitted_at).astimezone(SHANGHAI).date().isoformat()),
        ("PrepayAmount", yuan_text(prepayment.prepaid)),
        ("RechargeAmount", yuan_text(prepayment.recharged)),
        ("RefundAmount", yuan_text(prepayment.refunded)),
    ]


def netted(lines: Sequence[FeeLine]) -> list[tuple[FeeLine, int, int]]:
    """The lines with what was taken back subtracted, as a line list prints them: (line, amount in fen, count)."""
    back: dict[int, tuple[int, int]] = {}
    for line in lines:
        if line.refund_of:
            amount, count = back.get(line.refund_of, (0, 0))
            back[line.refund_of] = amount + line.amount, count + line.count
    rows = []
    for line in lines:
        if not line.refund_of:
            amount, count = back.get(line.no, (0, 0))
            if line.count + count:
                rows.append((line, line.amount + amount, line.count + count))
    return rows


def _details(bill: Bill, *, listed: bool) -> str:
    items = ""
    for code, fen in bill.by_class().items():
        charge = (("ItemCode", code), ("ItemName", CHARGE_CLASSES[code]), ("ItemAmount", yuan_text(fen)))
        items += f"<Item>{_tags(charge)}</Item>"
    if not listed:
        return f"<Details>{items}</Details>"
    rows = []
    for line, amount, count in netted(bill.lines):
        item = line.item
        pairs = (
            ("AuxItemRelatedCode", item.category),
            ("AuxItemRelatedName", CHARGE_CLASSES[item.category]),
            ("AuxItemCode", item.code),
            ("AuxItemName", item.name),
            ("AuxItemQuantity", _digits(count)),
            ("AuxItemUnit", item.unit),
            ("AuxItemAmount", yuan_text(amount)),
            ("AuxItemRemark", f"{item.catalogue_class}类"),
        )
        rows.append(f"<AuxItem>{_tags(pairs)}</AuxItem>")
    return f"<Details>{items}</Details><AuxDetails>{''.join(rows)}</AuxDetails>"


# ---------------------------------------------------------------- FHIR

_ENCOUNTER_STATUS = {
    "admitted": "in-progress",
    "updated": "in-progress",
    "moved": "in-progress",
    "left": "onleave",
    "returned": "in-progress",
    "discharged": "finished",
    "admission_cancelled": "cancelled",
    "discharge_cancelled": "in-progress",
    "visited": "finished",
}


def _fhir_time(at: datetime) -> str:
    return at.astimezone(SHANGHAI).isoformat(timespec="seconds")


def _base(stay: Stay) -> str:
    return f"https://{stay.hospital.code.lower()}.example/fhir"


def _money(fen: int) -> dict[str, Any]:
    return {"value": yuan(fen), "currency": "CNY"}


def _coded(system: str, code: str, display: str = "") -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, **({"display": display} if display else {})}]}


def fhir_message(happening: Happening, control_id: str, sent_at: datetime) -> bytes:
    """The bundle of a happening: an Encounter with its Patient, ChargeItems, or the Claim that stands for a bill."""
    stay = happening.stay
    if happening.kind == "charged":
        resources = [_charge_item(stay, line) for line in happening.lines]
    elif happening.kind in ("billed", "reversed"):
        resources = [_patient(stay), _claim(happening)]
    else:
        conditions = [_condition(stay, number) for number in range(len(stay.diagnoses))]
        resources = [_patient(stay), *conditions, _encounter(happening)]
    return _encode(
        {
            "resourceType": "Bundle",
            "identifier": {"system": f"{_base(stay)}/message", "value": control_id},
            "type": "collection",
            "timestamp": _fhir_time(sent_at),
            "entry": [
                {"fullUrl": f"{_base(stay)}/{resource['resourceType']}/{resource['id']}", "resource": resource}
                for resource in resources
            ],
        }
    )


def _patient_id(person: Person) -> str:
    return f"p{person.no}"


def _patient(stay: Stay) -> dict[str, Any]:
    person = stay.person
    identifiers: list[dict[str, Any]] = []
    for document in person.documents:
        if document.kind in ("resident_id", "hmt_residence_permit"):
            identifiers.append({"system": "urn:oid:2.16.156.10011.1.3", "value": document.number})
        else:
            kind = "PPN" if document.kind == "passport" else "PRC"
            system = f"urn:iso:std:iso:3166:{document.country}"
            identifiers.append({"type": _coded(_V2_0203, kind), "system": system, "value": document.number})
    identifiers.append({"type": _coded(_V2_0203, "MR"), "system": f"{_base(stay)}/mr", "value": stay.record})
    return {
        "resourceType": "Patient",
        "id": _patient_id(person),
        "identifier": identifiers,
        "name": [{"text": person.name}],
        "gender": "female" if person.sex == "F" else "male",
        "birthDate": person.birth.isoformat(),
    }


def _condition(stay: Stay, number: int) -> dict[str, Any]:
    code, name = stay.diagnoses[number]
    return {
        "resourceType": "Condition",
        "id": f"c{stay.no}-{number + 1}",
        "code": _coded(f"{SW}icd-10-nhsa", code, name),
        "subject": {"reference": f"Patient/{_patient_id(stay.person)}"},
        "encounter": {"reference": f"Encounter/e{stay.no}"},
    }


def _visit_identifier(stay: Stay) -> dict[str, Any]:
    return {"system": f"urn:oid:2.16.156.10011.1.{12 if stay.inpatient else 11}", "value": stay.visit}


def _encounter(happening: Happening) -> dict[str, Any]:
    stay = happening.stay
    extensions: list[dict[str, Any]] = [{"url": f"{SW}ward", "valueCode": stay.ward.kind}]
    if stay.intensive_hours:
        extensions.append({"url": f"{SW}icu-days", "valueInteger": -(-stay.intensive_hours // 24)})
    if stay.accident_on:
        extensions.append({"url": f"{SW}accident-on", "valueDate": stay.accident_on.isoformat()})
    if stay.treatment:
        extensions.append({"url": f"{SW}treatment", "valueCode": stay.treatment})
    if stay.emergency:
        extensions.append({"url": f"{SW}emergency", "valueBoolean": True})
    role = "DD" if happening.kind in ("discharged", "visited") else "AD"
    encounter: dict[str, Any] = {
        "resourceType": "Encounter",
        "id": f"e{stay.no}",
        "meta": {"lastUpdated": _fhir_time(happening.at)},
        "extension": extensions,
        "identifier": [_visit_identifier(stay)],
        "status": _ENCOUNTER_STATUS[happening.kind],
        "class": {
            "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
            "code": "IMP" if stay.inpatient else "EMER" if stay.emergency else "AMB",
        },
        "subject": {"reference": f"Patient/{_patient_id(stay.person)}"},
        "period": {"start": _fhir_time(stay.admitted_at)},
        "diagnosis": [
            {
                "condition": {"reference": f"Condition/c{stay.no}-{number}"},
                "use": _coded("http://terminology.hl7.org/CodeSystem/diagnosis-role", role),
                "rank": number,
            }
            for number in range(1, len(stay.diagnoses) + 1)
        ],
        "serviceProvider": {"identifier": {"system": f"{SW}institution", "value": stay.hospital.code}},
    }
    if happening.kind == "returned":
        left_at = stay.left_at or happening.at
        period = {"start": _fhir_time(left_at), "end": _fhir_time(happening.at)}
        encounter["statusHistory"] = [{"status": "onleave", "period": period}]
    if not stay.inpatient:
        encounter["period"]["end"] = _fhir_time(stay.admitted_at + timedelta(hours=1))
    if stay.discharged_at:
        encounter["period"]["end"] = _fhir_time(stay.discharged_at)
        encounter["hospitalization"] = {"dischargeDisposition": _coded(f"{SW}dscg-way", stay.disposition)}
    return encounter


def _charge_item(stay: Stay, line: FeeLine) -> dict[str, Any]:
    return {
        "resourceType": "ChargeItem",
        "id": f"ch{stay.no}-{line.no}",
        "extension": [{"url": f"{SW}charge-category", "valueCode": line.item.category}],
        "status": "billable",
        "code": {**_coded(f"{SW}nhsa-item", line.item.code), "text": line.item.name},
        "subject": {"reference": f"Patient/{_patient_id(stay.person)}"},
        "context": {"reference": f"Encounter/e{stay.no}", "identifier": _visit_identifier(stay)},
        "occurrenceDateTime": _fhir_time(line.at),
        "quantity": {"value": Decimal(_digits(line.count))},
        "priceOverride": _money(line.amount),
    }


def _claim(happening: Happening) -> dict[str, Any]:
    stay, bill = happening.stay, happening.bill
    assert bill is not None
    settlement = bill.settlement
    parts: list[dict[str, Any]] = [{"url": "social", "valueCode": "settled" if settlement else "none"}]
    if settlement:
        parts += [
            {"url": "id", "valueString": happening.settlement_no},
            {"url": "medicalVisit", "valueString": stay.medical_visit},
            {"url": "fund", "valueMoney": _money(settlement.hifp)},
            {"url": "other", "valueMoney": _money(settlement.other)},
            {"url": "account", "valueMoney": _money(settlement.account)},
            {"url": "cash", "valueMoney": _money(settlement.cash)},
            {"url": "selfPay", "valueMoney": _money(settlement.self_pay)},
            {"url": "selfCost", "valueMoney": _money(settlement.self_cost)},
        ]
    bill_identifier = {"system": f"{SW}bill", "value": bill.key}
    prior = bill.replaces
    return {
        "resourceType": "Claim",
        "id": f"cl{stay.no}-{bill.number}",
        "extension": [
            {"url": f"{SW}settlement", "extension": parts},
            {"url": f"{SW}bill-kind", "valueCode": bill.kind},
        ],
        "identifier": [bill_identifier],
        "status": "cancelled" if happening.kind == "reversed" else "active",
        "type": _coded(
            "http://terminology.hl7.org/CodeSystem/claim-type", "institutional" if stay.inpatient else "professional"
        ),
        "use": "claim",
        "patient": {"reference": f"Patient/{_patient_id(stay.person)}"},
        "billablePeriod": {
            "start": stay.admitted_at.astimezone(SHANGHAI).date().isoformat(),
            "end": (stay.discharged_at or stay.admitted_at).astimezone(SHANGHAI).date().isoformat(),
        },
        "created": _fhir_time(happening.at),
        "provider": {"identifier": {"system": f"{SW}institution", "value": stay.hospital.code}},
        "priority": _coded("http://terminology.hl7.org/CodeSystem/processpriority", "normal"),
        **(
            {
                "related": [
                    {
                        "claim": {"identifier": {"system": f"{SW}bill", "value": f"{prior[0]}-{prior[1]}"}},
                        "relationship": _coded(
                            "http://terminology.hl7.org/CodeSystem/ex-relatedclaimrelationship", "prior"
                        ),
                    }
                ]
            }
            if prior
            else {}
        ),
        "insurance": [{"sequence": 1, "focal": True, "coverage": {"display": "not told"}}],
        "item": [_claim_item(stay, line) for line in bill.lines],
        "total": _money(bill.total + happening.false_total),
    }


def _claim_item(stay: Stay, line: FeeLine) -> dict[str, Any]:
    item = line.item
    split = (("own", line.own), ("over", line.over), ("first", line.first), ("within", line.within))
    extensions: list[dict[str, Any]] = [
        {"url": f"{SW}catalogue-class", "valueCode": item.catalogue_class},
        {"url": f"{SW}split", "extension": [{"url": name, "valueMoney": _money(fen)} for name, fen in split]},
        {"url": f"{SW}ward", "valueCode": line.ward},
    ]
    if line.days:
        extensions.append({"url": f"{SW}days", "valueInteger": line.days})
    if line.refund_of:
        extensions.append({"url": f"{SW}refund-of", "valueInteger": line.refund_of})
    return {
        "extension": extensions,
        "sequence": line.no,
        "encounter": [{"reference": f"Encounter/e{stay.no}", "identifier": _visit_identifier(stay)}],
        "category": _coded(f"{SW}charge-category", item.category, CHARGE_CLASSES[item.category]),
        "productOrService": {**_coded(f"{SW}nhsa-item", item.code), "text": item.name},
        "servicedDate": line.at.astimezone(SHANGHAI).date().isoformat(),
        "quantity": {"value": Decimal(_digits(line.count))},
        "net": _money(line.amount),
    }
