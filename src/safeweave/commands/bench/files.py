"""Reading a hospital's files: `safeweave feed` as a process of its own."""

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from safeweave.clock import seconds_running
from safeweave.commands.bench.baselines import seconds_of
from safeweave.commands.bench.figure import Figure
from safeweave.commands.bench.stores import Bench
from safeweave.errors import InvariantBroken

SAMPLE = Path(__file__).parents[4] / "tests" / "exchange" / "data" / "synthea_cut.json"

# The peak of what a process starts counts the memory of the process that starts it: so a small one does.
_PEAK = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def feeding(bench: Bench) -> list[Figure]:
    """Seconds and peak memory of `safeweave feed`, against reading and decoding the same bytes with msgspec alone."""
    path = bench.data or (SAMPLE if SAMPLE.is_file() else None)
    if path is None:
        bench.remark("bench.no_sample")
        return []
    if bench.data is None:
        bench.remark("bench.sample")
    name, given = ("feed", bench.data) if bench.data else ("feed_sample", None)
    home = bench.home / "feeding"
    began = seconds_running()
    feed = [sys.executable, "-m", "safeweave.main", "--home", str(home), "feed", str(path), "--json"]
    ended = subprocess.run([sys.executable, "-c", _PEAK, *feed], stdout=subprocess.PIPE)
    seconds = seconds_running() - began
    if ended.returncode:
        raise InvariantBroken(f"safeweave feed {path} ended with code {ended.returncode}")
    megabytes = int(ended.stdout) / (1024 * 1024 if sys.platform == "darwin" else 1024)
    decoding = seconds_of(lambda: [msgspec.json.decode(content) is None for content in _contents(path)])
    return [
        Figure(f"{name}_seconds", seconds, "s", decoding, target=60 if given else None),
        Figure(f"{name}_peak_memory", megabytes, "MB", target=600 if given else None),
    ]


def _contents(path: Path) -> Iterator[bytes]:
    if path.is_dir():
        for file in sorted(path.rglob("*.json")):
            yield file.read_bytes()
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None and member.name.endswith(".json"):
                    yield content.read()
    else:
        yield path.read_bytes()
