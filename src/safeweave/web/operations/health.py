"""How exchange, ledger and outsiders stand: what waits for whom, who does not answer, what is anchored."""

from starlette.responses import Response

from safeweave import outbox
from safeweave.consortium.status import status
from safeweave.errors import NotFound
from safeweave.web import live
from safeweave.web.asked import Asked
from safeweave.web.operations.around import shown
from safeweave.web.operations.figures import clocks_in_danger, silent
from safeweave.web.pages import Routes

routes = Routes()

MOST_ROWS = 100


@routes.get("/operations/health")
def health(asked: Asked) -> Response:
    """Everything that waits inside and outside, and hospitals gone silent."""
    asked.must_ours("health.read")
    with asked.reading() as tx:
        return shown(
            asked, tx, "operations/health.html", "health", exchange=status(tx), backlog=outbox.backlog(tx),
            circuits=outbox.circuits(tx), clocks=clocks_in_danger(tx, asked.now)[:MOST_ROWS],
            silent=silent(tx, asked.now)[:MOST_ROWS],
        )  # fmt: skip


@routes.post("/operations/health/{lane:path}")
def call_again(asked: Asked) -> Response:
    """Call an outsider now that did not answer, instead of waiting for the next try."""
    asked.must_ours("inbox.repair")
    lane = asked.place("lane")
    with asked.writing(then="/operations/health") as tx:
        if lane not in outbox.circuits(tx):
            raise NotFound("there is no such outsider that does not answer")
        outbox.call_again(tx, lane, asked.now)
        live.notify(tx, "inbox", "", asked.now)
    return asked.go(said="operations.health.called")
