"""What one browser asks: who asks, in which language, what the form says; and the answers a page gives.

A page is a function `(asked) -> Response` that runs in a thread. It opens the store with `asked.reading()` or
`asked.writing(then=...)`, asks `asked.must(...)` before it shows or changes anything of a person's, and ends with
`asked.page(...)` or `asked.go(...)`. Errors of `errors.py` become pages in `pages.py`.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from safeweave import people, worker
from safeweave.adjudication import Adjudicator, DecidingAgain
from safeweave.clock import Clock
from safeweave.database import Database, Transaction
from safeweave.errors import Conflict, NotAllowed, NotFound
from safeweave.events import Event
from safeweave.ids import PersonId
from safeweave.keys.resting import Rest
from safeweave.people import Person
from safeweave.settings import Settings
from safeweave.telling import Post
from safeweave.web import accounts, security_log, showing
from safeweave.web.access import Role, Standing, role_that_may
from safeweave.web.accounts import Account, Session
from safeweave.web.audit import Audit, View
from safeweave.web.live import Feed, Since
from safeweave.web.papers import Upload
from safeweave.web.security_log import Happened
from safeweave.web.what_if.process import Trying
from safeweave.words import LANGUAGES, Language, knows, say
from safeweave.worker import Worker

SIZES = ("", "large", "largest")  # of the text: as usual, 22 px, 30 px
BROWSER, SESSION, LANGUAGE, SIZE, SAID = "sw_browser", "sw_session", "sw_language", "sw_size", "sw_said"
MOST_CHARACTERS = 20_000  # of one field of a form
_ONCE = re.compile(r"[A-Za-z0-9_-]{16,64}")


@dataclass
class Site:
    """What stands behind every page."""

    database: Database
    worker: Worker
    adjudicator: Adjudicator
    again: DecidingAgain
    post: Post
    settings: Settings
    clock: Clock
    feed: Feed = field(init=False)
    audit: Audit = field(init=False)
    trying: Trying = field(init=False)
    rest: Rest = field(init=False)

    def __post_init__(self) -> None:
        self.rest = Rest(self.settings.keys_at_rest, self.settings.keys_passphrase)
        self.feed, self.audit = Feed(self.database), Audit(self.database)
        self.trying = Trying(self.settings, self.database, self.clock)

    def look_around(self) -> None:
        """What is done every few seconds: somebody works on every what-if."""
        self.trying.look()

    def close(self) -> None:
        """End what is still open to browsers, and the processes that work for pages."""
        self.feed.close()
        self.trying.close()


class SignInFirst(Exception):
    """Nobody is signed in, the session is over, or a fresh one is needed, to go on at `then`."""

    def __init__(self, then: str = "") -> None:
        super().__init__(then)
        self.then = then


class Hidden(NotFound):
    """It is there, but not for whoever asks, who is told that it is not."""

    def __init__(self, action: str) -> None:
        super().__init__("there is no such thing")
        self.action = action


class SentBefore(Exception):
    """This form was sent before and did its work; `leads_to` is where that led."""

    def __init__(self, leads_to: str) -> None:
        super().__init__(leads_to)
        self.leads_to = leads_to


class Stale(Conflict):
    """Somebody changed it since the form was shown; what was typed is given back, to be sent for the present version.

    A form says in `_version` which version it was shown for.
    """

    def __init__(self, version: object = "") -> None:
        super().__init__("it was changed since the form was shown")
        self.version = str(version)


class TooLong(Exception):
    """A field holds more than it may: its name, and how much of it is taken."""

    def __init__(self, name: str, characters: int, most: int) -> None:
        super().__init__(name)
        self.name, self.characters, self.most = name, characters, most


class TooMany(Exception):
    """Asked too often; again after some seconds."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


Page = Callable[["Asked"], Response]


