"""The plugin against a stand-in for vLLM: what it writes, and that nothing it meets breaks the server."""

import enum
import json
import os
import sys
import tempfile
import types
import unittest

for name in ("vllm", "vllm.v1", "vllm.v1.metrics", "vllm.v1.metrics.loggers"):
    sys.modules.setdefault(name, types.ModuleType(name))
if not hasattr(sys.modules["vllm.v1.metrics.loggers"], "StatLoggerBase"):
    sys.modules["vllm.v1.metrics.loggers"].StatLoggerBase = object

import vllm_tare_logger  # noqa: E402
from vllm_tare_logger import TareStatLogger  # noqa: E402


class FinishReason(enum.IntEnum):
    STOP = 0
    LENGTH = 1

    def __str__(self):
        return self.name.lower()


def request(**fields):
    """A finished request as vLLM 0.32 makes it, with the times of one that was captured."""
    usual = dict(
        finish_reason=FinishReason.LENGTH,
        request_id="cmpl-few-000-0",
        e2e_latency=0.09027814865112305,
        num_prompt_tokens=33,
        num_preemptions=0,
        num_generation_tokens=12,
        max_tokens_param=12,
        queued_time=3.826100009973743e-05,
        prefill_time=0.018598678999751428,
        inference_time=0.07693624200010163,
        decode_time=0.0583375630003502,
        mean_time_per_output_token=0.005303414818213655,
        is_corrupted=False,
        num_cached_tokens=0,
    )
    return types.SimpleNamespace(**{**usual, **fields})


def step(*finished, at=1795533161.9506974):
    return types.SimpleNamespace(iteration_timestamp=at, finished_requests=list(finished))


class Plugin(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "stat.jsonl")
        os.environ["TARE_STAT_LOG"] = self.path

    def tearDown(self):
        os.environ.pop("TARE_STAT_LOG", None)
        self.folder.cleanup()

    def rows(self):
        with open(self.path, encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def test_a_finished_request_is_one_line(self):
        TareStatLogger(None, 0).record(None, step(request()), mm_cache_stats=None, engine_idx=1)
        with open(self.path, encoding="utf-8") as file:
            text = file.read()
        self.assertEqual(
            text,
            f'{{"v":1,"pid":{os.getpid()},"engine":1,"request_id":"cmpl-few-000-0","finish_reason":"length",'
            '"iteration_unix_ns":1795533161950697422,"e2e_s":0.09027814865112305,"queue_s":3.826100009973743e-05,'
            '"prefill_s":0.018598678999751428,"inference_s":0.07693624200010163,"decode_s":0.0583375630003502,'
            '"input_tokens":33,"output_tokens":12,"cached_tokens":0,"preemptions":0,"max_tokens":12}\n',
        )

    def test_the_instant_is_the_doubles_to_the_nanosecond(self):
        # 1795533161.9506974 as a double is 1795533161.95069742202758789…
        self.assertEqual(vllm_tare_logger._nanoseconds(1795533161.9506974), 1795533161950697422)
        self.assertEqual(vllm_tare_logger._nanoseconds(2), 2_000_000_000)
        for nothing in (None, float("nan"), float("inf"), "1", True):
            self.assertIsNone(vllm_tare_logger._nanoseconds(nothing))

    def test_what_this_vllm_lacks_is_null(self):
        old = types.SimpleNamespace(finish_reason=FinishReason.STOP, e2e_latency=1.5, num_cached_tokens=-1)
        TareStatLogger(None).record(None, types.SimpleNamespace(finished_requests=[old]))
        row = self.rows()[0]
        self.assertEqual((row["finish_reason"], row["e2e_s"], row["engine"]), ("stop", 1.5, 0))
        known = {"v", "pid", "engine", "finish_reason", "e2e_s"}
        self.assertEqual({key for key, value in row.items() if value is not None}, known)
        self.assertEqual(len(row), 16)

    def test_nothing_finished_writes_nothing(self):
        logger = TareStatLogger(None)
        for stats in (None, step(), types.SimpleNamespace()):
            logger.record(None, stats)
        logger.record()
        self.assertEqual(self.rows(), [])

    def test_several_loggers_share_a_file(self):
        one, other = TareStatLogger(None, 0), TareStatLogger(None, 1)
        for number in range(50):
            one.record(None, step(request(request_id=f"a{number}"), request(request_id=f"b{number}")))
            other.record(None, step(request(request_id=f"c{number}")))
        self.assertEqual(len(self.rows()), 150)
        self.assertEqual({row["engine"] for row in self.rows()}, {0, 1})

    def test_text_from_outside_stays_one_line(self):
        odd = 'a"b\\c\nd\u00e9\U0001f600'
        TareStatLogger(None).record(None, step(request(request_id=odd)))
        self.assertEqual(self.rows()[0]["request_id"], odd)

    def test_without_the_variable_or_a_place_to_write_nothing_happens(self):
        for value in (None, "", os.path.join(self.folder.name, "no", "such", "folder")):
            os.environ.pop("TARE_STAT_LOG", None)
            if value is not None:
                os.environ["TARE_STAT_LOG"] = value
            logger = TareStatLogger(None)
            self.assertIsNone(logger.fd)
            logger.record(None, step(request()))
        self.assertFalse(os.path.exists(self.path))

    def test_an_error_is_said_once_and_raised_never(self):
        logger = TareStatLogger(None)
        os.close(logger.fd)
        with self.assertLogs("vllm.tare_logger", "ERROR") as said:
            logger.record(None, step(request()))
            logger.record(None, step(request()))
        self.assertEqual(len(said.records), 1)


if __name__ == "__main__":
    unittest.main()
