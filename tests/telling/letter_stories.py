"""Letters for the tests: the determination a story states, dressed with the names a letter shows."""

import tomllib
from datetime import date
from pathlib import Path

from safeweave.adjudication.determination import BenefitResult, Cut, LineResult
from safeweave.ids import CaseId, DeterminationId, LetterId
from safeweave.money import ZERO, Fen, fen_of
from safeweave.telling.letter import (
    BenefitShown,
    BillShown,
    Contacts,
    DeductibleShown,
    LetterFacts,
    LineShown,
    Named,
    PayeeShown,
)

STORIES = Path(__file__).parents[1] / "golden" / "examples"

HOSPITAL = Named("宁波市第一医院", "Ningbo First Hospital")
CONTACTS = Contacts(insurer=Named("安织健康保险股份有限公司", "Anzhi Health Insurance Co., Ltd."), phone="400-800-1234")
ITEM_NAMES = ("宫腔镜下子宫内膜息肉切除术", "普通病房床位费", "盆腔超声检查", "血常规、凝血功能", "术后抗感染治疗",
              "二级护理", "一次性宫腔镜耗材", "头孢呋辛钠注射剂")  # fmt: skip


def cut(reason: str, yuan: str, clause: str = "") -> Cut:
    return Cut(reason, fen_of(yuan), clause)  # type: ignore[arg-type]


def polyp(**changes: object) -> LetterFacts:
    """The worked story discharge-after-polyp.toml: 2381.85 for 王小𠮷 after three days in hospital."""
    story = tomllib.loads((STORIES / "discharge-after-polyp.toml").read_text(encoding="utf-8"))
    then, bill = story["then"][0], story["claim"][0]["bill"][0]
    key = f"{bill['code']}-{bill['number']}"
    names = zip(bill["line"], ITEM_NAMES, strict=True)
    facts = LetterFacts(
        id=LetterId("letter_0000000000000001"),
        case=CaseId("case_0000000000000001"),
        determination=DeterminationId("det_0000000000000001"),
        kind="paid",
        made_on=date(2021, 12, 6),
        insured="王小𠮷",
        product=Named("安织住院万元护（2020）", "Anzhi Hospital Expense (2020)"),
        policy="P-2021-000123",
        event="inpatient",
        event_on=date(2021, 12, 3),
        discharged_on=date(2021, 12, 6),
        hospital=HOSPITAL,
        payable=fen_of(then["payable"]),
        payee=PayeeShown("insured", "王小𠮷", "中国工商银行", "6789"),
        benefits=(BenefitShown("inpatient", "inpatient", Named("住院医疗保险金", "Hospital expense benefit")),),
        bills=(
            BillShown(key, tuple(LineShown(line["no"], line["category"], name) for line, name in names), Fen(50_000)),
        ),
        results=tuple(
            BenefitResult(row["benefit"], row["period"], fen_of(row["payable"]), row["payee"])
            for row in then["benefits"]
        ),
        lines=tuple(
            LineResult(
                row["benefit"],
                row["period"],
                row["bill"],
                row["no"],
                fen_of(row["amount"]),
                fen_of(row["paid"]),
                tuple(cut(each["reason"], each["yuan"], each["clause"]) for each in row["cuts"]),
            )
            for row in then["lines"]
        ),
        deductibles=(DeductibleShown("claim", fen_of("100.00"), fen_of("100.00")),),
        contacts=CONTACTS,
    )
    return type(facts)(**{**{name: getattr(facts, name) for name in facts.__struct_fields__}, **changes})


def without_amounts(**changes: object) -> LetterFacts:
    """The same stay, nothing computed."""
    nothing: dict[str, object] = {"payable": ZERO, "results": (), "lines": (), "deductibles": (), "bills": ()}
    return polyp(**{**nothing, **changes})
