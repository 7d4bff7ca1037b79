"""What hospitals tell us: messages of any format become hospital events, once each; the unreadable waits for repair.

Leaves what they mean for a case to `cases`. Read `formats/` for the wire, then `inbound.py` for receiving.
"""
