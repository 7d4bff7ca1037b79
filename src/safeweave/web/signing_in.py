"""Signing in and out, and what somebody chooses for every page: language, size of the text, sessions, passkeys.

A code goes to the phone or mailbox on file. Whoever is not known gets the same answer after the same work.
"""

import logging
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import timedelta
from urllib.parse import quote, unquote

from starlette.responses import Response

from safeweave import ids, people
from safeweave.database import Transaction
from safeweave.errors import NotFound, SafeweaveError
from safeweave.ids import CaseId, MessageId, PersonId
from safeweave.telling.message import Message, Wording
from safeweave.web import accounts, passkeys
from safeweave.web.accounts import PERSON, Account
from safeweave.web.asked import LANGUAGE, SESSION, SIZE, SIZES, Asked, TooMany, is_ours
from safeweave.web.pages import Routes
from safeweave.words import LANGUAGES, Language, say

log = logging.getLogger("safeweave.pages")

ATTEMPT = "sw_attempt"
PER_ADDRESS, PER_SOURCE = 5, 30  # codes an hour
HOUR = timedelta(hours=1)

routes = Routes()
homes: dict[str, str] = {"agent": "/agent"}  # where an account in a role begins; other parts add theirs


def home_of(account: Account) -> str:
    """Where this account begins."""
    if account.role == PERSON:
        return f"/people/{account.person}"
    return homes.get(account.role, "/settings")


@routes.get("/", open=True)
def begin(asked: Asked) -> Response:
    """On to where one begins."""
    return asked.go(home_of(asked.account) if asked.account else "/sign-in")


@routes.get("/sign-in", open=True)
def sign_in(asked: Asked) -> Response:
    """Where a code is asked for."""
    return asked.page("sign_in.html", then=_then(asked.query("then")), fault="", address="")


@routes.post("/sign-in", open=True)
def send_code(asked: Asked) -> Response:
    """Send a code, if anybody is known at the address; the answer is the same for everybody."""
    address, then = asked.field("address", 200).replace(" ", ""), _then(asked.field("then", 2000))
    if not address:
        return asked.page("sign_in.html", 400, then=then, fault="pages.sign_in.empty", address="")
    with asked.site.database.transaction() as tx:
        of_source = accounts.is_within(tx, f"codes from {accounts.digest(asked.source)}", PER_SOURCE, HOUR, asked.now)
        of_address = accounts.is_within(tx, f"codes to {accounts.digest(address)}", PER_ADDRESS, HOUR, asked.now)
        if of_source and of_address:
            attempt, code = accounts.new_code(tx, address, asked.now)
            found = accounts.at_address(tx, address, asked.now)
    if not (of_source and of_address):
        raise TooMany(3600)
    asked.note("code_asked", known=str(len(found)))
    message = _message(asked, address, code, found)
    threading.Thread(target=_send, args=(asked, message if found else None), daemon=True).start()
    asked.cookies[ATTEMPT] = f"{attempt}.{urlsafe_b64encode(address.encode()).decode()}"
    return asked.go(f"/sign-in/code?then={quote(then)}")


def _message(asked: Asked, address: str, code: str, found: list[Account]) -> Message:
    channel = "email" if "@" in address else "sms"
    language: Language = asked.language
    person = next((each.person for each in found if each.person), None) or PersonId("")
    company = asked.site.settings.company if language == "zh" else asked.site.settings.company_en
    subject = say("pages.code.subject", language) if channel == "email" else ""
    text = say("pages.code.text", language, code=code, company=company)
    id = MessageId(ids.fresh("msg"))
    return Message(
        id, "sign_in", channel, person, CaseId(""), "sign_in", language, address, Wording(subject, text), "", asked.now
    )


def _send(asked: Asked, message: Message | None) -> None:
    if message is None:
        return
    try:
        asked.site.post.channels[message.channel].deliver([message])
    except SafeweaveError as silent:
        log.warning("a sign-in code could not be sent: %s", silent)


@routes.get("/sign-in/code", open=True)
def enter_code(asked: Asked) -> Response:
    """Where the code is entered."""
    return asked.page("code.html", then=_then(asked.query("then")), fault="")


@routes.post("/sign-in/code", open=True)
def check_code(asked: Asked) -> Response:
    """Sign in whoever has the code; where several persons have one phone, ask who it is."""
    then, (attempt, address) = _then(asked.field("then", 2000)), _attempt(asked)
    code = "".join(character for character in asked.field("code", 40) if character.isdecimal())
    with asked.site.database.transaction() as tx:
        is_right = accounts.code_is_right(tx, attempt, address, code, asked.now)
        known = accounts.at_address(tx, address, asked.now) if is_right else []
        found = [each for each in known if not _needs_passkey(tx, each)]
        if len(found) == 1:
            _begin_session(asked, tx, found[0], "code")
        names = {each.id: _name(tx, each) for each in found}
    if known and not found:
        asked.note("sign_in_failed", known[0].id, by="code", why="passkey")
        return asked.page("sign_in.html", 403, then=then, fault="pages.passkey.needed", address="")
    if not found:
        asked.note("sign_in_failed", by="code")
        return asked.page("code.html", 400, then=then, fault="pages.code.wrong")
    if len(found) > 1:
        return asked.page("who.html", then=then, names=names)
    return asked.go(then or home_of(found[0]))


