"""What deciding costs: one claim with its full trace, letters, and stored decisions computed again."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from statistics import median

from safeweave import coverage, telling
from safeweave.adjudication import replay as replaying
from safeweave.adjudication import store as determinations
from safeweave.adjudication.history import History
from safeweave.adjudication.steps import decide
from safeweave.adjudication.store import Decided
from safeweave.cases import store as cases
from safeweave.commands.bench import stays
from safeweave.commands.bench.baselines import cpu_seconds_of, decimal_loop, seconds_of
from safeweave.commands.bench.feeders import take
from safeweave.commands.bench.figure import Figure
from safeweave.commands.bench.stays import Stays
from safeweave.commands.bench.stores import Bench
from safeweave.database import Transaction
from safeweave.errors import InvariantBroken
from safeweave.ids import CaseId
from safeweave.node import Node
from safeweave.telling import store as letters
from safeweave.telling.letter import Letter, letter
from safeweave.telling.page import html
from safeweave.telling.pdf import pdf
from safeweave.telling.store import LetterRow

CALLS = 200


def bench_lines() -> list[tuple[Decimal, Decimal]]:
    """The ten lines of a bench bill as the Decimal loop takes them."""
    return [(Decimal(line.amount), line.within) for line in stays.LINES]


def settled_claim(node: Node, given: Stays) -> Decided:
    """The stored determination of stay 0, sent whole."""
    take(node, [given.whole(0)])
    with node.database.reading() as tx:
        (decided,) = determinations.of_cases(tx, [case.id for case in cases.cases_in(tx)])
    return decided


def deciding(bench: Bench) -> list[Figure]:
    """One ten-line claim decided with reasons and trace, against a bare Decimal loop over the same lines."""
    with bench.store("sqlite", "deciding") as store, store.opened(1) as (node, given):
        decided = settled_claim(node, given)
        product = node.adjudicator.products[decided.product]
    history, lines = History(decided.usage_before), bench_lines()
    ours, theirs = [], []
    for _ in range(bench.counts.rounds):  # in turn, so that noise meets both alike
        ours.append(seconds_of(lambda: decide(product, decided.cover, history, decided.claim, decided.overlays), CALLS))
        theirs.append(seconds_of(lambda: decimal_loop(lines, stays.FUND, stays.DEDUCTIBLE, stays.RATIO), CALLS))
    micros = [1e6 * median(times) for times in (ours, theirs)]
    return [Figure("decide_10_lines", micros[0], "us", micros[1], target=100, aim=50, ratio_target=14)]


def bulk(bench: Bench) -> list[Figure]:
    """Claims a CPU second decided in columns, and one by one, each against the bare Decimal loop."""
    try:
        from safeweave.bulk import speed  # its libraries are needed by nobody else
    except ImportError as missing:
        bench.remark("bench.no_bulk", name=missing.name)
        return []
    with bench.store("sqlite", "bulk") as store, store.opened(1) as (node, given):
        decided = settled_claim(node, given)
        product = node.adjudicator.products[decided.product]
    history, lines = History(decided.usage_before), bench_lines()
    columns, plain, loop = [], [], []
    for _ in range(bench.counts.runs):
        columns.append(speed.measured(product, decided.cover, decided.claim, parts=1).per_cpu_second)
        plain.append(1 / cpu_seconds_of(lambda: decide(product, decided.cover, history, decided.claim), 10 * CALLS))
        theirs = cpu_seconds_of(lambda: decimal_loop(lines, stays.FUND, stays.DEDUCTIBLE, stays.RATIO), 10 * CALLS)
        loop.append(1 / theirs)
    return [
        Figure("bulk_readjudications_per_cpu_second", median(columns), "1/s", median(loop), 50_000, 200_000),
        Figure("plain_readjudications_per_cpu_second", median(plain), "1/s", median(loop)),
    ]


def telling_again(bench: Bench) -> list[Figure]:
    """Letters laid out, and stored decisions computed again one by one."""
    counts = bench.counts
    with bench.store("sqlite", "letters") as store, store.opened(counts.claims // 2) as (node, given):
        for first in range(0, counts.claims // 2, bench.batch):
            take(node, [given.whole(n) for n in range(first, min(first + bench.batch, counts.claims // 2))])
        with node.database.reading() as tx:
            found = [case.id for case in cases.cases_in(tx, limit=counts.claims // 2)]
            pages, papers = _letters(tx, found[: counts.letters])
            replays = [len(found) / seconds_of(lambda: _replay(tx, found, bench.batch)) for _ in range(counts.runs)]
    return [
        Figure("letter_html", median(pages), "ms"),
        Figure("letter_pdf", median(papers), "ms"),
        Figure("replay_determinations_per_second", median(replays), "1/s"),
    ]


def _letters(tx: Transaction, found: Sequence[CaseId]) -> tuple[list[float], list[float]]:
    """Milliseconds for the page and the PDF of each case's letter, its facts read anew for both."""
    kept = [letters.letters_of_case(tx, case)[0] for case in found]

    def milliseconds(layout: Callable[[Letter], object], row: LetterRow) -> float:
        return 1e3 * seconds_of(lambda: layout(letter(telling.letter_facts(tx, row.facts), row.language)))

    return [milliseconds(html, row) for row in kept], [milliseconds(pdf, row) for row in kept]


def _replay(tx: Transaction, found: Sequence[CaseId], batch: int) -> None:
    for start in range(0, len(found), batch):
        part = found[start : start + batch]
        results = replaying.replay(tx, part, lambda keys: coverage.opening_usage(tx, keys))
        if len(results) != len(part) or not all(result.agrees for result in results):
            raise InvariantBroken(f"{len(part)} determinations were replayed, {sum(r.agrees for r in results)} agree")
