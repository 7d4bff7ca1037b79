"""Reading files of format 1 strictly: what a key may hold, and on which line a fault stands (FORMAT.md §1).

A `Table` says which keys a table has and how each value is read; whatever it does not name is refused. A fault
travels outwards as `Fault`, gathers its path on the way, and becomes `Malformed` with file and line at the edge.
"""

import re
import tomllib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from functools import lru_cache
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

from safeweave.errors import Malformed
from safeweave.money import Fen, Rate, fen_of, rate_of

T = TypeVar("T")
Reader = Callable[[Any], T]
Step = str | int  # a key of a table, or a place in a list
Path = tuple[Step, ...]

LARGEST_INTEGER = 2**53 - 1  # what every JSON reader keeps exactly

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_AT_LINE = re.compile(r"\(at line (\d+), column \d+\)")
_WORDS = {dict: "a table", list: "a list", str: "a text", bool: "true or false", int: "a whole number"}


class Fault(Exception):
    """A value that cannot be read; `path` says where in the document, `what` what to write instead."""

    def __init__(self, what: str, path: Path = ()) -> None:
        super().__init__(what)
        self.what, self.path = what, path

    def inside(self, step: Step) -> "Fault":
        """The same fault, seen from one level further out."""
        self.path = (step, *self.path)
        return self


