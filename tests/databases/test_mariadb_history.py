"""The tests of the history, on MariaDB."""

from history.test_activity_autumn import *  # noqa: F403
from history.test_activity_rules import *  # noqa: F403
from history.test_history_rules import *  # noqa: F403
from history.test_history_year import *  # noqa: F403
