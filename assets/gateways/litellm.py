"""LiteLLM (proxy): writes a line about each call that tare reads, with ids and times, and without prompts,
answers or keys. Save it as tare_litellm.py beside LiteLLM's configuration, in which it is turned on by:

    litellm_settings:
      callbacks: ["tare_litellm.handler"]

Lines go to $TARE_LITELLM_LOG, by default litellm-calls.jsonl. LiteLLM does not hand `X-Request-Id` to the
server; calls are joined by the answer's id, which it leaves as it is. To hand it on as well:

    general_settings:
      forward_client_headers_to_llm_api: true

What it adds is mostly its own work before and after the call, and it grows with what is asked of one process:
`--num_workers N` starts several.
"""

import json
import os
import threading
import time

from litellm.integrations.custom_logger import CustomLogger

CALL = ("id", "litellm_call_id", "trace_id", "status", "stream", "cache_hit", "startTime", "endTime",
        "completionStartTime", "model", "api_base", "requester_ip_address", "error_str")
ERROR = ("error_code", "error_class")
HEADERS = ("x-request-id", "traceparent")


def of(whole, names):
    whole = whole or {}
    return {name: whole.get(name) for name in names if whole.get(name) is not None}


class TareLogger(CustomLogger):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()
        self.file = open(os.environ.get("TARE_LITELLM_LOG", "litellm-calls.jsonl"), "a", buffering=1)

    def write(self, kwargs):
        payload = kwargs.get("standard_logging_object") or {}
        metadata = payload.get("metadata") or {}
        headers = (metadata.get("requester_metadata") or {}).get("headers")
        request = (kwargs.get("litellm_params") or {}).get("proxy_server_request") or {}
        call = of(payload, CALL)
        # When the proxy had the request, before keys were checked and a route was chosen.
        call["arrival_time"] = request.get("arrival_time")
        call["error_str"] = (call.get("error_str") or "")[:300]
        call["metadata"] = of(metadata, ("user_api_key_request_route",))
        call["metadata"]["requester_metadata"] = {"headers": of(headers, HEADERS)}
        call["error_information"] = of(payload.get("error_information"), ERROR)
        line = json.dumps({"cb_ns": time.time_ns(), "slp": call}, default=str)
        with self.lock:
            self.file.write(line + "\n")

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        self.write(kwargs)

    async def async_log_failure_event(self, kwargs, response_obj, start_time, end_time):
        self.write(kwargs)


handler = TareLogger()