@routes.post("/sign-in/who", open=True)
def choose_who(asked: Asked) -> Response:
    """Which of those who share a phone it is, within ten minutes of the right code."""
    then, (attempt, address) = _then(asked.field("then", 2000)), _attempt(asked)
    with asked.site.database.transaction() as tx:
        if not accounts.code_was_right(tx, attempt, address, asked.now):
            return asked.go("/sign-in")
        known = accounts.at_address(tx, address, asked.now)
        found = {each.id: each for each in known if not _needs_passkey(tx, each)}
        chosen = found.get(asked.field("account", 100))
        if chosen is None:
            raise NotFound("there is no such account")
        _begin_session(asked, tx, chosen, "code")
    return asked.go(then or home_of(chosen))


def _attempt(asked: Asked) -> tuple[str, str]:
    attempt, _, address = asked.request.cookies.get(ATTEMPT, "").partition(".")
    try:
        return attempt, urlsafe_b64decode(address.encode()).decode()
    except ValueError:
        return attempt, ""


def _name(tx: Transaction, account: Account) -> str:
    if account.person is None:
        return account.name
    known = people.people_by_id(tx, [account.person])
    return known[account.person].name if account.person in known else ""


def _needs_passkey(tx: Transaction, account: Account) -> bool:
    """Whether a code alone is not enough: who sees what is of others, and has a passkey, signs in with it."""
    return account.role != PERSON and bool(passkeys.passkeys_of(tx, account.id))


def _begin_session(asked: Asked, tx: Transaction, account: Account, by: str) -> None:
    browser = asked.request.headers.get("user-agent", "")
    if asked.session is not None:
        accounts.end_session(tx, asked.session.account, asked.session.id, asked.now)
    accounts.forget_old(tx, asked.now)
    asked.cookies[SESSION] = accounts.begin_session(tx, account.id, browser, asked.now)
    asked.cookies[ATTEMPT] = None
    asked.note("signed_in", account.id, by=by)


def _then(path: str) -> str:
    return path if path and is_ours(unquote(path)) and is_ours(path) else ""


@routes.post("/sign-out", open=True)
def sign_out(asked: Asked) -> Response:
    """End this session."""
    if asked.session is not None:
        with asked.site.database.transaction(beside=True) as tx:
            accounts.end_session(tx, asked.session.account, asked.session.id, asked.now)
    asked.note("signed_out")
    asked.cookies[SESSION] = None
    answer = asked.go("/sign-in", said="pages.signed_out")
    answer.headers["clear-site-data"] = '"cache", "storage"'
    return answer


# ---------------------------------------------------------------- a demonstration


@routes.get("/demo", open=True)
def demo(asked: Asked) -> Response:
    """The people of the story, each one tap away; there is no such page but in a demonstration."""
    if not asked.site.settings.pages_demo:
        raise NotFound("this is no demonstration")
    with asked.reading() as tx:
        story = accounts.of_story(tx)
        names = {each.id: _name(tx, each) for each in story}
    return asked.page("demo.html", story=story, names=names)


@routes.post("/demo", open=True)
def be_somebody(asked: Asked) -> Response:
    """Sign in as one of the story."""
    if not asked.site.settings.pages_demo:
        raise NotFound("this is no demonstration")
    with asked.site.database.transaction() as tx:
        chosen = next((each for each in accounts.of_story(tx) if each.id == asked.field("account", 100)), None)
        if chosen is None:
            raise NotFound("nobody of the story has this account")
        _begin_session(asked, tx, chosen, "demo")
    asked.cookies[LANGUAGE] = asked.language  # whoever plays somebody goes on in the language they read
    return asked.go(home_of(chosen))


# ---------------------------------------------------------------- what holds for every page


@routes.get("/language/{language}", open=True)
def choose_language(asked: Asked) -> Response:
    """Read in this language from now on."""
    language = asked.place("language")
    if language not in LANGUAGES:
        raise NotFound("there is no such language")
    asked.cookies[LANGUAGE] = language
    if asked.account is not None and asked.account.language != language:
        with asked.site.database.transaction(beside=True) as tx:
            accounts.set_language(tx, asked.account.id, language)
    return asked.go(_then(asked.query("back")) or "/")


