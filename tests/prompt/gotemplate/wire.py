"""Values as the Go program in `reference` reads them: its values.go says how."""

from __future__ import annotations

from typing import Any

from bundler.prompt.gotemplate.values import Byte, Map, Rune, Slice, Struct, encode


def spelled(value: Any) -> Any:
    """The value as JSON."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        data = encode(value)
        return value if data.isascii() or "\ufffd" not in data.decode("utf-8", "replace") else {"bytes": data.hex()}
    if isinstance(value, int):
        return {"uint8" if isinstance(value, Byte) else "int32" if isinstance(value, Rune) else "int": str(int(value))}
    if isinstance(value, float):
        return {"float64": repr(value)}
    if isinstance(value, complex):
        return {"complex128": [repr(value.real), repr(value.imag)]}
    if isinstance(value, Slice | Map) and value.nil:
        return {"typed": [value.type_name, None]}
    if isinstance(value, Struct):
        return {"typed": [value.type_name, {name: spelled(item) for name, item in value.fields.items()}]}
    if isinstance(value, list):
        items: Any = [spelled(item) for item in value]
    else:
        items = {key: spelled(item) for key, item in value.items()}
    if isinstance(value, Slice | Map):
        return {"typed": [value.type_name, items]}
    return {"list" if isinstance(value, list) else "map": items}
