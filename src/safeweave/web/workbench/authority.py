"""How much somebody in a role decides alone, and which skill a reason asks for: both are data. Pure."""

import tomllib
from collections.abc import Collection, Mapping
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

from safeweave.money import fen_of

Kind = Literal["pay", "adjust", "refuse"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ANY = "any"
GENERAL = "general"


@cache
def limits() -> Mapping[str, Mapping[str, int | None]]:
    """Role to kind of decision to the most it decides alone, in fen; None: without a limit.

    Raises ValueError for a row that names another kind, or leaves one out.
    """
    found: dict[str, dict[str, int | None]] = {}
    for role, row in _read("authority.toml").items():
        if set(row) != set(KINDS):
            raise ValueError(f"authority.toml: [{role}] must have {', '.join(KINDS)}")
        found[role] = {kind: None if text == ANY else fen_of(text) for kind, text in row.items()}
    return found


def may_alone(role: str, kind: Kind, amount: int) -> bool:
    """Whether a role decides this amount alone; a role without a row decides nothing."""
    if role not in limits():
        return False
    limit = limits()[role][kind]
    return limit is None or amount <= limit


@cache
def skills() -> Mapping[str, str]:
    """Reason code to the skill that clears it."""
    return {code: skill for skill, codes in _read("skills.toml").items() for code in codes}


def skills_for(reasons: Collection[str]) -> tuple[str, ...]:
    """The skills that these reasons ask for, sorted."""
    return tuple(sorted({skills().get(code, GENERAL) for code in reasons})) or (GENERAL,)


@cache
def every_skill() -> tuple[str, ...]:
    """All skills, as they stand in the file."""
    return (*_read("skills.toml"), GENERAL)


def _read(name: str) -> dict[str, dict[str, str]]:
    return tomllib.loads(files(__package__).joinpath(name).read_text(encoding="utf-8"))
