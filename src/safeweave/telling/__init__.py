"""Telling people: the letter that explains a determination line by line, and one message per channel for each change.

Leaves deciding to adjudication and paying to payments. Read `letter.py` first, then `handlers.py`.
"""
