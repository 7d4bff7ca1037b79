"""A document goes from one member to another: once, in order, under a consent in force, whatever the network does."""

import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import httpx
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from consortium.given_consortium import City, serving
from ledger.given_ledger import DAY, NOON, Person
from ledger.ledgers import served
from safeweave.consortium import store
from safeweave.consortium.answer import PATH, Answer, read_answer, write_answer
from safeweave.consortium.receiving import Limits, committed_to
from safeweave.consortium.why import Refused
from safeweave.errors import Conflict, Malformed, Unavailable
from safeweave.keys.commitment import commitment, new_salt, opens
from safeweave.keys.envelope import Matter, read_cover, seal_envelope
from safeweave.keys.receipt import sign_receipt
from safeweave.keys.ring import KeyRing
from safeweave.ledger.proof import Untrusted
from waiting import PATIENCE, until


def post(city: City, envelope: bytes) -> tuple[int, Answer]:
    response = httpx.post(city.insurer.url + PATH, content=envelope, trust_env=False)
    answer = read_answer(response.content)
    assert answer is not None
    return response.status_code, answer


def code(answer: Answer) -> str:
    return answer.why.code if answer.why else ""


def an_envelope(city: City, consent: str, sequence: int = 1, content: bytes = b"a record", **details: object) -> bytes:
    """What a sender seals for the insurer by hand; it can say of it what the courier would not."""
    sender: KeyRing = details.pop("ring", city.hospital.person.ring)  # type: ignore[assignment]
    head = city.ledger.head()
    matter = {
        "recipient": city.insurer.person.id, "consent": consent, "height": head.height, "exchange": "by hand",
        "sequence": sequence, "expires_at": datetime.fromtimestamp(NOON + 30 * DAY, UTC), "kind": "record",
    } | details  # fmt: skip
    out = io.BytesIO()
    seal_envelope(io.BytesIO(content), out, Matter(**matter), sender, city.insurer.person.keys)  # type: ignore[arg-type]
    return out.getvalue()


# ---------------------------------------------------------------- the good way


def test_a_document_is_handed_over_and_its_sender_gets_a_receipt_that_holds(city):
    consent = city.consent()
    id = city.hospital.put(city.insurer, consent, "discharge record")
    with serving(city.insurer):
        city.hospital.works()
    assert city.insurer.handed() == [("exchange", 1, "discharge record")]
    sent = city.hospital.outgoing(id)
    assert sent.state == "received"
    assert sent.receipt is not None
    assert sent.receipt.signed_by(city.insurer.person.keys)
    receipt = sent.receipt.receipt
    assert receipt.envelope.hex() == sent.envelope
    assert opens(receipt.commitment, "record", receipt.salt, committed_to(sent.content), receipt.suite)
    assert city.hospital.sealed(id) == b""  # what is with the recipient need not be kept sealed


def test_many_documents_arrive_in_the_order_of_each_exchange(city):
    consent = city.consent()
    for n in range(12):
        city.hospital.put(city.insurer, consent, f"document {n}", exchange=f"exchange {n % 2}")
    with serving(city.insurer):
        city.hospital.works()
    handed = city.insurer.handed()
    assert len(handed) == 12
    for exchange in ("exchange 0", "exchange 1"):
        assert [sequence for of, sequence, _ in handed if of == exchange] == [1, 2, 3, 4, 5, 6]


def test_a_document_of_many_pieces_arrives_whole(city):
    consent = city.consent()
    content = "".join(f"line {n}\n" for n in range(300_000))
    city.hospital.put(city.insurer, consent, content)
    with serving(city.insurer):
        city.hospital.works()
    assert city.insurer.contents() == [content]


def test_an_answer_goes_back_under_the_same_consent(city):
    consent = city.consent()
    id = city.insurer.put(city.hospital, consent, "determination", kind="determination")
    with serving(city.hospital):
        city.insurer.works()
    assert city.insurer.state(id)[0] == "received"
    assert city.hospital.contents() == ["determination"]


def test_what_is_queued_in_a_transaction_that_fails_is_not_sent(city):
    consent = city.consent()

    def failing() -> None:
        with city.hospital.database.transaction() as tx:
            city.hospital.courier.put(
                tx, city.insurer.person.id, "exchange", consent, "record", io.BytesIO(b"never"), city.time()
            )
            raise Malformed("it went wrong")

    with pytest.raises(Malformed):
        failing()
    with serving(city.insurer):
        city.hospital.works()
    assert city.insurer.contents() == []


