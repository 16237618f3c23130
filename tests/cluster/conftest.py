"""Prints at the end what the cluster's tests measured."""


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section("measured")
    for report in terminalreporter.stats.get("passed", []):
        for what, value in report.user_properties:
            terminalreporter.write_line(f"{what}: {value}")
