"""EleutherAI's evaluation harness over HTTP, beside what the library computes itself."""

import glob
import json
import pathlib
import subprocess
import sys

import pytest

from conftest import MARTLET, MODEL, serving

HERE = pathlib.Path(__file__).parent


def evaluate(server, output):
    subprocess.run(
        [sys.executable, "-m", "lm_eval", "run", "--model", "local-completions", "--model_args",
         f"model={MODEL},base_url={server.url}/v1/completions,tokenizer_backend=remote,num_concurrent=4,max_length=2048",
         "--tasks", "martlet_choice,martlet_generation", "--include_path", str(HERE / "tasks"), "--batch_size", "4",
         "--output_path", str(output), "--log_samples"],
        cwd=HERE, check=True, capture_output=True, text=True)
    [results] = glob.glob(f"{output}/**/results_*.json", recursive=True)
    scores = json.loads(pathlib.Path(results).read_text())["results"]
    samples = {}
    for task in ("martlet_choice", "martlet_generation"):
        [path] = glob.glob(f"{output}/**/samples_{task}_*.jsonl", recursive=True)
        samples[task] = [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]
    pick = lambda task: {name: value for name, value in scores[task].items() if "," in name and "stderr" not in name}
    return {task: pick(task) for task in samples}, samples


@pytest.fixture(scope="module")
def reference(server, tmp_path_factory):
    return evaluate(server, tmp_path_factory.mktemp("reference"))


def test_log_likelihoods_are_the_librarys(reference, tmp_path):
    scores, samples = reference
    pairs, found = [], []
    for sample in samples["martlet_choice"]:
        for index, argument in enumerate(sample["arguments"].values()):
            pairs.append({"context": argument["arg_0"], "continuation": argument["arg_1"]})
            found.append(sample["filtered_resps"][index])
    questions = tmp_path / "pairs.jsonl"
    questions.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    output = subprocess.run(
        [MARTLET, "evaluate", "loglikelihood", MODEL, questions], capture_output=True, text=True, check=True).stdout
    computed = [json.loads(line) for line in output.splitlines()]
    assert len(pairs) == 48 and len(computed) == 48
    for pair, (logprob, greedy), own in zip(pairs, found, computed):
        # Equal, not close.
        assert (float(logprob), greedy in (True, "True")) == (own["loglikelihood"], own["is_greedy"]), pair
    assert scores["martlet_choice"]["acc,none"] > 0.5


@pytest.mark.parametrize("launch", ["unified", "split"])
@pytest.mark.parametrize("mode", ["NONE", "PIECEWISE", "FULL", "FULL_DECODE_ONLY", "FULL_AND_PIECEWISE"])
def test_scores_are_the_same_in_every_mode_and_launch(reference, mode, launch, tmp_path):
    with serving("--graph-mode", mode, "--attention-launch", launch) as server:
        scores, samples = evaluate(server, tmp_path)
    assert scores == reference[0]
    for task, expected in reference[1].items():
        assert [sample["resps"] for sample in samples[task]] == [sample["resps"] for sample in expected]
