"""Papers handed in: what is taken, who sees it, how long it can be taken back; and what agents did is told."""

import socket
from typing import Any

import pytest

from given import CLEAN_STAY, House
from pages.given_pages import Browser, account_for, staff
from pages.real_browser import CHROMIUM, faults, needs_chromium, served, shoot
from safeweave.cases import clocks
from safeweave.cases import store as case_store
from safeweave.people import delegations
from safeweave.web import papers
from safeweave.web.access import Scope
from safeweave.web.asked import Site
from waiting import PATIENCE

PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n" + bytes(range(256)) * 20
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f645400000"
    "000049454e44ae426082"
)


@pytest.fixture(params=["sqlite"])  # the rows are plain; what differs between engines has tests of its own
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def case(house: House, site: Site) -> str:
    house.hears(*CLEAN_STAY)
    return house.case().id


def hands_in(browser: Browser, case: str, *files: tuple[str, bytes], to: str = "files", **fields: str) -> Any:
    """Fill in the form of the papers page and send it."""
    person = browser.site.database
    with person.reading() as tx:
        whose = case_store.heads(tx, [case])[case].person  # type: ignore[list-item, index]
    browser.opens(f"/people/{whose}/papers")
    form = browser.form(f"/stays/{case}/{to}")
    sent = {name: value for name, value in form.fields if name not in ("files", "words")}
    browser.page = browser.client.post(
        form.action, data={**sent, **fields}, files=[("files", (name, content)) for name, content in files]
    )
    return browser.page


def asks(house: House, site: Site, case: str) -> None:
    """An examiner has asked for something."""
    with site.database.transaction() as tx:
        clocks.start(tx, [(case, "decision")], site.clock())  # type: ignore[list-item]
    with site.database.transaction() as tx:
        head = case_store.heads(tx, [case])[case]  # type: ignore[list-item, index]
        assert clocks.pause(tx, head.id, site.clock())
        case_store.add_steps(tx, [(head.id, "supplement_asked", head.stage, "李核赔: 出院小结")], site.clock())


def agent_of(site: Site, person: Any, *scopes: Scope) -> Browser:
    account = staff(site, "agent", licence="A-1")
    with site.database.transaction() as tx:
        delegations.invite(tx, person, account.id, list(scopes), person, site.clock())  # type: ignore[arg-type]
    browser = Browser(site).is_signed_in_as(account)
    browser.opens("/agent")
    browser.sends(r"/agent/.*/answer")
    return browser


def kept(house: House) -> list[tuple[Any, ...]]:
    return house.rows("select name, kind, bytes from case_file where removed_at is null order by name")


# ---------------------------------------------------------------- handing in


def test_a_photograph_and_a_pdf_are_taken_and_rest_encrypted(house: House, site, mine, case):
    hands_in(mine, case, ("出院小结.pdf", PDF), ("照片.png", PNG))
    assert (mine.page.status_code, "文件已收到" in mine.text) == (200, True)
    assert kept(house) == [("出院小结.pdf", "application/pdf", len(PDF)), ("照片.png", "image/png", len(PNG))]
    pieces = b"".join(bytes(piece) for (piece,) in house.rows("select content from case_file_piece"))
    assert PDF[:40] not in pieces
    assert b"\x89PNG" not in pieces
    assert (house.node.settings.home / "rest.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "content",
    [b"<html><script>alert(1)</script>", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"MZ\x90\x00", b"PK\x03\x04",
     b" %PDF-1.7", b"GIF89a", b""],
)  # fmt: skip
def test_what_is_no_photograph_and_no_pdf_is_not_taken_whatever_it_is_called(house: House, mine, case, content):
    hands_in(mine, case, ("harmless.png", content))
    assert mine.page.status_code == 400
    assert "harmless.png" in mine.text
    assert kept(house) == []


def test_too_large_and_too_many_are_refused_with_what_to_do(house: House, mine, case):
    hands_in(mine, case, ("big.pdf", PDF + bytes(papers.MOST_BYTES)))
    assert (mine.page.status_code, "big.pdf" in mine.text) == (400, True)
    hands_in(mine, case, *[(f"{n}.pdf", PDF + bytes([n])) for n in range(4)])
    assert (mine.page.status_code, "分几次" in mine.text) == (400, True)
    hands_in(mine, case, *[(f"{n}.pdf", PDF + bytes(papers.MOST_BYTES)) for n in range(4)])
    assert (mine.page.status_code, "加起来太大" in mine.text) == (413, True)
    assert kept(house) == []
    english = Browser(mine.site, "en").is_signed_in_as(account_for(mine.site, house.case().person))
    english.client.cookies.set("sw_language", "en", domain="testserver.local", path="/")
    hands_in(english, case, *[(f"{n}.pdf", PDF + bytes(papers.MOST_BYTES)) for n in range(4)])
    assert "too large together" in english.text


def test_a_form_without_a_file_says_so(mine, case):
    hands_in(mine, case, ("", b""))
    assert (mine.page.status_code, "请先选择文件" in mine.text) == (400, True)


