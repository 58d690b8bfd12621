"""exporter/proto/otlp.proto is a subset of the official definitions: same numbers, types and cardinality."""
import subprocess

import pytest
from google.protobuf import descriptor_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from fake import TOP

# google.rpc.Status, google.rpc.RetryInfo and what they hold: another project's.
GOOGLE = {
    "RpcStatus": {("code", 1, 5), ("message", 2, 9), ("details", 3, 11)},
    "Any": {("type_url", 1, 9), ("value", 2, 12)},
    "RetryInfo": {("retry_delay", 1, 11)},
    "Duration": {("seconds", 1, 3), ("nanos", 2, 5)},
}
OFFICIAL = [trace_service_pb2, common_pb2, resource_pb2, trace_pb2]


def files():
    """The official files as FileDescriptorProto."""
    for module in OFFICIAL:
        proto = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(proto)
        yield proto


def messages(proto, prefix=""):
    for message in proto.message_type if hasattr(proto, "message_type") else proto.nested_type:
        yield prefix + message.name, message
        yield from messages(message, prefix + message.name + ".")


def enums(proto):
    yield from ((e.name, e) for e in proto.enum_type)
    for _, message in messages(proto):
        yield from ((e.name, e) for e in message.enum_type)


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    out = tmp_path_factory.mktemp("proto") / "otlp.bin"
    folder = TOP / "exporter" / "proto"
    subprocess.run(["protoc-c", f"--proto_path={folder}", f"--descriptor_set_out={out}", "otlp.proto"], check=True)
    return descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file[0]


def last(name):
    return name.rpartition(".")[2]


def test_every_field_is_as_in_the_official_definition(ours):
    official = {name: m for f in files() for name, m in messages(f)}
    checked = 0
    for name, message in messages(ours):
        if name in GOOGLE:
            assert {(f.name, f.number, f.type) for f in message.field} == GOOGLE[name]
            continue
        theirs = {f.name: f for f in official[name].field}
        for field in message.field:
            other = theirs[field.name]
            assert (field.number, field.type, field.label) == (other.number, other.type, other.label), f"{name}.{field.name}"
            assert last(field.type_name) == last(other.type_name), f"{name}.{field.name}"
            checked += 1
    assert checked > 40


def test_every_enum_value_is_as_in_the_official_definition(ours):
    official = {name: e for f in files() for name, e in enums(f)}
    for name, enum in enums(ours):
        theirs = {v.name: v.number for v in official[name].value}
        assert {v.name: v.number for v in enum.value}.items() <= theirs.items()
