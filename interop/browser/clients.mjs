// The clients that run in a page. clients/browser.mjs knows them by their place here.
import fetchREST from "../clients/fetch.mjs";
import connectWeb from "./connect-web.mjs";
import grpcWeb from "./grpc-web.mjs";

export default [...grpcWeb, ...connectWeb, ...fetchREST];
