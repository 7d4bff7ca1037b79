"""The environment, read once. Everything has a default that works on one machine without servers or accounts."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safeweave.words import Language, say


@dataclass(frozen=True)
class Settings:
    """How one node is set up; each field is an environment variable `SAFEWEAVE_<FIELD>`."""

    home: Path = Path("safeweave-data")  # databases, letters, bank files
    database: str = ""  # postgresql://user:password@host/name, shared by several nodes; "": the embedded store in home
    language: Language = "en"  # zh or en; if unset, the system's (LC_ALL, LANG)
    products: Path | None = None  # folder of product files; unset: the sample products that come with safeweave
    host: str = "127.0.0.1"  # where both doors listen
    http_port: int = 8440  # FHIR, e-bills and settlements
    mllp_port: int = 2575  # HL7 v2
    bank_folder: Path | None = None  # ISO 20022 files: outbox/ and inbox/ in this folder, unless bank_url is set
    bank_url: str = ""  # of the bank's HTTP face; "": no bank is connected, payouts wait
    bank_account: str = "3310010000000000001"  # ours, from which payouts leave in bank files
    bank_code: str = "102332000001"  # of our own bank, 12 digits (CNAPS)
    company: str = "安织健康保险股份有限公司"  # who signs letters and messages in Chinese
    company_en: str = "Anzhi Health Insurance Co., Ltd."  # and in English
    smtp_url: str = ""  # smtp://user:password@host:port; "": e-mails go to the local outbox
    sms_url: str = ""  # of an SMS gateway; "": the local outbox
    wechat_url: str = ""  # of the WeChat message interface; "": the local outbox
    wechat_template: str = ""  # id of the subscription-message template
    mail_from: str = "claims@localhost"  # sender of e-mails
    phone: str = ""  # whom the insured can call, as printed in letters and messages
    pages: bool = False  # 1: serve the pages for people at the HTTP door
    pages_url: str = ""  # where browsers find them, such as https://claims.example; "": at the HTTP door itself
    pages_demo: bool = False  # 1: the people of a demonstration are one tap away; never where real people are insured
    max_message_bytes: int = 32 * 1024 * 1024  # a larger message is refused
    overlays: Path | None = None  # JSONL of dated relaxations in force
    keys_passphrase: str = field(default="", repr=False)  # of the member's key file; "": the file is not encrypted
    rest_keys: Path | None = None  # file of the keys under which papers handed in rest; unset: rest.json in home
    subscribers_private: str = ""  # private networks subscribers may be in, such as 127.0.0.0/8,10.1.0.0/16; "": none
    batch: int = 500  # how many events a worker takes at once
    calls: int = 1  # how many calls to one outsider (a bank, a channel) may be under way at once, from all hosts

    @property
    def store(self) -> Path | str:
        """Where the store is: the file of the embedded one, or the address of a PostgreSQL database."""
        return self.database or self.home / "safeweave.db"

    @property
    def keys_at_rest(self) -> Path:
        """The file of the keys under which things rest in the store. Hosts that share a store share it."""
        return self.rest_keys or self.home / "rest.json"


class NotASetting(ValueError):
    """A variable of the environment that cannot be read."""

    def __init__(self, why: str, name: str, text: str) -> None:
        self._key, self._values = f"cli.setting.{why}", {"name": f"SAFEWEAVE_{name.upper()}", "text": text}
        super().__init__(self.said("en"))

    def said(self, language: Language) -> str:
        """Which one, what it must be and what it is, in one language."""
        return say(self._key, language, **self._values)


def language_of(environment: Mapping[str, str]) -> Language:
    """The language this environment asks for: its own variable, or else the system's."""
    asked = next(filter(None, map(environment.get, ("SAFEWEAVE_LANGUAGE", "LC_ALL", "LANG"))), "")
    return "zh" if asked.lower().startswith("zh") else "en"


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings this environment asks for. Raises NotASetting for a variable that cannot be read."""
    values: dict[str, object] = {}
    for name, spec in Settings.__dataclass_fields__.items():
        text = environment.get(f"SAFEWEAVE_{name.upper()}")
        if text is None:
            continue
        if spec.type in (int, "int"):
            if not text.isdigit():
                raise NotASetting("whole", name, text)
            values[name] = int(text)
        elif spec.type in (bool, "bool"):
            if text not in ("0", "1"):
                raise NotASetting("on_or_off", name, text)
            values[name] = text == "1"
        elif "Path" in str(spec.type):
            values[name] = Path(text)
        else:
            values[name] = text
    values["language"] = language_of(environment)
    return Settings(**values)  # type: ignore[arg-type]
