"""The JSON Schema of the configuration file, for Taplo and for VS Code by way of it.

Taplo knows the keywords of draft 4, so nothing newer is used; with `$ref` it looks at nothing that stands beside it.
What is not said here is left to `interhuman2mqtt check`: rules that join several keys, and limits of what is in quotes.
"""

from typing import Any, get_args, get_origin

from msgspec import NODEFAULT, Struct, structs

from generate import sentences
from interhuman2mqtt.config import CameraTable, File, SecretRef
from interhuman2mqtt.config.merge import SHARED_KEYS
from interhuman2mqtt.config.parser import INLINE_TABLES, is_list, keys_of, kind_of
from interhuman2mqtt.config.value_types import NAME

Schema = dict[str, Any]

ANY_TEXT = ".+"


def document() -> Schema:
    """Return the whole schema."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "interhuman2mqtt",
        "description": "One configuration file of interhuman2mqtt; several are merged, so none has to hold it all.",
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _section(name, hint) for name, hint in keys_of(File).items()},
        "definitions": {"camera": _table("cameras", CameraTable)},
    }


def _section(name: str, hint: Any) -> Schema:
    if get_origin(hint) is dict:
        return {
            "description": sentences.of_keys()[name, ""],
            "type": "object",
            "additionalProperties": False,
            "patternProperties": {
                NAME.schema["pattern"] if name == "cameras" else ANY_TEXT: {"$ref": "#/definitions/camera"}
            },
        }
    return _table(name, hint)


def _table(name: str, struct: type[Struct]) -> Schema:
    return {
        "description": sentences.of_keys().get((name, "")) or sentences.of_class(struct),
        "type": "object",
        "additionalProperties": False,
        "properties": {key: _key(name, struct, key, hint) for key, hint in keys_of(struct).items()},
    }


def _key(table: str, struct: type[Struct], key: str, hint: Any) -> Schema:
    default = default_of(struct, key, hint)
    return {"description": sentence(table, key), **schema_of(hint), **({} if default is None else {"default": default})}


def sentence(table: str, key: str) -> str:
    """Return what a key is for."""
    said = sentences.of_keys()
    if table in ("cameras", "defaults", "profiles"):
        if key in SHARED_KEYS:
            return f"For cameras that differ from [interhuman]: {said['interhuman', key]}"
        return said.get(("cameras", key)) or said["defaults", key]
    return said[table, key]


def default_of(struct: type[Struct], key: str, hint: Any) -> Any:
    """Return what a key is when it is left out, as TOML has it; None: what its sentence says."""
    [field] = [field for field in structs.fields(struct) if field.name == key]
    if field.default in (None, NODEFAULT) or (struct is CameraTable and key in SHARED_KEYS):
        return None
    return list(field.default) if is_list(hint) else kind_of(hint).write(field.default)


def schema_of(hint: Any) -> Schema:
    """Return the schema of a value."""
    if is_list(hint):
        return {"type": "array", "items": schema_of(get_args(hint)[0]), "uniqueItems": True}
    return _inline_table(hint) if hint in INLINE_TABLES else dict(kind_of(hint).schema)


def _inline_table(struct: type[Struct]) -> Schema:
    said = sentences.of_attributes(struct)
    keys = {key: {"description": said[key], **schema_of(hint)} for key, hint in keys_of(struct).items()}
    required = [field.name for field in structs.fields(struct) if field.required]
    one_of_them = struct is SecretRef
    number: Schema = {"minProperties": 1, "maxProperties": 1} if one_of_them else {}
    title = f"table: {(' or ' if one_of_them else ' and ').join(keys)}"
    table = {"title": title, "type": "object", "additionalProperties": False}
    return {**table, "properties": keys, **number, **({"required": required} if required else {})}
