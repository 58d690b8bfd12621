"""Reads OTLP's JSON strictly: the proto3 mapping with OTLP's exceptions, and what a careful writer does beyond it."""
import base64
import json

from google.protobuf import json_format

HEX = {"traceId": 16, "spanId": 8, "parentSpanId": 8}
TEXT_NUMBERS = {"startTimeUnixNano", "endTimeUnixNano", "timeUnixNano", "intValue", "asInt", "count", "zeroCount"}
LISTS_OF_TEXT_NUMBERS = {"bucketCounts"}
PLAIN_NUMBERS = {"kind", "code", "flags", "droppedAttributesCount", "droppedEventsCount", "droppedLinksCount",
                 "aggregationTemporality", "scale", "offset"}


class Wrong(Exception):
    pass


def no_doubles(pairs):
    keys = [k for k, _ in pairs]
    if len(keys) != len(set(keys)):
        raise Wrong(f"a key twice: {keys}")
    return dict(pairs)


def convert(value, where=""):
    """The same with ids in base64, as the plain proto3 mapping has them."""
    if isinstance(value, list):
        return [convert(v, where) for v in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for key, item in value.items():
        if "_" in key:
            raise Wrong(f"{where}.{key}: not lowerCamelCase")
        if key in HEX:
            if not isinstance(item, str) or len(item) != 2 * HEX[key] or item != item.lower():
                raise Wrong(f"{where}.{key}: {item!r}")
            item = base64.b64encode(bytes.fromhex(item)).decode()
        elif key in TEXT_NUMBERS and not isinstance(item, str):
            raise Wrong(f"{where}.{key}: {item!r} is no text")
        elif key in LISTS_OF_TEXT_NUMBERS and not all(isinstance(v, str) for v in item):
            raise Wrong(f"{where}.{key}: {item!r} are no texts")
        elif key in PLAIN_NUMBERS and not isinstance(item, int):
            raise Wrong(f"{where}.{key}: {item!r} is no number")
        out[key] = convert(item, f"{where}.{key}")
    return out


def message(text, into):
    """Parses one object into an official message; raises Wrong or a ParseError."""
    data = json.loads(text, object_pairs_hook=no_doubles)
    return json_format.ParseDict(convert(data), into, ignore_unknown_fields=False)
