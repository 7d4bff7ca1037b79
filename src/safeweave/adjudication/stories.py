"""Stories run and compared, and the commands over them (FORMAT.md §7, §8)."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import msgspec

from safeweave.adjudication.determination import Determination
from safeweave.adjudication.steps import decide
from safeweave.adjudication.story_form import Story, parse_bulk_line, parse_story, told
from safeweave.coverage.form import utf8
from safeweave.coverage.product import Product, readable_products
from safeweave.errors import Malformed

AGREE, DIFFER, MALFORMED = 0, 1, 2  # exit codes

IDENTITY = ("benefit", "period", "bill", "no")


def run_story(story: Story) -> list[Determination]:
    """The determinations of a story's claims, in order of decision."""
    history = story.history
    determinations = []
    for claim in story.claims:
        determination = decide(story.product, story.cover, history, claim, story.overlays)
        determinations.append(determination)
        history = history.after(claim, determination)
    return determinations


def differences(stated: Sequence[Mapping[str, Any]], computed: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where a story's `[[then]]` and what came out do not agree; what is not stated is not compared."""
    if not stated:
        return []
    found = []
    if len(stated) != len(computed):
        found.append(f"states {len(stated)} determinations, {len(computed)} came out")
    for index, (wanted, got) in enumerate(zip(stated, computed, strict=False)):
        place = f"then[{index}] ({got['claim']})"
        for field, value in wanted.items():
            if field in ("benefits", "lines"):
                found += _row_differences(f"{place}.{field}", value, got[field])
            else:
                found += _difference(f"{place}.{field}", value, got.get(field))
    return found


def _difference(place: str, wanted: object, got: object) -> list[str]:
    return [] if wanted == got else [f"{place}: stated {_short(wanted)}, came out {_short(got)}"]


def _short(value: object) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)


def _row_differences(place: str, wanted: Sequence[Mapping[str, Any]], got: Sequence[Mapping[str, Any]]) -> list[str]:
    """Rows are found by what they state of their identity; a list stated empty must be empty."""
    if not wanted:
        return _difference(place, [], list(got))
    found = []
    for row in wanted:
        identity = {key: row[key] for key in IDENTITY if key in row}
        name = f"{place}[{', '.join(str(part) for part in identity.values())}]"
        candidates = [other for other in got if all(other.get(key) == part for key, part in identity.items())]
        if not candidates:
            found.append(f"{name}: stated, but did not come out")
            continue
        compared = [_field_differences(name, row, other) for other in candidates]
        closest, *_ = sorted(compared, key=len)
        found += closest
    return found


def _field_differences(name: str, row: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    found = []
    for field, value in row.items():
        if field == "cuts":
            found += _cut_differences(f"{name}.cuts", value, other.get("cuts", []))
        else:
            found += _difference(f"{name}.{field}", value, other.get(field))
    return found


def _cut_differences(place: str, wanted: Sequence[Mapping[str, Any]], got: Sequence[Mapping[str, Any]]) -> list[str]:
    as_stated = [
        {key: part for key, part in cut.items() if key in stated} for stated, cut in zip(wanted, got, strict=False)
    ]
    if len(wanted) == len(got) and as_stated == list(wanted):
        return []
    return _difference(place, list(wanted), list(got))


# --- commands ---


def stories_command(paths: Sequence[str], products: str | None, as_json: bool, out: TextIO, err: TextIO) -> int:
    """`safeweave stories`: runs the stories at `paths` and tells where they differ.

    Returns 0 if all agree, 1 if some differ, 2 if a file is malformed; the readable ones are run all the same.
    """
    shelves = _Shelves(products)
    faults: list[Malformed] = []
    rows: list[dict[str, Any]] = []
    for path in _story_files(paths, faults):
        try:
            story = parse_story(utf8(_content(path), str(path)), str(path), shelves.products_for(path))
        except Malformed as malformed:
            faults.append(malformed)
            continue
        then = [told(determination) for determination in run_story(story)]
        found = differences(story.then, then)
        rows.append({"path": str(path), "id": story.id, "agree": not found, "differences": found, "then": then})
    disagreeing = [row for row in rows if not row["agree"]]
    agreeing = len(rows) - len(disagreeing)
    if as_json:
        summary = {"agree": agreeing, "disagree": len(disagreeing), "stories": rows}
        out.write(msgspec.json.encode(summary).decode() + "\n")
    else:
        for row in disagreeing:
            out.write(f"{row['path']}: {row['id']} differs\n")
            for difference in row["differences"]:
                out.write(f"  {difference}\n")
        out.write(f"{agreeing} agree, {len(disagreeing)} differ\n")
    faults = [*shelves.faults, *faults]
    for fault in faults:
        err.write(f"{fault}\n")
    if faults:
        return MALFORMED
    return DIFFER if disagreeing else AGREE


class _Shelves:
    """The folders of products that stories need, each read once."""

    def __init__(self, folder: str | None) -> None:
        self.faults: list[Malformed] = []
        self._read: dict[Path, dict[str, Product]] = {}
        self._only = Path(folder) if folder is not None else None
        if self._only is not None:
            self._products_in(self._only)

    def products_for(self, story: Path) -> dict[str, Product]:
        """The products of the folder given, else of the nearest `products` in or above the story's."""
        if self._only is not None:
            return self._products_in(self._only)
        for folder in story.resolve().parents:
            if (folder / "products").is_dir():
                return self._products_in(folder / "products")
        return {}

    def _products_in(self, folder: Path) -> dict[str, Product]:
        if folder not in self._read:
            self._read[folder], faults = readable_products(folder)
            self.faults += faults
        return self._read[folder]


def _story_files(paths: Iterable[str], faults: list[Malformed]) -> list[Path]:
    """The stories at the paths, each once; those of a folder by name, without what lies below `products`."""
    files: dict[Path, None] = {}
    for text in paths:
        path = Path(text)
        if path.is_dir():
            below = (found for found in path.rglob("*.toml") if "products" not in found.relative_to(path).parts[:-1])
            files.update(dict.fromkeys(sorted(below)))
        elif path.exists():
            files[path] = None
        else:
            faults.append(Malformed("there is no such story or folder", file=text))
    return list(files)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Malformed(f"cannot be read: {error.strerror}", file=str(path)) from None


def adjudicate_command(products: str, stdin: BinaryIO, stdout: BinaryIO, err: TextIO) -> int:
    """`safeweave adjudicate`: one story a line in, its determinations out in the same order.

    Returns 0, or 2 at the first malformed line, after answering those before it.
    """
    shelf, faults = readable_products(products)
    if faults:
        for fault in faults:
            err.write(f"{fault}\n")
        return MALFORMED
    encode = msgspec.json.Encoder().encode
    try:
        for number, line in enumerate(stdin, start=1):
            story = parse_bulk_line(line, number, shelf)
            then = [told(determination) for determination in run_story(story)]
            stdout.write(encode({"id": story.id, "then": then}) + b"\n")
    except Malformed as fault:
        stdout.flush()
        err.write(f"{fault}\n")
        return MALFORMED
    stdout.flush()
    return AGREE


def products_check_command(folder: str, out: TextIO, err: TextIO) -> int:
    """`safeweave products check`: reads every product of a folder and tells every faulty file.

    Returns 0 if all can be read, else 2.
    """
    products, faults = readable_products(folder)
    for product in products.values():
        out.write(f"{product.id}: {product.name}, {product.digest[:12]}\n")
    for fault in faults:
        err.write(f"{fault}\n")
    return MALFORMED if faults else AGREE
