"""The ways a message leaves: what we ask of a channel, and the ones we have.

Every message carries its own id to the outside (Message-ID, Idempotency-Key), so a call that is made again because no
answer came does not reach a person twice. Without a server a channel is a file that others can read: the mailbox.
"""

import smtplib
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, formataddr
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Protocol
from urllib.parse import unquote, urlsplit

import httpx
import msgspec

from safeweave.asking import trusting
from safeweave.errors import Malformed, Unavailable
from safeweave.facts import Fact
from safeweave.ids import MessageId
from safeweave.telling.message import Message

_SECONDS = 10.0


class Outcome(Fact):
    """What became of one message: delivered, or impossible to deliver (`fault`), or to be sent later.

    `deferred` says why the channel, which answers, does not take this one now; `again`: the channel is silent.
    """

    message: MessageId
    receipt: str = ""
    fault: str = ""
    again: bool = False
    deferred: str = ""


class Undeliverable(Exception):
    """This message can never be delivered to this address; its text says why, without personal data."""


class Deferred(Exception):
    """The channel answers, but does not take this message now; its text says why, without personal data."""


class Channel(Protocol):
    """A way to send messages."""

    def deliver(self, messages: Sequence[Message]) -> list[Outcome]:
        """One outcome for each message, in order; never raises because the outside is silent."""


class Faltering(Unavailable):
    """The server answered with a fault of its own, which may be about this message alone."""


def one_by_one(messages: Sequence[Message], send: Callable[[Message], str]) -> list[Outcome]:
    """The outcomes of sending each message (`send` gives a receipt); after the first silence the rest is for later.

    A server that falters is silent if it does so twice in a row; if it takes the next message, the one before waits
    alone.
    """
    outcomes: list[Outcome] = []
    silent, faltered = False, ""
    for message in messages:
        if silent:
            outcomes.append(Outcome(message.id, again=True))
            continue
        try:
            outcome = Outcome(message.id, receipt=send(message))
        except Undeliverable as fault:
            outcome = Outcome(message.id, fault=str(fault))
        except Deferred as why:
            outcome = Outcome(message.id, deferred=str(why))
        except Unavailable as fault:
            silent = bool(faltered) or not isinstance(fault, Faltering)
            faltered = str(fault)
            outcomes.append(Outcome(message.id, again=True))
            continue
        if faltered:
            outcomes[-1] = Outcome(outcomes[-1].message, deferred=faltered)
            faltered = ""
        outcomes.append(outcome)
    return outcomes


