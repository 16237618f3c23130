"""What the tests of the page say of a table, on MariaDB."""

from page.test_page_snapshot import (  # noqa: F401
    newest,
    test_a_snapshot_is_shown_as_the_listing_that_it_was,
    test_a_team_is_the_prefix_of_the_history,
    test_a_workspace_alone_is_the_scope_of_its_snapshot,
    test_nothing_is_written,
    test_the_newest_snapshot_of_the_account_is_chosen,
)
