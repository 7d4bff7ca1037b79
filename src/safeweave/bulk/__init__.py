"""Stored claims decided again by the hundred thousand, in columns: `what-if` and replay at bulk speed.

It writes nothing to the store and decides no live claim: that is the plain engine's part in `adjudication`, to which
every odd claim goes from here too, and with which the columns agree to the fen. Read `engine.py` first, then
`settlement.py` beside `adjudication/steps.py`; `extract.py` and `run.py` bring the claims and take the answers.
"""
