"""`safeweave hospitals`, `safeweave senders`: who treats, and who may tell us."""

import argparse
import csv
import json
import secrets
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from safeweave.cases import store
from safeweave.cases.store import HospitalRow
from safeweave.commands.screen import print_json, print_table
from safeweave.errors import Conflict, Malformed
from safeweave.exchange import senders
from safeweave.exchange.formats import Sender
from safeweave.node import open_node
from safeweave.settings import Settings
from safeweave.words import say

_PUBLIC = {
    "true": True, "1": True, "yes": True, "是": True, "false": False, "0": False, "no": False, "否": False, "": None,
}  # fmt: skip


def import_(settings: Settings, asked: argparse.Namespace) -> int:
    """Enter hospitals from CSV or JSONL."""
    node = open_node(settings)
    rows = list(read_hospitals(asked.path))
    with node.database.transaction() as tx:
        store.save_hospitals(tx, rows)
    print(say("cli.hospitals.import.done", settings.language, count=len(rows)))
    return 0


def read_hospitals(path: Path) -> Iterable[HospitalRow]:
    """Hospitals from a file: code, name, name_en, level, public, region, from_day. Malformed names line and field."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise Malformed("the file is not UTF-8; save it as UTF-8", file=str(path), line=line) from None
    if path.suffix == ".csv":
        entries = [(n, row) for n, row in enumerate(csv.DictReader(text.splitlines()), start=2)]
    else:
        entries = [(n, _object(line, path, n)) for n, line in enumerate(text.splitlines(), start=1) if line.strip()]
    for line, entry in entries:
        code = str(entry.get("code") or "")
        if not code:
            what = "a hospital needs its institution code, such as H33020000001"
            raise Malformed(what, file=str(path), line=line, field="code")
        level = entry.get("level")
        if level not in (None, "") and str(level) not in ("0", "1", "2", "3"):
            raise Malformed(f'level is 0, 1, 2 or 3, not "{level}"', file=str(path), line=line, field="level")
        public = str(entry.get("public") if entry.get("public") is not None else "").strip().lower()
        if public not in _PUBLIC:
            what = f'public is true or false, not "{public}"; leave it empty if it is not known'
            raise Malformed(what, file=str(path), line=line, field="public")
        first_day = str(entry.get("from_day") or "1900-01-01")
        try:
            from_day = date.fromisoformat(first_day)
        except ValueError:
            what = f'"{first_day}" is not a day; write it like 2026-03-06'
            raise Malformed(what, file=str(path), line=line, field="from_day") from None
        yield HospitalRow(
            code,
            str(entry.get("name") or code),
            str(entry.get("name_en") or entry.get("name") or code),
            None if level in (None, "") else int(level),
            _PUBLIC[public],
            str(entry.get("region") or "") or None,
            from_day,
        )


def _object(line: str, path: Path, number: int) -> dict[str, object]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise Malformed(
            f"not a JSON object ({error.msg}); write one object a line", file=str(path), line=number
        ) from None
    if not isinstance(value, dict):
        raise Malformed("not a JSON object; write one object a line", file=str(path), line=number)
    return value


def list_(settings: Settings, asked: argparse.Namespace) -> int:
    """The registry of hospitals as it holds today."""
    node = open_node(settings)
    with node.database.reading() as tx:
        rows = store.every_hospital(tx)
    if asked.json:
        print_json([{name: getattr(row, name) for name in row.__struct_fields__} for row in rows])
        return 0
    lang = settings.language
    public = {None: None, True: say("cli.hospitals.yes", lang), False: say("cli.hospitals.no", lang)}
    print_table(
        lang,
        ["columns.code", "columns.name", "columns.level", "columns.public", "columns.region", "columns.since"],
        [
            (r.code, r.name if lang == "zh" else r.name_en, r.level, public[r.public], r.region, r.from_day)
            for r in rows
        ],
        "cli.hospitals.none",
    )
    return 0


def add_sender(settings: Settings, asked: argparse.Namespace) -> int:
    """Register a sender and print the bearer token it will show, once; Malformed or Conflict if it cannot be told."""
    lang = settings.language
    if not senders.ID.fullmatch(asked.id) or asked.id == senders.UNKNOWN:
        raise Malformed(say("cli.senders.add.bad_id", lang, id=asked.id), field="id")
    node = open_node(settings)
    token = secrets.token_urlsafe(32)
    sender = Sender(
        id=asked.id, hospital=asked.hospital, hl7_application=asked.application, hl7_facility=asked.facility
    )
    with node.database.transaction() as tx:
        other = senders.speaking_alike(senders.every(tx).values(), sender)
        if other is not None:
            raise Conflict(say("cli.senders.add.alike", lang, facility=sender.hl7_facility, other=other.id))
        senders.save(tx, [(sender, token)])
    print(say("cli.senders.add.done", lang, id=asked.id, token=token))
    return 0


def list_senders(settings: Settings, asked: argparse.Namespace) -> int:
    """Who may send."""
    with open_node(settings).database.reading() as tx:
        known = senders.every(tx)
    if asked.json:
        print_json([{"id": s.id, "hospital": s.hospital, "facility": s.hl7_facility} for s in known.values()])
        return 0
    print_table(
        settings.language,
        ["columns.sender", "columns.hospital", "columns.facility"],
        [(s.id, s.hospital, s.hl7_facility) for s in known.values()],
        "cli.senders.none",
    )
    return 0
