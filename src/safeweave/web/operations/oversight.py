"""What a supervisor checks, as counts of nobody in particular: who looks how often, consents, and what is late."""

from datetime import date, timedelta

from starlette.responses import Response

from safeweave.clock import shanghai_day
from safeweave.database import Transaction, at_text
from safeweave.web.asked import Asked
from safeweave.web.operations.around import shown
from safeweave.web.operations.figures import SPANS
from safeweave.web.pages import Routes

routes = Routes()

FEW = 3  # counts below it are told as "fewer than", so that no person is told apart


@routes.get("/operations/oversight")
def oversight(asked: Asked) -> Response:
    """Views by role and kind, consents given and taken back, reads of records, and statutory clocks that are over."""
    asked.must_ours("oversight.read")
    span = next((days for days in SPANS if str(days) == asked.query("days")), 30)
    since = at_text(asked.now - timedelta(days=span))
    with asked.reading() as tx:
        names: dict[str, str] = dict(tx.rows("select member, name from member_contact"))
        return shown(
            asked, tx, "operations/oversight.html", "oversight", span=span, names=names, spans=SPANS, few=FEW,
            views=tx.rows(
                "select role, action, count(*) from page_view where seen_at >= ? and person <> ''"
                " group by role, action order by role, action", (since,),
            ),
            consents=_consents(tx, since),
            reads=tx.rows(
                "select member, purpose, count(*), sum(case when consent is null then 1 else 0 end) from record_read"
                " where read_at >= ? group by member, purpose order by member, purpose", (since,),
            ),
            late=[(kind, count, date.fromisoformat(since)) for kind, count, since in tx.rows(
                "select kind, count(*), min(due_on) from clock where stopped_at is null and paused_at is null"
                " and kind <> 'papers' and due_on < ? group by kind order by kind",
                (shanghai_day(asked.now).isoformat(),),
            )],
        )  # fmt: skip


def _consents(tx: Transaction, since: str) -> dict[str, int]:
    (given,) = tx.rows("select count(*) from consent_grant where noted_at >= ?", (since,))[0]
    (revoked,) = tx.rows("select count(distinct consent) from consent_revocation where noted_at >= ?", (since,))[0]
    return {"given": int(given), "revoked": int(revoked)}
