"""The main stories at every width, by touch and by keyboard alone, in both languages, some in large type; and axe on
every page there is, so that a new page fails here until somebody has looked at it.
"""

import itertools
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace

import pytest
from playwright.sync_api import Locator, Page, expect

from adjudication.test_deciding_again import DEDUCTIBLE, EXPENSE, corrects
from adjudication.test_deciding_again import asks as asks_again
from bulk.test_what_if import stay
from given import CLEAN_STAY, a_bill, a_house, admitted, billed, discharged
from pages.given_pages import PHONE, account_for, codes_sent, person_named, site_of, staff
from pages.real_browser import (
    BROKEN,
    FOCUS_SEEN,
    PATIENT_MS,
    SIDEWAYS,
    SMALL,
    Served,
    faults,
    needs_chromium,
    served,
    shoot,
    unwritten,
)
from pages.test_bad_input import routes as routes_that_fail
from pages.test_papers import PNG
from pages.test_papers import asks as asks_for_papers
from pages.test_portal import gives
from payments.given_payments import RunningBank
from people.given_people import SAMPLE_MALE
from safeweave.coverage.figures import changed
from safeweave.people import delegations
from safeweave.web import accounts, papers
from safeweave.web.people import PARTS
from safeweave.web.what_if import store as trials
from safeweave.words import Language, say
from stores import on
from waiting import until

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, one_bank: RunningBank) -> Iterator[Served]:
    """One node with its pages for all cells of the table."""
    with on("sqlite"):
        house = a_house(tmp_path_factory.mktemp("stories"), one_bank)
        with house.node.database.transaction() as tx:
            tx.run("update person set phone = ?", (PHONE,))
        corrects(house, **{DEDUCTIBLE: "50.00"})
        house.hears(*stay("ZY90", "90", "1700.00", when="02"))  # under terms that were wrong
        corrects(house, **{DEDUCTIBLE: "100.00"})
        house.hears(*CLEAN_STAY)
        site = site_of(house, pages_demo=True)
        house.node.look_around()
        with served(house, site, routes_that_fail) as found:
            yield found
        house.node.close()


# ---------------------------------------------------------------- the two ways to use a page


class Touch:
    """A finger on the glass."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def reaches(self, part: Locator) -> None:
        part.tap()

    presses = reaches


class Keyboard:
    """Nothing but the keyboard: what cannot be reached with Tab, or does not show that it is reached, fails."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def reaches(self, part: Locator) -> None:
        wanted = part.element_handle()
        for _ in range(80):
            if self.page.evaluate("e => e === document.activeElement", wanted):
                assert self.page.evaluate(FOCUS_SEEN), "the focus cannot be seen"
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"{part} cannot be reached by keyboard")

    def presses(self, part: Locator) -> None:
        self.reaches(part)
        self.page.keyboard.press("Enter")


class Reader:
    """Somebody who uses the pages in one language by touch or by keyboard, and finds everything by its words."""

    def __init__(self, page: Page, hand: type[Touch] | type[Keyboard], language: Language, size: str) -> None:
        self.page, self.hand, self.language, self.size = page, hand(page), language, size

    def t(self, key: str, **values: object) -> str:
        return say(key, self.language, **values)

    def follows(self, words: str) -> None:
        self.hand.presses(self.page.get_by_role("link", name=words).first)

    def presses(self, words: str) -> None:
        self.hand.presses(self.page.get_by_role("button", name=words).first)

    def types(self, label: str, text: str) -> None:
        self.hand.reaches(self.page.get_by_label(label))
        self.page.keyboard.type(text)

    def sees(self, words: str) -> None:
        expect(self.page.get_by_text(words).locator("visible=true").first).to_be_visible()
        assert self.page.get_attribute("html", "lang") == ("zh-CN" if self.language == "zh" else "en")
        assert self.page.evaluate(SIDEWAYS) <= 0, f"{self.page.url} scrolls sideways"
        assert self.page.evaluate(SMALL, 60 if self.size else 44) == [], self.page.url


# ---------------------------------------------------------------- the stories


