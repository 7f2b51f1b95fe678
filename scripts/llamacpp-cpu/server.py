#!/usr/bin/env python3
"""Starts llama.cpp's own C++ server (HTTP, slots, continuous batching, metrics, log) out of the package
xllamacpp, as `llama-server` does, and serves until SIGTERM or SIGINT.

usage: server.py MODEL.gguf PORT [--parallel N] [--ctx-size N] [--no-metrics]
"""
import argparse
import signal

import xllamacpp


def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("model")
    flags.add_argument("port", type=int)
    flags.add_argument("--parallel", type=int, default=4)
    flags.add_argument("--ctx-size", type=int, default=8192)
    flags.add_argument("--no-metrics", action="store_true")
    given = flags.parse_args()

    params = xllamacpp.CommonParams()
    params.model.path = given.model
    params.model_alias = ["tiny"]
    params.hostnames = ["127.0.0.1"]
    params.port = given.port
    params.n_parallel = given.parallel
    params.n_ctx = given.ctx_size
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.endpoint_metrics = not given.no_metrics
    params.endpoint_slots = True
    params.ui = False
    server = xllamacpp.Server(params)
    print(f"serving {server.listening_address}", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
