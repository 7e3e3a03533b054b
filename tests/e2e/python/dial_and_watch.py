"""Dials and watches a call with nothing but grpcio and server reflection: no generated code, no .proto file.

usage: dial_and_watch.py HOST:PORT FROM TO     prints one event type a line, and hangs up once the call is connected
"""
import sys

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

PACKAGE = "carillon.callcontrol.v1"


def main(address, caller, callee):
    channel = grpc.insecure_channel(address)
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    service = pool.FindServiceByName(f"{PACKAGE}.CallControl")

    def message(name):
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))

    def rpc(name, streaming=False):
        method = service.methods_by_name[name]
        make = channel.unary_stream if streaming else channel.unary_unary
        reply = message_factory.GetMessageClass(method.output_type)
        return make(
            f"/{service.full_name}/{name}",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=reply.FromString,
        )

    request = message("DialRequest")(request_id="from-python")
    setattr(getattr(request, "from"), "uri", caller)
    request.to.uri = callee
    call = rpc("Dial")(request)
    again = rpc("Dial")(request)
    assert again.call_id == call.call_id, "the same request_id must name the same call"

    kinds = message("CallEvent").DESCRIPTOR.fields_by_name["type"].enum_type.values_by_number
    # The empty cursor: every event of this call from CREATED on, however fast it goes. Without after_cursor a watch begins with a
    # snapshot, which is all there is of a call that has ended.
    watch = message("WatchCallsRequest")(call_id=call.call_id, after_cursor="")
    for event in rpc("WatchCalls", streaming=True)(watch):
        kind = kinds[event.type].name
        print(kind, flush=True)
        if kind == "CONNECTED":
            rpc("Hangup")(message("HangupRequest")(request_id="end", call_id=call.call_id))
        if kind == "ENDED":
            break


if __name__ == "__main__":
    main(*sys.argv[1:])