def an_insured_person_signs_in_finds_the_paid_stay_and_takes_a_consent_back(served: Served, reader: Reader) -> None:
    house = served.house
    house.time.at += timedelta(hours=1)  # five codes an hour
    consent = gives(house, person_named(house, "测试甲"))
    reader.page.goto(served.url)
    reader.types(reader.t("pages.sign_in.address"), PHONE)
    reader.presses(reader.t("pages.sign_in.send"))
    reader.sees(reader.t("pages.code.sent"))
    reader.types(reader.t("pages.code.label"), codes_sent(house)[-1][1])
    reader.presses(reader.t("pages.code.go"))
    reader.sees(reader.t("portal.home.stays"))
    reader.follows("450.00")
    reader.sees(reader.t("portal.stage.closed"))
    reader.follows(reader.t("portal.stay.why"))
    reader.sees(reader.t("portal.decision.line"))
    reader.follows(reader.t("portal.place.consents"))
    reader.sees(reader.t("portal.consent.about"))
    reader.presses(reader.t("portal.consent.withdraw"))
    reader.sees(reader.t("portal.consent.withdrawn"))
    assert house.rows("select count(*) from consent_revocation where consent = ?", consent.id) == [(1,)]


def an_examiner_opens_a_referral_and_refuses_with_a_reason(served: Served, reader: Reader) -> None:
    house = served.house
    visit = f"ZY{house.told}"
    house.hears(
        admitted("2026-03-07T08:00", visit=visit), discharged("2026-03-09T10:00", visit=visit, icd="?"),
        billed(a_bill(str(house.told), "200.00"), "2026-03-09T10:30", visit=visit),
    )  # fmt: skip
    served.signs_in(reader.page.context, staff(served.site, "examiner"))
    reader.page.goto(served.url)
    reader.sees(reader.t("workbench.queue.title"))
    reader.follows(visit)
    reader.sees(reader.t("workbench.decision.title"))
    reader.types(reader.t("workbench.decision.note"), "seen")
    reader.presses(reader.t("workbench.act.refuse"))
    reader.sees(reader.t("workbench.done"))
    house.works()
    assert house.rows("select count(*) from desk_act where case_id = ? and state = 'done'", house.case(visit).id) == [
        (1,)
    ]


def a_director_reads_the_figures_and_how_they_are_counted(served: Served, reader: Reader) -> None:
    served.house.node.look_around()
    served.signs_in(reader.page.context, staff(served.site, "director"))
    reader.page.goto(served.url)
    reader.sees(reader.t("operations.figure.untouched"))
    reader.follows(reader.t("operations.span", days=7))
    reader.page.wait_for_url("**days=7")
    reader.hand.presses(reader.page.locator("summary").first)
    reader.sees(reader.t("operations.how.untouched")[:20])
    reader.follows(reader.t("operations.place.health"))
    reader.sees(reader.t("operations.health.lanes"))


STORIES: tuple[Callable[[Served, Reader], None], ...] = (
    an_insured_person_signs_in_finds_the_paid_stay_and_takes_a_consent_back,
    an_examiner_opens_a_referral_and_refuses_with_a_reason,
    a_director_reads_the_figures_and_how_they_are_counted,
)
WIDTHS, LANGUAGES, HANDS = (360, 768, 1440), ("zh", "en"), (Touch, Keyboard)
SIZES = ("", "large", "", "largest", "")  # in turn, so that every story, width, language and hand meets large type
CELLS = [
    (story, width, language, hand, SIZES[n % len(SIZES)])
    for n, (story, width, language, hand) in enumerate(itertools.product(STORIES, WIDTHS, LANGUAGES, HANDS))
]


def test_large_type_meets_every_story_width_language_and_hand():
    large = [cell for cell in CELLS if cell[4]]
    for n, values in enumerate((STORIES, WIDTHS, LANGUAGES, HANDS)):
        assert {cell[n] for cell in large} == set(values)


