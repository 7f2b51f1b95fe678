"""Writes one JSON line for each request that vLLM finishes, for tare to join with its client's side.

A stat logger for vLLM's entry-point group `vllm.stat_logger_plugins`: vLLM calls `record` after each engine step, in the
process of its API server. The line goes to the file that TARE_STAT_LOG names; without that variable nothing is done. No
text of a prompt or an answer is read. Whatever goes wrong here must never reach the server: it is logged once.
"""

import json
import logging
import math
import os

from vllm.v1.metrics.loggers import StatLoggerBase

VARIABLE = "TARE_STAT_LOG"
VERSION = 1

log = logging.getLogger("vllm.tare_logger")


class TareStatLogger(StatLoggerBase):
    def __init__(self, vllm_config=None, engine_index=0, *_, **__):
        self.engine_index = engine_index
        self.fd = _open(os.environ.get(VARIABLE))
        self.has_complained = False

    def record(self, scheduler_stats=None, iteration_stats=None, *_, **others):
        # Most steps finish nothing, and cost two look-ups here.
        finished = getattr(iteration_stats, "finished_requests", None)
        if not finished or self.fd is None:
            return
        try:
            engine = others.get("engine_idx", self.engine_index)
            taken_ns = _nanoseconds(getattr(iteration_stats, "iteration_timestamp", None))
            for request in finished:
                _append(self.fd, line(request, os.getpid(), engine, taken_ns))
        except Exception:
            if not self.has_complained:
                self.has_complained = True
                log.exception("a finished request could not be written to %s", os.environ.get(VARIABLE))

    def log_engine_initialized(self):
        pass


def line(request, pid, engine, iteration_unix_ns):
    """One finished request (vLLM's FinishedRequestStats) as a line of JSON. What this vLLM does not have is null."""
    row = {
        "v": VERSION,
        "pid": pid,
        "engine": _count(engine),
        "request_id": _text(getattr(request, "request_id", None)),
        "finish_reason": _text(getattr(request, "finish_reason", None)),
        "iteration_unix_ns": iteration_unix_ns,
        "e2e_s": _seconds(getattr(request, "e2e_latency", None)),
        "queue_s": _seconds(getattr(request, "queued_time", None)),
        "prefill_s": _seconds(getattr(request, "prefill_time", None)),
        "inference_s": _seconds(getattr(request, "inference_time", None)),
        "decode_s": _seconds(getattr(request, "decode_time", None)),
        "input_tokens": _count(getattr(request, "num_prompt_tokens", None)),
        "output_tokens": _count(getattr(request, "num_generation_tokens", None)),
        "cached_tokens": _count(getattr(request, "num_cached_tokens", None)),
        "preemptions": _count(getattr(request, "num_preemptions", None)),
        "max_tokens": _count(getattr(request, "max_tokens_param", None)),
    }
    return (json.dumps(row, separators=(",", ":")) + "\n").encode()


def _open(path):
    if not path:
        log.warning("%s is not set: finished requests are written nowhere", VARIABLE)
        return None
    try:
        # Several API servers may write to one file: each line is appended whole, in one call.
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    except OSError as error:
        log.error("%s=%s cannot be written to (%s): finished requests are written nowhere", VARIABLE, path, error)
        return None
    log.info("finished requests are written to %s", path)
    return fd


def _append(fd, data):
    written = os.write(fd, data)
    if written < len(data):
        # A disk that is full: the next line must not follow on half of this one.
        os.write(fd, b"\n")


def _nanoseconds(seconds):
    """time.time() in whole nanoseconds: of the double that it is, not of its product with 1e9, which has no room for them."""
    if not _is_number(seconds):
        return None
    whole = math.floor(seconds)
    return whole * 1_000_000_000 + round((seconds - whole) * 1e9)


def _seconds(value):
    return float(value) if _is_number(value) else None


def _count(value):
    # vLLM writes -1 where it does not know.
    return int(value) if _is_number(value) and value >= 0 else None


def _text(value):
    return None if value is None else str(value)


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
