"""The contract by itself: compiled as committed, small enough, and deaf to whatever is not said in due form."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.chain import compiler
from ledger.chain.anvil import MISSING, Anvil, anvil
from ledger.chain.engines import Chain, founded, in_process, on_anvil
from ledger.given_ledger import DAY, NOON, Consortium, Person
from safeweave.keys.ring import Account
from safeweave.ledger.chain import contract
from safeweave.ledger.chain.account import signed_by, signer_of
from safeweave.ledger.chain.adapter import ChainLedger
from safeweave.ledger.chain.contract import KINDS, REFUSALS, RESULTS
from safeweave.ledger.chain.profile import profile
from safeweave.ledger.chain.sending import signed_transaction
from safeweave.ledger.ledger import Final
from safeweave.ledger.operation import (
    Anchor,
    Operation,
    Reserve,
    SignedOperation,
    Ticket,
    fresh_id,
    operation_bytes,
    operation_id,
)
from safeweave.ledger.rules import kind_of
from waiting import until

LARGEST_CODE = 24_576  # EIP-170
HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.mark.skipif(not compiler.is_here(), reason=compiler.MISSING)
def test_what_is_committed_is_what_the_compiler_makes_of_the_source():
    committed = (Path(contract.__file__).parent / "Consortium.json").read_text(encoding="utf-8")
    assert committed == compiler.as_text(compiler.compiled()), "run `make contract`"


def test_the_code_fits_into_a_block_chain():
    assert len(bytes.fromhex(contract.bytecode()[2:])) < LARGEST_CODE


def test_the_codes_stand_in_the_order_of_the_contract():
    source = (Path(contract.__file__).parent / "Consortium.sol").read_text(encoding="utf-8")
    for place, code in enumerate(REFUSALS):
        assert f"uint8 private constant {code.upper()} = {place};" in source
    for place, result in enumerate(RESULTS):
        assert f"bytes1 private constant R_{result} = 0x{place:02x};" in source
    kinds = source.split("enum Kind { ")[1].split(" }")[0].split(", ")
    assert [kind.lower() for kind in kinds] == [kind.replace("_", "") for kind in KINDS]


# ---------------------------------------------------------------- what the contract is told by somebody who means ill


class Stage:
    """A founded contract, and whatever is sent to it past the adapter."""

    def __init__(self, chain: Chain) -> None:
        self.chain, self.members = chain, Consortium()
        self.running = founded(chain, self.members)
        self.reader = ChainLedger(chain.node, chain.contract, chain.profile)

    def sends(self, person: Person, *sent: tuple[int, bytes, bytes, bytes]) -> list[str]:
        """Send this from the person's account; the codes of what was refused."""
        node, account = self.chain.node, person.period.account
        assert account
        transaction, raw = signed_transaction(
            account, node.chain_id(), node.sent_by(account.address), 0, 3_000_000, self.chain.contract,
            contract.call("submit", list(sent)),
        )  # fmt: skip
        node.send(raw)
        receipt = self.receipt(transaction)
        assert receipt["status"] == 1
        refused = [log for log in receipt["logs"] if "0x" + log["topics"][0].hex() == contract.topic("Refused")]
        return [contract.read_refusal(dict(log))[1] for log in refused]

    def receipt(self, transaction: str) -> dict[str, Any]:
        """anvil answers before it has sealed the block."""
        until(lambda: self.chain.node.receipt(transaction))
        receipt = self.chain.node.receipt(transaction)
        assert receipt
        return receipt

    def stands(self, operation: Operation) -> bool:
        return isinstance(self.reader.outcome(operation_id(operation), 0), Final)

    @property
    def now(self) -> int:
        return self.reader.head().time


def sent(signed: SignedOperation, raw: bytes | None = None) -> tuple[int, bytes, bytes, bytes]:
    approvals = b"".join(bytes.fromhex(approval.account_signature) for approval in signed.approvals)
    return KINDS.index(kind_of(signed.operation)), raw or operation_bytes(signed.operation), approvals, b""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    if anvil():
        server = Anvil()
        yield Stage(on_anvil(server, profile("anvil")))
        server.kill()
    else:
        yield Stage(in_process())


def test_nobody_speaks_for_another(stage: Stage):
    theirs = stage.members.hospital.anchors(fresh_id(), 1)
    assert stage.sends(stage.members.insurer, sent(theirs)) == ["bad_signature"]
    assert not stage.stands(theirs.operation)


