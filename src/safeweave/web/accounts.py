"""Accounts and sessions kept, as functions over a transaction. What a browser holds is kept as its digest only.

A session ends 30 minutes after it was last used and 12 hours after it began, whatever happens. Its token is renewed
every 15 minutes; the one before is good for a minute more, for pages that are on their way.
"""

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta

import msgspec

from safeweave import ids, people
from safeweave.clock import shanghai_day
from safeweave.database import Transaction, at_of, at_text
from safeweave.errors import Conflict
from safeweave.facts import Fact
from safeweave.ids import PersonId
from safeweave.people.delegations import delegations_to, scopes_for
from safeweave.people.person import Person, is_guardian
from safeweave.web.access import STAFF, Role, Scope, Standing
from safeweave.web.live import Audience
from safeweave.words import NotHere

IDLE = timedelta(minutes=30)
ABSOLUTE = timedelta(hours=12)
RENEWED_AFTER = timedelta(minutes=15)
OLD_TOKEN = timedelta(minutes=1)
SEEN_EVERY = timedelta(minutes=1)
FRESH = timedelta(minutes=15)  # how long after signing in one may change what one signs in with

PERSON = "person"  # the role of an account of somebody in the register


class Account(Fact, frozen=True):
    """Somebody who may sign in. `role` is "person" for the insured and guardians, else a role of the permissions."""

    id: str
    person: PersonId | None
    role: str
    name: str
    licence: str = ""
    sender: str = ""
    phone: str = ""
    email: str = ""
    language: str = ""
    story: str = ""


class Session(Fact, frozen=True):
    """One browser of one account."""

    id: str
    account: str
    began_at: datetime
    seen_at: datetime
    renewed_at: datetime
    ended_at: datetime | None
    browser: str = ""

    def is_over(self, now: datetime) -> bool:
        """Whether it was ended, lay idle too long, or is too old."""
        return self.ended_at is not None or now >= self.seen_at + IDLE or now >= self.began_at + ABSOLUTE


def digest(*parts: str) -> str:
    """SHA-256 of these, in hex."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


# ---------------------------------------------------------------- accounts

_ACCOUNT = "id, person, role, name, licence, sender, phone, email, language, story"


def account_of(tx: Transaction, person: PersonId, now: datetime) -> Account:
    """The account of somebody in the register, made now if there is none. Needs a writing transaction."""
    id = ids.derived("account", person, of=person)
    tx.run(
        "insert into account (id, person, role, name, added_at) values (?, ?, ?, '', ?) on conflict do nothing",
        (id, person, PERSON, at_text(now)),
    )
    return account(tx, id)


def add_account(
    tx: Transaction,
    role: Role,
    name: str,
    now: datetime,
    *,
    phone: str = "",
    email: str = "",
    licence: str = "",
    sender: str = "",
) -> Account:
    """An account of somebody who is no person of the register. Raises Conflict if the licence has one already."""
    if licence and by_licence(tx, licence) is not None:
        raise Conflict(f"licence {licence} has an account")
    id = ids.fresh("account")
    tx.run(
        "insert into account (id, role, name, licence, sender, phone, email, added_at) values (?, ?, ?, ?, ?, ?, ?, ?)",
        (id, role, name, licence, sender, phone, email, at_text(now)),
    )
    return account(tx, id)


def note_story(tx: Transaction, account: str, story: str) -> None:
    """In a demonstration: who this is, as a key of words/; the account is then one tap away."""
    tx.run("update account set story = ? where id = ?", (story, account))


def close_account(tx: Transaction, id: str, now: datetime) -> None:
    """Nobody signs in with it any more, and whoever is signed in is out. Raises NotFound."""
    account(tx, id)
    tx.run("update account set closed_at = ? where id = ?", (at_text(now), id))
    tx.run("update page_session set ended_at = ? where account = ? and ended_at is null", (at_text(now), id))


def account(tx: Transaction, id: str) -> Account:
    """The open account with this id. Raises NotFound."""
    found = accounts(tx, [id])
    if id not in found:
        raise NotHere("cli.not_here.account", id=id)
    return found[id]


def accounts(tx: Transaction, asked: Collection[str]) -> dict[str, Account]:
    """These accounts by id; unknown and closed ones are left out."""
    return {each.id: each for each in _accounts(tx, "id in ?", sorted(set(asked)))}


def by_licence(tx: Transaction, licence: str) -> Account | None:
    """The account of the agent with this number."""
    return next(iter(_accounts(tx, "licence <> '' and licence = ?", licence)), None)


def with_roles(tx: Transaction, roles: Collection[str]) -> list[Account]:
    """All open accounts in these roles, by name."""
    return sorted(_accounts(tx, "role in ?", sorted(roles)), key=lambda each: (each.role, each.name, each.id))


def of_story(tx: Transaction) -> list[Account]:
    """The accounts of a demonstration's people, in the order they were added."""
    return _accounts(tx, "story <> ?", "")


