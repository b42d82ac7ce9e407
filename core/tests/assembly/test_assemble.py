"""Every plugin here is a wheel, built and installed by its test."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
from palaver import FinishReason, ProviderSpec, ResponseFinished, ResponseStarted, TextDelta
from palaver.assembly import PluginState
from palaver.testing import fake_context
from palaver.testing.broken_plugins import BROKEN, WORKING
from palaver.testing.wheels import build_wheel

#: Long for a plugin of ten lines, even when others use both processors.
PATIENT = 5.0
#: For plugins that never come back.
SHORT = 0.5


def limit_for(name):
    return SHORT if "sleeps" in name else PATIENT


async def test_a_working_plugin_is_loaded_and_its_provider_answers(site):
    site.plugin("acme")
    assembly = site.assemble()
    (report,) = assembly.plugins
    assert ("acme", "palaver-acme", "1.0", PluginState.LOADED) == (
        report.name,
        report.distribution,
        report.version,
        report.state,
    )
    assert ("", "", False, 1) == (report.reason, report.traceback, report.slow, report.hook_api)
    assert (("provider:acme",), ("palaver_providers",)) == (report.provides, report.hooks)
    assert 0 < report.seconds < assembly.seconds
    assert report is assembly.origin("provider:acme")
    assert "palaver_acme" == assembly.modules["acme"].__name__
    spec = assembly.providers["acme"]
    async with spec.open(spec.config(), fake_context()) as provider:
        batches = [batch async for batch in provider.stream(None)]
    assert [[ResponseStarted(), TextDelta("acme"), ResponseFinished(FinishReason.STOP)]] == batches


def test_nothing_installed_is_nothing_found(site):
    assembly = site.assemble()
    assert () == assembly.plugins
    assert {} == assembly.providers
    assert assembly.report("acme") is None
    assert assembly.origin("provider:acme") is None


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_reported_and_the_good_one_beside_it_loads(site, name):
    site.broken(name)
    site.plugin("good")
    assembly = site.assemble(import_limit=limit_for(name))
    broken = BROKEN[name]
    reports = [report for report in assembly.plugins if report.name == name]
    assert broken.copies == len(reports)
    for report in reports:
        assert broken.reason in report.reason
        assert broken.state == report.state.value
        assert () == report.provides
        assert report.distribution.startswith(f"palaver-{name.replace('_', '-')}")
        assert "1.0" == report.version
        assert "\n" not in report.summary()
        assert broken.reason in report.summary()
    assert ["good"] == list(assembly.providers)
    assert ["good"] == list(assembly.modules)
    assert PluginState.LOADED is assembly.report("good").state


def test_all_broken_plugins_at_once_keep_nothing_else_from_loading(site, monkeypatch):
    monkeypatch.setattr("palaver.assembly.manager.SLOW", 0.1)
    site.broken(*BROKEN)
    site.plugin("good")
    assembly = site.assemble(import_limit=1.0)
    assert ["good"] == list(assembly.providers)
    assert {**{name: broken.state for name, broken in BROKEN.items()}, "good": "loaded"} == {
        report.name: report.state.value for report in assembly.plugins
    }


def test_the_traceback_begins_in_the_plugin(site):
    site.broken("raises_at_import")
    report = site.assemble().report("raises_at_import")
    lines = report.traceback.splitlines()
    assert "Traceback (most recent call last):" == lines[0]
    assert "palaver_raises_at_import" in lines[1]
    assert "RuntimeError: no luck today" == lines[-1]


def test_a_hang_shows_the_line_it_hangs_at(site):
    site.plugin("naps", "import time\n\ntime.sleep(60)\n")
    report = site.assemble(import_limit=SHORT).report("naps")
    assert "palaver_naps" in report.traceback
    assert report.traceback.endswith("time.sleep(60)\n")
    assert 2 == len(report.traceback.splitlines())
    assert SHORT <= report.seconds < PATIENT


def test_hangs_pass_beside_each_other_and_starve_nobody(site, monkeypatch):
    monkeypatch.setattr("palaver.assembly.manager.SLOW", 0.05)
    for name in ("a", "b", "c"):
        site.plugin(f"{name}_hangs", "import time\n\ntime.sleep(60)\n")
    site.plugin("z_good")
    began = time.monotonic()
    assembly = site.assemble(import_limit=1.0, total_limit=10)
    assert 1 <= time.monotonic() - began < 2
    assert ["z_good"] == list(assembly.providers)


def test_what_the_total_limit_leaves_no_time_for_is_reported_as_not_tried(site):
    site.plugin("a_hangs", "import time\n\ntime.sleep(60)\n")
    site.plugin("b_good")
    assembly = site.assemble(import_limit=PATIENT, total_limit=SHORT)
    assert PluginState.QUARANTINED is assembly.report("a_hangs").state
    late = assembly.report("b_good")
    assert "not tried: the total limit of 0.5 s was used up by others" == late.reason
    assert 0 == late.seconds
    assert "palaver_b_good" not in sys.modules


class Ticking:
    """A clock on which two seconds pass between any two looks."""

    now_at = 0.0

    def monotonic(self):
        self.now_at += 2.0
        return self.now_at


def test_a_plugin_that_comes_back_too_late_does_not_load(site):
    site.plugin("acme")
    assembly = site.assemble(clock=Ticking(), total_limit=60, import_limit=1.5)
    assert {} == assembly.providers
    (report,) = assembly.plugins
    assert (PluginState.QUARANTINED, "took 2.0 s, the limit is 1.5 s") == (report.state, report.reason)


def test_a_slow_plugin_is_loaded_and_called_slow(site):
    site.plugin("acme")
    (report,) = site.assemble(clock=Ticking(), total_limit=60, import_limit=60).plugins
    assert PluginState.LOADED is report.state
    assert report.slow
    assert "loaded in 2000 ms, slow: offers provider:acme" in report.summary()


MARKING = 'from pathlib import Path\n\nPath(__file__).with_name("imported").touch()\n' + WORKING.format(name="marks")


@pytest.mark.parametrize(
    ("lists", "imported"),
    [
        ({}, True),
        ({"block": ["marks"]}, False),
        ({"block": ["Palaver_Marks"]}, False),
        ({"allow": ["other"]}, False),
        ({"allow": ["palaver-marks"]}, True),
        ({"allow": ["marks"], "block": ["marks"]}, False),
    ],
    ids=str,
)
def test_the_lists_decide_before_any_code_runs(site, lists, imported):
    site.plugin("marks", MARKING)
    site.plugin("other")
    report = site.assemble(**lists).report("marks")
    assert imported is (site.folder / "palaver_marks" / "imported").exists()
    assert imported is ("palaver_marks" in sys.modules)
    assert (PluginState.LOADED if imported else PluginState.BLOCKED) is report.state
    assert imported is not bool(report.reason)


def test_a_list_entry_that_matches_nothing_is_noted(site):
    site.plugin("acme")
    assembly = site.assemble(allow=["acme", "palaver-akme"], block=["akme"])
    assert (
        "plugins.allow: 'palaver-akme' matches no installed plugin",
        "plugins.block: 'akme' matches no installed plugin",
    ) == assembly.notes


def test_of_two_with_one_name_neither_is_imported(site):
    site.broken("claimed_twice")
    assembly = site.assemble()
    assert [PluginState.DUPLICATE] * 2 == [report.state for report in assembly.plugins]
    assert not [name for name in sys.modules if name.startswith("palaver_claimed_twice")]


@pytest.mark.parametrize("copy", ["1", "2"])
def test_of_two_with_one_name_the_allowed_distribution_loads(site, copy):
    site.broken("claimed_twice")
    assembly = site.assemble(allow=[f"palaver-claimed-twice-{copy}"])
    assert f"palaver-claimed-twice-{copy}" == assembly.report("claimed_twice").distribution
    assert ["claimed_twice"] == list(assembly.providers)
    states = {report.distribution[-1]: report.state for report in assembly.plugins}
    assert {copy: PluginState.LOADED, "12".replace(copy, ""): PluginState.BLOCKED} == states


def test_of_two_that_offer_the_same_provider_neither_is_used(site):
    site.plugin("one", WORKING.format(name="acme"))
    site.plugin("two", WORKING.format(name="acme"))
    site.plugin("good")
    assembly = site.assemble()
    assert ["good"] == list(assembly.providers)
    for name in ("one", "two"):
        report = assembly.report(name)
        assert PluginState.DUPLICATE is report.state
        assert (
            "provider:acme is not used: one and two both claim the provider name 'acme'; block one of them"
            == report.reason
        )
    assert ["acme", "good"] == sorted(site.assemble(block=["two"]).providers)


def test_a_plugin_keeps_what_only_it_offers(site):
    both = WORKING.format(name="acme").replace(
        'ProviderSpec("acme", config=NoConfig, open=open_provider)',
        'ProviderSpec(name, config=NoConfig, open=open_provider) for name in ("acme", "own")',
    )
    site.plugin("one", both)
    site.plugin("two", WORKING.format(name="acme"))
    assembly = site.assemble()
    assert ["own"] == list(assembly.providers)
    report = assembly.report("one")
    assert PluginState.LOADED is report.state
    assert ("provider:own",) == report.provides
    assert "provider:acme is not used" in report.notes[0]


def test_a_second_copy_of_a_distribution_is_hidden_as_it_is_for_an_import(site, tmp_path):
    from importlib.metadata import distributions

    site.plugin("acme")
    other = type(site)(tmp_path / "other", site.wheels)
    other.plugin("acme")
    found = distributions(path=[str(site.folder), str(other.folder)])
    assert ["acme"] == [report.name for report in site.assemble(distributions=found).plugins]


def test_twenty_four_good_plugins_load_beside_six_broken_ones_fast(site):
    good = [f"good_{number:02}" for number in range(24)]
    for name in good:
        site.plugin(name)
    site.broken("raises_at_import", "calls_exit", "misspelt_hook", "wrong_signature", "returns_rubbish", "other_core")
    began = time.process_time()
    assembly = site.assemble()
    # Measured 40 ms; processor time, because the machine may be busy.
    assert 0.3 > time.process_time() - began
    assert good == sorted(assembly.providers)
    assert 30 == len(assembly.plugins)
    assert 6 == sum(report.state is PluginState.QUARANTINED for report in assembly.plugins)
    assert all(report.reason for report in assembly.plugins if report.state is not PluginState.LOADED)


def test_assembling_twice_gives_the_same_and_leaves_nothing_behind(site):
    site.plugin("good")
    site.broken("raises_at_import", "misspelt_hook", "claimed_twice", "returns_rubbish")
    site.assemble()
    threads, path, environment = threading.active_count(), list(sys.path), dict(os.environ)

    def told(assembly):
        return [(report.name, report.distribution, report.state, report.reason) for report in assembly.plugins]

    first, second = site.assemble(), site.assemble()
    assert told(first) == told(second)
    assert first.providers == second.providers
    assert first.origins == second.origins
    assert (threads, path, environment) == (threading.active_count(), sys.path, dict(os.environ))
    gc.collect()


def test_secrets_of_the_environment_are_in_no_report(site):
    site.plugin(
        "leaks", 'import os\n\nraise ValueError("bad key " + os.environ.get("ACME_API_KEY", "sk-very-secret"))\n'
    )
    (report,) = site.assemble(environment={"ACME_API_KEY": "sk-very-secret"}).plugins
    assert "at import: ValueError: bad key ***" == report.reason
    assert "ValueError: bad key ***" in report.traceback


def test_an_entry_point_must_name_a_module(site):
    site.install(
        "palaver-acme", modules={"palaver_acme.py": "plugin = object()\n"}, entry_points={"acme": "palaver_acme:plugin"}
    )
    (report,) = site.assemble().plugins
    assert "the entry point names palaver_acme:plugin, which is not a module" == report.reason


def test_an_entry_point_that_names_nothing_is_reported(site):
    site.install("palaver-acme", modules={}, entry_points={"acme": "palaver_acme"})
    (report,) = site.assemble().plugins
    assert "at import: ModuleNotFoundError: No module named 'palaver_acme'" == report.reason


def test_an_entry_point_that_cannot_be_read_is_reported(site):
    site.install("palaver-acme", modules={"palaver_acme.py": ""}, entry_points={"acme": "!!"})
    (report,) = site.assemble().plugins
    assert PluginState.QUARANTINED is report.state
    assert report.reason


def test_unreadable_metadata_spoils_only_their_own_distribution(site):
    site.plugin("good")
    site.plugin("bad")
    (points,) = site.folder.glob("palaver_bad-*/entry_points.txt")
    points.write_text("[palaver]\nno equals sign\n")
    site.plugin("ugly")
    (points,) = site.folder.glob("palaver_ugly-*/entry_points.txt")
    points.write_bytes(b"\xff\xfe\x00[palaver]")
    site.plugin("half")
    (metadata,) = site.folder.glob("palaver_half-*/METADATA")
    metadata.unlink()
    assembly = site.assemble()
    assert ["good"] == list(assembly.providers)
    report = assembly.report("palaver-bad")
    assert PluginState.QUARANTINED is report.state
    assert "its metadata cannot be read" in report.reason


@pytest.mark.parametrize("stated", ["'1'", "True", "None"])
def test_a_hook_api_that_is_no_number_is_refused(site, stated):
    site.plugin("acme", f"PALAVER_HOOK_API = {stated}\n")
    (report,) = site.assemble().plugins
    assert f"PALAVER_HOOK_API is {stated}: expected the number 1" == report.reason


def test_an_older_hook_api_says_who_must_move(site):
    site.plugin("acme", "PALAVER_HOOK_API = 0\n")
    (report,) = site.assemble().plugins
    assert "built for hook API 0, this core has 1: update the plugin" == report.reason
    assert 0 == report.hook_api


def test_a_forgotten_mark_and_a_plugin_without_hooks_are_noted(site):
    site.plugin("acme", "def palaver_providers():\n    return []\n")
    (report,) = site.assemble().plugins
    assert ("palaver_providers is not called: mark it with @hookimpl", "it implements no hook") == report.notes
    assert PluginState.LOADED is report.state
    assert "offers nothing; palaver_providers is not called" in report.summary()


def test_a_plugin_that_offers_one_name_twice_is_refused(site):
    site.plugin("acme", WORKING.format(name="acme").replace("open_provider)]", "open_provider)] * 2"))
    (report,) = site.assemble().plugins
    assert "returned rubbish: it offers provider 'acme' twice" == report.reason


def test_a_built_in_piece_passes_the_same_door_and_wins_its_name(site):
    import types

    module = types.ModuleType("palaver.pipeline.mine")
    exec(WORKING.format(name="mine"), vars(module))
    site.plugin("mine")
    site.plugin("thief", WORKING.format(name="mine"))
    assembly = site.assemble(builtin=[("mine", module)], allow=["palaver-mine", "thief"])
    assert {"mine": vars(module)["open_provider"]} == {name: spec.open for name, spec in assembly.providers.items()}
    mine, stranger, thief = assembly.plugins
    assert ("palaver-core", PluginState.LOADED) == (mine.distribution, mine.state)
    assert ("palaver-mine", PluginState.DUPLICATE) == (stranger.distribution, stranger.state)
    assert (PluginState.DUPLICATE, True) == (thief.state, "which is built in (mine)" in thief.reason)
    blocked = site.assemble(builtin=[("mine", module)], block=["mine", "thief", "palaver-core"])
    assert {} == blocked.providers


PROGRAM = """\
from palaver.assembly import assemble
print(*(report.reason for report in assemble(allow=["palaver-hangs"], import_limit={limit}).plugins if report.reason))
"""


def process(site, limit):
    """Assemble in a fresh process with a plugin that says when it begins to hang."""
    site.plugin("hangs", "import time\n\nprint('hanging', flush=True)\ntime.sleep(60)\n")
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(limit=limit)],
        env={**os.environ, "PYTHONPATH": str(site.folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_process_ends_although_a_plugin_hangs(site):
    with process(site, limit=SHORT) as child:
        out, error = child.communicate(timeout=30)
    assert (0, "") == (child.returncode, error)
    assert "at import: still running after" in out


def test_control_c_is_heard_while_a_plugin_hangs(site):
    with process(site, limit=60) as child:
        assert "hanging" == child.stdout.readline().strip()
        child.send_signal(signal.SIGINT)
        _, error = child.communicate(timeout=30)
    assert -signal.SIGINT == child.returncode
    assert error.rstrip().endswith("KeyboardInterrupt")


def test_specs_keep_their_class(site):
    site.plugin("acme")
    assert isinstance(site.assemble().providers["acme"], ProviderSpec)


def installer():
    """A development environment has no pip of its own: the interpreter's or uv serves."""
    base = sys._base_executable
    if subprocess.run([base, "-c", "import pip"], capture_output=True).returncode == 0:
        return [base, "-m", "pip", "--disable-pip-version-check"]
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("neither pip nor uv is there")
    return [uv, "pip", "--no-config", "--offline"]


def test_a_wheel_installed_by_pip_is_found_by_a_fresh_process(tmp_path):
    wheel = build_wheel(
        tmp_path,
        "palaver-acme",
        "1.2",
        {"palaver_acme/__init__.py": WORKING.format(name="acme")},
        {"acme": "palaver_acme"},
        ["palaver-core>=0.1"],
    )
    site = tmp_path / "site"
    subprocess.run([*installer(), "install", "--quiet", "--no-index", "--no-deps", "--target", site, wheel], check=True)
    program = (
        "from palaver.assembly import assemble\n"
        "report = assemble(allow=['palaver-acme']).report('acme')\n"
        "print(report.distribution, report.version, report.state, *report.provides)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    told = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    assert "palaver-acme 1.2 loaded provider:acme" == told.stdout.strip()
