"""Settings of Sphinx. Building needs no network: no remote fonts, no script for formulas, no other project's index."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

import argrad  # noqa: E402  the path above comes first

project = "argrad"
author = "The argrad developers"
copyright = author
version = release = argrad.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "docstrings",
    "mathml",
]
exclude_patterns = ["_build", "_ext", "examples"]
nitpicky = False  # numpy's and torch's types have their pages elsewhere
default_role = "literal"

html_theme = "furo"
html_title = f"argrad {release}"
html_static_path = ["_static"]
html_css_files = ["argrad.css"]
html_math_renderer = "mathml"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
pygments_style = "friendly"

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # every docstring says more about its arguments than their types do
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_attr_annotations = False
napoleon_custom_sections = ["Gradient", "Determinism", "Cost"]

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "plot_gallery": "True",
    "remove_config_comments": True,
    "write_computation_times": False,
    "min_reported_time": 1e9,
    "image_scrapers": ("matplotlib",),
    "matplotlib_animations": False,
}
