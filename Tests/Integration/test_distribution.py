"""The command as it is handed out, and as an operator runs it."""

import json
import os
import re
import signal
import subprocess
import time

from conftest import MARTLET, MODEL, Server


def test_runs_where_nothing_is_installed():
    """It needs what every Debian has, zlib for dpkg and C++ for apt among it, and nothing of Swift's."""
    libraries = re.findall(r"^\s*(\S+) =>", subprocess.run(["ldd", MARTLET], capture_output=True, text=True, check=True).stdout, re.M)
    assert set(libraries) <= {
        "linux-vdso.so.1", "libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6", "libpthread.so.0", "libdl.so.2",
        "librt.so.1", "libutil.so.1", "libz.so.1"}, libraries
    # Debian 12 has version 2.36 of the C library.
    symbols = subprocess.run(["objdump", "-T", MARTLET], capture_output=True, text=True, check=True).stdout
    versions = {tuple(map(int, found.split("."))) for found in re.findall(r"GLIBC_(\d+\.\d+)", symbols)}
    assert max(versions) <= (2, 36)
    assert ".debug_info" not in subprocess.run(["objdump", "-h", MARTLET], capture_output=True, text=True, check=True).stdout


def test_serve_says_where_it_is():
    """The address on a line of its own, and no page of limits."""
    server = Server()
    assert server.stop() == 0
    said = "".join(server.log).splitlines()
    assert re.fullmatch(r".*at http://127\.0\.0\.1:\d+", said[-1]) and max(map(len, said)) < 200, said


def test_second_signal_ends_at_once():
    server = Server()
    request = subprocess.Popen(
        ["curl", "--silent", "--no-buffer", server.url + "/v1/completions", "--json",
         json.dumps({"prompt": "a", "max_tokens": 8000, "ignore_eos": True, "stream": True})], stdout=subprocess.PIPE)
    assert request.stdout.readline().startswith(b"data:")
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert server.process.poll() is None
    start = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(5) == 128 + signal.SIGTERM and time.monotonic() - start < 1
    request.stdout.read()


def test_port_in_use_and_model_missing():
    server = Server()
    port = server.url.rsplit(":", 1)[1]
    second = subprocess.run([MARTLET, "serve", MODEL, "--port", port], capture_output=True, text=True, timeout=30)
    assert second.returncode != 0 and "in use" in second.stderr
    assert server.stop() == 0
    missing = subprocess.run([MARTLET, "serve", "/nowhere.gguf"], capture_output=True, text=True, timeout=30)
    assert missing.returncode != 0 and "/nowhere.gguf" in missing.stderr


def test_bench_serve_measures_it(tmp_path):
    server = Server("--disable-access-log")
    try:
        subprocess.run(
            [MARTLET, "bench", "serve", MODEL, "--base-url", server.url, "--num-prompts", "8", "--random-input-len", "32",
             "--random-output-len", "8", "--request-rate", "20", "--ignore-eos", "--save-result", "--save-detailed",
             "--result-dir", str(tmp_path), "--result-filename", "figures.json", "--goodput", "e2el:60000",
             "--metric-percentiles", "50,99.9", "--plot", str(tmp_path / "plot.svg"), "--metadata", "what=test"],
            check=True, capture_output=True)
        figures = json.loads((tmp_path / "figures.json").read_text())
        assert (figures["completed"], figures["failed"], figures["what"]) == (8, 0, "test")
        assert figures["total_input_tokens"] == 256 and figures["total_output_tokens"] == 64
        assert figures["request_goodput"] == figures["request_throughput"]
        for measure in ["ttft", "tpot", "itl", "e2el"]:
            assert figures[f"mean_{measure}_ms"] > 0
            assert figures[f"p50_{measure}_ms"] <= figures[f"p99.9_{measure}_ms"]
        assert len(figures["itls"]) == 8 and (tmp_path / "plot.svg").read_text().startswith("<svg")
    finally:
        assert server.stop() == 0
