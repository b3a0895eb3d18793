"""Stanzas that make TRL, axolotl and LLaMA-Factory read an exported blend, each row once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

_AXOLOTL: Final[Mapping[str, Mapping[str, Any]]] = {
    "messages": {"type": "chat_template", "field_messages": "messages"},
    "sharegpt": {
        "type": "chat_template",
        "field_messages": "conversations",
        "message_property_mappings": {"role": "from", "content": "value"},
    },
    "alpaca": {"type": "alpaca"},
    "prompt-completion": {
        "type": {
            "field_instruction": "prompt",
            "field_output": "completion",
            "format": "{instruction}",
            "no_input_format": "{instruction}",
        }
    },
}
_FACTORY: Final[Mapping[str, Mapping[str, Any]]] = {
    "messages": {
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "system_tag": "system",
        },
    },
    "sharegpt": {"formatting": "sharegpt", "columns": {"messages": "conversations"}},
    "alpaca": {"columns": {"prompt": "instruction", "query": "input", "response": "output"}},
    "prompt-completion": {"columns": {"prompt": "prompt", "response": "completion"}},
}
_TRL: Final[Mapping[str, Sequence[str]]] = {"messages": ["messages"], "prompt-completion": ["prompt", "completion"]}


def stanzas(layout: str, ref: str, files: Sequence[str]) -> dict[str, str]:
    """Return file name to content of the stanzas for `files`, paths relative to the export's folder.

    `layout` is one of `export_files.LAYOUTS`; Parquet holds messages. `ref` names the dataset for LLaMA-Factory. TRL
    reads no alpaca and no sharegpt: no trl.yaml for these. No trainer named here reads `weight`: the head says so.
    """
    kind = "messages" if layout == "parquet" else layout
    reader = "parquet" if layout == "parquet" else "json"
    name = ref.replace("@", "-")
    found: dict[str, str] = {}
    if kind in _TRL:
        entry = {"path": reader, "data_files": list(files), "split": "train", "columns": list(_TRL[kind])}
        found["trl.yaml"] = _yaml({"datasets": [entry]}, "trl sft --config")
    axolotl = {"path": "data", "ds_type": reader, "data_files": list(files), "split": "train", **_AXOLOTL[kind]}
    found["axolotl.yaml"] = _yaml({"datasets": [axolotl]}, "axolotl train, with the rest of the configuration in it")
    info = {name: {"file_name": "data", **_FACTORY[kind]}}
    found["dataset_info.json"] = json.dumps(info, indent=2, sort_keys=True) + "\n"
    found["llamafactory.yaml"] = _yaml({"dataset": name, "dataset_dir": "."}, "llamafactory-cli train")
    return found


def _yaml(value: Mapping[str, Any], command: str) -> str:
    head = f"# For: {command}. Run in this folder. Repeats are rows here; the trainer does not read `weight`.\n"
    return head + yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