def test_the_same_id_queues_once_and_an_exchange_keeps_to_one_consent(city):
    consent, other = city.consent(), city.consent()
    with city.hospital.database.transaction() as tx:
        for _ in range(2):
            city.hospital.courier.put(
                tx, city.insurer.person.id, "e", consent, "record", io.BytesIO(b"once"), city.time(), "outgoing_1"
            )
    with pytest.raises(Conflict, match="begin another"):
        city.hospital.put(city.insurer, other, "twice", exchange="e")
    with serving(city.insurer):
        city.hospital.works()
    assert city.insurer.contents() == ["once"]


# ---------------------------------------------------------------- a side that is down


def test_a_recipient_that_is_down_for_days_gets_everything_once_it_is_back(city):
    consent = city.consent()
    ids = [city.hospital.put(city.insurer, consent, f"day {n}") for n in range(3)]
    city.hospital.works(rounds=20, seconds=4 * 3600)
    assert city.hospital.state(ids[0]) == ("sealed", "silent")
    with serving(city.insurer):
        city.hospital.works(rounds=2)
    assert city.insurer.contents() == ["day 0", "day 1", "day 2"]
    assert [city.hospital.state(id)[0] for id in ids] == ["received"] * 3


def test_a_sender_that_was_restarted_goes_on_with_the_same_bytes(city):
    consent = city.consent()
    id = city.hospital.put(city.insurer, consent, "before")
    city.hospital.works()
    sealed = city.hospital.sealed(id)
    assert sealed != b""
    city.hospital.database.close()
    city.hospital.open()
    city.hospital.works(rounds=3)
    assert city.hospital.sealed(id) == sealed
    with serving(city.insurer):
        city.hospital.works(rounds=2)
    assert city.insurer.contents() == ["before"]


def test_a_silent_recipient_is_tried_seldom_and_holds_up_no_other(city, tmp_path):
    other = city.site("other", city.consortium.other_insurer)
    city.admit(other)
    first, second = city.consent(), city.consent(grantee=other.person)
    waiting = city.hospital.put(city.insurer, first, "waits")
    tries = 0
    for _ in range(100):
        city.time.passes(10)
        tries += city.hospital.courier.work()
    assert 8 < tries < 30
    with serving(other):
        city.hospital.put(other, second, "goes")
        city.hospital.works()
    assert other.contents() == ["goes"]
    assert city.hospital.state(waiting)[0] == "sealed"
    other.database.close()


def test_a_silent_ledger_lets_documents_be_queued_and_they_go_when_it_answers(city, monkeypatch):
    consent = city.consent()

    def silent(*_: object) -> None:
        raise Unavailable("no answer")

    with serving(city.insurer):
        with monkeypatch.context() as silence:
            silence.setattr(city.ledger, "consent", silent)
            id = city.hospital.put(city.insurer, consent, "patient")
            city.hospital.works(rounds=3, seconds=1200)
            assert city.hospital.state(id) == ("queued", "ledger_silent")
            assert "no answer to rely on: no answer" in city.hospital.outgoing(id).why.said("en")
        city.hospital.works(rounds=2)
    assert city.insurer.contents() == ["patient"]


def test_a_ledger_that_cannot_be_believed_is_taken_for_silence_on_both_sides(city, monkeypatch):
    consent = city.consent()
    envelope = an_envelope(city, consent)
    id = city.hospital.put(city.insurer, consent, "patient")

    def lying(*_: object) -> None:
        raise Untrusted("the log does not begin with what was seen before")

    with serving(city.insurer), monkeypatch.context() as lie:
        lie.setattr(city.ledger, "consent", lying)
        city.hospital.works()
        assert city.hospital.state(id) == ("queued", "ledger_silent")
        assert post(city, envelope)[0] == 503
    assert "does not begin with" in city.hospital.outgoing(id).why.said("zh")


