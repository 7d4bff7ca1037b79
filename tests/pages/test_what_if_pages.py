"""What-if on a page: figures to change, a process that works on it, what comes out, and what is said when it cannot."""

import tomllib

import pytest

from bulk.test_what_if import stay
from given import House, yuan
from pages.given_pages import Browser, Form, site_of, staff
from safeweave.adjudication import product_files
from safeweave.bulk.moving import ByCase
from safeweave.coverage.figures import changed, figures, toml
from safeweave.coverage.product import parse_product
from safeweave.errors import Malformed, NotFound
from safeweave.web.asked import Site
from safeweave.web.what_if import process
from safeweave.web.what_if import store as trials
from stores import engines

EXPENSE = "hospital-expense-2020"
DEDUCTIBLE = "deductible[0].yuan"


@pytest.fixture(params=["sqlite"])  # one test asks both engines
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def site(house: House):
    site = site_of(house)
    yield site
    site.close()


@pytest.fixture
def director(site: Site) -> Browser:
    return Browser(site, "en").is_signed_in_as(staff(site, "director"))


def paid(house: House, *totals: str) -> None:
    """Stays in a row whose bills come to these sums; 医保 has borne 400.00 of each."""
    for number, total in enumerate(totals, start=1):
        house.hears(*stay(f"ZY{number}", str(number), total, when=f"{number:02}"))
    house.node.look_around()


def the_form(director: Browser) -> Form:
    return next(form for form in director.forms if "Run the what-if" in form.buttons)


def asks(director: Browser, **fields: str) -> None:
    """Fill in the form with the present figures but these, and send it."""
    director.opens("/operations/what-if")
    director.sends("/operations/what-if", the_form(director), **fields)


def runs(director: Browser, **fields: str) -> None:
    """Ask for a what-if on the page and wait until the process is done."""
    asks(director, **fields)
    director.site.trying.wait(300)
    director.opens(director.page.url.path)


# ---------------------------------------------------------------- figures


@pytest.mark.parametrize(("file", "text"), product_files(None))
def test_a_product_written_anew_is_the_same_product(file, text):
    assert tomllib.loads(toml(tomllib.loads(text))) == tomllib.loads(text)
    assert parse_product(changed(text, {}), file).digest == parse_product(text, file).digest
    assert figures(text)


def test_a_changed_figure_is_the_only_thing_that_differs():
    text = dict(product_files(None))["hospital-expense-2020.toml"]
    after = changed(text, {DEDUCTIBLE: "0.00", "ratio[1].rows[0].rate": "0.8", "cover[1].tail_days": "31"})
    differ = [(one.name, one.value, other.value) for one, other in zip(figures(text), figures(after), strict=True)
              if one != other]  # fmt: skip
    assert differ == [
        (DEDUCTIBLE, "100.00", "0.00"),
        ("ratio[1].rows[0].rate", "0.90", "0.8"),
        ("cover[1].tail_days", "30", "31"),
    ]


def test_what_is_no_figure_of_the_product_or_cannot_stand_there_is_refused():
    text = dict(product_files(None))["hospital-expense-2020.toml"]
    with pytest.raises(NotFound):
        changed(text, {"deductible[7].yuan": "1.00"})
    for name, value in ((DEDUCTIBLE, "1"), ("ratio[1].rows[0].rate", "1.2"), ("cover[1].tail_days", "1.5")):
        with pytest.raises(Malformed) as refused:
            changed(text, {name: value})
        assert refused.value.field == name


# ---------------------------------------------------------------- the page


@pytest.mark.parametrize("store", engines(), indirect=True)
def test_from_the_first_page_to_what_a_figure_moves(house, site, director):
    paid(house, "1000.00", "2000.00", "450.00")
    assert director.opens("/operations").status_code == 200
    assert 'href="/operations/what-if"' in director.page.text
    director.opens("/operations/what-if")
    assert dict(the_form(director).fields)["product"] == EXPENSE  # that with most cases
    assert dict(the_form(director).fields)[DEDUCTIBLE] == "100.00"
    runs(director, **{DEDUCTIBLE: "0"})
    assert "Nothing is decided" not in director.text
    assert "nothing was decided and no money moved" in director.text
    assert "+225.00 yuan" in director.text  # 90 % of 100 for two of them, of the 50 that were left for the third
    [run] = house.asks(lambda tx: trials.latest(tx, 5))
    assert (run.state, run.changes) == ("done", ((DEDUCTIBLE, "100.00", "0.00"),))
    sums = run.answer.sums
    assert (sums.cases, sums.more, sums.less, sums.referred, sums.same) == (3, 3, 0, 0, 0)
    assert sums.after_fen - sums.before_fen == yuan("225.00")


