"""What a benchmark ran on, and when."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path


def machine() -> str:
    """Return date, Python, cores and system in one line."""
    processors = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    processor = processors[0] if processors else platform.machine()
    python, cores = platform.python_version(), os.cpu_count()
    system = f"{platform.system()} {platform.release().partition('-')[0]}"
    return f"{datetime.now(UTC):%-d %B %Y}; Python {python}; {cores} cores, {processor}; {system}"
