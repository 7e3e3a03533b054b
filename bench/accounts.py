"""Creates the accounts of the digest runs over gRPC, with nothing but the server's reflection: no generated code."""
import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


def create(api_port, users, domain, password):
    """One account a user: uNNNNNN@domain."""
    with grpc.insecure_channel(f"127.0.0.1:{api_port}") as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        method = pool.FindServiceByName("carillon.registrar.v1.Accounts").FindMethodByName("CreateAccount")
        request_type = message_factory.GetMessageClass(method.input_type)
        response_type = message_factory.GetMessageClass(method.output_type)
        call = channel.unary_unary(
            "/carillon.registrar.v1.Accounts/CreateAccount",
            request_serializer=lambda message: message.SerializeToString(), response_deserializer=response_type.FromString)
        under_way = []
        for user in range(users):
            request = request_type()
            request.account.aor = f"sip:u{user:06d}@{domain}"
            request.account.password = password
            under_way.append(call.future(request))
            if len(under_way) == 64:
                under_way.pop(0).result()
        for future in under_way:
            future.result()
