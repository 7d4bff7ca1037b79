"""Known sources of data that speak for themselves but bring no policies: how `safeweave feed` reads and insures them.

One TOML file each; `recognised_by` is a text near the beginning of every message of that source.
"""

import tomllib
from datetime import date
from functools import cache
from importlib.resources import files

import msgspec

from safeweave.exchange.formats import Sender
from safeweave.facts import Fact

LOOKED_AT_BYTES = 65_536


class ProfileHospital(Fact):
    """The one institution that stands for all of a source."""

    code: str
    name: str
    name_en: str
    level: int
    public: bool


class ProfileCover(Fact):
    """The cover every patient of a source is given for the back-test."""

    product: str
    first_day: date
    last_day: date
    bank: str
    account: str  # the clearing account all payments of the back-test are booked to
    guardian: str  # the name under which the children of the data set have a guardian on file


class Profile(Fact):
    """One source of data."""

    recognised_by: str
    sender: Sender
    hospital: ProfileHospital
    cover: ProfileCover


@cache
def profiles() -> tuple[Profile, ...]:
    """All known sources."""
    found = [file for file in files(__name__).iterdir() if file.name.endswith(".toml")]
    return tuple(
        msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), Profile)
        for file in sorted(found, key=lambda file: file.name)
    )


def profile_of(raw: bytes) -> Profile | None:
    """The source a message comes from, if it is a known one."""
    beginning = raw[:LOOKED_AT_BYTES]
    return next((profile for profile in profiles() if profile.recognised_by.encode() in beginning), None)
