"""Makes one v1 call with requests, and prints as JSON what the application sees."""

import json
import sys

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

# What a gateway answers for a service that is away is tried again, and so is the 504 of a
# deadline that has passed.
RETRIES = Retry(total=2, backoff_factor=0.1, status_forcelist=[502, 503, 504], allowed_methods=["POST"], raise_on_status=False)


def call(address, scenario):
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=RETRIES))
    if "token" in scenario:
        session.headers["Authorization"] = f"Bearer {scenario['token']}"
    if "timeout" in scenario:
        session.headers["Grpc-Timeout"] = scenario["timeout"]
    url = f"http://{address}/management/v1/users/{scenario['userId']}/password/_initialize"
    try:
        response = session.post(url, json={"password": scenario["password"]}, timeout=10)
        response.raise_for_status()
    except requests.HTTPError as error:
        answer = error.response.json()
        details = answer.get("details", [{}])
        return {"code": answer["code"], "message": answer["message"], "id": details[0].get("id", "")}
    return {"code": 0, "resourceOwner": response.json()["details"]["resourceOwner"]}


print(json.dumps(call(sys.argv[1], json.loads(sys.argv[2]))))
