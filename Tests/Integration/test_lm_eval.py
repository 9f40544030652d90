"""EleutherAI's evaluation harness over HTTP, beside what the library computes itself."""

import json
import os
import pathlib
import subprocess

import lm_eval
import pytest
from lm_eval.tasks import TaskManager

from conftest import MARTLET, MODEL, serving

HERE = pathlib.Path(__file__).parent
TASKS = TaskManager(include_path=str(HERE / "tasks"), include_defaults=False)


def evaluate(server):
    """Scores by task, and what was asked and answered."""
    before = os.getcwd()
    # Tasks name their data from here.
    os.chdir(HERE)
    try:
        results = lm_eval.simple_evaluate(
            model="local-completions",
            model_args=f"model={MODEL},base_url={server.url}/v1/completions,tokenizer_backend=remote,num_concurrent=4,max_length=2048",
            tasks=["martlet_choice", "martlet_generation"], task_manager=TASKS,
            batch_size=4, log_samples=True, bootstrap_iters=0)
    finally:
        os.chdir(before)
    scores = {
        task: {name: value for name, value in found.items() if "," in name and "stderr" not in name}
        for task, found in results["results"].items()}
    return scores, results["samples"]


@pytest.fixture(scope="module")
def reference(server):
    return evaluate(server)


def test_log_likelihoods_are_the_librarys(reference, tmp_path):
    scores, samples = reference
    pairs, found = [], []
    for sample in samples["martlet_choice"]:
        for index, (context, continuation) in enumerate(sample["arguments"]):
            pairs.append({"context": context, "continuation": continuation})
            found.append(sample["filtered_resps"][index])
    questions = tmp_path / "pairs.jsonl"
    questions.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    output = subprocess.run(
        [MARTLET, "evaluate", "loglikelihood", MODEL, questions], capture_output=True, text=True, check=True).stdout
    computed = [json.loads(line) for line in output.splitlines()]
    assert len(pairs) == 48 and len(computed) == 48
    for pair, (logprob, greedy), own in zip(pairs, found, computed):
        # Equal, not close.
        assert (logprob, greedy) == (own["loglikelihood"], own["is_greedy"]), pair
    assert scores["martlet_choice"]["acc,none"] > 0.5


@pytest.mark.parametrize("launch", ["unified", "split"])
@pytest.mark.parametrize("mode", ["NONE", "PIECEWISE", "FULL", "FULL_DECODE_ONLY", "FULL_AND_PIECEWISE"])
def test_scores_are_the_same_in_every_mode_and_launch(reference, mode, launch):
    with serving("--graph-mode", mode, "--attention-launch", launch) as server:
        scores, samples = evaluate(server)
    assert scores == reference[0]
    for task, expected in reference[1].items():
        assert [sample["resps"] for sample in samples[task]] == [sample["resps"] for sample in expected]
