"""What a stay costs, line by line, and how 医保 splits it; every sum is exact to the fen.

Laws (national settlement interface): L1 a line's amount is the sum of its four parts; S1 the total is the sum of
the lines; S2 the four parts sum likewise; S3 fund payments sum to `fund_total`; S4 total = fund + person; S5 person =
account + cash. On the fiscal e-bill: I1 and I2 are two readings of the total; I3 prepaid + recharged - refunded = cash;
I4 the charge classes sum to the total.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from random import Random
from typing import Literal

import msgspec

from safeweave.money import Fen, half_up
from safeweave_simulator.hospital import Hospital, WardKind
from safeweave_simulator.patients import Person, Sex

BillKind = Literal["inpatient", "outpatient"]
CatalogueClass = Literal["甲", "乙", "丙"]

CHARGE_CLASSES = {
    "01": "床位费",
    "02": "诊察费",
    "03": "检查费",
    "04": "化验费",
    "05": "治疗费",
    "06": "手术费",
    "07": "护理费",
    "08": "卫生材料费",
    "09": "西药费",
    "10": "中药饮片",
    "11": "中成药费",
    "12": "一般诊疗费",
    "13": "挂号费",
    "14": "其他",
}


class Item(msgspec.Struct, frozen=True):
    """One thing a hospital charges for: `price` in ten-thousandths of a yuan, `share` in basis points, `cap` in fen."""

    code: str
    name: str
    category: str
    unit: str
    price: int
    catalogue_class: CatalogueClass
    share: int = 0  # 先行自付比例 of class 乙
    cap: int = 0  # the 医保 price cap of one unit; 0 is no cap
    local: str = ""


class Illness(msgspec.Struct, frozen=True):
    """One diagnosis the city knows, with what usually follows from it."""

    icd: str
    name: str
    department: str
    weight: int
    days: tuple[int, int]
    sex: Sex | None = None
    ages: tuple[int, int] = (0, 120)
    operation: str = ""  # an item code
    accident: bool = False
    intensive: bool = False  # part of such stays is spent in intensive care
    chronic: bool = False  # a second stay for it is likely


class FeeLine(msgspec.Struct, frozen=True):
    """One charged line. `count` is in ten-thousandths; own, over, first and within sum to the amount."""

    no: int
    item: Item
    at: datetime
    count: int
    amount: Fen
    own: Fen
    over: Fen
    first: Fen
    within: Fen
    days: int = 0
    ward: WardKind = "ordinary"
    refund_of: int = 0


class Settlement(msgspec.Struct, frozen=True):
    """Who bore a bill (2304), in the interface's names: hifp 统筹, hifob 大额, hifmi 大病, cvlserv 公务员, maf 救助."""

    total: Fen
    own: Fen
    over: Fen
    first: Fen
    within: Fen
    threshold: Fen  # act_pay_dedc, the part of 起付线 borne this time
    hifp: Fen
    hifob: Fen
    hifmi: Fen
    cvlserv: Fen
    maf: Fen
    account: Fen
    cash: Fen

    @property
    def fund_total(self) -> Fen:
        """fund_pay_sumamt."""
        return Fen(self.hifp + self.other)

    @property
    def other(self) -> Fen:
        """All fund payments except 统筹: OtherPayAmount of the e-bill."""
        return Fen(self.hifob + self.hifmi + self.cvlserv + self.maf)

    @property
    def person(self) -> Fen:
        """psn_part_amt."""
        return Fen(self.total - self.fund_total)

    @property
    def self_cost(self) -> Fen:
        """个人自费: outside the catalogue and above price caps."""
        return Fen(self.own + self.over)

    @property
    def self_pay(self) -> Fen:
        """个人自付: the person's share inside the catalogue."""
        return Fen(self.person - self.self_cost)


class Prepayment(msgspec.Struct, frozen=True):
    """Money handed in at admission and settled at discharge (I3)."""

    prepaid: Fen
    recharged: Fen
    refunded: Fen


class Bill(msgspec.Struct, frozen=True):
    """One fiscal e-bill: nationwide key, lines, and who paid. Without `settlement` the person paid everything."""

    code: str
    number: str
    check: str
    kind: BillKind
    issued_at: datetime
    lines: tuple[FeeLine, ...]
    settlement: Settlement | None
    prepayment: Prepayment
    cash: Fen
    replaces: tuple[str, str] | None = None

    @property
    def total(self) -> Fen:
        """The sum of the lines."""
        return Fen(sum(line.amount for line in self.lines))

    @property
    def key(self) -> str:
        """The bill key `code-number`."""
        return f"{self.code}-{self.number}"

    def by_class(self) -> dict[str, Fen]:
        """Charge class to its sum, in the order of the classes."""
        sums: dict[str, int] = {}
        for line in self.lines:
            sums[line.item.category] = sums.get(line.item.category, 0) + line.amount
        return {category: Fen(sums[category]) for category in sorted(sums)}


