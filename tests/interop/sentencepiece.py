#!/usr/bin/env python3
"""Holds linnet's reading of tokenizer.model against SentencePiece itself (Debian: python3-sentencepiece).

usage: sentencepiece.py LINNET OUT TEXTS.json TEXT.txt...

Trains small models of every kind on the first text and compares the ids of every string in TEXTS.json
and every line of the texts. Exit status 1 and the first differences when there are some.
"""
import json
import os
import subprocess
import sys

SPACE = "\u2581"
plain = {"byte_fallback": True, "normalization_rule_name": "identity", "remove_extra_whitespaces": False}
KINDS = {
    "bpe-default": {"model_type": "bpe"},
    "bpe-llama": {"model_type": "bpe", "split_digits": True, "allow_whitespace_only_pieces": True, **plain},
    "bpe-gemma": {"model_type": "bpe", "split_digits": True, "allow_whitespace_only_pieces": True,
                  "add_dummy_prefix": False, "user_defined_symbols": ["<sep>", SPACE * 2, "\n\n", "TOOL"],
                  **plain},
    "bpe-user": {"model_type": "bpe", "user_defined_symbols": ["<sep>", "TOOL", "12"],
                 "control_symbols": ["<ctl>"]},
    "unigram-default": {"model_type": "unigram"},
    "unigram-bytes": {"model_type": "unigram", "byte_fallback": True, "normalization_rule_name": "nfkc_cf"},
    "unigram-identity": {"model_type": "unigram", "normalization_rule_name": "identity",
                         "remove_extra_whitespaces": False, "user_defined_symbols": ["<sep>", "TOOL"]},
    "unigram-no-prefix": {"model_type": "unigram", "normalization_rule_name": "nmt_nfkc_cf",
                          "add_dummy_prefix": False, "character_coverage": 0.99},
}


def linnet_ids(linnet, model, file, more):
    out = subprocess.run([linnet, "tokenizer", "encode", "--quiet", "--no-special", "--tokenizer", model,
                          "--file", file, *more], capture_output=True, check=True).stdout.decode()
    return [[int(x) for x in line.split()] for line in out.split("\n")]


def main():
    try:
        sys.path.pop(0)  # this file has the module's name
        import sentencepiece
    except ImportError:
        print("skipped: python3-sentencepiece is not installed")
        return 0
    linnet, out, texts, *files = sys.argv[1:]
    strings = json.load(open(texts, encoding="utf-8"))
    bad = total = 0
    for name, options in KINDS.items():
        os.makedirs(out, exist_ok=True)
        prefix = os.path.join(out, name)
        sentencepiece.SentencePieceTrainer.train(input=files[0], model_prefix=prefix, vocab_size=1200,
                                                 num_threads=1, minloglevel=2, **options)
        judge = sentencepiece.SentencePieceProcessor(model_file=prefix + ".model")
        pairs = []
        one = os.path.join(out, "text")
        for s in strings:
            with open(one, "w", encoding="utf-8", newline="") as f:
                f.write(s)
            pairs.append((s, linnet_ids(linnet, prefix + ".model", one, ["--whole"])[0]))
        for file in files:
            lines = open(file, encoding="utf-8", newline="").read().split("\n")
            pairs += zip(lines, linnet_ids(linnet, prefix + ".model", file, []))
        for text, got in pairs:
            total += 1
            if got != judge.encode(text):
                bad += 1
                if bad < 4:
                    print(f"{name}: {text[:80]!r}\n  linnet        {got[:40]}\n"
                          f"  SentencePiece {judge.encode(text)[:40]}")
    print(f"{total - bad} of {total} texts have SentencePiece's ids")
    return 1 if bad else 0


sys.exit(main())
