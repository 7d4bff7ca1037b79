"""SMART Backend Services: a client shows an assertion signed with its key, and holds a token for five minutes.

Source: HL7 SMART App Launch 2.1 (Backend Services), RFC 7523, RFC 6749 section 4.4. Signatures are checked by PyJWT.
"""

from datetime import UTC, datetime, timedelta

import jwt
import msgspec

from safeweave.database import Transaction
from safeweave.facts import Fact
from safeweave.web.api import clients
from safeweave.web.api.call import Answer, Call, Endpoints
from safeweave.web.api.problem import Problem
from safeweave.web.asked import plain
from safeweave.words import say

endpoints = Endpoints()

ALGORITHMS = ["RS384", "ES384"]
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MOST_SECONDS = 300  # how long an assertion may be good for
LATE_CLOCK = timedelta(seconds=5)  # how much ahead of ours a client's clock may be
TOKEN_PATH = "/api/token"


class TokenForm(msgspec.Struct, frozen=True):
    """What a client sends, as a form."""

    grant_type: str
    client_assertion_type: str
    client_assertion: str
    scope: str


class Token(Fact, frozen=True):
    """What it is given."""

    access_token: str
    token_type: str
    expires_in: int
    scope: str


class Discovery(Fact, frozen=True):
    """Where tokens are, and what is understood."""

    token_endpoint: str
    token_endpoint_auth_methods_supported: tuple[str, ...]
    token_endpoint_auth_signing_alg_values_supported: tuple[str, ...]
    grant_types_supported: tuple[str, ...]
    scopes_supported: tuple[str, ...]
    capabilities: tuple[str, ...]


def _address(call: Call) -> str:
    """Where tokens are got: what an assertion must be made out to."""
    base = call.asked.site.settings.pages_url or str(call.asked.request.base_url)
    return base.rstrip("/") + TOKEN_PATH


@endpoints.get("/fhir/.well-known/smart-configuration", "smart", Discovery, open=True)
def discovery(call: Call, tx: Transaction) -> Answer:
    """Where tokens are, and what is understood."""
    return Answer(Discovery(
        _address(call), ("private_key_jwt",), tuple(ALGORITHMS), ("client_credentials",),
        ("system/*.read", "system/*.write", "system/*.rs"), ("client-confidential-asymmetric", "permission-v2"),
    ))  # fmt: skip


@endpoints.post(TOKEN_PATH, "get_token", Token, takes=TokenForm, open=True, form=True)
def token(call: Call, tx: Transaction) -> Answer:
    """A token for a client that shows a good assertion."""

    def field(name: str) -> str:
        return (call.form.get(name) or [""])[0]

    if field("grant_type") != "client_credentials":
        raise _no(call, "grant_type", "grant_type")
    if field("client_assertion_type") != ASSERTION:
        raise _no(call, "assertion_type", "client_assertion_type")
    client = _shown(call, tx, field("client_assertion"))
    asked = field("scope").split()
    granted = [scope for scope in asked if clients.SCOPE.fullmatch(scope) and _within(scope, client.scopes)]
    if not granted:
        raise _no(call, "no_scope", "scope")
    call.asked.note("token_given", client.account)
    made = clients.grant(tx, client.id, granted, call.asked.now)
    seconds = int(clients.TOKEN_LASTS.total_seconds())
    return Answer(Token(made, "Bearer", seconds, " ".join(granted)),
                  headers={"cache-control": "no-store", "pragma": "no-cache"})  # fmt: skip


def _within(scope: str, allowed: tuple[str, ...]) -> bool:
    """Whether a scope asks for no more than the client was registered for."""
    found = clients.SCOPE.fullmatch(scope)
    if found is None or not found[2]:
        return False
    resource, verbs = ("" if found[1] == "*" else found[1]), found[2]
    reads = verbs in ("read", "*") or (verbs != "write" and set(verbs) & set("rs"))
    writes = verbs in ("write", "*") or (verbs != "read" and set(verbs) & set("cud"))
    return not (reads and not clients.allows(allowed, resource, False)) and not (
        writes and not clients.allows(allowed, resource, True)
    )


def _shown(call: Call, tx: Transaction, assertion: str) -> clients.Registered:
    """The client whose assertion this is: signed with its key, made out to us, good now, and not used before."""
    try:
        head = jwt.get_unverified_header(assertion)
        told = jwt.decode(assertion, options={"verify_signature": False})
        issuer = plain(str(told.get("iss", "")))
        client = clients.registered(tx, [issuer]).get(issuer)
        if client is None:
            raise _no(call, "unknown_client")
        keys = jwt.PyJWKSet.from_json(client.keys)
        key = next((each for each in keys.keys if each.key_id == head.get("kid")), None)
        if key is None or head.get("alg") not in ALGORITHMS:
            raise _no(call, "unknown_key")
        # The times are compared with our own clock, below.
        said = jwt.decode(
            assertion, key, algorithms=ALGORITHMS, audience=_address(call),
            options={"require": ["iss", "sub", "aud", "exp", "jti"], "verify_exp": False, "verify_iat": False,
                     "verify_nbf": False},
        )  # fmt: skip
        ends = datetime.fromtimestamp(int(said["exp"]), UTC)
        begins = datetime.fromtimestamp(int(said.get("nbf", 0)), UTC)
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, OSError) as error:
        raise _no(call, "bad_assertion", what=str(error)) from None
    left = (ends - call.asked.now).total_seconds()
    if said["sub"] != client.id or not 0 < left <= MOST_SECONDS or begins > call.asked.now + LATE_CLOCK:
        raise _no(call, "bad_times")
    if not clients.use_assertion(tx, client.id, plain(str(said["jti"]))[:200], ends):
        raise _no(call, "used")
    return client


def _no(call: Call, why: str, field: str = "client_assertion", what: str = "") -> Problem:
    status = 400 if field != "client_assertion" else 401
    return Problem(status, say(f"api.token.{why}", call.asked.language, what=what), field)
