"""Every example in our pages works: Python runs, configuration loads, and each curl line asks a server that we start.

A block right below an example, marked ```` ```json output ```` or ```` ```text output ````, is what the example
printed: same keys and kinds of values in JSON, same lines in text, where … stands for anything. An HTML comment above a
block says otherwise: ``<!-- not run: reason -->``, or ``<!-- continues -->`` when it goes on from the block before.
"""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
from functools import cache
from pathlib import Path

import attrs
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
ADDRESS = "127.0.0.1:3001"
SETTINGS = {"AICHAT_LLM_PROVIDER": "mock", "AICHAT_API_KEYS": "docs=example-key-0123456789"}

# The tutorial's code lives in files of its own, with a test of its own.
ELSEWHERE = {"docs/tutorial/first-provider.md"}
LANGUAGES = {"python", "yaml", "sh", "console", "json", "text", "toml", "nginx", "ini", "sql"}
# First words of shell lines that are not ours to check.
FOREIGN = {
    "pip",
    "python",
    "python3",
    "export",
    "cd",
    "git",
    "nginx",
    "systemctl",
    "npm",
    "uv",
    "mkdir",
    "cp",
    "kill",
    "echo",
}


@attrs.frozen
class Snippet:
    page: str
    line: int
    info: str
    text: str
    #: From the comment above the block.
    note: str
    #: The block below, when it shows the output.
    output: "Snippet | None" = None
    #: The blocks that this one goes on from, joined.
    before: str = ""

    @property
    def language(self):
        return self.info.partition(" ")[0]

    @property
    def skipped(self):
        return self.note.removeprefix("not run:").strip() if self.note.startswith("not run") else ""

    def __str__(self):
        return f"{self.page}:{self.line}"


