"""What a number says about its holder, and whether two names are one: identity documents, organisation and bank codes.

Everything here is pure. Numbers are normalised before they are compared: full-width characters, lower-case letters and
spaces never make two numbers out of one. A check that real, valid numbers fail only warns; `Malformed` is raised for
what cannot be a number of its kind. Sources: GB 11643, GB 32100, GB 11714, ISO 7064, ISO/IEC 7812.
"""

import re
import unicodedata
from collections.abc import Callable
from datetime import date
from operator import mul
from typing import Any

from safeweave.errors import Malformed
from safeweave.facts import Fact, Sex
from safeweave.words import Language, say

_CITIZEN_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CITIZEN_CHECK = "10X98765432"
_CITIZEN_ZERO = sum(_CITIZEN_WEIGHTS) * ord("0")
_CREDIT_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
_PROVINCES = frozenset(
    str(area)
    for first, last in ((11, 15), (21, 23), (31, 37), (41, 46), (50, 54), (61, 65), (71, 71), (81, 83))
    for area in range(first, last + 1)
)
_RESIDENCE_AREAS = ("810000", "820000", "830000")  # 香港, 澳门, 台湾

# The kinds whose 18 characters come from one number space, whatever a hospital calls the document.
CITIZEN_KINDS = ("resident_id", "hmt_residence_permit", "foreign_permanent_resident")


class Unusable(Malformed):
    """Input that cannot be used, explained in both languages by an entry of words/*.toml."""

    def __init__(self, key: str, *, field: str = "", **values: Any) -> None:
        super().__init__(say(key, "en", **values), field=field)
        self.key, self.values = key, values

    def said(self, language: Language) -> str:
        """What is wrong and what to do, in one language."""
        return say(self.key, language, **self.values)


class Document(Fact, frozen=True):
    """A normalised number of one kind; `birth` and `sex` as far as the number itself tells them.

    `warnings` are keys of words/people.toml, below "warning", for whoever keeps the register; the number is usable.
    """

    kind: str
    number: str
    country: str = ""
    birth: date | None = None
    sex: Sex | None = None
    warnings: tuple[str, ...] = ()

    @property
    def lookup(self) -> str:
        """What equal numbers have in common, whatever the country: the text that registers are searched by."""
        return lookup_of(self.kind, self.number)


def lookup_of(kind: str, number: str) -> str:
    """The search text of a checked number. All 18-character citizen numbers share one space, so that a residence
    permit that a hospital files under 居民身份证 is still found."""
    space = "citizen" if is_citizen(kind, number) else kind
    return f"{space}:{number}"


def is_citizen(kind: str, number: str) -> bool:
    """Whether a checked number is one of the 18-character numbers of GB 11643, of which everybody has one."""
    return kind in CITIZEN_KINDS and len(number) == 18


def normalised(number: str) -> str:
    """The number in upper case and half-width characters, without spaces and invisible characters."""
    if number.isascii():
        return "".join(number.upper().split())
    plain = unicodedata.normalize("NFKC", number).upper().replace("×", "X")
    return "".join(c for c in plain if not c.isspace() and unicodedata.category(c) != "Cf")


def check(kind: str, number: str, country: str = "") -> Document:
    """The document as it is kept; `kind` is a key of `KINDS` or one of the names people use for it (身份证, NI...).

    The kind that comes back may be more precise than the one given: a 15-digit old number comes back as the 18-digit
    one, an 18-digit number of area 810000 as a residence permit. Raises Malformed if it cannot be such a number.
    """
    known = kind_of(kind)
    text = normalised(number)
    if not text:
        raise _unusable("empty", "", known)
    if "." in text and re.search(r"\d\.\d*E\+?\d", text):
        raise _unusable("spreadsheet", text, known)
    checked = _CHECKS[known](text)
    nation = normalised(country) or ("" if checked.kind in _FOREIGN_KINDS else "CN")
    if checked.kind == "passport" and not nation:
        return _with(checked, nation, "no_country")
    return _with(checked, nation)


def kind_of(name: str) -> str:
    """The kind that a name stands for: the kind itself, its Chinese or English name, or a common code.

    Raises Malformed for a name that nobody uses.
    """
    found = known_kind(name)
    if found is None:
        raise Unusable("people.number.unknown_kind", name=name, kinds=", ".join(KINDS))
    return found