def at_address(tx: Transaction, address: str, now: datetime) -> list[Account]:
    """Whoever may sign in with a code sent there: staff, and persons of the register of at least 14 years."""
    if not address:
        return []
    found = _accounts(tx, "phone = ? and role <> 'person'", address)
    found += _accounts(tx, "email = ? and role <> 'person'", address)
    day = shanghai_day(now)
    for person in people.persons_at(tx, address):
        if person.birth is not None and people.age_on(person.birth, day) >= 14:
            found.append(account_of(tx, person.id, now))
    return list({each.id: each for each in found}.values())


def _accounts(tx: Transaction, where: str, asked: object) -> list[Account]:
    return [
        Account(*row)
        for row in tx.rows(f"select {_ACCOUNT} from account where {where} and closed_at is null order by added_at, id",
                           (asked,))
    ]  # fmt: skip


def set_language(tx: Transaction, id: str, language: str) -> None:
    """The language this account reads."""
    tx.run("update account set language = ? where id = ?", (language, id))


def standings(tx: Transaction, account: Account, person: Person, now: datetime) -> tuple[Standing, ...]:
    """How an account stands to a person of the register at a moment."""
    own = (person.id, *person.former_ids)
    if account.role == PERSON:
        assert account.person is not None
        if account.person in own:
            return (Standing("insured", frozenset[Scope]({"own"})),)
        known = people.people_by_id(tx, [account.person])
        ids_ = {id for each in known.values() for id in (each.id, *each.former_ids)}
        if is_guardian(ids_, person, shanghai_day(now)):
            return (Standing("guardian", frozenset[Scope]({"ward"})),)
        return ()
    if account.role == "agent":
        return (Standing("agent", frozenset[Scope](scopes_for(tx, account.id, person.id, now))),)
    if account.role == "hospital":
        seen = tx.row(
            "select 1 from claim_case where person in ? and sender = ? limit 1", (sorted(own), account.sender)
        )
        return (Standing("hospital", frozenset[Scope]({"sender"} if seen else ())),)
    return standing_at_large(account)


def standing_at_large(account: Account) -> tuple[Standing, ...]:
    """How an account stands to things of nobody in particular, such as figures: only some roles do at all."""
    if account.role in (PERSON, "agent", "hospital"):
        return ()
    role: Role = account.role  # type: ignore[assignment]
    return (Standing(role, frozenset[Scope]({"all"})),)


# ---------------------------------------------------------------- sessions

_SESSION = "id, account, began_at, seen_at, renewed_at, ended_at, browser"


def begin_session(tx: Transaction, account: str, browser: str, now: datetime) -> str:
    """A new session; the token for the browser to hold."""
    token, at = secrets.token_urlsafe(32), at_text(now)
    tx.run(
        "insert into page_session (id, account, token, began_at, seen_at, renewed_at, browser)"
        " values (?, ?, ?, ?, ?, ?, ?)",
        (ids.fresh("session"), account, digest(token), at, at, at, browser[:200]),
    )
    return token


