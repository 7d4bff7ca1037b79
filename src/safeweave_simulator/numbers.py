"""Numbers that pass their checks but belong to nobody: identity, organisation, bank (GB 11643, GB 32100, GB 11714)."""

from datetime import date

NOBODYS_AREA = "990000"  # GB/T 2260 assigns no area 99, so no living person has a number that begins with it

_RESIDENT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)


def resident_number(area: str, birth: date, sequence: int) -> str:
    """An 18-character number of GB 11643: area, birth day, three-digit sequence (odd is male), check character."""
    body = f"{area}{birth:%Y%m%d}{sequence:03d}"
    return body + "10X98765432"[sum(int(d) * w for d, w in zip(body, _RESIDENT_WEIGHTS, strict=True)) % 11]


def credit_code(authority: str, area: str, organisation: str) -> str:
    """An 18-character 统一社会信用代码 from the two leading characters, the area and eight organisation characters."""
    total = sum(int(c, 36) * w for c, w in zip(organisation, _ORGANISATION_WEIGHTS, strict=True))
    check = 11 - total % 11
    body = authority + area + organisation + {10: "X", 11: "0"}.get(check, str(check))
    weighted = sum(_USCC_ALPHABET.index(c) * pow(3, i, 31) for i, c in enumerate(body))
    return body + _USCC_ALPHABET[-weighted % 31]


def luhn_number(body: str) -> str:
    """The digits with their Luhn check digit added."""
    total = 0
    for index, digit in enumerate(reversed(body)):
        value = int(digit) * (2 if index % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return body + str(-total % 10)


def clearing_code(bank: int, area: int, branch: int) -> str:
    """A 12-digit 联行号 (CNAPS): bank class 3, area 4, branch 4, and a Luhn digit in the place of the check digit."""
    return luhn_number(f"{bank:03d}{area:04d}{branch:04d}")