def test_the_csv_has_every_case_that_moves_and_the_product_file_what_was_changed(house, site, director):
    paid(house, "1000.00", "2000.00")
    runs(director, **{DEDUCTIBLE: "50.00"})
    run = director.page.url.path
    rows = director.opens(f"{run}/cases.csv").text.splitlines()
    assert rows[0].lstrip("\ufeff").split(",")[:4] == ["case", "decided", "would_be", "yuan"]
    assert sorted(row.split(",")[1:] for row in rows[1:]) == [
        ["pay", "pay", "1350.00", "1395.00", "45.00", "0.00"],
        ["pay", "pay", "450.00", "495.00", "45.00", "0.00"],
    ]
    text = director.opens(f"{run}/product.toml").text
    assert parse_product(text, "changed").id == EXPENSE
    assert figures(text)[0].value == "50.00"


def test_a_smaller_authority_sends_cases_to_a_person_and_lower_shares_pay_less(house, site, director):
    paid(house, "1000.00", "2000.00")
    runs(director, **{"authority[0].yuan": "1000", "ratio[1].rows[0].rate": "80"})
    [run] = house.asks(lambda tx: trials.latest(tx, 5))
    sums = run.answer.sums
    assert (sums.cases, sums.less, sums.referred) == (2, 1, 1)
    assert sums.waits_fen == yuan("1200.00")
    assert sums.steps == (0, 1, 0, 1, 0, 0, 0, 0)  # 1,350.00 less, and 50.00 less


def test_only_the_days_that_are_asked_about_count(house, site, director):
    paid(house, "1000.00")
    house.waits(days=40)
    house.hears(*stay("ZY9", "9", "2000.00", when="04"))
    director = Browser(site, "en").is_signed_in_as(staff(site, "director"))
    runs(director, **{DEDUCTIBLE: "0", "from": "2026-04-01"})
    [run] = house.asks(lambda tx: trials.latest(tx, 5))
    assert (run.answer.sums.cases, run.answer.sums.more) == (1, 1)
    runs(director, **{DEDUCTIBLE: "0", "until": "2026-03-31"})
    [latest] = [each for each in house.asks(lambda tx: trials.latest(tx, 5)) if each.id != run.id]
    assert (latest.answer.sums.cases, latest.answer.most[0].before_fen) == (1, yuan("450.00"))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "Nothing is changed yet"),
        ({DEDUCTIBLE: "a lot"}, "“a lot” will not do for: Deductible"),
        ({DEDUCTIBLE: "-1"}, "“-1” will not do"),
        ({DEDUCTIBLE: "0.001"}, "“0.001” will not do"),
        ({"ratio[0].rows[0].rate": "120"}, "a share lies between 0 and 100"),
        ({DEDUCTIBLE: "0", "from": "2026-05-01", "until": "2026-04-01"}, "The last day is before the first"),
        ({DEDUCTIBLE: "0", "from": "yesterday"}, "“yesterday” is no day"),
        ({DEDUCTIBLE: "0", "product": "none"}, "There is no such product here"),
        ({DEDUCTIBLE: "NaN"}, "“NaN” will not do"),
    ],
)
def test_what_cannot_be_asked_is_said_and_what_was_typed_is_still_there(house, site, director, fields, said):
    asks(director, **fields)
    assert director.page.status_code == 400
    assert said in director.text, director.text
    if DEDUCTIBLE in fields and "product" not in fields:
        assert dict(the_form(director).fields)[DEDUCTIBLE] == fields[DEDUCTIBLE]
    assert house.rows("select count(*) from what_if") == [(0,)]


def test_a_form_sent_twice_asks_once(house, site, director):
    paid(house, "1000.00")
    director.opens("/operations/what-if")
    form = the_form(director)
    director.sends("/operations/what-if", form, **{DEDUCTIBLE: "0"})
    director.sends("/operations/what-if", form, **{DEDUCTIBLE: "0"})
    assert house.rows("select count(*) from what_if") == [(1,)]
    site.trying.wait(300)