def test_a_fault_of_our_own_holds_up_one_recipient_and_not_the_others(city, tmp_path, monkeypatch):
    other = city.site("other", city.consortium.other_insurer)
    city.admit(other)
    first = city.hospital.put(city.insurer, city.consent(), "cannot be")
    city.hospital.put(other, city.consent(grantee=other.person), "goes")
    really = city.hospital.courier._seal

    def broken(delivery, allowed, sealed):
        if delivery.id == first:
            raise RuntimeError("nobody thought of this")
        return really(delivery, allowed, sealed)

    with serving(other), monkeypatch.context() as fault:
        fault.setattr(city.hospital.courier, "_seal", broken)
        city.hospital.courier.start()
        until(lambda: other.contents() and city.hospital.state(first)[1] == "fault")
        city.hospital.courier.stop()
    assert "nobody thought of this" in city.hospital.outgoing(first).why.said("en")
    other.database.close()


# ---------------------------------------------------------------- consent


def test_without_a_consent_in_force_nothing_leaves(city):
    asked = {
        "consent_unknown": "0" * 64,
        "consent_pending": city.consent(not_before=NOON + DAY),
        "consent_expired": city.consent(expires=NOON + 1),
        "not_party": city.consent(by=city.consortium.commission[0]),
    }
    city.time.passes(2)
    with serving(city.insurer):
        for expected, consent in asked.items():
            with pytest.raises(Refused) as refused:
                city.hospital.courier.check(consent, city.insurer.person.id, "record")
            assert refused.value.why.code == expected
            id = city.hospital.put(city.insurer, consent, "no", exchange=expected)
            city.hospital.works()
            assert city.hospital.state(id)[1] == expected
    assert city.insurer.contents() == []


def test_a_consent_revoked_between_two_deliveries_stops_the_second_and_leaves_the_first(city):
    consent = city.consent()
    first = city.hospital.put(city.insurer, consent, "before")
    with serving(city.insurer):
        city.hospital.works()
        second = city.hospital.put(city.insurer, consent, "after")
        third = city.hospital.put(city.insurer, consent, "later still")
        city.revoke(consent)
        city.hospital.works()
    assert [city.hospital.state(id) for id in (first, second, third)] == [
        ("received", ""), ("stopped", "consent_revoked"), ("stopped", "consent_revoked"),
    ]  # fmt: skip
    assert city.insurer.contents() == ["before"]
    assert city.hospital.sealed(second) == b""


def test_what_was_sealed_before_the_revocation_is_not_sent_after_it(city):
    consent = city.consent()
    id = city.hospital.put(city.insurer, consent, "sealed")
    city.hospital.works()
    assert city.hospital.state(id)[0] == "sealed"
    city.revoke(consent)
    with serving(city.insurer):
        city.hospital.works(rounds=2)
    assert city.hospital.state(id) == ("stopped", "consent_revoked")
    assert city.insurer.contents() == []


def test_a_delivery_whose_receipt_was_lost_before_the_revocation_counts_as_received(city):
    consent = city.consent()
    id = city.hospital.put(city.insurer, consent, "arrived")
    city.hospital.works()
    with serving(city.insurer):
        assert post(city, city.hospital.sealed(id))[0] == 200  # the answer never reached the courier
        city.revoke(consent)
        city.hospital.works(rounds=2)
    assert city.hospital.state(id)[0] == "received"
    assert city.insurer.contents() == ["arrived"]


def test_the_recipient_refuses_after_the_revocation_whatever_the_sender_does_and_keeps_the_proof(city):
    consent = city.consent()
    envelope = an_envelope(city, consent)
    city.revoke(consent)
    with serving(city.insurer):
        status, answer = post(city, envelope)
    assert (status, answer.became, code(answer)) == (403, "refused", "consent_revoked")
    assert city.insurer.contents() == []
    assert [why.code for _, why in city.insurer.refused()] == ["consent_revoked"]


def test_a_kind_that_the_consent_does_not_cover_waits_for_a_person(city):
    consent = city.consent()
    city.hospital.courier.covers = lambda consent, kind: kind == "record"
    id = city.hospital.put(city.insurer, consent, "a diary", kind="diary")
    with serving(city.insurer):
        city.hospital.works()
    assert city.hospital.state(id) == ("refused", "not_covered")
    assert "diary" in city.hospital.outgoing(id).why.said("zh")


# ---------------------------------------------------------------- what may come to the door


