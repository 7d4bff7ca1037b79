"""The consortium ledger on an EVM chain: one small contract, and the adapter that speaks to it.

It says what rules.py says and leaves consensus to the chain. Read Consortium.sol first, then ledger.py.
"""
