"""OpenAI's own client, LangChain's, and curl."""

import asyncio
import contextlib
import json
import shutil
import socket as socketlib
import ssl
import subprocess
import time
import warnings

import litellm
import openai
import pytest
from langchain_openai import ChatOpenAI

from conftest import MARTLET, MODEL, serving

MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture
def client(server):
    return openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)


def test_models(client):
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL


def test_chat(client):
    answer = client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=20, temperature=0)
    assert answer.choices[0].message.content and answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    pieces = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, max_tokens=20, temperature=0, stream=True,
        stream_options={"include_usage": True})
    pieces = list(pieces)
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert text == answer.choices[0].message.content
    assert pieces[-1].choices == [] and pieces[-1].usage.completion_tokens == answer.usage.completion_tokens


def test_chat_samples_and_logprobs(client):
    def ask():
        return client.chat.completions.create(
            model=MODEL, messages=MESSAGES, max_tokens=12, n=3, seed=7, logprobs=True, top_logprobs=4)
    first, second = ask(), ask()
    assert [choice.index for choice in first.choices] == [0, 1, 2]
    assert [c.message.content for c in first.choices] == [c.message.content for c in second.choices]
    for choice in first.choices:
        for token in choice.logprobs.content:
            assert len(token.top_logprobs) == 4 and token.logprob <= 0
            assert bytes(token.bytes).decode(errors="replace") == token.token
    # A stop string ends an answer, and is no part of it.
    greedy = client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=30, temperature=0)
    word = greedy.choices[0].message.content.split()[1]
    stopped = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, max_tokens=30, temperature=0, stop=[word])
    assert stopped.choices[0].finish_reason == "stop" and word not in stopped.choices[0].message.content


def test_completions(client):
    answer = client.completions.create(
        model=MODEL, prompt=["One, two,", "Red, green,"], max_tokens=6, temperature=0, logprobs=2, echo=True, n=1)
    assert [choice.index for choice in answer.choices] == [0, 1]
    for choice, prompt in zip(answer.choices, ["One, two,", "Red, green,"]):
        assert choice.text.startswith(prompt)
        report = choice.logprobs
        assert "".join(report.tokens) == choice.text and report.token_logprobs[0] is None
        for token, logprob, top in list(zip(report.tokens, report.token_logprobs, report.top_logprobs))[1:]:
            assert top[token] == logprob
    text = "".join(
        piece.choices[0].text
        for piece in client.completions.create(model=MODEL, prompt="One, two,", max_tokens=6, temperature=0, stream=True))
    assert "One, two," + text == answer.choices[0].text
    biased = client.completions.create(
        model=MODEL, prompt="One, two,", max_tokens=3, temperature=0, logit_bias={"19": 100})
    assert biased.usage.completion_tokens == 3


def test_errors(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=-1)
    assert caught.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model=MODEL, messages=MESSAGES, tools=[{"type": "function", "function": {"name": "f"}}])
    assert caught.value.param == "tools"
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="other", messages=MESSAGES)
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=MODEL, prompt=[100] * 9000)
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model=MODEL, input="a")


def test_histories(client):
    # What programs keep of earlier turns, and send although it asks for nothing.
    history = [
        {"role": "system", "content": "You are terse."},
        {"role": "user", "content": [{"type": "text", "text": "Name a colour."}], "name": "ann"},
        {"role": "assistant", "content": None, "tool_calls": [], "refusal": None},
        {"role": "user", "content": "Again."},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "user", "content": "Please."},
    ]
    answer = client.chat.completions.create(
        model=MODEL, messages=history, max_completion_tokens=4, top_p=0, seed=2**63 - 1, tools=[], stop=None)
    assert answer.choices[0].message.content
    # An answer that was given can be sent back as it is.
    second = client.chat.completions.create(
        model=MODEL, messages=[*history, answer.choices[0].message, {"role": "user", "content": "More."}], max_tokens=4)
    assert second.usage.prompt_tokens > answer.usage.prompt_tokens
    pieces = list(client.chat.completions.create(
        model=MODEL, messages=MESSAGES, max_tokens=4, stream=True, stream_options={"include_usage": True}))
    assert all("usage" in piece.model_fields_set and piece.usage is None for piece in pieces[:-1]) and pieces[-1].usage
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=MESSAGES, max_completion_tokens=0)
    assert caught.value.param == "max_completion_tokens"
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=MODEL, prompt="a", logprobs=2**63 - 1)
    assert caught.value.param == "logprobs"


def test_names_with_slashes():
    with serving("--served-model-name", "org/name") as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
        assert client.models.retrieve("org/name").id == "org/name"


def test_litellm(server):
    answer = litellm.completion(
        model=f"openai/{MODEL}", api_base=server.url + "/v1", api_key="none", messages=MESSAGES, max_tokens=8, temperature=0)
    pieces = litellm.completion(
        model=f"openai/{MODEL}", api_base=server.url + "/v1", api_key="none", messages=MESSAGES, max_tokens=8,
        temperature=0, stream=True)
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
    assert text and text == answer.choices[0].message.content


def test_asynchronous(server):
    async def ask(client, index):
        pieces = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": f"Count to {index}."}], max_tokens=16, temperature=0,
            stream=True)
        return "".join([piece.choices[0].delta.content or "" async for piece in pieces])

    async def all_answers():
        async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="none") as client:
            together = await asyncio.gather(*(ask(client, index) for index in range(12)))
            # Alone each gets the same answer.
            assert together[5] == await ask(client, 5)
            # Who stops reading ends his request.
            pieces = await client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=2000, stream=True)
            await anext(aiter(pieces))
            await pieces.close()
            return together
    assert all(asyncio.run(all_answers()))


