"""A command sets up the logging of its process; where tests call it in theirs, the next test starts afresh.

These two belong together and run in this order.
"""

import logging

from click.testing import CliRunner

from solarflow.cli import main

LOG = logging.getLogger("solarflow.simulation")


def test_a_command_sets_the_logging_up_for_its_process(tmp_path):
    CliRunner().invoke(main, ["doctor", str(tmp_path)])
    assert not LOG.isEnabledFor(logging.WARNING)


def test_after_a_command_the_next_test_hears_what_is_logged(caplog):
    LOG.warning("a command was refused")
    assert "a command was refused" in caplog.text
    assert [type(handler).__name__ for handler in logging.getLogger().handlers].count("StreamHandler") == 0
