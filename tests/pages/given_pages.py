"""Browsers without a screen for tests of the pages: they hold cookies, follow links and send forms as people do."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from html import unescape
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from given import House
from safeweave.database import Transaction, at_text
from safeweave.ids import CaseId, PersonId, person_key
from safeweave.web import accounts, pages
from safeweave.web.access import Role
from safeweave.web.asked import SESSION, Site
from safeweave.web.pages import Pace
from safeweave.web.people import people_app

PHONE = "13900000001"


@dataclass
class Form:
    """A form of a page, with what it would send."""

    action: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[str] = field(default_factory=list)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._area = self._button = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "form":
            self.forms.append(Form(found.get("action") or ""))
        elif self.forms and tag == "input" and found.get("name"):
            if found.get("type") in ("checkbox", "radio") and "checked" not in found:
                return
            self.forms[-1].fields.append((str(found["name"]), found.get("value") or ""))
        elif self.forms and tag == "textarea":
            self.forms[-1].fields.append((str(found["name"]), ""))
            self._area = True
        elif tag == "button":
            self._button = True
            if self.forms:
                self.forms[-1].buttons.append("")

    def handle_data(self, data: str) -> None:
        if self._area:
            name, value = self.forms[-1].fields[-1]
            self.forms[-1].fields[-1] = (name, value + data)
        if self._button and self.forms and self.forms[-1].buttons:
            self.forms[-1].buttons[-1] += data.strip()

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._area = False
        elif tag == "button":
            self._button = False


class _Pace(Pace):
    """Begins to count anew with every browser of a test, as with a process of its own."""

    def begins_anew(self) -> None:
        self.__init__()  # type: ignore[misc]


_present: list[tuple[Site, FastAPI, _Pace]] = []  # of the site that was asked last


def app_of(site: Site) -> FastAPI:
    """All pages of a site: they are put together once, which takes a sixth of a second, for all its browsers."""
    if not _present or _present[0][0] is not site:
        pace = _Pace()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pages, "Pace", lambda: pace)
            _present[:] = [(site, people_app(site), pace)]
    _, app, pace = _present[0]
    pace.begins_anew()
    return app


class Browser:
    """One browser: the page it shows is `page`."""

    def __init__(self, site: Site, language: str = "zh") -> None:
        self.site = site
        self.client = TestClient(app_of(site), headers={"accept-language": language}, raise_server_exceptions=False)
        self.page: httpx.Response = self.client.get("/sign-in")

    def opens(self, path: str) -> httpx.Response:
        self.page = self.client.get(path)
        return self.page

    @property
    def text(self) -> str:
        """What a reader sees, without tags."""
        body = re.sub(r"<(script|head|style)\b.*?</\1>", "", self.page.text, flags=re.S)
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())

    @property
    def forms(self) -> list[Form]:
        parser = _Forms()
        parser.feed(self.page.text)
        return parser.forms

    def form(self, action: str) -> Form:
        """The form of this page that is sent there (a regular expression)."""
        found = [form for form in self.forms if re.fullmatch(action, form.action)]
        assert found, f"{action} is not among {[form.action for form in self.forms]}\n{self.text}"
        return found[0]

    def sends(self, action: str, _form: Form | None = None, **fields: Any) -> httpx.Response:
        """Fill in a form of this page and send it."""
        form = _form or self.form(action)
        sent: dict[str, list[str]] = {}
        for name, value in form.fields:
            sent.setdefault(name, []).append(value)
        for name, value in fields.items():
            sent[name] = value if isinstance(value, list) else [value]
        self.page = self.client.post(form.action, data=sent)
        return self.page

    def is_signed_in_as(self, account: accounts.Account) -> "Browser":
        """The session that a right code would have begun."""
        with self.site.database.transaction() as tx:
            token = accounts.begin_session(tx, account.id, "a test", self.site.clock())
        self.holds(SESSION, token)
        return self

    def holds(self, name: str, value: str) -> None:
        """A cookie as the server would have set it."""
        self.client.cookies.set(name, value, domain="testserver.local", path="/")


def site_of(house: House, **settings: Any) -> Site:
    """The pages of a test's node."""
    house.node.settings = replace(house.node.settings, pages=True, **settings)
    return house.node.site()


def account_for(site: Site, person: str) -> accounts.Account:
    """The account of somebody in the register."""
    with site.database.transaction() as tx:
        return accounts.account_of(tx, PersonId(person), site.clock())


def staff(site: Site, role: Role, **facts: Any) -> accounts.Account:
    """An account of somebody who is not in the register."""
    with site.database.transaction() as tx:
        return accounts.add_account(tx, role, f"{role} 员工", site.clock(), **facts)


def person_named(house: House, name: str) -> PersonId:
    """The id of the person with this name."""
    [(person,)] = house.rows("select person from person_name where name = ?", name)
    return PersonId(person)


def codes_sent(house: House) -> list[tuple[str, str]]:
    """(address, code) of every sign-in code in the outbox, the oldest first."""
    found = []
    for name in ("sms", "email"):
        for line in house.node.post.channels[name].read():  # type: ignore[attr-defined]
            if code := re.search(r"(?<!\d)\d{6}(?!\d)", line["text"]):
                found.append((line["to"], code[0]))
    return found


def steps(tx: Transaction, case: str, stages: Sequence[str], at: datetime) -> None:
    """Have this case reach these stages."""
    tx.run_many(
        "insert into case_step (case_id, shard, at, steps) values (?, ?, ?, ?)",
        [(case, person_key(CaseId(case)), at_text(at), f'[["", "{stage}", ""]]') for stage in stages],
    )