def test_what_was_sent_under_anothers_name_does_not_keep_the_author_from_saying_it(stage: Stage):
    theirs = stage.members.hospital.anchors(fresh_id(), 1)
    stage.sends(stage.members.insurer, sent(theirs))
    stage.running.final(stage.members.hospital, theirs)


def test_a_refused_operation_between_two_others_takes_neither_with_it(stage: Stage):
    stream, hospital = fresh_id(), stage.members.hospital
    first, wrong, second = hospital.anchors(stream, 1), hospital.anchors(stream, 7), hospital.anchors(stream, 2)
    assert stage.sends(hospital, sent(first), sent(wrong), sent(second)) == ["out_of_order"]
    assert [stage.stands(one.operation) for one in (first, wrong, second)] == [True, False, True]


def test_the_inner_call_is_for_the_contract_itself_only(stage: Stage):
    hospital = stage.members.hospital
    account, node = hospital.period.account, stage.chain.node
    assert account
    operation = hospital.anchors(fresh_id(), 1).operation
    data = contract.call(
        "execute", account.address, bytes.fromhex(operation_id(operation)), 5, operation_bytes(operation), b""
    )
    nonce = node.sent_by(account.address)
    transaction, raw = signed_transaction(account, node.chain_id(), nonce, 0, 1_000_000, stage.chain.contract, data)
    node.send(raw)
    assert stage.receipt(transaction)["status"] == 0


def test_an_approval_is_of_one_operation_only(stage: Stage):
    """The second of the commission agreed to admit one member; the first uses that for another."""
    first, second = stage.members.commission
    agreed = stage.members.admits(Person("insurer"))
    other = first.signs(msgspec.structs.replace(agreed.operation, member=fresh_id()), ())
    kind, raw, _, seal = sent(other)
    approvals = sent(agreed)[2]
    assert len(approvals) == 65
    assert stage.sends(first, (kind, raw, approvals, seal)) == ["approvals_missing"]
    assert stage.sends(first, (kind, raw, b"", seal)) == ["approvals_missing"]
    assert stage.sends(second, sent(agreed)) == ["bad_signature"]
    assert stage.sends(first, sent(agreed)) == []


def test_one_approval_counts_once_however_often_it_is_sent(stage: Stage):
    first, _ = stage.members.commission
    signed = first.signs(stage.members.admits(Person("insurer")).operation, [first, first])
    assert stage.sends(first, sent(signed)) == ["approvals_missing"]


def flipped(signature: str) -> str:
    """The other form of the same signature: the same r, the negative s."""
    raw = bytes.fromhex(signature)
    s = ORDER - int.from_bytes(raw[32:64], "big")
    return (raw[:32] + s.to_bytes(32, "big") + bytes([27 + 28 - raw[64]])).hex()


def test_a_ticket_counts_with_the_signature_in_its_one_form(stage: Stage):
    members = stage.members
    ticket = members.hospital.ticket(members.insurer, (fresh_id(), 1), expires=stage.now + DAY)
    assert int(ticket.account_signature[64:128], 16) <= HALF_ORDER
    for forged in (flipped(ticket.account_signature), ticket.account_signature[:-2], "", "00" * 65):
        reserve = members.insurer.reserves(msgspec.structs.replace(ticket, account_signature=forged))
        assert stage.sends(members.insurer, sent(reserve)) == []
        outcome = stage.reader.outcome(operation_id(reserve.operation), 0)
        assert isinstance(outcome, Final)
        assert [item.result for item in outcome.receipt.results] == ["NO_TICKET"]


def in_other_words(stage: Stage) -> list[bytes]:
    """Texts that say nearly what an anchor says: none is canonical JSON of an operation."""
    members = stage.members
    anchor = operation_bytes(members.hospital.anchors(fresh_id(), 1).operation)
    ticket = members.hospital.ticket(members.insurer, (fresh_id(), 1), expires=stage.now + DAY)
    assert anchor.startswith(b'{"by":"')
    return [
        anchor.replace(b":1,", b":01,"),
        anchor.replace(b":1,", b":1.0,"),
        anchor.replace(b'"count":1', b'"count":0'),
        anchor.replace(b'"count":1', b'"count":4294967296'),
        anchor.replace(b'"count":1', b'"count":-1'),
        anchor.replace(b'"count":1', b'"count":'),
        anchor.replace(b'"count":1', b'"count":1' + b"0" * 80),
        anchor.replace(b'","count"', b'", "count"'),
        anchor.replace(b'"anchor"', b'"Anchor"'),
        anchor + b" ",
        anchor[:-1],
        anchor[:40],
        b"",
        anchor[:-4] + anchor[-4:].upper().replace(b"}", b"}") if anchor[-4:].upper() != anchor[-4:] else anchor + b"}",
        anchor[:20] + b"g" + anchor[21:],
        anchor[:20] + b"\xb0" + anchor[21:],
        json.dumps({**json.loads(anchor), "more": 1}, separators=(",", ":")).encode(),
        operation_bytes(members.insurer.reserves(ticket).operation),  # sent as an anchor
    ]


