"""``./dev bench``: speed, memory and start, as ratios to a bare aiohttp proxy measured side by side.

Every figure is a ratio within one run, peers in turn, medians of the repetitions; absolute numbers of one
machine say little. The server runs as it ships: authentication, routing, accounting and metrics on.
usage: ./dev bench [--reps N] [--quick] [--json FILE]
"""

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from processes import cpu_seconds, free_port, pinned, resident_mb, running, wait_until_ok

HERE = Path(__file__).resolve().parent
KEY = "bench-" + "0123456789abcdef" * 2
PYTHON = sys.executable
PALAVER = str(Path(PYTHON).with_name("palaver"))

#: name → (connections, requests per connection, model, stream)
PHASES: dict[str, tuple[int, int, str, int]] = {
    "one JSON request at a time": (1, 400, "gpt-json", 0),
    "JSON, 32 at a time": (32, 100, "gpt-json", 0),
    "JSON, 256 at a time": (256, 12, "gpt-json", 0),
    "first chunk, one client": (1, 200, "gpt-sse:5:1", 1),
    "64 streams of 200 chunks": (64, 3, "gpt-sse:200:0", 1),
    "500 streams, 10 chunks a second": (500, 1, "gpt-sse:30:100", 1),
}


@contextmanager
def peer(name: str, upstream: int, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, float]]:
    """Run one peer on the first core; give its process, port and seconds until its first answer."""
    port = free_port()
    env = {key: value for key, value in os.environ.items() if not key.startswith(("AICHAT_", "OPENAI_"))}
    if name == "palaver":
        env |= {
            "AICHAT_API_KEYS": f"bench={KEY}",
            "OPENAI_API_KEY": "x",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{upstream}/v1",
            "AICHAT_LLM_PROVIDER": "openai",
            "AICHAT_LLM_MODEL": "gpt-json",
            "AICHAT_DATABASE_URL": f"sqlite:///{folder}/bench.db",
        }
        command = [PALAVER, "serve", "--port", str(port)]
    else:
        command = [PYTHON, str(HERE / "passthrough.py"), str(port), str(upstream)]
    started = time.monotonic()
    with running(pinned(0, command), folder / f"{name}.log", env, folder) as process:
        wait_until_ok(f"http://127.0.0.1:{port}/livez", process)
        load(port, 1, 1, "gpt-json", 0)
        yield process, port, time.monotonic() - started


def load(port: int, connections: int, times: int, model: str, stream: int) -> dict[str, Any]:
    """Drive one peer from the second core."""
    command = [PYTHON, str(HERE / "load.py"), str(port), str(connections), str(times), model, str(stream)]
    done = subprocess.run(
        pinned(1, [*command, f"Authorization: Bearer {KEY}"]), capture_output=True, text=True, check=True, timeout=180
    )
    result: dict[str, Any] = json.loads(done.stdout)
    if result["errors"]:
        raise RuntimeError(f"{result['errors']} of {connections * times} requests failed: {result}")
    return result


def measure_peer(name: str, upstream: int, folder: Path, quick: bool) -> dict[str, float]:
    """Measure every phase on one fresh process."""
    figures: dict[str, float] = {}
    with peer(name, upstream, folder) as (process, port, cold):
        figures["start to first answer, s"] = cold
        figures["resident when idle, MB"] = resident_mb(process.pid)
        load(port, 8, 25, "gpt-json", 0)
        # Before the load: afterwards the process has memory to spare.
        figures["memory per open stream, kB"] = memory_per_stream(process.pid, port)
        for phase, (connections, times, model, stream) in PHASES.items():
            times = max(1, times // 4) if quick else times
            before = cpu_seconds(process.pid)
            result = load(port, connections, times, model, stream)
            cpu = cpu_seconds(process.pid) - before
            unit, units = ("chunk", result["chunks"]) if stream else ("request", result["requests"])
            figures[f"{phase}: {unit}s a second"] = units / result["seconds"]
            figures[f"{phase}: CPU µs per {unit}"] = cpu * 1e6 / units
            if stream:
                figures[f"{phase}: first chunk, p50 ms"] = result["first_p50"]
                figures[f"{phase}: way of a chunk, p50 ms"] = result["delay_p50"]
                figures[f"{phase}: way of a chunk, p99 ms"] = result["delay_p99"]
            else:
                figures[f"{phase}: latency, p50 ms"] = result["latency_p50"]
                figures[f"{phase}: latency, p99 ms"] = result["latency_p99"]
        figures["resident after load, MB"] = resident_mb(process.pid)
    return figures


def memory_per_stream(pid: int, port: int, streams: int = 200) -> float:
    """Hold *streams* slow streams open and see what each costs."""
    before = resident_mb(pid)
    command = [PYTHON, str(HERE / "load.py"), str(port), str(streams), "1", "gpt-sse:4:500", "1"]
    with subprocess.Popen(
        pinned(1, [*command, f"Authorization: Bearer {KEY}"]), stdout=subprocess.DEVNULL
    ) as generator:
        peak = before
        while generator.poll() is None:
            peak = max(peak, resident_mb(pid))
            time.sleep(0.05)
    return max(0.0, peak - before) * 1000 / streams


def whole_process(command: list[str], reps: int) -> tuple[float, float]:
    """Run *command* to its end; median CPU seconds and peak MB."""
    seconds, peaks = [], []
    for _ in range(reps):
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{command!r} ended with {process.returncode}")
        seconds.append(time.monotonic() - started)
        peaks.append(used.ru_maxrss / 1000)
    return statistics.median(seconds), statistics.median(peaks)


def measure_imports(reps: int) -> dict[str, tuple[float, float]]:
    """Time and memory of importing, against the interpreter alone and against aiohttp."""
    commands = {
        "python -c pass": [PYTHON, "-c", "pass"],
        "import aiohttp.web": [PYTHON, "-c", "import aiohttp.web"],
        "import palaver": [PYTHON, "-c", "import palaver"],
        "palaver --help": [PALAVER, "--help"],
    }
    return {name: whole_process(command, reps) for name, command in commands.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev bench")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one repetition, a quarter of the load")
    parser.add_argument("--json", type=Path, help="also write the raw figures here")
    options = parser.parse_args()
    reps = 1 if options.quick else options.reps
    imports = measure_imports(3 if options.quick else 7)
    loop = "uvloop" if importlib.util.find_spec("uvloop") else "asyncio"
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, event loop: {loop}; medians of {reps}\n")
    print("| process | seconds | peak MB |\n|---|---|---|")
    for name, (seconds, peak) in imports.items():
        print(f"| {name} | {seconds:.3f} | {peak:.0f} |")
    raw: dict[str, list[dict[str, float]]] = {"passthrough": [], "palaver": []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        upstream = free_port()
        with running(pinned(1, [PYTHON, str(HERE / "upstream.py"), str(upstream)]), folder / "upstream.log"):
            time.sleep(0.5)
            for _ in range(reps):
                for name, rows in raw.items():
                    rows.append(measure_peer(name, upstream, folder, options.quick))
    print("\n| figure | bare proxy | palaver | ratio |\n|---|---|---|---|")
    for figure in raw["palaver"][0]:
        base, ours = (statistics.median(row[figure] for row in raw[name]) for name in ("passthrough", "palaver"))
        print(f"| {figure} | {base:.3g} | {ours:.3g} | {ours / base if base else float('nan'):.2f} |")
    if options.json:
        options.json.write_text(json.dumps({"imports": imports, "peers": raw}, indent=1))


if __name__ == "__main__":
    main()
