"""Makes one v1 call with grpcio and what protoc makes for it, and prints as JSON what the application sees."""

import base64
import json
import sys

import grpc
from zitadel.management.v1.management_pb2 import SetHumanInitialPasswordRequest
from zitadel.management.v1.management_pb2_grpc import ManagementServiceStub

SERVICE_CONFIG = {
    "methodConfig": [{
        "name": [{"service": "zitadel.management.v1.ManagementService"}],
        "retryPolicy": {
            "maxAttempts": 3, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        },
    }],
}


def call(address, scenario):
    metadata = [("authorization", f"Bearer {scenario['token']}")] if "token" in scenario else []
    # The only way to a grpc-timeout. That short, grpcio itself ends the call.
    timeout = 1e-9 if "timeout" in scenario else 10
    request = SetHumanInitialPasswordRequest(user_id=scenario["userId"], password=scenario["password"])
    with grpc.insecure_channel(address, options=[("grpc.service_config", json.dumps(SERVICE_CONFIG))]) as channel:
        management = ManagementServiceStub(channel)
        try:
            response = management.SetHumanInitialPassword(request, metadata=metadata, timeout=timeout)
        except grpc.RpcError as error:
            details = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
            return {"code": error.code().value[0], "message": error.details(), "details": base64.b64encode(details).decode()}
    return {"code": 0, "resourceOwner": response.details.resource_owner}


print(json.dumps(call(sys.argv[1], json.loads(sys.argv[2]))))