def test_nothing_but_canonical_json_of_the_kind_is_taken(stage: Stage):
    hospital = stage.members.hospital
    signed = hospital.anchors(fresh_id(), 1)
    for raw in in_other_words(stage):
        refused = stage.sends(hospital, sent(signed, raw or b" "))
        assert refused[0] in ("malformed", "unknown_member", "bad_signature"), raw


READER = msgspec.json.Decoder(Operation)


@given(st.data())
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_whatever_the_contract_takes_can_be_read_here_and_is_spelt_the_same(stage: Stage, data: st.DataObject):
    """One letter of a good operation changed, left out or put in: the contract takes it only if our decoder does."""
    members = stage.members
    ticket = members.hospital.ticket(members.insurer, (fresh_id(), 1), (fresh_id(), 2), expires=stage.now + DAY)
    person, signed = data.draw(
        st.sampled_from(
            [
                (members.hospital, members.hospital.anchors(fresh_id(), 1)),
                (members.hospital, members.hospital.grants(members.insurer, "", stage.now, stage.now + DAY)),
                (members.insurer, members.insurer.reserves(ticket)),
                (members.hospital, members.hospital.voids(fresh_id())),
            ]
        )
    )
    raw = operation_bytes(signed.operation)
    place = data.draw(st.integers(0, len(raw)))
    letter = bytes([data.draw(st.sampled_from(b'0123456789abcdefgAF"{}[],:. \\-_e\x00\xff'))])
    cut = data.draw(st.integers(0, 1))
    changed = raw[:place] + letter + raw[place + cut :]
    if stage.sends(person, sent(signed, changed)):
        return
    read = READER.decode(changed)
    assert operation_bytes(read) == changed
    assert stage.stands(read)


def test_too_much_for_one_operation_is_refused(stage: Stage):
    members = stage.members
    nullifiers = tuple(fresh_id() for _ in range(257))
    ticket = Ticket(members.hospital.id, members.insurer.id, nullifiers, (1,) * 257, stage.now + DAY, "std-1", "")
    signed = members.insurer.signs(Reserve(members.insurer.id, fresh_id(), (ticket,), fresh_id(), 60))
    assert stage.sends(members.insurer, sent(signed)) == ["malformed"]


@pytest.mark.skipif(anvil() is None, reason=MISSING)
def test_a_chain_that_counts_milliseconds_has_the_same_time():
    """As FISCO BCOS does unless told otherwise."""
    server = Anvil(begins=NOON * 1000)
    try:
        stage = Stage(on_anvil(server, profile("fisco-bcos")))
        assert NOON <= stage.now < NOON + 60
        hospital, insurer = stage.members.hospital, stage.members.insurer
        assert stage.sends(hospital, sent(hospital.grants(insurer, "", NOON - DAY, NOON))) == ["malformed"]
        [final] = stage.running.final(hospital, hospital.grants(insurer, "", NOON - DAY, NOON + DAY))
        assert NOON <= final.receipt.time < NOON + 60
    finally:
        server.kill()


# ---------------------------------------------------------------- accounts


def test_an_account_signs_as_ethereum_does():
    """Key, digest and signature computed by another implementation (RFC 6979 nonces are deterministic)."""
    account = Account(
        "0x2c7536e3605d9c16a7a3d7b1898e529396a65c23",
        bytes.fromhex("4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"),
    )
    signature = signed_by(account, b"safeweave")
    assert signer_of(signature, b"safeweave") == account.address
    assert signer_of(signature, b"safeweave!") != account.address
    assert signer_of("00" * 65, b"safeweave") == ""


def test_unreadable_seals_keep_nothing_from_standing_but_prove_nothing(stage: Stage):
    hospital = stage.members.hospital
    signed = hospital.anchors(fresh_id(), 1)
    kind, raw, approvals, _ = sent(signed)
    assert stage.sends(hospital, (kind, raw, approvals, b"\xff{")) == []
    found = [
        one
        for event, one in stage.reader.signed_operations(-1, 1000)
        if event.operation == operation_id(signed.operation)
    ]
    assert found == [None]
    assert isinstance(signed.operation, Anchor)
    assert stage.reader.find_anchor(signed.operation.root)
