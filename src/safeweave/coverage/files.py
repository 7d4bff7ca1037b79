"""Insurers' files read into policies as text: CSV (a row is an insured person's year), JSONL (a policy a line), FHIR.

Reading never stops at a bad row: it comes out with what is wrong with it. All pure but for opening the file.
"""

import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from safeweave.coverage import fhir
from safeweave.coverage.told import (
    ChangeText,
    DocumentText,
    GuardianText,
    InsuredText,
    NameText,
    PayeeText,
    PersonText,
    PolicyText,
    Remark,
    UsageText,
)

# Column, the Chinese headers that mean the same, and the path of its value in `PolicyText`.
COLUMNS: dict[str, tuple[tuple[str, ...], str]] = {
    "policy_number": (("保单号", "保单号码", "保险单号"), "number"),
    "product": (("产品代码", "产品", "险种代码"), "product"),
    "bank": (("付款渠道",), "bank"),
    "holder_name": (("投保人姓名", "投保人", "投保人名称"), "holder.name"),
    "holder_document_kind": (("投保人证件类型",), "holder.documents[0].kind"),
    "holder_document_number": (("投保人证件号码", "投保人证件号"), "holder.documents[0].number"),
    "relation": (("与投保人关系",), "insureds[0].relation"),
    "name": (("被保险人姓名", "被保险人", "姓名"), "insureds[0].person.name"),
    "former_name": (("曾用名",), "insureds[0].person.former_names[0].name"),
    "document_kind": (("证件类型", "被保险人证件类型"), "insureds[0].person.documents[0].kind"),
    "document_number": (
        ("证件号码", "证件号", "身份证号", "被保险人证件号码"),
        "insureds[0].person.documents[0].number",
    ),
    "document_country": (("签发国", "国籍"), "insureds[0].person.documents[0].country"),
    "document_last_day": (("证件有效期至", "证件有效期"), "insureds[0].person.documents[0].last_day"),
    "document_kind_2": (("证件类型2",), "insureds[0].person.documents[1].kind"),
    "document_number_2": (("证件号码2",), "insureds[0].person.documents[1].number"),
    "document_country_2": (("签发国2",), "insureds[0].person.documents[1].country"),
    "document_last_day_2": (("证件有效期至2",), "insureds[0].person.documents[1].last_day"),
    "birth": (("出生日期",), "insureds[0].person.birth"),
    "sex": (("性别",), "insureds[0].person.sex"),
    "enrolled": (("参加医保", "是否参加医保", "医保"), "insureds[0].enrolled"),
    "first_day": (("起保日期", "保险起期", "生效日期"), "changes[0].first_day"),
    "last_day": (("终止日期", "保险止期", "满期日期"), "changes[0].last_day"),
    "since": (("连续承保起始日", "首次投保日期"), "changes[0].since"),
    "roster_first_day": (("在册起始日", "入职日期"), "insureds[0].roster_first_day"),
    "roster_last_day": (("在册终止日", "离职日期"), "insureds[0].roster_last_day"),
    "beneficiary": (("受益人", "身故受益人"), "insureds[0].beneficiary"),
    "phone": (("手机号", "手机", "联系电话"), "insureds[0].person.phone"),
    "email": (("电子邮箱", "邮箱"), "insureds[0].person.email"),
    "wechat": (("微信", "微信号"), "insureds[0].person.wechat"),
    "language": (("语言",), "insureds[0].person.language"),
    "guardian_name": (("监护人姓名", "监护人"), "insureds[0].guardians[0].person.name"),
    "guardian_document_kind": (("监护人证件类型",), "insureds[0].guardians[0].person.documents[0].kind"),
    "guardian_document_number": (
        ("监护人证件号码", "监护人证件号"),
        "insureds[0].guardians[0].person.documents[0].number",
    ),
    "guardian_birth": (("监护人出生日期",), "insureds[0].guardians[0].person.birth"),
    "guardian_proof": (("监护证明", "监护关系证明"), "insureds[0].guardians[0].proof"),
    "guardian_first_day": (("监护起始日",), "insureds[0].guardians[0].first_day"),
    "guardian_last_day": (("监护终止日",), "insureds[0].guardians[0].last_day"),
    "payee_role": (("收款人类型",), "insureds[0].payees[0].role"),
    "payee_name": (("收款户名", "户名"), "insureds[0].payees[0].name"),
    "payee_account": (("收款账号", "银行账号", "账号", "银行卡号"), "insureds[0].payees[0].account"),
    "payee_bank_code": (("联行号",), "insureds[0].payees[0].bank_code"),
    "usage": (("已用额度",), "insureds[0].usage"),
}
FAULT_COLUMN = "fault"  # what a refused row is written back with; read again it is passed over
_COLUMN_BY_HEADER = {header: column for column, (headers, _) in COLUMNS.items() for header in (column, *headers)}
_COLUMN_BY_PATH = {path: column for column, (_, path) in COLUMNS.items()}
_COLUMN_OF = {
    "insureds[0].guardians": "guardian_name",
    "insureds[0].payees": "payee_account",
    "changes[0].kind": "first_day",
}
_NEEDED_COLUMNS = ("policy_number", "product", "name", "document_number", "enrolled", "first_day", "last_day")


