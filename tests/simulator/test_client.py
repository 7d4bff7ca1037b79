"""Messages reach the insurer through its doors, in order, and none is lost when either side falls over."""

import threading
from collections import Counter
from datetime import date

import pytest

from safeweave_simulator.city import City
from safeweave_simulator.client import Delivery
from safeweave_simulator.running import run
from simulator.receiver import Receiver

TODAY = date(2026, 11, 25)
STAYS = 12


def city() -> City:
    return City(3, 3, 40, today=TODAY)


def everything(opening: bool = False) -> list[bytes]:
    return [message.body for message in city().stream(STAYS)]


def test_every_message_arrives_once_and_each_hospital_keeps_its_order_on_each_door():
    with Receiver() as receiver:
        tally = run(city(), receiver.doors(city().tokens()), stays=STAYS)
        sent = list(city().stream(STAYS))
        assert tally.exhausted
        assert (tally.taken, tally.accepted, tally.waiting, tally.retried) == (len(sent), len(sent), 0, 0)
        assert Counter(receiver.received) == Counter(message.body for message in sent)
        place = {body: number for number, body in enumerate(reversed(receiver.received))}
        for hospital in city().hospitals:
            for doors in (("mllp",), ("fhir", "ebill", "yibao")):
                bodies = [m.body for m in sent if m.hospital == hospital.code and m.door in doors]
                places = [place[body] for body in dict.fromkeys(bodies)]
                assert places == sorted(places, reverse=True)


def test_each_hospital_shows_its_own_token():
    with Receiver() as receiver:
        run(city(), receiver.doors(city().tokens()), stays=STAYS)
        senders = {message.hospital for message in city().stream(STAYS) if message.door != "mllp"}
        assert receiver.tokens == {city().tokens()[code] for code in senders}


def test_a_message_without_an_answer_is_sent_again_with_the_same_bytes():
    with Receiver(drops=lambda number: number % 9 == 0) as receiver:
        tally = run(city(), receiver.doors(city().tokens()), stays=STAYS, patience=60)
        assert tally.waiting == 0
        assert tally.retried > 0
        assert set(receiver.received) == set(everything())
        assert len(receiver.received) == len(everything()) + tally.retried


def test_a_refused_message_is_told_and_not_sent_again():
    told: list[Delivery] = []
    with Receiver(refuses=lambda body: b"ADT^A03" in body) as receiver:
        tally = run(city(), receiver.doors(city().tokens()), stays=STAYS, on_event=told.append)
        discharges = [message for message in city().stream(STAYS) if b"ADT^A03" in message.body]
        assert tally.refused == len(discharges) > 0
        assert {each.message.id for each in told if each.outcome == "refused"} == {each.id for each in discharges}
        assert tally.accepted + tally.refused == tally.taken


def test_messages_wait_for_an_insurer_that_is_down_and_reach_it_when_it_is_back(tmp_path):
    with Receiver() as receiver:
        ports = receiver.ports
    doors = receiver.doors(city().tokens())
    down = run(city(), doors, stays=STAYS, state=tmp_path / "state.db", seconds=1, patience=0)
    assert down.accepted == 0
    assert down.waiting == down.taken > 0
    with Receiver(ports=ports) as receiver:
        up = run(city(), doors, stays=STAYS, state=tmp_path / "state.db")
        assert up.waiting == 0
        assert Counter(receiver.received) == Counter(everything())


def test_an_insurer_killed_and_restarted_under_way_misses_nothing(tmp_path):
    first = Receiver()
    ports, doors = first.ports, first.doors(city().tokens())
    revived: list[Receiver] = []

    def restart_after_twenty(delivery: Delivery) -> None:
        if delivery.outcome == "accepted" and len(first.received) >= 20 and not revived:
            first.drops = lambda number: True
            first.close()
            revived.append(Receiver(ports=ports))

    try:
        tally = run(city(), doors, stays=STAYS, on_event=restart_after_twenty, patience=60)
        assert tally.waiting == 0
        assert len(revived) == 1
        assert set(first.received) | set(revived[0].received) == set(everything())
    finally:
        for receiver in revived:
            receiver.close()


def test_a_simulator_stopped_and_started_again_goes_on_where_it_was(tmp_path):
    with Receiver() as receiver:
        doors, stop = receiver.doors(city().tokens()), threading.Event()

        def stop_after_ten(delivery: Delivery) -> None:
            if len(receiver.received) >= 10:
                stop.set()

        before = run(
            city(), doors, stays=STAYS, state=tmp_path / "s.db", on_event=stop_after_ten, patience=0, stop=stop
        )
        assert not before.exhausted or before.waiting
        after = run(city(), doors, stays=STAYS, state=tmp_path / "s.db")
        assert before.taken + after.taken == len(everything())
        assert set(receiver.received) == set(everything())
        again = run(city(), doors, stays=STAYS, state=tmp_path / "s.db")
        assert (again.taken, again.accepted) == (0, 0)


def test_the_answer_key_covers_what_was_taken_before_a_restart(tmp_path):
    with Receiver() as receiver:
        doors = receiver.doors(city().tokens())
        run(city(), doors, stays=STAYS, state=tmp_path / "s.db")
        resumed = city()
        run(resumed, doors, stays=STAYS, state=tmp_path / "s.db", answers=tmp_path / "answers.json")
        whole = city()
        for _ in whole.stream(STAYS):
            pass
        assert resumed.answers() == whole.answers()


def test_a_state_file_of_another_stream_is_refused(tmp_path):
    with Receiver() as receiver:
        doors = receiver.doors(city().tokens())
        run(city(), doors, stays=STAYS, state=tmp_path / "s.db")
        with pytest.raises(ValueError, match="keeps the stream"):
            run(city(), doors, stays=STAYS + 1, state=tmp_path / "s.db")
