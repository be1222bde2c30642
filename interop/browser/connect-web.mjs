// @zitadel/proto with connect-web's gRPC-Web transport.
import { createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { ManagementService } from "@zitadel/proto/zitadel/management_pb.js";
import { ErrorDetailSchema } from "@zitadel/proto/zitadel/message_pb.js";
import { metadata } from "../scenarios.mjs";

export default [{
  name: "connect-web gRPC-Web",
  async call(address, scenario) {
    const management = createClient(ManagementService, createGrpcWebTransport({ baseUrl: `http://${address}` }));
    try {
      const { userId, password } = scenario;
      const response = await management.setHumanInitialPassword({ userId, password }, { headers: metadata(scenario) });
      return { code: 0, resourceOwner: response.details.resourceOwner };
    } catch (error) {
      const [detail] = error.findDetails(ErrorDetailSchema);
      return { code: error.code, message: error.rawMessage, id: detail?.id };
    }
  },
}];
