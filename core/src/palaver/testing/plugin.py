"""The pytest plugin of the test kit: the fixture ``fake_clock``, and readable asserts in the kit's own rules.

Loaded in every test run where palaver-core is installed, before coverage starts: whatever else of the kit a test
wants is imported when it asks.
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from palaver.testing.clock import FakeClock

for _module in ("asserts", "answers", "extras", "failures", "opening", "streams"):
    pytest.register_assert_rewrite(f"palaver.testing.conformance_{_module}")
for _module in ("case", "rules_messages", "rules_owners", "rules_runs", "rules_sessions", "rules_tools"):
    pytest.register_assert_rewrite(f"palaver.testing.storage_{_module}")


@pytest.fixture
def fake_clock() -> "FakeClock":
    """Give a clock that stands still until the test advances it."""
    from palaver.testing.clock import FakeClock

    return FakeClock()