def test_sent_twice_it_is_there_once(house: House, site, mine, person, case):
    mine.opens(f"/people/{person}/papers")
    sent = dict(mine.form(f"/stays/{case}/files").fields) | {"files": ""}
    sent.pop("files")
    for _ in range(2):
        answer = mine.client.post(f"/stays/{case}/files", data=sent, files=[("files", ("a.pdf", PDF))])
        assert answer.status_code == 200
    hands_in(mine, case, ("b.pdf", PDF))  # the same content by another form
    assert "没有重复保存" in mine.text
    assert len(kept(house)) == 1


def test_a_name_that_would_harm_is_made_harmless(house: House, site, mine, case):
    hands_in(mine, case, ('..\\..\\x"><script>.html', PDF))
    [(name, _, _)] = kept(house)
    assert name.endswith(".pdf")
    assert not set(name) & set('\\/"<>')
    assert "<script>" not in mine.page.text.partition("<main")[2]


def test_a_case_holds_so_many_papers_and_no_more(house: House, mine, case):
    for n in range(papers.MOST_OF_A_CASE):
        hands_in(mine, case, (f"{n}.pdf", PDF + bytes([n])))
    hands_in(mine, case, ("more.pdf", PDF + b"more"))
    assert (mine.page.status_code, len(kept(house))) == (409, papers.MOST_OF_A_CASE)


def test_nobody_sends_much_without_being_signed_in(site, case):
    large = {"files": ("a.pdf", PDF + bytes(20 * 1024 * 1024))}
    answer = Browser(site).client.post(f"/stays/{case}/files", files=large)
    assert answer.status_code == 413


