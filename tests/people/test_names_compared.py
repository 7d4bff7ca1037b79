"""When two spellings are one name."""

import pytest

from safeweave.people.identity import name_key, same_name


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("阿不都·热合曼", "阿不都・热合曼"),
        ("阿不都·热合曼", "阿不都热合曼"),
        ("阿不都•热合曼", "阿不都．热合曼"),
        ("测试 甲", "测试甲"),
        ("陳大文", "陈大文"),
        ("龍應台", "龙应台"),
        ("𠮷田", "吉田"),
        ("\ue863", "䶮"),
        ("SMITH, JOHN", "John Smith"),
        ("Zoë O'Neil", "ZOE ONEIL"),
        ("ＪＯＨＮ　ＳＭＩＴＨ", "John Smith"),
        ("e\u0301tienne", "étienne"),
    ],
)
def test_spellings_of_one_name_agree(a, b):
    assert same_name(a, b)
    assert same_name(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("测试甲", "测试乙"),
        ("", ""),
        ("李", ""),
        ("李?", "李䶮"),
        ("李□", "李䶮"),
        ("王喆", "王哲"),
        ("John Smith", "Joan Smith"),
    ],
)
def test_names_that_may_be_two_never_agree(a, b):
    assert not same_name(a, b)


def test_a_rare_character_outside_the_basic_plane_is_kept_apart():
    assert not same_name("李𬱖", "李𬭎")
    assert same_name("李䶮", "李䶮")


def test_a_name_of_han_characters_alone_is_read_as_it_would_be_beside_others():
    # names of Han characters alone, nearly all of them, are read by a shorter way
    assert [
        character
        for character in map(chr, range(0x4E00, 0xA000))
        if name_key(f"1{character}") != f"1{name_key(character)}"
    ] == []
