"""The sample products have English names, and an English letter carries them."""

import re

import pytest

from given import CLEAN_STAY, VISIT
from safeweave.adjudication import product_files
from safeweave.coverage.product import parse_product
from safeweave.main import main

CHINESE = re.compile("[\u4e00-\u9fff]")
SAMPLES = [parse_product(text, name) for name, text in product_files(None)]


@pytest.mark.parametrize("product", SAMPLES, ids=lambda product: product.id)
def test_every_sample_product_and_benefit_has_an_english_name(product):
    for named in (product, *product.benefits):
        assert named.name_en
        assert not CHINESE.search(named.name_en)


def test_an_english_letter_names_product_and_benefit_in_english(house, capsys):
    house.hears(*CLEAN_STAY)
    assert main(["--home", str(house.folder / "home"), "letter", VISIT, "--to", "en"]) == 0
    letter = capsys.readouterr().out
    assert "Anzhi Hospital Expense Cover (2020)" in letter
    assert "Hospital expense benefit" in letter
    assert "万元护" not in letter
    assert "住院医疗保险金" not in letter
