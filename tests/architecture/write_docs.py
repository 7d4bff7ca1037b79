"""Writes the parts of the documentation that the code already says: `make docs`.

Whole pages are overwritten; in pages written by hand only what stands between `<!-- made:NAME -->` and `<!-- /made -->`
is. `test_made_pages.py` holds each page equal to what is made here.
"""

import argparse
import inspect
import re
import runpy
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from safeweave import database, events, settings
from safeweave.adjudication import Adjudicator, DecidingAgain
from safeweave.cases.lifecycle import HAPPENINGS, STAGES, picture
from safeweave.consortium.insuring import InsurerDesk
from safeweave.events import Charge, Diagnosis, Event, HospitalEvent, Identifier, PersonSeen
from safeweave.flow import flow
from safeweave.main import COMMANDS, Command
from safeweave.payments import BankDesk
from safeweave.settings import Settings
from safeweave.telling import Post
from safeweave.telling.reasons import reference as reason_codes
from safeweave.web.notices.subscribers import Subscribers
from safeweave.words import knows, say
from safeweave.worker import Follows, Outside

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
MADE = re.compile(r"(<!-- made:(\w+) -->\n).*?(<!-- /made -->)", re.S)
NOTE = "<!-- Made from the code by `make docs`; change it there. -->"


# ---------------------------------------------------------------- the flow


def follows() -> Follows:
    """The flow of a node that has neither products nor banks: only its table is looked at."""
    bills = object.__new__(InsurerDesk)  # its handlers are named, not run
    adjudicator = Adjudicator([])
    desk = BankDesk({}, lambda tx, keys: {})
    post, subscribers = Post.from_settings(Settings()), object.__new__(Subscribers)
    return flow(adjudicator, desk, post, DecidingAgain(adjudicator), bills, subscribers)


def flow_table() -> str:
    """What follows each event, in order, in the words of the handlers themselves."""
    lines = ["| when this is told | this is done, in this order |", "|---|---|"]
    for event, handlers in follows().items():
        told = "<br>".join(f"{number}. {_done(handler)}" for number, handler in enumerate(handlers, start=1))
        lines.append(f"| `{event.__name__}`: {_first_sentence(event)} | {told} |")
    return "\n".join(lines) + "\n"


def _done(handler: Any) -> str:
    handler = getattr(handler, "func", handler)
    if isinstance(handler, Outside):
        return f"`{_name_of(handler.call)}` (calls out, lane `{handler.lane}`): {_first_sentence(handler.call)}"
    return f"`{_name_of(handler)}`: {_first_sentence(handler)}"


def _name_of(handler: Any) -> str:
    handler = getattr(handler, "func", handler)  # of what was given something in advance
    package = handler.__module__.split(".")[1]
    owner = getattr(handler, "__self__", None)
    middle = f"{type(owner).__name__}." if owner is not None else ""
    return f"{package}.{middle}{handler.__name__}"


def _first_sentence(thing: Any) -> str:
    return _cell((inspect.getdoc(thing) or "").split("\n\n")[0])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# ---------------------------------------------------------------- the life cycle of a case


def case_picture() -> str:
    """The life cycle as a diagram, and its words."""
    lines = ["```mermaid", picture().rstrip(), "```", "", "| stage | 中文 | English |", "|---|---|---|"]
    lines += [f"| `{stage}` | {_both(f'stages.{stage}')} |" for stage in STAGES]
    lines += ["", "| what happens | 中文 | English |", "|---|---|---|"]
    lines += [f"| `{happening}` | {_both(f'happenings.{happening}')} |" for happening in HAPPENINGS]
    return "\n".join(lines) + "\n"


def _both(key: str) -> str:
    return f"{_cell(say(key, 'zh'))} | {_cell(say(key, 'en'))}"


# ---------------------------------------------------------------- commands


