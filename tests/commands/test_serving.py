"""A node whose door is taken says so in one sentence, and never that it is ready."""

import socket
from collections.abc import Iterator

import pytest

from safeweave.main import main
from safeweave.ports import free_port


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


@pytest.mark.parametrize("door", ["HTTP", "MLLP"])
def test_a_port_in_use_is_said(tmp_path, monkeypatch, capsys, taken, door):
    for each in ("HTTP", "MLLP"):
        monkeypatch.setenv(f"SAFEWEAVE_{each}_PORT", str(taken if each == door else free_port()))
    assert main(["--home", str(tmp_path), "--language", "en", "serve"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"127.0.0.1:{taken} is in use;")
    assert len(shown.err.splitlines()) == 1


@pytest.mark.parametrize("door", ["HTTP", "MLLP"])
def test_a_port_that_cannot_be_is_said(tmp_path, monkeypatch, capsys, door):
    for each in ("HTTP", "MLLP"):
        monkeypatch.setenv(f"SAFEWEAVE_{each}_PORT", str(99999 if each == door else free_port()))
    assert main(["--home", str(tmp_path), "--language", "zh", "serve"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("无法在 127.0.0.1:99999 监听")
    assert len(shown.err.splitlines()) == 1