def session_of(tx: Transaction, token: str, now: datetime) -> Session | None:
    """The session of this token, over or not; None if there is none, or its token was renewed a while ago."""
    if not token:
        return None
    found = _sessions(tx, "token = ?", digest(token))
    if not found:
        found = [each for each in _sessions(tx, "token_before <> '' and token_before = ?", digest(token))
                 if now < each.renewed_at + OLD_TOKEN]  # fmt: skip
    return found[0] if found else None


def sessions_of(tx: Transaction, account: str, now: datetime) -> list[Session]:
    """The sessions of an account that are not over, the latest first."""
    return [each for each in _sessions(tx, "account = ?", account) if not each.is_over(now)]


def _sessions(tx: Transaction, where: str, asked: object) -> list[Session]:
    return [
        Session(id, account, at_of(began), at_of(seen), at_of(renewed), ended and at_of(ended), browser)
        for id, account, began, seen, renewed, ended, browser in tx.rows(
            f"select {_SESSION} from page_session where {where} order by began_at desc, id", (asked,)
        )
    ]


def touch(tx: Transaction, session: Session, token: str, now: datetime) -> str:
    """Note that a session is in use; the token to hold from now on, a new one if it is time or another was asked for.

    A token is renewed only by who holds the present one, so two tabs cannot renew against one another.
    """
    tx.run("update page_session set seen_at = ? where id = ? and seen_at < ?", (at_text(now), session.id, at_text(now)))
    if now < session.renewed_at + RENEWED_AFTER:
        return token
    fresh = secrets.token_urlsafe(32)
    changed = tx.run(
        "update page_session set token = ?, token_before = token, renewed_at = ? where id = ? and token = ?",
        (digest(fresh), at_text(now), session.id, digest(token)),
    )
    return fresh if changed else token


def end_session(tx: Transaction, account: str, id: str, now: datetime) -> None:
    """End one session of this account; another account's is left alone."""
    tx.run(
        "update page_session set ended_at = ? where id = ? and account = ? and ended_at is null",
        (at_text(now), id, account),
    )


def end_sessions(tx: Transaction, account: str, now: datetime, but: str = "") -> int:
    """End every session of this account, or of all accounts for "", but one; how many there were."""
    return tx.run(
        "update page_session set ended_at = ? where (account = ? or ? = '') and id <> ? and ended_at is null",
        (at_text(now), account, account, but),
    )


def forget_old(tx: Transaction, now: datetime) -> None:
    """Take away what is of no use any more: old sessions, codes, challenges, notes of sent forms."""
    before = at_text(now - timedelta(days=2))
    tx.run("delete from page_session where seen_at < ?", (before,))
    tx.run("delete from sign_in_code where made_at < ?", (before,))
    tx.run("delete from passkey_challenge where made_at < ?", (before,))
    tx.run("delete from form_sent where sent_at < ?", (before,))
    tx.run("delete from form_kept where kept_at < ?", (at_text(now - timedelta(days=7)),))
    tx.run("delete from rate where since < ?", (before,))
    tx.run("delete from page_notice where noticed_at < ?", (before,))


# ---------------------------------------------------------------- codes

CODE_GOOD_FOR = timedelta(minutes=10)
TRIES = 5


def new_code(tx: Transaction, address: str, now: datetime) -> tuple[str, str]:
    """A code for whoever reads what is sent to this address: (the browser's part, the code). The same for unknown ones.

    The store alone cannot check a guess: the browser's part is needed, and it is kept as a digest.
    """
    attempt, code = secrets.token_urlsafe(32), f"{secrets.randbelow(1_000_000):06d}"
    tx.run(
        "insert into sign_in_code (attempt, address, code, made_at) values (?, ?, ?, ?)",
        (digest(attempt), digest(attempt, address), digest(attempt, code), at_text(now)),
    )
    return attempt, code


