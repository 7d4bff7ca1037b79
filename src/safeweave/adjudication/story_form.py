"""Stories and determinations in the form of FORMAT.md §3, §4 and §7: texts in, facts inside, texts out."""

import json
import re
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

import msgspec

from safeweave.adjudication.determination import BenefitResult, Cut, Determination
from safeweave.adjudication.history import History
from safeweave.adjudication.reasons import CUT_REASONS, DECISIONS, PAYEES, REFER_CODES
from safeweave.coverage import form
from safeweave.coverage.form import Fault, Table, optional, required
from safeweave.coverage.product import Product
from safeweave.coverage.usage import LIFETIME, TABLES, Usage, Used
from safeweave.errors import Malformed
from safeweave.facts import (
    SOURCES,
    Bill,
    BillRef,
    Claim,
    Cover,
    Hospital,
    Line,
    OtherPaid,
    Overlay,
    PaidBill,
    Period,
    Split,
)
from safeweave.money import yuan_text

_REGION = re.compile(r"[0-9]{6}")
_SURROGATE = re.compile(r"\\u[dD][89abAB]")


class Story(msgspec.Struct, frozen=True):
    """What happened to one insured, and what must come out (`then`, as stated; empty: only computed)."""

    id: str
    product: Product
    cover: Cover
    history: History
    overlays: tuple[Overlay, ...]
    claims: tuple[Claim, ...]
    then: tuple[dict[str, Any], ...] = ()


# --- reading facts ---


def _level(value: object) -> int:
    level = form.integer(value)
    if not 0 <= level <= 3:
        raise Fault(f"{level} is no hospital level; write 0 (unrated), 1, 2 or 3")
    return level


def _region(value: object) -> str:
    region = form.text(value)
    if not _REGION.fullmatch(region):
        raise Fault(f'"{region}" is no region; write its six digits, such as "330200"')
    return region


def _period(first_day: date, last_day: date, since: date | None = None) -> Period:
    if last_day < first_day:
        raise Fault(f"the period ends on {last_day}, before its first day {first_day}")
    return Period(first_day, last_day, since or first_day)


def _bill(**found: Any) -> Bill:
    seen = set()
    for index, line in enumerate(found["lines"]):
        if line.no in seen:
            raise Fault(f"line {line.no} is there twice; number the lines of a bill differently", ("line", index, "no"))
        seen.add(line.no)
    return Bill(**found)


_texts = form.listed(form.text)
_flag = form.boolean

_HOSPITAL = Table(
    Hospital,
    {
        "id": optional(form.text, "id"),
        "level": optional(_level, "level"),
        "public": optional(_flag, "public"),
        "region": optional(_region, "region"),
    },
)
_SPLIT = Table(Split, {part: required(form.money, part) for part in ("own", "over", "first", "within")})
_LINE = Table(
    Line,
    {
        "no": required(form.integer, "no"),
        "category": required(form.text, "category"),
        "class": required(form.text, "catalogue_class"),
        "amount": required(form.money, "amount"),
        "code": optional(form.text, "code"),
        "treatment": optional(form.text, "treatment"),
        "ward": optional(form.one_of("ordinary", "icu", "vip", "international"), "ward"),
        "days": optional(form.integer, "days"),
        "on": optional(form.day, "on"),
        "split": optional(_SPLIT, "split"),
        "social_paid": optional(form.money, "social_paid"),
        "refund_of": optional(form.integer, "refund_of"),
    },
)
_OTHER_PAID = Table(
    OtherPaid, {"source": required(form.one_of(*SOURCES), "source"), "yuan": required(form.money, "amount")}
)
_BILL = Table(
    _bill,
    {
        "code": required(form.text, "code"),
        "number": required(form.text, "number"),
        "kind": required(form.one_of("inpatient", "outpatient"), "kind"),
        "on": required(form.day, "on"),
        "total": required(form.money, "total"),
        "line": required(form.listed(_LINE), "lines"),
        "social": optional(form.one_of("settled", "none"), "social"),
        "fund": optional(form.money, "fund"),
        "other": optional(form.money, "other"),
        "account": optional(form.money, "account"),
        "cash": optional(form.money, "cash"),
        "self_pay": optional(form.money, "self_pay"),
        "self_cost": optional(form.money, "self_cost"),
        "state": optional(form.one_of("issued", "reversed"), "state"),
        "replaces": optional(
            Table(BillRef, {"code": required(form.text, "code"), "number": required(form.text, "number")}), "replaces"
        ),
        "other_paid": optional(form.listed(_OTHER_PAID), "other_paid"),
        "accounted": optional(_flag, "accounted"),
        "hospital": optional(_HOSPITAL, "hospital"),
    },
)
_CLAIM = Table(
    Claim,
    {
        "id": required(form.text, "id"),
        "kind": required(form.one_of("inpatient", "outpatient", "diagnosis", "death"), "kind"),
        "claimed_on": required(form.day, "claimed_on"),
        "diagnoses": optional(_texts, "diagnoses"),
        "hospital": optional(_HOSPITAL, "hospital"),
        "bill": optional(form.listed(_BILL), "bills"),
        "admitted_on": optional(form.day, "admitted_on"),
        "discharged_on": optional(form.day, "discharged_on"),
        "visited_on": optional(form.day, "visited_on"),
        "diagnosed_on": optional(form.day, "diagnosed_on"),
        "died_on": optional(form.day, "died_on"),
        "accident": optional(_flag, "accident"),
        "accident_on": optional(form.day, "accident_on"),
        "first_found_on": optional(form.day, "first_found_on"),
        "emergency": optional(_flag, "emergency"),
        "treatment": optional(form.text, "treatment"),
        "severity": optional(form.text, "severity"),
        "confirmed": optional(_flag, "confirmed"),
        "leave_days": optional(form.count, "leave_days"),
        "icu_days": optional(form.count, "icu_days"),
        "supersedes": optional(form.text, "supersedes"),
    },
)
_PERIOD = Table(
    _period,
    {
        "first_day": required(form.day, "first_day"),
        "last_day": required(form.day, "last_day"),
        "since": optional(form.day, "since"),
    },
)
_POLICY = Table(
    Cover,
    {
        "birth": required(form.day, "birth"),
        "sex": required(form.one_of("F", "M"), "sex"),
        "enrolled": required(_flag, "enrolled"),
        "period": required(form.listed(_PERIOD), "periods"),
        "guardian": optional(_flag, "guardian"),
        "beneficiary": optional(form.text, "beneficiary"),
        "roster_first_day": optional(form.day, "roster_first_day"),
        "roster_last_day": optional(form.day, "roster_last_day"),
    },
)
_OVERLAY = Table(
    Overlay,
    {
        "id": required(form.text, "id"),
        "lifts": required(
            form.listed(form.one_of("drug_list", "item_list", "hospital", "waiting_days", "deductible")), "lifts"
        ),
        "first_day": required(form.day, "first_day"),
        "last_day": required(form.day, "last_day"),
        "products": optional(_texts, "products"),
        "benefits": optional(_texts, "benefits"),
        "regions": optional(_texts, "regions"),
        "icd": optional(_texts, "icd"),
    },
)
_PAID_BILL = Table(
    PaidBill,
    {
        "code": required(form.text, "code"),
        "number": required(form.text, "number"),
        "total": required(form.money, "total"),
    },
)


