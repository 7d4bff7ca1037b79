"""Several processes of one simulation, of which always exactly one runs: a step may be paused while others go on.

A step that is to be paused runs in a thread of its own; threads hand over to one another, so nothing runs at once and
one seed is always the same order.
"""

import threading
from collections.abc import Callable


class Turn:
    """One process's own thread. It runs only between `begin` or `go_on` and the moment it pauses or ends."""

    def __init__(self) -> None:
        self._go, self._back = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._back.acquire()
        self._thread: threading.Thread | None = None
        self._act: Callable[[], str | None] | None = None
        self._told: str | None = None
        self._raised: BaseException | None = None
        self.is_paused = False

    def begin(self, act: Callable[[], str | None]) -> str | None:
        """Let this act until it pauses (`is_paused`) or ends; then what it told. What it raised is raised here."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        self._act = act
        return self.go_on()

    def go_on(self) -> str | None:
        """Let what is paused, or has just begun, act until it pauses again or ends."""
        self.is_paused = False
        self._go.release()
        self._back.acquire()
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised
        return self._told

    def pause(self) -> None:
        """Called by the act itself: whoever gave it the turn goes on now, and it waits until it has the turn again."""
        self.is_paused = True
        self._back.release()
        self._go.acquire()

    def end(self) -> None:
        """Let the thread end. Nothing may be paused any more."""
        if self._thread is not None:
            self._act = None
            self._go.release()
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while True:
            self._go.acquire()
            if self._act is None:
                return
            self._told = None
            try:
                self._told = self._act()
            except BaseException as raised:  # whatever ends a step ends it for whoever gave it the turn
                self._raised = raised
            self._back.release()