def test_an_envelope_sent_twice_is_handed_over_once_and_gets_the_same_receipt(city):
    envelope = an_envelope(city, city.consent())
    with serving(city.insurer):
        first, again = post(city, envelope), post(city, envelope)
    assert first[0] == again[0] == 200
    assert first[1].receipt == again[1].receipt
    assert city.insurer.contents() == ["a record"]


def test_an_envelope_that_comes_many_times_at_once_is_handed_over_once(city, monkeypatch):
    envelope, together = an_envelope(city, city.consent()), Barrier(4)
    reception = city.insurer.reception
    really = reception._opened

    def opened(source, cover, permit):
        together.wait(PATIENCE)  # all have found that it did not come before
        return really(source, cover, permit)

    monkeypatch.setattr(reception, "_opened", opened)
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda source: reception.take(source, reception.greet(source)), map(io.BytesIO, [envelope] * 4))
        )
    assert {answer.became for answer in answers} == {"taken"}
    assert len({answer.receipt.signature for answer in answers}) == 1
    assert city.insurer.contents() == ["a record"]


def test_numbers_begin_at_one(city):
    with serving(city.insurer):
        assert code(post(city, an_envelope(city, city.consent(), 0))[1]) == "conflict"


def test_envelopes_that_come_out_of_order_wait_for_the_missing_one(city):
    consent = city.consent()
    envelopes = [an_envelope(city, consent, n, f"number {n}".encode()) for n in (1, 2, 3)]
    with serving(city.insurer):
        for n in (2, 1):
            status, answer = post(city, envelopes[n])
            assert (status, answer.became, code(answer)) == (202, "held", "gap")
            assert city.insurer.contents() == []
        assert post(city, envelopes[0])[0] == 200
        assert city.insurer.contents() == ["number 1", "number 2", "number 3"]
        assert [post(city, envelope)[1].became for envelope in envelopes] == ["taken"] * 3
    assert len(city.insurer.contents()) == 3


def test_another_envelope_with_a_number_that_was_used_is_refused_and_kept(city):
    consent = city.consent()
    with serving(city.insurer):
        post(city, an_envelope(city, consent, 1, b"the first"))
        for _ in range(2):
            status, answer = post(city, an_envelope(city, consent, 1, b"another"))
            assert (status, code(answer)) == (409, "conflict")
    assert city.insurer.contents() == ["the first"]
    assert {why.code for _, why in city.insurer.refused()} == {"conflict"}


def test_an_envelope_that_is_held_and_whose_consent_ends_is_let_go(city):
    consent = city.consent()
    with serving(city.insurer):
        post(city, an_envelope(city, consent, 2))
        city.revoke(consent)
    assert city.insurer.reception.sweep() == 1
    with city.insurer.database.reading() as tx:
        assert store.held(tx) == 0
        assert tx.rows("select count(*) from piece") == [(0,)]
    assert [why.code for _, why in city.insurer.refused()] == ["consent_revoked"]


def test_what_was_not_signed_by_its_sender_or_was_changed_is_refused(city):
    consent = city.consent()
    envelope = an_envelope(city, consent)
    stranger = Person("hospital")
    impostor = KeyRing(city.hospital.person.id, stranger.ring.periods)
    last = bytearray(envelope)
    last[-1] ^= 1
    middle = bytearray(envelope)
    middle[-100] ^= 1
    with serving(city.insurer):
        for forged in (an_envelope(city, consent, ring=impostor), bytes(last), bytes(middle)):
            assert code(post(city, forged)[1]) == "forged"
        for unreadable in (b"", b"hello", envelope[:-1], envelope + b"x"):
            status, answer = post(city, unreadable)
            assert (status, code(answer)) == (400, "unreadable")
        assert code(post(city, an_envelope(city, consent, ring=stranger.ring))[1]) == "stranger"
    assert city.insurer.contents() == []
    assert city.insurer.refused() == []  # what nobody has signed fills no store


def test_the_header_alone_turns_away_strangers_the_suspended_and_what_is_for_others(city):
    consent = city.consent()
    turned_away = {
        "stranger": an_envelope(city, consent, ring=Person("hospital").ring),
        "wrong_recipient": an_envelope(city, consent, recipient=city.consortium.other_insurer.id),
        "suspended": an_envelope(city, consent),
    }
    city.suspend(city.hospital.person)
    for expected, envelope in turned_away.items():
        with pytest.raises(Refused) as refused:
            city.insurer.reception.greet(io.BytesIO(envelope[:2000]))
        assert refused.value.why.code == expected


