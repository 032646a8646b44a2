"""How the site is built: pages of studies and the reference are made first, from the package."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE / "_build"
sys.path.insert(0, str(HERE))

from builder import plots, reference, studies  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402

import undergrowth  # noqa: E402
from undergrowth.published.hypotheses import rivals_in_words  # noqa: E402
from undergrowth.published.markdown import ruled  # noqa: E402
from undergrowth.published.reading import shipped  # noqa: E402

project = "undergrowth"
author = "the undergrowth developers"
version = release = undergrowth.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "builder.docstrings",
    "builder.mathml",
]
exclude_patterns = ["_build", "explorables", "builder", "tutorial/runs", "how-to/runs"]
html_math_renderer = "mathml"
smartquotes = False  # --out is no dash

html_theme = "furo"
html_title = "undergrowth"
html_static_path = ["_static", "_build/static"]
html_extra_path = ["explorables"]  # articles that play stored runs
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_show_search_summary = False  # it fetches pages, which browsers refuse from disk
html_theme_options = {"footer_icons": []}

myst_enable_extensions = ["substitution", "attrs_inline"]
myst_heading_anchors = 3
myst_substitutions = {"answer": f"{ruled()}\n\n{rivals_in_words()}"}

nb_execution_mode = "cache"
nb_execution_cache_path = str(BUILD / "executed")
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_output_stderr = "remove"
nb_merge_streams = True

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_default_options = {"exclude-members": "model_config"}
python_maximum_signature_line_length = 80
# Annotations name what has no page of its own: numpy's arrays, and values that are not public.
nitpick_ignore_regex = [("py:.*", ".*")]
copybutton_exclude = ".linenos, .gp, .go"


def setup(app: Sphinx) -> None:
    """Make what is made, before Sphinx looks for pages."""
    _forget_what_an_older_package_ran()
    os.environ["IPYTHONDIR"] = str(HERE / "builder" / "ipython")
    os.environ["PYTHONPATH"] = os.pathsep.join((str(HERE), os.environ.get("PYTHONPATH", "")))
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(BUILD / "compiled"))  # chapters share steps
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    plots.write_scripts(BUILD / "static")
    studies.write_pages(HERE / "studies")
    reference.write_pages(HERE / "reference")
    app.connect("source-read", _with_pages_in_place_of_files)
    app.connect("html-page-context", _with_plotly)


def _with_pages_in_place_of_files(app: Sphinx, page: str, source: list[str]) -> None:
    """Links to files of the repository beside docs/ lead to the pages that include them."""
    source[0] = re.sub(
        r"\]\(\.\./(FINDINGS|CONTRIBUTING|CHANGELOG)\.md", lambda m: f"](/{m[1].lower()}.md", source[0]
    )


def _with_plotly(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    """The scripts of figures, on pages that have one."""
    if plots.DRAWN in context.get("body", ""):
        app.add_js_file(plots.LIBRARY, loading_method="defer")
        app.add_js_file(plots.SCRIPT, loading_method="defer")


def _forget_what_an_older_package_ran() -> None:
    """Notebooks run again, and their runs are trained again, where what they show has changed: the
    package, its results, or how figures are shown.
    """
    package = Path(undergrowth.__file__).parent
    files = [*package.rglob("*.py"), *shipped().glob("*/about.json"), *HERE.glob("builder/*.py")]
    files += HERE.glob("how-to/parts/*")
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.read_bytes())
    told = BUILD / "package"
    if not told.is_file() or told.read_text() != digest.hexdigest():
        shutil.rmtree(BUILD / "executed", ignore_errors=True)
        for folder in ("tutorial", "how-to"):
            shutil.rmtree(HERE / folder / "runs", ignore_errors=True)
        BUILD.mkdir(exist_ok=True)
        told.write_text(digest.hexdigest())