def _item(
    code: str, name: str, category: str, unit: str, price: str, kind: CatalogueClass, share: int, cap: int
) -> Item:
    whole, _, decimals = price.partition(".")
    local = f"{category}{sum(map(ord, code)) % 10_000:04d}"
    return Item(code, name, category, unit, int(whole) * 10_000 + int(decimals.ljust(4, "0")), kind, share, cap, local)


ITEMS: dict[str, Item] = {
    row[0]: _item(*row)
    for row in (
        ("001109000010001", "普通病床", "01", "日", "60.00", "甲", 0, 5_000),
        ("001109000010002", "重症监护病床", "01", "日", "240.00", "甲", 0, 0),
        ("001109000010003", "特需病床", "01", "日", "880.00", "丙", 10_000, 0),
        ("001109000010004", "国际部病床", "01", "日", "1500.00", "丙", 10_000, 0),
        ("001102000050000", "住院诊察费", "02", "日", "24.00", "甲", 0, 0),
        ("001102000010000", "门诊诊察费", "02", "次", "22.00", "甲", 0, 0),
        ("002101020010000", "数字化X线摄影", "03", "次", "88.00", "甲", 0, 0),
        ("002103000010000", "X线计算机体层平扫", "03", "次", "260.00", "乙", 1_000, 0),
        ("002102000030000", "磁共振平扫", "03", "次", "480.00", "乙", 1_000, 0),
        ("002203020010000", "彩色多普勒超声", "03", "次", "120.00", "乙", 500, 0),
        ("002205000010000", "心电图", "03", "次", "25.00", "甲", 0, 0),
        ("002501010150000", "血细胞分析", "04", "次", "20.00", "甲", 0, 0),
        ("002503010010000", "肝肾功能组合", "04", "次", "96.00", "甲", 0, 0),
        ("002502030350000", "凝血功能", "04", "次", "75.00", "甲", 0, 0),
        ("002504030650000", "肿瘤标志物组合", "04", "次", "320.00", "乙", 1_000, 0),
        ("002706000010000", "基因检测", "04", "次", "1980.00", "丙", 10_000, 0),
        ("001204000060000", "静脉输液", "05", "次", "12.00", "甲", 0, 0),
        ("001203000010000", "氧气吸入", "05", "小时", "3.50", "甲", 0, 0),
        ("003101000010000", "康复治疗", "05", "次", "65.00", "乙", 1_000, 0),
        ("003107010010000", "血液透析", "05", "次", "400.00", "甲", 0, 0),
        ("003102000020000", "化疗用药护理与配置", "05", "次", "85.00", "甲", 0, 0),
        ("003313030150000", "宫腔镜手术", "06", "次", "3200.00", "甲", 0, 0),
        ("003306010010000", "阑尾切除术", "06", "次", "1600.00", "甲", 0, 0),
        ("003308010120000", "疝修补术", "06", "次", "1850.00", "甲", 0, 0),
        ("003306020010000", "胆囊切除术", "06", "次", "2600.00", "甲", 0, 0),
        ("003315050090000", "骨折切开复位内固定术", "06", "次", "2980.00", "甲", 0, 0),
        ("003302010130000", "白内障超声乳化摘除术", "06", "次", "2100.00", "甲", 0, 0),
        ("003205000020000", "冠状动脉支架置入术", "06", "次", "4100.00", "甲", 0, 0),
        ("003303010010000", "扁桃体切除术", "06", "次", "900.00", "甲", 0, 0),
        ("003310080010000", "甲状腺部分切除术", "06", "次", "2300.00", "甲", 0, 0),
        ("003314000140000", "剖宫产术", "06", "次", "2200.00", "甲", 0, 0),
        ("003307010010000", "肺叶切除术", "06", "次", "5200.00", "甲", 0, 0),
        ("003300000000001", "麻醉", "06", "次", "860.00", "甲", 0, 0),
        ("001201000040000", "二级护理", "07", "日", "28.00", "甲", 0, 0),
        ("001201000010000", "重症监护护理", "07", "日", "120.00", "甲", 0, 0),
        ("C0101010010000100001", "一次性手术器械包", "08", "套", "450.00", "丙", 10_000, 0),
        ("C0202020020000200002", "可吸收缝线", "08", "根", "68.00", "乙", 2_000, 6_000),
        ("C0303030030000300003", "骨科钢板", "08", "套", "5600.00", "乙", 2_000, 480_000),
        ("C0404040040000400004", "冠脉支架", "08", "枚", "7800.00", "乙", 1_500, 700_000),
        ("C0505050050000500005", "人工晶体", "08", "枚", "2400.00", "乙", 2_000, 180_000),
        ("C0606060060000600006", "输液器", "08", "套", "4.35", "甲", 0, 0),
        ("XJ01DDT006B001010100101", "头孢曲松", "09", "支", "7.3850", "甲", 0, 0),
        ("XA02BCA001B001010100202", "奥美拉唑", "09", "支", "11.2600", "甲", 0, 0),
        ("XB05BBP001B001010100303", "氯化钠注射液", "09", "袋", "3.1875", "甲", 0, 0),
        ("XN02AXB002B001010100404", "盐酸曲马多", "09", "支", "6.4200", "乙", 500, 0),
        ("XB01ABD001B001010100505", "低分子肝素", "09", "支", "38.6600", "乙", 1_000, 0),
        ("XC10AAA005A001010100606", "阿托伐他汀", "09", "盒", "32.4900", "甲", 0, 0),
        ("XA10BDA001A001010100707", "二甲双胍", "09", "盒", "14.9200", "甲", 0, 0),
        ("XV06DDX001B001010100808", "复方氨基酸", "09", "袋", "46.0500", "乙", 1_500, 0),
        ("XL01XCB002B001010100909", "单抗类抗肿瘤药", "09", "支", "4215.5500", "乙", 2_000, 0),
        ("XL01BCA001B001010101010", "卡培他滨", "09", "盒", "218.3300", "乙", 1_000, 0),
        ("XX00ZZZ001B001010101111", "进口营养粉", "09", "罐", "398.0000", "丙", 10_000, 0),
        ("T000100101000010001A", "中药饮片(复方)", "10", "剂", "31.6700", "甲", 0, 0),
        ("ZA04BAX0012010100001", "丹参注射液", "11", "支", "18.4400", "乙", 1_000, 0),
        ("ZA12GAD0022010100002", "伤科接骨片", "11", "盒", "36.8000", "乙", 500, 0),
        ("001101000010000", "挂号费", "13", "次", "5.00", "甲", 0, 0),
        ("001100000000001", "一般诊疗费", "12", "次", "10.00", "甲", 0, 0),
        ("009900000000001", "取暖费", "14", "日", "8.00", "丙", 10_000, 0),
    )
}

