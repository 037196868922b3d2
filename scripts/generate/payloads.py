"""The JSON Schema (draft 7) of what we encode: every field is there unless it can be UNSET, and nothing else is."""

from typing import Any

from msgspec import NODEFAULT, inspect

from generate import sentences

Schema = dict[str, Any]


class Definitions:
    """Gathers the schemas of classes, each under its name.

    Args:
        prefix: Where they will stand, such as `#/definitions/`.
    """

    def __init__(self, prefix: str) -> None:
        self.found: dict[str, Schema] = {}
        self._prefix = prefix

    def ref(self, payload: Any) -> Schema:
        """Return the schema of any type that JSON can hold; gather its classes."""
        return self._schema(inspect.type_info(payload))

    def add(self, name: str, schema: Schema) -> Schema:
        """Add a schema that no class of ours stands for, under a name; return the reference to it."""
        self.found[name] = schema
        return {"$ref": f"{self._prefix}{name}"}

    def _schema(self, info: inspect.Type) -> Schema:  # noqa: PLR0911 - a type each
        match info:
            case inspect.StructType() | inspect.TypedDictType():
                return self._define(info.cls, lambda: self._object(info))
            case inspect.EnumType():
                return self._define(info.cls, lambda: {"type": "string", "enum": [word.value for word in info.cls]})
            case inspect.LiteralType():
                return {"enum": list(info.values)}
            case inspect.UnionType():
                return self._union([self._schema(option) for option in info.types])
            case inspect.VarTupleType() | inspect.ListType():
                return {"type": "array", "items": self._schema(info.item_type)}
            case inspect.DictType():
                return {"type": "object", "additionalProperties": self._schema(info.value_type) or True}
            case inspect.DateTimeType():
                return {"type": "string", "format": "date-time"}
            case inspect.AnyType() | inspect.RawType():
                return {}
        return {"type": _WORDS[type(info)]}

    def _define(self, found: type, make: Any) -> Schema:
        if found.__name__ not in self.found:
            self.found[found.__name__] = {"description": sentences.of_class(found), **make()}
        return {"$ref": f"{self._prefix}{found.__name__}"}

    def _object(self, info: inspect.StructType | inspect.TypedDictType) -> Schema:
        said = sentences.of_attributes(info.cls)
        return {
            "type": "object",
            "additionalProperties": False,
            "required": [field.encode_name for field in info.fields if _is_always_there(field)],
            "properties": {
                field.encode_name: _described(said.get(field.name), self._schema(field.type)) for field in info.fields
            },
        }

    def _union(self, options: list[Schema]) -> Schema:
        """Of plain types one list of them, which is what people read most easily."""
        if all(option.keys() == {"type"} for option in options):
            return {"type": [option["type"] for option in options]}
        return {"anyOf": options}


_WORDS = {
    inspect.StrType: "string",
    inspect.IntType: "integer",
    inspect.FloatType: "number",
    inspect.BoolType: "boolean",
    inspect.NoneType: "null",
}


def _is_always_there(field: inspect.Field) -> bool:
    return field.required or (field.default, field.default_factory) != (NODEFAULT, NODEFAULT)


def _described(sentence: str | None, schema: Schema) -> Schema:
    """Wrap a reference, which allows nothing beside it."""
    if sentence is None:
        return schema
    return {"description": sentence, **({"allOf": [schema]} if "$ref" in schema else schema)}
