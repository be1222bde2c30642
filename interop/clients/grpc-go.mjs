// grpc-go: the program in ../grpcgo makes the calls and prints what it got.
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

export default [{
  name: "grpc-go",
  async call(address, scenario) {
    const { stdout } = await run(process.env.INTEROP_GRPCGO, [address, JSON.stringify(scenario)]);
    return JSON.parse(stdout);
  },
}];
