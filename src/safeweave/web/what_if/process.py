"""Works on what-ifs in a process of its own: no page and no claim waits for it. Begin with `work`.

It writes the stored determinations as columns, decides them again, and keeps only sums and the cases that move. It says
how far it is in transactions of a moment, stops when it is wanted no more, and goes on where it stopped.
"""

import logging
import os
import shutil
import socket
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import nlargest
from importlib.util import find_spec
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

from safeweave import clock
from safeweave.bulk import moving
from safeweave.bulk.moving import Moved
from safeweave.clock import Clock
from safeweave.database import Database
from safeweave.errors import StoreUnavailable
from safeweave.settings import Settings
from safeweave.web.what_if import store as trials
from safeweave.web.what_if.store import Answer, Trial
from safeweave.words import LANGUAGES, say

if TYPE_CHECKING:
    from safeweave.bulk.extract import Manifest

log = logging.getLogger("safeweave.what_if")

MOST_TRIES = 3  # a what-if whose process was killed so often is given up
STILL_FRESH = timedelta(minutes=10)  # columns of a large store are used again for so long
NICE = 10


def is_possible() -> bool:
    """Whether what reads and writes columns is installed: the extra `bulk`."""
    return all(find_spec(name) is not None for name in ("numpy", "pyarrow"))


@dataclass
class Trying:
    """What starts such processes, one at a time, in a process that serves pages."""

    settings: Settings
    database: Database
    clock: Clock
    _process: BaseProcess | None = None
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def look(self) -> None:
        """Have the oldest what-if worked on that nobody works on, unless this process has one under way already."""
        with self._turn:
            if self._process is not None and self._process.is_alive():
                return
            with self.database.reading() as tx:
                waiting = next((each for each in trials.unfinished(tx) if not _is_worked_on(each, self.clock())), None)
            if waiting is None:
                return
            if waiting.tries >= MOST_TRIES:
                with self.database.transaction() as tx:
                    trials.fail(tx, waiting.id, waiting.process, _said("what_if.fault.killed"), self.clock())
                return
            self._process = get_context("spawn").Process(
                target=work, args=(self.settings, waiting.id, os.getpid()), name=waiting.id, daemon=True
            )
            self._process.start()

    def wait(self, seconds: float) -> None:
        """Wait until the process under way is done."""
        if self._process is not None:
            self._process.join(seconds)

    def close(self) -> None:
        """End the process under way; the next that serves pages goes on with its what-if."""
        with self._turn:
            if self._process is not None:
                self._process.terminate()
                self._process.join(5)


def _is_worked_on(trial: Trial, now: datetime) -> bool:
    if trial.state != "working":
        return False
    if trial.host == socket.gethostname():
        return _is_alive(trial.process)
    return trial.beat_at is not None and now < trial.beat_at + trials.SILENT


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _said(key: str, **values: object) -> dict[str, str]:
    return {language: say(key, language, **values) for language in LANGUAGES}


# ---------------------------------------------------------------- the process


class Stopped(Exception):
    """It is wanted no more, or whoever started it is gone."""


def work(settings: Settings, id: str, parent: int) -> None:
    """Work on one what-if until it is done, fails or is wanted no more."""
    os.nice(NICE)
    database = Database(settings.store)
    slot = database.slot("what-if")
    if slot is None:  # another process works on one
        database.close()
        return
    try:
        with database.transaction() as tx:
            trial = trials.trial(tx, id)
            if trial is None or not trials.take(tx, trial, socket.gethostname(), os.getpid(), clock.now()):
                return
        faults = _worked(settings, database, trial, parent)
        if faults:
            with database.transaction() as tx:
                trials.fail(tx, id, os.getpid(), faults, clock.now())
    except (Stopped, StoreUnavailable) as stopped:
        log.info("what-if %s stopped: %s", id, stopped)
    finally:
        slot.release()
        database.close()


