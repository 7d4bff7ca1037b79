"""Members of the consortium speaking to each other: sealed deliveries, receipts, and the roles of a node."""
