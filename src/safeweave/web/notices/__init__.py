"""Machines that asked to be told: what happened is heard from the store, numbered for each, and sent in order.

A subscription (FHIR R4 Subscription as the R4 Subscriptions Backport IG 1.1 has it) belongs to a client, which only
hears of what it may read. `hearing.py` follows what was committed and costs the flow nothing; `subscribers.py` calls,
through a lane of the outbox for each subscription; `reaching.py` says whom one may call.
"""
