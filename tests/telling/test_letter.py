from datetime import date
from pathlib import Path

import msgspec
import pytest
from letter_stories import CONTACTS, HOSPITAL, STORIES, cut, polyp, without_amounts

from safeweave.adjudication.determination import BenefitResult, LineResult
from safeweave.adjudication.stories import run_story
from safeweave.adjudication.story_form import parse_story
from safeweave.coverage.product import load_products
from safeweave.errors import InvariantBroken
from safeweave.ids import CaseId, LetterId
from safeweave.money import ZERO, Fen, fen_of
from safeweave.telling.letter import (
    BenefitShown,
    DeductibleShown,
    Letter,
    LetterFacts,
    Named,
    PayeeShown,
    Section,
    kind_of,
    letter,
)
from safeweave.telling.page import text


def section(of: Letter, heading: str) -> Section:
    return next(each for each in of.sections if each.heading == heading)


def fen(shown: str) -> int:
    return fen_of(shown.replace(",", "").replace("\u2212", "-"))


def test_the_polyp_letter_says_what_was_charged_what_others_paid_and_what_we_pay():
    said = letter(polyp(), "zh")
    assert (said.headline_label, said.headline) == ("我们付给您", "2,381.85 元")
    sums = section(said, "住院医疗保险金：怎么算的").sums
    assert [(row.label, row.amount) for row in sums] == [
        ("费用合计", "7,600.00"),
        ("减：医保已支付", "\u22124,853.50"),
        ("减：免赔额", "\u2212100.00"),
        ("减：自付比例", "\u2212264.65"),
        ("这项保障赔付", "2,381.85"),
    ]
    assert sums[1].why == "医保已经支付了其中的 4,853.50 元，这部分不用您负担，也就不再重复赔付（条款 1.6）。"


def test_the_polyp_letter_reads_the_same_in_english():
    said = letter(polyp(), "en")
    sums = section(said, "Hospital expense benefit: how we worked it out").sums
    assert [(row.label, row.amount) for row in sums] == [
        ("Charged", "7,600.00"),
        ("Paid by social insurance", "\u22124,853.50"),
        ("Deductible", "\u2212100.00"),
        ("Your share", "\u2212264.65"),
        ("This benefit pays", "2,381.85"),
    ]
    assert sums[2].why == "100.00 yuan falls within the deductible, which the contract leaves to you (clause 1.4)."


def test_every_line_of_the_bill_is_explained_and_adds_up():
    items = section(letter(polyp(), "zh"), "逐项明细").items
    assert items[0].label == "1. 手术费 · 宫腔镜下子宫内膜息肉切除术"
    assert items[0].cuts == (
        ("医保已支付（条款 1.6）", "\u22122,385.75"),
        ("免赔额（条款 1.4）", "\u221229.65"),
        ("自付比例（条款 1.6）", "\u221278.46"),
    )
    for item in items[:-1]:
        assert fen(item.amount) + sum(fen(amount) for _, amount in item.cuts) == fen(item.paid)
    assert (items[-1].amount, items[-1].paid) == ("7,600.00", "2,381.85")
    assert sum(fen(item.paid) for item in items[:-1]) == 238185


def test_her_own_account_is_her_own_money():
    assert section(letter(polyp(), "zh"), "住院医疗保险金：怎么算的").sums_foot == (
        "您用医保个人账户支付的 500.00 元是您自己的钱，我们没有扣除。"
    )


def test_who_is_paid_is_shown_by_the_last_four_digits_only():
    assert section(letter(polyp(), "zh"), "钱付给谁").points[:2] == (
        "收款人：王小𠮷（被保险人本人）",
        "收款账户：中国工商银行尾号 6789",
    )


def test_without_an_account_the_letter_asks_for_one():
    said = letter(polyp(payee=PayeeShown("guardian", "王大")), "zh")
    assert section(said, "钱付给谁").points == (
        "收款人：王大（监护人）",
        "我们还没有收款账户。请登录网页，在“收款账户”中登记，或拨打 400-800-1234；登记好以后我们马上付款。",
    )


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_machine_decision_offers_a_person_and_the_way_to_object(language):
    rights = " ".join(letter(polyp(), language).sections[-1].points)
    assert "12378" in rights
    assert "400-800-1234" in rights
    assert ("理赔人员重新审核" if language == "zh" else "ask for a person to review it") in rights
    assert ("第二十四条" if language == "zh" else "article 24") in rights


