"""How far the numbers of a table were followed, where a transaction may commit after others that took higher ones.

What was read is read once more when every transaction that wrote meanwhile has ended, so that none is missed, however
many numbers it took and however long it needed. Whoever follows must take the same row twice for once.
"""

from typing import NamedTuple

from safeweave.database import Transaction

_NEW, _ENDED = 0, -1


class Followed(NamedTuple):
    """Up to where everything was read at all, and up to where for good.

    From `sure` to `again` is read once more when all have ended who wrote before `mark`, which is given at the first
    look after it was read.
    """

    place: int
    sure: int
    again: int
    mark: int = _NEW

    def asked(self, tx: Transaction) -> "Followed":
        """The same as this transaction, which has read nothing of it yet, sees who is still writing."""
        if self.again <= self.sure:
            return self
        lowest, own = tx.under_way()
        if self.mark == _NEW:
            return self._replace(mark=own)
        is_waited_for = lowest < self.mark <= own  # above our own it comes from another server
        return self if is_waited_for else self._replace(mark=_ENDED)

    @property
    def is_due_again(self) -> bool:
        """Whether what stands behind `sure`, up to `again`, is to be read now."""
        return self.again > self.sure and self.mark == _ENDED

    def after(self, tx: Transaction, place: int, sure: int) -> "Followed":
        """When everything was read up to `place`, and for good up to `sure`."""
        if tx.numbered_in_order:
            return Followed(place, place, place)
        if sure < self.again:
            return self._replace(place=place, sure=sure)
        return Followed(place, sure, max(place, sure))
