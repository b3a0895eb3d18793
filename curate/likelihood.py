"""How probable a model finds each response, after its prompt and alone: what perplexity and difficulty are made of."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import polars as pl

from curate.causal_lm import CausalLM, Text, batches, identity
from manifests.component import Context
from manifests.errors import Interrupted, UserError
from manifests.names import digest

CACHE: Final = Path("cache") / "likelihoods.sqlite"
EMPTY: Final = "empty response"
Part = Literal["given", "alone"]
"""`given`: the response after its prompt; `alone`: the response by itself."""
_VERSION: Final = 1
_BLOCK: Final = 2048
_SELECT: Final = 500
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS likelihoods (key TEXT, content_id TEXT, nats REAL, tokens INTEGER NOT NULL, why TEXT,"
    " PRIMARY KEY (key, content_id)) WITHOUT ROWID"
)
Wanted = tuple[Part, str]


@dataclass(frozen=True, slots=True)
class Likelihood:
    """A response's summed negative log-likelihood in nats over its `tokens`, and a remark when the prompt was cut.

    No tokens, and why, when there was nothing to compute; tokens and no nats when the model gave no finite number.
    """

    nats: float | None
    tokens: int
    why: str | None = None

    @property
    def mean(self) -> float:
        """Nats per token; NaN where there is none."""
        return float("nan") if self.nats is None else self.nats / self.tokens


@dataclass(frozen=True)
class Likelihoods:
    """The likelihoods that one model gives under one way of writing rows."""

    model: str
    revision: str | None = None
    chat: bool = False
    max_tokens: int = 1024
    batch_tokens: int = 4096

    def of(self, samples: pl.DataFrame, parts: Sequence[Part], context: Context) -> dict[Wanted, Likelihood]:
        """Return the likelihoods by (part, content id) of the samples whose response is not blank.

        Known ones come from `cache/likelihoods.sqlite`, the others are computed, all parts in one plan of batches, each
        batch stored before the next. The text is a start token (the tokenizer's, else its end token), the system and
        the prompt, each with a blank line after it, and the response; with `chat` the tokenizer's template writes all
        before the response. `alone` is the start token and the response. The response has the same tokens in both
        parts, and no end token. Where they do not fit, the prompt loses its beginning. Raise Interrupted when asked to
        stop.
        """
        rows, keys = _rows(samples), self._keys(parts)
        with _opened(context.root / CACHE) as store:
            found = _read(store, keys, rows["content_id"].to_list())
            lacking = rows.filter(
                pl.Series([any((part, i) not in found for part in parts) for i in rows["content_id"]], dtype=pl.Boolean)
            )
            total = rows.height * len(parts)
            context.progress(len(found), total)
            if lacking.height:
                lm = CausalLM.load(self.model, self.revision)
                for block in lacking.iter_slices(_BLOCK):
                    for made in self._computed(lm, block, parts, found):
                        _write(store, keys, made)
                        found.update(made)
                        context.progress(len(found), total)
                        if context.stopping():
                            raise Interrupted(f"stopped; {len(found)} of {total} likelihoods are kept")
        return found

    def pending(self, samples: pl.DataFrame, parts: Sequence[Part], context: Context) -> int:
        """Return how many likelihoods are not in the cache."""
        rows = _rows(samples)
        if not (context.root / CACHE).exists():
            return rows.height * len(parts)
        with _opened(context.root / CACHE) as store:
            return rows.height * len(parts) - len(_read(store, self._keys(parts), rows["content_id"].to_list()))

    def identity(self) -> dict[str, Any]:
        """Return the model's identity and how rows are written for it."""
        said = {"version": _VERSION, "chat": self.chat, "max_tokens": self.max_tokens}
        return {**said, **identity(self.model, self.revision)}

    def _keys(self, parts: Iterable[Part]) -> dict[str, Part]:
        said = self.identity()
        return {digest([said, part]): part for part in parts}

    def _computed(
        self, lm: CausalLM, rows: pl.DataFrame, parts: Sequence[Part], known: dict[Wanted, Likelihood]
    ) -> Iterator[dict[Wanted, Likelihood]]:
        """Yield what is not `known`, batch by batch; first the rows that do not fit."""
        names: list[Wanted] = []
        texts: list[Text] = []
        remarks: list[str | None] = []
        unfit: dict[Wanted, Likelihood] = {}
        for row in rows.iter_rows(named=True):
            for part in parts:
                name = (part, row["content_id"])
                if name in known:
                    continue
                made = self._text(lm, row, part)
                if isinstance(made, Likelihood):
                    unfit[name] = made
                else:
                    names.append(name)
                    texts.append(made[0])
                    remarks.append(made[1])
        if unfit:
            yield unfit
        for batch in batches([len(text.ids) for text in texts], self.batch_tokens):
            nats = lm.losses([texts[i] for i in batch])
            found = [float(n) if np.isfinite(n) else None for n in nats]
            yield {
                names[i]: Likelihood(n, len(texts[i].ids) - texts[i].start, remarks[i])
                for i, n in zip(batch, found, strict=True)
            }

    def _text(self, lm: CausalLM, row: dict[str, Any], part: Part) -> tuple[Text, str | None] | Likelihood:
        """Return the tokens of a row with a remark when they were cut, or why there are none."""
        tokens = lm.tokenizer
        answer = tokens(row["response"], add_special_tokens=False, verbose=False)["input_ids"]
        limit = min(self.max_tokens, lm.context)
        if not answer:
            return Likelihood(None, 0, "the response has no tokens")
        if len(answer) >= limit:
            return Likelihood(None, 0, f"the response has {len(answer)} tokens, {limit - 1} fit")
        head = _start(tokens)
        prompt: list[int] = self._prompt(tokens, row) if part == "given" else []
        if prompt[: len(head)] == head:
            prompt = prompt[len(head) :]
        room = limit - len(answer) - len(head)
        cut = prompt[-room:] if len(prompt) > room > 0 else prompt[: max(room, 0)]
        why = f"the prompt lost its first {len(prompt) - len(cut)} tokens" if len(cut) < len(prompt) else None
        return Text(np.array([*head, *cut, *answer], np.int32), len(head) + len(cut)), why

    def _prompt(self, tokens: Any, row: dict[str, Any]) -> list[int]:  # noqa: ANN401 - a tokenizer
        if self.chat:
            if not tokens.chat_template:
                raise UserError("the model has no chat template", value=self.model, remedy="leave chat: false")
            turns = json.loads(row["messages"])[:-1]
            text = tokens.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        else:
            text = "".join(f"{part}\n\n" for part in (row["system"], row["prompt"]) if part)
        ids: list[int] = tokens(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids


def _start(tokens: Any) -> list[int]:  # noqa: ANN401 - a tokenizer
    """Return the token before every text: without one the first token could not be scored."""
    start = tokens.bos_token_id if tokens.bos_token_id is not None else tokens.eos_token_id
    return [0 if start is None else int(start)]


def _rows(samples: pl.DataFrame) -> pl.DataFrame:
    """Return each content with a response once, shortest first."""
    columns = ["content_id", "system", "prompt", "response", "messages"]
    rows = samples.select(columns).filter(pl.col("response").str.strip_chars() != "").unique("content_id")
    return rows.sort(pl.col("prompt").str.len_chars() + pl.col("response").str.len_chars(), "content_id")


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Give the cache, created when absent; a second writer waits up to a minute."""
    path.parent.mkdir(parents=True, exist_ok=True)
    store = sqlite3.connect(path, timeout=60)
    try:
        store.execute("PRAGMA journal_mode = WAL")
        store.execute("PRAGMA synchronous = NORMAL")
        with store:
            store.execute(_SCHEMA)
        yield store
    except sqlite3.DatabaseError as fault:
        remedy = "is another job using it?" if isinstance(fault, sqlite3.OperationalError) else "delete it"
        raise UserError(f"the cache of likelihoods cannot be used ({fault})", value=str(path), remedy=remedy) from fault
    finally:
        store.close()


def _read(store: sqlite3.Connection, keys: dict[str, Part], ids: Sequence[str]) -> dict[Wanted, Likelihood]:
    found: dict[Wanted, Likelihood] = {}
    for key, part in keys.items():
        for start in range(0, len(ids), _SELECT):
            some = ids[start : start + _SELECT]
            query = (
                "SELECT content_id, nats, tokens, why FROM likelihoods WHERE key = ? AND content_id IN "  # noqa: S608 - marks
                f"({','.join('?' * len(some))})"
            )
            rows = store.execute(query, (key, *some))
            found.update(((part, name), Likelihood(*rest)) for name, *rest in rows)
    return found


def _write(store: sqlite3.Connection, keys: dict[str, Part], made: dict[Wanted, Likelihood]) -> None:
    by_part = {part: key for key, part in keys.items()}
    rows = [(by_part[part], name, item.nats, item.tokens, item.why) for (part, name), item in made.items()]
    with store:
        store.executemany("INSERT OR REPLACE INTO likelihoods VALUES (?, ?, ?, ?, ?)", rows)
