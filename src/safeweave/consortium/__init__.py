"""Members of the consortium speaking to each other: sealed deliveries, receipts, and the roles of a node."""

MEMBER_FILE = "member.json"  # in the home of a member, and nowhere else
