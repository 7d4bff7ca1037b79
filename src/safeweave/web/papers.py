"""Papers that people hand in for a case: photographs and PDFs, told apart by how they begin, encrypted in the store.

What somebody handed in they may take back until an examiner has seen it; from then on it is kept with the case.
"""

import hashlib
import re
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from safeweave import ids
from safeweave.database import Transaction, at_of, at_text
from safeweave.errors import Conflict, NotFound
from safeweave.facts import Fact
from safeweave.ids import CaseId, PersonId
from safeweave.keys.resting import Rest
from safeweave.words import Language, say

MOST_BYTES = 10 * 1024 * 1024  # of one file
MOST_AT_ONCE = 3
MOST_OF_A_CASE = 20
SHOWN = ("image/jpeg", "image/png", "image/webp")  # pictures that any browser draws

_BEGINNINGS: tuple[tuple[bytes, int, str], ...] = (
    (b"%PDF-", 0, "application/pdf"), (b"\xff\xd8\xff", 0, "image/jpeg"), (b"\x89PNG\r\n\x1a\n", 0, "image/png"),
    (b"WEBP", 8, "image/webp"), (b"ftypheic", 4, "image/heic"), (b"ftypheix", 4, "image/heic"),
    (b"ftypmif1", 4, "image/heic"),
)  # fmt: skip
_ENDINGS = {
    "application/pdf": ".pdf", "image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp", "image/heic": ".heic",
}  # fmt: skip
_NOT_IN_A_NAME = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|\u202a-\u202e\u2066-\u2069]')


class NotTaken(Conflict):
    """Why a file is not taken, or cannot be taken back; `why` is a key of words/portal.toml."""

    def __init__(self, why: str, **values: object) -> None:
        self._why, self._values = why, values
        super().__init__(self.said("en"))

    def said(self, language: Language) -> str:
        """Why, and what to do."""
        return say(f"portal.files.{self._why}", language, **self._values)


class Upload(NamedTuple):
    """A file as a browser sent it."""

    name: str
    content: bytes


class Paper(Fact, frozen=True):
    """A file that was handed in, without its content."""

    id: str
    case: CaseId
    person: PersonId
    name: str
    kind: str
    size: int
    added_by: str
    added_name: str
    added_at: datetime
    seen_at: datetime | None = None
    removed_at: datetime | None = None

    @property
    def is_shown(self) -> bool:
        """Whether a browser can draw it as a picture."""
        return self.kind in SHOWN


def kind_of(content: bytes) -> str:
    """The media type by how the content begins; "" for everything that is not taken."""
    return next((kind for begin, at, kind in _BEGINNINGS if content[at : at + len(begin)] == begin), "")


