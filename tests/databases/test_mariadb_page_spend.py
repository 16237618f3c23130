"""What the tests of the page say of stored spend, on MariaDB."""

from page.test_page_warehouse import (  # noqa: F401
    autumn,
    show,
    snapshots,
    spent,
    test_a_slow_warehouse_is_given_up,
    test_a_snapshot_counts_at_the_midnight_nearest_to_it,
    test_a_snapshot_may_be_filed_under_the_day_before_it,
    test_a_snapshot_shows_what_the_days_before_it_cost,
    test_days_up_to_the_day_before_yesterday_are_new,
    test_other_sources_count_where_the_connection_has_none,
    test_snapshots_know_what_activity_does_not,
    test_teams_are_those_of_when_the_activity_was_read,
    test_the_days_are_those_of_the_activity,
    test_the_days_of_a_key_are_its_own,
    test_what_is_stored_may_be_old,
    test_without_snapshots_or_activity_the_api_is_asked,
    test_workspaces_of_snapshots_get_the_names_of_today,
)