def test_langchain(server):
    model = ChatOpenAI(base_url=server.url + "/v1", api_key="none", model=MODEL, temperature=0, max_tokens=24)
    answer = model.invoke([("system", "You are terse."), ("user", "Name a colour.")])
    assert answer.content and answer.usage_metadata["output_tokens"] > 0
    assert "".join(piece.content for piece in model.stream([("system", "You are terse."), ("user", "Name a colour.")])) \
        == answer.content
    assert len(model.batch(["One?", "Two?", "Three?"])) == 3


def curl(*arguments):
    return subprocess.run(["curl", "--silent", "--show-error", *arguments], capture_output=True, text=True, check=True).stdout


def test_curl(server, tmp_path):
    body = json.dumps({"model": MODEL, "prompt": "Once upon a time", "max_tokens": 8, "temperature": 0})
    answer = json.loads(curl(server.url + "/v1/completions", "--json", body))
    # The command gives the same answer.
    text = subprocess.run(
        [MARTLET, "run", MODEL, "--raw", "Once upon a time", "--max-tokens", "8", "--temperature", "0"],
        capture_output=True, text=True, check=True).stdout
    assert text == answer["choices"][0]["text"] + "\n"
    assert curl("--no-buffer", server.url + "/v1/completions", "--json", body[:-1] + ', "stream": true}').endswith("data: [DONE]\n\n")
    assert curl("--output", "/dev/null", "--write-out", "%{http_code}", server.url + "/v1/completions", "-d", body) == "415"


def test_curl_waits_for_nothing(server):
    body = json.dumps({"model": MODEL, "prompt": "a" * 4000, "max_tokens": 1})
    # curl waits a second for the answer to `Expect`, unless it comes.
    started = time.monotonic()
    answer = curl("--verbose", "--json", body, "--header", "Expect: 100-continue", "--expect100-timeout", "20",
                  "--stderr", "-", server.url + "/v1/completions")
    assert "HTTP/1.1 100 Continue" in answer and "HTTP/1.1 200 OK" in answer and time.monotonic() - started < 15
    # HTTP/1.0 knows no chunks, and a method that a path lacks is 405 with those it has.
    stream = curl("--http1.0", "--include", "--json", body[:-1] + ', "stream": true}', server.url + "/v1/completions")
    assert "transfer-encoding" not in stream.lower() and stream.endswith("data: [DONE]\n\n")
    wrong = curl("--include", "--request", "DELETE", server.url + "/v1/completions")
    assert "405" in wrong.splitlines()[0] and "allow: post" in wrong.lower()


@pytest.mark.skipif(shutil.which("java") is None, reason="there is no Java")
def test_java(server, tmp_path):
    program = tmp_path / "Ask.java"
    program.write_text("""
        import java.net.URI;
        import java.net.http.*;
        import java.time.Duration;

        class Ask {
            public static void main(String[] arguments) throws Exception {
                var request = HttpRequest.newBuilder(URI.create(arguments[0])).expectContinue(true)
                    .timeout(Duration.ofSeconds(30)).header("Content-Type", "application/json")
                    .POST(HttpRequest.BodyPublishers.ofString("{\\"prompt\\": \\"hi\\", \\"max_tokens\\": 2}")).build();
                var client = HttpClient.newHttpClient();
                for (int index = 0; index < 3; index++)
                    System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).statusCode());
            }
        }
        """)
    printed = subprocess.run(
        ["java", program, server.url + "/v1/completions"], capture_output=True, text=True, check=True, timeout=120).stdout
    assert printed.split() == ["200"] * 3


def test_socket_and_tls(tmp_path):
    socket = tmp_path / "martlet.sock"
    process = subprocess.Popen([MARTLET, "serve", MODEL, "--uds", str(socket)], stderr=subprocess.DEVNULL)
    try:
        health = curl("--retry", "50", "--retry-all-errors", "--retry-delay", "0", "--retry-max-time", "20",
                      "--unix-socket", str(socket), "http://martlet/health")
        assert json.loads(health) == {"status": "alive"}
    finally:
        process.terminate()
        assert process.wait(30) == 0
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate], check=True, capture_output=True)
    with serving("--ssl-certfile", str(certificate), "--ssl-keyfile", str(key)) as server:
        assert server.url.startswith("https")
        assert json.loads(curl("--cacert", str(certificate), server.url + "/ready")) == {"status": "ready"}
        # Clients that know nothing newer than TLS 1.1 are turned away; those of 1.2 are not.
        for version, is_taken in [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)]:
            context = ssl.create_default_context(cafile=certificate)
            context.set_ciphers("DEFAULT@SECLEVEL=0")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = context.maximum_version = version
            plain = socketlib.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), timeout=10)
            with plain, contextlib.ExitStack() as stack:
                if not is_taken:
                    stack.enter_context(pytest.raises(ssl.SSLError))
                with context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
                    assert secure.version() == "TLSv1.2"


def test_config_file(tmp_path):
    config = tmp_path / "martlet.yaml"
    config.write_text("model: nowhere\nserved-model-name: [one, two]\nmax_model_len: 512\nenforce-eager: true\nlog-format: json\nverbose: true\n")
    with serving("--config", str(config), "--max-model-len", "256") as server:
        models = json.loads(server.get("/v1/models"))["data"]
        assert [(model["id"], model["max_model_len"]) for model in models] == [("one", 256), ("two", 256)]
        assert any("graph mode NONE" in json.loads(line)["message"] for line in server.log)
