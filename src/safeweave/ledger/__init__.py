"""The consortium ledger: signed operations in one agreed order. It knows nothing of insurance."""
