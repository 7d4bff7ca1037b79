"""Machines that may call: each in the role of an account, within SMART scopes, with tokens that end soon."""

import re
import secrets
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from safeweave import ids
from safeweave.database import Transaction, at_text
from safeweave.errors import Malformed
from safeweave.facts import Fact
from safeweave.web import accounts
from safeweave.web.access import Role
from safeweave.web.api.call import Client
from safeweave.words import NotHere

TOKEN_LASTS = timedelta(minutes=5)  # SMART Backend Services: at most five minutes
LEAST_RSA_BITS = 3072  # 128 bits of strength, NIST SP 800-57
SCOPE = re.compile(r"system/(\*|[A-Za-z]{1,60})\.(\*|read|write|c?r?u?d?s?)")  # SMART 1 and 2


class Registered(Fact, frozen=True):
    """A client as it was registered."""

    id: str
    account: str
    name: str
    role: str
    scopes: tuple[str, ...]
    keys: str


def add(
    tx: Transaction, name: str, role: Role, sender: str, scopes: Sequence[str], keys: str, now: datetime
) -> Registered:
    """Register a client with its public keys (a JWK set). Raises Malformed for keys or scopes of another shape."""
    for scope in scopes:
        if not SCOPE.fullmatch(scope) or scope.endswith("."):
            raise Malformed(f'"{scope}" is no scope such as system/*.read', field="scope")
    if not scopes:
        raise Malformed("a client needs a scope such as system/*.read", field="scope")
    check_keys(keys)
    account = accounts.add_account(tx, role, name, now, sender=sender)
    id = ids.fresh("client")
    tx.run(
        "insert into api_client (id, account, scopes, keys, added_at) values (?, ?, ?, ?, ?)",
        (id, account.id, " ".join(scopes), keys, at_text(now)),
    )
    return registered(tx, [id])[id]


def check_keys(keys: str) -> None:
    """Raises Malformed unless this is a JWK set of public RS384 or ES384 keys, each with its id."""
    try:
        found: dict[str, Any] = msgspec.json.decode(keys, type=dict[str, Any])
        listed = msgspec.convert(found.get("keys"), list[dict[str, Any]])
    except msgspec.MsgspecError as error:
        raise Malformed(f"the keys are no JWK set: {error}", field="keys") from None
    if not listed:
        raise Malformed("the JWK set holds no key", field="keys")
    for n, key in enumerate(listed):
        if "d" in key or key.get("kty") not in ("RSA", "EC"):
            raise Malformed("only public RSA or EC keys may be registered", field=f"keys[{n}]")
        if key["kty"] == "RSA" and len(str(key.get("n", ""))) * 6 < LEAST_RSA_BITS:
            raise Malformed(f"an RSA key needs {LEAST_RSA_BITS} bits", field=f"keys[{n}].n")
        if not key.get("kid"):
            raise Malformed("a key needs an id", field=f"keys[{n}].kid")


def registered(tx: Transaction, asked: Collection[str] | None = None) -> dict[str, Registered]:
    """These clients by id, or all of them; closed ones are left out."""
    rows = tx.rows(
        "select c.id, c.account, a.name, a.role, c.scopes, c.keys from api_client c join account a on a.id = c.account"
        " where c.closed_at is null and a.closed_at is null order by c.added_at, c.id"
    )
    return {
        id: Registered(id, account, name, role, tuple(scopes.split()), keys)
        for id, account, name, role, scopes, keys in rows
        if asked is None or id in asked
    }


def close(tx: Transaction, id: str, now: datetime) -> None:
    """It gets no token any more, and those it has are over. Raises NotFound."""
    found = registered(tx, [id]).get(id)
    if found is None:
        raise NotHere("cli.not_here.client", id=id)
    tx.run("update api_client set closed_at = ? where id = ?", (at_text(now), id))
    tx.run("delete from api_token where client = ?", (id,))
    accounts.close_account(tx, found.account, now)


def grant(tx: Transaction, client: str, scopes: Sequence[str], now: datetime) -> str:
    """A new token for these scopes; it is kept as a digest."""
    token = secrets.token_urlsafe(32)
    tx.run("delete from api_token where expires_at < ?", (at_text(now),))
    tx.run("delete from api_assertion where expires_at < ?", (at_text(now),))
    tx.run(
        "insert into api_token (token, client, scopes, expires_at) values (?, ?, ?, ?)",
        (accounts.digest(token), client, " ".join(scopes), at_text(now + TOKEN_LASTS)),
    )
    return token


def use_assertion(tx: Transaction, client: str, jti: str, expires_at: datetime) -> bool:
    """Note that an assertion is used; False if it was used before."""
    return bool(
        tx.run(
            "insert into api_assertion (client, jti, expires_at) values (?, ?, ?) on conflict do nothing",
            (client, jti, at_text(expires_at)),
        )
    )


def by_token(tx: Transaction, token: str, now: datetime) -> Client | None:
    """Who holds this token, if it is still good."""
    row = tx.row(
        "select t.client, c.account, t.scopes from api_token t join api_client c on c.id = t.client"
        " where t.token = ? and t.expires_at > ? and c.closed_at is null",
        (accounts.digest(token), at_text(now)),
    )
    return None if row is None else Client(row[0], row[1], tuple(row[2].split()))


def allows(scopes: Sequence[str], resource: str, writes: bool) -> bool:
    """Whether one of these scopes allows it; `resource` "" stands for what is no FHIR resource."""
    for scope in scopes:
        found = SCOPE.fullmatch(scope)
        if found is None or found[1] not in ("*", resource or "*"):
            continue
        verbs = found[2]
        if verbs == "*" or verbs == ("write" if writes else "read"):
            return True
        if verbs not in ("read", "write") and (bool(set(verbs) & set("cud")) if writes else "r" in verbs):
            return True
    return False
