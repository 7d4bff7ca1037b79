"""The names of the profile: its code systems and extensions (docs/reference/wire.md §1)."""

PROFILE = "https://safeweave.example/fhir/"

# Code systems and identifier systems.
BILL = PROFILE + "bill"
CHARGE_CATEGORY = PROFILE + "charge-category"  # as an extension too, where a line has no category
DISCHARGE_WAY = PROFILE + "dscg-way"
INSTITUTION = PROFILE + "institution"
POLICY_NUMBER = PROFILE + "policy-number"

# Extensions of an Encounter.
ACCIDENT_ON = PROFILE + "accident-on"
EMERGENCY = PROFILE + "emergency"
ICU_DAYS = PROFILE + "icu-days"
TREATMENT = PROFILE + "treatment"  # of a line too
WARD = PROFILE + "ward"  # of a line too

# Extensions of a Claim or an Invoice.
BILL_KIND = PROFILE + "bill-kind"
ENCOUNTER = PROFILE + "encounter"
REPLACES = PROFILE + "replaces"
SETTLEMENT = PROFILE + "settlement"

# Extensions of a line.
CATALOGUE_CLASS = PROFILE + "catalogue-class"
DAYS = PROFILE + "days"
REFUND_OF = PROFILE + "refund-of"
SOCIAL_PAID = PROFILE + "social-paid"
SPLIT = PROFILE + "split"

INPATIENT = ("IMP", "ACUTE", "NONAC")  # Encounter.class of a stay
WARDS = ("ordinary", "icu", "vip", "international")
NEVER_WAS = ("cancelled", "entered-in-error")  # statuses of whatever is taken back