def known_kind(name: str) -> str | None:
    """The kind that a name stands for, as `kind_of` gives it; None for a name that nobody uses."""
    return name if name in KINDS else _KIND_BY_NAME.get(normalised(name).replace("_", "").replace("-", ""))


def citizen_check_character(first17: str) -> str:
    """The 18th character of a citizen number (GB 11643-1999, ISO 7064 MOD 11-2)."""
    total = sum(map(mul, first17.encode(), _CITIZEN_WEIGHTS)) - _CITIZEN_ZERO
    return _CITIZEN_CHECK[total % 11]


def credit_code_check_character(first17: str) -> str:
    """The 18th character of a 统一社会信用代码 (GB 32100-2015)."""
    total = sum(_CREDIT_ALPHABET.index(c) * pow(3, i, 31) for i, c in enumerate(first17))
    return _CREDIT_ALPHABET[-total % 31]


def organisation_check_character(first8: str) -> str:
    """The 9th character of an organisation code (GB 11714-1997)."""
    total = sum(int(c, 36) * weight for c, weight in zip(first8, _ORGANISATION_WEIGHTS, strict=True))
    return "0123456789X"[-total % 11]


def luhn_holds(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit of the others (ISO/IEC 7812-1)."""
    doubled = (int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits)))
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


# ---------------------------------------------------------------- what is shown


def masked(number: str) -> str:
    """The number as it may be shown: 110105********002X; shorter numbers keep less, the shortest nothing."""
    text = normalised(number)
    head, tail = next(
        (h, t) for least, h, t in ((15, 6, 4), (10, 3, 2), (7, 2, 2), (4, 1, 1), (0, 0, 0)) if len(text) >= least
    )
    return text[:head] + "*" * (len(text) - head - tail) + text[len(text) - tail :]


def matches_masked(number: str, masked_number: str) -> bool:
    """Whether the number could be the masked one: every visible character agrees, and at least four are visible.

    Where fewer stars stand than characters were hidden, what stands before and after the stars is compared.
    """
    text = normalised(number)
    shown = re.sub("[*•●#∗]", "*", normalised(masked_number))
    visible = len(shown) - shown.count("*")
    if "*" not in shown or visible < 4:
        return False
    if len(shown) == len(text):
        return all(a in ("*", b) for a, b in zip(shown, text, strict=True))
    parts = re.split(r"\*+", shown)
    return len(parts) == 2 and visible <= len(text) and text.startswith(parts[0]) and text.endswith(parts[1])


# ---------------------------------------------------------------- names

# Characters that registers and hospitals write in two ways; the second text holds the form compared. Only what
# names commonly hold: another difference is left to a person.
_VARIANTS = str.maketrans(
    "陳張劉黃吳趙孫馬羅鄭謝許韓馮鄧葉蘇盧蔣賈閻閆楊鍾锺鐘陸龔龐龍譚範賴錢嚴賀顧萬喬莊肅蕭簡聶關齊寧歐區項魯藍"
    "鄒華傳國軍東麗偉傑強靜衛紅蘭鳳鵬輝慶榮義貴寶鋒銀鐵鋼飛雲電豐樂學開興啟啓維緒紹經綺綠績續繼純約紀結練縝纖"
    "詩詠諾誠謙讓賢賓贊遠達連進運適遲銘錦鎮長門閔閱陽陰隨雙難雋頌順預領穎頴願風養駿驍鯤鴻鷹麥黨靈爾瑋瑩瓊環發"
    "盡禮禎稱穩競筆節聖聰職聲舉艷藝虛蟬術裝規覺觀訓記設評語說課調談證議護變財貞費資質賽躍車軒載輪轉辯農鄉醫釗"
    "鈞鈴鈺錄鍵鏡鑒閃間闊階陣際雜韋響頂須頭題顏顯類飄驗騰驚魚鮑鳴鶴勝務動勞勢員問單嘆圖團園圓報場墊壽夢奐奮婭"
    "嫻嬌孿實審寬將專對導島崗嵐嶺帥師幟帶幫庫廣應廟彌後從復恆悅愛懷戰戲擇據揚換攝數斬時晉暉曉曄書會條極構樹橋"
    "機檢權歡歲殘殺氣決況洩淨淺淵溫準溝滅滿漢漸潔濤澤濟濱灣點為烏煒煥燈燦爭牽獻現瑪産產異當畢皚監盤眾碩確祿種"
    "積窮箏紗級細終組給統絲絹綱網綾緊線緣編緯縣總織繡習翹聯膽臨與舊莖葦蓮蔭薩蘆蘊處號蝦補見視親計誼論諸謀譯豔"
    "貝負貢買貿趨輕這過還鄔鄺鄲釋針鋭銳閑闕隱隻離霧韻頓頻顛駱騫鬱鴿鵑麼龜峯叡赟氷朶於瀋𠮷龑𬱖𫖮𬍛冨靑彥眞髙脩"
    "徳勳勛燁",
    "陈张刘黄吴赵孙马罗郑谢许韩冯邓叶苏卢蒋贾阎闫杨钟钟钟陆龚庞龙谭范赖钱严贺顾万乔庄肃萧简聂关齐宁欧区项鲁蓝"
    "邹华传国军东丽伟杰强静卫红兰凤鹏辉庆荣义贵宝锋银铁钢飞云电丰乐学开兴启启维绪绍经绮绿绩续继纯约纪结练缜纤"
    "诗咏诺诚谦让贤宾赞远达连进运适迟铭锦镇长门闵阅阳阴随双难隽颂顺预领颖颖愿风养骏骁鲲鸿鹰麦党灵尔玮莹琼环发"
    "尽礼祯称稳竞笔节圣聪职声举艳艺虚蝉术装规觉观训记设评语说课调谈证议护变财贞费资质赛跃车轩载轮转辩农乡医钊"
    "钧铃钰录键镜鉴闪间阔阶阵际杂韦响顶须头题颜显类飘验腾惊鱼鲍鸣鹤胜务动劳势员问单叹图团园圆报场垫寿梦奂奋娅"
    "娴娇孪实审宽将专对导岛岗岚岭帅师帜带帮库广应庙弥后从复恒悦爱怀战戏择据扬换摄数斩时晋晖晓晔书会条极构树桥"
    "机检权欢岁残杀气决况泄净浅渊温准沟灭满汉渐洁涛泽济滨湾点为乌炜焕灯灿争牵献现玛产产异当毕皑监盘众硕确禄种"
    "积穷筝纱级细终组给统丝绢纲网绫紧线缘编纬县总织绣习翘联胆临与旧茎苇莲荫萨芦蕴处号虾补见视亲计谊论诸谋译艳"
    "贝负贡买贸趋轻这过还邬邝郸释针锐锐闲阙隐只离雾韵顿频颠骆骞郁鸽鹃么龟峰睿贇冰朵于沈吉䶮頔顗瓅富青彦真高修"
    "德勋勋烨",
)
# What older GB 18030 systems still send for characters that had no code point of their own (GB 18030-2022, annex).
_FORMER_PRIVATE_USE = str.maketrans(
    {0xE816: 0x20087, 0xE817: 0x20089, 0xE818: 0x200CC, 0xE81E: 0x9FB4, 0xE826: 0x9FB5, 0xE82B: 0x9FB6, 0xE82C: 0x9FB7}
    | {0xE831: 0x215D7, 0xE832: 0x9FB8, 0xE83B: 0x2298F, 0xE843: 0x9FB9, 0xE854: 0x9FBA, 0xE855: 0x241FE}
    | {0xE863: 0x4DAE, 0xE864: 0x9FBB}
)


_HAN_ONLY = re.compile("[\u4e00-\u9fff]+").fullmatch


def name_key(name: str) -> str:
    """What equal names have in common; "" for a name without a single letter.

    Spaces, middle dots and punctuation go, traditional and variant characters of the small table become one, and
    Latin names are compared without accents and without the order of their parts (SMITH JOHN is John Smith).
    """
    if _HAN_ONLY(name):
        return name.translate(_VARIANTS)  # what follows leaves such characters as they are
    folded = unicodedata.normalize("NFKC", name.translate(_FORMER_PRIVATE_USE)).translate(_VARIANTS).casefold()
    if not re.search("[a-z]", folded):
        return "".join(c for c in folded if unicodedata.category(c)[0] in "LMN" or unicodedata.category(c) == "Co")
    bare = "".join(c for c in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(c))
    return "".join(sorted(re.findall(r"[^\W_]+", re.sub("['’`·•‧・.]", "", bare))))


def same_name(a: str, b: str) -> bool:
    """Whether two spellings are one name; a difference that the small table does not know is for a person to judge."""
    key = name_key(a)
    return key != "" and key == name_key(b)


# ---------------------------------------------------------------- one check for each kind


def _with(document: Document, country: str, *warnings: str) -> Document:
    return Document(document.kind, document.number, country, document.birth, document.sex, document.warnings + warnings)


def _unusable(why: str, number: str, kind: str, **values: Any) -> Unusable:
    about = KINDS[kind]
    return Unusable(
        f"people.number.{why}",
        number=masked(number),
        kind_zh=about.zh,
        kind_en=about.name,
        length=len(number),
        **values,
    )


_CITIZEN_FORM = re.compile("[0-9]{17}[0-9X]").fullmatch


def _citizen(kind: str) -> Callable[[str], Document]:
    def check_citizen(number: str) -> Document:
        number = number.replace("-", "")
        if not _CITIZEN_FORM(number):
            if re.fullmatch("[A-Z]{3}[0-9]{12}", number):  # permanent residence card, 2017 edition
                return Document("foreign_permanent_resident", number)
            if re.fullmatch("[0-9]{15}", number) and kind == "resident_id":
                return _from_15_digits(number)
            raise _unusable("citizen_length", number, kind)
        expected = citizen_check_character(number[:17])
        if number[17] != expected:
            raise _unusable("citizen_check", number, kind, expected=expected)
        birth = _day(number, number[6:14])
        found, warnings = kind, list[str]()
        if number[:6] in _RESIDENCE_AREAS:
            found = "hmt_residence_permit"
        elif kind == "hmt_residence_permit":
            warnings.append("not_a_residence_area")
        elif number[:2] not in _PROVINCES and number[0] != "9":
            warnings.append("unknown_area")
        return Document(found, number, "", birth, _sex(number[16]), tuple(warnings))

    return check_citizen


def _from_15_digits(number: str) -> Document:
    first17 = number[:6] + "19" + number[6:]
    birth = _day(number, first17[6:14])
    over_a_hundred = number[12:] in ("996", "997", "998", "999")
    return Document(
        "resident_id",
        first17 + citizen_check_character(first17),
        "",
        birth,
        _sex(first17[16]),
        ("converted", "over_a_hundred") if over_a_hundred else ("converted",),
    )


def _sex(last_of_sequence: str) -> Sex:
    return "M" if int(last_of_sequence) % 2 else "F"


def _day(number: str, digits: str) -> date:
    try:
        birth = date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        birth = date.min
    if birth.year < 1800:
        raise _unusable("birth", number, "resident_id")
    return birth


def _free(kind: str, usual: str = ".*") -> Callable[[str], Document]:
    def check_free(number: str) -> Document:
        if not re.search(r"\w", number) or len(number) > 40:
            raise _unusable("free", number, kind)
        return _document(kind, number, "" if re.fullmatch(usual, number) else "unusual_form")

    return check_free


def _hk_macau_permit(number: str) -> Document:
    if re.fullmatch("[HM][0-9]{10}", number):
        # The last two digits count the renewals of one holder's card; the nine before them stay for life.
        number = number[:9]
    return _free("hk_macau_travel_permit", "[HM][0-9]{8}")(number)


def _taiwan_permit(number: str) -> Document:
    return _free("taiwan_travel_permit", "[0-9]{8}")(re.sub(r"[()]", "", number))


def _credit_code(number: str) -> Document:
    number = number.replace("-", "")
    if len(number) != 18 or any(c not in _CREDIT_ALPHABET for c in number):
        raise _unusable("credit_code_form", number, "credit_code")
    expected = credit_code_check_character(number[:17])
    if number[17] != expected:
        raise _unusable("credit_code_check", number, "credit_code", expected=expected)
    inner_holds = organisation_check_character(number[8:16]) == number[16]
    return _document("credit_code", number, "" if inner_holds else "inner_organisation_code")


def _organisation_code(number: str) -> Document:
    number = number.replace("-", "")
    if not re.fullmatch("[0-9A-Z]{8}[0-9X]", number):
        raise _unusable("organisation_form", number, "organisation_code")
    if organisation_check_character(number[:8]) != number[8]:
        raise _unusable("organisation_check", number, "organisation_code")
    return _document("organisation_code", number)


def _bank_account(number: str) -> Document:
    number = number.replace("-", "")
    if not re.fullmatch("[0-9A-Z]{6,34}", number) or not any(c.isdigit() for c in number):
        raise _unusable("account_form", number, "bank_account")
    if not (number.isdigit() and 16 <= len(number) <= 19):
        return _document("bank_account", number, "not_a_card")
    return _document("bank_account", number, "" if luhn_holds(number) else "luhn")


def _bank_code(number: str) -> Document:
    if not re.fullmatch("[0-9]{12}", number):
        raise _unusable("bank_code_form", number, "bank_code")
    return _document("bank_code", number)


def _institution_code(number: str) -> Document:
    if not re.fullmatch("[0-9A-Z]{12}", number):
        raise _unusable("institution_form", number, "institution_code")
    return _document("institution_code", number, "" if re.fullmatch("[HP][0-9]{11}", number) else "unusual_form")


def _document(kind: str, number: str, warning: str = "") -> Document:
    return Document(kind, number, warnings=(warning,) if warning else ())


class Kind(Fact, frozen=True):
    """A kind of number: its names, and what else it is called in files and messages."""

    name: str
    zh: str
    also: tuple[str, ...] = ()


KINDS: dict[str, Kind] = {
    "resident_id": Kind(
        "resident identity card", "居民身份证", ("身份证", "二代身份证", "户口簿", "NI", "NNCHN", "IDCARD", "ID")
    ),
    "hmt_residence_permit": Kind("residence permit of Hong Kong, Macau or Taiwan", "港澳台居民居住证", ("居住证",)),
    "foreign_permanent_resident": Kind(
        "permanent residence card", "外国人永久居留身份证", ("外国人永久居留证", "永久居留证", "PRC")
    ),
    "passport": Kind("passport", "护照", ("PPN", "PP")),
    "hk_macau_travel_permit": Kind(
        "travel permit of Hong Kong or Macau", "港澳居民来往内地通行证", ("港澳通行证", "回乡证")
    ),
    "taiwan_travel_permit": Kind("travel permit of Taiwan", "台湾居民来往大陆通行证", ("台湾通行证", "台胞证")),
    "birth_certificate": Kind("birth certificate", "出生医学证明", ("出生证", "出生证明", "BCT", "BR")),
    "military_officer": Kind("military officer's card", "军官证", ("士兵证", "军人证", "MI")),
    "credit_code": Kind("unified social credit code", "统一社会信用代码", ("信用代码", "USCC", "营业执照")),
    "organisation_code": Kind("organisation code", "组织机构代码", ()),
    "bank_account": Kind("bank account", "银行账号", ("bank_card", "银行卡", "银行卡号")),
    "bank_code": Kind("bank code", "联行号", ("CNAPS", "大额行号")),
    "institution_code": Kind("医保 institution code", "医保定点机构代码", ()),
    "other": Kind("other document", "其他证件", ("其他",)),
}

# Documents of a person: what a register of persons may be searched by.
PERSONAL_KINDS = frozenset(KINDS) - {
    "credit_code",
    "organisation_code",
    "bank_account",
    "bank_code",
    "institution_code",
    "other",
}

_FOREIGN_KINDS = ("passport", "other")

_KIND_BY_NAME = {
    normalised(name).replace("_", "").replace("-", ""): kind
    for kind, about in KINDS.items()
    for name in (kind, about.name, about.zh, *about.also)
}

_CHECKS: dict[str, Callable[[str], Document]] = {
    **{kind: _citizen(kind) for kind in CITIZEN_KINDS},
    "passport": _free("passport"),
    "hk_macau_travel_permit": _hk_macau_permit,
    "taiwan_travel_permit": _taiwan_permit,
    "birth_certificate": _free("birth_certificate", "[A-Z][0-9]{9}"),
    "military_officer": _free("military_officer"),
    "credit_code": _credit_code,
    "organisation_code": _organisation_code,
    "bank_account": _bank_account,
    "bank_code": _bank_code,
    "institution_code": _institution_code,
    "other": _free("other"),
}
