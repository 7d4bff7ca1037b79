"""Consents: who may have what until when; given and taken back with one tap, and what ends with one."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from starlette.responses import Response

from safeweave import consents
from safeweave.clock import shanghai_day
from safeweave.consents import AFTER, Act, Consent, ConsentId, DataKind, Kept, Party, Purpose, Revocation, state_at
from safeweave.consents.consent import ACTS, CHOICES, DATA_KINDS, ENDINGS, PURPOSES, check, in_order
from safeweave.consents.texts import newest
from safeweave.consents.texts import shown as text_of
from safeweave.database import Transaction
from safeweave.errors import NotFound
from safeweave.ids import PersonId
from safeweave.people import Person
from safeweave.web import live
from safeweave.web.asked import Asked
from safeweave.web.pages import Routes
from safeweave.web.portal.around import own_ids, shown, whose

routes = Routes()

ONE_YEAR = timedelta(days=365)


@routes.get("/people/{person}/consents")
def every(asked: Asked) -> Response:
    """All consents with what each is worth now, and what we ask for."""
    with asked.reading() as tx:
        person = whose(asked, tx, "consents.read")
        kept = _kept(tx, person)
        offers = _offers(asked, tx, person, kept) if asked.may(tx, "consents.give", person) else []
        found = [(each, state_at(each, person, asked.now)) for each in reversed(kept)]
        return shown(
            asked, tx, person, "portal/consents.html", "consents", consents=found, offers=offers,
            offer_texts=[text_of(offer, asked.language) for offer in offers],
            offer_keys=[key_of(offer) for offer in offers],
        )  # fmt: skip


@routes.get("/people/{person}/consents/{consent}")
def one(asked: Asked) -> Response:
    """One consent: the text that was agreed to, who read what under it, and what became of things if it ended."""
    with asked.reading() as tx:
        person = whose(asked, tx, "consents.read", asked.place("consent"))
        kept = _one(asked, tx, person)
        state = state_at(kept, person, asked.now)
        ended = next((ending for ending in ENDINGS if ending == state), None)
        reads = [each for each in consents.reads_of(tx, person.id) if each.consent == kept.consent.id]
        return shown(
            asked, tx, person, "portal/consent.html", "consents",
            kept=kept, state=state, text=text_of(kept.consent, asked.language), reads=reads,
            after=AFTER[ended].said(asked.language) if ended else [], can_choose=ended in ("revoked", "expired"),
            choice=consents.choices(tx, [kept.consent.id]).get(kept.consent.id), choices=CHOICES,
        )  # fmt: skip


@routes.post("/people/{person}/consents/{consent}/withdraw")
def withdraw(asked: Asked) -> Response:
    """Take a consent back, from this moment on."""
    with asked.reading() as tx:
        person = whose(asked, tx, "consents.withdraw", asked.place("consent"))
        id = _one(asked, tx, person).consent.id
    with asked.writing(then=f"/people/{person.id}/consents/{id}") as tx:
        revoked_by = asked.person.id if asked.person else person.id
        consents.revoke(tx, [Revocation(id, asked.now, revoked_by, "screen")], asked.now)
        live.notify(tx, f"consents:{person.id}", person.id, asked.now)
    return asked.go(said="portal.consent.withdrawn")


@routes.post("/people/{person}/consents/{consent}/choose")
def choose(asked: Asked) -> Response:
    """What is to become of the open claim after a consent ended."""
    with asked.reading() as tx:
        person = whose(asked, tx, "consents.withdraw", asked.place("consent"))
        id = _one(asked, tx, person).consent.id
    chosen = next((choice for choice in CHOICES if choice == asked.field("choice")), None)
    if chosen is None:
        raise NotFound("there is no such choice")
    with asked.writing(then=f"/people/{person.id}/consents/{id}") as tx:
        by = asked.person.id if asked.person else person.id
        consents.choose(tx, [(id, chosen, by)], asked.now)
        live.notify(tx, f"consents:{person.id}", person.id, asked.now)
    return asked.go(said="portal.consent.chosen")


@routes.post("/people/{person}/consents")
def give(asked: Asked) -> Response:
    """Agree to what the page has shown, word for word: the same text and terms, else it is shown again."""
    with asked.reading() as tx:
        person = whose(asked, tx, "consents.give")
        kept = _kept(tx, person)
        offer = next((each for each in _offers(asked, tx, person, kept) if key_of(each) == asked.field("offer")), None)
    if offer is None:
        return asked.go(f"/people/{person.id}/consents", said="portal.consent.over")
    check(offer, person)
    with asked.writing(then=f"/people/{person.id}/consents/{offer.id}") as tx:
        consents.give(tx, [offer], asked.now)
        live.notify(tx, f"consents:{person.id}", person.id, asked.now)
    return asked.go(said="portal.consent.given")


def key_of(offer: Consent) -> str:
    """What an offer is known by between the page and the tap: everything it says but its times."""
    parts = (offer.act, offer.giving_member, offer.recipient.member, offer.purpose, offer.visit, offer.text_digest)
    return "|".join((*parts, ",".join(offer.kinds)))


def _kept(tx: Transaction, person: Person) -> list[Kept]:
    return consents.consents_of(tx, [person.id]).get(person.id, [])


def _one(asked: Asked, tx: Transaction, person: Person) -> Kept:
    id = ConsentId(asked.place("consent"))
    found = consents.consents_by_id(tx, [id]).get(id)
    if found is None or found.consent.person not in own_ids(person):
        raise NotFound("there is no such consent")
    return found


def _offers(asked: Asked, tx: Transaction, person: Person, kept: Sequence[Kept]) -> list[Consent]:
    """What can be agreed to now: what we asked for, and what ended and could be given again."""
    parties = _parties(tx, kept)
    active = [each.consent for each in kept if state_at(each, person, asked.now) == "active"]
    found: dict[str, Consent] = {}

    def offer(
        like: Consent | None, act: Act, giver: Party | None, recipient: Party, kinds: Sequence[DataKind], visit: str,
        purpose: Purpose,
    ) -> None:  # fmt: skip
        wanted = in_order(set(kinds))
        for each in active:
            same = (each.act, each.giving_member, each.recipient.member, each.purpose, each.visit)
            if same == (act, giver.member if giver else "", recipient.member, purpose, visit) and set(wanted) <= set(
                each.kinds
            ):
                return
        text = newest(act)
        given_by, proof = _giver(asked, person)
        made = consents.consent_of(
            person.id, act, giver, recipient, purpose, wanted, asked.now, asked.now + ONE_YEAR,
            (text.version, text.digest), given_by, asked.now, "screen", visit, proof, like.id if like else None,
        )  # fmt: skip
        found.setdefault(key_of(made), made)

    by_id = {each.consent.id: each.consent for each in kept}
    for asking in consents.askings_of(tx, person.id):
        need = asking.needed
        giver, recipient = parties.get(need.giver), parties.get(need.recipient)
        if recipient is None or (need.act == "give" and giver is None) or not recipient.contact:
            continue
        like = by_id.get(need.nearest) if need.nearest else None
        kinds = (*need.missing, *(like.kinds if like else ())) or DATA_KINDS[:5]
        offer(like, need.act, giver if need.act == "give" else None, recipient, kinds, need.visit, need.purpose)
    followed = {each.consent.follows for each in kept}
    for each in reversed(kept):
        consent = each.consent
        if state_at(each, person, asked.now) in ENDINGS and consent.id not in followed and not consent.visit:
            offer(consent, consent.act, consent.giver, consent.recipient, consent.kinds, "", consent.purpose)
    return list(found.values())


def _parties(tx: Transaction, kept: Sequence[Kept]) -> dict[str, Party]:
    """Everybody a consent can name: those of earlier ones, and the members we know."""
    found = {
        party.member: party
        for each in kept
        for party in (each.consent.giver, each.consent.recipient)
        if party is not None
    }
    for member, name, url in tx.rows("select member, name, url from member_contact"):
        found.setdefault(member, Party(member, name, url))
    return found


def _giver(asked: Asked, person: Person) -> tuple[PersonId, str]:
    """Who agrees: the person, or the guardian with what shows it."""
    if asked.person is None or asked.person.id == person.id:
        return person.id, ""
    day = shanghai_day(asked.now)
    own = own_ids(asked.person)
    proof = next((link.proof for link in person.guardianships if link.guardian in own and link.holds_on(day)), "")
    return asked.person.id, proof


# ---------------------------------------------------------------- one's own choice

PERIODS = {"month": timedelta(days=30), "half": timedelta(days=182), "year": ONE_YEAR}
READ_WITHIN = timedelta(minutes=30)  # what the page has shown can be agreed to for so long


@routes.get("/people/{person}/new-consent")
def choose_freely(asked: Asked) -> Response:
    """Where one chooses whom to allow what; nothing has been asked."""
    with asked.reading() as tx:
        person = whose(asked, tx, "consents.give")
        return _choosing(asked, tx, person)


def _choosing(
    asked: Asked, tx: Transaction, person: Person, status: int = 200, fault: str = "", offer: Consent | None = None
) -> Response:
    parties = sorted(_parties(tx, _kept(tx, person)).values(), key=lambda party: (party.name, party.member))
    chosen = {name: asked.field(name, 200) for name in ("act", "giver", "recipient", "purpose", "period")}
    return shown(
        asked, tx, person, "portal/new_consent.html", "consents", status, parties=parties, acts=ACTS,
        purposes=PURPOSES, every_kind=DATA_KINDS, periods=tuple(PERIODS), chosen=chosen,
        kinds=asked.ticked("kind") or DATA_KINDS[:5], fault=fault, offer=offer,
        text=text_of(offer, asked.language) if offer else "",
        begins=offer.begins_at.isoformat() if offer else "",
    )  # fmt: skip


@routes.post("/people/{person}/new-consent")
def agree_freely(asked: Asked) -> Response:
    """Show the whole text of what was chosen; agree to it once it was shown, word for word."""
    with asked.reading() as tx:
        person = whose(asked, tx, "consents.give")
        agrees = asked.field("agree", 10) == "yes"
        begins = _shown_at(asked) if agrees else asked.now
        made = _chosen(asked, tx, person, begins or asked.now)
        if isinstance(made, str):
            return _choosing(asked, tx, person, 400, made)
        if not agrees or begins is None or asked.field("text", 100) != made.text_digest:
            return _choosing(asked, tx, person, offer=made)
    check(made, person)
    with asked.writing(then=f"/people/{person.id}/consents/{made.id}") as tx:
        consents.give(tx, [made], asked.now)
        live.notify(tx, f"consents:{person.id}", person.id, asked.now)
    return asked.go(said="portal.consent.given")


def _shown_at(asked: Asked) -> datetime | None:
    """When the text was shown; None if that is too long ago, or no such time."""
    try:
        at = datetime.fromisoformat(asked.field("begins", 40))
    except ValueError:
        return None
    return at if at.tzinfo is not None and asked.now - READ_WITHIN <= at <= asked.now else None


def _chosen(asked: Asked, tx: Transaction, person: Person, begins: datetime) -> Consent | str:
    """The consent that was chosen, or a key of what is wrong with the choice."""
    parties = _parties(tx, _kept(tx, person))
    act = next((act for act in ACTS if act == asked.field("act", 20)), None)
    purpose = next((purpose for purpose in PURPOSES if purpose == asked.field("purpose", 20)), None)
    period = PERIODS.get(asked.field("period", 20))
    kinds = [kind for kind in DATA_KINDS if kind in asked.ticked("kind")]
    giver, recipient = parties.get(asked.field("giver", 200)), parties.get(asked.field("recipient", 200))
    if act is None or purpose is None or period is None:
        return "portal.new_consent.choose"
    if recipient is None or not recipient.contact or (act == "give" and (giver is None or giver == recipient)):
        return "portal.new_consent.parties"
    if not kinds:
        return "portal.new_consent.kinds"
    text, (given_by, proof) = newest(act), _giver(asked, person)
    return consents.consent_of(
        person.id, act, giver if act == "give" else None, recipient, purpose, kinds, begins, begins + period,
        (text.version, text.digest), given_by, asked.now, "screen", "", proof,
    )  # fmt: skip