@dataclass
class Asked:
    """One request of one browser."""

    site: Site
    request: Request
    language: Language
    size: str
    browser: str
    now: datetime
    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)
    files: Sequence[Upload] = ()
    account: Account | None = None
    session: Session | None = None
    person: Person | None = None  # who is signed in, if of the register
    changes_until: Since | None = None  # what the answer shows goes at least so far
    cookies: dict[str, str | None] = field(default_factory=dict)  # to be set with the answer; None: taken away
    _views: dict[View, None] = field(default_factory=dict)
    _then: str = ""

    # ------------------------------------------------------------ what was asked

    def place(self, name: str) -> str:
        """A part of the address, such as `case` of /stays/{case}."""
        return plain(str(self.request.path_params[name]))

    def query(self, name: str) -> str:
        """A value behind the question mark; "" if it is not there."""
        return plain(self.request.query_params.get(name, ""))

    def field(self, name: str, most: int = MOST_CHARACTERS) -> str:
        """A field of the form without spaces around it; "" if it is not there. Raises TooLong."""
        text = plain((self.fields.get(name) or [""])[0]).strip()
        if len(text) > most:
            raise TooLong(name, len(text), most)
        return text

    def ticked(self, name: str) -> tuple[str, ...]:
        """What is ticked under this name."""
        return tuple(plain(each) for each in self.fields.get(name) or ())

    def say(self, key: str, **values: object) -> str:
        """A sentence in the reader's language."""
        return say(key, self.language, **values)

    def said(self, error: Exception) -> str:
        """What an error says in the reader's language; "" if it says nothing to people."""
        said = getattr(error, "said", None)
        return str(said(self.language)) if callable(said) else ""

    @property
    def typed(self) -> dict[str, Sequence[str]]:
        """What somebody typed or ticked, without what the form carries for us."""
        return {name: values for name, values in self.fields.items() if not name.startswith("_")}

    @property
    def path(self) -> str:
        """Where this page is, with what stands behind the question mark."""
        query = self.request.url.query
        return self.request.url.path + (f"?{query}" if query else "")

    @property
    def by_htmx(self) -> bool:
        """Whether only a part of the page is wanted."""
        return self.request.headers.get("hx-request") == "true"

    @property
    def who(self) -> Account:
        """Who is signed in. Raises SignInFirst."""
        if self.account is None:
            raise SignInFirst
        return self.account

    @property
    def is_fresh(self) -> bool:
        """Whether whoever asks signed in a short while ago, as what others could sign in with needs it."""
        return self.session is not None and self.now < self.session.began_at + accounts.FRESH

    def must_be_fresh(self, then: str) -> None:
        """Go on only if so. Raises SignInFirst, which leads there afterwards."""
        if not self.is_fresh:
            raise SignInFirst(then)

    @property
    def source(self) -> str:
        """The address of the browser, or of the proxy before it."""
        return self.request.client.host if self.request.client else ""

    def note(self, what: Happened, account: str = "", **facts: str) -> None:
        """Write down for the security log that this happened here."""
        security_log.note(
            what, method=self.request.method, path=self.request.url.path[:200], source=self.source,
            account=account or (self.account.id if self.account else ""),
            session=self.session.id if self.session else "", **facts,
        )  # fmt: skip

    # ------------------------------------------------------------ the store

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """The store as it is now."""
        with self.site.database.reading() as tx:
            yield tx

    @contextmanager
    def writing(self, then: str, beside: bool = False, holding: Collection[str] = ()) -> Iterator[Transaction]:
        """A transaction in which a form does its work, once, and which leads to `then`.

        Raises SentBefore if this form was sent before. What a case must follow is told with `tell`. With `beside`,
        others may write meanwhile; whoever asks for that is `holding` what it changes, and waits for it.
        """
        once = self.field("_once", 100)
        with self.site.database.transaction(beside) as tx:
            tx.wait_for([f"form:{once}", *holding])
            if _ONCE.fullmatch(once):
                before = accounts.sent_before(tx, once, self.account.id if self.account else "", then, self.now)
                if before is not None:
                    raise SentBefore(before)
            yield tx
        self._then = then
        self.site.worker.signal()

    def tell(self, tx: Transaction, events: Sequence[Event]) -> None:
        """Have the worker follow these, once this is committed."""
        worker.tell(tx, events, self.now)

    # ------------------------------------------------------------ permission

    def someone(self, tx: Transaction, person: PersonId | str) -> Person:
        """The person of the register with this id. Raises NotFound."""
        found = people.people_by_id(tx, [PersonId(person)]).get(PersonId(person))
        if found is None:
            raise NotFound("there is no such person")
        return found

    def standings(self, tx: Transaction, person: Person) -> tuple[Standing, ...]:
        """How whoever asks stands to a person. Raises SignInFirst."""
        key = ("standings", person.id)
        if key not in tx.memo:
            tx.memo[key] = accounts.standings(tx, self.who, person, self.now)
        found: tuple[Standing, ...] = tx.memo[key]
        return found

    def may(self, tx: Transaction, action: str, person: Person, told: bool = False) -> bool:
        """Whether whoever asks may do this; for showing or not showing a way to it."""
        return role_that_may(action, self.standings(tx, person), told) is not None

    def must(self, tx: Transaction, action: str, person: Person, thing: str = "", told: bool = False) -> None:
        """Go on only if whoever asks may do this, and note that they looked.

        Raises NotAllowed, or NotFound to those who may not even know that it is there.
        """
        standings = self.standings(tx, person)
        role = role_that_may(action, standings, told)
        if role is None:
            if not any(standing.scopes for standing in standings):
                raise Hidden(action)
            raise NotAllowed(action)
        self.note_view(person.id, role, action, thing)

    def note_view(self, person: PersonId | str, role: Role, action: str, thing: str) -> None:
        """Have it written down that whoever asks looked at this."""
        self._views[View(PersonId(person), self.who.id, role, action, thing, self.now)] = None

    def may_ours(self, action: str) -> bool:
        """Whether whoever asks may do this to things of nobody in particular, such as figures. Raises SignInFirst."""
        return role_that_may(action, accounts.standing_at_large(self.who)) is not None

    def must_ours(self, action: str, thing: str = "") -> None:
        """Go on only if whoever asks may; that they looked is noted if they looked at one thing. Raises NotAllowed."""
        role = role_that_may(action, accounts.standing_at_large(self.who))
        if role is None:
            raise NotAllowed(action)
        if thing:
            self._views[View(PersonId(""), self.who.id, role, action, thing, self.now)] = None

    def write_views(self) -> None:
        """Write down what was looked at; called before the answer leaves."""
        self.site.audit.note(list(self._views))
        self._views = {}

    # ------------------------------------------------------------ answers

    @property
    def csrf(self) -> str:
        """What every form of this browser and session carries."""
        return csrf_of(self.browser, self.session)

    def page(self, template: str, status: int = 200, block: str = "", **values: Any) -> Response:
        """A page, or one block of it: `block` if given, else the one an `HX-Target: #name` of htmx asks for."""
        shown = {**self._common(), **values}
        text = showing.html(template, self.language, shown, block)
        return Response(text, status, media_type="text/html; charset=utf-8")

    def go(self, path: str = "", said: str = "") -> Response:
        """On to another page of ours (where `writing` leads, if none is named), which says this sentence once."""
        if said:
            self.cookies[SAID] = said
        return RedirectResponse(path or self._then or "/", 303)

    def _hidden(self) -> Markup:
        """What every form carries: the token of this browser, and one that makes it count once."""
        return Markup(
            '<input type="hidden" name="_csrf" value="{}"><input type="hidden" name="_once" value="{}">'
        ).format(self.csrf, secrets.token_urlsafe(18))

    def _common(self) -> dict[str, Any]:
        said = self.request.cookies.get(SAID, "")
        if said:
            self.cookies.setdefault(SAID, None)
        return {
            "asked": self,
            "account": self.account,
            "me": self.person,
            "size": self.size,
            "csrf": self.csrf,
            "hidden": self._hidden,
            "said": said if knows(said) else "",
            "here": quote(self.path, safe="/?=&"),
            "company": self.site.settings.company if self.language == "zh" else self.site.settings.company_en,
            "phone": self.site.settings.phone,
            "demo": self.site.settings.pages_demo,
            "now": self.now,
            "changes_until": self.changes_until,
        }


def plain(text: str) -> str:
    """The text without U+0000, which nobody types and PostgreSQL cannot hold."""
    return text.replace("\x00", "")


def csrf_of(browser: str, session: Session | None) -> str:
    """What the forms of this browser and session carry; nobody who does not know both can make it."""
    return hmac.new(browser.encode(), (session.id if session else "").encode(), hashlib.sha256).hexdigest()


def is_ours(path: str) -> bool:
    """Whether this leads to a page of ours and nowhere else."""
    return path.startswith("/") and not path.startswith(("//", "/\\")) and "\\" not in path and path.isprintable()


def language_of(request: Request, account: Account | None, own: str) -> Language:
    """The reader's language: as chosen here, as the account says, as the browser says, else Chinese."""
    chosen = request.cookies.get(LANGUAGE) or (account.language if account else "") or own
    for language in LANGUAGES:
        if chosen == language:
            return language
    for part in request.headers.get("accept-language", "").split(","):
        for language in LANGUAGES:
            if part.strip().lower().startswith(language):
                return language
    return "zh"