def test_a_line_that_breaks_off_keeps_nothing_and_says_so(house: House, site, person, case, monkeypatch):
    monkeypatch.setattr("safeweave.web.pages.BODY_SECONDS", 0.3)
    browser = Browser(site).is_signed_in_as(account_for(site, person))
    cookies = "; ".join(f"{name}={value}" for name, value in browser.client.cookies.items())
    with served(house, site) as where:
        port = int(where.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as line:
            line.sendall(
                f"POST /stays/{case}/files HTTP/1.1\r\nHost: localhost\r\nCookie: {cookies}\r\nAccept-Language: en\r\n"
                "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 100000\r\n\r\n--x\r\n".encode()
            )
            said = b""
            while part := line.recv(65536):
                said += part
                if b"</html>" in said:
                    break
    assert b"408" in said.partition(b"\r\n")[0]
    assert "没有收完".encode() in said or b"broke off" in said
    assert kept(house) == []


def test_what_cannot_be_read_as_a_form_is_told(site, mine, case):
    answer = mine.client.post(
        f"/stays/{case}/files", content=b"nonsense", headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert answer.status_code in (400, 403)


# ---------------------------------------------------------------- seeing and taking back


def test_a_paper_is_never_run_by_a_browser_and_every_look_is_noted(house: House, site, mine, person, case):
    hands_in(mine, case, ("小结.pdf", PDF))
    [(id,)] = house.rows("select id from case_file")
    answer = mine.client.get(f"/stays/{case}/files/{id}")
    assert answer.content == PDF
    told = {name: answer.headers[name] for name in
            ("content-disposition", "content-security-policy", "x-content-type-options", "cache-control")}  # fmt: skip
    assert told["content-disposition"].startswith("attachment;")
    assert "sandbox" in told["content-security-policy"]
    assert (told["x-content-type-options"], told["cache-control"]) == ("nosniff", "no-store")
    assert (person, "papers.read", id) in house.rows("select person, action, thing from page_view")
    for wrong in (f"/stays/{case}/files/file_none", f"/stays/case_none/files/{id}"):
        assert mine.client.get(wrong).status_code == 404


def test_it_is_taken_back_by_who_handed_it_in_until_an_examiner_has_seen_it(house: House, site, mine, case):
    hands_in(mine, case, ("a.pdf", PDF), ("b.pdf", PDF + b"b"))
    ids = dict(house.rows("select name, id from case_file"))
    mine.sends(f"/stays/{case}/files/{ids['a.pdf']}/remove")
    assert "已撤回" in mine.text
    assert [name for name, _, _ in kept(house)] == ["b.pdf"]
    assert house.rows("select count(*) from case_file_piece where file = ?", ids["a.pdf"]) == [(0,)]
    mine.opens(f"/people/{house.case().person}/papers")
    form = mine.form(f"/stays/{case}/files/{ids['b.pdf']}/remove")
    examiner = Browser(site).is_signed_in_as(staff(site, "examiner"))
    assert examiner.opens(f"/stays/{case}/files/{ids['b.pdf']}").status_code == 200
    mine.sends("", form)
    assert (mine.page.status_code, "不能再撤回" in mine.text) == (409, True)
    mine.opens(f"/people/{house.case().person}/papers")
    assert "已查看" in mine.text


def test_an_examiner_sees_the_papers_beside_the_bills(house: House, site, mine, case):
    hands_in(mine, case, ("照片.png", PNG), ("小结.pdf", PDF))
    examiner = Browser(site).is_signed_in_as(staff(site, "examiner"))
    examiner.opens(f"/desk/cases/{case}")
    assert "照片.png" in examiner.text
    assert examiner.page.text.count(f'<img src="/stays/{case}/files/') == 1


def test_what_was_asked_for_is_answered_by_a_file(house: House, site, mine, case):
    asks(house, site, case)
    mine.opens(f"/people/{house.case().person}/papers")
    assert "出院小结" in mine.text
    hands_in(mine, case, ("", b""), to="papers", words="")
    assert (mine.page.status_code, "请附上文件" in mine.text) == (400, True)
    hands_in(mine, case, ("小结.pdf", PDF), to="papers", words="")
    assert "继续办理" in mine.text
    with site.database.reading() as tx:
        assert not clocks.is_paused(tx, case)
        assert case_store.history(tx, case)[-1][3].endswith("[小结.pdf]")
    assert len(kept(house)) == 1


def test_a_file_changed_in_the_store_is_not_given_out(house: House, site, mine, case):
    hands_in(mine, case, ("小结.pdf", PDF))
    [(id,)] = house.rows("select id from case_file")
    with site.database.transaction() as tx:
        [(piece,)] = tx.rows("select content from case_file_piece where number = 1")
        tx.run("update case_file_piece set content = ? where number = 1", (bytes(piece)[:-1] + b"\x00",))
    assert mine.client.get(f"/stays/{case}/files/{id}").status_code != 200


# ---------------------------------------------------------------- agents


def test_an_agent_who_may_only_submit_finds_what_was_asked_and_answers_it(house: House, site, mine, person, case):
    asks(house, site, case)
    agent = agent_of(site, person, "submit")
    assert f"/people/{person}/papers" in agent.page.text
    hands_in(agent, case, ("小结.pdf", PDF), to="papers", words="已附")
    assert (agent.page.status_code, "继续办理" in agent.text) == (200, True)
    assert agent.opens(f"/stays/{case}").status_code == 403
    [(id,)] = house.rows("select id from case_file")
    assert agent.opens(f"/stays/{case}/files/{id}").status_code == 403


def test_each_act_of_an_agent_is_told_to_the_customer_and_listed(house: House, site, mine, person, case):
    agent = agent_of(site, person, "collect")
    hands_in(agent, case, ("a.pdf", PDF))
    [(id,)] = house.rows("select id from case_file")
    agent.sends(f"/stays/{case}/files/{id}/remove")
    mine.opens(f"/people/{person}/messages")
    for told in ("接受了代办邀请", "代您递交了材料", "撤回了一份递交的材料"):
        assert told in mine.text, told
    mine.opens(f"/people/{person}/agents")
    assert {act for (act,) in house.rows("select act from agent_act")} == {"accepted", "handed_in", "took_back"}
    assert "代您递交了材料" in mine.text
    house.works()
    sms = house.node.post.channels["sms"].read()  # type: ignore[attr-defined]
    assert sum("您的代理人" in line["text"] for line in sms) == 2


def test_what_the_customer_does_alone_is_no_act_of_an_agent(house: House, mine, case):
    hands_in(mine, case, ("a.pdf", PDF))
    assert house.rows("select count(*) from agent_act") == [(0,)]


# ---------------------------------------------------------------- in a browser


@needs_chromium
def test_papers_are_handed_in_by_touch_and_seen_at_the_desk(house: House, site, person, case, tmp_path):
    from playwright.sync_api import expect, sync_playwright

    (tmp_path / "photo.png").write_bytes(PNG)
    (tmp_path / "big.pdf").write_bytes(PDF + bytes(papers.MOST_BYTES))
    with served(house, site) as where, sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for scripts in (True, False):
            context = chromium.new_context(viewport={"width": 360, "height": 740}, locale="zh-CN", has_touch=True,
                                           java_script_enabled=scripts)  # fmt: skip
            where.signs_in(context, account_for(site, person))
            page = context.new_page()
            page.goto(f"{where.url}/people/{person}/papers")
            if scripts:
                page.set_input_files("input[type=file]", tmp_path / "big.pdf")
                expect(page.get_by_role("alert")).to_be_visible()
                assert faults(page) == []
            (tmp_path / "photo.png").write_bytes(PNG + str(scripts).encode())
            page.set_input_files("input[type=file]", tmp_path / "photo.png")
            page.get_by_role("button", name="递交", exact=True).tap()
            page.wait_for_selector(".said")
            shoot(page, f"papers-{'with' if scripts else 'without'}-scripts")
            context.close()
        context = chromium.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
        where.signs_in(context, staff(site, "examiner"))
        page = context.new_page()
        page.goto(f"{where.url}/desk/cases/{case}")
        page.locator(".papers summary").first.click()
        expect(page.locator(".papers img").first).to_have_js_property("naturalWidth", 1)
        assert faults(page) == []
        shoot(page, "papers-at-the-desk")
        chromium.close()
    assert len(kept(house)) == 2
    assert house.rows("select count(*) from case_file where seen_at is not null") == [(1,)]
