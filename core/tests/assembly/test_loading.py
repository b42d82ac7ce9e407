import threading

from palaver.assembly.loading import Attempt, Failed, Finished
from palaver.testing import FakeClock


def test_work_that_returns_is_finished():
    match Attempt(lambda: 42, name="t").wait(5):
        case Finished(value=42, seconds=seconds):
            assert 0 <= seconds < 5
        case other:
            raise AssertionError(other)


def test_work_that_raises_anything_at_all_has_failed():
    class Odd(BaseException):
        pass

    def work():
        raise Odd

    outcome = Attempt(work, name="t").wait(5)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, Odd)


def test_work_that_hangs_is_left_and_its_line_is_told():
    release = threading.Event()
    attempt = Attempt(release.wait, name="t", clock=FakeClock())
    assert attempt.wait(0.01) is None
    assert any("wait" == frame.name for frame in attempt.where())
    release.set()
    assert Finished(True, 0.0) == attempt.wait(5)


def test_the_thread_keeps_no_process_alive():
    release = threading.Event()
    attempt = Attempt(release.wait, name="palaver-plugin-x")
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "palaver-plugin-x"]
    assert thread.daemon
    release.set()
    attempt.wait(5)
    thread.join(5)
    assert [] == list(attempt.where())