def test_what_a_person_released_is_not_called_automatic():
    rights = letter(polyp(decided_by="工号 0231"), "zh").sections[-1].points
    assert rights[0].startswith("本决定由理赔人员作出")


def test_below_the_deductible_nothing_is_paid_and_the_letter_says_how_much_is_left():
    line = LineResult("general", "2025-01-01", "a-1", 1, Fen(300_000), ZERO, (cut("deductible", "3000.00", "2.3"),))
    said = letter(
        without_amounts(
            kind="paid_zero",
            results=(BenefitResult("general", "2025-01-01", ZERO, "insured"),),
            lines=(line,),
            benefits=(BenefitShown("general", "inpatient", Named("一般医疗", "General")),),
            deductibles=(DeductibleShown("year", Fen(1_000_000), Fen(300_000)),),
        ),
        "zh",
    )
    assert said.headline == "0.00 元"
    assert section(said, "免赔额").paragraphs == (
        "本保单年度的免赔额是 10,000.00 元，到这次为止已计入 3,000.00 元，还剩 7,000.00 元。"
        "剩余部分抵完以后，符合约定的费用即可赔付。",
    )
    assert not any(each.heading == "钱付给谁" for each in said.sections)


def test_a_referred_claim_is_told_why_and_by_when():
    said = letter(
        without_amounts(kind="referred", refer=("above_authority", "totals_differ"), due_on=date(2022, 1, 5)), "zh"
    )
    assert said.headline == ""
    assert section(said, "需要人工查看的原因").points == (
        "这次的金额较大，按规定由理赔人员再看一遍，您不用做什么。",
        "票据的合计与明细加起来不一致，我们正在向医院核对，您不用做什么。",
    )
    assert "我们最迟在 2022 年 1 月 5 日前告诉您结果（保险法第二十三条：三十日内作出核定）。" in (
        section(said, "接下来会怎样").points
    )


def test_a_refusal_gives_reasons_the_person_and_every_way_out():
    lines = tuple(
        msgspec.structs.replace(line, paid=ZERO, cuts=(cut("waiting_period", f"{line.amount / 100:.2f}", "1.3"),))
        for line in polyp().lines
    )
    said = letter(
        polyp(
            kind="refused",
            payable=ZERO,
            lines=lines,
            results=(BenefitResult("inpatient", "2021-03-01", ZERO, "insured"),),
            deductibles=(),
            note="病历显示症状始于等待期内。",
            decided_by="工号 0231",
        ),
        "zh",
    )
    assert said.title == "理赔决定通知书"
    why = section(said, "不能赔付的原因")
    assert why.paragraphs == ("理赔人员的说明：病历显示症状始于等待期内。", "作出决定的理赔人员：工号 0231")
    assert why.points == ("这次疾病发生在保单的等待期内，按合同约定还不能赔付（条款 1.3）。",)
    rights = " ".join(said.sections[-1].points)
    for needed in ("三日内", "诉讼时效", "12378", "人民法院", "调解", "另一位理赔人员"):
        assert needed in rights


def test_a_supplement_shows_both_results_and_their_difference():
    said = letter(polyp(kind="supplement", paid_before=Fen(200_000)), "zh")
    assert said.headline == "381.85 元"
    assert [(row.label, row.amount) for row in section(said, "合计").sums] == [
        ("重新核定的赔付", "2,381.85"),
        ("此前已经赔付", "\u22122,000.00"),
        ("这次补付", "381.85"),
    ]


def test_a_recovery_never_debits_by_itself():
    said = letter(polyp(kind="recovery", paid_before=Fen(250_000)), "zh")
    assert said.headline == "118.15 元"
    assert "我们不会从您的账户自动扣款" in said.opening[1]
    assert not any(each.heading == "钱付给谁" for each in said.sections)


def test_an_unchanged_amount_announces_no_payment():
    said = letter(polyp(kind="unchanged", paid_before=Fen(238_185)), "en")
    assert said.headline == ""
    assert "The amount stays the same" in said.opening[1]


