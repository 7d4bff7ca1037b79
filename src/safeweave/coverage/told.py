"""A policy as an insurer's file tells it: first every value as text (`PolicyText`), then checked (`PolicyTold`).

CSV, JSONL and FHIR all end in `PolicyText`, which is also the JSON of an export; docs/guides/policies.md describes it.
All pure.
"""

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any, get_args

import msgspec

from safeweave.coverage.policy import ROLES, Change, ChangeKind, Payee
from safeweave.coverage.usage import LIFETIME, TABLES
from safeweave.facts import Fact, Sex
from safeweave.money import fen_of
from safeweave.people.identity import PERSONAL_KINDS, Unusable, check, is_citizen, kind_of
from safeweave.people.person import OF_AGE, Held, Name, Particulars, age_on
from safeweave.words import Language, say

RELATIONS = {
    "self": ("本人",),
    "spouse": ("配偶", "夫妻", "丈夫", "妻子"),
    "child": ("子女", "儿子", "女儿"),
    "parent": ("父母", "父亲", "母亲"),
    "employee": ("员工", "雇员", "职工"),
    "other": ("其他",),
}
_RELATION_BY_NAME = {name: relation for relation, names in RELATIONS.items() for name in (relation, *names)}
_ROLE_BY_NAME = {
    "被保险人": "insured",
    "监护人": "guardian",
    "遗产": "estate",
    "受益人": "beneficiary",
} | dict.fromkeys(ROLES)
_YES, _NO = ("yes", "y", "true", "1", "是", "有"), ("no", "n", "false", "0", "否", "无")
_SEX: dict[str, Sex] = {"f": "F", "女": "F", "female": "F", "2": "F", "m": "M", "男": "M", "male": "M", "1": "M"}
_LANGUAGE = {"zh": "zh", "中文": "zh", "zh-cn": "zh", "en": "en", "英文": "en", "english": "en"}
_DAY = re.compile(r"(\d{4})(?:[-/.年](\d{1,2})[-/.月](\d{1,2})日?|(\d\d)(\d\d))(?:[ T]0?0:00(?::00)?)?")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class Text(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A part of a file, every value as written; what is "" was not said."""


class NameText(Text):
    name: str
    last_day: str = ""


class DocumentText(Text):
    kind: str = "resident_id"
    number: str = ""
    country: str = ""
    last_day: str = ""


class PersonText(Text):
    name: str = ""
    documents: list[DocumentText] = []
    birth: str = ""
    sex: str = ""
    died_on: str = ""
    language: str = ""
    phone: str = ""
    email: str = ""
    wechat: str = ""
    former_names: list[NameText] = []


class GuardianText(Text):
    person: PersonText
    proof: str = ""
    first_day: str = ""
    last_day: str = ""


class PayeeText(Text):
    role: str = ""
    name: str = ""
    account: str = ""
    bank_code: str = ""


class UsageText(Text):
    scope: str
    kind: str
    id: str
    amount: str  # yuan for deductible and limit, a number for days and count


class ChangeText(Text):
    """A change of the days of cover; `insured` is the place of the person in `insureds` (1 is the first), 0 for all."""

    kind: str = "period"
    first_day: str = ""
    last_day: str = ""
    since: str = ""
    reason: str = ""
    insured: int = 0


class InsuredText(Text):
    person: PersonText
    relation: str = ""
    enrolled: str | bool = ""
    beneficiary: str = ""
    roster_first_day: str = ""
    roster_last_day: str = ""
    guardians: list[GuardianText] = []
    payees: list[PayeeText] = []
    usage: list[UsageText] = []


class PolicyText(Text):
    number: str = ""
    product: str = ""
    bank: str = ""
    holder: PersonText | None = None
    insureds: list[InsuredText] = []
    changes: list[ChangeText] = []


class GuardianTold(Fact, frozen=True):
    person: Particulars
    proof: str
    first_day: date
    last_day: date | None


class UsageTold(Fact, frozen=True):
    scope: str
    kind: str
    id: str
    amount: int


class InsuredTold(Fact, frozen=True):
    person: Particulars
    relation: str
    enrolled: bool
    beneficiary: str | None
    roster_first_day: date | None
    roster_last_day: date | None
    guardians: tuple[GuardianTold, ...]
    payees: tuple[Payee, ...]
    usage: tuple[UsageTold, ...]


class PolicyTold(Fact, frozen=True):
    """A checked policy; each change comes with the place of its insured person, -1 for everybody."""

    number: str
    product: str
    bank: str
    holder: Particulars | None
    insureds: tuple[InsuredTold, ...]
    changes: tuple[tuple[Change, int], ...]


class Remark(Fact, frozen=True):
    """Something to say about a value: the path of the value, the entry of words/*.toml, what fills it in."""

    field: str
    key: str
    values: dict[str, Any] = msgspec.field(default_factory=dict)

    def said(self, language: Language) -> str:
        """The remark in one language, after the name of the field."""
        return (f"{self.field}: " if self.field else "") + say(self.key, language, **self.values)


class Checker:
    """Checks one policy and collects every fault and warning instead of stopping at the first."""

    def __init__(self, products: Collection[str] | None = None, banks: Collection[str] | None = None) -> None:
        self.products, self.banks = products, banks
        self.faults: list[Remark] = []
        self.warnings: list[Remark] = []

    def policy(self, text: PolicyText) -> PolicyTold | None:
        """The checked policy; None if there are faults."""
        number = self._needed(text.number, "number", "保单号", "the policy number")
        product = self._needed(text.product, "product", "产品代码", "the product's id")
        if product and self.products is not None and product not in self.products:
            self._fault("product", "product", product=product, known=", ".join(sorted(self.products)))
        bank = text.bank.strip()
        if bank and self.banks is not None and bank not in self.banks:
            self._warn("bank", "bank_unknown", bank=bank, known=", ".join(sorted(self.banks)))
        holder = None
        if text.holder is not None:
            holder = self._person(text.holder, "holder", organisation=True)
        if not text.insureds:
            self._fault("insureds", "nobody")
        changes = [self._change(each, f"changes[{i}]", len(text.insureds)) for i, each in enumerate(text.changes)]
        if not text.changes:
            self._needed("", "changes[0].first_day", "起保日期", "the first day of the policy year")
        latest = max((change.first_day for change, _ in filter(None, changes)), default=None)
        insureds = [self._insured(each, f"insureds[{i}]", latest) for i, each in enumerate(text.insureds)]
        if self.faults:
            return None
        return PolicyTold(number, product, bank, holder, tuple(filter(None, insureds)), tuple(filter(None, changes)))

    def _fault(self, field: str, key: str, **values: Any) -> None:
        self.faults.append(Remark(field, f"coverage.fault.{key}", values))

    @contextmanager
    def _collecting(self, field: str) -> Iterator[None]:
        try:
            yield
        except Unusable as fault:
            self.faults.append(Remark(field, fault.key, fault.values))

    def _needed(self, text: str, field: str, zh: str, en: str) -> str:
        text = text.strip()
        if not text:
            self._fault(field, "missing", what_zh=zh, what_en=en)
        return text

    def _day(self, text: str, field: str) -> date | None:
        text = text.strip()
        if not text:
            return None
        match = _DAY.fullmatch(text)
        try:
            if match:
                return date(int(match[1]), int(match[2] or match[4]), int(match[3] or match[5]))
        except ValueError:
            pass
        self._fault(field, "day", text=text)
        return None

    def _word(self, text: str, field: str, known: dict[str, Any], default: str) -> str:
        text = text.strip()
        if text and text.lower() not in known:
            self._fault(field, "word", text=text, known=", ".join(known))
            return default
        return (known[text.lower()] or text.lower()) if text else default

    def _person(self, text: PersonText, field: str, organisation: bool = False) -> Particulars | None:
        before = len(self.faults)
        name = self._needed(text.name, f"{field}.name", "姓名", "the name")
        documents = []
        birth, sex = self._day(text.birth, f"{field}.birth"), self._sex(text.sex, f"{field}.sex")
        if not any(each.number.strip() for each in text.documents):
            self._needed("", f"{field}.documents[0].number", "证件号码", "the number of an identity document")
        is_person = True
        for i, each in enumerate(text.documents):
            at = f"{field}.documents[{i}]"
            with self._collecting(f"{at}.kind"):
                kind = kind_of(each.kind.strip() or "resident_id")
                if kind not in PERSONAL_KINDS and not (organisation and kind in ("credit_code", "organisation_code")):
                    known = sorted(PERSONAL_KINDS) + ["credit_code"] * organisation
                    self._fault(f"{at}.kind", "word", text=each.kind, known=", ".join(known))
                    continue
                with self._collecting(f"{at}.number"):
                    document = check(kind, each.number, each.country)
                    self.warnings += (
                        Remark(f"{at}.number", f"people.warning.{warning}") for warning in document.warnings
                    )
                    is_person = is_person and kind in PERSONAL_KINDS
                    last_day = self._day(each.last_day, f"{at}.last_day")
                    documents.append(Held(document.kind, document.number, document.country, last_day))
                    if is_citizen(document.kind, document.number) and last_day is None:
                        if birth is not None and birth != document.birth:
                            self._fault(f"{field}.birth", "birth_unlike_number", birth=birth)
                        if sex is not None and sex != document.sex:
                            self._fault(f"{field}.sex", "sex_unlike_number")
                    birth, sex = birth or document.birth, sex or document.sex
        if documents and is_person and not organisation:
            self._needed(str(birth or text.birth), f"{field}.birth", "出生日期", "the birth date")
            self._needed(str(sex or text.sex), f"{field}.sex", "性别", "the sex")
        email = text.email.strip()
        if email and not _EMAIL.fullmatch(email):
            self._fault(f"{field}.email", "email", text=email)
        former = [
            Name(each.name.strip(), self._day(each.last_day, f"{field}.former_names[{i}].last_day"))
            for i, each in enumerate(text.former_names)
        ]
        told = Particulars(
            name,
            tuple(documents),
            birth,
            sex,
            self._day(text.died_on, f"{field}.died_on"),
            self._word(text.language, f"{field}.language", _LANGUAGE, ""),  # type: ignore[arg-type]
            text.phone.strip(),
            email,
            text.wechat.strip(),
            tuple(former),
        )
        return told if len(self.faults) == before else None

    def _sex(self, text: str, field: str) -> Sex | None:
        text = text.strip()
        if text and text.lower() not in _SEX:
            self._fault(field, "sex", text=text)
        return _SEX.get(text.lower())

    def _insured(self, text: InsuredText, field: str, latest: date | None) -> InsuredTold | None:
        before = len(self.faults)
        person = self._person(text.person, f"{field}.person")
        relation = self._word(text.relation, f"{field}.relation", _RELATION_BY_NAME, "")
        said = text.enrolled if isinstance(text.enrolled, str) else str(text.enrolled)
        enrolled = self._needed(
            said, f"{field}.enrolled", "是否参加医保（是/否）", "whether enrolled in 医保: yes or no"
        )
        if enrolled and enrolled.lower() not in _YES + _NO:
            self._fault(f"{field}.enrolled", "yes_no", text=enrolled)
        roster_first = self._day(text.roster_first_day, f"{field}.roster_first_day")
        roster_last = self._day(text.roster_last_day, f"{field}.roster_last_day")
        self._in_order(roster_first, roster_last, f"{field}.roster_last_day")
        guardians = [self._guardian(each, f"{field}.guardians[{i}]", person) for i, each in enumerate(text.guardians)]
        payees = [self._payee(each, f"{field}.payees[{i}]", text) for i, each in enumerate(text.payees)]
        usage = [self._usage(each, f"{field}.usage[{i}]") for i, each in enumerate(text.usage)]
        if len(self.faults) > before or person is None:
            return None
        if person.birth is not None and latest is not None and age_on(person.birth, latest) < OF_AGE and not guardians:
            self._warn(f"{field}.guardians", "guardian_missing", day=latest)
        if not payees:
            self._warn(f"{field}.payees", "payee_missing")
        return InsuredTold(
            person,
            relation,
            enrolled.lower() in _YES,
            text.beneficiary.strip() or None,
            roster_first,
            roster_last,
            tuple(filter(None, guardians)),
            tuple(filter(None, payees)),
            tuple(filter(None, usage)),
        )

    def _warn(self, field: str, key: str, **values: Any) -> None:
        self.warnings.append(Remark(field, f"coverage.warning.{key}", values))

    def _in_order(self, first: date | None, last: date | None, field: str) -> None:
        if first is not None and last is not None and last < first:
            self.faults.append(Remark(field, "coverage.change.last_before_first", {"first": first, "last": last}))

    def _guardian(self, text: GuardianText, field: str, ward: Particulars | None) -> GuardianTold | None:
        before = len(self.faults)
        person = self._guardian_person(text.person, f"{field}.person")
        proof = self._needed(
            text.proof,
            f"{field}.proof",
            "监护证明（如 户口簿、出生医学证明）",
            "what proves it (household register, birth certificate)",
        )
        first_day = self._day(text.first_day, f"{field}.first_day") or (ward.birth if ward else None)
        last_day = self._day(text.last_day, f"{field}.last_day")
        self._in_order(first_day, last_day, f"{field}.last_day")
        if person and ward and {h.number for h in person.documents} & {h.number for h in ward.documents}:
            self._fault(f"{field}.person.documents[0].number", "guardian_self")
        if len(self.faults) > before or person is None or first_day is None:
            return None
        return GuardianTold(person, proof, first_day, last_day)

    def _guardian_person(self, text: PersonText, field: str) -> Particulars | None:
        return self._person(text, field, organisation=True)  # a civil-affairs office or a committee may be one

    def _payee(self, text: PayeeText, field: str, insured: InsuredText) -> Payee | None:
        before = len(self.faults)
        role = self._word(text.role, f"{field}.role", _ROLE_BY_NAME, "guardian" if insured.guardians else "insured")
        known_names = {"insured": insured.person.name}
        if insured.guardians:
            known_names["guardian"] = insured.guardians[0].person.name
        name = self._needed(
            text.name or known_names.get(role, ""), f"{field}.name", "户名", "the name the account is held in"
        )
        account = bank_code = ""
        with self._collecting(f"{field}.account"):
            document = check("bank_account", text.account)
            account = document.number
            self.warnings += (Remark(f"{field}.account", f"people.warning.{w}") for w in document.warnings)
        if text.bank_code.strip():
            with self._collecting(f"{field}.bank_code"):
                bank_code = check("bank_code", text.bank_code).number
        return Payee(role, name, account, bank_code) if len(self.faults) == before else None

    def _usage(self, text: UsageText, field: str) -> UsageTold | None:
        written = f"{text.scope} {text.kind} {text.id}={text.amount}"
        try:
            if text.scope != LIFETIME:
                date.fromisoformat(text.scope)
            if text.kind not in TABLES or not text.id:
                raise ValueError
            in_yuan = text.kind in ("deductible", "limit")
            amount = int(fen_of(text.amount)) if in_yuan else int(text.amount)
            if amount < 0:
                raise ValueError
        except ValueError:
            self._fault(field, "usage", text=written)
            return None
        return UsageTold(text.scope, text.kind, text.id, amount)

    def _change(self, text: ChangeText, field: str, insureds: int) -> tuple[Change, int] | None:
        before = len(self.faults)
        kinds = dict.fromkeys(get_args(ChangeKind))
        kind = self._word(text.kind, f"{field}.kind", kinds, "period")
        first_day = self._day(text.first_day, f"{field}.first_day")
        if not text.first_day.strip():
            self._needed("", f"{field}.first_day", "起始日", "the first day")
        last_day = self._day(text.last_day, f"{field}.last_day")
        if kind == "period" and not text.last_day.strip():
            self._needed("", f"{field}.last_day", "终止日", "the last day of the policy year")
        since = self._day(text.since, f"{field}.since")
        self._in_order(first_day, last_day, f"{field}.last_day")
        if since is not None and first_day is not None and since > first_day:
            values = {"since": since, "first": first_day}
            self.faults.append(Remark(f"{field}.since", "coverage.change.since_after_first", values))
        if not 0 <= text.insured <= insureds:
            self._fault(f"{field}.insured", "word", text=text.insured, known=f"0..{insureds}")
        if len(self.faults) > before or first_day is None:
            return None
        return Change(kind, first_day, last_day, since, text.reason.strip()), text.insured - 1  # type: ignore[arg-type]
