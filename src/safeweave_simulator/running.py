"""Lets a city speak: its stream through the doors of an insurer, for some seconds or until it is told."""

import asyncio
from itertools import chain
from pathlib import Path

from safeweave_simulator.city import City
from safeweave_simulator.client import Doors, OnEvent, Stop, Tally, deliver
from safeweave_simulator.story import opening_story


def stays_within(rate: float, seconds: float) -> int:
    """About how many stays can be told from beginning to end at `rate` messages a second (one takes seven or eight)."""
    return max(1, int(rate * seconds / 7.6))


def run(
    city: City,
    doors: Doors,
    *,
    stays: int,
    rate: float = 0.0,
    seconds: float | None = None,
    patience: float = 10.0,
    state: Path | None = None,
    answers: Path | None = None,
    opening: bool = False,
    on_event: OnEvent | None = None,
    stop: Stop | None = None,
) -> Tally:
    """Send the messages of `stays` stays (see `client.deliver` for the rest) and return the counts. It blocks.

    `opening` sends the opening story first; `answers` is where the truth is written at the end: it covers every message
    that was taken from the stream.
    """

    story = opening_story(city.today) if opening else []
    sending = deliver(
        chain(story, city.stream(stays)),
        doors,
        stream=f"{city.name}, {stays} stays" + (", opening" if opening else ""),
        state=state,
        rate=rate,
        seconds=seconds,
        patience=patience,
        on_event=on_event,
        stop=stop,
    )
    try:
        return asyncio.run(sending)
    finally:
        if answers:
            city.write_answers(answers)
