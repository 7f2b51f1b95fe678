#!/usr/bin/env python3
"""Makes the tokenizers of this folder from the project's own text, with the Python package `tokenizers`.

usage: make.py REPOSITORY   (from README.md, ARCHITECTURE.md and requests/README.md as they are then)
"""
import os
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

root, here = sys.argv[1], os.path.dirname(os.path.abspath(__file__))
files = [os.path.join(root, name) for name in ("README.md", "ARCHITECTURE.md", "requests/README.md")]


def made():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1500,
        special_tokens=["<|end|>", "<|begin|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train(files, trainer)
    return tokenizer


plain = made()
plain.save(os.path.join(here, "bpe.json"), pretty=False)
# The same with a token that is put before each text, as Llama has it.
plain.post_processor = processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", 1)])
plain.save(os.path.join(here, "bpe_bos.json"), pretty=False)
