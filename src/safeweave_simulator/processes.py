"""One of our processes under simulation: a node, or the desk from which people give commands beside it."""

import copy
import functools
import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace

from safeweave.adjudication import Adjudicator, product_files
from safeweave.coverage.product import Product
from safeweave.errors import StoreUnavailable
from safeweave.node import Node, assembled
from safeweave.payments import Bank
from safeweave.settings import Settings
from safeweave.telling import Post
from safeweave.web.doors import Hall
from safeweave_simulator.mishaps import Mishaps, Where
from safeweave_simulator.outsiders import DirectBank, Phones
from safeweave_simulator.store_file import StoreFile
from safeweave_simulator.turns import Turn

Act = Callable[[], str | None]


class Poisoned(RuntimeError):
    """No claim can be decided by this product."""


class Shelf(dict[str, Product]):
    """The products by id; one may be poisoned, so that whoever decides by it fails, or not be there for a while."""

    def __init__(self) -> None:
        super().__init__(_adjudicator().products)
        self.poisoned = ""

    def __getitem__(self, product: str) -> Product:
        if product == self.poisoned:
            raise Poisoned(product)
        return super().__getitem__(product)

    def mend(self) -> None:
        """Every product is there and can be used."""
        self.poisoned = ""
        self.update(_adjudicator().products)


class Process:
    """A node over this store, and everything that may go wrong in it; `begin_again` starts it anew."""

    def __init__(
        self, name: str, store: StoreFile, batch: int, mishaps: Mishaps, clock: Callable[[], datetime], shelf: Shelf,
        bank: DirectBank, phones: Phones,
    ) -> None:  # fmt: skip
        self.name, self.mishaps, self._clock, self._shelf = name, mishaps, clock, shelf
        self._store = store
        self.clock_off = timedelta()  # by which its clock is wrong
        self.turn = Turn()
        self.act = ""  # what it does, or has paused in
        self._settings = Settings(home=store.folder, batch=batch)
        self._bank, self._phones = bank.reached_by(mishaps), phones.reached_by(mishaps)
        self.node = self._begin()

    def clock(self) -> datetime:
        """What its clock shows; it may be a day off."""
        return self._clock() + self.clock_off

    def _begin(self) -> Node:
        self.mishaps.begin_again()
        database = self._store.opened_by(self.mishaps)
        vars(database)["_local"] = SimpleNamespace()  # one connection for all threads: one of them acts at a time
        vars(database)["transaction"] = self.mishaps.around(database.transaction)
        adjudicator = copy.copy(_adjudicator())
        adjudicator._kept = set()
        adjudicator.products = self._shelf
        banks: dict[str, Bank] = {"main": self._bank}
        post = Post({"sms": self._phones, "email": self._phones, "wechat": self._phones})
        node = assembled(self._settings, database, adjudicator, banks, post, self.clock)
        self.hall = Hall(database, node.worker, node.limits, self.clock)
        return node

    def begin_again(self) -> None:
        """The process is gone, wherever it was; another one opens its file."""
        self.node.close()
        while True:
            try:
                self.node = self._begin()
                return
            except (sqlite3.OperationalError, StoreUnavailable):  # the disk is full; whoever starts it tries again
                continue

    def acts(self, act: Act, pause_in: tuple[int, Where] | None) -> str | None:
        """Let it act to the end, or until it pauses (`turn.is_paused`); raises what the act raises."""
        if pause_in is None:
            return act()
        self.mishaps.pause_in(*pause_in, self.turn.pause)
        return self.turn.begin(act)

    def close(self) -> None:
        """Nothing of it is needed any more."""
        self.turn.end()
        self.node.close()


@functools.cache
def _adjudicator() -> Adjudicator:
    return Adjudicator(product_files(None))