def code_is_right(tx: Transaction, attempt: str, address: str, code: str, now: datetime) -> bool:
    """Whether this is the code; it is used up by a right one, by five wrong ones, and after ten minutes."""
    row = tx.row("select address, code, tries, made_at, used_at from sign_in_code where attempt = ?",
                 (digest(attempt),))  # fmt: skip
    expected = row or ("", "", 0, at_text(now), at_text(now))
    is_right = secrets.compare_digest(digest(attempt, code), expected[1]) & secrets.compare_digest(
        digest(attempt, address), expected[0]
    )
    if row is None or row[4] is not None or row[2] >= TRIES or now >= at_of(row[3]) + CODE_GOOD_FOR:
        return False
    tx.run("update sign_in_code set tries = tries + 1, used_at = ? where attempt = ?",
           (at_text(now) if is_right else None, digest(attempt)))  # fmt: skip
    return is_right


def code_was_right(tx: Transaction, attempt: str, address: str, now: datetime) -> bool:
    """Whether this attempt has used its code within ten minutes of being made."""
    row = tx.row("select address, made_at, used_at from sign_in_code where attempt = ?", (digest(attempt),))
    return (
        row is not None
        and row[2] is not None
        and row[0] == digest(attempt, address)
        and now < at_of(row[1]) + CODE_GOOD_FOR
    )


# ---------------------------------------------------------------- how often


def is_within(tx: Transaction, what: str, most: int, span: timedelta, now: datetime) -> bool:
    """Count one more of this; False if there were more than `most` in the present span."""
    row = tx.row("select since, count from rate where what = ?", (what,))
    fresh = row is None or now >= at_of(row[0]) + span
    count = 1 if row is None or fresh else row[1] + 1
    since = at_text(now) if row is None or fresh else row[0]
    tx.run(
        "insert into rate (what, since, count) values (?, ?, ?) on conflict (what) do update set"
        " since = excluded.since, count = excluded.count",
        (what, since, count),
    )
    return count <= most


# ---------------------------------------------------------------- forms


def sent_before(tx: Transaction, token: str, account: str, leads_to: str, now: datetime) -> str | None:
    """Note that a form is being sent; where it led if it was sent before."""
    row = tx.row("select leads_to from form_sent where token = ?", (token,))
    if row is not None:
        return str(row[0])
    tx.run(
        "insert into form_sent (token, account, leads_to, sent_at) values (?, ?, ?, ?)",
        (token, account, leads_to, at_text(now)),
    )
    return None


def keep_form(tx: Transaction, account: str, path: str, fields: dict[str, list[str]], now: datetime) -> None:
    """Keep what somebody had written when the session was over; the last one counts."""
    tx.run(
        "insert into form_kept (account, path, fields, kept_at) values (?, ?, ?, ?) on conflict (account) do update"
        " set path = excluded.path, fields = excluded.fields, kept_at = excluded.kept_at",
        (account, path, msgspec.json.encode(fields).decode(), at_text(now)),
    )


def kept_form(tx: Transaction, account: str) -> tuple[str, dict[str, list[str]]] | None:
    """What was kept for this account: (where it was to be sent, its fields)."""
    row = tx.row("select path, fields from form_kept where account = ?", (account,))
    return None if row is None else (row[0], msgspec.json.decode(row[1], type=dict[str, list[str]]))


def drop_form(tx: Transaction, account: str) -> None:
    """It was sent, or is not wanted any more."""
    tx.run("delete from form_kept where account = ?", (account,))


# ---------------------------------------------------------------- whose changes one is told of


def audience_of(tx: Transaction, account: Account, now: datetime) -> Audience:
    """Whose changes open pages of this account are told of: those it may follow."""
    if account.role == PERSON:
        assert account.person is not None
        own = people.people_by_id(tx, [account.person])
        persons = {id for each in own.values() for id in (each.id, *each.former_ids)}
        persons |= {ward.id for ward in people.wards_of(tx, account.person, shanghai_day(now))}
        return Audience(frozenset(persons))
    if account.role == "agent":
        offered = delegations_to(tx, account.id)
        return Audience(frozenset(each.person for each in offered if "follow" in each.allows_at(now)))
    return Audience(everybody=account.role in STAFF)
