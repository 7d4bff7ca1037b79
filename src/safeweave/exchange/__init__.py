"""What hospitals tell us: messages of any format become hospital events, once each; what cannot be read waits for repair.

Leaves what they mean for a case to `cases`. Read `formats/` for the wire, then `inbound.py` for receiving.
"""