@pytest.mark.parametrize(
    ("story", "width", "language", "hand", "size"), CELLS,
    ids=lambda value: getattr(value, "__name__", str(value)) or "usual",
)  # fmt: skip
def test_a_story(chromium, pages, story, width, language, hand, size):
    context = chromium.new_context(viewport={"width": width, "height": 800}, has_touch=hand is Touch)
    context.set_default_timeout(PATIENT_MS)
    cookies = {"sw_language": language, "sw_size": size}
    context.add_cookies([{"name": n, "value": v, "url": pages.url} for n, v in cookies.items() if v])
    story(pages, Reader(context.new_page(), hand, language, size))
    context.close()


# ---------------------------------------------------------------- a newcomer


class Newcomer(Reader):
    """Somebody who knows nothing but the address that was printed, and counts how often they press something."""

    pressed = 0

    def follows(self, words: str) -> None:
        super().follows(words)
        self.pressed += 1

    def presses(self, words: str) -> None:
        super().presses(words)
        self.pressed += 1

    def becomes(self, name: str) -> None:
        """Choose somebody of the story by the card with this name."""
        self.presses(self.t("pages.demo.be", name=name))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_newcomer_to_the_demonstration_finds_stay_consent_referral_and_what_if_in_few_steps(
    chromium, pages, language
):
    house, site = pages.house, pages.site
    heroine = account_for(site, person_named(house, "测试甲"))
    gives(house, heroine.person)
    visit = f"ZYN{house.told}"
    house.hears(admitted("2026-03-07T08:00", visit=visit), discharged("2026-03-09T10:00", visit=visit, icd="?"),
                billed(a_bill(str(house.told), "250.00"), "2026-03-09T10:30", visit=visit))  # fmt: skip
    desk, director = staff(site, "examiner"), staff(site, "director")
    with site.database.transaction() as tx:
        tx.run("update account set story = ''")
        for account, story in ((heroine, "heroine"), (desk, "examiner"), (director, "director")):
            accounts.note_story(tx, account.id, f"demo.story.{story}")
    context = chromium.new_context(
        locale="en-GB" if language == "en" else "zh-CN", viewport={"width": 1280, "height": 800}
    )
    newcomer = Newcomer(context.new_page(), Touch, language, "")
    newcomer.hand = SimpleNamespace(presses=lambda part: part.click())  # type: ignore[assignment]
    newcomer.page.goto(pages.url)
    newcomer.follows(newcomer.t("pages.demo.people"))
    newcomer.sees("Ms W" if language == "en" else "W 女士")
    newcomer.becomes("测试甲")
    newcomer.follows("450.00")
    newcomer.sees(newcomer.t("portal.payout.paid", amount="450.00 yuan" if language == "en" else "450.00 元"))
    newcomer.follows(newcomer.t("portal.place.consents"))
    newcomer.presses(newcomer.t("portal.consent.withdraw"))
    newcomer.sees(newcomer.t("portal.consent.withdrawn"))
    newcomer.follows(newcomer.t("pages.demo.switch"))
    newcomer.becomes(desk.name)
    newcomer.follows(visit)
    newcomer.presses(newcomer.t("workbench.phrase.agree"))
    newcomer.presses(newcomer.t("workbench.act.refuse"))
    newcomer.sees(newcomer.t("workbench.done"))
    newcomer.follows(newcomer.t("pages.demo.switch"))
    newcomer.becomes(director.name)
    newcomer.follows(newcomer.t("what_if.open"))
    figure = newcomer.page.get_by_role("group", name=newcomer.t("what_if.kind.deductible")).get_by_role("textbox")
    expect(figure.first).to_have_value("100.00")
    figure.first.fill("300")
    newcomer.presses(newcomer.t("what_if.run"))
    newcomer.page.wait_for_url("**/operations/what-if/*")
    moves = newcomer.page.get_by_role("region", name=newcomer.t("what_if.moves"))
    expect(moves).to_contain_text("−")
    newcomer.sees(newcomer.t("what_if.nothing_decided"))
    assert newcomer.pressed <= 15
    context.close()


# ---------------------------------------------------------------- axe on every page

