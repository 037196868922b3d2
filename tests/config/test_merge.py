"""The effective configuration as TOML, which means the same when it is read again."""

import random
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from interhuman2mqtt.config import Budget, CameraTable, Config, File, Framing, SecretRef, Shard
from interhuman2mqtt.config import loader as configfile
from interhuman2mqtt.config.parser import keys_of
from interhuman2mqtt.errors import ConfigError

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(
    lambda text: text.isprintable() and text.strip()
)
WORDS = st.from_regex("[a-z0-9_-]{1,8}", fullmatch=True)
PATHS = st.builds("/run/{}".format, TEXTS)
QUANTITIES = st.integers(1, 9).flatmap(
    lambda number: st.sampled_from([f"{number}s", f"{number}.25m", f"{number}h", number])
)
SIZES = st.integers(1, 2000).flatmap(lambda number: st.sampled_from([f"{number}MiB", f"{number}.5MB", number << 20]))
SECRETS = st.one_of(
    st.builds(lambda name: {"credential": name}, WORDS),
    st.builds(lambda name: {"env": f"A{name}".replace("-", "_")}, WORDS),
    st.builds(lambda path: {"file": path}, PATHS),
)
BY_KEY: dict[str, st.SearchStrategy[Any]] = {
    "url": st.sampled_from(["mqtt://broker.lan", "mqtts://[::1]:8883"]),
    "proxy": st.sampled_from(["", "http://proxy.lan:3128"]),
    "source": st.sampled_from(["test:", "rtsp://10.0.0.5/a?b=c", "v4l2:1-1.4", "file:/srv/ü.mp4"]),
    "microphone": st.builds("alsa:{}".format, TEXTS),
    "size": st.just("1280x720"),
    "video_bitrate": st.integers(50_000, 10_000_000) | st.just("1.5M"),
    "backfill": st.integers(64 << 20, 10 << 30) | st.just("2GiB"),
    "backfill_max_age": st.integers(60, 86_400) | st.just("24h"),
    "backfill_rate": st.integers(50_000, 10_000_000) | st.just("2M"),
    "fps": st.floats(1, 240) | st.integers(1, 240),
    "boxes": st.just(["*"]),
    "enabled": st.sampled_from([True]),
    "schedule": st.lists(st.sampled_from(["Mon-Fri 08:00-18:00", "22:00-02:00"]), unique=True),
    "timezone": st.sampled_from(["UTC", "Europe/Copenhagen"]),
    "model": st.sampled_from(["inter-2", "inter-2-audio", "inter-9"]),
    "open_timeout": st.integers(1, 300) | st.just("1.5s"),
    "buffer": st.integers(61, 3600) | st.just("1.5h").map(lambda _: "30m"),
    "replay": st.integers(0, 4) | st.just("500ms"),
    "chunk": st.sampled_from([3, 4.75, "3500ms"]),
    "max_size": SIZES,
    "buffer_max": SIZES,
    "max_age": st.integers(60, 10**6) | st.just("1.5h"),
    "base_topic": st.just("site/interhuman"),
    "discovery_prefix": st.just("homeassistant"),
    "client_id": WORDS,
    "priority": st.integers(-1000, 1000),
    "max_sessions": st.integers(0, 100),
    "id": WORDS.filter(lambda word: word not in ("all", "bridge")),
    "ca_file": PATHS,
    "certificate": PATHS,
    "private_key": PATHS,
    "hosts": st.just(["rooms.example"]),
    "keep": st.just("14d"),
    "listen": st.sampled_from(["9464", "127.0.0.1:9464", "[::1]:9464"]),
    "path": PATHS,
    "username": TEXTS,
    "name": TEXTS,
    "redact": st.lists(TEXTS, unique=True, max_size=3),
}
BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    SecretRef: SECRETS,
    Budget: st.builds(lambda quantity: {"per_day": quantity}, QUANTITIES),
    Shard: st.integers(1, 4).flatmap(
        lambda count: st.integers(0, count - 1).map(lambda index: {"index": index, "count": count})
    ),
    bool: st.booleans(),
    Framing: st.sampled_from([framing.value for framing in Framing]),
}
LEFT_OUT = {"profile", "cert_file", "key_file"}


def values(key: str, hint: Any) -> st.SearchStrategy[Any]:
    """Values of TOML that a key may have; each kind without words of its own needs an entry in BY_KEY."""
    if key in BY_KEY:
        return BY_KEY[key]
    if get_origin(hint) is tuple:
        return st.lists(st.sampled_from(get_args(get_args(hint)[0])), unique=True)
    return st.sampled_from(get_args(hint)) if get_origin(hint) is Literal else BY_TYPE[hint]


