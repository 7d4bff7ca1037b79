"""Who is a member and where it is reached: as the ledger says at a head, and nothing else.

A member's address is told outside the ledger, which holds its hash alone; an address with another hash is not used.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from safeweave.consortium.why import Refused
from safeweave.errors import SafeweaveError
from safeweave.keys.framing import framed
from safeweave.keys.keyset import KeySet
from safeweave.ledger.ledger import ConsentFound, Head, Ledger, MemberRecord

REMEMBERED = 1000  # members


def endpoint_hash(url: str) -> str:
    """What stands on the ledger for a member that is reached at this address."""
    return hashlib.sha256(framed(b"safeweave/endpoint/1", url.rstrip("/").encode())).hexdigest()


@dataclass
class Directory:
    """The members as this ledger knows them. What was read at a head is remembered until the head moves on.

    `address_of` gives the address that was told for a member, None if none was; `seen` is the head that was read last.
    """

    ledger: Ledger
    address_of: Callable[[str], str | None]
    seen: Head | None = field(default=None, init=False)
    _known: OrderedDict[str, tuple[int, MemberRecord]] = field(default_factory=OrderedDict, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)

    def head(self) -> Head:
        """The newest final head; Refused (ledger_silent)."""
        try:
            self.seen = self.ledger.head()
        except SafeweaveError as silence:
            raise Refused("ledger_silent", what=str(silence)) from silence
        return self.seen

    def consent(self, id: str) -> ConsentFound:
        """A consent at the newest head; Refused (ledger_silent)."""
        try:
            found = self.ledger.consent(id)
        except SafeweaveError as silence:
            raise Refused("ledger_silent", what=str(silence)) from silence
        self.seen = found.head
        return found

    def member(self, id: str, at: Head) -> MemberRecord:
        """A member with all its keys, suspended or not. Refused (stranger, ledger_silent)."""
        with self._lock:
            known = self._known.get(id)
            if known and known[0] == at.height:
                return known[1]
        try:
            found = self.ledger.member(id, at)
        except SafeweaveError as silence:
            raise Refused("ledger_silent", what=str(silence)) from silence
        if found is None:
            raise Refused("stranger", member=id)
        with self._lock:
            if id not in self._known or self._known[id][0] < at.height:
                self._known[id] = (at.height, found)
                self._known.move_to_end(id)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return found

    def member_since(self, id: str, height: int) -> MemberRecord:
        """A member as it was known at this height or is known since then. Refused (stranger, ledger_silent)."""
        with self._lock:
            known = self._known.get(id)
        return known[1] if known and known[0] >= height else self.member(id, self.head())

    def active(self, id: str, at: Head) -> MemberRecord:
        """A member whose word counts at this head. Refused (stranger, suspended, ledger_silent)."""
        found = self.member(id, at)
        if found.is_suspended_at(at.height):
            raise Refused("suspended", member=id)
        return found

    def address(self, member: MemberRecord) -> str:
        """Where the member is reached. Refused (no_address, other_address)."""
        url = self.address_of(member.member)
        if url is None:
            raise Refused("no_address", member=member.member)
        if endpoint_hash(url) != member.endpoint_hash:
            raise Refused("other_address", member=member.member, url=url)
        return url.rstrip("/")


def keys_at(member: MemberRecord, height: int) -> KeySet:
    """The keys of a member at a height. Refused (no_keys)."""
    keys = member.keys_at(height)
    if keys is None or not keys.valid_at(height):
        raise Refused("no_keys", member=member.member, height=height)
    return keys


def check_sealed_since(member: MemberRecord, height: int) -> None:
    """Refused (before_suspension) if the member was suspended after this height.

    Whoever lost its keys is suspended and comes back with new ones; what the old ones sign with an old height counts
    no more.
    """
    if any(suspension.since > height for suspension in member.suspensions):
        raise Refused("before_suspension", member=member.member)