_BEDS: dict[WardKind, str] = {
    "ordinary": "001109000010001",
    "icu": "001109000010002",
    "vip": "001109000010003",
    "international": "001109000010004",
}

ILLNESSES = (
    Illness("J18.900", "肺炎", "呼吸内科", 12, (5, 11), intensive=True),
    Illness("K80.200", "胆囊结石", "外科", 7, (4, 8), ages=(18, 120), operation="003306020010000"),
    Illness("K35.800", "急性阑尾炎", "外科", 7, (3, 6), ages=(5, 120), operation="003306010010000"),
    Illness("N84.001", "子宫内膜息肉", "妇科", 6, (2, 4), sex="F", ages=(20, 80), operation="003313030150000"),
    Illness("D25.900", "子宫平滑肌瘤", "妇科", 4, (5, 8), sex="F", ages=(28, 60), operation="003313030150000"),
    Illness("K40.900", "腹股沟疝", "外科", 5, (2, 5), operation="003308010120000"),
    Illness(
        "I20.000", "不稳定型心绞痛", "心内科", 7, (5, 9), ages=(40, 120), operation="003205000020000", chronic=True
    ),
    Illness("I63.900", "脑梗死", "神经内科", 8, (8, 16), ages=(45, 120), intensive=True, chronic=True),
    Illness("E11.900", "2型糖尿病", "内科", 7, (6, 10), ages=(30, 120), chronic=True),
    Illness("J44.100", "慢性阻塞性肺病急性加重", "呼吸内科", 6, (6, 12), ages=(45, 120), intensive=True, chronic=True),
    Illness("K29.500", "慢性胃炎", "消化内科", 6, (3, 6), ages=(14, 120)),
    Illness("H25.900", "老年性白内障", "眼科", 6, (1, 3), ages=(50, 120), operation="003302010130000"),
    Illness("J35.000", "慢性扁桃体炎", "外科", 3, (4, 6), ages=(3, 45), operation="003303010010000"),
    Illness("E04.100", "甲状腺结节", "外科", 5, (4, 6), ages=(18, 80), operation="003310080010000"),
    Illness("N40", "前列腺增生", "外科", 4, (5, 9), sex="M", ages=(50, 120)),
    Illness("C34.900", "肺恶性肿瘤", "肿瘤科", 5, (6, 14), ages=(40, 90), operation="003307010010000", chronic=True),
    Illness("C50.900", "乳房恶性肿瘤", "肿瘤科", 3, (5, 12), sex="F", ages=(30, 85), chronic=True),
    Illness("A09.900", "感染性腹泻", "儿科", 5, (3, 6), ages=(0, 14)),
    Illness("J20.900", "急性支气管炎", "儿科", 6, (4, 7), ages=(0, 14)),
    Illness("S82.200", "胫骨骨折", "骨科", 5, (8, 15), operation="003315050090000", accident=True),
    Illness("S52.500", "桡骨远端骨折", "骨科", 4, (4, 8), operation="003315050090000", accident=True),
    Illness("S06.000", "脑震荡", "神经内科", 3, (3, 6), accident=True, intensive=True),
    Illness("O82.000", "剖宫产分娩", "产科", 3, (4, 6), sex="F", ages=(22, 42), operation="003314000140000"),
    Illness("F32.900", "抑郁发作", "内科", 2, (10, 20), ages=(16, 80)),
    Illness("Z51.100", "肿瘤化学治疗", "肿瘤科", 3, (3, 5), ages=(35, 85), chronic=True),
    Illness("Q66.800", "先天性足畸形", "骨科", 1, (5, 9), ages=(0, 12)),
)

