"""What of a consent stands on the ledger, that it is the one that was given, and how it is forgotten there."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from consents.given_consents import DURING, END, HOSPITAL, INSURER, consent
from ledger.given_ledger import DAY, NOON, Consortium
from ledger.ledgers import embedded
from people.given_people import NOW
from safeweave import consents
from safeweave.consents import Party, registering
from safeweave.consents.registering import Salts, is_as_noted, is_of, is_of_scope, new_entry, new_salts, scope_of
from safeweave.errors import Malformed
from safeweave.ledger.ledger import ConsentRecord
from safeweave.ledger.operation import GrantConsent, operation_bytes, operation_id

BEGIN = datetime.fromtimestamp(NOON, UTC)


@pytest.fixture
def members():
    return Consortium()


@pytest.fixture
def running(tmp_path, members):
    with embedded(tmp_path, members) as found:
        yield found


def of_members(members, person, **told):
    """A consent to give between two members of the consortium, that begins at the ledger's noon."""
    return consent(
        person,
        giver=Party(members.hospital.id, HOSPITAL.name),
        recipient=Party(members.insurer.id, INSURER.name, INSURER.contact),
        **{"begins_at": BEGIN, "given_at": BEGIN, "ends_at": BEGIN + timedelta(days=1), **told},
    )


def grant(running, members, noted, given):
    operation = registering.grant(noted[given.id], given, members.hospital.id)
    running.final(members.hospital, members.hospital.signs(operation))


def test_a_consent_is_granted_and_revoked_on_the_ledger_and_read_back(tx, saved, running, members):
    given, unheard = of_members(members, saved[0]), of_members(members, saved[1])
    consents.give(tx, [given, unheard], NOW)
    noted = consents.register(tx, [given.id, unheard.id])
    ledger = running.ledger_of(members.insurer)

    grant(running, members, noted, given)
    found = registering.states(ledger, noted)
    assert {id: each.state for id, each in found.items()} == {given.id: "ACTIVE", unheard.id: "UNKNOWN"}
    record = found[given.id].record
    assert is_as_noted(record, noted[given.id], given)
    assert not is_as_noted(record, noted[unheard.id], unheard)

    # The insurer's revocation counts as the hospital's does, and at once.
    running.final(members.insurer, members.insurer.signs(registering.revoke(noted[given.id], members.insurer.id)))
    assert registering.states(ledger, noted)[given.id].state == "REVOKED"


def test_it_expires_there_when_it_does_here(tx, saved, running, members):
    given = of_members(members, saved[0])
    consents.give(tx, [given], NOW)
    noted = consents.register(tx, [given.id])
    grant(running, members, noted, given)
    running.passes(DAY)
    later = of_members(members, saved[0], ends_at=BEGIN + timedelta(days=2), follows=given.id)
    consents.give(tx, [later], NOW)
    noted |= consents.register(tx, [later.id])
    grant(running, members, noted, later)
    found = registering.states(running.ledger_of(members.insurer), noted)
    assert (found[given.id].state, found[later.id].state) == ("EXPIRED", "ACTIVE")


def test_what_is_sent_again_is_the_same_operation(tx, saved, members):
    given = of_members(members, saved[0])
    consents.give(tx, [given], NOW)
    operations = [
        operation_id(registering.grant(consents.register(tx, [given.id])[given.id], given, members.hospital.id))
        for _ in range(2)
    ]
    assert operations[0] == operations[1]
    entry = consents.entries(tx, [given.id])[given.id]
    assert consents.entries_by_ledger_id(tx, [entry.entry]) == {entry.entry: entry}
    assert consents.entries(tx, ["consent_unknown"]) == {}


