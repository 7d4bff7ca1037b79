"""What an examiner does about a case on its page: approve, adjust, refuse, ask for what is missing, confirm, keep."""

import re

import msgspec
from starlette.responses import Response

from safeweave.adjudication.adjusting import NotAdjustable
from safeweave.cases.case import Case
from safeweave.money import Fen, fen_of
from safeweave.web.asked import Asked
from safeweave.web.pages import Routes
from safeweave.web.workbench import deciding, store
from safeweave.web.workbench.bench import MOST_WORDS, case_and_person, shown
from safeweave.web.workbench.deciding import Missing, Said

routes = Routes()

MOST_CLAUSE = 60  # characters
_AMOUNT = re.compile(r"\d{1,10}(\.\d{1,2})?")


# ---------------------------------------------------------------- kept until sent


@routes.post("/desk/cases/{case}/draft")
def keep(asked: Asked) -> Response:
    """Keep what was typed so far; asked by the page itself while somebody types."""
    with asked.reading() as tx:
        case, _ = case_and_person(asked, tx, "referrals.decide")
    version = _kept(asked, case)
    return Response(msgspec.json.encode({"draft": version}), media_type="application/json")


def _kept(asked: Asked, case: Case) -> int:
    """Keep what was typed, while others write; the version it has now. Raises Stale."""
    with asked.site.database.transaction(beside=True) as tx:
        tx.wait_for([f"draft:{case.id}:{asked.who.id}"])
        return store.save_draft(tx, case.id, asked.who.id, _typed(asked), _draft_seen(asked), asked.now)


def _typed(asked: Asked) -> dict[str, str]:
    names = [name for name in asked.typed if name in ("note", "clause", "wanted") or name.startswith("paid|")]
    return {name: asked.field(name) for name in names}


def _draft_seen(asked: Asked) -> int | None:
    text = asked.field("_draft", 12)
    return int(text) if text.isascii() and text.isdecimal() else None


# ---------------------------------------------------------------- deciding


@routes.post("/desk/cases/{case}/decide")
def decide(asked: Asked) -> Response:
    """Do what the button says; above one's authority it is proposed to a second person."""
    with asked.reading() as tx:
        case, person = case_and_person(asked, tx, "referrals.decide")
        keys = deciding.to_hold(asked, tx, case)
    verdict, here = asked.field("verdict", 20), f"/desk/cases/{case.id}"
    try:
        if verdict == "draft":
            _kept(asked, case)  # as often as it is sent: each may say something else
            return asked.go(here, said="workbench.draft.kept")
        said = _said(asked, verdict)
        then = here if verdict in ("ask", "supplied") else "/desk"
        with asked.writing(then=then, beside=True, holding=keys) as tx:
            outcome = deciding.decide(asked, tx, case, person, said)
        return asked.go(said=f"workbench.{outcome}")
    except Missing as missing:
        fault = missing.what
    except NotAdjustable as wrong:
        fault = wrong.said(asked.language)
    with asked.reading() as tx:
        case, person = case_and_person(asked, tx, "referrals.decide")
        return shown(asked, tx, case, person, 400, fault, _typed(asked))


def _said(asked: Asked, verdict: str) -> Said:
    """What the form says. Raises Missing for what is no amount."""
    names = [name for name in asked.typed if name.startswith("paid|")] if verdict == "adjust" else []
    return Said(
        verdict, asked.field("_version", 100), asked.field("note", MOST_WORDS), asked.field("clause", MOST_CLAUSE),
        asked.field("wanted", MOST_WORDS), {name: _amount(asked, name) for name in names},
    )  # fmt: skip


def _amount(asked: Asked, name: str) -> Fen | None:
    """The amount in this field; None if it is empty. Raises Missing."""
    text = asked.field(name, 40).replace(",", "").replace("，", "").replace(" ", "")
    if not text:
        return None
    if not _AMOUNT.fullmatch(text):
        raise Missing(asked.say("workbench.missing.amount", text=text), field=name)
    whole, _, rest = text.partition(".")
    return fen_of(f"{int(whole)}.{rest.ljust(2, '0')}")


# ---------------------------------------------------------------- the second person


@routes.post("/desk/cases/{case}/confirm")
def confirm(asked: Asked) -> Response:
    """Confirm what somebody else proposed, or give it back to them with words."""
    with asked.reading() as tx:
        case, person = case_and_person(asked, tx, "referrals.confirm")
        keys = deciding.to_hold(asked, tx, case)
    confirms, words = asked.field("verdict", 20) == "confirm", asked.field("words", MOST_WORDS)
    with asked.writing(then="/desk", beside=True, holding=keys) as tx:
        deciding.confirm(asked, tx, case, person, asked.field("act", 60), confirms, words)
    return asked.go(said="workbench.confirmed" if confirms else "workbench.returned")