def checked(files: Sequence[Upload]) -> list[Upload]:
    """These files under names that harm nobody; empty fields are left out. Raises NotTaken."""
    found = []
    for each in files:
        if not each.content and not each.name:
            continue
        name = _NOT_IN_A_NAME.sub(" ", each.name.rpartition("\\")[2].rpartition("/")[2]).strip(" .")[:80] or "-"
        kind = kind_of(each.content)
        if not each.content:
            raise NotTaken("empty", name=name)
        if len(each.content) > MOST_BYTES:
            raise NotTaken("too_large", name=name, most=MOST_BYTES // 1024 // 1024)
        if not kind:
            raise NotTaken("kind", name=name)
        if not name.lower().endswith((_ENDINGS[kind], ".jpeg", ".heif")):
            name += _ENDINGS[kind]
        found.append(Upload(name, each.content))
    if len(found) > MOST_AT_ONCE:
        raise NotTaken("too_many", most=MOST_AT_ONCE)
    return found


class Sealed(NamedTuple):
    """A file made ready for the store."""

    id: str
    name: str
    kind: str
    size: int
    digest: str
    pieces: list[bytes]


def sealed(rest: Rest, files: Sequence[Upload]) -> list[Sealed]:
    """These files encrypted; done before a transaction is opened."""
    made = []
    for each in files:
        id, digest = ids.fresh("file"), hashlib.sha256(each.content).hexdigest()
        pieces = rest.lock(id, each.content)
        made.append(Sealed(id, each.name, kind_of(each.content), len(each.content), digest, pieces))
    return made


def add(
    tx: Transaction, case: CaseId, person: PersonId, files: Sequence[Sealed], by: str, name: str, now: datetime
) -> int:
    """Keep these files; how many were not kept before. The same file of the same person counts once.

    Raises NotTaken if there would be too many of this case.
    """
    kept = 0
    for each in files:
        if tx.row(
            "select 1 from case_file where case_id = ? and digest = ? and added_by = ? and removed_at is null",
            (case, each.digest, by),
        ):
            continue
        tx.run(
            "insert into case_file (id, case_id, person, name, kind, bytes, digest, added_by, added_name, added_at)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (each.id, case, person, each.name, each.kind, each.size, each.digest, by, name, at_text(now)),
        )
        tx.run_many(
            "insert into case_file_piece (file, number, content) values (?, ?, ?)",
            [(each.id, n, piece) for n, piece in enumerate(each.pieces)],
        )
        kept += 1
    (count,) = tx.rows("select count(*) from case_file where case_id = ? and removed_at is null", (case,))[0]
    if count > MOST_OF_A_CASE:
        raise NotTaken("full", most=MOST_OF_A_CASE)
    return kept


_COLUMNS = "id, case_id, person, name, kind, bytes, added_by, added_name, added_at, seen_at, removed_at"


def of_cases(tx: Transaction, cases: Collection[CaseId]) -> dict[CaseId, list[Paper]]:
    """What was handed in for these cases and not taken back, the oldest first."""
    found: dict[CaseId, list[Paper]] = {case: [] for case in cases}
    for row in tx.rows(
        f"select {_COLUMNS} from case_file where case_id in ? and removed_at is null order by added_at, id",
        (sorted(found),),
    ):
        paper = _paper(*row)
        found[paper.case].append(paper)
    return found


def one(tx: Transaction, id: str, case: str) -> Paper:
    """A paper of this case. Raises NotFound if there is none, or it was taken back."""
    row = tx.row(
        f"select {_COLUMNS} from case_file where id = ? and case_id = ? and removed_at is null", (id, case)
    )  # fmt: skip
    if row is None:
        raise NotFound("there is no such paper")
    return _paper(*row)


def _paper(
    id: str, case: CaseId, person: PersonId, name: str, kind: str, size: int, by: str, by_name: str, added: str,
    seen: str | None, removed: str | None,
) -> Paper:  # fmt: skip
    return Paper(id, case, person, name, kind, size, by, by_name, at_of(added), (seen and at_of(seen)) or None,
                 (removed and at_of(removed)) or None)  # fmt: skip


def content(tx: Transaction, rest: Rest, paper: Paper) -> bytes:
    """What the paper holds. Raises SealBroken if it was changed, Unavailable if this host has other keys."""
    rows = tx.rows("select content from case_file_piece where file = ? order by number", (paper.id,))
    return rest.unlock(paper.id, [bytes(piece) for (piece,) in rows])


def note_seen(tx: Transaction, paper: Paper, now: datetime) -> None:
    """An examiner has seen it: it stays."""
    tx.run("update case_file set seen_at = ? where id = ? and seen_at is null", (at_text(now), paper.id))


def take_back(tx: Transaction, paper: Paper, now: datetime) -> None:
    """Destroy the content; that it was there is still known. Raises NotTaken once an examiner has seen it."""
    if not tx.run(
        "update case_file set removed_at = ? where id = ? and seen_at is null and removed_at is null",
        (at_text(now), paper.id),
    ):
        raise NotTaken("seen")
    tx.run("delete from case_file_piece where file = ?", (paper.id,))