# What outpatients come for; `operation` is then the item of their treatment.
VISITS = (
    Illness("J06.900", "急性上呼吸道感染", "内科", 6, (0, 0)),
    Illness("I10", "原发性高血压", "心内科", 5, (0, 0), ages=(35, 120), chronic=True),
    Illness("S93.400", "踝关节扭伤", "骨科", 8, (0, 0), ages=(6, 120), accident=True),
    Illness("S61.000", "手指开放性伤口", "外科", 7, (0, 0), accident=True),
    Illness("N18.500", "慢性肾病5期", "内科", 3, (0, 0), ages=(30, 90), operation="003107010010000", chronic=True),
    Illness("C50.900", "乳房恶性肿瘤", "肿瘤科", 2, (0, 0), sex="F", ages=(30, 85), operation="003102000020000"),
)

_LABS = ("002501010150000", "002503010010000", "002502030350000", "002504030650000")
_IMAGING = ("002101020010000", "002103000010000", "002102000030000", "002203020010000", "002205000010000")
_DRUGS = (
    "XJ01DDT006B001010100101",
    "XA02BCA001B001010100202",
    "XB05BBP001B001010100303",
    "XN02AXB002B001010100404",
    "XB01ABD001B001010100505",
    "XC10AAA005A001010100606",
    "XV06DDX001B001010100808",
)
_CANCER_DRUGS = ("XL01XCB002B001010100909", "XL01BCA001B001010101010")

# Inpatient rules of this invented 医保: 起付线 in fen and 统筹 share in basis points, by scheme and hospital level.
_THRESHOLD = {"310": {3: 80_000, 2: 60_000, 1: 30_000}, "390": {3: 100_000, 2: 60_000, 1: 30_000}}
_POOL_SHARE = {"310": {3: 8_500, 2: 8_800, 1: 9_200}, "390": {3: 6_000, 2: 7_000, 1: 8_000}}
_VISIT_SHARE = {"310": 6_000, "390": 4_000}
_POOL_CAP = 20_000_000  # above it 大额 (310) pays nine tenths
_SERIOUS_ILLNESS_FROM = 2_000_000  # 大病 (390) pays six tenths of what the person bears above


def fits(illness: Illness, person: Person, day: date) -> bool:
    """Whether this illness goes with the person's sex and age."""
    youngest, oldest = illness.ages
    return illness.sex in (None, person.sex) and youngest <= person.age_on(day) <= oldest


