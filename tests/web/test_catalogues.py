"""The words of the page: each language has all of them."""

import json
import re
from pathlib import Path

import pytest

import interhuman2mqtt.web
from interhuman2mqtt.publish.homeassistant.entity import ENGAGEMENT, SIGNALS

ASSETS = Path(interhuman2mqtt.web.__file__).parent / "assets"
ENGLISH = json.loads((ASSETS / "en.json").read_text())
NAMES = re.compile(r"\{\w+\}")


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_catalogue_is_whole(language: str) -> None:
    """It has the keys of the English one, with the same names to fill in, and all signals and levels."""
    words = json.loads((ASSETS / f"{language}.json").read_text())
    assert set(words) == set(ENGLISH)
    assert {key for key in words if set(NAMES.findall(words[key])) != set(NAMES.findall(ENGLISH[key]))} == set()
    assert {*SIGNALS, *ENGAGEMENT} <= set(words)


def test_what_the_page_says_is_in_the_catalogue() -> None:
    """No module or file asks for a word that there is not."""
    asked = set()
    for file in ASSETS.iterdir():
        text = file.read_text()
        asked |= set(re.findall(r"""say\("(\w+)"[,)]""", text)) | set(re.findall(r'data-text="(\w+)"', text))
    assert asked - set(ENGLISH) == set()
