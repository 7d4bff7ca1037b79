"""Decides the claims of an extract again, part by part on all cores or on Ray, and says what that would move.

Nothing is written to the store. Every part that is done is kept with its preview, so a run that was killed goes on
where it stopped. Begin with `run`; `decide_part` is what one process does.
"""

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from importlib.resources import files
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa

from safeweave.adjudication.engine import ENGINE_VERSION
from safeweave.bulk.amounts import Bools
from safeweave.bulk.engine import Stored, decide_all
from safeweave.bulk.extract import Manifest, complete_manifest_in, save_json
from safeweave.bulk.facts import Facts
from safeweave.bulk.parts import read_facts, read_results, write_folder
from safeweave.bulk.preview import Preview, ProductSums, added, preview_of
from safeweave.bulk.results import FINAL, REASONS, Results, differing
from safeweave.bulk.shapes import HOW
from safeweave.clock import SHANGHAI
from safeweave.coverage.product import Product, parse_product
from safeweave.errors import Conflict, Unavailable
from safeweave.facts import Fact
from safeweave.words import Language, say

Engine = Literal["local", "ray"]
QUESTION = "question.json"  # in the folder of a run


class Question(Fact):
    """What is asked: these claims again with today's engine, and some products changed."""

    extract: str  # folder
    products: tuple[tuple[str, str], ...] = ()  # file name and text of changed products
    from_day: date | None = None  # what was decided before this day stands as it is
    until_day: date | None = None  # what was decided after this day, too


class Answer(Fact):
    """What came of a run."""

    question: str  # digest
    extract_as_of: datetime
    parts: int
    done: int
    preview: Preview


class Task(Fact):
    """One part to be decided, by whatever process takes it."""

    question: Question
    part: str
    to: str  # folder of the run


class Asked(Fact):
    """What a folder of a run answers."""

    question: str  # digest


