"""Makes an attended transfer and watches it, with nothing but grpcio and server reflection; goes on at another replica when one ends.

usage: attended_transfer.py HOST:PORT HOST:PORT CUSTOMER AGENT DESK EXPERT

CUSTOMER talks to AGENT and is held; DESK, the agent's second phone, talks to EXPERT; then CUSTOMER is led to EXPERT. Prints one event type
of the customer's call a line, RESUMED when the stream went on elsewhere, and waits for a line of input after TRANSFER_STARTED and after
TRANSFER_SUCCEEDED.
"""
import sys

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

PACKAGE = "carillon.callcontrol.v1"


class Replicas:
    """The service at whichever address answers."""

    def __init__(self, addresses):
        self.channels = [grpc.insecure_channel(address) for address in addresses]
        self.pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(self.channels[0]))
        self.service = self.pool.FindServiceByName(f"{PACKAGE}.CallControl")
        # All that is asked for later is described by now: the replica that describes it may be gone then
        self.methods = dict(self.service.methods_by_name)

    def message(self, name):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))

    def rpc(self, name, streaming=False):
        method = self.methods[name]
        make = self.channels[0].unary_stream if streaming else self.channels[0].unary_unary
        reply = message_factory.GetMessageClass(method.output_type)
        return make(
            f"/{self.service.full_name}/{name}",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=reply.FromString,
        )

    def turn(self):
        self.channels.append(self.channels.pop(0))


def main(one, two, customer, agent, desk, expert):
    replicas = Replicas([one, two])
    Dial, Event, Watch = (replicas.message(name) for name in ("DialRequest", "CallEvent", "WatchCallsRequest"))
    Hold, Transfer, Hangup = (replicas.message(name) for name in ("HoldRequest", "TransferRequest", "HangupRequest"))
    kinds = Event.DESCRIPTOR.fields_by_name["type"].enum_type.values_by_number

    def dial(request_id, caller, callee):
        request = Dial(request_id=request_id, to={"uri": callee})
        getattr(request, "from").uri = caller
        return replicas.rpc("Dial")(request).call_id

    def events(call_id):
        """Every event once, from the first one on, whatever replica tells it."""
        cursor, known = "", set()
        while True:
            try:
                for event in replicas.rpc("WatchCalls", streaming=True)(Watch(call_id=call_id, after_cursor=cursor)):
                    assert event.cursor not in known, "an event came twice"
                    known.add(event.cursor)
                    cursor = event.cursor
                    yield kinds[event.type].name
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
                replicas.turn()
                print("RESUMED", flush=True)

    def until(call_id, wanted):
        return next(kind for kind in events(call_id) if kind == wanted)

    first = dial("first", customer, agent)
    second = dial("second", desk, expert)
    until(second, "CONNECTED")
    for kind in events(first):
        print(kind, flush=True)
        if kind == "CONNECTED":
            replicas.rpc("Hold")(Hold(request_id="hold", call_id=first))
        if kind == "HELD":
            transfer = Transfer(request_id="transfer", call_id=first, leg_id="a", target={"call_id": second})
            replicas.rpc("Transfer")(transfer)
        if kind == "TRANSFER_STARTED":
            sys.stdin.readline()
        if kind == "TRANSFER_SUCCEEDED":
            sys.stdin.readline()
            replicas.rpc("Hangup")(Hangup(request_id="end", call_id=first))
        if kind == "ENDED":
            break


if __name__ == "__main__":
    main(*sys.argv[1:])