@routes.get("/size/{size}", open=True)
def choose_size(asked: Asked) -> Response:
    """Read in text of this size from now on: usual, large (22 px) or largest (30 px)."""
    size = asked.place("size").replace("usual", "")
    if size not in SIZES:
        raise NotFound("there is no such size")
    asked.cookies[SIZE] = size or None
    return asked.go(_then(asked.query("back")) or "/")


@routes.get("/again")
def give_back(asked: Asked) -> Response:
    """What somebody had written when the session was over, to be sent now or left."""
    with asked.reading() as tx:
        kept = accounts.kept_form(tx, asked.who.id)
    if kept is None:
        return asked.go(home_of(asked.who))
    path, typed = kept
    return asked.page("again.html", path=path, kept=typed)


@routes.post("/again/drop")
def drop(asked: Asked) -> Response:
    """It is not wanted any more."""
    with asked.writing(then=home_of(asked.who), beside=True) as tx:
        accounts.drop_form(tx, asked.who.id)
    return asked.go()


@routes.get("/settings")
def settings(asked: Asked) -> Response:
    """Where one is signed in, and with which passkeys one can."""
    with asked.reading() as tx:
        sessions = accounts.sessions_of(tx, asked.who.id, asked.now)
        held = passkeys.passkeys_of(tx, asked.who.id)
    return asked.page("settings.html", sessions=sessions, passkeys=held, begin=home_of(asked.who))


@routes.post("/settings/sessions/{session}/end")
def end_session(asked: Asked) -> Response:
    """Sign out another browser."""
    asked.must_be_fresh("/settings")
    with asked.writing(then="/settings", beside=True) as tx:
        accounts.end_session(tx, asked.who.id, asked.place("session"), asked.now)
    asked.note("sessions_ended")
    return asked.go(said="pages.session_ended")


@routes.post("/settings/sessions/end-others")
def end_other_sessions(asked: Asked) -> Response:
    """Sign out every browser but this one."""
    asked.must_be_fresh("/settings")
    assert asked.session is not None
    with asked.writing(then="/settings", beside=True) as tx:
        accounts.end_sessions(tx, asked.who.id, asked.now, but=asked.session.id)
    asked.note("sessions_ended")
    return asked.go(said="pages.sessions_ended")


# ---------------------------------------------------------------- passkeys


@routes.post("/passkeys/begin")
def begin_passkey(asked: Asked) -> Response:
    """What a browser needs to make a passkey."""
    asked.must_be_fresh("/settings")
    name = asked.person.name if asked.person else asked.who.name
    with asked.site.database.transaction() as tx:
        wanted = passkeys.begin_adding(tx, asked.site.settings, asked.request, asked.who.id, name, asked.now)
    return Response(wanted, media_type="application/json")


@routes.post("/passkeys")
def add_passkey(asked: Asked) -> Response:
    """Keep the passkey a browser made."""
    asked.must_be_fresh("/settings")
    with asked.writing(then="/settings") as tx:
        made, label = asked.field("credential"), asked.field("name", 100)
        passkeys.add(tx, asked.site.settings, asked.request, asked.who.id, made, label, asked.now)
    asked.note("passkey_added")
    return asked.go(said="pages.passkey.added")


@routes.post("/passkeys/{passkey}/remove")
def remove_passkey(asked: Asked) -> Response:
    """Nobody signs in with it any more."""
    asked.must_be_fresh("/settings")
    with asked.writing(then="/settings", beside=True) as tx:
        passkeys.remove(tx, asked.who.id, asked.place("passkey"))
    asked.note("passkey_removed")
    return asked.go(said="pages.passkey.removed")


@routes.post("/sign-in/passkey/begin", open=True)
def begin_passkey_sign_in(asked: Asked) -> Response:
    """What a browser needs to show a passkey; the same for everybody."""
    with asked.site.database.transaction() as tx:
        wanted = passkeys.begin_signing_in(tx, asked.site.settings, asked.request, asked.now)
    return Response(wanted, media_type="application/json")


@routes.post("/sign-in/passkey", open=True)
def sign_in_by_passkey(asked: Asked) -> Response:
    """Sign in whoever shows a passkey."""
    then = _then(asked.field("then", 2000))
    with asked.site.database.transaction() as tx:
        shown = asked.field("credential")
        found = passkeys.account_shown(tx, asked.site.settings, asked.request, shown, asked.now)
        if found is not None:
            _begin_session(asked, tx, accounts.account(tx, found), "passkey")
            begins = home_of(accounts.account(tx, found))
    if found is None:
        asked.note("sign_in_failed", by="passkey")
        return asked.page("sign_in.html", 400, then=then, fault="pages.passkey.unknown", address="")
    return asked.go(then or begins)
