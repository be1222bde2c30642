// Google's grpc-web, in both of its modes.
import { fromBinary, toBinary, create } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import {
  SetHumanInitialPasswordRequestSchema as RequestSchema,
  SetHumanInitialPasswordResponseSchema as ResponseSchema,
} from "@zitadel/proto/zitadel/management_pb.js";
import grpcWeb from "grpc-web";
import { metadata } from "../scenarios.mjs";
import { errorId } from "../details.mjs";

const method = new grpcWeb.MethodDescriptor(
  "/zitadel.management.v1.ManagementService/SetHumanInitialPassword", grpcWeb.MethodType.UNARY,
  Object, Object,
  (message) => toBinary(RequestSchema, create(RequestSchema, message)),
  (bytes) => fromBinary(ResponseSchema, bytes),
);

function client(name, format) {
  const base = new grpcWeb.GrpcWebClientBase({ format });
  return {
    name,
    async call(address, scenario) {
      const { userId, password } = scenario;
      const url = `http://${address}${method.getName()}`;
      try {
        const response = await base.unaryCall(url, { userId, password }, metadata(scenario), method);
        return { code: 0, resourceOwner: response.details.resourceOwner };
      } catch (error) {
        const bin = error.metadata?.["grpc-status-details-bin"];
        return { code: error.code, message: error.message, id: errorId(bin && base64Decode(bin)) };
      }
    },
  };
}

export default [client("grpc-web text", "text"), client("grpc-web binary", "binary")];