def line_of(
    no: int, item: Item, at: datetime, count: int, *, days: int = 0, ward: WardKind = "ordinary", refund_of: int = 0
) -> FeeLine:
    """The line for `count` ten-thousandths of an item, split by the rules of its class (L1)."""
    amount = half_up(count * item.price, 1_000_000)
    if item.catalogue_class == "丙":
        return FeeLine(no, item, at, count, amount, amount, Fen(0), Fen(0), Fen(0), days, ward, refund_of)
    over = Fen(amount - min(amount, half_up(item.cap * count, 10_000))) if item.cap and count > 0 else Fen(0)
    first = half_up((amount - over) * item.share, 10_000)
    return FeeLine(no, item, at, count, amount, Fen(0), over, first, Fen(amount - over - first), days, ward, refund_of)


def refund_of(line: FeeLine, no: int, at: datetime, count: int) -> FeeLine:
    """The line that takes back `count` ten-thousandths of another; its parts are the difference the credit makes."""
    rest = line_of(line.no, line.item, line.at, line.count - count, ward=line.ward)
    return FeeLine(
        no,
        line.item,
        at,
        -count,
        Fen(rest.amount - line.amount),
        Fen(rest.own - line.own),
        Fen(rest.over - line.over),
        Fen(rest.first - line.first),
        Fen(rest.within - line.within),
        0,
        line.ward,
        line.no,
    )


class WardStay(msgspec.Struct, frozen=True):
    """Consecutive days in one ward; `days` counts the nights begun there (at least one over the whole stay)."""

    kind: WardKind
    first_day: date
    days: int


def inpatient_lines(
    illness: Illness, wards: Sequence[WardStay], admitted_at: datetime, discharged_at: datetime, random: Random
) -> tuple[FeeLine, ...]:
    """The fee lines of a stay in the order they were charged; each is dated inside the stay."""
    drafts: list[tuple[datetime, str, int, int, WardKind]] = []
    nights = max(1, (discharged_at.date() - admitted_at.date()).days)

    def post(day: int, hour: int, code: str, units: int, *, days: int = 0, ward: WardKind = "ordinary") -> None:
        at = admitted_at.replace(hour=hour, minute=random.randrange(60), second=random.randrange(60))
        at = min(max(at + timedelta(days=day), admitted_at), discharged_at)
        drafts.append((at, code, units * 10_000, days, ward))

    for ward in wards:
        if ward.days <= 0:
            continue
        start = (ward.first_day - admitted_at.date()).days
        post(start, 23, _BEDS[ward.kind], ward.days, days=ward.days, ward=ward.kind)
        nursing = "001201000010000" if ward.kind == "icu" else "001201000040000"
        post(start, 23, nursing, ward.days, ward=ward.kind)
        post(start, 23, "001102000050000", ward.days, ward=ward.kind)
    for code in random.sample(_LABS, random.randint(2, len(_LABS))):
        post(0, 11, code, 1)
    for code in random.sample(_IMAGING, random.randint(1, 3)):
        post(random.randrange(min(2, nights)), 14, code, 1)
    day_of_operation = min(1, nights - 1)
    if illness.operation:
        post(day_of_operation, 9, illness.operation, 1)
        post(day_of_operation, 9, "003300000000001", 1)
        post(day_of_operation, 10, "C0101010010000100001", random.randint(1, 3))
        post(day_of_operation, 10, "C0202020020000200002", random.randint(1, 4))
        implant = {
            "003315050090000": "C0303030030000300003",
            "003205000020000": "C0404040040000400004",
            "003302010130000": "C0505050050000500005",
        }.get(illness.operation)
        if implant:
            post(day_of_operation, 10, implant, 1)
    for code in random.sample(_DRUGS, random.randint(3, 5)):
        post(random.randrange(nights), 16, code, random.randint(1, 3) * nights)
    if illness.icd.startswith(("C", "Z51")):
        post(day_of_operation, 15, random.choice(_CANCER_DRUGS), random.randint(1, 6))
        if random.random() < 0.4:
            post(0, 15, "002706000010000", 1)
    if random.random() < 0.2:
        post(random.randrange(nights), 15, "ZA04BAX0012010100001", random.randint(2, 6))
    if random.random() < 0.15:
        post(random.randrange(nights), 15, "T000100101000010001A", random.randint(3, 7))
    if illness.accident:
        post(nights - 1, 15, "003101000010000", random.randint(1, 5))
    post(0, 17, "001204000060000", nights * random.randint(1, 2))
    post(0, 17, "C0606060060000600006", nights)
    if random.random() < 0.3:
        post(0, 18, "001203000010000", random.randint(6, 24 * nights))
    if random.random() < 0.04:
        post(nights - 1, 18, "XX00ZZZ001B001010101111", random.randint(1, 3))
    drafts.sort(key=lambda draft: (draft[0], draft[1]))
    return tuple(
        line_of(no, ITEMS[code], at, count, days=days, ward=ward)
        for no, (at, code, count, days, ward) in enumerate(drafts, 1)
    )


