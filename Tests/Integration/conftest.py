"""A server of the real model, started once or as a test wants it."""

import contextlib
import json
import os
import re
import signal
import subprocess
import urllib.request

import pytest

MARTLET = os.environ["MARTLET"]
MODEL = "smollm2"


class Server:
    """A `martlet serve` on a free port of loopback."""

    def __init__(self, *flags):
        command = [MARTLET, "serve", MODEL, "--port", "0", "--max-num-seqs", "16", *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.log = []
        for line in self.process.stderr:
            self.log.append(line)
            if found := re.search(r'at (https?)://[^\s"]*:(\d+)(?:"|$)', line):
                self.url = f"{found[1]}://127.0.0.1:{found[2]}"
                break
        else:
            raise RuntimeError("".join(self.log))
        # Nobody reads the rest; a full pipe must not stop the server.
        self.drain = subprocess.Popen(["cat"], stdin=self.process.stderr, stdout=subprocess.DEVNULL)

    def get(self, path):
        with urllib.request.urlopen(self.url + path) as response:
            return response.read().decode()

    def post(self, path, body):
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as response:
            return json.load(response)

    def metric(self, name):
        return float(re.search(rf"^{re.escape(name)}{{.*}} (\S+)$", self.get("/metrics"), re.M)[1])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        self.drain.wait(10)
        return status


@contextlib.contextmanager
def serving(*flags):
    server = Server(*flags)
    try:
        yield server
    finally:
        assert server.stop() == 0


@pytest.fixture(scope="session")
def server():
    with serving() as server:
        yield server
        # Whatever the tests did, nothing is left behind.
        assert server.metric("vllm:num_requests_running") == 0
        assert server.metric("vllm:num_requests_waiting") == 0
        assert server.metric("vllm:kv_cache_usage_perc") == 0
