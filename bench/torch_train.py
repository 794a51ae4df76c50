#!/usr/bin/python3
"""PyTorch's side of `make bench`: the model of a configs/bench-*.yaml, a few optimiser steps.

    /usr/bin/python3 bench/torch_train.py configs/bench-29m.yaml f32|bf16 THREADS [STEPS]

prints one line: tokens per second of the fastest step (the first is left out) and the peak memory in
MB. A step is forward, backward, clipping and AdamW. bf16 is autocast, PyTorch's own way.
"""
import math
import re
import resource
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


def read_numbers(path):
    """Our bench files are flat: `  key: number`."""
    text = open(path).read()
    return {k: float(v) for k, v in re.findall(r"^ +(\w+): +([0-9.e+-]+)", text, re.M)}


class Norm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        scale = torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-5)
        return x * scale.type_as(x) * self.weight


def rotate(x, cosine, sine):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cosine - b * sine, b * cosine + a * sine), -1)


class Block(nn.Module):
    def __init__(self, width, heads, kv_heads, ffn):
        super().__init__()
        linear = lambda i, o: nn.Linear(i, o, bias=False)
        self.heads, self.kv_heads, self.d = heads, kv_heads, width // heads
        self.norm1, self.norm2 = Norm(width), Norm(width)
        self.q, self.o = linear(width, width), linear(width, width)
        self.k, self.v = (linear(width, kv_heads * self.d) for _ in range(2))
        self.gate, self.up, self.down = linear(width, ffn), linear(width, ffn), linear(ffn, width)

    def forward(self, x, cosine, sine, mask):
        B, T, C = x.shape
        split = lambda y, n: y.view(B, T, n, self.d).transpose(1, 2)
        y = self.norm1(x)
        q = rotate(split(self.q(y), self.heads), cosine, sine)
        k = rotate(split(self.k(y), self.kv_heads), cosine, sine)
        group = self.heads // self.kv_heads
        k = k.repeat_interleave(group, 1)
        v = split(self.v(y), self.kv_heads).repeat_interleave(group, 1)
        score = q @ k.transpose(-1, -2) / math.sqrt(self.d) + mask.to(q.dtype)
        x = x + self.o((F.softmax(score, -1) @ v).transpose(1, 2).reshape(B, T, C))
        y = self.norm2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Model(nn.Module):
    def __init__(self, c):
        super().__init__()
        width, heads, T = int(c["hidden_size"]), int(c["num_attention_heads"]), int(c["max_seq_length"])
        self.embedding = nn.Embedding(int(c["vocab_size"]), width)
        self.blocks = nn.ModuleList(
            Block(width, heads, int(c["num_key_value_heads"]), int(c["intermediate_size"]))
            for _ in range(int(c["num_hidden_layers"])))
        self.norm = Norm(width)
        d = width // heads
        angle = torch.outer(torch.arange(T).float(), 10000 ** (-torch.arange(0, d, 2).float() / d))
        self.cosine, self.sine = angle.cos(), angle.sin()
        self.mask = torch.full((T, T), -1e9).triu(1)

    def forward(self, ids, targets):
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x, self.cosine, self.sine, self.mask)
        logits = F.linear(self.norm(x), self.embedding.weight).float()
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def main():
    c, bf16 = read_numbers(sys.argv[1]), sys.argv[2] == "bf16"
    torch.set_num_threads(int(sys.argv[3]))  # its own default can be fewer than there are cores
    steps = int(sys.argv[4]) if len(sys.argv) > 4 else 4
    torch.manual_seed(1)
    model = Model(c)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    shape = (int(c["batch_size"]), int(c["max_seq_length"]))
    ids, targets = (torch.randint(0, int(c["vocab_size"]), shape) for _ in range(2))
    times = []
    for _ in range(steps):
        begin = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = model(ids, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{shape[0] * shape[1] / min(times[1:]):.0f} {peak}")


if __name__ == "__main__":
    main()
