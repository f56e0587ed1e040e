"""What commands are forks of: it has what they need, and nothing that would cost each of them."""

from tests.forks import forks

LOOK = """
import gc, sys
import tests.forks
has_service, has_tests = [name in sys.modules for name in ("storecredit.service", "pytest")]
sys.exit(not has_service or has_tests or not gc.get_freeze_count())
"""


def test_a_fork_has_nothing_of_the_tests_and_looks_through_nothing_that_was_there() -> None:
    fork = forks().Process(target=exec, args=(LOOK,))
    fork.start()
    fork.join()
    assert fork.exitcode == 0
