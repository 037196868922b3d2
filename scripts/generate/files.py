"""The files that are made out of the code, and what they must hold."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from generate import asyncapi, configuration, events, tables
from generate.sentences import REPOSITORY

SCHEMA = REPOSITORY / "src" / "interhuman2mqtt" / "schema"
DOCS = REPOSITORY / "docs"
README = REPOSITORY / "README.md"
TABLES: Mapping[str, Callable[[], str]] = {"signals": tables.signal_list}
"""What may stand in the README between `<!-- generated: NAME -->` and `<!-- end -->`."""

_MARKED = re.compile(r"(<!-- generated: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _json(document: Callable[[], Any]) -> Callable[[], str]:
    return lambda: f"{json.dumps(document(), indent=2, ensure_ascii=False)}\n"


FILES: Mapping[Path, Callable[[], str]] = {
    SCHEMA / "config.json": _json(configuration.document),
    SCHEMA / "events.json": _json(events.document),
    SCHEMA / "asyncapi.json": _json(asyncapi.document),
    DOCS / "configuration.md": tables.configuration,
    DOCS / "topics.md": tables.topics,
    DOCS / "reasons.md": tables.reasons,
}


def with_tables(text: str) -> str:
    """Return a text with the tables that are marked in it as they must be."""
    return _MARKED.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}{found[3]}", text)