def _worked(settings: Settings, database: Database, trial: Trial, parent: int) -> dict[str, str]:
    """Why nothing came out, in every language; nothing if something did."""
    from safeweave.bulk.extract import OtherExtract
    from safeweave.bulk.run import NotDone

    try:
        _try(settings, database, trial, parent)
    except (NotDone, OtherExtract) as known:
        return {language: known.said(language) for language in LANGUAGES}
    except (Stopped, StoreUnavailable):
        raise
    except OSError as error:
        return _said("what_if.fault.disk", why=error.strerror or error)
    except Exception:
        log.exception("what-if %s failed", trial.id)
        return _said("what_if.fault.unknown")
    return {}


def _try(settings: Settings, database: Database, trial: Trial, parent: int) -> None:
    from safeweave.bulk.extract import extract
    from safeweave.bulk.run import Answer as RunAnswer
    from safeweave.bulk.run import OtherRun, Question, run

    place = settings.home.absolute() / "what-if" / "pages"
    with database.reading() as tx:
        (total,) = tx.rows("select count(*) from determination")[0]
        (newest,) = tx.rows("select coalesce(max(id), 0) from case_step")[0]
        body = trials.body(tx, trial.id)
    now = clock.now()
    folder = _folder(place, newest, trial.as_of, now)

    def note(step: str, done: int, of: int, as_of: datetime) -> None:
        if os.getppid() != parent:
            raise Stopped("whoever started it is gone")
        with database.transaction(beside=True) as tx:
            if tx.hold({trials.topic(trial.id)}) and not trials.note_progress(
                tx, trial.id, os.getpid(), step, done, of, as_of, clock.now()
            ):
                raise Stopped("it is wanted no more")

    def written(manifest: "Manifest") -> None:
        note("extract", manifest.claims, total, manifest.as_of)

    manifest = extract(database, _store_of(settings), folder, now, written)
    to = place / trial.id

    def decided(answer: "RunAnswer") -> None:
        note("decide", answer.done, answer.parts, manifest.as_of)

    question = Question(str(folder), ((f"{trial.product}.toml", body),), trial.from_day, trial.until_day)
    try:
        run(question, to, told=decided)
    except OtherRun:  # begun by another version of safeweave
        shutil.rmtree(to)
        run(question, to, told=decided)
    _keep(database, trial, [to / part.name for part in manifest.parts])
    shutil.rmtree(to)


def _keep(database: Database, trial: Trial, parts: list[Path]) -> None:
    """Keep the sums and the cases that move; what the parts hold beside them is not needed any more."""
    sums: list[moving.ByCase] = []
    most: list[Moved] = []
    for no, part in enumerate(parts):
        found, moved = moving.by_case(part, trial.product)
        sums.append(found)
        most = nlargest(trials.MOST_SHOWN, [*most, *moved], key=lambda each: (abs(each.moves_fen), each.case))
        if moved:
            with database.transaction(beside=True) as tx:
                tx.wait_for({trials.topic(trial.id)})
                trials.keep_part(tx, trial.id, no, moved)
    with database.transaction() as tx:
        trials.finish(tx, trial.id, os.getpid(), Answer(moving.added(sums), tuple(most)), clock.now())


def _store_of(settings: Settings) -> str:
    """What names the store in the columns; never its password."""
    return str(settings.store).rpartition("@")[2]


def _folder(place: Path, newest: int, as_of: datetime | None, now: datetime) -> Path:
    """Where the columns are: those this what-if began with, those of the store as it is or nearly is, or fresh ones.

    Older ones are removed; only one process is here at a time.
    """
    from safeweave.bulk.extract import PART_CLAIMS, NoSuchExtract, OtherExtract, manifest_in

    fresh = place / f"extract-{newest}"
    for folder in sorted(place.glob("extract-*")):
        try:
            found = manifest_in(folder)
        except (NoSuchExtract, OtherExtract):
            shutil.rmtree(folder, ignore_errors=True)
            continue
        begun = as_of is not None and found.as_of == as_of
        large = found.claims > PART_CLAIMS and now < found.as_of + STILL_FRESH
        if begun or (found.complete and (folder == fresh or large)):
            return folder
        shutil.rmtree(folder, ignore_errors=True)
    for left in place.glob("whatif_*"):
        shutil.rmtree(left, ignore_errors=True)
    return fresh
