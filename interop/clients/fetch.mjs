// Plain fetch on v1's REST API.
import { metadata } from "../scenarios.mjs";

export default [{
  name: "fetch (REST)",
  async call(address, scenario) {
    const response = await fetch(`http://${address}/management/v1/users/${scenario.userId}/password/_initialize`, {
      method: "POST",
      headers: { "content-type": "application/json", ...metadata(scenario) },
      body: JSON.stringify({ password: scenario.password }),
    });
    const body = await response.json();
    if (response.ok) return { code: 0, resourceOwner: body.details.resourceOwner };
    return { code: body.code, message: body.message, id: body.details?.[0]?.id };
  },
}];
