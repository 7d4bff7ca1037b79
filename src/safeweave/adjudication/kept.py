"""The JSON in which a determination is kept: lines stand as rows of values, without the names of their fields.

A claim and a result otherwise have the form of the facts themselves, so that queries may look into them. Left out of a
result are its claim's id, which is that of the row, empty lists, and the usage after it where that is what it uses.
What version 0.1.0 wrote, with all names, is read as well.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec.structs import astuple, replace

from safeweave.adjudication.determination import Cut, Determination, LineResult, cut_of, line_result_of
from safeweave.adjudication.history import Settled
from safeweave.adjudication.reasons import CutReason, PersonReason
from safeweave.coverage.usage import Usage
from safeweave.facts import Bill, Claim, Line, PaidBill, Split

Word = tuple[CutReason | PersonReason, str]  # the reason of a cut, and its clause


class KeptRows(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """The results of consecutive lines of one bill under one benefit and policy year.

    `figures` holds for each line its number, amount, what is paid, how many cuts it has, and for each of these the
    place of its reason and clause in `words` and its amount.
    """

    benefit: str
    period: str
    bill: str
    words: tuple[Word, ...]
    figures: tuple[int, ...]


# The fields of a line with those first that nearly every line has; what stands behind the last that says something is
# left out.
_OF_A_LINE = (
    "no", "category", "catalogue_class", "amount", "code", "on", "split", "name", "days", "treatment", "social_paid",
    "refund_of", "ward",
)  # fmt: skip
_DEFAULTS = [
    None if field.required else field.default
    for field in sorted(msgspec.structs.fields(Line), key=lambda field: _OF_A_LINE.index(field.name))
]


def _like(
    base: type[msgspec.Struct],
    order: Sequence[str] = (),
    without: Mapping[str, object] = MappingProxyType({}),
    array_like: bool = False,
    **types: Any,
) -> type[msgspec.Struct]:
    """A type with the fields of another: some of another type, in another `order`, or left out when as in `without`."""
    known = {field.name: field for field in msgspec.structs.fields(base)}
    fields: list[Any] = []
    for name in order or known:
        field, kind = known[name], types.get(name, known[name].type)
        if name in without:
            fields.append((name, kind, without[name]))
        elif field.required:
            fields.append((name, kind))
        else:
            fields.append((name, kind, field.default))
    return msgspec.defstruct(
        f"Kept{base.__name__}",
        fields,
        array_like=array_like,
        forbid_unknown_fields=True,
        omit_defaults=True,
        kw_only=bool(without),
        gc=False,
    )


KeptLine = _like(Line, order=_OF_A_LINE, array_like=True, split=tuple[int, int, int, int] | None)
KeptBill = _like(Bill, lines=tuple[KeptLine, ...])  # type: ignore[valid-type]
KeptClaim = _like(Claim, bills=tuple[KeptBill, ...])  # type: ignore[valid-type]
KeptResult = _like(
    Determination,
    without={"claim": "", "refer": (), "duplicates": (), "overlays": (), "usage": None},
    usage=Usage | None,
    lines=tuple[KeptRows, ...],
)

KeptPaidBill = _like(PaidBill, array_like=True)
KeptSettled = _like(Settled, array_like=True, bills=tuple[KeptPaidBill, ...])  # type: ignore[valid-type]

_encode = msgspec.json.Encoder(order="deterministic").encode
_claims = msgspec.json.Decoder(KeptClaim)
_results = msgspec.json.Decoder(KeptResult)
_named_claims = msgspec.json.Decoder(Claim)
_named_results = msgspec.json.Decoder(Determination)
_settled = msgspec.json.Decoder(KeptSettled)
_named_settled = msgspec.json.Decoder(Settled)
_NAMED = '"lines":[{'  # how lines began in version 0.1.0; within a text the quotes would be escaped
_OF_A_RESULT = [name for name in Determination.__struct_fields__ if name not in ("claim", "lines", "usage")]
_values_of = attrgetter(*_OF_A_LINE)
_SPLIT = _OF_A_LINE.index("split")


def kept_claim(claim: Claim) -> str:
    """The text of a claim."""
    bills = [replace(bill, lines=[_row_of(line) for line in bill.lines]) for bill in claim.bills]
    return _encode(replace(claim, bills=bills) if bills else claim).decode()


def _row_of(line: Line) -> list[object]:
    values = list(_values_of(line))
    if line.split is not None:
        values[_SPLIT] = astuple(line.split)
    while values[-1] == _DEFAULTS[len(values) - 1]:
        del values[-1]
    return values


def claim_from(text: str) -> Claim:
    """The claim of a kept text. msgspec.MsgspecError if it is none."""
    if _NAMED in text:
        return _named_claims.decode(text)
    kept: Any = _claims.decode(text)
    bills = tuple(Bill(*_with(bill, "lines", _lines(bill.lines))) for bill in kept.bills)
    return Claim(*_with(kept, "bills", bills))


def _lines(kept: Iterable[Any]) -> tuple[Line, ...]:
    return tuple(
        Line(
            line.no, line.category, line.catalogue_class, line.amount, line.code, line.treatment, line.ward, line.days,
            line.on, None if line.split is None else Split(*line.split), line.social_paid, line.refund_of, line.name,
        )
        for line in kept
    )  # fmt: skip


def _with(kept: msgspec.Struct, field: str, value: object) -> list[Any]:
    """The values of a kept thing in the order of its fields, one of them another."""
    values = list(astuple(kept))
    values[kept.__struct_fields__.index(field)] = value
    return values


def kept_result(result: Determination) -> str:
    """The text of a determination."""
    values = {name: getattr(result, name) for name in _OF_A_RESULT}
    usage = None if result.usage == result.uses else result.usage
    return _encode(KeptResult(**values, usage=usage, lines=tuple(_rows(result.lines)))).decode()


def _rows(lines: Sequence[LineResult]) -> Iterator[KeptRows]:
    for (benefit, period, bill), rows in groupby(lines, key=_place):
        words: dict[Word, int] = {}
        figures: list[int] = []
        for row in rows:
            cuts = row.cuts
            figures += (row.no, row.amount, row.paid, len(cuts))
            for cut in cuts:
                figures += (words.setdefault((cut.reason, cut.clause), len(words)), cut.amount)
        yield KeptRows(benefit, period, bill, tuple(words), tuple(figures))


def _place(row: LineResult) -> tuple[str, str, str]:
    return row.benefit, row.period, row.bill


def result_from(text: str, id: str) -> Determination:
    """The result of the kept text of a determination with this id. ValueError if it is none."""
    if _NAMED in text:
        return _named_results.decode(text)
    kept: Any = _results.decode(text)
    values = {name: getattr(kept, name) for name in _OF_A_RESULT}
    lines = tuple(row for rows in kept.lines for row in _line_results(rows))
    usage = kept.uses if kept.usage is None else kept.usage
    return Determination(kept.claim or id, lines=lines, usage=usage, **values)


def _line_results(rows: KeptRows) -> Iterator[LineResult]:
    figures = iter(rows.figures)
    try:
        for no in figures:
            amount, paid, count = next(figures), next(figures), next(figures)
            cuts: list[Cut] = []
            for _ in range(count):
                reason, clause = rows.words[next(figures)]
                cuts.append(cut_of(reason, next(figures), clause))
            yield line_result_of(rows.benefit, rows.period, rows.bill, no, amount, paid, tuple(cuts))
    except (StopIteration, IndexError):
        raise ValueError(f"the kept rows of bill {rows.bill} are not whole") from None


def kept_settled(settled: Settled) -> str:
    """The text of what a determination leaves behind while it is in force."""
    return _encode(_with(settled, "bills", [astuple(paid) for paid in settled.bills])).decode()


def settled_from(text: str) -> Settled:
    """What a kept text says a determination leaves behind. msgspec.MsgspecError if it says nothing."""
    if text.startswith("{"):
        return _named_settled.decode(text)
    kept: Any = _settled.decode(text)
    return Settled(*_with(kept, "bills", tuple(PaidBill(*astuple(paid)) for paid in kept.bills)))


def says(text: bytes, settled: Settled) -> bool:
    """Whether these bytes are what is kept of it, to the byte, in today's form or in that of version 0.1.0."""
    return text in (kept_settled(settled).encode(), _encode(settled))
