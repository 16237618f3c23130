"""What the Makefile runs can be run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
IN_NEED_OF_MORE = {"scripts/mutants.py"}
"""What needs packages that its own target installs."""
SCRIPTS = sorted({*re.findall(r"/python (\S+\.py)", (ROOT / "Makefile").read_text())} - IN_NEED_OF_MORE)
LOAD = """
import runpy, sys
from pathlib import Path
sys.path[0] = str(Path(sys.argv[1]).parent)
runpy.run_path(sys.argv[1])
"""


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_finds_what_it_imports(script: str):
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD, ROOT / script], cwd=ROOT / "docs", capture_output=True, text=True
    )

    assert loaded.returncode == 0, loaded.stderr
