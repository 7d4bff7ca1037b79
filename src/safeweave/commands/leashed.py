"""Processes that a command starts and that never outlive it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def leashed(
    arguments: list[str], log: Path, environment: dict[str, str], read_first_line: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with this one, whatever happens to it."""
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "safeweave_simulator.leash", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if read_first_line else errors,
            stderr=errors,
            env={**os.environ, **environment},
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
