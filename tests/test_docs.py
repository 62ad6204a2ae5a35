"""Every public name has a docstring in the house's form and a place in the API pages; the documentation's code runs."""

import dataclasses
import doctest
import inspect
import re
import types
from pathlib import Path

import pytest

import argrad

ROOT = Path(__file__).parents[1]
# In this order, each at most once.
SECTIONS = [
    "Attributes",
    "Args",
    "Returns",
    "Yields",
    "Raises",
    "Warns",
    "Gradient",
    "Determinism",
    "Cost",
    "References",
    "Examples",
]
OPERATOR_SECTIONS = {"Gradient", "Determinism", "Cost", "Examples"}


def public(module=argrad):
    """Yield (dotted name, object) for every name in `__all__`, down through the public modules."""
    for name in module.__all__:
        value = getattr(module, name)
        if isinstance(value, types.ModuleType):
            yield from public(value)
        elif not name.startswith("__"):
            yield f"{module.__name__}.{name}", value


PUBLIC = dict(public())


def members():
    """Yield the public names and the public methods of the public classes."""
    for name, value in PUBLIC.items():
        yield name, value
        if inspect.isclass(value):
            for attribute, method in vars(value).items():
                if inspect.isfunction(method) and not attribute.startswith("_"):
                    yield f"{name}.{attribute}", method


MEMBERS = dict(members())


def sections(text):
    """The sections of a docstring as (title, body) in order."""
    pieces = re.split(r"^([A-Z][a-z]+):$", text, flags=re.MULTILINE)
    return list(zip(pieces[1::2], pieces[2::2], strict=True))


def faults(name, value):
    """What is wrong with the docstring of `value`, as sentences."""
    text = inspect.getdoc(value) or ""
    first = text.split("\n")[0]
    titles = [title for title, _ in sections(text)]
    found = [] if re.fullmatch(r"[A-Z`].*\.", first) else [f"first line is {first!r}"]
    found += [f"{title} is no section of the house" for title in titles if title not in SECTIONS]
    found += [f"{title} is empty" for title, body in sections(text) if not body.strip()]
    known = [title for title in titles if title in SECTIONS]
    if known != [title for title in SECTIONS if title in titles]:
        found.append(f"sections in the order {titles}")
    return found + [f"lacks {title}" for title in sorted(wanted(name, value) - set(titles))]


def wanted(name, value):
    if inspect.isclass(value):
        return {"Attributes"} if dataclasses.is_dataclass(value) else {"Examples"}
    if not inspect.isfunction(value):
        return set()
    signature = inspect.signature(value)
    found = {"Args"} if set(signature.parameters) - {"self"} else set()
    if signature.return_annotation not in (None, "None"):
        found.add("Returns")
    is_operator = name.count(".") == 2 or name.startswith("argrad.losses.")  # argrad.stem.function, or a loss
    return found | (OPERATOR_SECTIONS if is_operator else set())


def test_there_are_public_names():
    assert {"argrad.show_config", "argrad.seeding.kmeans_plusplus", "argrad.selection.sensitivity_sample"} <= set(
        PUBLIC
    )


@pytest.mark.parametrize("name", MEMBERS)
def test_docstring_has_the_form_of_the_house(name):
    assert faults(name, MEMBERS[name]) == []


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_in_the_api_pages(name):
    pages = [*ROOT.glob("docs/api*.md"), *ROOT.glob("docs/api*.rst"), *ROOT.glob("docs/api/*")]
    text = "\n".join(page.read_text() for page in pages)
    assert re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)|(?<![\w.]){name.rsplit('.', 1)[1]}(?!\w)", text)


def good(x: int) -> int:
    """Return x.

    Args:
        x: A number.

    Returns:
        The number.

    Gradient:
        None.

    Determinism:
        Yes.

    Cost:
        O(1).

    Examples:
        >>> good(1)
        1
    """
    return x


def test_faults_are_seen():
    def changed(old, new):
        assert old in good.__doc__
        found = types.FunctionType(good.__code__, {}, "good")
        found.__annotations__ = good.__annotations__
        found.__doc__ = good.__doc__.replace(old, new)
        return faults("argrad.stem.good", found)

    assert changed("Return x.", "Return x.") == []
    assert changed("Return x.", "return x")
    assert changed("O(1).", "") == ["Cost is empty"]
    assert changed("Cost:", "Price:") == ["Price is no section of the house", "lacks Cost"]
    assert changed("    Gradient:\n        None.\n", "") == ["lacks Gradient"]
    assert changed("Args:\n        x: A number.\n\n    Returns:", "Returns:\n        y\n    Args:")


BLOCK = re.compile(r"^```(?:python|pycon)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "path",
    [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))],
    ids=lambda path: path.name,
)
def test_code_in_the_documentation_runs(path, tmp_path, monkeypatch):
    """The python blocks of a page run in order in one namespace; those with prompts also show what comes out."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    for number, block in enumerate(BLOCK.findall(path.read_text())):
        if ">>>" in block:
            test = doctest.DocTestParser().get_doctest(block, names, f"{path.name} block {number}", str(path), 0)
            report = []
            outcome = doctest.DocTestRunner(optionflags=flags).run(test, out=report.append, clear_globs=False)
            assert outcome.failed == 0, "".join(report)
            names.update(test.globs)
        else:
            exec(compile(block, f"{path.name} block {number}", "exec"), names)
