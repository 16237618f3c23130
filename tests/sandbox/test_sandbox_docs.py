"""The program of the page about the sandbox does what the page says."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "sandbox.md"


def test_the_programs_of_the_page_run():
    first, *programs = re.findall(r"```python\n(.+?)```", PAGE.read_text(), re.DOTALL)
    compile(first, str(PAGE), "exec")
    assert len(programs) == 2
    names = {}
    for program in programs:
        exec(compile(program, str(PAGE), "exec"), names)
    with names["Failing"](keys=0) as sandbox:
        assert sandbox.answer("/api/v1/keys", None)[0] == 500
