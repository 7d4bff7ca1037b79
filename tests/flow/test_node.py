"""What a node does every few seconds: each of it, whatever becomes of the rest."""

from dataclasses import replace

import pytest

from given import CLEAN_STAY, House
from safeweave.web.operations import tally


def test_notices_that_cannot_be_read_keep_neither_times_nor_counts_waiting(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    counted = []
    monkeypatch.setattr(tally, "keep_up", lambda database, now: counted.append(now))
    monkeypatch.setattr(house.node, "settings", replace(house.node.settings, pages=True))
    house.hears(*CLEAN_STAY)
    assert house.node.instructed
    monkeypatch.setattr(house.node.desk, "fetch", lambda cursors: 1 / 0)
    house.node.look_around()
    assert "the banks' notices" in caplog.text
    assert house.node.instructed == []
    assert counted == [house.time()]
