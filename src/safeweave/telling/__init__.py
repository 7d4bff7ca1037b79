"""Telling people: the letter that explains a determination line by line, and one message per channel for each change.

Leaves deciding to `adjudication` and paying to `payments`. Read `letter.py` first (pure), then `handlers.py`.
"""

from safeweave.telling.handlers import Post
from safeweave.telling.letters import letter_facts, letter_page, letter_show, letter_text
from safeweave.telling.store import alarms, messages_of, undeliverable

__all__ = [
    "Post",
    "alarms",
    "letter_facts",
    "letter_page",
    "letter_show",
    "letter_text",
    "messages_of",
    "undeliverable",
]
