"""Accounts on a chain: secp256k1 keys that send transactions and sign tickets and approvals for the contract."""

import hashlib
import secrets

import msgspec

from safeweave.keys.ring import Account
from safeweave.ledger.chain.extra import needed
from safeweave.ledger.operation import Approval, Operation, Ticket, approval_message, operation_id, ticket_message


def new_account() -> Account:
    """An account with a fresh key."""
    return account_of(secrets.token_bytes(32))


def account_of(private: bytes) -> Account:
    """The account of a private key of 32 bytes. Raises ValueError for one that is none."""
    return Account(str(needed("eth_account").Account.from_key(private).address).lower(), private)


def signed_by(account: Account, message: bytes) -> str:
    """The account's signature (r, s, v as hex) over the SHA-256 of a message, in the one form the contract takes."""
    key = needed("eth_keys").keys.PrivateKey(account.private)
    signature = key.sign_msg_hash(hashlib.sha256(message).digest())
    return str(bytes([*signature.to_bytes()[:64], 27 + signature.v]).hex())


def signer_of(signature: str, message: bytes) -> str:
    """The address whose account signed the SHA-256 of a message, "" if none did."""
    raw = bytes.fromhex(signature)
    if len(raw) != 65 or raw[64] not in (27, 28):
        return ""
    keys = needed("eth_keys")
    try:
        read = keys.keys.Signature(signature_bytes=raw[:64] + bytes([raw[64] - 27]))
        public = read.recover_public_key_from_msg_hash(hashlib.sha256(message).digest())
    except (keys.exceptions.BadSignature, keys.exceptions.ValidationError):
        return ""
    return str(public.to_address())


def countersigned(ticket: Ticket, account: Account) -> Ticket:
    """The ticket with the signature of the hospital's account, so that the contract can check it."""
    return msgspec.structs.replace(ticket, account_signature=signed_by(account, ticket_message(ticket)))


def countersigned_approval(approval: Approval, operation: Operation, account: Account) -> Approval:
    """The approval with the signature of the member's account, so that the contract can count it."""
    message = approval_message(operation_id(operation))
    return msgspec.structs.replace(approval, account_signature=signed_by(account, message))
