#!/usr/bin/env python3
"""Many streaming clients for a while, some of which leave or talk nonsense; nothing may grow or be left behind.

usage: MARTLET=dist/martlet soak.py [seconds] [clients]
"""

import asyncio
import json
import os
import random
import re
import sys
import time

from conftest import Server

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 300
CLIENTS = int(sys.argv[2]) if len(sys.argv) > 2 else 100
counts = {"answered": 0, "left": 0, "malformed": 0}
faults = []
MALFORMED = [
    b'{"prompt": ', b'{"prompt": [1e999]}', b'{"prompt": "a", "n": 1000000}', b"[" * 5000, b'{"prompt": "\xff"}',
    b'{"messages": {}}', b'{"prompt": "a", "tools": [1]}', b'{"prompt": "a", "temperature": -4}', b"",
]


async def talk(host, port, draw):
    """One request: usually read to its end, sometimes left, sometimes nonsense."""
    kind = draw.random()
    if kind < 0.05:
        body = draw.choice(MALFORMED)
    else:
        body = json.dumps({
            "prompt": [draw.randrange(17, 40000) for _ in range(draw.randrange(4, 200))],
            "max_tokens": draw.randrange(1, 64), "stream": True, "ignore_eos": True, "n": draw.choice([1, 1, 1, 2]),
            "temperature": draw.choice([0, 1]), "logprobs": draw.choice([None, 1])}).encode()
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 22)
    try:
        writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
                     b"Content-Length: %d\r\n\r\n" % len(body) + body)
        if 0.05 <= kind < 0.15:
            # In the queue, while the prompt is read, or among the first pieces.
            try:
                await asyncio.wait_for(reader.read(draw.choice([1, 400, 2000])), draw.uniform(0, 2))
            except asyncio.TimeoutError:
                pass
            counts["left"] += 1
            return
        answer = await reader.read()
        while chunk := await reader.read():
            answer += chunk
        status = int(answer.split()[1])
        if kind < 0.05:
            counts["malformed"] += 1
            if status != 400:
                faults.append(f"{body[:40]}: {status}")
        elif status != 200 or b"data: [DONE]" not in answer or b'data: {"error"' in answer:
            faults.append(f"{status}: {answer[-300:]}")
        else:
            counts["answered"] += 1
    finally:
        writer.close()


async def client(host, port, seed, end):
    draw = random.Random(seed)
    while time.monotonic() < end:
        try:
            await talk(host, port, draw)
        except (ConnectionError, asyncio.IncompleteReadError) as fault:
            faults.append(repr(fault))
            await asyncio.sleep(0.1)


def usage(pid):
    status = open(f"/proc/{pid}/status").read()
    return {"resident_kb": int(re.search(r"VmRSS:\s+(\d+)", status)[1]),
            "threads": int(re.search(r"Threads:\s+(\d+)", status)[1]), "descriptors": len(os.listdir(f"/proc/{pid}/fd"))}


async def watch(server, samples, end):
    while time.monotonic() < end:
        await asyncio.sleep(min(10, SECONDS / 6))
        loop = asyncio.get_running_loop()
        cache = await loop.run_in_executor(None, server.metric, "vllm:kv_cache_usage_perc")
        samples.append({**usage(server.process.pid), "cache": cache})
        print(json.dumps({**samples[-1], **counts, "faults": len(faults)}), flush=True)


async def main():
    server = Server("--disable-access-log", "--kv-cache-memory-bytes", "200M")
    idle, samples = usage(server.process.pid), []
    host, port = "127.0.0.1", int(server.url.rsplit(":", 1)[1])
    end = time.monotonic() + SECONDS
    await asyncio.gather(watch(server, samples, end), *(client(host, port, seed, end) for seed in range(CLIENTS)))
    for _ in range(100):
        if server.metric("vllm:num_requests_running") == server.metric("vllm:num_requests_waiting") == 0:
            break
        time.sleep(0.1)
    time.sleep(1)
    after = usage(server.process.pid)
    print("idle before", idle, "after", after, counts)
    # From a sixth of the time on everything that is touched has been touched.
    early, late = samples[len(samples) // 3], samples[-1]
    assert not faults, faults[:5]
    assert json.loads(server.get("/health")) == {"status": "alive"}
    assert server.metric("vllm:num_requests_running") == server.metric("vllm:num_requests_waiting") == 0
    assert server.metric("vllm:kv_cache_usage_perc") == 0
    assert after["descriptors"] <= idle["descriptors"] + 2, (idle, after)
    assert late["resident_kb"] <= early["resident_kb"] * 1.1 + 20_000, (early, late)
    assert server.stop() == 0
    print("nothing grew, nothing was left behind")


asyncio.run(main())