# What answers with a file, a stream or another address: no page to look at.
NO_PAGES = {
    "/", "/language/{language}", "/size/{size}", "/letters/{letter}", "/desk/queue.csv", "/desk/queue.json",
    "/desk/cases/{case}/case.json", "/desk/cases/{case}/lines.csv", "/stays/{case}/files/{file}",
    "/operations/what-if/{run}/cases.csv", "/operations/what-if/{run}/product.toml",
    "/operations/again/{run}/cases.csv",
}  # fmt: skip

# Every page, as who sees it: its route, the role, and the address (facts of the story in braces).
LOOKED_AT: tuple[tuple[str, str, str], ...] = (
    ("/sign-in", "", "/sign-in"),
    ("/sign-in/code", "", "/sign-in/code"),
    ("/demo", "", "/demo"),
    ("/people/{person}", "insured", "/people/{person}"),
    ("/people/{person}/policies", "insured", "/people/{person}/policies"),
    ("/people/{person}/messages", "insured", "/people/{person}/messages"),
    ("/people/{person}/consents", "insured", "/people/{person}/consents"),
    ("/people/{person}/consents/{consent}", "insured", "/people/{person}/consents/{consent}"),
    ("/people/{person}/new-consent", "insured", "/people/{person}/new-consent"),
    ("/people/{person}/papers", "insured", "/people/{person}/papers"),
    ("/people/{person}/reads", "insured", "/people/{person}/reads"),
    ("/people/{person}/account", "insured", "/people/{person}/account"),
    ("/people/{person}/agents", "insured", "/people/{person}/agents"),
    ("/stays/{case}", "insured", "/stays/{case}"),
    ("/decisions/{determination}", "insured", "/decisions/{decision}"),
    ("/decisions/{determination}/object", "insured", "/decisions/{decision}/object"),
    ("/settings", "insured", "/settings"),
    ("/again", "insured", "/again"),
    ("/people/{person}", "nobody's", "/people/{stranger}"),  # nothing has happened yet
    ("/people/{person}/messages", "nobody's", "/people/{stranger}/messages"),
    ("/people/{person}/consents", "nobody's", "/people/{stranger}/consents"),
    ("/people/{person}/new-consent", "nobody's", "/people/{stranger}/new-consent"),
    ("/people/{person}/papers", "nobody's", "/people/{stranger}/papers"),
    ("/people/{person}/reads", "nobody's", "/people/{stranger}/reads"),
    ("/people/{person}/account", "nobody's", "/people/{stranger}/account"),
    ("/agent", "agent", "/agent"),
    ("/stays/{case}", "agent", "/stays/{case}"),
    ("/agent", "agent without customers", "/agent"),
    ("/desk", "examiner", "/desk"),
    ("/desk", "examiner", "/desk?skill=medical&proposed=1"),
    ("/desk/keys", "examiner", "/desk/keys"),
    ("/desk/cases/{case}", "examiner", "/desk/cases/{referred}"),
    ("/desk/cases/{case}", "examiner", "/desk/cases/{case}"),
    ("/desk/search", "examiner", "/desk/search"),
    ("/desk/search", "examiner", "/desk/search?q=P-1"),
    ("/desk/search", "examiner", "/desk/search?q=nobody"),
    ("/operations", "operator", "/operations"),
    ("/operations/inbox", "operator", "/operations/inbox"),
    ("/operations/inbox/{number}", "operator", "/operations/inbox/{number}"),
    ("/operations/health", "operator", "/operations/health"),
    ("/operations/what-if", "operator", "/operations/what-if"),
    ("/operations", "director", "/operations"),
    ("/operations/what-if", "director", "/operations/what-if"),
    ("/operations/what-if", "director", "/operations/what-if?like={what_if}"),
    ("/operations/what-if/{run}", "director", "/operations/what-if/{what_if}"),
    ("/operations/what-if/{run}", "director", "/operations/what-if/{cancelled}"),
    ("/operations/again", "director", "/operations/again"),
    ("/operations/again/{run}", "director", "/operations/again/{again}"),
    ("/operations/again/{run}", "senior", "/operations/again/{again}"),
    ("/operations/oversight", "director", "/operations/oversight"),
    ("/operations/oversight", "commission", "/operations/oversight?days=7"),
    ("403", "examiner", "/operations"),
    ("404", "examiner", "/nothing/here"),
    ("500", "insured", "/fails/us"),
    ("503", "insured", "/fails/store"),
)


