"""Which word was meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interhuman2mqtt.config import CameraTable, Mqtt
from interhuman2mqtt.config.parser import keys_of
from interhuman2mqtt.config.problems import SYNONYMS, did_you_mean, nearest


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("sorce", "source"),
        ("userName", "username"),
        ("user", "username"),
        ("pw", None),
        ("URL", "source"),
        ("zzz", None),
    ],
)
def test_the_nearest_key_of_a_camera(word: str, meant: str | None) -> None:
    """Misspelt words and the words of other programs are understood, and nothing is made up."""
    assert meant == nearest(word, keys_of(CameraTable))


def test_synonyms_depend_on_the_place() -> None:
    """`host` is the broker's URL, and a camera's source."""
    assert [nearest("host", keys_of(table)) for table in (Mqtt, CameraTable)] == ["url", "source"]


def test_all_synonyms_mean_keys_that_exist() -> None:
    """No synonym points to a key that was renamed."""
    known = {*keys_of(CameraTable), *keys_of(Mqtt), "api_key", "timezone"}
    assert {key for keys in SYNONYMS.values() for key in keys} <= known


@given(st.text(), st.lists(st.text()))
def test_only_known_words_are_suggested(word: str, known: list[str]) -> None:
    """A suggestion is one of the known words, or none is made."""
    meant = nearest(word, known)
    assert meant is None or meant in known
    assert did_you_mean(word, known) == ("" if not meant else f'; did you mean "{meant}"?')