def test_an_envelope_for_somebody_else_is_refused(city):
    envelope = an_envelope(city, city.consent(), recipient=city.consortium.other_insurer.id)
    with serving(city.insurer):
        status, answer = post(city, envelope)
    assert (status, code(answer)) == (421, "wrong_recipient")


def test_an_envelope_past_its_end_is_refused_by_the_time_of_the_ledger(city):
    envelope = an_envelope(city, city.consent(), expires_at=datetime.fromtimestamp(NOON + 60, UTC))
    city.time.passes(60)
    with serving(city.insurer):
        status, answer = post(city, envelope)
    assert (status, code(answer)) == (410, "expired")


def test_a_suspended_sender_is_refused_at_once_and_sends_nothing_itself(city):
    consent = city.consent()
    with serving(city.insurer):
        assert post(city, an_envelope(city, consent, 1))[0] == 200
        envelope = an_envelope(city, consent, 2)
        waiting = city.hospital.put(city.insurer, consent, "mine")
        city.suspend(city.hospital.person)
        status, answer = post(city, envelope)
        city.hospital.works()
    assert (status, code(answer)) == (403, "suspended")
    assert city.hospital.state(waiting) == ("queued", "suspended")
    assert city.insurer.contents() == ["a record"]


def test_what_keys_from_before_a_suspension_signed_counts_no_more(city):
    consent = city.consent()
    stolen = an_envelope(city, consent)
    city.suspend(city.hospital.person)
    city.hospital.person.ring = city.hospital.person.ring.rotated(city.ledger.head().height + 1)
    city.admit(city.hospital)
    with serving(city.insurer):
        assert code(post(city, stolen)[1]) == "before_suspension"
        id = city.hospital.put(city.insurer, consent, "with new keys")
        city.hospital.works()
    assert city.hospital.state(id)[0] == "received"


def test_envelopes_sealed_before_ordinary_new_keys_are_still_taken_on_both_sides(city):
    consent = city.consent()
    id = city.hospital.put(city.insurer, consent, "with old keys")
    city.hospital.works()
    for site in (city.hospital, city.insurer):
        site.person.ring = site.person.ring.rotated(city.ledger.head().height + 1)
        city.admit(site)
    with serving(city.insurer):
        city.hospital.works(rounds=2)
    assert city.hospital.state(id)[0] == "received"


def test_an_address_that_the_ledger_does_not_know_is_not_used(city):
    consent = city.consent()
    city.admit(city.insurer, url="http://elsewhere.test")
    id = city.hospital.put(city.insurer, consent, "where to")
    with serving(city.insurer):
        city.hospital.works()
        assert city.hospital.state(id) == ("queued", "other_address")
        city.admit(city.insurer)
        city.hospital.works(rounds=2)
    assert city.hospital.state(id)[0] == "received"


def test_an_envelope_that_names_a_later_head_than_the_recipient_sees_is_asked_for_again(city, monkeypatch):
    envelope = an_envelope(city, city.consent())
    with serving(city.insurer), monkeypatch.context() as late:
        old = city.ledger.consent

        def behind(id: str):
            found = old(id)
            return msgspec.structs.replace(found, head=msgspec.structs.replace(found.head, height=1))

        late.setattr(city.ledger, "consent", behind)
        status, answer = post(city, envelope)
        assert (status, answer.became, code(answer)) == (503, "later", "behind")


# ---------------------------------------------------------------- too much, and what cannot be taken up


def test_too_large_an_envelope_is_refused_and_its_sender_waits_for_a_person(city):
    city.insurer.limits = Limits(envelope_bytes=10_000)
    city.insurer.open()
    consent = city.consent()
    id = city.hospital.put(city.insurer, consent, "x" * 20_000)
    after = city.hospital.put(city.insurer, consent, "after it")
    with serving(city.insurer):
        city.hospital.works(rounds=3)
        assert city.hospital.state(id) == ("refused", "too_large")
        assert city.hospital.state(after)[0] == "queued"  # order is kept
        city.insurer.reception.limits = Limits()
    city.insurer.limits = Limits()
    city.insurer.open()
    with serving(city.insurer):
        with city.hospital.database.transaction() as tx:
            assert store.send_again(tx, city.time(), id) == 1
        city.hospital.works(rounds=2)
    assert city.insurer.contents() == ["x" * 20_000, "after it"]