def test_every_page_there_is_stands_in_the_list_for_axe():
    every = {route.path for part in PARTS for route in part.routes if route.method == "GET"}
    listed = {route for route, _, _ in LOOKED_AT if route.startswith("/")}
    assert every - listed - NO_PAGES == set(), "a page that axe does not look at: add it to LOOKED_AT"
    assert listed - every == set()
    assert NO_PAGES - every == set()


def facts_of_the_story(served: Served) -> tuple[dict[str, str], dict[str, accounts.Account]]:
    """What stands in the addresses, and everybody who looks."""
    house, site = served.house, served.site
    person = person_named(house, "测试甲")
    house.insures("P-77", name="测试丙", document=SAMPLE_MALE)
    stranger = person_named(house, "测试丙")
    house.hears(admitted("2026-03-07T08:00", visit="ZYX"), discharged("2026-03-09T10:00", visit="ZYX", icd="?"),
                billed(a_bill("77", "300.00"), "2026-03-09T10:30", visit="ZYX"))  # fmt: skip
    receipt = house.reads(b'{"resourceType": "Bundle", "type": "transaction", "entry": [')
    consent = gives(house, person)
    roles = {
        "insured": account_for(site, person), "nobody's": account_for(site, stranger),
        "agent": staff(site, "agent", licence="A-7"), "agent without customers": staff(site, "agent", licence="A-8"),
        "examiner": staff(site, "examiner"), "operator": staff(site, "operator"),
        "director": staff(site, "director"), "senior": staff(site, "senior"), "commission": staff(site, "commission"),
    }  # fmt: skip
    case = house.case().id
    asks_for_papers(house, site, case)
    photographed = papers.sealed(site.rest, [papers.Upload("出院小结第一页.png", PNG)])
    with site.database.transaction() as tx:
        made = delegations.invite(tx, person, roles["agent"].id, ["collect", "submit", "follow"], person, site.clock())
        delegations.answer(tx, made.id, roles["agent"].id, True, site.clock())
        accounts.keep_form(
            tx, roles["insured"].id, "/settings", {"words": ["half a sentence of some length"]}, site.clock()
        )
        accounts.note_story(tx, roles["insured"].id, "pages.demo.about")
        papers.add(tx, case, person, photographed, roles["insured"].id, "测试甲", site.clock())
    facts = {
        "person": person, "stranger": stranger, "case": case, "referred": house.case("ZYX").id,
        "decision": house.decided()[0].id, "consent": consent.id, "number": str(receipt.number),
        "again": asks_again(house, by=roles["director"].id), **what_ifs(served, roles["director"]),
    }  # fmt: skip
    return facts, roles


def what_ifs(served: Served, director: accounts.Account) -> dict[str, str]:
    """One what-if that is done and one that was cancelled."""
    site, asked = served.site, (EXPENSE, changed(served.site.adjudicator.product_text(EXPENSE), {DEDUCTIBLE: "300.00"}),
                                [(DEDUCTIBLE, "100.00", "300.00")], None, None)  # fmt: skip
    with site.database.transaction() as tx:
        cancelled = trials.add(tx, *asked, director.id, director.name, site.clock())
        assert trials.cancel(tx, cancelled, site.clock())
    served.house.time.at += timedelta(minutes=1)
    with site.database.transaction() as tx:
        done = trials.add(tx, *asked, director.id, director.name, site.clock())

    def is_done() -> bool:
        site.trying.look()  # it may still be busy with the one before
        with site.database.reading() as tx:
            return all(each.id != done for each in trials.unfinished(tx))

    until(is_done)
    return {"what_if": done, "cancelled": cancelled}


