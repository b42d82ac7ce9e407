"""What `./dev wheel-check` runs: does Palaver work from its wheels alone?

wheel_check.py needs WHEEL...   name the third-party distributions that the wheels declare, and theirs in turn
wheel_check.py chat SOURCES     in an environment of nothing else: import everything, serve, chat, stop
"""

import contextlib
import importlib
import importlib.metadata
import json
import os
import pkgutil
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

KEY = "wheel-check-0123456789abcdef"
SETTINGS = {"AICHAT_LLM_PROVIDER": "mock", "AICHAT_API_KEYS": f"wheel-check={KEY}"}

# Each request to make and the words that its answer must hold.
CHATS = (
    (
        "/v1/chat/completions",
        {"Authorization": f"Bearer {KEY}"},
        {"model": "mock/echo", "messages": [{"role": "user", "content": "is anybody there"}]},
        "is anybody there",
    ),
    ("/v1/chat/send", {"X-User-ID": "1"}, {"message": "are you well"}, "are you well"),
)


def main(command, *args):
    {"needs": needs, "chat": chat}[command](*args)


# In .venv ------------------------------------------------------------------------------------------------------------


def needs(*wheels):
    from packaging.requirements import Requirement

    ours = {wheel_metadata(wheel)["Name"]: wheel_metadata(wheel) for wheel in wheels}
    waiting = [(name, "") for name in ours]
    seen = set()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        metadata = ours.get(name) or importlib.metadata.distribution(name).metadata
        for requirement in map(Requirement, metadata.get_all("Requires-Dist", ())):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                wanted = re.sub(r"[-_.]+", "-", requirement.name).lower()
                waiting += [(wanted, ""), *((wanted, extra) for extra in requirement.extras)]
    print(*sorted({name for name, _ in seen} - set(ours)), sep="\n")


def wheel_metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inner = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return importlib.metadata.PathDistribution(zipfile.Path(archive, inner.removesuffix("METADATA"))).metadata


# In the clean environment --------------------------------------------------------------------------------------------


def chat(sources):
    packages = sorted(path.name for path in site_packages().glob("palaver*") if path.is_dir() and path.suffix == "")
    check_origin(packages, Path(sources))
    print(f"wheel-check: {import_everything(packages)} modules of {', '.join(packages)} import")
    with free_port() as port:
        address = f"http://127.0.0.1:{port}"
    with Path("server.log").open("wb") as log:
        command = [Path(sys.executable).parent / "palaver", "serve", "--port", str(port)]
        server = subprocess.Popen(command, env={**os.environ, **SETTINGS}, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_for(f"{address}/livez", server)
            for path, headers, body, expected in CHATS:
                answer = post(address + path, headers, body)
                if expected not in answer:
                    raise Failed(f"{path} answered {answer}; expected {expected!r} in it")
                print(f"wheel-check: {path} answers")
            server.send_signal(signal.SIGTERM)
            code = server.wait(timeout=15)
            if code != 0:
                raise Failed(f"the server ended with {code} after SIGTERM")
            print("wheel-check: the server stops with 0")
        except Exception:
            print(Path("server.log").read_text(errors="replace"), file=sys.stderr)
            raise
        finally:
            if server.poll() is None:
                server.kill()
                server.wait()


def site_packages():
    return Path(importlib.metadata.distribution("palaver-core").locate_file("")).resolve()


def check_origin(packages, sources):
    """Refuse to go on when anything could come from a source tree instead of a wheel."""
    if not packages:
        raise Failed("no package of ours is installed")
    near = [entry for entry in sys.path if Path(entry).resolve().is_relative_to(sources)]
    if near:
        raise Failed(f"sys.path reaches into the sources: {near}")
    for distribution in importlib.metadata.distributions():
        if distribution.name.startswith("palaver-"):
            origin = json.loads(distribution.read_text("direct_url.json") or "{}")
            if not origin.get("url", "").endswith(".whl"):
                raise Failed(f"{distribution.name} was not installed from a wheel: {origin}")


def import_everything(packages):
    """Import every module of ours and count them, so that a dependency that no wheel declares is missed now."""
    count = 0
    for name in packages:
        inner = getattr(importlib.import_module(name), "__path__", ())
        names = [f"{name}.{module.name}" for module in pkgutil.iter_modules(inner)]
        # The test kit needs the `testing` extra, and a `__main__` runs.
        names = [name for name in names if name != "palaver.testing" and not name.endswith(".__main__")]
        count += 1 + import_everything(names)
    return count


@contextlib.contextmanager
def free_port():
    """Hold a port that nobody else has until the context ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def wait_for(url, server, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if server.poll() is not None:
            raise Failed(f"the server ended with {server.returncode} before it served")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise Failed(f"{url} did not answer within {seconds} s")


def post(url, headers, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.read().decode()
    except urllib.error.HTTPError as error:
        raise Failed(f"{url} answered {error.code}: {error.read().decode()}") from error


class Failed(Exception):
    """The wheels do not work."""


if __name__ == "__main__":
    main(*sys.argv[1:])