def commands_page() -> str:
    """Every command with its arguments, in both languages."""
    lines = [
        "# Commands / 命令", "", NOTE, "",
        "`safeweave [--home FOLDER] [--language zh|en] COMMAND`; these two come before the command. "
        "Exit code 0: done, 1: it did not go well, 2: asked wrongly.",
        "", "`--home` 与 `--language` 写在命令之前。退出码：0 完成，1 未成，2 用法有误。", "",
        "| | 中文 | English |", "|---|---|---|",
        *(f"| `--{name}` | {_both(f'cli.{name}')} |" for name in ("home", "language")),
    ]  # fmt: skip
    for command in COMMANDS:
        key = f"cli.{command.name.replace(' ', '.')}"
        lines += ["", f"## {command.name}", "", f"`{_usage(command)}`", ""]
        lines += [f"- {say(f'{key}.about', 'zh')}", f"- {say(f'{key}.about', 'en')}"]
        if command.options:
            lines += ["", "| | 中文 | English |", "|---|---|---|"]
            lines += [
                f"| `{names[-1]}`{_default(d)} | {_both(help_key(command, names))} |" for names, d in command.options
            ]
    return "\n".join(lines) + "\n"


def help_key(command: Command, names: Sequence[str]) -> str:
    """The catalogue's entry for an argument, as `main.parser` looks it up."""
    plain = names[-1].lstrip("-").replace("-", "_")
    own = f"cli.{command.name.replace(' ', '.')}.{plain}"
    return own if knows(own) else f"cli.option.{plain}"


def _usage(command: Command) -> str:
    words = ["safeweave", command.name]
    if command.one_of:
        chosen = [_argument(*given) for given in command.options if given[0][-1] in command.one_of]
        words.append(f"({' | '.join(chosen)})")
    for names, details in command.options:
        if names[-1] in command.one_of:
            continue
        word = _argument(names, details)
        needed = details.get("required") if names[-1].startswith("-") else details.get("nargs") != "?"
        words.append(word if needed else f"[{word}]")
    return " ".join(words)


def _argument(names: Sequence[str], details: dict[str, Any]) -> str:
    """An argument with its value, as one types it."""
    name = names[-1]
    more = " ..." if details.get("nargs") == "+" else ""
    if not name.startswith("-"):
        return name.upper() + more
    if details.get("action", "").startswith("store_"):
        return name
    value = "|".join(details["choices"]) if "choices" in details else name.lstrip("-").replace("-", "_").upper()
    return f"{name} {value}{more}"


def _default(details: dict[str, Any]) -> str:
    default = details.get("default")
    return f" ({default})" if default not in (None, []) else ""


# ---------------------------------------------------------------- settings


def settings_page() -> str:
    """Every environment variable with its default and the comment beside it."""
    comments = setting_comments()
    lines = [
        "# Settings", "", NOTE, "",
        "All are environment variables, read once when a command starts; each has a default that needs no server.",
        "", "| variable | default | meaning |", "|---|---|---|",
    ]  # fmt: skip
    for name, field in Settings.__dataclass_fields__.items():
        default = "" if name == "language" or field.default in (None, "") else f"`{_set_as(field.default)}`"
        lines.append(f"| `SAFEWEAVE_{name.upper()}` | {default} | {_cell(comments[name])} |")
    return "\n".join(lines) + "\n"


def _set_as(default: object) -> object:
    """The default as one would set it: a switch is 0 or 1."""
    return int(default) if isinstance(default, bool) else default


def setting_comments() -> dict[str, str]:
    """The comment beside each field of `Settings`; "" where there is none."""
    source = inspect.getsource(settings.Settings)
    found = dict.fromkeys(Settings.__dataclass_fields__, "")
    for line in source.splitlines():
        field = re.match(r"    (\w+): .*?(?:  # (.*))?$", line)
        if field and field[1] in found:
            found[field[1]] = field[2] or ""
    return found


# ---------------------------------------------------------------- events


def events_page() -> str:
    """Every event with its fields, in the order of the story."""
    lines = ["# Events", "", NOTE, "", *(inspect.getdoc(events) or "").splitlines()]
    lines += ["", "## What the events below are made of"]
    for value in (Identifier, PersonSeen, Diagnosis, Charge):
        lines += ["", f"### {value.__name__}", *_described(value, ())]
    lines += ["", "## What hospitals tell", *_described(HospitalEvent, ())]
    inside = False
    handled = follows()
    for kind in told_events():
        from_hospital = issubclass(kind, HospitalEvent)
        if not from_hospital and not inside:
            lines += ["", "## What follows inside"]
            inside = True
        lines += ["", f"### {kind.__name__}", *_described(kind, _COMMON if from_hospital else ())]
        handlers = [f"`{_name_of(h.call if isinstance(h, Outside) else h)}`" for h in handled.get(kind, ())]
        if handlers:
            lines += ["", "Followed by " + ", ".join(handlers) + "."]
    return "\n".join(lines) + "\n"


