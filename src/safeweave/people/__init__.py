"""Who someone is: identity documents and names, the register of persons, guardians, and finding whom a hospital saw.

It leaves what a person was promised to `coverage`. Read `identity.py` first (pure), then `person.py` and `store.py`.
"""

from safeweave.people.person import Found, Guardianship, Held, Particulars, Person, age_on, particulars_of
from safeweave.people.store import (
    Registration,
    Saved,
    add_guardianships,
    correct_person,
    find_people,
    guarded,
    known_people,
    merge_persons,
    people_by_id,
    person_history,
    persons_at,
    remember_medical_record,
    remember_policies,
    report_death,
    save_people,
    wards_of,
)

__all__ = [
    "Found",
    "Guardianship",
    "Held",
    "Particulars",
    "Person",
    "Registration",
    "Saved",
    "add_guardianships",
    "age_on",
    "correct_person",
    "find_people",
    "guarded",
    "known_people",
    "merge_persons",
    "particulars_of",
    "people_by_id",
    "person_history",
    "persons_at",
    "remember_medical_record",
    "remember_policies",
    "report_death",
    "save_people",
    "wards_of",
]
