"""The merge: entries of all files to the effective configuration, in layers over defaults, with this box's cameras."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, TypeVar

from msgspec import NODEFAULT, Struct, structs

from interhuman2mqtt.config import shards, urls
from interhuman2mqtt.config.model import (
    Box,
    CameraConfig,
    CameraKeys,
    CameraTable,
    Config,
    Interhuman,
    Log,
    Metrics,
    Mqtt,
    Outbox,
    Privacy,
    Shard,
    Web,
)
from interhuman2mqtt.config.parser import INVALID, TABLE, Entries, keys_of
from interhuman2mqtt.config.problems import KeyPath

S = TypeVar("S", bound=Struct)

SHARED_KEYS = (frozenset(keys_of(CameraKeys)) & frozenset(keys_of(Interhuman))) - {"ca_file"}
"""What cameras inherit from `[interhuman]`; who vouches for the cloud does not vouch for a camera."""
_INTERHUMAN: KeyPath = ("interhuman",)


class Layers(NamedTuple):
    """A table with those that stand behind it: the first that has a key decides."""

    entries: Entries
    tables: tuple[KeyPath, ...]
    defaults: Mapping[str, Any]
    own: int | None = None
    """So many of the tables stand for all keys, the others for `SHARED_KEYS` only; None: all of them."""

    def path(self, key: str) -> KeyPath | None:
        """Return where a key is decided; None: nowhere, it has its default."""
        inherited = self.tables if key in SHARED_KEYS else self.tables[: self.own]
        return next((path for table in inherited if (path := (*table, key)) in self.entries), None)

    def value(self, key: str) -> Any:
        """Return the value of a key, its default (None where it has none), or INVALID."""
        path = self.path(key)
        return self.defaults.get(key) if path is None else self.entries[path].value

    def valid(self, *keys: str) -> bool:
        """Return whether none of the values is one that was reported already."""
        return INVALID not in [self.value(key) for key in keys]


def merge(files: Iterable[Entries]) -> Entries:
    """Return the entries of all files, the later winning; a table stands where it was opened first."""
    merged: Entries = {}
    for found in files:
        tables = {path: merged[path] for path, entry in found.items() if entry.value is TABLE and path in merged}
        merged |= found | tables
    return merged


def section(entries: Entries, name: str, struct: type[Struct]) -> Layers:
    """Return a table that stands alone."""
    return Layers(entries, ((name,),), _defaults(struct))


def camera_names(entries: Entries) -> list[str]:
    """Return all cameras in the order of the files, those of other boxes too."""
    return [str(path[1]) for path, entry in entries.items() if path[0] == "cameras" and entry.value is TABLE]


def camera_layers(entries: Entries, name: str) -> Layers:
    """Return a camera's own keys over its profile over `[defaults]` over `[interhuman]`."""
    own: KeyPath = ("cameras", name)
    layers = Layers(entries, (own, ("defaults",)), _CAMERA_DEFAULTS)
    profile = ("profiles", layers.value("profile"))
    return layers._replace(tables=(own, profile, ("defaults",), _INTERHUMAN), own=3)


def runs_on(camera: Layers, box: str) -> bool:
    """Return whether a camera is enabled and its `boxes` match this one; of some shards one runs it."""
    return camera.value("enabled") is True and any(fnmatchcase(box, pattern) for pattern in camera.value("boxes"))


def our_cameras(entries: Entries) -> dict[str, Layers]:
    """Return the cameras that this box is to run, by their ids; without those of which that is not known."""
    about = section(entries, "box", Box)
    box, shard = about.value("id"), about.value("shard")
    if INVALID in (box, shard):
        return {}
    found = {name: camera_layers(entries, name) for name in camera_names(entries)}
    return {
        name: camera
        for name, camera in found.items()
        if camera.valid("boxes", "enabled") and runs_on(camera, box) and _in_shard(name, shard)
    }


def _in_shard(camera: str, shard: Shard | None) -> bool:
    return shard is None or shards.owner(camera, shard.count) == shard.index


def build(entries: Entries) -> Config:
    """Return the effective configuration, from entries without a fault and with `box.id`."""
    box = _struct(Box, section(entries, "box", Box))
    return Config(
        box=box,
        interhuman=_struct(Interhuman, section(entries, "interhuman", Interhuman)),
        mqtt=_struct(Mqtt, section(entries, "mqtt", Mqtt), client_id=f"interhuman-{box.id}"),
        outbox=_struct(Outbox, section(entries, "outbox", Outbox)),
        privacy=_struct(Privacy, section(entries, "privacy", Privacy)),
        log=_struct(Log, section(entries, "log", Log)),
        metrics=_struct(Metrics, section(entries, "metrics", Metrics)),
        web=_struct(Web, section(entries, "web", Web)),
        cameras={name: _camera(name, layers) for name, layers in our_cameras(entries).items()},
    )


def _camera(name: str, layers: Layers) -> CameraConfig:
    camera = _struct(CameraConfig, layers, id=name, name=name)
    return camera if urls.is_network(camera.source) else structs.replace(camera, username=None, password=None)


def _struct(struct: type[S], layers: Layers, **defaults: Any) -> S:
    given = {key: layers.value(key) for key in keys_of(struct) if layers.path(key) or key in layers.defaults}
    return struct(**{**defaults, **given})


def _defaults(struct: type[Struct]) -> dict[str, Any]:
    return {field.name: field.default for field in structs.fields(struct) if field.default is not NODEFAULT}


_CAMERA_DEFAULTS = {
    **{key: value for key, value in _defaults(CameraTable).items() if key not in ("name", "source")},
    **{key: value for key, value in _defaults(Interhuman).items() if key in SHARED_KEYS},
}
"""What cameras share with `[interhuman]` is by default what it is there; `name` and `source` have none."""