class Row(msgspec.Struct):
    """One row, line or resource: where it stands, what it says, or what is wrong with its form."""

    line: int
    raw: str  # what is written back if it is refused
    policy: PolicyText | None
    faults: list[Remark]


class Source(msgspec.Struct):
    """A file being read; `header` is the first line of a CSV, written back above refused rows."""

    form: str  # csv, jsonl, fhir
    header: str
    rows: Iterator[Row]
    field_of: Callable[[str], str]  # the name a reader of the file knows a value by


def read(path: Path) -> Source:
    """The rows of a file, by its suffix: .csv, .tsv, .txt; .jsonl, .ndjson; .json for a FHIR Bundle.

    Raises Refused if nothing of the file can be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Refused("unreadable", detail=error.strerror or "") from error
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv", ".txt"):
        return _read_csv(_decoded(content))
    if suffix in (".jsonl", ".ndjson"):
        return Source("jsonl", "", _lines(_decoded(content)), str)
    if suffix == ".json":
        return Source("fhir", "", _resources(content), str)
    raise Refused("kind_of_file")


class Refused(Exception):
    """A whole file that cannot be read; `remark` says why."""

    def __init__(self, key: str, **values: str) -> None:
        self.remark = Remark("", f"coverage.fault.{key}", dict(values))
        super().__init__(self.remark.said("en"))


def _decoded(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise Refused("encoding")


# ---------------------------------------------------------------- CSV


def _read_csv(text: str) -> Source:
    first_line = text.split("\n", 1)[0]
    delimiter = max(",\t;", key=first_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header = next(reader, [])
    columns = []
    for name in header:
        stripped = name.strip()
        column = _COLUMN_BY_HEADER.get(stripped.lower())
        if column is None and stripped and stripped.lower() != FAULT_COLUMN:
            raise Refused("unknown_column", column=stripped)
        columns.append(column or "")
    missing = [column for column in _NEEDED_COLUMNS if column not in columns]
    if missing:
        raise Refused("columns", missing=", ".join(f"{column} ({COLUMNS[column][0][0]})" for column in missing))
    headers = {column: name.strip() for column, name in zip(columns, header, strict=True) if column}

    def rows() -> Iterator[Row]:
        line = reader.line_num + 1
        for cells in reader:
            start, line = line, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            raw = _csv_line([cell for cell, column in zip(cells, columns, strict=False) if column])
            if len(cells) < len(columns) or any(cell.strip() for cell in cells[len(columns) :]):
                fault = Remark("", "coverage.fault.cells", {"found": len(cells), "wanted": len(columns)})
                yield Row(start, _csv_line(cells), None, [fault])
                continue
            yield Row(start, raw, *_policy_of_row(dict(zip(columns, map(str.strip, cells), strict=False))))

    def field_of(path: str) -> str:
        plain = re.sub(r"\[\d+\]$", "", path)
        at = _COLUMN_BY_PATH.get(path) or _COLUMN_BY_PATH.get(plain) or _COLUMN_OF.get(path, "")
        return headers.get(at, at or path)

    return Source(
        "csv", _csv_line([name for name, column in zip(header, columns, strict=True) if column]), rows(), field_of
    )


def _csv_line(cells: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(cells)
    return out.getvalue()


def _policy_of_row(cells: dict[str, str]) -> tuple[PolicyText | None, list[Remark]]:
    get = cells.get
    documents = [
        DocumentText(
            get(f"document_kind{n}", "") or "resident_id",
            get(f"document_number{n}", ""),
            get(f"document_country{n}", ""),
            get(f"document_last_day{n}", ""),
        )
        for n in ("", "_2")
        if n == "" or get("document_number_2")
    ]
    person = PersonText(
        get("name", ""),
        documents,
        get("birth", ""),
        get("sex", ""),
        "",
        get("language", ""),
        get("phone", ""),
        get("email", ""),
        get("wechat", ""),
        [NameText(name) for name in re.split("[;；]", get("former_name", "")) if name.strip()],
    )
    guardians = []
    if get("guardian_name") or get("guardian_document_number"):
        document = DocumentText(get("guardian_document_kind", "") or "resident_id", get("guardian_document_number", ""))
        guardian = PersonText(get("guardian_name", ""), [document], get("guardian_birth", ""))
        guardians.append(
            GuardianText(
                guardian, get("guardian_proof", ""), get("guardian_first_day", ""), get("guardian_last_day", "")
            )
        )
    payees = []
    payee = [get(f"payee_{part}", "") for part in ("role", "name", "account", "bank_code")]
    if any(payee):
        payees.append(PayeeText(*payee))
    holder = None
    if get("holder_name") or get("holder_document_number"):
        document = DocumentText(get("holder_document_kind", "") or "resident_id", get("holder_document_number", ""))
        holder = PersonText(get("holder_name", ""), [document])
    usage, faults = _usage_of(get("usage", ""))
    insured = InsuredText(
        person,
        get("relation", ""),
        get("enrolled", ""),
        get("beneficiary", ""),
        get("roster_first_day", ""),
        get("roster_last_day", ""),
        guardians,
        payees,
        usage,
    )
    change = ChangeText("period", get("first_day", ""), get("last_day", ""), get("since", ""), "", 1)
    return PolicyText(
        get("policy_number", ""), get("product", ""), get("bank", ""), holder, [insured], [change]
    ), faults


def _usage_of(text: str) -> tuple[list[UsageText], list[Remark]]:
    """ "2026-01-01 deductible year=1200.00; lifetime limit total=50000.00" taken apart."""
    usage, faults = [], []
    for part in filter(None, (part.strip() for part in re.split("[;；]", text))):
        match = re.fullmatch(r"(\S+) +(\S+) +([^=]+?) *= *(\S+)", part)
        if match:
            usage.append(UsageText(*match.groups()))
        else:
            faults.append(Remark("insureds[0].usage", "coverage.fault.usage", {"text": part}))
    return usage, faults


# ---------------------------------------------------------------- JSONL

_policy_text = msgspec.json.Decoder(PolicyText)


def _lines(text: str) -> Iterator[Row]:
    for line, raw in enumerate(text.split("\n"), 1):
        raw = raw.strip()
        if not raw:
            continue
        yield Row(line, raw, *_policy_of_line(raw))


def _policy_of_line(raw: str) -> tuple[PolicyText | None, list[Remark]]:
    try:
        return _policy_text.decode(_without_fault(raw)), []
    except msgspec.ValidationError as error:
        detail, _, place = str(error).partition(" - at `$")
        return None, [Remark(place.rstrip("`").lstrip("."), "coverage.fault.shape", {"detail": detail})]
    except msgspec.DecodeError as error:
        return None, [Remark("", "coverage.fault.json", {"detail": str(error)})]


def _without_fault(raw: str) -> bytes:
    """The line without the reasons that a refused line is written back with."""
    if f'"{FAULT_COLUMN}"' in raw:
        try:
            told = json.loads(raw)
        except ValueError:
            return raw.encode()
        if isinstance(told, dict):
            told.pop(FAULT_COLUMN, None)
            return msgspec.json.encode(told)
    return raw.encode()


# ---------------------------------------------------------------- FHIR


def _resources(content: bytes) -> Iterator[Row]:
    try:
        for line, raw, policy, faults in fhir.policies_in(content):
            yield Row(line, raw, policy, faults)
    except msgspec.ValidationError as error:
        detail, _, place = str(error).partition(" - at `$")
        remark = Remark(place.rstrip("`").lstrip("."), "coverage.fault.shape", {"detail": detail})
        yield Row(1, content.decode(errors="replace"), None, [remark])
    except msgspec.DecodeError as error:
        remark = Remark("", "coverage.fault.json", {"detail": str(error)})
        yield Row(1, content.decode(errors="replace"), None, [remark])
