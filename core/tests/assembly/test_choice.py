import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from palaver.assembly.choice import choose, unmatched
from palaver.assembly.core_range import unfit
from palaver.assembly.discovery import Candidate
from palaver.assembly.report import PluginState

LOADED, BLOCKED, DUPLICATE, QUARANTINED = (
    PluginState.LOADED,
    PluginState.BLOCKED,
    PluginState.DUPLICATE,
    PluginState.QUARANTINED,
)


def candidate(name, distribution="", **fields):
    return Candidate(
        name=name,
        distribution=distribution or f"palaver-{name}",
        version="1.0",
        module=f"palaver_{name}",
        load=lambda: None,
        **fields,
    )


def states(candidates, **lists):
    return [choice.state for choice in choose(candidates, **lists)]


def test_without_lists_everything_may_load():
    assert [LOADED, LOADED] == states([candidate("a"), candidate("b")])


@pytest.mark.parametrize("wanted", ["a", "A", "palaver-a", "Palaver_A", "palaver.a"])
def test_both_lists_match_distribution_and_name_however_spelt(wanted):
    candidates = [candidate("a"), candidate("b")]
    assert [LOADED, BLOCKED] == states(candidates, allow=[wanted])
    assert [BLOCKED, LOADED] == states(candidates, block=[wanted])


def test_block_wins_over_allow():
    (choice,) = choose([candidate("a")], allow=["a"], block=["palaver-a"])
    assert (BLOCKED, "plugins.block names 'palaver-a'") == (choice.state, choice.reason)


def test_built_in_pieces_need_no_allow_but_can_be_blocked():
    pieces = [candidate("retry", "palaver-core", builtin=True)]
    assert [LOADED] == states(pieces, allow=["other"])
    assert [BLOCKED] == states(pieces, block=["retry"])


def test_claimants_of_a_name_are_all_refused_until_a_distribution_is_named():
    claimants = [candidate("a", "one"), candidate("a", "two"), candidate("b")]
    assert [DUPLICATE, DUPLICATE, LOADED] == states(claimants)
    # Naming the plugin does not say which.
    assert [DUPLICATE, DUPLICATE, BLOCKED] == states(claimants, allow=["a"])
    assert [DUPLICATE, LOADED, LOADED] == states(claimants, allow=["a", "b", "two"])
    assert [DUPLICATE, DUPLICATE, BLOCKED] == states(claimants, allow=["one", "two"])
    assert [BLOCKED, LOADED, LOADED] == states(claimants, block=["one"])


def test_the_reason_names_both_claimants_and_the_way_out():
    first, _ = choose([candidate("a", "one"), candidate("a", "two")])
    expected = "one 1.0 and two 1.0 both claim the name 'a': name one distribution in plugins.allow, or block one"
    assert expected == first.reason
    first, _ = choose([candidate("a", "one"), candidate("a", "two")], allow=["a", "two"])
    assert "the name 'a' is that of two 1.0" == first.reason


def test_metadata_that_cannot_be_read_claim_no_name():
    unreadable = candidate("a", "one", unreadable="torn")
    assert [QUARANTINED, LOADED] == states([unreadable, candidate("a", "two")])
    assert [BLOCKED] == states([unreadable], block=["one"])


def test_what_the_lists_name_in_vain_is_told():
    told = unmatched([candidate("a")], allow=["a", "x"], block=["palaver-a", "y"])
    assert (
        "plugins.allow: 'x' matches no installed plugin",
        "plugins.block: 'y' matches no installed plugin",
    ) == told


# --- the range of cores -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "requirement",
    [
        "palaver-core",
        "palaver-core>=0.1,<0.2",
        "palaver-core (>=0.1,<0.2)",
        "Palaver_Core >= 0.1.0, < 0.2",
        "palaver.core<=0.1.5",
        "palaver-core~=0.1.0",
        "palaver-core==0.1.*",
        "palaver-core!=0.1.4",
        "palaver-core[testing]>=0.1",
        'palaver-core>=9; python_version < "3"',
        'palaver-core>=9; extra == "new"',
        "palaver-core-extras>=9",
        "palaver-core2>=9",
        "other>=9",
    ],
)
def test_a_range_that_holds_the_core_fits(requirement):
    assert "" == unfit(["attrs", requirement], "0.1.5")


@pytest.mark.parametrize(
    "requirement",
    [
        "palaver-core>=0.2",
        "palaver-core<0.1",
        "palaver-core>0.1.5",
        "palaver-core (>=0.2)",
        "palaver_core~=0.2.0",
        "palaver-core==0.1.4",
        "palaver-core[testing]<0.1",
        'palaver-core>=9; python_version > "3"',
        "palaver-core=>0.1",
        "palaver-core @ nonsense ~~",
    ],
)
def test_a_range_without_the_core_or_without_sense_does_not(requirement):
    expected = f"built for another core: it requires {requirement}, installed is palaver-core 0.1.5"
    assert expected == unfit([requirement], "0.1.5")


def test_an_unknown_core_is_compared_with_nothing():
    assert "" == unfit(["palaver-core>=9"], "")


def test_a_development_version_of_core_is_in_its_range():
    assert "" == unfit(["palaver-core>=0.1,<0.3"], "0.2.0rc1")
    assert unfit(["palaver-core>=0.2"], "0.2.0rc1")


numbers = st.lists(st.integers(0, 3), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
clauses = st.lists(st.tuples(st.sampled_from(["<", "<=", ">", ">="]), numbers).map("".join), max_size=3)


@given(numbers, clauses)
def test_plain_ranges_are_decided_as_packaging_decides_them(version, clauses):
    requirement = "palaver-core" + ",".join(clauses)
    expected = Requirement(requirement).specifier.contains(version, prereleases=True)
    assert expected is (not unfit([requirement], version))