def test_nothing_of_the_person_or_the_scope_stands_in_the_operation(tx, saved, members):
    given = of_members(members, saved[0], visit="H1/ZY1")
    consents.give(tx, [given], NOW)
    entry = consents.register(tx, [given.id])[given.id]
    granted = registering.grant(entry, given, members.hospital.id)
    said = operation_bytes(granted).decode()
    assert msgspec.json.decode(said, type=GrantConsent) == granted
    for hidden in (given.id, given.person, "ZY1", "claim", "diagnosis", given.text_version, given.text_digest):
        assert hidden not in said


def test_one_consent_under_two_entries_shows_no_likeness():
    given = consent()
    one, other = (new_entry(given, new_salts()) for _ in range(2))
    alike = [name for name in one.__struct_fields__ if getattr(one, name) == getattr(other, name)]
    assert alike == ["consent", "suite"]


def test_a_member_without_an_id_of_the_ledger_is_named_in_the_fault():
    given = consent(recipient=Party("H33020000001", INSURER.name, INSURER.contact))
    entry = new_entry(given, new_salts())
    with pytest.raises(Malformed) as fault:
        registering.grant(entry, given, HOSPITAL.member)
    assert fault.value.field == "grantee"
    with pytest.raises(Malformed) as fault:
        registering.revoke(entry, "the hospital")
    assert fault.value.field == "by"


def record_of(given, entry):
    granted = registering.grant(entry, given, HOSPITAL.member)
    return ConsentRecord(
        granted.consent, granted.by, granted.grantee, granted.commitment, granted.scope_commitment, granted.not_before,
        granted.expires, 1, granted.not_before,
    )  # fmt: skip


def test_whoever_is_shown_a_consent_and_its_salts_can_check_it():
    given, salts = consent(), new_salts()
    record = record_of(given, new_entry(given, salts))
    assert is_of(record, given, salts)
    assert is_of_scope(record, scope_of(given), salts.scope_salt)
    assert not is_of(record, consent(kinds=("bill",)), salts)
    assert not is_of(record, consent("person_other"), salts)
    assert not is_of(record, given, Salts(salts.salt, salts.salt))
    assert not is_of(msgspec.structs.replace(record, expires=record.expires + 1), given, salts)
    assert not is_of_scope(record, scope_of(consent(kinds=("bill",))), salts.scope_salt)


def test_it_does_not_hold_there_before_it_was_given():
    given = consent(given_at=DURING)
    granted = registering.grant(new_entry(given, new_salts()), given, HOSPITAL.member)
    assert (granted.not_before, granted.expires) == (int(DURING.timestamp()), int(END.timestamp()))


def test_the_scope_can_be_shown_without_whose_it_is():
    assert scope_of(consent("person_a", visit="H1/ZY1")) == scope_of(consent("person_b", visit="H1/ZY2"))


@given_any(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_without_its_salts_a_commitment_is_that_of_no_consent(guess, scope_guess):
    """Even for somebody who knows every word of the consent."""
    given, salts = consent(), new_salts()
    record = record_of(given, new_entry(given, salts))
    assert not is_of(record, given, Salts(guess, scope_guess))
    assert not is_of_scope(record, scope_of(given), scope_guess)


def test_erased_salts_are_gone_and_the_consent_stays(tx, saved, members):
    given, other = of_members(members, saved[0]), of_members(members, saved[1])
    consents.give(tx, [given, other], NOW)
    noted = consents.register(tx, [given.id, other.id])
    before = consents.salts(tx, [given.id, other.id])
    assert is_of(record_of(given, noted[given.id]), given, before[given.id])
    for _ in range(2):
        consents.erase_salts(tx, [given.id], "asked by the person", NOW)
    assert consents.salts(tx, [given.id, other.id]) == {other.id: before[other.id]}
    assert consents.consents_by_id(tx, [given.id])[given.id].consent == given
    assert consents.register(tx, [given.id]) == {given.id: noted[given.id]}  # no new salts are drawn for it
    assert consents.salts(tx, [given.id]) == {}
    assert tx.rows("select consent, reason from consent_erasure") == [(given.id, "asked by the person")]