def wrong_with(page: Page, name: str) -> list[str]:
    """What is wrong with the page that is shown."""
    shoot(page, f"axe-{name.strip('/').replace('/', '-') or 'root'}")
    found = [f"{name}: {fault}" for fault in faults(page)]
    if page.evaluate(SIDEWAYS) > 0:
        found.append(f"{name}: scrolls sideways")
    found += [f"{name}: too small for a finger: {small}" for small in page.evaluate(SMALL, 44)]
    found += [f"{name}: {word} is broken in a table" for word in page.evaluate(BROKEN)]
    found += [f"{name}: not written so: {text!r}" for text in unwritten(page)]
    return found


def test_axe_finds_no_serious_fault_on_any_page_and_each_has_its_title(chromium, pages):
    facts, roles = facts_of_the_story(pages)
    wrong: list[str] = []
    titles: dict[tuple[str, str], set[str]] = {}
    for role, places in itertools.groupby(LOOKED_AT, key=lambda each: each[1]):
        context = chromium.new_context(locale="zh-CN", viewport={"width": 360, "height": 780})
        if role:
            pages.signs_in(context, roles[role])
        page = context.new_page()
        for route, _, address in places:
            where = address.format_map(facts)
            answer = page.goto(pages.url + where)
            expected = int(route) if route.isdecimal() else 200
            assert (answer.status, page.url) == (expected, pages.url + where)
            wrong += wrong_with(page, f"{route} {role}")
            titles.setdefault((role, page.title()), set()).add(where.partition("?")[0])
        context.close()
    wrong += [f"{title} ({role}) is the title of {where}" for (role, title), where in titles.items() if len(where) > 1]
    assert wrong == []


SEND = """([action, fields]) => { const form = document.querySelector('form[action="/sign-out"]');
  form.action = action;
  for (const [name, value] of Object.entries(fields)) {
    const field = form.appendChild(document.createElement('textarea')); field.name = name; field.value = value; }
  form.submit(); }"""


def test_axe_finds_no_serious_fault_on_what_comes_of_forms(chromium, pages):
    """Stale, too long, too often, a wrong code, several persons at one phone, and a form refused."""
    house, site = pages.house, pages.site
    person = person_named(house, "测试甲")
    context = chromium.new_context(locale="en-GB", viewport={"width": 360, "height": 780})
    page = context.new_page()
    wrong: list[str] = []

    house.insures("P-78", name="测试戊", document="330102199501010019", phone=PHONE)
    house.time.at += timedelta(hours=1)
    page.goto(f"{pages.url}/sign-in")
    page.get_by_label(say("pages.sign_in.address", "en")).fill(PHONE)
    page.keyboard.press("Enter")
    for code, then in (("000", "pages.code.wrong"), ("", "pages.who.title")):
        page.get_by_label(say("pages.code.label", "en")).fill(code or codes_sent(house)[-1][1])
        page.keyboard.press("Enter")
        expect(page.get_by_text(say(then, "en"))).to_be_visible()
        wrong += wrong_with(page, then)
    with site.database.transaction() as tx:
        for _ in range(5):
            accounts.is_within(tx, f"codes to {accounts.digest(PHONE)}", 5, timedelta(hours=1), site.clock())
    page.goto(f"{pages.url}/sign-in")
    page.get_by_label(say("pages.sign_in.address", "en")).fill(PHONE)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=say("pages.error.429.title", "en"))).to_be_visible()
    wrong += wrong_with(page, "429")

    pages.signs_in(context, account_for(site, person))
    long = "a sentence that somebody wrote, which is long enough to be given back. " * 2
    for number, action, fields in (
        (409, "/draft", {"_version": "0", "words": long}), (413, "/draft", {"_version": "x" * 20_001, "words": long}),
        (403, "/settings/sessions/end-others", {"_csrf": "forged"}), (400, f"/people/{person}/account", {"name": "x"}),
    ):  # fmt: skip
        page.goto(f"{pages.url}/settings")
        if "_csrf" in fields:
            page.evaluate("document.querySelector('form[action=\"/sign-out\"] [name=_csrf]').remove()")
        with page.expect_navigation() as told:
            page.evaluate(SEND, [action, fields])
        assert told.value.status == number
        wrong += wrong_with(page, str(number))
    context.close()
    assert wrong == []