_COMMON = HospitalEvent.__struct_fields__


def _described(kind: type[msgspec.Struct], without: Sequence[str]) -> Iterator[str]:
    yield ""
    yield from (inspect.getdoc(kind) or "").splitlines()
    fields = list(_fields(kind, without))
    if fields:
        yield from ("", "| field | type | default |", "|---|---|---|", *fields)


def told_events() -> list[type[Event]]:
    """The events in the order of `events.py`."""
    kinds = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)]
    return [kind for kind in kinds if kind not in (Event, HospitalEvent)]


def _fields(kind: type[msgspec.Struct], without: Sequence[str]) -> Iterator[str]:
    hints = get_type_hints(kind)
    for field in msgspec.structs.fields(kind):
        if field.name in without:
            continue
        default = "" if field.required else f"`{field.default!r}`"
        yield f"| `{field.name}` | {_type_name(hints[field.name])} | {default} |"


def _type_name(hint: Any) -> str:
    if hint is Ellipsis:
        return "..."
    if hint is NoneType:
        return "none"
    arguments = get_args(hint)
    origin = get_origin(hint)
    if origin is tuple:
        return f"list of {_type_name(arguments[0])}"
    if arguments and all(isinstance(argument, str) for argument in arguments):
        return " ".join(f"`{argument}`" if argument else '`""`' for argument in arguments)
    if arguments:
        return " or ".join(_type_name(argument) for argument in arguments)
    return str(getattr(hint, "__name__", hint))


# ---------------------------------------------------------------- schema


def schema_page() -> str:
    """Every table, as the packages keep them."""
    lines = [
        "# Schema", "", NOTE, "",
        "The embedded store is one SQLite file. Each package keeps its own tables and is alone in opening them.",
        "Amounts are whole fen; instants are UTC text that sorts; days are `YYYY-MM-DD`.",
    ]  # fmt: skip
    for package in database.PACKAGES_WITH_TABLES:
        tables = files(package).joinpath("tables.sql")
        if tables.is_file():
            lines += ["", f"## {package.removeprefix('safeweave.')}", "", "```sql"]
            lines += [*tables.read_text(encoding="utf-8").rstrip().splitlines(), "```"]
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------- sizing


def sizing_page() -> str:
    """What so many claims need, as the operators' own script computes it."""
    return str(runpy.run_path(str(ROOT / "deploy/sizing.py"))["page"]())


# ---------------------------------------------------------------- writing

PAGES: dict[str, Callable[[], str]] = {
    "reference/commands.md": commands_page,
    "reference/settings.md": settings_page,
    "reference/events.md": events_page,
    "reference/schema.md": schema_page,
    "reference/reasons.md": reason_codes,
    "reference/sizing.md": sizing_page,
}
PARTS: dict[str, tuple[str, Callable[[], str]]] = {  # by page: the name of the part, and what makes it
    "concepts/flow.md": ("flow", flow_table),
    "concepts/case.md": ("case", case_picture),
}


def with_parts(text: str, name: str, part: str) -> str:
    """The page with its made part written anew; ValueError if it has no such part."""
    if name not in [found[1] for found in MADE.findall(text)]:
        raise ValueError(f"the page has no part <!-- made:{name} -->")
    return MADE.sub(lambda found: f"{found[1]}{part}{found[3]}" if found[2] == name else found[0], text)


def made_pages() -> dict[Path, str]:
    """Every page as it should be."""
    pages = {DOCS / name: make() for name, make in PAGES.items()}
    for name, (part, make) in PARTS.items():
        path = DOCS / name
        pages[path] = with_parts(path.read_text(encoding="utf-8"), part, make())
    return pages


def main() -> None:
    """Write what differs, and say which."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    for path, text in made_pages().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
