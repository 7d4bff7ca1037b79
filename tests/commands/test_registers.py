"""`senders add`, `hospitals list`: what is registered can be told apart later."""

import pytest

from safeweave.main import main


@pytest.fixture
def safeweave(tmp_path, capsys):
    def run(*arguments: str, language: str = "en") -> tuple[int, str]:
        code = main(["--home", str(tmp_path / "home"), "--language", language, *arguments])
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    return run


@pytest.mark.parametrize("id", ["", " ", "s1 x/../", "a/b", "unknown", "x" * 65])
def test_an_id_that_could_be_mistaken_is_refused(safeweave, id):
    code, said = safeweave("senders", "add", id)
    assert (code, said.startswith(f'id: "{id}" is no name for a sender')) == (2, True)
    assert "没有登记" in safeweave("senders", "list", language="zh")[1]


@pytest.mark.parametrize("id", ["s1", "H33020000001", "医院-1.a_b"])
def test_ids_of_letters_digits_and_dashes_are_taken(safeweave, id):
    assert safeweave("senders", "add", id)[0] == 0


def test_two_senders_cannot_share_a_facility_unless_their_applications_differ(safeweave):
    assert safeweave("senders", "add", "s1", "--facility", "H001")[0] == 0
    code, said = safeweave("senders", "add", "s2", "--facility", "H001")
    assert (code, "MSH-4 H001 is already that of sender s1" in said) == (1, True)
    assert safeweave("senders", "add", "s2", "--facility", "H001", "--application", "LAB")[0] == 1
    assert safeweave("senders", "add", "s1", "--facility", "H001", "--application", "HIS")[0] == 0
    assert safeweave("senders", "add", "s2", "--facility", "H001", "--application", "LAB")[0] == 0
    assert safeweave("senders", "add", "s3", "--facility", "H001", "--application", "LAB")[0] == 1
    assert [safeweave("senders", "add", f"n{n}")[0] for n in range(2)] == [0, 0]


def test_whether_a_hospital_is_public_is_said_in_words(safeweave, tmp_path):
    file = tmp_path / "h.csv"
    file.write_text("code,name,public\nH1,甲院,true\nH2,乙院,false\nH3,丙院,\n", encoding="utf-8")
    safeweave("hospitals", "import", str(file))
    rows = {line.split()[0]: line.split() for line in safeweave("hospitals", "list", language="zh")[1].splitlines()}
    assert ("是" in rows["H1"], "否" in rows["H2"]) == (True, True)
    assert {"True", "False", "None"} & {word for row in rows.values() for word in row} == set()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("H1,甲院,true,soon", ':2: from_day: "soon" is not a day'),
        ("H1,甲院,true,\nH2,乙院,perhaps,", ':3: public: public is true or false, not "perhaps"'),
        (",甲院,true,", ":2: code: a hospital needs its institution code"),
    ],
)
def test_a_hospital_that_cannot_be_read_is_located(safeweave, tmp_path, rows, said):
    file = tmp_path / "h.csv"
    file.write_text(f"code,name,public,from_day\n{rows}\n", encoding="utf-8")
    code, told = safeweave("hospitals", "import", str(file))
    assert (code, told.startswith(f"{file}{said}")) == (2, True)
    file.write_bytes("code,name\nH1,甲院\n".encode("gb18030"))
    assert safeweave("hospitals", "import", str(file))[1].startswith(f"{file}:2: the file is not UTF-8")
    assert safeweave("hospitals", "list")[1] == "no hospital is registered yet\n"
