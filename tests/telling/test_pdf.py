from io import BytesIO

import pytest
from letter_stories import polyp, without_amounts
from pypdf import PdfReader

from safeweave.telling.letter import letter
from safeweave.telling.pdf import STAND_IN, pdf


def words_of(content: bytes) -> str:
    return "".join("".join(page.extract_text() for page in PdfReader(BytesIO(content)).pages).split())


def test_the_chinese_text_can_be_copied_out_of_the_letter():
    said = words_of(pdf(letter(polyp(), "zh")))
    assert "理赔结果通知" in said
    assert "王小𠮷，您好：" in said
    assert "2,381.85元" in said
    assert "医保已经支付了其中的4,853.50元，这部分不用您负担，也就不再重复赔付（条款1.6）。" in said
    assert "宫腔镜下子宫内膜息肉切除术" in said


def test_the_letter_says_its_language_and_title():
    read = PdfReader(BytesIO(pdf(letter(polyp(), "zh"))))
    assert read.trailer["/Root"]["/Lang"] == "zh-CN"
    assert read.metadata is not None
    assert read.metadata.title == "理赔结果通知 letter_0000000000000001"
    assert PdfReader(BytesIO(pdf(letter(polyp(), "en")))).trailer["/Root"]["/Lang"] == "en"


def test_the_same_letter_is_the_same_file():
    assert pdf(letter(polyp(), "zh")) == pdf(letter(polyp(), "zh"))


def test_only_the_characters_of_the_letter_are_embedded():
    content = pdf(letter(polyp(), "zh"))
    (font,) = {str(font.get_object()["/BaseFont"]) for page in PdfReader(BytesIO(content)).pages
               for font in page["/Resources"]["/Font"].values()}  # fmt: skip
    assert font.endswith("+NotoSansSC")
    assert len(content) < 120_000


@pytest.mark.parametrize("name", ["𠮷野", "䶮", "朱镕基", "堃", "㛃", "José Müller"])
def test_rare_names_are_printed_or_visibly_stood_in_for(name):
    said = words_of(pdf(letter(polyp(insured=name), "zh")))
    assert name.replace(" ", "") in said or STAND_IN in said


def test_a_sign_no_font_has_is_shown_as_a_stand_in_and_breaks_nothing():
    said = words_of(pdf(letter(without_amounts(kind="referred", insured="王🙂", refer=("dates_unclear",)), "zh")))
    assert f"王{STAND_IN}，您好：" in said


def test_a_bill_of_two_hundred_lines_runs_over_pages_each_with_its_column_heads():
    facts = polyp()
    lines = tuple(type(line)(line.benefit, line.period, line.bill, no * 10 + line.no, line.amount, line.paid, line.cuts)
                  for no in range(25) for line in facts.lines)  # fmt: skip
    result = facts.results[0]
    many = polyp(
        lines=lines,
        payable=facts.payable * 25,
        results=(type(result)(result.benefit, result.period, result.payable * 25, result.payee),),
    )
    pages = PdfReader(BytesIO(pdf(letter(many, "zh")))).pages
    with_lines = [page.extract_text() for page in pages if "医保已支付（条款" in page.extract_text()]
    assert len(with_lines) > 15
    assert all("收费项目" in page for page in with_lines)