def test_days_of_allowance_are_shown_with_their_cuts():
    result = BenefitResult(
        "allowance", "2024-01-01", Fen(48_000), "insured", days=4, cuts=(cut("skip_days", "120.00", "1.3"),)
    )
    said = letter(
        without_amounts(
            payable=Fen(48_000),
            results=(result,),
            benefits=(BenefitShown("allowance", "allowance", Named("住院津贴保险金", "Daily allowance")),),
        ),
        "zh",
    )
    assert [(row.label, row.amount) for row in section(said, "住院津贴保险金：怎么算的").sums] == [
        ("应计津贴", "600.00"),
        ("减：免给付天数", "\u2212120.00"),
        ("这项保障赔付", "480.00"),
    ]
    assert section(said, "住院津贴保险金：怎么算的").sums[-1].why == "给付 4 天"


def test_a_lump_sum_names_its_grade():
    said = letter(
        without_amounts(
            event="diagnosis",
            payable=Fen(3_000_000),
            results=(BenefitResult("critical", "2024-01-01", Fen(3_000_000), "insured", grade="mild"),),
        ),
        "en",
    )
    assert section(said, "critical: how we worked it out").sums[0].why == "Grade: mild"
    assert said.opening[0].startswith("We were sorry to hear of your illness")


def test_after_a_death_the_letter_mourns_and_wishes_no_recovery():
    said = letter(polyp(died=True, addressee="王大", payee=PayeeShown("estate")), "zh")
    assert said.opening[0] == "对您亲人的离世，我们深表哀悼，请您节哀。"
    assert said.greeting == "王大，您好："
    assert said.closing == "谨致慰问。"


def test_relaxations_that_helped_are_named():
    said = letter(polyp(overlays=(Named("台风期间医院放宽", "Hospitals during the typhoon"),)), "en")
    assert section(said, "Terms relaxed for you").points == ("Hospitals during the typhoon",)


def test_a_letter_whose_sums_a_reader_finds_wrong_is_never_written():
    with pytest.raises(InvariantBroken, match="do not sum to"):
        letter(polyp(payable=Fen(238_186)), "zh")


@pytest.mark.parametrize(
    ("decision", "payable", "adjustment", "kind"),
    [
        ("pay", 1, None, "paid"),
        ("pay", 0, None, "paid_zero"),
        ("pay", 5, 2, "supplement"),
        ("pay", 5, -2, "recovery"),
        ("pay", 5, 0, "unchanged"),
        ("refer", 5, None, "referred"),
        ("refuse-proposed", 0, None, "referred"),
        ("refuse", 0, None, "refused"),
    ],
)
def test_only_a_person_refuses_and_a_proposal_is_told_as_referred(decision, payable, adjustment, kind):
    assert kind_of(decision, Fen(payable), adjustment) == kind


@pytest.mark.parametrize("file", sorted(STORIES.glob("*.toml")), ids=lambda file: file.stem)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_story_can_be_told_and_every_sum_in_its_letter_adds_up(file: Path, language):
    products = load_products(STORIES.parent / "products")
    story = parse_story(file.read_text(encoding="utf-8"), file.name, products)
    for claim, determination in zip(story.claims, run_story(story), strict=True):
        paid = determination.decision == "pay"
        facts = LetterFacts(
            id=LetterId("letter_1"),
            case=CaseId("case_1"),
            kind="refused" if determination.decision == "refuse-proposed" else "paid" if paid else "referred",
            made_on=claim.claimed_on,
            insured="王小",
            product=Named(story.product.name),
            policy="P-1",
            event=claim.kind,
            hospital=HOSPITAL,
            payable=determination.payable,
            results=determination.benefits,
            lines=determination.lines,
            duplicates=determination.duplicates,
            refer=determination.refer,
            benefits=tuple(BenefitShown(b.id, b.kind, Named(b.name)) for b in story.product.benefits),
            contacts=CONTACTS,
        )
        said = letter(facts, language)
        for each in said.sections:
            if each.sums and each.sums[-1].total and each.heading not in ("合计", "Altogether"):
                assert sum(fen(row.amount) for row in each.sums[:-1]) == fen(each.sums[-1].amount)
        assert "{" not in text(said)
