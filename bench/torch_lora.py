#!/usr/bin/python3
"""PyTorch's side of bench/lora.sh: LoRA training of a Llama of random weights.

    /usr/bin/python3 bench/torch_lora.py bf16|f32 keep|checkpoint HIDDEN LAYERS HEADS KV_HEADS FFN VOCAB RANK T THREADS [STEPS]

prints one line: tokens per second of the fastest step (the first is left out) and the peak memory in MB. A step is
forward, backward, clipping and AdamW on one row of T random tokens. The base is frozen and of the named type, which is
what products are computed in; adapters on all seven linear layers of each block are f32 and rounded to that type for
products, the way of torchtune and PEFT. The embedding and the output layer are two matrices, both frozen.

PyTorch is given what it is fastest with: frozen weights have no gradients, attention multiplies the heads that share keys
together instead of repeating keys, and the first block computes no gradient of its input. scaled_dot_product_attention is
newer than the 1.13 that this is for.
"""
import math
import resource
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint


class Pool:
    """Frozen matrices: copies out of one pool of random numbers, as drawing billions of them takes minutes."""

    def __init__(self, largest, dtype):
        self.numbers = torch.empty(largest, dtype=dtype).normal_(0, 0.02)

    def matrix(self, rows, cols):
        return self.numbers[: rows * cols].clone().view(rows, cols)


class Linear(nn.Module):
    """x W^T + (alpha / rank) (x A^T) B^T, alpha twice the rank."""

    def __init__(self, pool, cols, rows, rank):
        super().__init__()
        self.weight = nn.Parameter(pool.matrix(rows, cols), requires_grad=False)
        self.a = nn.Parameter(torch.randn(rank, cols) / math.sqrt(cols))
        self.b = nn.Parameter(torch.zeros(rows, rank))

    def forward(self, x):
        low = F.linear(x, self.a.type_as(x))
        return F.linear(x, self.weight) + F.linear(low * 2, self.b.type_as(x))


def norm(x, weight):
    scale = torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-5)
    return x * scale.type_as(x) * weight


def rotate(x, cosine, sine):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cosine - b * sine, b * cosine + a * sine), -1)


class Block(nn.Module):
    def __init__(self, pool, width, heads, kv_heads, ffn, rank, dtype):
        super().__init__()
        self.kv_heads, self.group, self.d = kv_heads, heads // kv_heads, width // heads
        self.norm1, self.norm2 = (nn.Parameter(torch.ones(width, dtype=dtype), requires_grad=False) for _ in range(2))
        linear = lambda cols, rows: Linear(pool, cols, rows, rank)
        self.q, self.o = linear(width, width), linear(width, width)
        self.k, self.v = (linear(width, kv_heads * self.d) for _ in range(2))
        self.gate, self.up, self.down = linear(width, ffn), linear(width, ffn), linear(ffn, width)

    def attend(self, y, cosine, sine, mask):
        T = y.shape[0]
        split = lambda z: z.view(T, -1, self.d).transpose(0, 1)
        q = rotate(split(self.q(y)), cosine, sine).reshape(self.kv_heads, self.group * T, self.d)
        k = rotate(split(self.k(y)), cosine, sine)
        score = (q / math.sqrt(self.d)) @ k.transpose(-1, -2)
        share = F.softmax(score.view(self.kv_heads, self.group, T, T) + mask, -1)
        out = share.view(self.kv_heads, self.group * T, T) @ split(self.v(y))
        return self.o(out.view(self.kv_heads * self.group, T, self.d).transpose(0, 1).reshape(T, -1))

    def forward(self, x, cosine, sine, mask):
        x = x + self.attend(norm(x, self.norm1), cosine, sine, mask)
        y = norm(x, self.norm2)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Model(nn.Module):
    def __init__(self, width, layers, heads, kv_heads, ffn, vocab, rank, T, dtype):
        super().__init__()
        pool = Pool(max(width * ffn, width * vocab), dtype)
        self.embedding, self.head = pool.matrix(vocab, width), pool.matrix(vocab, width)
        self.blocks = nn.ModuleList(Block(pool, width, heads, kv_heads, ffn, rank, dtype) for _ in range(layers))
        self.norm = torch.ones(width, dtype=dtype)
        d = width // heads
        angle = torch.outer(torch.arange(T).float(), 500000 ** (-torch.arange(0, d, 2).float() / d))
        self.cosine, self.sine = angle.cos().to(dtype), angle.sin().to(dtype)
        self.mask = torch.full((T, T), -1e9).triu(1).to(dtype)

    def forward(self, ids, targets, keep):
        x = F.embedding(ids, self.embedding)
        fixed = (self.cosine, self.sine, self.mask)
        for block in self.blocks:
            x = block(x, *fixed) if keep else checkpoint(block, x, *fixed, use_reentrant=False)
        return F.cross_entropy(F.linear(norm(x, self.norm), self.head).float(), targets)


def main():
    dtype = {"bf16": torch.bfloat16, "f32": torch.float32}[sys.argv[1]]
    keep = {"keep": True, "checkpoint": False}[sys.argv[2]]
    width, layers, heads, kv_heads, ffn, vocab, rank, T, threads = map(int, sys.argv[3:12])
    steps = int(sys.argv[12]) if len(sys.argv) > 12 else 3
    torch.set_num_threads(threads)  # its own default can be fewer than there are cores
    torch.manual_seed(1)
    model = Model(width, layers, heads, kv_heads, ffn, vocab, rank, T, dtype)
    adapters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(adapters, lr=1e-4)
    ids, targets = (torch.randint(0, vocab, (T,)) for _ in range(2))
    times = []
    for _ in range(steps):
        begin = time.perf_counter()
        loss = model(ids, targets, keep)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(adapters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        times.append(time.perf_counter() - begin)
        assert math.isfinite(loss.item())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 // 1000000
    print(f"{T / min(times[1:]):.2f} {peak}")


if __name__ == "__main__":
    main()
