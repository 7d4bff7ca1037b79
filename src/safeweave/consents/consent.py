"""A person's yes, what it is worth at a moment, and what a stay under way may still do when it ends. All pure.

The law asks for two separate acts: the hospital's consent to GIVE data to another (个人信息保护法 23) and the insurer's
consent to PROCESS them, which are sensitive (28 to 30). Each names its recipient, purpose, kinds of data, period and
the text that was shown; none stands for another.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from typing import Literal, NewType, get_args

from safeweave import ids
from safeweave.clock import shanghai_day
from safeweave.facts import Fact
from safeweave.ids import PersonId
from safeweave.people.identity import Unusable
from safeweave.people.person import OF_AGE, Person, age_on
from safeweave.words import Language, say

ConsentId = NewType("ConsentId", str)

Act = Literal["give", "process"]
Purpose = Literal["claim", "advance"]
DataKind = Literal["identity", "admission", "diagnosis", "bill", "settlement", "record"]
How = Literal["paper", "screen", "phone"]
State = Literal["pending", "active", "expired", "revoked", "lapsed", "retake"]
Ending = Literal["expired", "revoked", "lapsed", "retake"]

ACTS: tuple[Act, ...] = get_args(Act)
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
DATA_KINDS: tuple[DataKind, ...] = get_args(DataKind)
HOWS: tuple[How, ...] = get_args(How)
ENDINGS: tuple[Ending, ...] = get_args(Ending)

GIVES_ITSELF = 14  # full years from which a person consents itself (个人信息保护法 31)
_AGES_TO_ASK_AGAIN = (GIVES_ITSELF, OF_AGE)


class Party(Fact, frozen=True):
    """A member of the consortium as the person was told of it; `member` is its id on the ledger."""

    member: str
    name: str
    contact: str = ""


class Consent(Fact, frozen=True):
    """One act of consent. It holds from `begins_at` until just before `ends_at`.

    `visit` names the one visit it is for ("hospital/number"); "" is a standing consent. `giver` is the hospital that
    gives, None for the act to process. `given_by` is the person, or the guardian that `proof` shows. `follows` is the
    consent in whose place this one was taken.
    """

    id: ConsentId
    person: PersonId
    act: Act
    giver: Party | None
    recipient: Party
    purpose: Purpose
    kinds: tuple[DataKind, ...]
    begins_at: datetime
    ends_at: datetime
    text_version: str
    text_digest: str
    given_by: PersonId
    given_at: datetime
    how: How
    visit: str = ""
    proof: str = ""
    follows: ConsentId | None = None

    @property
    def giving_member(self) -> str:
        """Who gives; "" for the act to process."""
        return self.giver.member if self.giver is not None else ""


class Kept(Fact, frozen=True):
    """A consent with its revocation, if there was one."""

    consent: Consent
    revoked_at: datetime | None = None


class Ask(Fact, frozen=True):
    """May this be done at this moment? `giver` is "" for the act to process; `visit` is what the data are about."""

    person: PersonId
    act: Act
    giver: str
    recipient: str
    purpose: Purpose
    kinds: tuple[DataKind, ...]
    at: datetime
    visit: str = ""


Reason = Literal[
    "unknown_person",
    "never_given",  # by this person, for this act, between these members
    "other_purpose",
    "other_visit",
    "pending",
    "expired",
    "revoked",
    "lapsed",
    "retake",
    "incomplete",  # it is smaller than the need: `missing` says by what
]


class Answer(Fact, frozen=True):
    """The consent that allows it, or the reason why nothing does and the consent that comes nearest."""

    consent: ConsentId | None = None
    reason: Reason | None = None
    missing: tuple[DataKind, ...] = ()
    nearest: ConsentId | None = None

    @property
    def allowed(self) -> bool:
        """Whether a consent allows it."""
        return self.consent is not None

    def said(self, language: Language) -> str:
        """Why not, in words; "" if it is allowed."""
        if self.reason is None:
            return ""
        return say(f"consents.why_not.{self.reason}", language, missing=kinds_said(self.missing, language))


def kinds_said(kinds: Iterable[DataKind], language: Language) -> str:
    """These kinds of data in words."""
    return ("、" if language == "zh" else ", ").join(say(f"consents.kind.{kind}", language) for kind in kinds)


def in_order(kinds: Collection[DataKind]) -> tuple[DataKind, ...]:
    """These kinds of data, each once, in the order they are always written."""
    return tuple([kind for kind in DATA_KINDS if kind in kinds])


def consent_of(
    person: PersonId,
    act: Act,
    giver: Party | None,
    recipient: Party,
    purpose: Purpose,
    kinds: Collection[DataKind],
    begins_at: datetime,
    ends_at: datetime,
    text: tuple[str, str],
    given_by: PersonId,
    given_at: datetime,
    how: How,
    visit: str = "",
    proof: str = "",
    follows: ConsentId | None = None,
) -> Consent:
    """A consent with the id that belongs to what it says, so that noting it twice makes one; `text` is version, digest.

    Its instants are whole seconds, as the ledger and FHIR write them.
    """
    begins_at, ends_at, given_at = (at.replace(microsecond=0) for at in (begins_at, ends_at, given_at))
    kinds = in_order(kinds)
    parts = (act, giver, recipient, purpose, kinds, begins_at, ends_at, text, given_by, given_at, how, visit, proof)
    id = ConsentId(ids.derived("consent", *parts, follows, of=person))
    return Consent(
        id, person, act, giver, recipient, purpose, kinds, begins_at, ends_at, *text, given_by, given_at, how, visit,
        proof, follows,
    )  # fmt: skip


# ---------------------------------------------------------------- giving


def check(consent: Consent, person: Person) -> None:
    """Raises Unusable, with the field, if the law does not let this consent stand as it is."""
    if consent.act == "give" and consent.giver is None:
        raise _fault("giver", "no_giver")
    if consent.act == "process" and consent.giver is not None:
        raise _fault("giver", "giver_of_processing")
    if consent.giving_member == consent.recipient.member:
        raise _fault("recipient", "gives_itself")
    if not (consent.recipient.member and consent.recipient.name and consent.recipient.contact):
        raise _fault("recipient", "recipient_unnamed")
    if not consent.kinds:
        raise _fault("kinds", "no_kinds")
    if consent.ends_at <= max(consent.begins_at, consent.given_at):
        raise _fault("ends_at", "no_period")
    _check_giver(consent, person)


def _check_giver(consent: Consent, person: Person) -> None:
    day = shanghai_day(consent.given_at)
    if person.birth is None:
        raise _fault("person", "no_birth")
    if person.died_on is not None and person.died_on <= day:
        raise _fault("person", "died")
    age = age_on(person.birth, day)
    if consent.given_by in (person.id, *person.former_ids):
        if age < GIVES_ITSELF:
            raise _fault("given_by", "guardian_needed", age=GIVES_ITSELF)
        return
    if GIVES_ITSELF <= age < OF_AGE:
        raise _fault("given_by", "gives_itself_now", age=GIVES_ITSELF)
    links = [link for link in person.guardianships if link.guardian == consent.given_by and link.holds_on(day)]
    if age >= OF_AGE:  # only one that a court or an agreement put beyond childhood (民法典 28, 33)
        links = [link for link in links if link.last_day is not None or age_on(person.birth, link.first_day) >= OF_AGE]
    if not links:
        raise _fault("given_by", "no_guardian")
    if not consent.proof:
        raise _fault("proof", "no_proof")


def _fault(field: str, why: str, **values: object) -> Unusable:
    return Unusable(f"consents.fault.{why}", field=field, **values)


def can_follow(later: Consent, earlier: Consent, person: Person) -> bool:
    """Whether one can stand in the place of another: of the same person, for one act, between the same members."""
    return earlier.person in (person.id, *person.former_ids) and (
        later.act,
        later.giving_member,
        later.recipient.member,
    ) == (earlier.act, earlier.giving_member, earlier.recipient.member)


def retake_day(birth: date, given_at: datetime) -> date | None:
    """The birthday from which a consent given then must be taken again from the person; None if it need not."""
    age = age_on(birth, shanghai_day(given_at))
    next_age = next((years for years in _AGES_TO_ASK_AGAIN if age < years), None)
    return _birthday(birth, next_age) if next_age is not None else None


def _birthday(birth: date, years: int) -> date:
    try:
        return birth.replace(year=birth.year + years)
    except ValueError:  # 29 February, see age_on
        return date(birth.year + years, 3, 1)


# ---------------------------------------------------------------- what it is worth


def state_at(kept: Kept, person: Person, at: datetime, for_visit: bool = False) -> State:
    """What a consent is worth at a moment, `for_visit` if it is about a visit. Once it has ended it never holds again.

    Death ends a standing consent for every new purpose. It still covers the visits there were, as one for a single
    visit does, and their claims are then the estate's.
    """
    consent, day = kept.consent, shanghai_day(at)
    if kept.revoked_at is not None and kept.revoked_at <= at:
        return "revoked"
    if not (consent.visit or for_visit) and person.died_on is not None and person.died_on <= day:
        return "lapsed"
    if consent.ends_at <= at:
        return "expired"
    again = retake_day(person.birth, consent.given_at) if person.birth is not None else None
    if again is not None and again <= day and (person.died_on is None or again <= person.died_on):
        return "retake"
    return "pending" if at < max(consent.begins_at, consent.given_at) else "active"


def answer(ask: Ask, kept: Iterable[Kept], person: Person | None) -> Answer:
    """The newest of these consents that allows it, whole; else why none does, by the newest that comes nearest."""
    if person is None:
        return Answer(reason="unknown_person")
    own = (person.id, *person.former_ids)
    near = [
        each
        for each in kept
        if each.consent.person in own
        and each.consent.act == ask.act
        and each.consent.giving_member == ask.giver
        and each.consent.recipient.member == ask.recipient
    ]
    if not near:
        return Answer(reason="never_given")
    near.sort(key=lambda each: (each.consent.given_at, each.consent.id), reverse=True)
    fitting = [each for each in near if each.consent.purpose == ask.purpose]
    if not fitting:
        return Answer(reason="other_purpose", nearest=near[0].consent.id)
    for_visit = [each for each in fitting if each.consent.visit in ("", ask.visit)]
    if not for_visit:
        return Answer(reason="other_visit", nearest=fitting[0].consent.id)
    states = [(state_at(each, person, ask.at, bool(ask.visit)), each.consent) for each in for_visit]
    active = [consent for state, consent in states if state == "active"]
    if not active:
        state, newest = states[0]
        assert state != "active"
        return Answer(reason=state, nearest=newest.id)
    for consent in active:
        if not _missing(ask, consent):
            return Answer(consent.id)
    widest = min(active, key=lambda consent: len(_missing(ask, consent)))
    return Answer(reason="incomplete", missing=_missing(ask, widest), nearest=widest.id)


def _missing(ask: Ask, consent: Consent) -> tuple[DataKind, ...]:
    return in_order(set(ask.kinds) - set(consent.kinds))


def asks_to_hand_over(
    person: PersonId,
    giver: str,
    recipient: str,
    purpose: Purpose,
    kinds: Sequence[DataKind],
    at: datetime,
    visit: str = "",
) -> tuple[Ask, Ask]:
    """The two asks that must both be allowed before data go from a hospital to an insurer."""
    return (
        Ask(person, "give", giver, recipient, purpose, in_order(kinds), at, visit),
        Ask(person, "process", "", recipient, purpose, in_order(kinds), at, visit),
    )


# ---------------------------------------------------------------- when it ends

Choice = Literal["withdraw", "apply"]  # what becomes of the open claim: none, or an ordinary applied-for claim
CHOICES: tuple[Choice, ...] = get_args(Choice)
Deed = Literal["pull", "use_locked", "decide", "pay_decided", "keep"]


class Aftermath(Fact, frozen=True):
    """What becomes of everything a stay under way has touched, once its consent has ended."""

    pulls: Literal["stop"]
    processed: Literal["lawful"]
    undecided: Literal["locked", "locked_until_given", "locked_for_estate"]
    open_claim: Literal["choose", "give_again", "ask_person", "estate"]
    paid: Literal["kept"]

    def said(self, language: Language) -> list[str]:
        """The same for the person, a sentence for each."""
        return [say(f"consents.ended.{matter}.{getattr(self, matter)}", language) for matter in self.__struct_fields__]


AFTER: dict[Ending, Aftermath] = {
    # ending              pulls   processed  undecided             open claim    paid
    "revoked": Aftermath("stop", "lawful", "locked", "choose", "kept"),
    "expired": Aftermath("stop", "lawful", "locked_until_given", "give_again", "kept"),
    "retake": Aftermath("stop", "lawful", "locked_until_given", "ask_person", "kept"),
    "lapsed": Aftermath("stop", "lawful", "locked_for_estate", "estate", "kept"),
}

_STILL: dict[Deed, tuple[Choice | None, ...]] = {
    "pull": (),
    "use_locked": (),  # only a new consent opens what was locked
    "decide": ("apply",),  # on what the person hands in
    "pay_decided": (None, *CHOICES),  # it was decided lawfully, and is owed
    "keep": (None, *CHOICES),  # for the statutory period, and for nothing else
}


def may_still(deed: Deed, choice: Choice | None = None) -> bool:
    """Whether this may still be done after a consent ended, given what the person chose for the open claim, if so."""
    return choice in _STILL[deed]
