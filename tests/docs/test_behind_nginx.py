"""The nginx configuration of the how-to guide, with a real nginx, a login that is ours, and a real server behind it."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Another configuration to try the tests on: they have to notice what is wrong with it.
EXAMPLE = Path(os.environ.get("PALAVER_NGINX_EXAMPLE") or ROOT / "docs" / "examples" / "nginx" / "palaver.conf")
NGINX = shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
SECRET = "a-secret-between-nginx-and-palaver"

pytestmark = [
    pytest.mark.real_part,
    pytest.mark.skipif(NGINX is None, reason="no nginx here"),
]


def free_ports(count):
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listener.getsockname()[1] for listener in listeners]


class Login(BaseHTTPRequestHandler):
    """Knows one cookie; `nobody` is logged in without a name."""

    def do_GET(self):
        user = (self.headers.get("Cookie") or "").removeprefix("session=")
        self.send_response(200 if user else 401)
        if user and user != "nobody":
            self.send_header("X-User-ID", user)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    """Give the address of nginx, in front of everything else."""
    folder = tmp_path_factory.mktemp("nginx")
    port, backend, login = free_ports(3)
    with contextlib.ExitStack() as stack:
        server = ThreadingHTTPServer(("127.0.0.1", login), Login)
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        stack.enter_context(serving(folder, backend))
        stack.enter_context(proxying(folder, port, backend, login))
        wait_for(f"http://127.0.0.1:{backend}/livez")
        wait_for(f"http://127.0.0.1:{port}/")
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def serving(folder, port):
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("AICHAT_", "AI_", "OPENAI_"))}
    settings = {
        "AICHAT_LLM_PROVIDER": "mock",
        "AICHAT_PROXY_SECRET": SECRET,
        "AICHAT_ALLOWED_HOSTS": "chat.example.com",
        # Slow enough for a stream to have a middle.
        "PALAVER_MOCK_DELAY_MS": "40",
    }
    command = [Path(sys.executable).parent / "palaver", "serve", "--port", str(port)]
    with (folder / "palaver.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env={**keep, **settings}, stdout=log, stderr=log)
        yield from stopping(process)


@contextlib.contextmanager
def proxying(folder, port, backend, login):
    text = EXAMPLE.read_text()
    for old, new in (
        ("listen 8080", f"listen 127.0.0.1:{port}"),
        ("127.0.0.1:3001", f"127.0.0.1:{backend}"),
        ("127.0.0.1:9000", f"127.0.0.1:{login}"),
        ("change-me-to-a-long-random-value", SECRET),
    ):
        assert old in text
        text = text.replace(old, new)
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = folder / "nginx.conf"
    main.write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;"
        f"events {{}} http {{ access_log off; {temporary}\n{text}\n}}"
    )
    check = subprocess.run([NGINX, "-t", "-p", folder, "-c", main], capture_output=True, text=True)
    assert 0 == check.returncode, check.stderr
    with (folder / "nginx.log").open("wb") as log:
        process = subprocess.Popen([NGINX, "-p", folder, "-c", main], stdout=log, stderr=log)
        yield from stopping(process)


def stopping(process):
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(url, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"{url} did not answer")


def ask(url, body=None, **headers):
    """Ask as a browser would; give status and parsed answer."""
    sent = {"Host": "chat.example.com", **{name.replace("_", "-"): value for name, value in headers.items()}}
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        sent["Content-Type"] = "application/json"
    request = urllib.request.Request(url, data, sent)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        text = error.read().decode()
        return error.code, json.loads(text) if text.startswith("{") else text


def test_the_login_decides_who_asks(front):
    status, session = ask(f"{front}/v1/chat/sessions", {"title": "Mine"}, Cookie="session=alice")
    assert (201, "alice") == (status, session["user_id"])


def test_a_forged_identity_is_replaced(front):
    status, session = ask(f"{front}/v1/chat/sessions", {"title": "Mine"}, Cookie="session=alice", X_User_ID="bob")
    assert (201, "alice") == (status, session["user_id"])


def test_without_a_login_nothing_reaches_palaver(front):
    status, _ = ask(f"{front}/v1/chat/sessions", X_User_ID="bob")
    assert 401 == status


def test_a_login_without_a_name_is_nobody(front):
    status, answer = ask(f"{front}/v1/chat/sessions", Cookie="session=nobody", X_User_ID="bob")
    assert (401, "unauthenticated") == (status, answer["code"])


def test_a_key_that_comes_along_is_stripped(front):
    status, _ = ask(f"{front}/v1/chat/sessions", Cookie="session=alice", Authorization="Bearer something-else-0123")
    assert 200 == status


def test_what_is_for_the_operator_is_not_for_the_world(front):
    assert [404, 404] == [ask(front + path, Cookie="session=alice")[0] for path in ("/metrics", "/readyz")]


def test_a_stream_is_not_held_back(front):
    """Count how many times a piece of the answer arrives by itself: nothing on the way waits for the end."""
    host, port = front.removeprefix("http://").split(":")
    path = "/v1/chat/stream?session_id=slow&message=one+two+three"
    head = f"GET {path} HTTP/1.1\r\nHost: chat.example.com\r\nCookie: session=alice\r\nConnection: close\r\n\r\n"
    pieces = []
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head.encode())
        while piece := connection.recv(65536):
            pieces.append(piece)
    received = b"".join(pieces)
    assert b"text/event-stream" in received
    assert b'"type":"done"' in received
    assert sum(b'"type":"message"' in piece for piece in pieces) > 5
