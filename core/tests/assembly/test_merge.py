from palaver import NoConfig, ProviderSpec, StorageSpec
from palaver.assembly.examine import Offer
from palaver.assembly.merge import contested


def provider(plugin, name, *aliases, builtin=False):
    spec = ProviderSpec(name, config=NoConfig, open=print, aliases=aliases)
    return Offer(plugin=plugin, kind="provider", spec=spec, builtin=builtin)


def storage(plugin, name, *schemes):
    spec = StorageSpec(name, schemes=schemes, config=NoConfig, open=print)
    return Offer(plugin=plugin, kind="storage", spec=spec)


def refused(*offers):
    return set(contested(offers))


def test_different_names_are_in_nobodys_way():
    assert set() == refused(provider("a", "x"), provider("b", "y"), storage("c", "x", "y"))


def test_one_name_for_two_is_nobodys():
    assert {("a", "provider:x"), ("b", "provider:x")} == refused(provider("a", "x"), provider("b", "x"))


def test_an_alias_counts_like_a_name():
    offers = provider("a", "anthropic", "claude"), provider("b", "claude"), provider("c", "gemini")
    assert {("a", "provider:anthropic"), ("b", "provider:claude")} == refused(*offers)
    assert "both claim the provider name 'claude'" in contested(offers)["a", "provider:anthropic"]


def test_a_scheme_counts_among_schemes():
    assert {("a", "storage:one"), ("b", "storage:two")} == refused(storage("a", "one", "db"), storage("b", "two", "db"))
    assert set() == refused(storage("a", "db", "one"), storage("b", "two", "db"))


def test_what_is_built_in_keeps_its_name():
    ours, theirs = provider("core", "x", builtin=True), provider("a", "y", "x")
    assert {("a", "provider:y")} == refused(ours, theirs)
    assert "which is built in (core)" in contested([ours, theirs])["a", "provider:y"]


def test_two_built_in_claimants_are_a_mistake_of_ours_and_neither_serves():
    both = provider("a", "x", builtin=True), provider("b", "x", builtin=True)
    assert {("a", "provider:x"), ("b", "provider:x")} == refused(*both)
