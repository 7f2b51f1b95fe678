#!/usr/bin/env python3
"""Makes a folder with a tiny Llama of random weights, which vLLM serves with --load-format dummy.

usage: make_model.py OUT_DIR TEXT_FILE...

The tokenizer (byte-level BPE, at most 4,096 tokens) is trained on the text files; weights are made up by vLLM itself.
"""
import json
import os
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = 4096
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<pad>"]
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def texts(files):
    for name in files:
        with open(name, encoding="utf-8", errors="replace") as file:
            yield from file


def main():
    out, files = sys.argv[1], sys.argv[2:]
    os.makedirs(out, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts(files),
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.save(f"{out}/tokenizer.json")
    eos = tokenizer.token_to_id("<|im_end|>")
    pad = tokenizer.token_to_id("<pad>")

    def write(name, content):
        with open(f"{out}/{name}", "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)

    write(
        "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": "<|im_end|>",
            "pad_token": "<pad>",
            "bos_token": None,
            "unk_token": None,
            "model_max_length": 2048,
            "clean_up_tokenization_spaces": False,
            "chat_template": CHAT_TEMPLATE,
        },
    )
    write(
        "config.json",
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_act": "silu",
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "max_position_embeddings": 2048,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "vocab_size": tokenizer.get_vocab_size(),
            "tie_word_embeddings": False,
            "torch_dtype": "float32",
            "bos_token_id": eos,
            "eos_token_id": eos,
            "pad_token_id": pad,
        },
    )
    write("generation_config.json", {"eos_token_id": eos, "pad_token_id": pad})
    print(f"model in {out}: {tokenizer.get_vocab_size()} tokens")


if __name__ == "__main__":
    main()
