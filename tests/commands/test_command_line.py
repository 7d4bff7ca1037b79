"""What is asked wrongly is said in the reader's language, with exit code 2 and without a traceback."""

import io
import os
import stat
import sys

import pytest

from safeweave import main as command_line
from safeweave.cases.lifecycle import STAGES
from safeweave.main import main


def refused(capsys, *arguments: str, language: str = "en") -> str:
    with pytest.raises(SystemExit) as ended:
        main(["--language", language, *arguments])
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--seconds", "0"), '"0" is no whole number from 1 to 3600'),
        (("--seconds", "-5"), '"-5" is no whole number from 1 to 3600'),
        (("--seconds", "soon"), '"soon" is no whole number from 1 to 3600'),
        (("--hospitals", "0"), '"0" is no whole number from 1 to 30'),
        (("--hospitals", "50"), '"50" is no whole number from 1 to 30'),
        (("--rate", "-1"), '"-1" is no number from 0.1 to 10000'),
        (("--rate", "0"), '"0" is no number from 0.1 to 10000'),
        (("--rate", "nan"), '"nan" is no number from 0.1 to 10000'),
        (("--rate", "inf"), '"inf" is no number from 0.1 to 10000'),
    ],
)
def test_a_demo_that_cannot_be_is_refused_before_it_starts(capsys, given, said):
    assert refused(capsys, "demo", *given).endswith(f"argument {given[0]}: {said}")


def test_the_demo_offers_as_many_hospitals_as_a_city_has():
    from safeweave_simulator.hospital import make_hospitals

    assert len(make_hospitals(7, 30)) == 30
    with pytest.raises(ValueError, match="1 to 30 hospitals"):
        make_hospitals(7, 31)


def test_a_person_decides_one_way(capsys):
    decide = ("case", "decide", "C", "--by", "李", "--reason", "x")
    assert "one of the arguments --approve --refuse is required" in refused(capsys, *decide)
    assert "not allowed with argument" in refused(capsys, *decide, "--approve", "--refuse")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("serve", "now"), "safeweave：错误：无法识别的参数：now"),
        (("case", "show"), "缺少必需的参数：case"),
        (("fly",), "无效的选择：'fly'"),
        (("inbox", "show", "x"), "无效的值：'x'（应为 int）"),
        (("feed", "x", "--sender"), "参数 --sender：需要一个值"),
        (("demo", "--hospitals", "31"), "“31”不是 1 至 30 的整数"),
        (("case", "decide", "C", "--by", "李", "--reason", "x"), "--approve --refuse 中必须选择一个"),
    ],
)
def test_what_argparse_says_is_said_in_chinese_too(capsys, given, said):
    assert said in refused(capsys, *given, language="zh")


def test_help_in_chinese_is_all_chinese(capsys):
    for arguments in (["--help"], ["demo", "--help"], ["case", "decide", "--help"]):
        with pytest.raises(SystemExit):
            main(["--language", "zh", *arguments])
        shown = capsys.readouterr().out
        assert shown.startswith("用法：")
        for english in ("usage", "positional", "options", "show this"):
            assert english not in shown


def test_english_is_spoken_again_after_chinese(capsys):
    refused(capsys, "serve", "now", language="zh")
    assert refused(capsys, "serve", "now") == "safeweave: error: unrecognized arguments: now"


def test_every_sentence_of_argparse_we_translate_is_one_it_says():
    import argparse
    import inspect

    source = inspect.getsource(argparse)
    for key, texts in command_line.catalogue().items():
        if key.startswith("cli.argparse."):
            assert texts["en"].replace("\n", "\\n") in source, key


def test_a_store_is_readable_for_its_user_alone(tmp_path):
    before = os.umask(0o022)
    try:
        assert main(["--home", str(tmp_path / "home"), "case", "list"]) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "home" / "safeweave.db").stat().st_mode) == 0o600


def test_a_terminal_without_chinese_shows_question_marks(tmp_path, monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["--home", str(tmp_path / "home"), "--language", "zh", "senders", "list"]) == 0
    terminal.flush()
    assert set(terminal.buffer.getvalue().strip()) == {ord("?")}


def test_a_setting_that_cannot_be_read_is_said_in_the_readers_language(capsys, monkeypatch):
    monkeypatch.setenv("SAFEWEAVE_BATCH", "many")
    assert main(["--language", "zh", "case", "list"]) == 2
    assert capsys.readouterr().err == "SAFEWEAVE_BATCH 须为整数，现为“many”\n"
    assert main(["--language", "en", "case", "list"]) == 2
    assert capsys.readouterr().err == 'SAFEWEAVE_BATCH must be a whole number, not "many"\n'
    monkeypatch.setenv("SAFEWEAVE_BATCH", "5")
    monkeypatch.setenv("SAFEWEAVE_PAGES", "False")
    monkeypatch.setenv("SAFEWEAVE_LANGUAGE", "zh")
    assert main(["case", "list"]) == 2
    assert capsys.readouterr().err == "SAFEWEAVE_PAGES 须为 0 或 1，现为“False”\n"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("pay-again", "po_x"), "没有付款 po_x；见 safeweave payouts"),
        (("accounts", "close", "acc_x"), "没有账号 acc_x；见 safeweave accounts list"),
        (("clients", "close", "c_x"), "没有程序 c_x；见 safeweave clients list"),
        (("again", "undo", "again_x", "--by", "acc_x"), "没有批次 again_x；见 safeweave again list"),
        (("case", "show", "case_x"), "没有案件“case_x”；见 safeweave case list"),
    ],
)
def test_what_is_not_here_is_said_in_chinese_with_where_to_look(tmp_path, capsys, asked, said):
    assert main(["--home", str(tmp_path / "home"), "--language", "zh", *asked]) == 1
    assert capsys.readouterr().err == f"{said}\n"


def test_a_file_that_cannot_be_opened_is_named(tmp_path, capsys):
    file, home = tmp_path / "none.csv", ("--home", str(tmp_path / "home"))
    assert main([*home, "--language", "zh", "hospitals", "import", str(file)]) == 2
    assert capsys.readouterr().err == f"{file}：无法打开（No such file or directory）；请核对路径\n"
    assert main([*home, "--language", "en", "hospitals", "import", str(file)]) == 2
    assert capsys.readouterr().err == f"{file} cannot be opened: No such file or directory; check the path\n"


def test_stages_are_those_of_a_case(capsys):
    assert command_line.STAGES == STAGES
    assert "无效的选择：'nonsense'" in refused(capsys, "case", "list", "--stage", "nonsense", language="zh")
