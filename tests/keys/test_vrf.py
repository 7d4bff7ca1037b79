"""The verifiable random function: as RFC 9381 has it, one output for one input, and nothing malformed gets through."""

import json
from pathlib import Path

import ecvrf_oracle
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nacl.bindings import crypto_core_ed25519_add

from safeweave.keys import vrf
from safeweave.keys.errors import KeyUnusable

EXAMPLES = json.loads(Path(__file__).with_name("vectors").joinpath("ecvrf_rfc9381.json").read_text())
secrets = st.binary(min_size=32, max_size=32)
alphas = st.binary(max_size=60)

ORDER_EIGHT = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
SMALL_ORDER = [
    bytes.fromhex(written)
    for written in (
        "01" + "00" * 31,
        "ec" + "ff" * 30 + "7f",
        "00" * 32,
        "00" * 31 + "80",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    )
]
NOT_CANONICAL = [
    bytes.fromhex(written)
    for written in (
        "01" + "00" * 30 + "80",  # zero x with a sign
        "ec" + "ff" * 30 + "ff",
        "ed" + "ff" * 30 + "7f",  # y = p and more
        "ed" + "ff" * 30 + "ff",
        "ee" + "ff" * 30 + "7f",
        "f0" + "ff" * 30 + "7f",  # y = p + 3, on the curve if reduced
        "ff" * 32,
    )
]
KEY = vrf.public_key(bytes(32))


@pytest.mark.parametrize("case", EXAMPLES, ids=lambda case: f"example-{case['example']}")
def test_the_examples_of_rfc_9381_come_out_to_the_byte(case):
    secret, public, alpha, pi, beta = (bytes.fromhex(case[name]) for name in ("sk", "pk", "alpha", "pi", "beta"))
    assert vrf.public_key(secret) == public
    assert vrf.prove(secret, alpha) == pi
    assert vrf.output(pi) == beta
    assert vrf.verify(public, pi, alpha) == beta


@pytest.mark.parametrize("case", EXAMPLES, ids=lambda case: f"example-{case['example']}")
def test_the_oracle_agrees_with_the_examples_of_rfc_9381(case):
    public, proof = ecvrf_oracle.prove(bytes.fromhex(case["sk"]), bytes.fromhex(case["alpha"]))
    h = ecvrf_oracle.encode_to_curve(public, bytes.fromhex(case["alpha"]))
    assert (public.hex(), proof.hex(), ecvrf_oracle.written(h).hex()) == (case["pk"], case["pi"], case["h"])


@settings(max_examples=15, deadline=None)
@given(secrets, alphas)
def test_proofs_are_those_of_an_implementation_that_shares_no_code(secret, alpha):
    pi = vrf.prove(secret, alpha)
    public, expected = ecvrf_oracle.prove(secret, alpha)
    assert (vrf.public_key(secret), pi) == (public, expected)
    assert vrf.verify(public, pi, alpha) == ecvrf_oracle.verify(public, pi, alpha) == vrf.output(pi)


@given(secrets, secrets, alphas, alphas)
def test_a_proof_holds_for_its_key_and_its_input_only(secret, other_secret, alpha, other_alpha):
    pi, public = vrf.prove(secret, alpha), vrf.public_key(secret)
    beta = vrf.verify(public, pi, alpha)
    assert beta is not None
    assert len(beta) == vrf.OUTPUT_BYTES
    assert vrf.prove(secret, alpha) == pi
    assert (vrf.verify(public, pi, other_alpha) == beta) == (other_alpha == alpha)
    assert (vrf.verify(vrf.public_key(other_secret), pi, alpha) == beta) == (other_secret == secret)


@given(secrets, alphas, st.integers(0, vrf.PROOF_BYTES * 8 - 1))
def test_a_proof_with_a_flipped_bit_is_refused(secret, alpha, bit):
    pi = bytearray(vrf.prove(secret, alpha))
    pi[bit // 8] ^= 1 << bit % 8
    assert vrf.verify(vrf.public_key(secret), bytes(pi), alpha) is None


@given(st.binary(max_size=100), st.binary(max_size=100), alphas)
@example(KEY, bytes(80), b"")
@example(KEY, KEY + bytes(48), b"")
@example(KEY, KEY + bytes(16) + b"\1" + bytes(31), b"")
@example(KEY, KEY + b"\1" * 16 + bytes(32), b"")
@example(KEY, KEY + bytes(16) + b"\xff" * 32, b"")
def test_bytes_that_are_no_proof_are_refused_without_an_error(public, pi, alpha):
    assert vrf.verify(public, pi, alpha) is None
    assert vrf.verify(KEY, pi, alpha) is None


@pytest.mark.parametrize("gamma", [*SMALL_ORDER, *NOT_CANONICAL], ids=bytes.hex)
def test_a_proof_with_a_gamma_of_small_order_or_not_canonical_is_refused(gamma):
    rest = vrf.prove(bytes(32), b"alpha")[32:]
    assert vrf.verify(KEY, gamma + rest, b"alpha") is None
    with pytest.raises(ValueError, match="no proof"):
        vrf.output(gamma + rest)


@pytest.mark.parametrize("public", [*SMALL_ORDER, *NOT_CANONICAL, b"", KEY[:31], KEY + b"\0"], ids=bytes.hex)
def test_a_key_of_small_order_or_not_canonical_is_refused(public):
    with pytest.raises(KeyUnusable):
        vrf.check_key(public)
    assert vrf.verify(public, vrf.prove(bytes(32), b"alpha"), b"alpha") is None


@pytest.mark.parametrize("written", NOT_CANONICAL, ids=bytes.hex)
def test_a_digest_that_is_no_canonical_point_is_passed_over(written):
    """No input is known whose digest is one, so this asks the test for it alone; RFC 8032, section 5.1.3."""
    assert not vrf._is_canonical(written)
    assert ecvrf_oracle.read(written) is None


@pytest.mark.parametrize("written", [*SMALL_ORDER, KEY], ids=bytes.hex)
def test_canonical_points_of_any_order_are_tried(written):
    assert vrf._is_canonical(written)
    assert ecvrf_oracle.read(written) is not None


def test_a_key_with_a_part_of_small_order_is_refused():
    mixed = crypto_core_ed25519_add(KEY, ORDER_EIGHT)
    with pytest.raises(KeyUnusable):
        vrf.check_key(mixed)
    assert vrf.verify(mixed, vrf.prove(bytes(32), b"alpha"), b"alpha") is None


def test_a_scalar_that_is_not_reduced_is_refused_though_it_multiplies_alike():
    pi = vrf.prove(bytes(32), b"alpha")
    s = int.from_bytes(pi[48:], "little") + ecvrf_oracle.Q
    assert vrf.verify(KEY, pi[:48] + s.to_bytes(32, "little"), b"alpha") is None


def test_a_secret_of_another_length_is_refused():
    for secret in (b"", bytes(31), bytes(64)):
        with pytest.raises(KeyUnusable):
            vrf.prove(secret, b"alpha")
        with pytest.raises(KeyUnusable):
            vrf.public_key(secret)


def test_fresh_secrets_differ():
    assert len({vrf.new_secret() for _ in range(50)}) == 50
