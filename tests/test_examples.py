"""The examples of the gallery run, and each draws a picture.

Here they learn for two epochs or seconds; the documentation is built of them as they
stand.
"""

import re
from pathlib import Path

import matplotlib
import pytest

LENGTH = re.compile(r'(max_(?:epochs|seconds)"?[=:] ?)\d+')
EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("plot_*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_and_draws(path):
    matplotlib.use("agg")
    from matplotlib import pyplot

    source = LENGTH.sub(r"\g<1>2", path.read_text(encoding="utf-8"))
    # The window that it would show is a figure in memory here.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyplot, "show", lambda: None)
        exec(compile(source, path, "exec"), {"__name__": "__main__"})
    assert pyplot.get_fignums()
    pyplot.close("all")


def test_code_of_the_readme_runs():
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    code = "".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    assert "max_seconds=60" in code
    exec(code.replace("max_seconds=60", "max_seconds=1"), {})
