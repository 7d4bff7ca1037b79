"""One file per bank: how each keeps the port of `payments.bank`."""
