"""The environment, read once. Everything has a default that works on one machine without servers or accounts."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safeweave.words import Language


@dataclass(frozen=True)
class Settings:
    """How one node is set up; each field is an environment variable `SAFEWEAVE_<FIELD>`."""

    home: Path = Path("safeweave-data")  # databases, letters, bank files
    language: Language = "en"
    products: Path | None = None  # folder of product files; None: the sample products that come with safeweave
    host: str = "127.0.0.1"
    http_port: int = 8440
    mllp_port: int = 2575
    bank_url: str = ""  # of the bank's HTTP face; "": no bank is connected, payouts wait
    bank_account: str = "3310010000000000001"
    bank_code: str = "102332000001"
    company: str = "安织健康保险股份有限公司"
    company_en: str = "Anzhi Health Insurance Co., Ltd."
    smtp_url: str = ""  # smtp://user:password@host:port; "": e-mails go to the local outbox
    sms_url: str = ""
    wechat_url: str = ""
    wechat_template: str = ""  # id of the subscription-message template
    mail_from: str = "claims@localhost"
    phone: str = ""  # whom the insured can call, as printed in letters and messages
    max_message_bytes: int = 32 * 1024 * 1024
    overlays: Path | None = None  # JSONL of dated relaxations in force
    batch: int = 500

    @property
    def database(self) -> Path:
        """The file of the embedded store."""
        return self.home / "safeweave.db"


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings this environment asks for; ValueError names the variable that cannot be read."""
    values: dict[str, object] = {}
    for name, spec in Settings.__dataclass_fields__.items():
        text = environment.get(f"SAFEWEAVE_{name.upper()}")
        if text is None:
            continue
        if spec.type in (int, "int"):
            if not text.isdigit():
                raise ValueError(f"SAFEWEAVE_{name.upper()} must be a whole number, not {text!r}")
            values[name] = int(text)
        elif "Path" in str(spec.type):
            values[name] = Path(text)
        else:
            values[name] = text
    language = str(values.get("language") or environment.get("LC_ALL") or environment.get("LANG") or "")
    values["language"] = "zh" if language.lower().startswith("zh") else "en"
    return Settings(**values)  # type: ignore[arg-type]
