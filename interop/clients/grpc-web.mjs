// Google's grpc-web in Node. It is made for browsers: xhr2 stands in for XMLHttpRequest,
// while a call lasts, or else axios would use it too.
import XMLHttpRequest from "xhr2";
import clients from "../browser/grpc-web.mjs";

export default clients.map(({ name, call }) => ({
  name,
  async call(address, scenario) {
    globalThis.XMLHttpRequest = XMLHttpRequest;
    try {
      return await call(address, scenario);
    } finally {
      delete globalThis.XMLHttpRequest;
    }
  },
}));
