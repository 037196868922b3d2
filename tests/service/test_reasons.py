"""Why something is not healthy: one closed list of words, the same in the code and in the documentation.

After a change: `PYTHONPATH=src python tests/service/test_reasons.py` writes `config/reasons.md` anew.
"""

import ast
import re
from pathlib import Path

from interhuman2mqtt import errors
from interhuman2mqtt.errors import Reason

DOCUMENT = Path(__file__).parents[2] / "config" / "reasons.md"
HEAD = """# Reasons

Every state that is not healthy has one of these words: in `reason` of `<camera>/status`, in `data.reason` of
`coverage.gap`, and in the log. `detail` beside it says the rest in a sentence. A word never changes its meaning; there
may come more.

| reason | meaning |
|---|---|
"""


def meanings() -> dict[str, str]:
    """The sentence below each member of `Reason`."""
    tree = ast.parse(Path(errors.__file__).read_text())
    [body] = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Reason"]
    found: dict[str, str] = {}
    name = ""
    for node in body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]):
                pass
            case ast.Expr(value=ast.Constant(value=str() as sentence)) if name:
                found[Reason[name]] = re.sub(r"\s+", " ", sentence)
    return found


def document() -> str:
    """What `config/reasons.md` must hold."""
    return HEAD + "".join(f"| `{word}` | {sentence} |\n" for word, sentence in meanings().items())


def test_every_reason_is_documented() -> None:
    """Each reason has a sentence, and all of them stand in the documentation, and no others."""
    assert list(meanings()) == [reason.value for reason in Reason]
    assert DOCUMENT.read_text() == document()


def test_every_reason_is_used() -> None:
    """No word stands in the list that nothing ever says."""
    package = Path(errors.__file__).parent
    code = "".join(file.read_text() for file in package.rglob("*.py") if file.name != "errors.py")
    assert [reason.name for reason in Reason if f"Reason.{reason.name}" not in code] == []


if __name__ == "__main__":
    DOCUMENT.write_text(document())
