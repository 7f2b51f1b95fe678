#!/usr/bin/env python3
"""Makes a GGUF file with random weights out of the folder that scripts/vllm-cpu/make_model.py wrote.

usage: make_gguf.py MODEL_DIR OUT.gguf

Tokenizer, template and sizes are the folder's, so that both servers count the same tokens. The weights are
drawn with a fixed seed.
"""
import json
import sys

import gguf
import numpy


def main():
    folder, out = sys.argv[1:]

    def read(name):
        with open(f"{folder}/{name}", encoding="utf-8") as file:
            return json.load(file)

    config, tokenizer, told = read("config.json"), read("tokenizer.json"), read("tokenizer_config.json")
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    heads, kv_heads, width = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    layers = config["num_hidden_layers"]

    writer = gguf.GGUFWriter(out, "llama")
    writer.add_name("tiny")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)

    vocabulary = sorted(tokenizer["model"]["vocab"].items(), key=lambda item: item[1])
    special = {token["content"] for token in tokenizer["added_tokens"]}
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types(
        [gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL for token, _ in vocabulary]
    )
    writer.add_token_merges(merges)
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    writer.add_add_bos_token(False)
    writer.add_chat_template(told["chat_template"])

    random = numpy.random.default_rng(1)

    def matrix(name, rows, columns):
        values = random.standard_normal((rows, columns)) * 0.02
        writer.add_tensor(name, values.astype(numpy.float32))

    def ones(name):
        writer.add_tensor(name, numpy.ones(hidden, dtype=numpy.float32))

    matrix("token_embd.weight", config["vocab_size"], hidden)
    for layer in range(layers):
        ones(f"blk.{layer}.attn_norm.weight")
        matrix(f"blk.{layer}.attn_q.weight", heads * width, hidden)
        matrix(f"blk.{layer}.attn_k.weight", kv_heads * width, hidden)
        matrix(f"blk.{layer}.attn_v.weight", kv_heads * width, hidden)
        matrix(f"blk.{layer}.attn_output.weight", hidden, heads * width)
        ones(f"blk.{layer}.ffn_norm.weight")
        matrix(f"blk.{layer}.ffn_gate.weight", inner, hidden)
        matrix(f"blk.{layer}.ffn_up.weight", inner, hidden)
        matrix(f"blk.{layer}.ffn_down.weight", hidden, inner)
    ones("output_norm.weight")
    matrix("output.weight", config["vocab_size"], hidden)

    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"model in {out}: {len(vocabulary)} tokens")


if __name__ == "__main__":
    main()
