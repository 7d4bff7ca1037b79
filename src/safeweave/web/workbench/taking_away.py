"""What leaves the screen as a file: the queue, and one case with its lines and history; as CSV and as JSON."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from starlette.responses import Response

from safeweave.money import yuan_text
from safeweave.people.identity import masked
from safeweave.web.asked import Asked
from safeweave.web.pages import Routes
from safeweave.web.workbench import queue
from safeweave.web.workbench.bench import case_and_person, must_be_examiner, wanted_of
from safeweave.web.workbench.seen import seen

routes = Routes()

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@routes.get("/desk/queue.csv")
def queue_as_csv(asked: Asked) -> Response:
    """The queue as it is filtered, one row a case."""
    rows = _queue(asked)
    names = ["case", "visit", "hospital", "reasons", "skills", "yuan", "due_on", "days_left", "paused", "proposed"]
    return _csv("queue.csv", names, [[row[name] for name in names] for row in rows])


@routes.get("/desk/queue.json")
def queue_as_json(asked: Asked) -> Response:
    """The queue as it is filtered."""
    return _json("queue.json", _queue(asked))


def _queue(asked: Asked) -> list[dict[str, Any]]:
    must_be_examiner(asked)
    with asked.reading() as tx:
        items = queue.waiting(tx, asked.now, asked.language, wanted_of(asked))
    return [
        {
            "case": item.case, "visit": item.visit, "hospital": item.hospital, "reasons": list(item.reasons),
            "skills": list(item.skills), "yuan": None if item.amount is None else yuan_text(item.amount),
            "due_on": item.due_on, "days_left": item.days_left, "paused": item.paused, "proposed": item.proposed,
        }
        for item in items
    ]  # fmt: skip


@routes.get("/desk/cases/{case}/case.json")
def case_as_json(asked: Asked) -> Response:
    """One case: the person with the document masked, what waits line by line, and the history."""
    return _json(f"{asked.place('case')}.json", _case(asked))


@routes.get("/desk/cases/{case}/lines.csv")
def lines_as_csv(asked: Asked) -> Response:
    """What waits of a case, line by line."""
    found = _case(asked)
    rows = [
        [each["policy"], each["product"], part["benefit"], line["bill"], line["line"], line["yuan"], line["paid"],
         "; ".join(f"{cut['why']} {cut['yuan']} {cut['clause']}".strip() for cut in line["cuts"])]
        for each in found["waiting"] for part in each["benefits"] for line in part["lines"]
    ]  # fmt: skip
    names = ["policy", "product", "benefit", "bill", "line", "yuan", "paid", "cuts"]
    return _csv(f"{asked.place('case')}.csv", names, rows)


def _case(asked: Asked) -> dict[str, Any]:
    with asked.reading() as tx:
        case, person = case_and_person(asked, tx, "referrals.read")
        found = seen(asked, tx, case, person)
    return {
        "case": case.id, "stage": case.stage, "sender": case.sender, "visit": case.visit, "opened_at": case.opened_at,
        "person": {"name": person.name, "document": masked(person.document.number) if person.documents else ""},
        "reasons": [{"code": each.code, "label": each.label} for each in found.reasons],
        "clocks": [
            {"clock": row.kind, "due_on": row.due_on, "paused": row.paused_at is not None} for row in found.clocks
        ],
        "bills": [
            {"bill": each.bill.key, "yuan": yuan_text(each.bill.total), "reversed": each.reversed}
            for each in found.bills
        ],
        "waiting": [
            {
                "policy": each.number, "product": each.product, "yuan": yuan_text(each.payable),
                "benefits": [
                    {
                        "benefit": part.name, "yuan": yuan_text(part.payable),
                        "lines": [
                            {
                                "bill": line.source.rpartition(":")[0], "line": line.label,
                                "yuan": yuan_text(line.amount), "paid": yuan_text(line.paid),
                                "cuts": [
                                    {"why": cut.label, "yuan": yuan_text(cut.amount), "clause": cut.clause}
                                    for cut in line.cuts
                                ],
                            }
                            for line in part.lines
                        ],
                    }
                    for part in each.parts
                ],
            }
            for each in found.shown
        ],
        "history": [
            {"at": each.at, "what": each.what, "by": each.by, "words": each.words, "clauses": list(each.clauses)}
            for each in found.history
        ],
    }  # fmt: skip


def _json(name: str, value: object) -> Response:
    return Response(
        msgspec.json.format(msgspec.json.encode(value), indent=2), media_type="application/json", headers=_as_file(name)
    )


def _csv(name: str, names: Sequence[str], rows: Iterable[Sequence[object]]) -> Response:
    """Comma-separated, marked as UTF-8 for spreadsheets; nothing in it is taken for a formula."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows([[_cell(value) for value in row] for row in rows])
    return Response(
        "\ufeff" + text.getvalue(), media_type="text/csv; charset=utf-8", headers=_as_file(name)
    )  # fmt: skip


def _cell(value: object) -> str:
    if isinstance(value, list):
        value = "; ".join(str(each) for each in value)
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _as_file(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"'}