def shown(path: Iterable[Step]) -> str:
    """A path as people read it: "bill[0].line[3].amount"."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _refuse(value: object, wanted: str) -> NoReturn:
    got = f'"{value[:40]}"' if isinstance(value, str) else _WORDS.get(type(value), f"a {type(value).__name__}")
    raise Fault(f"this is {got}; write {wanted}")


def text(value: object) -> str:
    """A text."""
    if type(value) is not str:
        _refuse(value, 'a text in quotes, such as "c1"')
    return value


def boolean(value: object) -> bool:
    """true or false."""
    if value is True or value is False:
        return value
    _refuse(value, "true or false, without quotes")


def integer(value: object) -> int:
    """A whole number; true and 1.0 are none."""
    if type(value) is not int:
        _refuse(value, "a whole number without quotes, such as 3")
    if not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
        raise Fault(f"this whole number is too large; write one from {-LARGEST_INTEGER} to {LARGEST_INTEGER}")
    return value


def count(value: object) -> int:
    """A whole number, 0 or more."""
    number = integer(value)
    if number < 0:
        raise Fault(f"{number} is below 0; write how many, 0 or more")
    return number


def money(value: object) -> Fen:
    """An amount in yuan, as whole fen."""
    if type(value) is not str:
        _refuse(value, 'yuan in quotes with two decimals, such as "1234.50"')
    try:
        return _fen_in(value)
    except ValueError as error:
        raise Fault(str(error)) from None


_fen_in = lru_cache(maxsize=65_536)(fen_of)  # many amounts come again and again, first of all 0.00


def money_not_below_zero(value: object) -> Fen:
    """A promised amount in yuan, as whole fen."""
    fen = money(value)
    if fen < 0:
        raise Fault(f'"{value}" is below 0; a product states amounts of "0.00" or more')
    return fen


def rate(value: object) -> Rate:
    """A share, in basis points."""
    if type(value) is not str:
        _refuse(value, 'a share in quotes from "0" to "1", such as "0.85"')
    try:
        return rate_of(value)
    except ValueError as error:
        raise Fault(str(error)) from None


def day(value: object) -> date:
    """A day, as a TOML local date or a text "YYYY-MM-DD"."""
    if type(value) is date:
        return value
    if type(value) is str:
        return _day_in(value)
    _refuse(value, _A_DAY)


_A_DAY = 'a day, such as 2025-02-28 (in JSON "2025-02-28")'


@lru_cache(maxsize=32_768)  # a few thousand days stand in millions of claims
def _day_in(text: str) -> date:
    if not _DAY.fullmatch(text):
        _refuse(text, _A_DAY)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Fault(f'"{text}" is no day of the calendar; write a real day, such as "2025-02-28"') from None


def one_of(*words: str) -> Reader[Any]:
    """A reader of one word of a closed list."""
    known = {word: word for word in words}

    def read(value: object) -> str:
        if type(value) is str and value in known:
            return value
        _refuse(value, "one of " + ", ".join(f'"{word}"' for word in words))

    return read


def listed(read: Reader[T]) -> Reader[tuple[T, ...]]:
    """A reader of a list, whatever one of its entries is."""

    def read_list(value: object) -> tuple[T, ...]:
        if type(value) is not list:
            _refuse(value, "a list in [ ]")
        entries: list[T] = []
        try:
            for item in value:
                entries.append(read(item))
        except Fault as fault:
            raise fault.inside(len(entries)) from None
        return tuple(entries)

    return read_list


def mapped(read: Reader[T]) -> Reader[dict[str, T]]:
    """A reader of a table whose keys are free and whose values are all of one form."""

    def read_mapping(value: object) -> dict[str, T]:
        if type(value) is not dict:
            _refuse(value, "a table in { }")
        entries: dict[str, T] = {}
        for key, item in value.items():
            try:
                entries[key] = read(item)
            except Fault as fault:
                raise fault.inside(key) from None
        return entries

    return read_mapping


class Key(NamedTuple):
    """One key of a table: how its value is read, under which name it is handed on, and whether it may be missing."""

    read: Reader[Any]
    name: str
    optional: bool = False


class Table(Generic[T]):
    """A reader of a table with closed keys. `make` gets what the keys hold, by their names."""

    def __init__(self, make: Callable[..., T], keys: Mapping[str, Key]) -> None:
        self._make = make
        self._reads = {key: (found.read, found.name) for key, found in keys.items()}
        self._required = frozenset(key for key, found in keys.items() if not found.optional)

    def __call__(self, value: object) -> T:
        if type(value) is not dict:
            _refuse(value, "a table")
        reads, found = self._reads, {}
        key = ""
        try:
            for key, item in value.items():
                known = reads.get(key)
                if known is None:
                    raise Fault(f"unknown key; known here are {', '.join(reads)}")
                read, name = known
                found[name] = read(item)
        except Fault as fault:
            raise fault.inside(key) from None
        if not self._required <= value.keys():
            missing = [key for key in reads if key in self._required and key not in value]
            raise Fault("missing " + ", ".join(f'"{key}"' for key in missing))
        return self._make(**found)


def required(read: Reader[Any], name: str) -> Key:
    """A key that must be there."""
    return Key(read, name)


def optional(read: Reader[Any], name: str) -> Key:
    """A key that may be missing; `make` then uses its own default."""
    return Key(read, name, optional=True)


def format_one(value: object) -> int:
    """The `format = 1` that opens every file."""
    if type(value) is not int or value != 1:
        _refuse(value, "1, the only format there is")
    return value


# --- TOML documents and their lines ---


def utf8(content: bytes, file: str) -> str:
    """The text of a file. Raises Malformed, with the line, if it is not UTF-8."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Malformed("this is not UTF-8; save the file as UTF-8", file=file, line=line) from None


