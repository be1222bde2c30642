// The error id in a grpc-status-details-bin value, for the client libraries that
// hand the bytes to the application.
import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { ErrorDetailSchema } from "@zitadel/proto/zitadel/message_pb.js";

export function errorId(bytes) {
  if (!bytes || bytes.length === 0) return undefined;
  for (const any of fields(bytes, 3)) { // google.rpc.Status.details
    const [url] = fields(any, 1);
    const [value] = fields(any, 2);
    if (new TextDecoder().decode(url) !== "type.googleapis.com/zitadel.v1.ErrorDetail") continue;
    return fromBinary(ErrorDetailSchema, value).id;
  }
  return undefined;
}

// fields reads the length-delimited fields with one number.
function fields(bytes, number) {
  const reader = new BinaryReader(bytes);
  const found = [];
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (field === number && wire === 2) found.push(reader.bytes());
    else reader.skip(wire, field);
  }
  return found;
}