def _scope(value: object) -> str:
    return LIFETIME if value == LIFETIME else form.day(form.text(value)).isoformat()


def _used(scope: str, **tables: Any) -> tuple[str, Used]:
    return scope, Used(**tables)


_USAGE_ROW = Table(
    _used,
    {
        "scope": required(_scope, "scope"),
        "deductible": optional(form.mapped(form.money), "deductible"),
        "limit": optional(form.mapped(form.money), "limit"),
        "days": optional(form.mapped(form.count), "days"),
        "count": optional(form.mapped(form.count), "count"),
    },
)
_usage_rows = form.listed(_USAGE_ROW)


def _usage(value: object) -> Usage:
    scopes: dict[str, Used] = {}
    for index, (scope, used) in enumerate(_usage_rows(value)):
        if scope in scopes:
            raise Fault(f'scope "{scope}" is there twice; write one row for each scope', (index, "scope"))
        scopes[scope] = used
    return Usage(scopes)


_claim_list = form.listed(_CLAIM)


def _claims(value: object) -> tuple[Claim, ...]:
    claims = _claim_list(value)
    seen = set()
    for index, claim in enumerate(claims):
        if claim.id in seen:
            raise Fault(f'claim "{claim.id}" is there twice; give each claim an id of its own', (index, "id"))
        seen.add(claim.id)
    return claims


# --- reading what must come out; it stays as stated, since what is not stated is not compared ---


def _stated(**found: Any) -> dict[str, Any]:
    return found


def _list_of(read: Callable[[Any], Any]) -> Callable[[object], list[Any]]:
    read_list = form.listed(read)
    return lambda value: list(read_list(value))


def _stated_table(**readers: Callable[[Any], Any]) -> Table[dict[str, Any]]:
    return Table(_stated, {key: optional(read, key) for key, read in readers.items()})


def _money_text(value: object) -> str:
    return yuan_text(form.money(value))


def _period_text(value: object) -> str:
    return "" if value == "" else form.day(value).isoformat()


_CUTS = _list_of(_stated_table(reason=form.one_of(*CUT_REASONS), yuan=_money_text, clause=form.text))
_THEN = _stated_table(
    claim=form.text,
    decision=form.one_of(*DECISIONS),
    payable=_money_text,
    refer=_list_of(form.one_of(*REFER_CODES)),
    duplicates=_list_of(form.text),
    overlays=_list_of(form.text),
    benefits=_list_of(
        _stated_table(
            benefit=form.text,
            period=_period_text,
            payable=_money_text,
            payee=form.one_of(*PAYEES),
            days=form.integer,
            grade=form.text,
            cuts=_CUTS,
        )
    ),
    lines=_list_of(
        _stated_table(
            benefit=form.text,
            period=_period_text,
            bill=form.text,
            no=form.integer,
            amount=_money_text,
            paid=_money_text,
            cuts=_CUTS,
        )
    ),
    usage=lambda value: told_usage(_usage(value)),
    adjustment=_money_text,
)