def toml_document(text: str, file: str) -> dict[str, Any]:
    """The document a TOML text holds. Raises Malformed, with the line, if it is not TOML."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise Malformed("nested too deeply", file=file) from None
    except ValueError as error:
        found = _AT_LINE.search(str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        raise Malformed(f"not TOML: {_AT_LINE.sub('', str(error)).strip()}", file=file, line=line) from None


def located(fault: Fault, toml: str, file: str) -> Malformed:
    """The fault with its file and line."""
    return Malformed(fault.what, file=file, line=line_of(fault.path, toml), field=shown(fault.path))


def line_of(path: Path, toml: str) -> int:
    """The line on which a path stands in a TOML text, or the nearest table around it; 1 if nothing is known."""
    places = _Places(toml).lines
    for length in range(len(path), 0, -1):
        if path[:length] in places:
            return places[path[:length]]
    return 1


class _Places:
    """The line of every table, key and list entry of a TOML text, which `tomllib` has accepted before."""

    def __init__(self, toml: str) -> None:
        self._toml = toml
        self._at = 0
        self._breaks = [index for index, char in enumerate(toml) if char == "\n"]
        self._length: dict[Path, int] = {}  # of the lists of tables
        self.lines: dict[Path, int] = {}
        self._document()

    def _document(self) -> None:
        base: Path = ()
        while self._skip(" \t\r\n"):
            if self._toml.startswith("[[", self._at):
                base = self._header(2)
                index = self._length.get(base, 0)
                self._length[base] = index + 1
                self.lines.setdefault(base, self._line())
                base = (*base, index)
                self.lines[base] = self._line()
            elif self._toml[self._at] == "[":
                base = self._header(1)
                self.lines[base] = self._line()
            else:
                self._pair(base)

    def _line(self) -> int:
        return bisect_right(self._breaks, self._at - 1) + 1

    def _skip(self, blanks: str) -> bool:
        """Steps over blanks and comments; False at the end."""
        toml = self._toml
        while self._at < len(toml):
            if toml[self._at] == "#":
                end = toml.find("\n", self._at)
                self._at = len(toml) if end < 0 else end
            elif toml[self._at] in blanks:
                self._at += 1
            else:
                return True
        return False

    def _header(self, brackets: int) -> Path:
        self._at += brackets
        path: Path = ()
        for key in self._keys("]"):
            path = (*path, key)
            if brackets == 1 or path in self._length:
                path = self._latest(path)
        self._at += brackets
        if brackets == 2 and isinstance(path[-1], int):
            path = path[:-1]
        return path

    def _latest(self, path: Path) -> Path:
        return (*path, self._length[path] - 1) if path in self._length else path

    def _keys(self, end: str) -> list[str]:
        keys = []
        while True:
            self._skip(" \t")
            if self._toml[self._at] in "\"'":
                start = self._at
                self._string()
                keys.append(next(iter(tomllib.loads(self._toml[start : self._at] + " = 0"))))
            else:
                start = self._at
                while self._toml[self._at] not in " \t.=]":
                    self._at += 1
                keys.append(self._toml[start : self._at])
            self._skip(" \t")
            if self._toml[self._at] == end:
                return keys
            self._at += 1

    def _pair(self, base: Path) -> None:
        line = self._line()
        for key in self._keys("="):
            base = (*base, key)
            self.lines.setdefault(base, line)
        self._at += 1
        self._value(base)

    def _value(self, path: Path) -> None:
        self._skip(" \t")
        char = self._toml[self._at]
        if char in "\"'":
            self._string()
        elif char == "[":
            self._at += 1
            index = 0
            while self._skip(" \t\r\n,") and self._toml[self._at] != "]":
                self.lines[(*path, index)] = self._line()
                self._value((*path, index))
                index += 1
            self._at += 1
        elif char == "{":
            self._at += 1
            while self._skip(" \t\r\n,") and self._toml[self._at] != "}":
                self._pair(path)
            self._at += 1
        else:
            while self._at < len(self._toml) and self._toml[self._at] not in ",]}\n#":
                self._at += 1

    def _string(self) -> None:
        toml, quote = self._toml, self._toml[self._at]
        long = toml.startswith(quote * 3, self._at)
        closing = quote * 3 if long else quote
        self._at += len(closing)
        while not toml.startswith(closing, self._at):
            self._at += 2 if quote == '"' and toml[self._at] == "\\" else 1
        self._at += len(closing)
        while long and self._at < len(toml) and toml[self._at] == quote:  # quotes may stand before the closing three
            self._at += 1