class Mailbox:
    """Messages as lines of a JSON file, each once: the channel where no server is set up."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._written: set[str] | None = None
        self._writing = Lock()

    def deliver(self, messages: Sequence[Message]) -> list[Outcome]:
        """Append what the file does not have yet. Raises Unavailable if the disk takes nothing now."""
        with self._writing:
            try:
                self._append(messages)
            except OSError as error:
                self._written = None  # perhaps some of it was written: the file says
                raise Unavailable(f"the mailbox {self.file.name} takes nothing: {error.strerror}") from error
        return [Outcome(message.id) for message in messages]

    def _append(self, messages: Sequence[Message]) -> None:
        if self._written is None:
            self._written = {line["id"] for line in self.read()}
            self._end_last_line()
        new = [message for message in messages if message.id not in self._written]
        if new:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("ab") as out:
                out.write(b"".join([_line(message) for message in new]))
            self._written.update(message.id for message in new)

    def _end_last_line(self) -> None:
        """Part a line that a crash cut off from what follows."""
        if self.file.exists() and not self.file.read_bytes().endswith(b"\n"):
            with self.file.open("a", encoding="utf-8") as out:
                out.write("\n")

    def read(self) -> list[dict[str, str]]:
        """Every message in the file, the oldest first; a line cut off by a crash is left out."""
        if not self.file.exists():
            return []
        lines = []
        for line in self.file.read_bytes().split(b"\n"):  # a cut may go through the middle of a character
            try:
                lines.append(msgspec.json.decode(line, type=dict[str, str]))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue
        return lines


def _line(message: Message) -> bytes:
    line = {
        "id": message.id, "channel": message.channel, "to": message.to, "subject": message.subject,
        "text": message.text, "told_at": _shown(message.told_at),
    }  # fmt: skip
    return _encode(line) + b"\n"


_encode = msgspec.json.Encoder().encode


@lru_cache(maxsize=100)
def _shown(at: datetime) -> str:
    return at.isoformat()


class Smtp:
    """E-mail through an SMTP server (RFC 5321), given as smtp://user:password@host:port or smtps://...

    smtp:// turns to TLS where the server offers it, and must where there is a password.
    """

    def __init__(self, url: str, sender: str, sender_name: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise Malformed("an SMTP server is written smtp://user:password@host:port", field="smtp_url")
        self._host, self._implicit_tls = parts.hostname, parts.scheme == "smtps"
        self._port = parts.port or (465 if self._implicit_tls else 25)
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._from = formataddr((sender_name, sender))
        self._sender = sender

    def deliver(self, messages: Sequence[Message]) -> list[Outcome]:
        """Send over one connection; 5xx is final for its message, 4xx means later (RFC 5321 §4.2.1).

        4xx about a recipient or a content means that message alone; 421, a refused sender and silence mean all.
        """
        try:
            server = self._connected()
        except (OSError, smtplib.SMTPException):
            return [Outcome(message.id, again=True) for message in messages]
        try:
            return one_by_one(messages, lambda message: self._send(server, message))
        finally:
            with suppress(OSError, smtplib.SMTPException):  # what was taken is taken, however the farewell goes
                server.quit()

    def _connected(self) -> smtplib.SMTP:
        if self._implicit_tls:
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self._host, self._port, timeout=_SECONDS, context=ssl.create_default_context()
            )
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=_SECONDS)
            server.ehlo()
            if server.has_extn("starttls"):
                server.starttls(context=ssl.create_default_context())
            elif self._password:
                server.close()
                raise smtplib.SMTPException("a password is not sent without TLS")
        if self._user:
            server.login(self._user, self._password)
        return server

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = self._from, message.to, message.subject
        mail["Date"] = format_datetime(message.told_at)
        mail["Message-ID"] = f"<{message.id}@{self._sender.partition('@')[2] or 'safeweave'}>"
        mail["Content-Language"] = "zh-CN" if message.language == "zh" else "en"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no absence notes, please
        mail.set_content(message.text)
        return mail

    def _send(self, server: smtplib.SMTP, message: Message) -> str:
        try:
            mail = self._mail(message)
            server.send_message(mail, self._sender, [message.to])
        except smtplib.SMTPRecipientsRefused as refused:
            code, _ = refused.recipients[message.to]
            raise _refusal(code, of_one=True) from None
        except smtplib.SMTPResponseException as refused:
            raise _refusal(refused.smtp_code, isinstance(refused, smtplib.SMTPDataError)) from None
        except smtplib.SMTPNotSupportedError:
            raise Undeliverable("the mail server takes ASCII addresses only") from None
        except (OSError, smtplib.SMTPException) as silent:
            raise Unavailable(f"the mail server went away ({type(silent).__name__})") from None
        except Exception as fault:  # the library raises of every kind for addresses that are none
            raise Undeliverable(f"cannot be written as an e-mail ({type(fault).__name__})") from None
        return str(mail["Message-ID"])


def _refusal(code: int, of_one: bool) -> Exception:
    if code >= 500:
        return Undeliverable(f"SMTP {code}")
    return Deferred(f"SMTP {code}") if of_one and code != 421 else Unavailable(f"SMTP {code}")


class SmsGateway:
    """SMS through a gateway over HTTP: POST {"id", "to", "text"}, answered 2xx with {"receipt"}."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = httpx.Client(timeout=_SECONDS, trust_env=False, verify=trusting())

    def deliver(self, messages: Sequence[Message]) -> list[Outcome]:
        """4xx is final for its message; 408, 429, 5xx and silence mean later, see `one_by_one`."""
        return one_by_one(messages, self._send)

    def _send(self, message: Message) -> str:
        content = {"id": message.id, "to": message.to, "text": message.text}
        return str(_posted(self._http, self._url, message, content).get("receipt", message.id))


_NEVER = {40003: "not an openid", 40037: "unknown template", 43101: "the user does not accept messages"}
_OF_ALL = (-1, 40001, 40014, 42001, 45009)  # busy, the access token, the quota: so it would answer everyone


class WeChat:
    """WeChat subscription messages (subscribeMessage.send) through an HTTP port that adds the access token."""

    def __init__(self, url: str, template: str) -> None:
        self._url, self._template = url, template
        self._http = httpx.Client(timeout=_SECONDS, trust_env=False, verify=trusting())

    def deliver(self, messages: Sequence[Message]) -> list[Outcome]:
        """An errcode that no later try can mend is final for its message; others mean later, some of them for all."""
        return one_by_one(messages, self._send)

    def _send(self, message: Message) -> str:
        data = {"thing1": {"value": message.text}, "time3": {"value": f"{message.told_at:%Y-%m-%d %H:%M}"}}
        if message.amount:
            data["amount2"] = {"value": f"{message.amount}元"}
        content = {
            "touser": message.to, "template_id": self._template, "data": data,
            "lang": "zh_CN" if message.language == "zh" else "en_US",
        }  # fmt: skip
        answer = _posted(self._http, self._url, message, content)
        code = answer.get("errcode", -1)
        if code in _NEVER:
            raise Undeliverable(f"WeChat {code}: {_NEVER[code]}")
        if code in _OF_ALL:
            raise Unavailable(f"WeChat {code}")
        if code != 0:
            raise Deferred(f"WeChat {code}")
        return str(answer.get("msgid", message.id))


def _posted(http: httpx.Client, url: str, message: Message, content: Mapping[str, object]) -> dict[str, object]:
    try:
        answer = http.post(url, json=content, headers={"Idempotency-Key": message.id})
    except httpx.TransportError as silent:
        raise Unavailable(f"{type(silent).__name__}") from None
    if answer.status_code in (408, 429) or answer.status_code >= 500:
        raise Faltering(f"HTTP {answer.status_code}")
    if answer.status_code >= 400:
        raise Undeliverable(f"HTTP {answer.status_code}")
    try:
        read = answer.json()
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}
