// @zitadel/node with nice-grpc, as applications use it. Version 2 exports its
// API through the package's exports, version 3 has none.
import { Metadata } from "nice-grpc";
import * as v2 from "@zitadel/node-2/api";
import * as v3 from "../node_modules/@zitadel/node-3/dist/api/index.js";
import { metadata } from "../scenarios.mjs";
import { errorId } from "../details.mjs";

function client(name, library) {
  let management;
  return {
    name,
    async call(address, scenario) {
      management ??= library.createManagementClient(`http://${address}`);
      let id;
      const options = {
        metadata: new Metadata(metadata(scenario)),
        onTrailer: (trailer) => { id = errorId(trailer.get("grpc-status-details-bin")); },
      };
      try {
        const { userId, password } = scenario;
        const response = await management.setHumanInitialPassword({ userId, password }, options);
        return { code: 0, resourceOwner: response.details.resourceOwner };
      } catch (error) {
        return { code: error.code, message: error.details, id };
      }
    },
  };
}

export default [client("@zitadel/node 2.x", v2), client("@zitadel/node 3.x", v3)];