def snippets_of(text, page):
    """Read the fenced blocks of a page, each with the comment above it and the output below it."""
    pattern = r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```[ ]*$"
    found = []
    for match in re.finditer(pattern, text, re.MULTILINE | re.DOTALL):
        above = text[: match.start()].rstrip()
        note = re.search(r"<!-- *([^<>]*?) *-->\Z", above)
        body = re.sub(rf"^{match['indent']}", "", match["body"], flags=re.MULTILINE)
        line = text.count("\n", 0, match.start()) + 1
        found.append(Snippet(page, line, match["info"].strip(), body, note[1] if note else ""))
    for index, snippet in enumerate(found):
        following = found[index + 1] if index + 1 < len(found) else None
        if following is not None and following.info.endswith(" output"):
            snippet = attrs.evolve(snippet, output=following)
        if snippet.note == "continues":
            earlier = next(item for item in reversed(found[:index]) if item.language == snippet.language)
            snippet = attrs.evolve(snippet, before=earlier.before + earlier.text)
        found[index] = snippet
    return found


def read_pages():
    patterns = ("*.md", "docs/**/*.md", "*/README.md", "plugins/*/README.md")
    paths = {path for pattern in patterns for path in ROOT.glob(pattern)}
    found = []
    for path in sorted(paths):
        parts = path.relative_to(ROOT).parts
        if "examples" not in parts and not any(part.startswith(".") for part in parts):
            found += snippets_of(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())
    return found


SNIPPETS = read_pages()


def each(*languages, when=lambda snippet: True):
    chosen = [
        snippet
        for snippet in SNIPPETS
        if snippet.language in languages
        and not snippet.info.endswith(" output")
        and not snippet.skipped
        and when(snippet)
    ]
    return pytest.mark.parametrize("snippet", chosen, ids=str)


# The pages as such ---------------------------------------------------------------------------------------------------


def test_every_block_says_its_language():
    assert [] == [f"{snippet}: {snippet.info!r}" for snippet in SNIPPETS if snippet.language not in LANGUAGES]


def test_a_block_that_is_not_run_says_why():
    assert [] == [str(item) for item in SNIPPETS if item.note.startswith("not run") and not item.skipped]


@each("json")
def test_json_is_json(snippet):
    json.loads(snippet.text)


@each("toml")
def test_toml_is_toml(snippet):
    tomllib.loads(snippet.text)


# Python --------------------------------------------------------------------------------------------------------------


@each("python", when=lambda snippet: snippet.page not in ELSEWHERE)
def test_python_runs(snippet, request, tmp_path):
    code = snippet.before + snippet.text
    if ADDRESS in code:
        code = code.replace(ADDRESS, request.getfixturevalue("server"))
    run = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", code],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert 0 == run.returncode, run.stderr
    check_output(snippet, run.stdout)


# Configuration -------------------------------------------------------------------------------------------------------


@each("yaml")
def test_yaml_is_yaml_and_configuration_loads(snippet, tmp_path):
    content = yaml.safe_load(snippet.text)
    from palaver.config.schema import Config

    known = {field.name for field in attrs.fields(Config)}
    if not isinstance(content, dict) or not set(content) <= known:
        assert not isinstance(content, dict) or "config" not in snippet.info, f"unknown keys {set(content) - known}"
        return
    file, secret = tmp_path / "config.yaml", tmp_path / "secret"
    secret.write_text("a-secret-of-some-length\n")
    file.write_text(re.sub(r"\$\{file:[^}]+\}", f"${{file:{secret}}}", snippet.text))
    run = palaver("config", "check", "--config", str(file), folder=tmp_path, AICHAT_LLM_PROVIDER="")
    assert 0 == run.returncode, run.stdout + run.stderr


# The command line and HTTP -------------------------------------------------------------------------------------------


def commands_of(snippet):
    """List the commands of a shell block: continued lines joined, prompts and comments left out."""
    text = re.sub(r"\\\n\s*", " ", snippet.text)
    lines = [line.strip() for line in text.splitlines()]
    if snippet.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [line for line in lines if line and not line.startswith("#")]


def words_of(command):
    """Split a command, without the variables that it sets first."""
    words = shlex.split(command, comments=True)
    while words and re.match(r"[A-Za-z_]\w*=", words[0]):
        words = words[1:]
    return [words[0].removeprefix(".venv/bin/"), *words[1:]] if words else []


@each("sh", "console")
def test_every_command_exists(snippet):
    problems = []
    for command in commands_of(snippet):
        words = words_of(command)
        if not words or words[0] in FOREIGN or "curl" in command:
            continue
        if words[0] == "palaver":
            problems += unknown_words(words[1:])
        elif words[0] == "./dev":
            usage = subprocess.run([sys.executable, ROOT / "dev", "help"], capture_output=True, text=True).stdout
            if len(words) > 1 and f"./dev {words[1]}" not in usage:
                problems.append(f"./dev does not know {words[1]}")
        else:
            problems.append(f"{words[0]} is neither ours nor in FOREIGN")
    assert [] == problems


def unknown_words(words):
    """Tell which subcommand or option of `palaver ...` its help does not show."""
    path, words = [], list(words)
    help_text = help_of()
    while words and words[0] in re.findall(r"^  ([a-z][\w-]*)", help_text.partition("Commands:")[2], re.MULTILINE):
        path.append(words.pop(0))
        help_text = help_of(*path)
    if not path and words and not words[0].startswith("-"):
        return [f"palaver has no command {words[0]}"]
    options = {word.partition("=")[0] for word in words if word.startswith("-")}
    known = set(re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", help_text))
    return [f"palaver {' '.join(path)} has no option {option}" for option in sorted(options - known)]


def is_run(snippet):
    """Whether a block is executed: it asks our server, or only looks through the command line."""
    words = [words_of(command) for command in commands_of(snippet)]
    if any("curl" in command and ADDRESS in command for command in commands_of(snippet)):
        return True
    return bool(words) and all(len(line) > 1 and line[0] == "palaver" and line[1] != "serve" for line in words)


@each("sh", when=is_run)
def test_what_a_shell_block_shows_is_what_happens(snippet, request, tmp_path):
    if "curl" in snippet.text and not shutil.which("curl"):
        pytest.skip("no curl here")
    text = (snippet.before + snippet.text).replace(".venv/bin/", "")
    if ADDRESS in text:
        text = text.replace(ADDRESS, request.getfixturevalue("server"))
    (tmp_path / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\nmax-time = 30\n")
    run = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", text],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert 0 == run.returncode, run.stdout + run.stderr
    check_output(snippet, run.stdout)


def check_output(snippet, printed):
    if snippet.output is None:
        return
    if snippet.output.language == "json":
        assert [] == differences(json.loads(snippet.output.text), json.loads(printed)), printed
    else:
        assert [] == missing_lines(snippet.output.text, printed), printed


def differences(shown, got, path="$"):
    """Tell where *got* has another shape than *shown*: a key is missing, or a value is of another kind."""
    if isinstance(shown, dict) and isinstance(got, dict):
        missing = [f"{path}.{key} is missing" for key in shown if key not in got]
        inner = [differences(shown[key], got[key], f"{path}.{key}") for key in shown if key in got]
        return missing + [problem for problems in inner for problem in problems]
    if isinstance(shown, list) and isinstance(got, list):
        if shown and not got:
            return [f"{path} is empty"]
        pairs = zip(shown, got, strict=False)
        return [problem for pair in pairs for problem in differences(*pair, path=f"{path}[]")]
    if type(shown) is not type(got):
        return [f"{path}: {shown!r} shown, {got!r} got"]
    if isinstance(shown, str) and not re.fullmatch(pattern_of(shown), got, re.DOTALL) and not is_time(shown, got):
        return [f"{path}: {shown!r} shown, {got!r} got"]
    return []


def pattern_of(shown):
    return ".*".join(re.escape(part) for part in shown.split("…"))


def is_time(shown, got):
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
    return re.fullmatch(time, shown) and re.fullmatch(time, got)


def missing_lines(shown, printed):
    """Tell which shown line does not come, in order, among the printed ones; … stands for anything."""
    lines = iter(printed.splitlines())
    problems = []
    for wanted in shown.splitlines():
        if wanted.strip() in ("", "…"):
            continue
        if not any(re.fullmatch(pattern_of(wanted.rstrip()), line.rstrip()) for line in lines):
            problems.append(wanted)
            break
    return problems


# The server ----------------------------------------------------------------------------------------------------------


def environment(folder, **more):
    keep = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AICHAT_", "AI_", "OPENAI_", "PALAVER_", "PYTHON"))
    }
    path = f"{BIN}{os.pathsep}{keep.get('PATH', '')}"
    return {**keep, **SETTINGS, "PATH": path, "HOME": str(folder), "NO_COLOR": "1", "COLUMNS": "120", **more}


def palaver(*words, folder, **settings):
    command, env = [BIN / "palaver", *words], environment(folder, **settings)
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60)


@cache
def help_of(*path):
    with tempfile.TemporaryDirectory() as empty:
        return palaver(*path, "--help", folder=empty).stdout


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Serve with mock and SQLite in a folder of its own, as the README says; gives ``host:port``."""
    folder = tmp_path_factory.mktemp("server")
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    log = (folder / "server.log").open("wb")
    process = subprocess.Popen(
        [BIN / "palaver", "serve", "--port", str(port)],
        cwd=folder,
        env=environment(folder),
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/livez", process, folder / "server.log")
        yield f"127.0.0.1:{port}"
    finally:
        log.close()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(url, process, log, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"{url} did not answer: {log.read_text(errors='replace')}")


# What checks the pages is checked ------------------------------------------------------------------------------------

PAGE = """\
<!-- not run: it would cost money -->
```sh
curl http://127.0.0.1:3001/a
```

- in a list

  ```python
  print(1)
  ```

  ```text output
  1
  ```

<!-- continues -->
```python
print(2)
```
"""


def test_blocks_are_read_with_their_notes_and_outputs():
    shell, code, output, more = snippets_of(PAGE, "page.md")
    assert "it would cost money" == shell.skipped
    assert (2, "sh") == (shell.line, shell.language)
    assert ("print(1)\n", output) == (code.text, code.output)
    assert ("print(1)\n", "print(2)\n") == (more.before, more.text)


@pytest.mark.parametrize(
    ("shown", "got", "count"),
    [
        ({"a": 1}, {"a": 2, "b": 3}, 0),
        ({"a": 1}, {"b": 3}, 1),
        ({"a": 1}, {"a": "1"}, 1),
        ({"a": [{"b": "x"}]}, {"a": []}, 1),
        ({"a": [{"b": "x"}]}, {"a": [{"c": "x"}]}, 1),
        ({"a": "words"}, {"a": "others"}, 1),
        ({"a": "the … words"}, {"a": "the other words"}, 0),
        ({"a": "the … words"}, {"a": "words"}, 1),
        ({"a": "2026-01-31T12:00:00.000000Z"}, {"a": "2027-02-01T13:01:01.000001Z"}, 0),
        ({"a": True}, {"a": 1}, 1),
    ],
)
def test_an_answer_of_another_shape_is_found(shown, got, count):
    assert count == len(differences(shown, got))


def test_lines_that_did_not_come_are_found():
    printed = "data: {one}\n\ndata: {two}\ndata: [DONE]\n"
    assert [] == missing_lines("data: {one}\n…\ndata: […]\n", printed)
    assert ["data: {one}"] == missing_lines("data: {two}\ndata: {one}\n", printed)
