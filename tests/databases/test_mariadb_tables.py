"""What the tests of tables say of every database, on MariaDB."""

from snapshots.test_table_names import test_tables_of_one_name_in_two_schemas_are_two  # noqa: F401
from snapshots.test_tables import (  # noqa: F401
    test_a_partition_written_again_is_as_if_written_once,
    test_a_run_cleared_a_week_later_leaves_older_rows_alone,
    test_a_snapshot_of_no_keys_creates_the_table_too,
    test_every_hour_of_a_day_is_a_partition,
    test_no_keys_empty_their_partition_and_no_other,
    test_only_its_own_partition_is_replaced,
    test_the_last_run_of_a_partition_counts,
    test_times_are_utc_whatever_the_time_zone_of_the_session,
    test_what_fills_a_batch_or_more_is_all_written,
    test_what_is_missing_is_null,
)
from snapshots.test_tables_at_once import test_three_workspaces_at_once_create_one_table  # noqa: F401
