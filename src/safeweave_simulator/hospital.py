"""Invented hospitals: names, codes, wards, and the way each of them speaks."""

from random import Random
from typing import Literal

import msgspec

from safeweave_simulator.numbers import credit_code

WardKind = Literal["ordinary", "icu", "vip", "international"]
Speech = Literal["hl7", "fhir"]


class Ward(msgspec.Struct, frozen=True):
    """One ward: its code as written in PV1-3, its department and its kind."""

    code: str
    department: str
    kind: WardKind


class Hospital(msgspec.Struct, frozen=True):
    """One hospital. `speech` is how it tells of stays: HL7 v2 messages or FHIR bundles."""

    code: str  # 医保定点机构代码: H, six digits of area, five of serial
    name: str
    name_en: str
    uscc: str
    level: int  # 1..3
    public: bool
    region: str  # GB/T 2260
    speech: Speech
    charset: Literal["UNICODE UTF-8", "GB18030"]
    wards: tuple[Ward, ...]

    def ward(self, kind: WardKind, department: str = "") -> Ward:
        """The ward of that kind and, if it has one, that department; ordinary wards always exist."""
        of_kind = [ward for ward in self.wards if ward.kind == kind] or list(self.wards)
        return next((ward for ward in of_kind if ward.department == department), of_kind[0])


DEPARTMENTS = (
    "内科",
    "外科",
    "妇科",
    "儿科",
    "骨科",
    "呼吸内科",
    "心内科",
    "消化内科",
    "神经内科",
    "肿瘤科",
    "眼科",
    "产科",
)

# (name, English name, level, public, region): the first ones come first in every city.
_NAMED = (
    ("示例市第一医院", "First Hospital of Example City", 3, True, "330200"),
    ("示例市妇女儿童医院", "Women and Children's Hospital of Example City", 3, True, "330200"),
    ("青榆区人民医院", "Qingyu District People's Hospital", 2, True, "330203"),
    ("示例市中医院", "Example City Hospital of Chinese Medicine", 2, True, "330205"),
    ("云帆康泰医院", "Yunfan Kangtai Hospital", 2, False, "330206"),
    ("白鹭镇卫生院", "Bailu Township Health Centre", 1, True, "330211"),
)
_PLACES = (
    ("松岚", "Songlan"),
    ("望溪", "Wangxi"),
    ("枫桥湾", "Fengqiao Bay"),
    ("碧渚", "Bizhu"),
    ("鹿鸣", "Luming"),
    ("霁川", "Jichuan"),
)
_KINDS = (
    ("区人民医院", "District People's Hospital", 2, True),
    ("区中心医院", "District Central Hospital", 3, True),
    ("骨伤医院", "Orthopaedic Hospital", 2, False),
    ("街道社区卫生服务中心", "Community Health Centre", 1, True),
)
_REGIONS = ("330200", "330203", "330205", "330206", "330211", "330212")


def _wards(level: int, random: Random) -> tuple[Ward, ...]:
    ordinary = tuple(Ward(f"W{number:02d}", name, "ordinary") for number, name in enumerate(DEPARTMENTS, 1))
    special = [Ward("ICU1", "重症医学科", "icu")] if level >= 2 else []
    if level == 3:
        special.append(Ward("V01", "特需病房", "vip"))
        if random.random() < 0.5:
            special.append(Ward("N01", "国际医疗部", "international"))
    return ordinary + tuple(special)


def make_hospitals(seed: int, count: int) -> tuple[Hospital, ...]:
    """The first `count` hospitals of the city of that seed; every third one speaks FHIR, every fourth one GB18030.

    Raises ValueError if `count` is not 1..30.
    """
    if not 1 <= count <= len(_NAMED) + len(_PLACES) * len(_KINDS):
        raise ValueError(f"a city has 1 to {len(_NAMED) + len(_PLACES) * len(_KINDS)} hospitals, not {count}")
    random = Random(f"{seed}/hospitals")
    rest = [
        (place + kind, f"{place_en} {kind_en}", level, public, random.choice(_REGIONS))
        for kind, kind_en, level, public in _KINDS
        for place, place_en in _PLACES
    ]
    random.shuffle(rest)
    hospitals = []
    for number, (name, name_en, level, public, region) in enumerate([*_NAMED, *rest][:count], 1):
        speech: Speech = "fhir" if number % 3 == 0 else "hl7"
        hospitals.append(
            Hospital(
                code=f"H330200{number:05d}" if number <= 2 else f"H{region}{number:05d}",
                name=name,
                name_en=name_en,
                uscc=credit_code("12" if public else "91", "330200", f"MB1{number - 1:05d}"),
                level=level,
                public=public,
                region=region,
                speech=speech,
                charset="GB18030" if number % 4 == 0 else "UNICODE UTF-8",
                wards=_wards(level, random),
            )
        )
    return tuple(hospitals)