def outpatient_lines(illness: Illness, at: datetime, random: Random) -> tuple[FeeLine, ...]:
    """The fee lines of an outpatient visit."""
    codes = [("001101000010000", 1), ("001102000010000", 1)]
    codes += [(code, 1) for code in random.sample(_LABS[:3], random.randint(0, 2))]
    if illness.accident or random.random() < 0.3:
        codes.append((random.choice(_IMAGING), 1))
    if illness.accident:
        codes += [("ZA12GAD0022010100002", random.randint(1, 2)), ("003101000010000", 1)]
    if illness.operation:
        codes.append((illness.operation, 1))
    codes += [(code, random.randint(1, 4)) for code in random.sample(_DRUGS, random.randint(1, 3))]
    return tuple(line_of(no, ITEMS[code], at, units * 10_000) for no, (code, units) in enumerate(codes, 1))


def settle(lines: Sequence[FeeLine], person: Person, hospital: Hospital, kind: BillKind, *, aided: bool) -> Settlement:
    """How the person's 医保 scheme settles these lines (S1..S5 hold exactly); `aided`: 医疗救助 helps too.

    Raises KeyError for a person who is not enrolled.
    """
    total, own, over, first, within = (
        sum(getattr(line, part) for line in lines) for part in ("amount", "own", "over", "first", "within")
    )
    scheme = person.social
    if kind == "inpatient":
        threshold = min(within, _THRESHOLD[scheme][hospital.level])
        share = _POOL_SHARE[scheme][hospital.level]
    else:
        threshold, share = 0, _VISIT_SHARE[scheme]
    hifp = min(half_up((within - threshold) * share, 10_000), Fen(_POOL_CAP))
    borne = within - hifp  # what is left inside the scope, threshold included
    hifob = (
        half_up(max(0, within - threshold - half_up(_POOL_CAP * 10_000, share)) * 9, 10) if scheme == "310" else Fen(0)
    )
    hifmi = half_up(max(0, borne - _SERIOUS_ILLNESS_FROM) * 6, 10) if scheme == "390" else Fen(0)
    borne -= hifob + hifmi
    cvlserv = half_up(max(0, borne - threshold), 2) if person.civil_servant else Fen(0)
    borne -= cvlserv
    maf = half_up(borne * 3, 10) if aided and scheme == "390" else Fen(0)
    person_part = total - hifp - hifob - hifmi - cvlserv - maf
    account = min(person.account_balance, half_up(person_part, 3))
    return Settlement(
        total=Fen(total),
        own=Fen(own),
        over=Fen(over),
        first=Fen(first),
        within=Fen(within),
        threshold=Fen(threshold),
        hifp=Fen(hifp),
        hifob=Fen(hifob),
        hifmi=Fen(hifmi),
        cvlserv=Fen(cvlserv),
        maf=Fen(maf),
        account=Fen(account),
        cash=Fen(person_part - account),
    )


def bill_of(
    lines: Sequence[FeeLine],
    settlement: Settlement | None,
    *,
    kind: BillKind,
    number: str,
    issued_at: datetime,
    random: Random,
    replaces: tuple[str, str] | None = None,
) -> Bill:
    """The fiscal e-bill over these lines, with its prepayment squared (I3)."""
    total = sum(line.amount for line in lines)
    cash = settlement.cash if settlement else Fen(total)
    prepaid = random.choice((100_000, 200_000, 300_000, 500_000)) if kind == "inpatient" else cash
    return Bill(
        code=f"3306{'02' if kind == 'inpatient' else '01'}{issued_at:%y}",
        number=number,
        check="".join(random.choice("0123456789abcdef") for _ in range(6)),
        kind=kind,
        issued_at=issued_at,
        lines=tuple(lines),
        settlement=settlement,
        prepayment=Prepayment(Fen(prepaid), Fen(max(0, cash - prepaid)), Fen(max(0, prepaid - cash))),
        cash=cash,
        replaces=replaces,
    )
