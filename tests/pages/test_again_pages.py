"""Deciding again on pages: one asks, another approves and undoes, and whoever may not is told so."""

import pytest

from adjudication.test_deciding_again import DEDUCTIBLE, EXPENSE, corrects, counts, holds_together, lives, money
from given import House, yuan
from pages.given_pages import Browser, site_of, staff
from safeweave.adjudication import again
from safeweave.main import main
from safeweave.web.asked import Site


@pytest.fixture(params=["sqlite"])  # the flow itself is tested on both engines
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def site(house: House) -> Site:
    lives(house, "1000.00", "2000.00")
    corrects(house, **{DEDUCTIBLE: "50.00"})
    return site_of(house)


@pytest.fixture
def asking(site: Site) -> Browser:
    return Browser(site, "en").is_signed_in_as(staff(site, "director"))


@pytest.fixture
def approving(site: Site) -> Browser:
    return Browser(site, "en").is_signed_in_as(staff(site, "senior"))


def the_run(house: House) -> again.Run:
    return house.asks(lambda tx: again.latest(tx, 1))[0]


def asks(house: House, browser: Browser, **fields: str) -> str:
    browser.opens("/operations/again")
    browser.sends("/operations/again", **{"product": EXPENSE, "why": "the deductible was wrong", **fields})
    house.works()
    return f"/operations/again/{the_run(house).id}"


def test_one_asks_another_approves_and_both_undo_it(house, site, asking, approving):
    before, used = money(house), house.usage()
    run = asks(house, asking)
    asking.opens(run)
    assert "90.00 yuan" in asking.text
    assert "another person with the right must approve" in asking.text
    assert "Approve: decide them again" not in asking.text
    approving.opens(run)
    approving.sends(f"{run}/answer", verdict="approve")
    assert "Approved; it is being carried out" in approving.text
    house.works()
    assert counts(house, the_run(house).id) == {"decided": 2}
    asking.opens(run)
    asking.sends(f"{run}/undo", undo_why="the old one was right")
    asking.sends(f"{run}/undo/answer", verdict="approve")
    assert "Whoever asked does not approve" in asking.text
    approving.opens(run)
    approving.sends(f"{run}/undo/answer", verdict="approve")
    house.works()
    assert (money(house), house.usage()) == (before, used)
    assert "put back" in approving.opens(run).text
    holds_together(house)
    rows = asking.opens(f"{run}/cases.csv").text.splitlines()
    assert [row.split(",")[1:6] for row in sorted(rows[1:], key=lambda row: row.split(",")[3])] == [
        ["undone", "", "1350.00", "1395.00", "0.00"],
        ["undone", "", "450.00", "495.00", "0.00"],
    ]


def test_whoever_asked_cannot_approve_even_with_a_form_of_their_own(house, asking):
    run = asks(house, asking)
    asking.opens(run)
    asking.sends(f"{run}/answer", verdict="approve")
    assert asking.page.status_code == 409
    assert "another person must" in asking.text
    assert counts(house, the_run(house).id) == {"planned": 2}


def test_a_form_sent_twice_and_a_late_answer_change_nothing_more(house, asking, approving):
    run = asks(house, asking)
    approving.opens(run)
    form = approving.form(f"{run}/answer")
    approving.sends(f"{run}/answer", form, verdict="approve")
    approving.sends(f"{run}/answer", form, verdict="approve")
    house.works()
    assert sorted(money(house).values()) == [yuan("495.00"), yuan("1395.00")]
    fresh = [(name, value) for name, value in form.fields if name != "_once"]
    form.fields = fresh
    approving.sends(f"{run}/answer", form, verdict="approve")
    assert approving.page.status_code == 409
    assert "It does not wait for approval" in approving.text


def test_what_is_missing_is_said(house, asking, approving):
    asking.opens("/operations/again")
    asking.sends("/operations/again", why=" ", cases="case_x")
    assert (asking.page.status_code, "Write down why" in asking.text) == (400, True)
    assert "case_x" in asking.page.text
    asking.sends("/operations/again", why="x", **{"from": "2026-02-30"})
    assert "“2026-02-30” is no day" in asking.text
    run = asks(house, asking)
    approving.opens(run)
    approving.sends(f"{run}/answer", verdict="reject", words="")
    assert (approving.page.status_code, "Write down why" in approving.text) == (400, True)
    approving.sends(f"{run}/answer", verdict="reject", words="not agreed")
    assert "Rejected; nothing was decided" in approving.text
    assert approving.opens("/operations/again/again_none").status_code == 404
    assert the_run(house).answer == "not agreed"


def test_by_command_too_one_asks_and_another_approves_and_undoes(house, site, capsys, monkeypatch):
    one, other = staff(site, "director"), staff(site, "senior")
    before = money(house)
    for name, value in {"home": house.node.settings.home, "products": house.node.settings.products}.items():
        monkeypatch.setenv(f"SAFEWEAVE_{name.upper()}", str(value))
    monkeypatch.setenv("LANG", "en_US.UTF-8")
    assert main(["again", "preview", "--product", EXPENSE, "--why", "wrong", "--by", one.id]) == 0
    assert "would be decided again: 2 cases, 1,800.00 -> 1,890.00 yuan" in capsys.readouterr().out
    run = the_run(house).id
    assert main(["again", "approve", run, "--by", one.id]) != 0
    assert main(["again", "approve", run, "--by", other.id]) == 0
    assert main(["again", "undo", run, "--by", other.id, "--why", "x"]) != 0  # a senior approves, and does not ask
    assert main(["again", "undo", run, "--by", one.id, "--why", "right before"]) == 0
    assert main(["again", "undo", run, "--by", other.id]) == 0
    assert "put back: 2 cases" in capsys.readouterr().out
    assert main(["again", "list"]) == 0
    assert run in capsys.readouterr().out
    assert money(house) == before
