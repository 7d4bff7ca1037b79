"""Bank files: pain.001.001.09 orders, pain.002.001.10 answers and camt.053.001.08 statements (ISO 20022).

Amounts are CNY with two decimals, instants carry the Shanghai offset, and a bank is named by its CNAPS number as
clearing system `CNAPS`. Reading refuses what it does not understand with the place of the fault; nothing is guessed.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time

from lxml import etree

from safeweave.clock import SHANGHAI, shanghai_day
from safeweave.errors import Malformed
from safeweave.facts import Fact
from safeweave.money import Fen, yuan_text
from safeweave.payments.bank import (
    KEY_LENGTH,
    NAME_LENGTH,
    Instruction,
    Outcome,
    StatementEntry,
    account_fault,
    text_is_sendable,
)

ORDER = "pain.001.001.09"
STATUS = "pain.002.001.10"
STATEMENT = "camt.053.001.08"

_NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:"
_AMOUNT = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,5}))?")
_REASON_LENGTH = 105  # Max105Text of AddtlInf

# TxSts of pain.002 (ExternalPaymentTransactionStatus1Code): what has left, what is on its way, what never will.
_BOOKED = ("ACSC", "ACCC")
_PENDING = ("RCVD", "ACTC", "ACCP", "ACSP", "ACWC", "PDNG", "PATC")
_REFUSED = ("RJCT", "CANC")

# BkTxCd of camt.053 (external code set): domain, family, sub-family.
_TRANSACTION_CODES = {
    "payment": ("PMNT", "ICDT", "DMCT"),  # issued credit transfer, domestic
    "return": ("PMNT", "ICDT", "RRTN"),  # reversal due to payment return
    "receipt": ("PMNT", "RCDT", "DMCT"),  # received credit transfer, domestic
    "other": ("PMNT", "MDOP", "OTHR"),
}


class Debtor(Fact):
    """Our account: the one money leaves from."""

    name: str
    account: str
    bank_code: str


class Order(Fact):
    """A pain.001 as read."""

    message: str  # MsgId
    debtor: Debtor
    instructions: tuple[Instruction, ...]


class Statuses(Fact):
    """A pain.002 as read: the message it answers, and what became of each key."""

    original: str
    outcomes: tuple[tuple[str, Outcome], ...]
    answer_to_all: Outcome | None = None  # a whole file refused or taken, without a word on single payments


class Statement(Fact):
    """A camt.053 as read."""

    id: str
    account: str
    opening: Fen
    closing: Fen
    entries: tuple[StatementEntry, ...]


# ---------------------------------------------------------------- orders


def write_order(
    message: str, instructions: Sequence[Instruction], debtor: Debtor, created_at: datetime, execute_on: date
) -> bytes:
    """The pain.001.001.09 that orders these payments, one batch.

    Raises Malformed if one of them cannot be carried unchanged (a key above 35 characters, a name above 140, control
    characters, an account or code that is none): nothing is cut and no character replaced. Rare characters are kept.
    """
    if not instructions:
        raise Malformed("a payment file needs at least one payment")
    for no, instruction in enumerate(instructions, 1):
        _check_sendable(instruction, f"payment[{no}]")
    total = Fen(sum(instruction.amount for instruction in instructions))
    document, root = _document(ORDER, "CstmrCdtTrfInitn")
    header = _sub(root, "GrpHdr")
    _text(header, "MsgId", message)
    _text(header, "CreDtTm", _instant(created_at))
    _text(header, "NbOfTxs", str(len(instructions)))
    _text(header, "CtrlSum", yuan_text(total))
    _text(_sub(header, "InitgPty"), "Nm", debtor.name)

    batch = _sub(root, "PmtInf")
    _text(batch, "PmtInfId", message)
    _text(batch, "PmtMtd", "TRF")
    _text(batch, "NbOfTxs", str(len(instructions)))
    _text(batch, "CtrlSum", yuan_text(total))
    _text(_sub(batch, "ReqdExctnDt"), "Dt", execute_on.isoformat())
    _text(_sub(batch, "Dbtr"), "Nm", debtor.name)
    account = _sub(batch, "DbtrAcct")
    _text(_sub(_sub(account, "Id"), "Othr"), "Id", debtor.account)
    _text(account, "Ccy", "CNY")
    _agent(batch, "DbtrAgt", debtor.bank_code)
    for instruction in instructions:
        transfer = _sub(batch, "CdtTrfTxInf")
        ids = _sub(transfer, "PmtId")
        _text(ids, "InstrId", instruction.key)
        _text(ids, "EndToEndId", instruction.key)
        _money(_sub(transfer, "Amt"), "InstdAmt", instruction.amount)
        if instruction.bank_code:
            _agent(transfer, "CdtrAgt", instruction.bank_code)
        _text(_sub(transfer, "Cdtr"), "Nm", instruction.name)
        _text(_sub(_sub(_sub(transfer, "CdtrAcct"), "Id"), "Othr"), "Id", instruction.account)
        _text(_sub(transfer, "RmtInf"), "Ustrd", instruction.purpose)
    return _bytes(document)


def read_order(content: bytes, file: str = "") -> Order:
    """The order in a pain.001.001.09. Raises Malformed if it is none, or its count or sum does not fit its payments."""
    reader = _Reader(content, ORDER, "CstmrCdtTrfInitn", file)
    header = reader.one(reader.root, "GrpHdr")
    instructions: list[Instruction] = []
    debtor: Debtor | None = None
    for batch in reader.many(reader.root, "PmtInf"):
        debtor = Debtor(
            reader.text(batch, "Dbtr/Nm"), reader.text(batch, "DbtrAcct/Id/Othr/Id"), reader.bank_code(batch, "DbtrAgt")
        )
        for transfer in reader.many(batch, "CdtTrfTxInf"):
            instruction = Instruction(
                key=reader.text(transfer, "PmtId/EndToEndId"),
                amount=reader.money(transfer, "Amt/InstdAmt"),
                name=reader.text(transfer, "Cdtr/Nm"),
                account=reader.text(transfer, "CdtrAcct/Id/Othr/Id"),
                bank_code=reader.bank_code(transfer, "CdtrAgt"),
                purpose=reader.text(transfer, "RmtInf/Ustrd", ""),
            )
            if not instruction.amount:
                raise reader.fault(transfer, "Amt/InstdAmt", "a payment of 0.00")
            instructions.append(instruction)
    if debtor is None:
        raise reader.fault(reader.root, "PmtInf", "no payments")
    count = reader.text(header, "NbOfTxs")
    if count != str(len(instructions)):
        raise reader.fault(header, "NbOfTxs", f"says {count}, the file holds {len(instructions)}")
    total = Fen(sum(instruction.amount for instruction in instructions))
    if reader.find(header, "CtrlSum") is not None and reader.plain_money(header, "CtrlSum") != total:
        said = reader.text(header, "CtrlSum")
        raise reader.fault(header, "CtrlSum", f"says {said}, the payments sum to {yuan_text(total)}")
    return Order(reader.text(header, "MsgId"), debtor, tuple(instructions))


def _check_sendable(instruction: Instruction, field: str) -> None:
    if instruction.amount <= 0:
        what = f"payment {instruction.key} is {yuan_text(instruction.amount)}; only amounts above zero are paid"
        raise Malformed(what, field=field)
    if not text_is_sendable(instruction.key, KEY_LENGTH):
        raise Malformed(f"a key of {len(instruction.key)} characters; 1 to {KEY_LENGTH} fit", field=f"{field}.key")
    if fault := account_fault(instruction.name, instruction.account, instruction.bank_code):
        raise Malformed(f"payment {instruction.key} cannot be sent: {fault}", field=field)
    if not text_is_sendable(instruction.purpose, NAME_LENGTH):
        raise Malformed(f"payment {instruction.key} has a purpose that cannot be sent", field=f"{field}.purpose")


# ---------------------------------------------------------------- answers


def write_statuses(message: str, original: str, created_at: datetime, outcomes: Iterable[tuple[str, Outcome]]) -> bytes:
    """The pain.002.001.10 that answers the order `original` with what became of each of its keys."""
    document, root = _document(STATUS, "CstmrPmtStsRpt")
    header = _sub(root, "GrpHdr")
    _text(header, "MsgId", message)
    _text(header, "CreDtTm", _instant(created_at))
    group = _sub(root, "OrgnlGrpInfAndSts")
    _text(group, "OrgnlMsgId", original)
    _text(group, "OrgnlMsgNmId", ORDER)
    batch = _sub(root, "OrgnlPmtInfAndSts")
    _text(batch, "OrgnlPmtInfId", original)
    for key, outcome in outcomes:
        status = _sub(batch, "TxInfAndSts")
        _text(status, "OrgnlInstrId", key)
        _text(status, "OrgnlEndToEndId", key)
        _text(status, "TxSts", {"booked": "ACSC", "pending": "ACSP"}.get(outcome.kind, "RJCT"))
        if outcome.kind == "conflict":
            _reason(status, "StsRsnInf", "AM05")
        elif outcome.reason:
            _reason(status, "StsRsnInf", outcome.reason)
        if outcome.at is not None:
            _text(status, "AccptncDtTm", _instant(outcome.at))
    return _bytes(document)


def read_statuses(content: bytes, file: str = "") -> Statuses:
    """The answers in a pain.002.001.10. Raises Malformed if it is none, or holds a status that is not understood."""
    reader = _Reader(content, STATUS, "CstmrPmtStsRpt", file)
    group = reader.one(reader.root, "OrgnlGrpInfAndSts")
    outcomes: list[tuple[str, Outcome]] = []
    for status in reader.each(reader.root, "OrgnlPmtInfAndSts/TxInfAndSts"):
        outcomes.append((reader.text(status, "OrgnlEndToEndId"), _outcome(reader, status, "TxSts")))
    whole = None if outcomes or reader.find(group, "GrpSts") is None else _outcome(reader, group, "GrpSts")
    return Statuses(reader.text(group, "OrgnlMsgId"), tuple(outcomes), whole)


def _outcome(reader: "_Reader", status: etree._Element, field: str) -> Outcome:
    code = reader.text(status, field)
    at = reader.instant(status, "AccptncDtTm") if reader.find(status, "AccptncDtTm") is not None else None
    reason = reader.text(status, "StsRsnInf/Rsn/Cd", "") or reader.text(status, "StsRsnInf/Rsn/Prtry", "")
    if code in _BOOKED:
        return Outcome("booked", at)
    if code in _PENDING:
        return Outcome("pending")
    if code in _REFUSED:
        # AM05 is duplication: the bank holds this key already, so it is not refused but to be looked at.
        return Outcome("conflict" if reason == "AM05" else "refused", at, reason or "NARR")
    raise reader.fault(status, field, f"status {code} is not known")


# ---------------------------------------------------------------- statements


def write_statement(
    id: str, debtor: Debtor, created_at: datetime, first_day: date, last_day: date, opening: Fen,
    entries: Sequence[StatementEntry],
) -> bytes:  # fmt: skip
    """The camt.053.001.08 of these days, both included: the opening balance, every entry, the closing balance."""
    document, root = _document(STATEMENT, "BkToCstmrStmt")
    header = _sub(root, "GrpHdr")
    _text(header, "MsgId", id)
    _text(header, "CreDtTm", _instant(created_at))
    statement = _sub(root, "Stmt")
    _text(statement, "Id", id)
    _text(statement, "CreDtTm", _instant(created_at))
    span = _sub(statement, "FrToDt")
    _text(span, "FrDtTm", _instant(datetime.combine(first_day, time(), SHANGHAI)))
    _text(span, "ToDtTm", _instant(datetime.combine(last_day, time(23, 59, 59), SHANGHAI)))
    account = _sub(statement, "Acct")
    _text(_sub(_sub(account, "Id"), "Othr"), "Id", debtor.account)
    _text(account, "Ccy", "CNY")
    closing = Fen(opening + sum(entry.amount for entry in entries))
    for code, balance, day in (("OPBD", opening, first_day), ("CLBD", closing, last_day)):
        element = _sub(statement, "Bal")
        _text(_sub(_sub(element, "Tp"), "CdOrPrtry"), "Cd", code)
        _money(element, "Amt", Fen(abs(balance)))
        _text(element, "CdtDbtInd", _side(balance))
        _text(_sub(element, "Dt"), "Dt", day.isoformat())
    for entry in entries:
        _entry(statement, entry)
    return _bytes(document)


def _entry(statement: etree._Element, entry: StatementEntry) -> None:
    element = _sub(statement, "Ntry")
    _text(element, "NtryRef", entry.id)
    _money(element, "Amt", Fen(abs(entry.amount)))
    _text(element, "CdtDbtInd", _side(entry.amount))
    _text(_sub(element, "Sts"), "Cd", "BOOK")
    _text(_sub(element, "BookgDt"), "Dt", entry.booked_on.isoformat())
    domain, family, sub_family = _TRANSACTION_CODES[entry.kind]
    code = _sub(_sub(element, "BkTxCd"), "Domn")
    _text(code, "Cd", domain)
    inner = _sub(code, "Fmly")
    _text(inner, "Cd", family)
    _text(inner, "SubFmlyCd", sub_family)
    if entry.key or entry.reason:
        details = _sub(_sub(element, "NtryDtls"), "TxDtls")
        if entry.key:
            _text(_sub(details, "Refs"), "EndToEndId", entry.key)
        if entry.reason:
            _reason(details, "RtrInf", entry.reason)


def read_statement(content: bytes, file: str = "") -> list[Statement]:
    """The statements in a camt.053.001.08, with their booked entries; pending ones (PDNG) are left out.

    Raises Malformed if it is none, is not in CNY, or opening balance and entries do not sum to the closing balance.
    """
    reader = _Reader(content, STATEMENT, "BkToCstmrStmt", file)
    return [_statement(reader, element) for element in reader.many(reader.root, "Stmt")]


def _statement(reader: "_Reader", element: etree._Element) -> Statement:
    balances: dict[str, Fen] = {}
    for balance in reader.many(element, "Bal"):
        balances[reader.text(balance, "Tp/CdOrPrtry/Cd")] = reader.signed(balance)
    if "OPBD" not in balances or "CLBD" not in balances:
        raise reader.fault(element, "Bal", "opening (OPBD) or closing (CLBD) balance is missing")
    entries = [entry for ntry in reader.each(element, "Ntry") for entry in _entries(reader, ntry)]
    total, closing = balances["OPBD"] + sum(entry.amount for entry in entries), balances["CLBD"]
    if total != closing:
        what = f"opening balance and entries sum to {yuan_text(total)}, the closing balance is {yuan_text(closing)}"
        raise reader.fault(element, "Bal", what)
    account = reader.text(element, "Acct/Id/Othr/Id", "") or reader.text(element, "Acct/Id/IBAN")
    return Statement(reader.text(element, "Id"), account, balances["OPBD"], balances["CLBD"], tuple(entries))


def _entries(reader: "_Reader", ntry: etree._Element) -> list[StatementEntry]:
    status = reader.text(ntry, "Sts/Cd")
    if status == "PDNG":
        return []
    if status != "BOOK":
        raise reader.fault(ntry, "Sts/Cd", f"status {status} is not known")
    amount = reader.signed(ntry)
    booked_on = reader.day(ntry, "BookgDt")
    id = reader.text(ntry, "NtryRef", "") or reader.text(ntry, "AcctSvcrRef")
    details = reader.each(ntry, "NtryDtls/TxDtls")
    if len(details) < 2:
        detail = details[0] if details else None
        return [_statement_entry(reader, ntry, detail, id, amount, booked_on)]
    entries = []
    for no, detail in enumerate(details, 1):
        part = Fen(reader.money(detail, "Amt") * (1 if amount > 0 else -1))
        entries.append(_statement_entry(reader, ntry, detail, f"{id}/{no}", part, booked_on))
    if sum(entry.amount for entry in entries) != amount:
        raise reader.fault(ntry, "NtryDtls", f"the details of entry {id} do not sum to its amount {yuan_text(amount)}")
    return entries


def _statement_entry(
    reader: "_Reader", ntry: etree._Element, detail: etree._Element | None, id: str, amount: Fen, booked_on: date
) -> StatementEntry:
    key = reason = ""
    code = reader.text(ntry, "BkTxCd/Domn/Fmly/SubFmlyCd", "")
    returned = code == "RRTN" or reader.text(ntry, "RvslInd", "") in ("true", "1")
    if detail is not None:
        key = reader.text(detail, "Refs/EndToEndId", "")
        reason = reader.text(detail, "RtrInf/Rsn/Cd", "") or reader.text(detail, "RtrInf/Rsn/Prtry", "")
        returned = returned or reader.find(detail, "RtrInf") is not None
    if key == "NOTPROVIDED":
        key = ""
    if amount > 0:
        return StatementEntry(id, "return" if returned else "receipt", key, amount, booked_on, reason)
    return StatementEntry(id, "payment" if key else "other", key, amount, booked_on, reason)


# ---------------------------------------------------------------- XML


def _document(message: str, body: str) -> tuple[etree._Element, etree._Element]:
    namespace = _NAMESPACE + message
    document = etree.fromstring(f'<Document xmlns="{namespace}"/>')
    return document, _sub(document, body)


def _sub(parent: etree._Element, name: str) -> etree._Element:
    return etree.SubElement(parent, f"{{{etree.QName(parent).namespace}}}{name}")


def _text(parent: etree._Element, name: str, text: str) -> etree._Element:
    element = _sub(parent, name)
    element.text = text
    return element


def _money(parent: etree._Element, name: str, amount: Fen) -> None:
    _text(parent, name, yuan_text(amount)).set("Ccy", "CNY")


def _agent(parent: etree._Element, name: str, bank_code: str) -> None:
    member = _sub(_sub(_sub(parent, name), "FinInstnId"), "ClrSysMmbId")
    _text(_sub(member, "ClrSysId"), "Cd", "CNAPS")
    _text(member, "MmbId", bank_code)


def _reason(parent: etree._Element, name: str, reason: str) -> None:
    element = _sub(parent, name)
    if re.fullmatch(r"[A-Z0-9]{4}", reason):
        _text(_sub(element, "Rsn"), "Cd", reason)
    else:
        _text(_sub(element, "Rsn"), "Cd", "NARR")
        _text(element, "AddtlInf", reason[:_REASON_LENGTH])


def _side(amount: Fen) -> str:
    return "DBIT" if amount < 0 else "CRDT"


def _instant(at: datetime) -> str:
    return at.astimezone(SHANGHAI).isoformat(timespec="milliseconds")


def _bytes(document: etree._Element) -> bytes:
    return etree.tostring(document, xml_declaration=True, encoding="UTF-8")


def message_in(content: bytes, file: str = "") -> str:
    """Which message a bank file is, such as "camt.053.001.08". Raises Malformed if it is no ISO 20022 document."""
    root = _parse(content, file)
    name = etree.QName(root)
    if name.localname != "Document" or not (name.namespace or "").startswith(_NAMESPACE):
        raise Malformed("not an ISO 20022 document", file=file, line=_line(root))
    return (name.namespace or "").removeprefix(_NAMESPACE)


def _parse(content: bytes, file: str) -> etree._Element:
    # Neither entities nor anything outside the file: a bank file has no business asking for more.
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as fault:
        raise Malformed(f"not readable as XML: {fault.msg}", file=file, line=fault.lineno or 1) from None
    if b"<!DOCTYPE" in content:
        raise Malformed("a bank file carries no document type", file=file, line=1)
    return root


def _line(element: etree._Element) -> int:
    line = element.sourceline
    return line if isinstance(line, int) else 1


class _Reader:
    """Finds elements by their path below another and says where one is missing or wrong."""

    def __init__(self, content: bytes, message: str, body: str, file: str) -> None:
        self.file = file
        self.namespace = _NAMESPACE + message
        document = _parse(content, file)
        if document.tag != f"{{{self.namespace}}}Document":
            raise Malformed(f"not a {message}", file=file, line=_line(document))
        self.root = self.one(document, body)

    def _path(self, path: str) -> str:
        return "/".join(f"{{{self.namespace}}}{part}" for part in path.split("/"))

    def find(self, parent: etree._Element, path: str) -> etree._Element | None:
        return parent.find(self._path(path))

    def each(self, parent: etree._Element, path: str) -> list[etree._Element]:
        return parent.findall(self._path(path))

    def many(self, parent: etree._Element, path: str) -> list[etree._Element]:
        found = self.each(parent, path)
        if not found:
            raise self.fault(parent, path, "missing")
        return found

    def one(self, parent: etree._Element, path: str) -> etree._Element:
        return self.many(parent, path)[0]

    def fault(self, parent: etree._Element, path: str, what: str) -> Malformed:
        at = parent.find(self._path(path))
        element = parent if at is None else at
        field = f"{etree.QName(parent).localname}/{path}"
        return Malformed(what, file=self.file, line=_line(element), field=field)

    def text(self, parent: etree._Element, path: str, otherwise: str | None = None) -> str:
        element = self.find(parent, path)
        text = "" if element is None else (element.text or "").strip()
        if text:
            return text
        if otherwise is None:
            raise self.fault(parent, path, "missing")
        return otherwise

    def money(self, parent: etree._Element, path: str) -> Fen:
        currency = self.one(parent, path).get("Ccy", "")
        if currency != "CNY":
            raise self.fault(parent, path, f"currency {currency or 'missing'}; only CNY is kept here")
        return self.plain_money(parent, path)

    def plain_money(self, parent: etree._Element, path: str) -> Fen:
        text = self.text(parent, path)
        match = _AMOUNT.fullmatch(text)
        decimals = (match[2] or "").ljust(2, "0") if match else ""
        if match is None or decimals[2:].strip("0"):
            raise self.fault(parent, path, f'"{text}" is not an amount in whole fen')
        return Fen(int(match[1]) * 100 + int(decimals[:2]))

    def signed(self, parent: etree._Element) -> Fen:
        side = self.text(parent, "CdtDbtInd")
        if side not in ("CRDT", "DBIT"):
            raise self.fault(parent, "CdtDbtInd", f'"{side}" is neither CRDT nor DBIT')
        return Fen(self.money(parent, "Amt") * (1 if side == "CRDT" else -1))

    def bank_code(self, parent: etree._Element, agent: str) -> str:
        return self.text(parent, f"{agent}/FinInstnId/ClrSysMmbId/MmbId", "")

    def instant(self, parent: etree._Element, path: str) -> datetime:
        text = self.text(parent, path)
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise self.fault(parent, path, f'"{text}" is not an instant') from None
        return at if at.tzinfo else at.replace(tzinfo=SHANGHAI)  # ISO 20022 leaves the offset to local custom

    def day(self, parent: etree._Element, path: str) -> date:
        text = self.text(parent, f"{path}/Dt", "")
        if not text:
            return shanghai_day(self.instant(parent, f"{path}/DtTm"))
        try:
            return date.fromisoformat(text[:10])
        except ValueError:
            raise self.fault(parent, f"{path}/Dt", f'"{text}" is not a day') from None
