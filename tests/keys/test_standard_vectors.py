"""The suites compute what the standards print, and what other libraries compute."""

import builtins
import json
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from gmssl import sm2 as gmssl
from hypothesis import given, settings
from hypothesis import strategies as st

from safeweave.keys import suite
from safeweave.keys import suites as suites_module
from safeweave.keys.errors import SuiteNotInstalled

VECTORS = Path(__file__).with_name("vectors")
HPKE = json.loads((VECTORS / "hpke_rfc9180.json").read_text())
GM = json.loads((VECTORS / "gm.json").read_text())
SM2 = GM["sm2"]
private_numbers = st.integers(1, 2**255).map(lambda number: number.to_bytes(32, "big"))


def octets(table, *names):
    return (bytes.fromhex(table[name]) for name in names)


def gmssl_key(private: bytes, public: bytes) -> gmssl.CryptSM2:
    key = gmssl.CryptSM2(private.hex(), "", mode=1)
    key.public_key = public[1:].hex()  # its constructor strips every 0 and 4 a key begins with
    return key


def test_hpke_opens_what_the_vectors_of_rfc_9180_seal():
    """The vectors bind data beside the message, one shot sealing does not: their key seals it here without."""
    assert (HPKE["mode"], HPKE["kem_id"], HPKE["kdf_id"], HPKE["aead_id"]) == (0, 0x20, 1, 2)
    private, public, info, enc, key, nonce = octets(HPKE, "skRm", "pkRm", "info", "enc", "key", "base_nonce")
    aad, ct, pt = octets(HPKE["encryptions"][0], "aad", "ct", "pt")
    assert AESGCM(key).encrypt(nonce, pt, aad) == ct
    opening = suite("std-1").opening_key(private)
    assert opening.public == public
    assert suite("std-1").open(opening, info, enc + AESGCM(key).encrypt(nonce, pt, None)) == pt


@pytest.mark.parametrize("case", GM["sm3"])
def test_sm3_digests_the_examples_of_gb_t_32905(case):
    message, digest = octets(case, "message", "digest")
    assert suite("gm-1").digest(message) == digest


@pytest.mark.parametrize("case", GM["sm4"])
def test_the_sm4_used_encrypts_the_example_of_gb_t_32907(case):
    key, plain, locked = octets(case, "key", "plain", "locked")
    encryptor = Cipher(algorithms.SM4(key), modes.ECB()).encryptor()
    assert encryptor.update(plain) + encryptor.finalize() == locked


@pytest.mark.parametrize("case", GM["sm4_gcm"])
def test_sm4_gcm_locks_the_example_of_rfc_8998(case):
    key, nonce, plain, locked, tag, bound = octets(case, "key", "nonce", "plain", "locked", "tag", "bound")
    assert suite("gm-1").lock(key, nonce, plain, bound) == locked + tag
    assert suite("gm-1").unlock(key, nonce, locked + tag, bound) == plain


def test_sm2_verifies_the_signature_of_gb_t_32918_5():
    private, public, message, signature = octets(SM2, "private", "public", "message", "signature")
    assert suite("gm-1").signing_key(private).public == public
    assert suite("gm-1").verify(public, signature, message)
    assert not suite("gm-1").verify(public, signature, message + b"!")


@settings(max_examples=20, deadline=None)  # the second library takes 20 ms each time
@given(private_numbers, st.binary(max_size=100))
def test_sm2_signatures_of_two_libraries_verify_each_other(private, data):
    used = suite("gm-1")
    key = used.signing_key(private)
    other = gmssl_key(private, key.public)
    assert other.verify_with_sm3(key.sign(data).hex(), data)
    assert used.verify(key.public, bytes.fromhex(other.sign_with_sm3(data)), data)


def test_sm2_decryption_is_that_of_gb_t_32918_5():
    from safeweave.keys import gm

    private, plain, c1, c3, c2 = octets(SM2, "private", "plain", "c1", "c3", "c2")
    whole = gm._sequence(c1 + c3 + c2)
    assert gm._evp("decrypt", suite("gm-1").opening_key(private).private._evp_pkey, whole, room=256) == plain


@settings(max_examples=20, deadline=None)  # the second library takes 20 ms each time
@given(private_numbers, st.binary(min_size=32, max_size=32))
def test_sm2_encryption_of_two_libraries_decrypts_each_other(private, secret):
    from safeweave.keys import gm

    key = suite("gm-1").opening_key(private)
    other = gmssl_key(private, key.public)
    wrapped = gm._sm2_encrypted(key.private.public_key(), secret)
    assert len(wrapped) == 129
    assert other.decrypt(wrapped[1:]) == secret
    assert gm._sm2_decrypted(key.private, b"\x04" + other.encrypt(secret)) == secret


def test_without_its_extra_the_national_suite_names_what_to_install(monkeypatch):
    really_import = builtins.__import__

    def without_tongsuopy(name, *arguments, **options):
        if name.startswith("tongsuopy"):
            raise ImportError(name)
        return really_import(name, *arguments, **options)

    monkeypatch.delitem(sys.modules, "safeweave.keys.gm", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_tongsuopy)
    suites_module.suite.cache_clear()
    try:
        with pytest.raises(SuiteNotInstalled, match=r"safeweave\[gm\]") as missing:
            suite("gm-1")
        assert "safeweave[gm]" in missing.value.said("zh")
        assert suite("std-1").name == "std-1"
    finally:
        suites_module.suite.cache_clear()
