"""A member's private keys: one file that only its owner reads, changed without forgetting."""

import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeweave.errors import Malformed
from safeweave.keys import Account, KeyRing, suite
from safeweave.keys.errors import (
    KeyUnusable,
    NoKeys,
    NoSuchKey,
    RingExposed,
    RingLocked,
    RingUnreadable,
    TooEarly,
    UnknownSuite,
)
from safeweave.keys.keyset import KeySet

ACCOUNT = Account("0x52908400098527886E0F7030069857D2E4169EE7", bytes(range(32)))


def mode_of(file):
    return stat.S_IMODE(file.stat().st_mode)


def test_a_ring_comes_back_from_its_file(tmp_path):
    ring = KeyRing.generated("hospital-1", account=ACCOUNT).rotated(7)
    ring.save(tmp_path / "ring.json")
    assert KeyRing.load(tmp_path / "ring.json") == ring
    assert KeyRing.load(tmp_path / "ring.json", "not needed") == ring
    assert mode_of(tmp_path / "ring.json") == 0o600
    assert os.listdir(tmp_path) == ["ring.json"]


def test_an_encrypted_ring_opens_with_its_passphrase_only(tmp_path):
    file = tmp_path / "ring.json"
    ring = KeyRing.generated("hospital-1")
    ring.save(file, "中文口令")
    assert KeyRing.load(file, "中文口令") == ring
    for passphrase in (None, "", "another"):
        with pytest.raises(RingLocked, match="does not open"):
            KeyRing.load(file, passphrase)
    content = file.read_bytes()
    assert b"hospital-1" not in content
    assert mode_of(file) == 0o600

    file.write_bytes(content.replace(b'"cost":65536', b'"cost":32768'))
    with pytest.raises(RingLocked) as refused:
        KeyRing.load(file, "中文口令")
    assert str(file) in refused.value.said("zh")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_ring_that_others_can_read_is_refused(tmp_path, mode):
    file = tmp_path / "ring.json"
    KeyRing.generated("hospital-1").save(file)
    file.chmod(mode)
    with pytest.raises(RingExposed, match="chmod 600"):
        KeyRing.load(file)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"\xff", b'{"\xff":1}', b'{"form":"safeweave/key-ring/2","ring":{}}']
)
def test_a_file_that_is_no_ring_is_refused(tmp_path, content):
    file = tmp_path / "ring.json"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(RingUnreadable, match="no key ring"):
        KeyRing.load(file)


def test_a_ring_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    file = tmp_path / "ring.json"
    ring = KeyRing.generated("hospital-1")
    ring.save(file)

    def disk_full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(OSError, match="No space"):
        ring.rotated(1).save(file)
    assert KeyRing.load(file) == ring
    assert os.listdir(tmp_path) == ["ring.json"]


def test_new_keys_count_from_their_height_and_old_ones_stay_to_open_what_is_old():
    first = KeyRing.generated("hospital-1", valid_from=10, account=ACCOUNT)
    ring = first.rotated(20).rotated(30)
    periods = [(keys.valid_from, keys.valid_until) for keys in ring.public()]
    assert periods == [(10, 20), (20, 30), (30, None)]
    assert len({keys.signing for keys in ring.public()} | {keys.vrf for keys in ring.public()}) == 6
    assert {keys.account for keys in ring.public()} == {ACCOUNT.address}

    old = first.public()[0]
    sealed = suite(old.suite).seal(old.sealing, b"info", b"record")
    assert suite(old.suite).open(ring.sealed_to(old.sealing_id).opening_key(), b"info", sealed) == b"record"


@given(st.integers(0, 100))
def test_at_every_height_from_the_first_exactly_one_set_counts(height):
    ring = RING
    counting = [keys for keys in ring.public() if keys.valid_at(height)]
    if height < 10:
        assert counting == []
        with pytest.raises(NoKeys, match=f"height {height}"):
            ring.at(height)
    else:
        assert counting == [ring.at(height).public()]


RING = KeyRing.generated("hospital-1", valid_from=10).rotated(20).rotated(50)


@pytest.mark.parametrize("height", [0, 19, 50])
def test_keys_cannot_be_changed_at_or_before_the_height_they_began(height):
    with pytest.raises(TooEarly, match="height 50"):
        RING.rotated(height)


def test_a_key_the_ring_does_not_hold_is_named():
    with pytest.raises(NoSuchKey, match="00ff"):
        RING.sealed_to("00ff")


def test_a_ring_of_an_unknown_suite_cannot_be_made():
    with pytest.raises(UnknownSuite):
        KeyRing.generated("hospital-1", suite="std-9")


def test_the_text_of_a_ring_shows_no_private_key():
    ring = KeyRing.generated("hospital-1", account=ACCOUNT)
    period = ring.periods[0]
    for secret in (period.signing, period.sealing, period.vrf, ACCOUNT.private):
        assert repr(secret)[2:-1] not in f"{ring!r}{ring.periods!r}{period.account!r}"


def test_keys_that_protect_nothing_are_refused_before_they_are_registered():
    good = RING.public()[0]
    good.check()
    identity = b"\1" + bytes(31)
    for bad in (
        {"signing": identity},
        {"signing": b"short"},
        {"sealing": bytes(32)},
        {"vrf": identity},
        {"vrf": good.vrf[:31]},
    ):
        with pytest.raises(KeyUnusable):
            KeySet(**{name: getattr(good, name) for name in KeySet.__struct_fields__} | bad).check()


@pytest.mark.parametrize(("first", "end"), [(-1, None), (5, 5), (5, 4)])
def test_a_period_that_is_none_is_refused(first, end):
    good = RING.public()[0]
    with pytest.raises(Malformed, match="valid from height"):
        KeySet(good.suite, good.signing, good.sealing, good.vrf, first, end).check()
