// What every client must make of the adapter's answers: v1's codes, words and
// error details. The state is that of `zitadel-v1-adapter demo`.

const token = "acme-owner-token";
const password = "Sup3rPassw0rd!";
const notFound = { code: 9, message: "Password not found (COMMAND-G8dh3)", id: "COMMAND-G8dh3" };

export const scenarios = [
  { name: "success", userId: "3001", password, token, expect: { code: 0, resourceOwner: "1001" } },
  {
    name: "policy violation", userId: "3001", password: "a", token,
    expect: { code: 3, message: "Password is too short (DOMAIN-HuJf6)", id: "DOMAIN-HuJf6" },
  },
  { name: "missing user", userId: "999999999999999999", password, token, expect: notFound },
  { name: "other organization's user", userId: "3004", password, token, expect: notFound },
  { name: "no token", userId: "3001", password, expect: { code: 16, message: "auth header missing" } },
  // The deadline goes over the wire as grpc-timeout, so that the answer is the
  // adapter's and not the client library's own.
  {
    name: "deadline passed", userId: "3001", password, token, timeout: "1n",
    expect: { code: 4, message: "context deadline exceeded" },
  },
];

// metadata is what a scenario sends besides the message.
export function metadata(scenario) {
  const pairs = {};
  if (scenario.token) pairs.authorization = `Bearer ${scenario.token}`;
  if (scenario.timeout) pairs["grpc-timeout"] = scenario.timeout;
  return pairs;
}
