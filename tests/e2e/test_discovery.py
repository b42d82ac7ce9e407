"""Every plugin that can go wrong, installed around a server that serves; and what the command line tells of them."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_asyncio
import yaml
from palaver.testing.broken_plugins import BROKEN, WORKING, install_broken, install_working

from .servers import PALAVER, Server, environment, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

OURS = {"mock", "openai", "sqlite"}
#: Leaves a trace when it is imported, and would work.
NOSY = 'from pathlib import Path\n\nPath("{marker}").touch()\n' + WORKING.format(name="{name}")


@attrs.frozen
class Installed:
    """A folder that server and command line have on their path, and one with their configuration."""

    site: Path
    folder: Path
    server: Server

    def marker(self, name: str) -> Path:
        """Give the file that the plugin *name* makes when it is imported."""
        return self.site.parent / f"{name}-was-imported"

    async def palaver(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run the command line beside the server."""

        def run() -> "subprocess.CompletedProcess[str]":
            return subprocess.run(
                [PALAVER, *arguments],
                cwd=self.folder,
                env=environment(PYTHONPATH=str(self.site), **variables),
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )

        return await asyncio.to_thread(run)


CONFIG: dict[str, Any] = {
    "llm": {"provider": "mock"},
    "providers": {"bird": {"plugin": "parrot"}},
    "plugins": {"import_limit": 0.5, "total_limit": 20, "block": ["palaver-nosy", "nosy_too"]},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installed(tmp_path_factory: Any) -> AsyncIterator[Installed]:
    folder = tmp_path_factory.mktemp("discovery")
    site, wheels = folder / "site", folder / "wheels"
    site.mkdir()
    install_broken(wheels, site)
    install_working(wheels, site, "parrot")
    for name in ("nosy", "nosy_too", "curious"):
        source = NOSY.replace("{marker}", str(folder / f"{name}-was-imported")).replace("{name}", name)
        install_working(wheels, site, name, source=source)
    async with running(folder, CONFIG, PYTHONPATH=str(site)) as server:
        yield Installed(site, folder, server)


async def test_a_third_partys_provider_answers_on_every_surface(installed: Installed) -> None:
    server = installed.server
    for model in ("bird/any", "curious/any"):
        word = "parrot" if model == "bird/any" else "curious"
        answer = await server.complete("hi", model=model)
        assert (200, word) == (answer.status, answer.body["choices"][0]["message"]["content"])
        answer = await server.ask("POST", "/v1/chat/send", {"message": "hi", "model": model})
        assert (200, word) == (answer.status, answer.body["message"]["content"])
    info = await server.send("hi", model="bird/any")
    frames = await server.frames(info["stream_url"])
    assert "parrot" == "".join(frame.data.get("content", "") for frame in frames)


async def test_the_default_provider_is_not_disturbed(installed: Installed) -> None:
    answer = await installed.server.ask("POST", "/v1/chat/send", {"message": "hi"})
    assert "Mock streaming response to: 'hi'. Available tools: 0 " == answer.body["message"]["content"]


async def test_ready_with_names_and_states_and_without_reasons(installed: Installed) -> None:
    ready = await installed.server.ask("GET", "/readyz", headers={})
    assert (200, "ready") == (ready.status, ready.body["status"])
    states = {plugin["name"]: plugin["state"] for plugin in ready.body["plugins"]}
    expected = {name: plugin.state for name, plugin in BROKEN.items()}
    expected |= {"parrot": "loaded", "curious": "loaded", "nosy": "blocked", "nosy_too": "blocked"}
    assert expected == {name: states[name] for name in expected}
    assert {"loaded"} == {states[name] for name in OURS}
    assert {"name", "version", "state"} == {key for plugin in ready.body["plugins"] for key in plugin}
    told = json.dumps(ready.body)
    assert not [plugin.reason for plugin in BROKEN.values() if plugin.reason in told]
    instances = {instance["name"]: instance["state"] for instance in ready.body["instances"]}
    assert {"bird": "ready", "mock": "ready"} == {name: instances[name] for name in ("bird", "mock")}


async def test_the_operator_is_told_at_the_start_what_is_wrong_with_each(installed: Installed) -> None:
    told = installed.server.log.read_text()
    for name, plugin in BROKEN.items():
        assert f"{name} (palaver-" in told, name
        assert plugin.reason in told, name


async def test_palaver_plugins_tells_all_of_each(installed: Installed) -> None:
    done = await installed.palaver("plugins", "--json")
    assert 0 == done.returncode, done.stderr
    reports = json.loads(done.stdout)
    for name, plugin in BROKEN.items():
        found = [report for report in reports if report["name"] == name]
        assert plugin.copies == len(found), name
        for report in found:
            assert report["distribution"].startswith(f"palaver-{name.replace('_', '-')}"), name
            assert ("1.0", plugin.state) == (report["version"], report["state"]), name
            assert plugin.reason in report["reason"], name
            assert isinstance(report["seconds"], float), name
    timed = {report["name"]: report["seconds"] for report in reports}
    assert timed["sleeps_at_import"] >= 0.5
    assert timed["hook_sleeps"] >= 0.5
    assert 0 < timed["parrot"] < 0.5
    assert OURS | {"parrot"} <= {report["name"] for report in reports if report["state"] == "loaded"}


async def test_palaver_plugins_tells_people_the_same(installed: Installed) -> None:
    done = await installed.palaver("plugins")
    assert 0 == done.returncode, done.stderr
    for name, plugin in BROKEN.items():
        row = next(line for line in done.stdout.splitlines() if line.startswith(f"{name} "))
        assert "1.0" in row, name
        assert plugin.state in row, name
        assert plugin.reason in done.stdout, name


async def test_palaver_doctor_names_what_is_broken_and_says_so_in_its_exit_status(installed: Installed) -> None:
    done = await installed.palaver("doctor")
    assert 1 == done.returncode
    assert "Traceback" not in done.stdout + done.stderr
    for name, plugin in BROKEN.items():
        lines = [line for line in done.stdout.splitlines() if f" {name} (palaver-" in line]
        assert plugin.copies == len(lines), name
        for line in lines:
            assert line.startswith("FAILED"), name
            assert " 1.0)" in line, name
            assert " s: " in line, name
        assert plugin.reason in done.stdout, name
    parrot = next(line for line in done.stdout.splitlines() if " parrot (palaver-parrot 1.0)" in line)
    assert parrot.startswith("ok")


async def test_what_the_file_blocks_is_never_imported(installed: Installed) -> None:
    assert installed.marker("curious").exists()  # the markers work
    await installed.palaver("plugins")
    for name in ("nosy", "nosy_too"):
        assert not installed.marker(name).exists()
        answer = await installed.server.complete("hi", model=f"{name}/any")
        assert (404, "model_not_found") == (answer.status, answer.body["error"]["code"])


async def test_what_the_environment_blocks_is_never_imported(installed: Installed, tmp_path: Path) -> None:
    marker = installed.marker("curious")
    marker.unlink(missing_ok=True)
    block = "palaver-curious,sleeps_at_import,hook_sleeps"
    done = await installed.palaver("plugins", "--json", AICHAT_PLUGINS_BLOCK=block)
    assert "blocked" == {report["name"]: report["state"] for report in json.loads(done.stdout)}["curious"]
    assert not marker.exists()


async def test_two_of_one_name_are_told_apart_by_allowing_one(installed: Installed, tmp_path: Path) -> None:
    config = tmp_path / "allow.yaml"
    config.write_text(yaml.safe_dump({"plugins": {"allow": ["palaver-claimed-twice-1", "palaver-mock"]}}))
    done = await installed.palaver("plugins", "--json", "--config", str(config))
    reports = json.loads(done.stdout)
    assert {"palaver-claimed-twice-1", "palaver-mock"} == {
        report["distribution"] for report in reports if report["state"] == "loaded"
    }
    assert 0 == sum(report["seconds"] for report in reports if report["state"] != "loaded")


async def test_recovery_commands_work_when_nothing_else_is_installed_right(installed: Installed) -> None:
    commands = (("config", "check"), ("config", "show"), ("migrate", "status"))
    ran = await asyncio.gather(*(installed.palaver(*arguments) for arguments in commands))
    for arguments, done in zip(commands, ran, strict=True):
        assert "Traceback" not in done.stdout + done.stderr, arguments
        assert 0 == done.returncode, (arguments, done.stdout, done.stderr)