def test_nothing_in_the_store_is_another_afterwards(house, site, director):
    paid(house, "1000.00", "2000.00")
    tables = ("determination", "payout", "journal_entry", "claim_case", "usage_addition", "task")
    before = [house.rows(f"select count(*) from {table}") for table in tables]
    runs(director, **{DEDUCTIBLE: "0"})
    assert [house.rows(f"select count(*) from {table}") for table in tables] == before
    house.is_sound()


# ---------------------------------------------------------------- processes


def test_one_that_is_cancelled_is_not_gone_on_with(house, site, director):
    paid(house, "1000.00")
    site.trying.look = lambda: None
    asks(director, **{DEDUCTIBLE: "0"})
    director.opens(director.page.url.path)
    assert "About to begin" in director.text
    director.sends(r"/operations/what-if/.*/cancel")
    assert "The what-if is cancelled" in director.text
    del site.trying.look
    site.look_around()
    site.trying.wait(300)
    [run] = house.asks(lambda tx: trials.latest(tx, 5))
    assert (run.state, run.tries) == ("cancelled", 0)


def test_one_whose_process_was_killed_is_taken_up_by_the_next_and_given_up_after_three(house, site, director):
    paid(house, "1000.00")
    site.trying.look = lambda: None
    asks(director, **{DEDUCTIBLE: "0"})
    del site.trying.look
    with site.database.transaction() as tx:
        [run] = trials.latest(tx, 5)
        assert trials.take(tx, run, process.socket.gethostname(), NOBODY, site.clock())
        assert not trials.take(tx, run, process.socket.gethostname(), 1, site.clock())  # somebody was quicker
    site.look_around()
    site.trying.wait(300)
    [run] = house.asks(lambda tx: trials.latest(tx, 5))
    assert (run.state, run.tries) == ("done", 2)
    with site.database.transaction() as tx:
        tx.run("update what_if set state = 'working', process = ?, tries = 3", (NOBODY,))
    site.look_around()
    [run] = house.asks(lambda tx: trials.latest(tx, 5))
    assert run.state == "failed"
    assert "killed several times" in director.opens(f"/operations/what-if/{run.id}").text


def test_what_another_version_had_begun_is_begun_again(house, site, director):
    paid(house, "1000.00")
    runs(director, **{DEDUCTIBLE: "0"})
    site.trying.look = lambda: None
    asks(director, **{DEDUCTIBLE: "50.00"})
    del site.trying.look
    [run] = [each for each in house.asks(lambda tx: trials.latest(tx, 5)) if each.state == "waiting"]
    begun = house.node.settings.home / "what-if" / "pages" / run.id
    begun.mkdir()
    (begun / "question.json").write_text('{"question": "of another version"}', encoding="utf-8")
    (begun / "part-00000.json").write_text("{}", encoding="utf-8")
    site.look_around()
    site.trying.wait(300)
    [done] = [each for each in house.asks(lambda tx: trials.latest(tx, 5)) if each.id == run.id]
    assert (done.state, done.answer.sums.more) == ("done", 1)
    assert not begun.exists()


NOBODY = 2**22 + 1  # above every process number


def test_without_any_case_of_the_product_it_ends_well_with_no_cases(house, site, director):
    runs(director, **{DEDUCTIBLE: "0"})
    [run] = house.asks(lambda tx: trials.latest(tx, 5))
    assert (run.state, run.answer.sums, run.answer.most) == ("done", ByCase(), ())
    assert "of 0 cases" in director.text
    assert "nothing was decided and no money moved" in director.text


def test_beside_cases_of_other_products_it_ends_well_with_no_cases(house, site, director):
    paid(house, "1000.00")
    runs(director, product="daily-allowance-2022", **{"allowance[0].daily_yuan": "1"})
    [run] = house.asks(lambda tx: trials.latest(tx, 5))
    assert (run.state, run.answer.sums) == ("done", ByCase())


def test_an_operator_looks_and_does_not_run(house, site, director):
    paid(house, "1000.00")
    runs(director, **{DEDUCTIBLE: "0"})
    operator = Browser(site, "en").is_signed_in_as(staff(site, "operator"))
    run = director.page.url.path
    assert operator.opens(run).status_code == 200
    assert "/desk/cases/" not in operator.page.text  # which case it is, is not theirs to open
    operator.opens("/operations/what-if")
    assert "Only directors run a what-if" in operator.text
    assert operator.opens("/operations/what-if/whatif_none").status_code == 404