class OtherRun(Conflict):
    """The folder holds the answer to another question, or to an earlier one of another extract or version."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        super().__init__(self.said("en"))

    def said(self, language: Language) -> str:
        """What lies there and what to do, in one language."""
        return say("bulk.run.other", language, folder=self._folder)


class NotDone(Unavailable):
    """A run that could not go on; the parts that are done are kept."""

    def __init__(self, key: str, **values: object) -> None:
        self._key, self._values = key, values
        super().__init__(self.said("en"))

    def said(self, language: Language) -> str:
        """Why, and what to do, in one language."""
        return say(self._key, language, **self._values)


def run(
    question: Question,
    to: Path,
    engine: Engine = "local",
    jobs: int = 1,
    told: Callable[[Answer], None] = lambda answer: None,
) -> Answer:
    """The answer to a question, its parts kept in the folder `to`; `told` hears of it as parts are done.

    A changed product that decided nothing in the extract is in the answer with no claims.
    Raises NoSuchExtract, OtherExtract, OtherRun if `to` has what another question yielded, Malformed if a product file
    is, NotDone if it could not go on.
    """
    manifest = complete_manifest_in(Path(question.extract))
    asked_about = Preview({product.id: ProductSums() for product in changed_products(question.products)})
    digest = digest_of(question, manifest)
    try:
        _note_question(to, digest)
    except OSError as error:
        raise NotDone("bulk.not_written", folder=to, why=error.strerror or error) from error
    done = {part.name: _kept(to, part.name) for part in manifest.parts}
    previews = [preview for preview in done.values() if preview is not None]
    tasks = [Task(question, name, str(to)) for name, preview in done.items() if preview is None]

    def answer() -> Answer:
        return Answer(digest, manifest.as_of, len(done), len(previews), added([asked_about, *previews]))

    told(answer())
    try:
        for preview in _on_ray(tasks, jobs) if engine == "ray" else _on_this_machine(tasks, jobs):
            previews.append(preview)
            told(answer())
        save_json(to / "answer.json", answer())
    except BrokenProcessPool:
        raise NotDone("bulk.run.killed") from None
    except OSError as error:
        raise NotDone("bulk.not_written", folder=to, why=error.strerror or error) from error
    return answer()


def digest_of(question: Question, manifest: Manifest) -> str:
    """What tells one run from another: the question, the extract, and the code that answers."""
    asked = msgspec.json.encode([question, manifest.store, manifest.as_of, len(manifest.parts)])
    return hashlib.sha256(b"\x1e".join([asked, ENGINE_VERSION.encode(), _bulk_version()])).hexdigest()


@lru_cache
def _bulk_version() -> bytes:
    modules = sorted(entry.name for entry in files("safeweave.bulk").iterdir() if entry.name.endswith(".py"))
    return hashlib.sha256(b"".join(files("safeweave.bulk").joinpath(name).read_bytes() for name in modules)).digest()


@lru_cache(maxsize=64)
def changed_products(products: tuple[tuple[str, str], ...]) -> tuple[Product, ...]:
    """The changed products. Malformed if one of the files is."""
    return tuple(parse_product(text, name) for name, text in products)


def _note_question(to: Path, digest: str) -> None:
    """Says in a folder, before anything else is there, what its parts answer. OtherRun if that is something else."""
    to.mkdir(parents=True, exist_ok=True)
    try:
        noted = msgspec.json.decode((to / QUESTION).read_bytes(), type=Asked).question
    except FileNotFoundError:
        noted = "" if any(to.glob("part-*.json")) else digest
        if noted:
            save_json(to / QUESTION, Asked(digest))
    except msgspec.MsgspecError:
        noted = ""
    if noted != digest:
        raise OtherRun(to)


def _kept(to: Path, part: str) -> Preview | None:
    """The preview of a part that is done; None if it is not, or not whole."""
    try:
        return msgspec.json.decode((to / f"{part}.json").read_bytes(), type=Preview)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


# ---------------------------------------------------------------- where parts are decided


def _on_this_machine(tasks: Sequence[Task], jobs: int) -> Iterator[Preview]:
    if min(jobs, len(tasks)) <= 1:
        yield from map(decide_part, tasks)
        return
    with ProcessPoolExecutor(min(jobs, len(tasks)), mp_context=get_context("spawn")) as pool:
        running = {pool.submit(decide_part, task) for task in tasks}
        try:
            while running:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for one in finished:
                    yield one.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _on_ray(tasks: Sequence[Task], jobs: int) -> Iterator[Preview]:
    """One task a part, on the cluster that RAY_ADDRESS names, or on `jobs` cores here."""
    try:
        import ray
    except ModuleNotFoundError:
        raise NotDone("bulk.run.no_ray") from None
    quietly = {"ignore_reinit_error": True, "log_to_driver": False, "logging_level": logging.ERROR}
    here = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": jobs, "include_dashboard": False}
    options: dict[str, Any] = {**quietly, **here}
    ray.init(**options)
    try:
        decide = ray.remote(decide_part)
        running = [decide.remote(task) for task in tasks]
        while running:
            finished, running = ray.wait(running)
            yield from ray.get(finished)
    except ray.exceptions.RayError as error:
        raise NotDone("bulk.run.ray_failed", why=str(error).strip().splitlines()[-1]) from error
    finally:
        ray.shutdown()


# ---------------------------------------------------------------- one part


def decide_part(task: Task) -> Preview:
    """Decides one part again, keeps what came out beside the others, and returns its preview."""
    question, folder, to = task.question, Path(task.question.extract), Path(task.to)
    facts, before = Facts(read_facts(folder / task.part)), read_results(folder / task.part)
    asked = _asked(facts, question)
    products, product = _products(facts, folder, question)
    decided = decide_all(facts, products, product, stored=Stored(before, ~asked))
    changed = differing(decided.results, before) & asked
    preview = preview_of(facts, asked, before, decided.results, changed, decided.how)
    tables = {
        "claims": _claims_table(facts, before, decided.results, changed, decided.how).filter(pa.array(asked)),
        "lines": _lines_table(facts, decided.results, changed),
    }
    write_folder(to / task.part, tables)
    save_json(to / f"{task.part}.json", preview)
    return preview


def _asked(facts: Facts, question: Question) -> Bools:
    """The claims that were decided on the days that are asked about."""
    found: Bools = np.ones(facts.count, np.bool_)
    decided_at = facts.tables["claims"]["decided_at"]
    if question.from_day is not None:
        found &= pa.compute.greater_equal(decided_at, _beginning(question.from_day)).to_numpy()
    if question.until_day is not None:
        found &= pa.compute.less(decided_at, _beginning(question.until_day + timedelta(days=1))).to_numpy()
    return found


def _beginning(day: date) -> pa.Scalar:
    return pa.scalar(datetime.combine(day, time(), SHANGHAI), pa.timestamp("us", "UTC"))


def _products(facts: Facts, folder: Path, question: Question) -> tuple[list[Product], np.typing.NDArray[np.int32]]:
    """The products that decide, and which of them decides each claim: the changed one, else the one that did."""
    changed = {product.id: product for product in changed_products(question.products)}
    by_digest = [_product_in(folder / "products" / f"{digest}.toml") for digest in facts.product_digest.texts]
    decides = [changed.get(product.id, product) for product in by_digest]
    products = list({product.digest: product for product in decides}.values())
    place = {product.digest: at for at, product in enumerate(products)}
    return products, np.array([place[product.digest] for product in decides], np.int32)[facts.product_digest.at]


@lru_cache(maxsize=1_000)
def _product_in(path: Path) -> Product:
    return parse_product(path.read_text(encoding="utf-8"), path.name)


def _claims_table(
    facts: Facts, before: Results, after: Results, changed: Bools, how: np.typing.NDArray[np.int8]
) -> pa.Table:
    """One row a claim: what was decided, what would be, and how that was found out."""
    claims = facts.tables["claims"]
    columns = {name: claims[name] for name in ("determination", "case", "policy", "product")}
    for when, results in (("before", before), ("after", after)):
        columns[f"decision_{when}"] = _words(FINAL, results.claims["final"])
        columns[f"payable_{when}"] = pa.array(results.claims["released"])
        columns[f"in_force_{when}"] = pa.array(results.in_force())
    return pa.table({**columns, "changed": pa.array(changed), "decided_by": _words(HOW, how)})


def _lines_table(facts: Facts, after: Results, changed: Bools) -> pa.Table:
    """The lines of the claims that changed, as they would be determined, with every cut, its reason and its clause."""
    rows = after.line_rows(changed)
    clauses = pa.DictionaryArray.from_arrays(
        pa.array(rows.cuts["clause_text"]), pa.array(after.texts.texts, pa.string())
    )
    cuts = pa.StructArray.from_arrays(
        [_words(REASONS, rows.cuts["reason"]), pa.array(rows.cuts["amount"]), clauses], ["reason", "fen", "clause"]
    )
    bills = facts.tables["bills"].take(facts.bill_starts[rows.claim] + rows.lines["bill"])
    benefits = pa.DictionaryArray.from_arrays(pa.array(rows.benefit_text), pa.array(after.texts.texts, pa.string()))
    return pa.table(
        {
            "determination": facts.tables["claims"]["determination"].take(rows.claim),
            "benefit": benefits,
            "bill": pa.compute.binary_join_element_wise(bills["code"], bills["number"], "-"),
            "line": pa.array(rows.lines["no"]),
            "amount": pa.array(rows.lines["amount"]),
            "paid": pa.array(rows.lines["paid"]),
            "cuts": pa.ListArray.from_arrays(pa.array(rows.cut_starts.astype(np.int32)), cuts),
        }
    )


def _words(texts: Sequence[str], numbers: np.typing.NDArray[Any]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(numbers), pa.array(texts))
