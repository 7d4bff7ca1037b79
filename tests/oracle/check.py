"""Compares the reference with stories that state their result: `python tests/oracle/check.py PRODUCTS STORIES...`.

Every field a story states must agree exactly; `benefits` and `lines` rows must all be stated if any is.
"""

import json
import sys
import tomllib
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from oracle import reference


def plain(value):
    """A parsed file with its days as strings."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def read(path):
    return plain(tomllib.loads(path.read_text(encoding="utf-8")))


def read_products(folder):
    products = [read(path) for path in sorted(Path(folder).glob("*.toml"))]
    return {product["product"]: product for product in products}


def differences(stated, computed):
    """Sentences on what a stated result and the computed one disagree about."""
    if len(stated) != len(computed):
        return [f"{len(stated)} determinations stated, {len(computed)} computed"]
    return [
        f"{then.get('claim')}: {key}: stated {json.dumps(value, ensure_ascii=False)}"
        f" computed {json.dumps(now.get(key), ensure_ascii=False)}"
        for then, now in zip(stated, computed, strict=True)
        for key, value in then.items()
        if now.get(key) != value
    ]


def main(arguments):
    products = read_products(arguments[0])
    paths = [
        path
        for argument in map(Path, arguments[1:])
        for path in (sorted(argument.rglob("*.toml")) if argument.is_dir() else [argument])
    ]
    differing = 0
    for path in paths:
        story = read(path)
        found = differences(story.get("then", []), reference.adjudicate(story, products)) if "then" in story else []
        differing += bool(found)
        for sentence in found:
            print(f"{path.name}: {sentence}")
    print(f"{len(paths) - differing} agree, {differing} differ")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
