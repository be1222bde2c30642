// axios on v1's REST API, with axios-retry: what a gateway answers for a service that is
// away is tried again, and so is the 504 of a deadline that has passed.
import axios from "axios";
import axiosRetry from "axios-retry";
import { metadata } from "../scenarios.mjs";

export default [{
  name: "axios (REST)",
  async call(address, scenario) {
    const zitadel = axios.create({ baseURL: `http://${address}/management/v1`, timeout: 10_000 });
    axiosRetry(zitadel, {
      retries: 2,
      retryDelay: axiosRetry.exponentialDelay,
      retryCondition: ({ response }) => [502, 503, 504].includes(response?.status),
    });
    try {
      const { userId, password } = scenario;
      const { data } = await zitadel.post(`/users/${userId}/password/_initialize`, { password }, { headers: metadata(scenario) });
      return { code: 0, resourceOwner: data.details.resourceOwner };
    } catch (error) {
      if (!axios.isAxiosError(error) || !error.response) throw error;
      const { code, message, details } = error.response.data;
      return { code, message, id: details?.[0]?.id };
    }
  },
}];
