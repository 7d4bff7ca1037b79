"""What asks others over HTTP: connections stay open, and whoever is silent, gone or a stranger is told apart."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from safeweave import asking
from safeweave.asking import Asking
from waiting import PATIENCE

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-Word: yes\r\n\r\nok"


@contextmanager
def server(*conversations: Callable[[socket.socket], None]) -> Iterator[str]:
    """Answers one connection after another, each as it is told; the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            for converse in conversations:
                wire, _ = listener.accept()
                with wire:
                    converse(wire)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(PATIENCE)
        assert not thread.is_alive()


def heard(wire: socket.socket, body: int = 0) -> bytes:
    said = b""
    while b"\r\n\r\n" not in said or len(said.partition(b"\r\n\r\n")[2]) < body:
        part = wire.recv(65536)
        if not part:
            return said
        said += part
    return said


def answers(times: int) -> Callable[[socket.socket], None]:
    def converse(wire: socket.socket) -> None:
        for _ in range(times):
            heard(wire)
            wire.sendall(OK)

    return converse


def test_one_connection_serves_questions_one_after_another():
    with server(answers(2)) as url, closing(Asking(PATIENCE)) as client:
        first, second = client.get(f"{url}/a?b=c"), client.get(url)
    assert (first.status_code, first.text, first.headers.get("x-word")) == (200, "ok", "yes")
    assert second.content == b"ok"


def test_a_connection_that_the_server_let_go_is_not_used_again():
    with server(answers(1), answers(1)) as url, closing(Asking(PATIENCE)) as client:
        assert client.get(url).status_code == 200
        (idle,) = client._idle.values()
        assert idle[0].sock.recv(1, socket.MSG_PEEK) == b""  # it has said that it is gone
        assert client.get(url).status_code == 200


def test_what_is_handed_in_arrives_with_its_headers_in_as_many_pieces_as_it_has():
    said: list[bytes] = []

    def converse(wire: socket.socket) -> None:
        said.append(heard(wire, body=9))
        wire.sendall(OK)

    with server(converse) as url, closing(Asking(PATIENCE)) as client:
        client.post(f"{url}/x", iter([b"one", b"two", b"six"]), {"content-length": "9", "content-type": "text/x"})
    head, _, body = said[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /x HTTP/1.1\r\n")
    assert b"content-type: text/x" in head
    assert body == b"onetwosix"


def test_a_refusal_that_comes_before_all_was_heard_is_heard():
    def converse(wire: socket.socket) -> None:
        wire.recv(1000)
        wire.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno")
        wire.shutdown(socket.SHUT_WR)
        while wire.recv(1 << 20):
            pass

    with server(converse, answers(1)) as url, closing(Asking(PATIENCE)) as client:
        reply = client.post(url, iter([bytes(1 << 20)] * 8), {"content-length": str(8 << 20)})
        assert (reply.status_code, reply.content) == (413, b"no")
        assert client.get(url).status_code == 200


def test_what_the_content_raises_is_raised_and_its_connection_is_not_used_again():
    def torn() -> Iterator[bytes]:
        yield b"half"
        raise KeyError("the rest is gone")

    with server(lambda wire: heard(wire, body=8) and None, answers(1)) as url, closing(Asking(PATIENCE)) as client:
        with pytest.raises(KeyError):
            client.post(url, torn(), {"content-length": "8"})
        assert client.get(url).status_code == 200


@pytest.mark.parametrize(
    "said",
    [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", b"what?\r\n\r\n"],
    ids=["nothing", "half an answer", "no HTTP"],
)
def test_whoever_does_not_answer_whole_is_silent(said):
    def converse(wire: socket.socket) -> None:
        heard(wire)
        wire.sendall(said)

    with server(converse) as url, closing(Asking(PATIENCE)) as client, pytest.raises(httpx.ReadError):
        client.get(url)


def test_whoever_takes_too_long_is_silent():
    done = threading.Event()
    with server(lambda wire: done.wait(PATIENCE) and None) as url, closing(Asking(PATIENCE)) as client:
        with pytest.raises(httpx.ReadError, match="timed out"):
            client.get(url, seconds=0.1)
        done.set()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "ftp://127.0.0.1/x", "http:///x", "http://127.0.0.1:port/"])
def test_where_nobody_can_be_reached_nobody_is(url):
    with closing(Asking(PATIENCE)) as client, pytest.raises(httpx.ConnectError):
        client.get(url)


def certificate(folder: Path) -> Path:
    """A key and a certificate for this machine that it has signed itself, in one file."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now, address = datetime.now(UTC), x509.IPAddress(ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=True).sign(key, hashes.SHA256())
    )  # fmt: skip
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "own.pem"
    file.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return file


def test_a_server_behind_tls_is_believed_by_its_certificate_alone(tmp_path, monkeypatch):
    file = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)

    def refused(wire: socket.socket) -> None:
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(wire, server_side=True)

    def believed(wire: socket.socket) -> None:
        with context.wrap_socket(wire, server_side=True) as safe:
            answers(1)(safe)

    with server(refused, believed) as url:
        address = url.replace("http:", "https:")
        with closing(Asking(PATIENCE)) as client, pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            client.get(address)
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        asking.trusting.cache_clear()
        try:
            with closing(Asking(PATIENCE)) as client:
                assert client.get(address).content == b"ok"
        finally:
            asking.trusting.cache_clear()