def tables(struct: Any, **required: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Tables that say any of the keys of a struct."""
    optional = {key: values(key, hint) for key, hint in keys_of(struct).items() if key not in LEFT_OUT | set(required)}
    return st.fixed_dictionaries(required, optional=optional)


SECTIONS = {name: hint for name, hint in keys_of(File).items() if get_origin(hint) is not dict}
URLS = st.sampled_from(["wss://api.interhuman.ai/v2/stream/analyze", "ws://127.0.0.1/v1/stream/analyze"])
FILES = st.fixed_dictionaries(
    {
        **{name: tables(struct) for name, struct in SECTIONS.items() if name not in ("mqtt", "interhuman")},
        "mqtt": tables(SECTIONS["mqtt"], username=TEXTS),
        "interhuman": tables(SECTIONS["interhuman"], url=URLS, api_key=SECRETS, chunk=BY_KEY["chunk"]),
        "cameras": st.dictionaries(
            WORDS.filter(lambda word: word not in ("all", "bridge")),
            tables(CameraTable, source=BY_KEY["source"], username=TEXTS),
            max_size=3,
        ),
    }
)


def consistent(table: dict[str, Any]) -> dict[str, Any]:
    """The same file without what the rules forbid together."""
    for name in table["cameras"]:
        if not table["cameras"][name]["source"].startswith("rtsp"):
            table["cameras"][name].pop("username", None)
            table["cameras"][name].pop("password", None)
    if "/v1/" in table["interhuman"]["url"]:
        for holder in (table["interhuman"], table["defaults"], *table["cameras"].values()):
            holder.pop("model", None)
    return table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for files that are read at once."""
    return tmp_path_factory.mktemp("effective")


def load(folder: Path, text: str) -> Config:
    """The configuration of one file."""
    file = folder / "main.toml"
    file.write_text(text)
    return configfile.load([file])


@settings(deadline=None)
@given(FILES.map(consistent))
def test_the_effective_toml_means_the_same(folder: Path, table: dict[str, Any]) -> None:
    """Whatever a valid file says, what `config` prints loads to the very same configuration, and prints the same."""
    config = load(folder, tomli_w.dumps(table))
    text = configfile.effective_toml(config)
    again = load(folder, text)
    assert config == again
    assert text == configfile.effective_toml(again)
    assert configfile.config_hash(config) == configfile.config_hash(again)


def test_quantities_are_printed_for_people(folder: Path) -> None:
    """Durations, sizes, bitrates and picture sizes keep their units."""
    text = configfile.effective_toml(
        load(
            folder,
            '[interhuman]\napi_key = { env = "KEY" }\n[cameras.front]\nsource = "test:"\nvideo_bitrate = 800000\n'
            'size = "640x480"\nbuffer = 120\nfps = 15.0\n',
        )
    )
    expected = ['buffer = "2m"', 'buffer_max = "32MiB"', 'video_bitrate = "800k"', 'size = "640x480"', "fps = 15"]
    assert [line for line in expected if f"\n{line}\n" not in text] == []


def test_the_hash_changes_with_the_configuration_and_with_nothing_else(folder: Path) -> None:
    """Order and spelling of the file do not matter, a changed value does."""
    head = '[interhuman]\napi_key = { env = "KEY" }\n[cameras.front]\nsource = "test:"\n'
    texts = ['fps = 5\nbuffer = "2m"', 'buffer = "120s"\nfps = 5.0', 'fps = 5\nbuffer = "121s"']
    first, same, other = [configfile.config_hash(load(folder, head + text)) for text in texts]
    assert first == same != other
    assert len(first) == 12


MARK = "s3cr3t"
VALID = f"""\
[interhuman]
url = "wss://api.interhuman.ai/v2/stream/analyze"
api_key = {{ credential = "key" }}
chunk = "2s"
[mqtt]
url = "mqtt://edge:{MARK}@broker.lan"
password = "{MARK}"
[profiles.meeting]
schedule = ["Mon-Fri 08:00-18:00", "22:00-02:00"]
[cameras.front]
source = "rtsp://viewer:{MARK}@10.0.0.5/stream1"
username = "viewer"
password = "{MARK}"
size = "1280x720"
profile = "meeting"
boxes = ["*"]
budget = {{ per_day = "6h" }}
"""


def refusal(folder: Path, content: bytes) -> str:
    """What is said of a file that cannot be used; nothing of one that can."""
    file = folder / "main.toml"
    file.write_bytes(content)
    try:
        configfile.load([file])
    except ConfigError as error:
        return str(error)
    return ""


def mutated(text: str, seed: int) -> str:
    """A text with some characters or lines dropped, doubled or exchanged; the secret stays in one piece."""
    chance = random.Random(seed)
    pieces = [
        piece for line in text.splitlines(keepends=True) for piece in (list(line) if MARK not in line else [line])
    ]
    for _ in range(chance.randint(1, 6)):
        at, other = chance.randrange(len(pieces)), chance.randrange(len(pieces))
        match chance.randrange(4):
            case 0:
                del pieces[at : at + chance.randint(1, 9)]
            case 1:
                pieces.insert(other, pieces[at])
            case 2:
                pieces[at], pieces[other] = pieces[other], pieces[at]
            case _:
                pieces.insert(at, chance.choice("\"'[]{}=.,#\\\n \0é\u2028"))
        pieces = pieces or [""]
    return "".join(pieces)


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_a_mutated_file_is_loaded_or_refused_and_never_echoes_a_secret(folder: Path, seed: int) -> None:
    """Nothing but ConfigError comes out of a damaged file, and no password of it stands in the message."""
    assert MARK not in refusal(folder, mutated(VALID, seed).encode())


@settings(deadline=None)
@given(st.binary() | st.text().map(str.encode) | st.text(st.sampled_from("[]{}=.,\"'\n a1#")).map(str.encode))
def test_any_content_is_loaded_or_refused(folder: Path, content: bytes) -> None:
    """Nothing but ConfigError comes out of any bytes at all."""
    said = refusal(folder, content)
    assert not said or said.startswith(str(folder))


SCALARS = st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.datetimes(), st.dates(), st.times())
KEYS = st.sampled_from(["front", *{key for struct in SECTIONS.values() for key in keys_of(struct)}])
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(list(keys_of(File))), st.dictionaries(KEYS, ANYTHING) | ANYTHING))
def test_any_value_in_any_place_is_loaded_or_refused(folder: Path, table: dict[str, Any]) -> None:
    """Each key survives each type of value, and each problem is one line."""
    said = refusal(folder, tomli_w.dumps(table).encode())
    assert not said or all(line.startswith(str(folder)) for line in said.split("\n"))
