"""Invented people of the city: who they are, what 医保 gives them and which policies they hold.

Numbers lie in the unassigned area 990000 or use unassigned digits, so they belong to nobody alive.
"""

from datetime import date, timedelta
from random import Random
from typing import Literal

import msgspec

from safeweave_simulator.numbers import NOBODYS_AREA, clearing_code, luhn_number, resident_number

Sex = Literal["F", "M"]
DocumentKind = Literal["resident_id", "hmt_residence_permit", "foreign_permanent_resident", "passport"]


class Document(msgspec.Struct, frozen=True):
    """An identity document; `country` is the issuing country (ISO 3166 alpha-3) of a passport."""

    kind: DocumentKind
    number: str
    country: str = "CHN"


class Account(msgspec.Struct, frozen=True):
    """A bank account in the name of its holder."""

    holder: str
    number: str
    bank_code: str  # 联行号
    bank_name: str


class Guardian(msgspec.Struct, frozen=True):
    """The adult who acts for a minor."""

    name: str
    document: Document
    account: Account


class Period(msgspec.Struct, frozen=True):
    """One policy year, both days included, and the first day of unbroken cover."""

    first_day: date
    last_day: date
    since: date


class Policy(msgspec.Struct, frozen=True):
    """One policy on one sample product."""

    number: str
    product: str
    periods: tuple[Period, ...]
    beneficiary: str = ""

    def covers(self, day: date) -> bool:
        """Whether a period holds the day."""
        return any(period.first_day <= day <= period.last_day for period in self.periods)


class Person(msgspec.Struct, frozen=True):
    """One inhabitant. `social` is the 医保 scheme: 310 职工, 390 城乡居民, "" not enrolled."""

    no: int
    name: str
    sex: Sex
    birth: date
    documents: tuple[Document, ...]
    social: Literal["310", "390", ""]
    social_number: str
    civil_servant: bool
    account_balance: int  # 个人账户, fen
    phone: str
    payee: Account
    guardian: Guardian | None
    policies: tuple[Policy, ...]

    def age_on(self, day: date) -> int:
        """Full years on that day."""
        return day.year - self.birth.year - ((day.month, day.day) < (self.birth.month, self.birth.day))


# Shares of people and of their policies, in one table.
PEOPLE = {
    "child": 0.12,
    "child_without_guardian": 0.08,  # of the children
    "foreigner": 0.02,
    "from_hong_kong_macau_taiwan": 0.02,
    "not_enrolled": 0.08,
    "employee_scheme": 0.65,  # of the enrolled adults
    "civil_servant": 0.08,  # of the employees
    "rare_name": 0.03,
    "named_beneficiary": 0.15,
    "new_policy": 0.05,  # begun shortly before the simulated days, so its waiting period may not be over
    "renewal_in_sight": 0.06,  # a policy year ends inside the simulated days and the next one follows
    "ending": 0.02,  # a policy ends inside the simulated days
}

# How likely a person holds each product, and the first day its terms can begin.
PRODUCTS = {
    "hospital-expense-2020": (0.65, date(2020, 1, 1)),
    "million-medical-2025": (0.35, date(2025, 1, 1)),
    "daily-allowance-2022": (0.22, date(2022, 1, 1)),
    "accident-medical-2021": (0.08, date(2021, 1, 1)),
}

_SURNAMES = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾"
    "彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田任姜"
)
_DOUBLE_SURNAMES = ("欧阳", "上官", "司徒", "诸葛")
_GIVEN = "安若予清沐云知夏南乔景行星河书言牧之亦初听雨晚舟怀瑾望舒采薇子衿嘉禾攸宁时雍修远砚池疏影"
_RARE_GIVEN = ("䶮", "喆", "龑", "堃", "㛃", "𠮷", "𬸣", "犇")
_FOREIGN = (
    ("ALEX EXAMPLE", "GBR", "826"),
    ("MARIE-CLAIRE SPECIMEN", "FRA", "250"),
    ("Ivan Obrazets", "RUS", "643"),
    ("José Ñíguez Muestra", "ESP", "724"),
    ("KIM MIHWA", "KOR", "410"),
    ("O'Neil Sample", "USA", "840"),
)
_BANKS = (
    (102, "示例工商银行"),
    (103, "示例农业银行"),
    (104, "示例中国银行"),
    (105, "示例建设银行"),
    (308, "示例招商银行"),
)


def _day_between(first: date, last: date, random: Random) -> date:
    return first + timedelta(days=random.randrange((last - first).days + 1))


def _year_later(day: date) -> date:
    """The first day of the next policy year."""
    if (day.month, day.day) == (2, 29):
        return date(day.year + 1, 3, 1)
    return day.replace(year=day.year + 1)


def _local_name(random: Random) -> str:
    surname = random.choice(_DOUBLE_SURNAMES) if random.random() < 0.02 else random.choice(_SURNAMES)
    given = "".join(random.choice(_GIVEN) for _ in range(random.choice((1, 2, 2, 2))))
    if random.random() < PEOPLE["rare_name"]:
        given = given[:-1] + random.choice(_RARE_GIVEN)
    return surname + given


def _account(holder: str, random: Random) -> Account:
    bank, name = random.choice(_BANKS)
    return Account(
        holder=holder,
        number=luhn_number(f"622202{random.randrange(10**12):012d}"),
        bank_code=clearing_code(bank, 3320, random.randrange(10_000)),
        bank_name=name,
    )