# --- reading stories ---

_BULK = {
    "format": required(form.format_one, "format"),
    "id": required(form.text, "id"),
    "product": required(form.text, "product"),
    "policy": required(_POLICY, "cover"),
    "usage": optional(_usage, "usage"),
    "overlay": optional(form.listed(_OVERLAY), "overlays"),
    "paid_bill": optional(form.listed(_PAID_BILL), "paid_bills"),
    "claim": required(_claims, "claims"),
}
_BULK_STORY = Table(_stated, _BULK)
_TOML_STORY = Table(
    _stated, _BULK | {"story": required(form.text, "story"), "then": optional(form.listed(_THEN), "then")}
)


def _story_of(found: dict[str, Any], products: dict[str, Product]) -> Story:
    product = products.get(found["product"])
    if product is None:
        known = ", ".join(f'"{id}"' for id in sorted(products)) or "none"
        raise Fault(f'there is no product "{found["product"]}" in the folder of products; it has {known}', ("product",))
    return Story(
        id=found["id"],
        product=product,
        cover=found["cover"],
        history=History(found.get("usage", Usage()), {}, found.get("paid_bills", ())),
        overlays=found.get("overlays", ()),
        claims=found["claims"],
        then=found.get("then", ()),
    )


def parse_story(text: str, file: str, products: dict[str, Product]) -> Story:
    """The story a TOML text tells. Raises Malformed with file, line and field if it is not of format 1."""
    document = form.toml_document(text, file)
    try:
        return _story_of(_TOML_STORY(document), products)
    except Fault as fault:
        raise form.located(fault, text, file) from None


def parse_bulk_line(line: bytes, number: int, products: dict[str, Product], file: str = "-") -> Story:
    """The story on one line of the bulk form. Raises Malformed with its line number if it is not of format 1."""
    try:
        text = line.decode("utf-8")
        document = _DECODER.decode(text.strip(_JSON_BLANKS))
        if _SURROGATE.search(text):
            json.dumps(document, ensure_ascii=False).encode("utf-8")
        return _story_of(_BULK_STORY(document), products)
    except Fault as fault:
        raise Malformed(fault.what, file=file, line=number, field=form.shown(fault.path)) from None
    except json.JSONDecodeError as error:
        what = f"not JSON: {error.msg} at character {error.pos + 1}; write one object per line"
        raise Malformed(what, file=file, line=number) from None
    except UnicodeError:
        raise Malformed("this is not UTF-8; send UTF-8 only", file=file, line=number) from None
    except (RecursionError, ValueError):
        raise Malformed("nested too deeply, or a number too large to read", file=file, line=number) from None


_JSON_BLANKS = " \t\r\n"


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Fault(f'the key "{twice}" is there twice; write each key once')
    return table


_DECODER = json.JSONDecoder(object_pairs_hook=_without_repeats)

# --- determinations as told ---


def told(determination: Determination) -> dict[str, Any]:
    """A determination with every field of FORMAT.md §4, amounts as yuan texts."""
    row = {
        "claim": determination.claim,
        "decision": determination.decision,
        "payable": yuan_text(determination.payable),
        "refer": list(determination.refer),
        "duplicates": list(determination.duplicates),
        "overlays": list(determination.overlays),
        "benefits": [_told_benefit(result) for result in determination.benefits],
        "lines": [
            {
                "benefit": result.benefit,
                "period": result.period,
                "bill": result.bill,
                "no": result.no,
                "amount": yuan_text(result.amount),
                "paid": yuan_text(result.paid),
                "cuts": _told_cuts(result.cuts),
            }
            for result in determination.lines
        ],
        "usage": told_usage(determination.usage),
    }
    if determination.adjustment is not None:
        row["adjustment"] = yuan_text(determination.adjustment)
    return row


def _told_cuts(cuts: Iterable[Cut]) -> list[dict[str, str]]:
    return [{"reason": cut.reason, "yuan": yuan_text(cut.amount), "clause": cut.clause} for cut in cuts]


def _told_benefit(result: BenefitResult) -> dict[str, Any]:
    row: dict[str, Any] = {
        "benefit": result.benefit,
        "period": result.period,
        "payable": yuan_text(result.payable),
        "payee": result.payee,
    }
    if result.days is not None:
        row["days"] = result.days
    if result.grade is not None:
        row["grade"] = result.grade
    if result.days is not None or result.grade is not None:
        row["cuts"] = _told_cuts(result.cuts)
    return row


def told_usage(usage: Usage) -> list[dict[str, Any]]:
    """The usage rows of FORMAT.md §3: sorted by scope, without zeros and empty tables."""
    rows = []
    for scope, used in usage.rows():
        row: dict[str, Any] = {"scope": scope}
        for table in TABLES:
            entries = getattr(used, table)
            if entries:
                is_money = table in ("deductible", "limit")
                row[table] = {id: yuan_text(n) if is_money else n for id, n in sorted(entries.items())}
        rows.append(row)
    return rows