def test_a_recipient_with_too_much_waiting_asks_to_come_back_and_is_left_in_peace(city):
    consent = city.consent()
    ids = [city.hospital.put(city.insurer, consent, f"{n}") for n in range(3)]
    city.insurer.backlog = 1_000_000
    with serving(city.insurer):
        assert city.hospital.courier.work() == 1
        assert city.hospital.courier.work() == 0  # it was asked to wait
        assert city.hospital.state(ids[0]) == ("sealed", "busy")
        city.insurer.backlog = 0
        city.time.passes(3)
        city.hospital.works()
    assert city.insurer.contents() == ["0", "1", "2"]


def test_no_more_envelopes_are_held_for_a_missing_one_than_there_is_room_for(city):
    city.insurer.limits = Limits(held_of_exchange=2)
    city.insurer.open()
    consent = city.consent()
    with serving(city.insurer):
        answers = [post(city, an_envelope(city, consent, n)) for n in (2, 3, 4)]
    assert [(status, answer.became) for status, answer in answers] == [(202, "held"), (202, "held"), (429, "later")]


def test_a_large_envelope_is_not_held_for_a_missing_one_but_asked_for_again(city):
    city.insurer.limits = Limits(held_bytes=10_000)
    city.insurer.open()
    consent = city.consent()
    with serving(city.insurer):
        assert post(city, an_envelope(city, consent, 2, b"x" * 20_000))[0] == 429
        assert post(city, an_envelope(city, consent, 1))[0] == 200
        assert post(city, an_envelope(city, consent, 2, b"x" * 20_000))[0] == 200


def test_a_document_that_cannot_be_taken_up_leaves_no_trace_but_the_refusal(city):
    def picky(tx, arrival, now):
        tx.run("insert into handed (sender, exchange, sequence, content) values ('', '', 0, 'half done')")
        raise Malformed("not in any known form")

    city.insurer.hand_over = picky
    city.insurer.open()
    id = city.hospital.put(city.insurer, city.consent(), "gibberish")
    with serving(city.insurer):
        city.hospital.works()
    assert city.hospital.state(id) == ("refused", "unhandled")
    assert "not in any known form" in city.hospital.outgoing(id).why.said("en")
    assert city.insurer.contents() == []


def test_a_proxy_or_a_broken_door_is_taken_for_silence(city):
    id = city.hospital.put(city.insurer, city.consent(), "patience")
    with served(Starlette(), city.insurer.port):  # answers 404 to everything
        city.hospital.works()
    assert city.hospital.state(id) == ("sealed", "unwell")
    with serving(city.insurer):
        city.hospital.works(rounds=2, seconds=10)
    assert city.insurer.contents() == ["patience"]


def test_only_the_recipients_receipt_for_this_envelope_and_this_content_is_believed(city):
    consent = city.consent()
    id = city.hospital.put(city.insurer, consent, "mine")
    city.hospital.works()
    cover = read_cover(io.BytesIO(city.hospital.sealed(id)))
    elsewhere = read_cover(io.BytesIO(an_envelope(city, consent, exchange="exchange")))
    ring, salt, height = city.insurer.person.ring, new_salt(), city.ledger.head().height
    impostor = KeyRing(ring.member, Person("insurer").ring.periods)
    content = city.hospital.outgoing(id).content
    mine, other = (commitment("record", salt, committed_to(digest)) for digest in (content, "0" * 64))
    good = sign_receipt(cover, mine, salt, height, ring)
    lies = {
        "of another envelope": sign_receipt(elsewhere, mine, salt, height, ring),
        "of another content": sign_receipt(cover, other, salt, height, ring),
        "with other keys": sign_receipt(cover, mine, salt, height, impostor),
        "with a broken signature": msgspec.structs.replace(good, signature=bytes(64)),
    }
    for receipt, expected in [*((lie, ("sealed", "receipt_bad")) for lie in lies.values()), (good, ("received", ""))]:
        said = write_answer(Answer("taken", receipt=receipt))
        app = Starlette(routes=[Route(PATH, lambda request, said=said: Response(said), methods=["POST"])])
        with served(app, city.insurer.port):
            city.hospital.works(rounds=2)
        assert city.hospital.state(id) == expected