def _adult_birth(today: date, random: Random) -> date:
    age = min(88, max(19, round(random.gauss(46, 17))))
    return date(today.year - age, 1, 1) + timedelta(days=random.randrange(365))


def _sequence(sex: Sex, random: Random, low: int = 1, high: int = 499) -> int:
    return 2 * random.randint(low, high) + (1 if sex == "M" else 0)


def _identity(birth: date, sex: Sex, random: Random) -> tuple[str, tuple[Document, ...]]:
    """A name and the documents that go with it."""
    roll = random.random()
    if roll < PEOPLE["foreigner"]:
        name, country, numeric = random.choice(_FOREIGN)
        passport = Document("passport", f"X{random.randrange(10**8):08d}", country)
        if random.random() < 0.5:
            return name, (passport,)
        # 2023 card: 9, two digits of the place of application (99: nobody's), three of the country, then as GB 11643.
        card = Document("foreign_permanent_resident", resident_number(f"999{numeric}", birth, _sequence(sex, random)))
        return name, (card, passport) if random.random() < 0.5 else (card,)
    if roll < PEOPLE["foreigner"] + PEOPLE["from_hong_kong_macau_taiwan"]:
        area = random.choice(("810000", "820000", "830000"))
        number = resident_number(area, birth, _sequence(sex, random, 490, 499))
        return _local_name(random), (Document("hmt_residence_permit", number),)
    return _local_name(random), (Document("resident_id", resident_number(NOBODYS_AREA, birth, _sequence(sex, random))),)


def _year(first: date, since: date) -> Period:
    return Period(first, _year_later(first) - timedelta(days=1), since)


def _year_before(day: date, not_before: date) -> date:
    return max(day.replace(year=day.year - 1, day=min(day.day, 28)), not_before)


def _periods(product_from: date, first: date, last: date, random: Random) -> tuple[Period, ...]:
    """Policy years that cover the simulated days `first`..`last`, or begin or end among them.

    An old policy began at least 130 days before, so that no waiting period of the sample products reaches those days.
    """
    roll = random.random()
    if roll < PEOPLE["new_policy"]:
        begin = _day_between(first - timedelta(days=40), last - timedelta(days=5), random)
        return (_year(begin, begin),)
    roll -= PEOPLE["new_policy"]
    if roll < PEOPLE["renewal_in_sight"] + PEOPLE["ending"]:
        turn = _day_between(first + timedelta(days=3), last, random)
        since = _year_before(turn, product_from)
        ended = Period(since, turn - timedelta(days=1), since)
        return (ended, _year(turn, since)) if roll < PEOPLE["renewal_in_sight"] else (ended,)
    begin = _day_between(last - timedelta(days=360), first - timedelta(days=130), random)
    since = _year_before(begin, product_from)
    if since < begin and random.random() < 0.6:
        return (Period(since, begin - timedelta(days=1), since), _year(begin, since))
    return (_year(begin, begin),)


def make_person(seed: int, no: int, *, insured: bool, first: date, last: date) -> Person:
    """Inhabitant `no` of the city of that seed, with policies around the simulated days if `insured`."""
    random = Random(f"{seed}/person/{no}")
    sex: Sex = "F" if random.random() < 0.52 else "M"
    child = random.random() < PEOPLE["child"]
    birth = (
        _day_between(last - timedelta(days=17 * 365), first - timedelta(days=40), random)
        if child
        else _adult_birth(last, random)
    )
    name, documents = _identity(birth, sex, random)
    social: Literal["310", "390", ""]
    if random.random() < PEOPLE["not_enrolled"] or documents[0].kind == "passport":
        social = ""
    else:
        social = "310" if not child and random.random() < PEOPLE["employee_scheme"] else "390"
    guardian = None
    if child and random.random() >= PEOPLE["child_without_guardian"]:
        guardian_sex: Sex = random.choice(("F", "M"))
        guardian_birth = birth - timedelta(days=random.randint(23, 38) * 365)
        number = resident_number(NOBODYS_AREA, guardian_birth, _sequence(guardian_sex, random))
        own_name = _local_name(random)
        guardian_name = own_name if " " in name else name[0] + own_name[1:]
        guardian = Guardian(guardian_name, Document("resident_id", number), _account(guardian_name, random))
    policies: list[Policy] = []
    if insured:
        chosen = [product for product, (share, _) in PRODUCTS.items() if random.random() < share]
        for product in chosen or ["hospital-expense-2020"]:
            policies.append(
                Policy(
                    number=f"P{seed % 100:02d}{no:06d}{len(policies) + 1}",
                    product=product,
                    periods=_periods(PRODUCTS[product][1], first, last, random),
                    beneficiary=_local_name(random) if random.random() < PEOPLE["named_beneficiary"] else "",
                )
            )
    return Person(
        no=no,
        name=name,
        sex=sex,
        birth=birth,
        documents=documents,
        social=social,
        social_number=f"3302{no:08d}" if social else "",
        civil_servant=social == "310" and random.random() < PEOPLE["civil_servant"],
        account_balance=random.randrange(0, 800_000) if social == "310" else 0,
        phone=f"100{random.randrange(10**8):08d}",
        payee=_account(name, random),
        guardian=guardian,
        policies=tuple(policies),
    )
