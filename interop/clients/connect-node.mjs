// @zitadel/proto with connect-node's gRPC and gRPC-Web transports.
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { ManagementService } from "@zitadel/proto/zitadel/management_pb.js";
import { ErrorDetailSchema } from "@zitadel/proto/zitadel/message_pb.js";
import { metadata } from "../scenarios.mjs";

function client(name, createTransport) {
  return {
    name,
    async call(address, scenario) {
      const management = createClient(ManagementService, createTransport(`http://${address}`));
      try {
        const { userId, password } = scenario;
        const response = await management.setHumanInitialPassword({ userId, password }, { headers: metadata(scenario) });
        return { code: 0, resourceOwner: response.details.resourceOwner };
      } catch (error) {
        const [detail] = error.findDetails(ErrorDetailSchema);
        return { code: error.code, message: error.rawMessage, id: detail?.id };
      }
    },
  };
}

export default [
  client("connect-node gRPC", (baseUrl) => createGrpcTransport({ baseUrl })),
  client("connect-node gRPC-Web, HTTP/1.1", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })),
  client("connect-node gRPC-Web, HTTP/2", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "2" })),
];
