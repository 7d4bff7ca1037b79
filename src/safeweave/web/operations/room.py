"""The figures at a glance: each with how it is counted, drawn and as a table; they follow what happens."""

from markupsafe import Markup
from starlette.responses import Response

from safeweave.money import yuan_shown
from safeweave.web.asked import Asked
from safeweave.web.operations import chart
from safeweave.web.operations.around import shown
from safeweave.web.operations.chart import Series
from safeweave.web.operations.figures import SPANS, Figures, clocks_in_danger, figures, silent
from safeweave.web.operations.what_if import name_of
from safeweave.web.pages import Routes
from safeweave.web.signing_in import homes
from safeweave.words import Language, knows, say

routes = Routes()
homes.update(director="/operations", operator="/operations", commission="/operations")

MOST_ROWS = 50  # of a list; how many there are in all stands above it
MOST_REASONS = 12


@routes.get("/operations")
def room(asked: Asked) -> Response:
    """How the service does, over the span of days that is asked for."""
    asked.must_ours("figures.read")
    span = next((days for days in SPANS if str(days) == asked.query("days")), 30)
    with asked.reading() as tx:
        found = figures(tx, asked.now, span)
        clocks = clocks_in_danger(tx, asked.now) if asked.may_ours("health.read") else []
        quiet = silent(tx, asked.now)
        return shown(
            asked, tx, "operations/room.html", "room", figures=found, span=span, spans=SPANS,
            charts=_charts(found, asked),
            clocks=clocks[:MOST_ROWS], clocks_all=len(clocks), silent=quiet[:MOST_ROWS], silent_all=len(quiet),
            name=lambda id: name_of(asked, id),
            reason=lambda code: reason_said(code, asked.language), seconds=lambda ms: seconds_said(ms, asked.language),
        )  # fmt: skip


def reason_said(code: str, language: Language) -> str:
    """A reason for which a person looks, in words."""
    for key in (f"operations.referred.{code}", f"reasons.{code}.short"):
        if knows(key):
            return say(key, language)
    return code


def seconds_said(milliseconds: float | None, language: Language) -> str:
    """A time as people read it."""
    if milliseconds is None:
        return say("operations.none", language)
    if milliseconds < 120_000:
        return say("operations.seconds", language, seconds=f"{milliseconds / 1000:.2f}")
    if milliseconds < 7_200_000:
        return say("operations.minutes", language, minutes=f"{milliseconds / 60_000:.1f}")
    return say("operations.hours", language, hours=f"{milliseconds / 3_600_000:.1f}")


def _charts(found: Figures, asked: Asked) -> dict[str, Markup]:
    days = [f"{each.day.month}-{each.day.day}" for each in found.days]

    def whole(value: float) -> str:
        return f"{value:,.0f}" if value >= 1 or value == 0 else f"{value:.1f}"

    def yuan(value: float) -> str:
        return yuan_shown(round(value)).partition(".")[0]

    return {
        "decided": chart.columns(
            asked.say("operations.figure.untouched"), days,
            [Series("second", [each.decided for each in found.days]),
             Series("first", [each.untouched for each in found.days])], whole,
        ),
        "times": chart.columns(
            asked.say("operations.figure.instructed"), days,
            [Series("second", [_seconds(each.p95) for each in found.days]),
             Series("first", [_seconds(each.p50) for each in found.days])],
            lambda value: asked.say("operations.seconds", seconds=f"{value:g}"),
        ),
        "paid": chart.columns(
            asked.say("operations.figure.paid"), days, [Series("first", [each.paid_fen for each in found.days])], yuan
        ),
        "referred": chart.rows(
            asked.say("operations.figure.referred"),
            [(reason_said(code, asked.language), count) for code, count in found.referred[:MOST_REASONS]], whole,
        ),
        "reserves": chart.rows(
            asked.say("operations.figure.reserves"),
            [(asked.say(f"operations.reserve.{each.kind}"), each.fen) for each in found.reserves], yuan,
        ),
    }  # fmt: skip


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
