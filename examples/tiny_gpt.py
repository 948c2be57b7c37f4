"""A small GPT learns running text, character by character, and writes some of its own.

What one learns: how a Transformer that predicts the next character is put together from
`scaled_dot_product_attention`, LayerNorm and Linear; that held-out text measures it, in nats or in
bits a character; and how text is drawn from it. 4,000 steps reach 1.17 nats, or 1.69 bits, a
character on the end of Python's language reference. A file named on the command line is learned in
place of that. The picture goes to runs/tiny_gpt.png.
"""

import math
import sys
import time
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from tqdm import tqdm

import minigrad
from minigrad import datasets, nn, optim
from minigrad.nn import functional
from minigrad.optim import lr_scheduler as schedules

QUICK = "--quick" in sys.argv
FILES = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
LAYERS, WIDTH, HEADS, LENGTH = (2, 32, 2, 32) if QUICK else (2, 128, 4, 64)
STEPS, BATCH_SIZE, LEARNING_RATE = (150, 8, 3e-3) if QUICK else (4000, 16, 2e-3)
EVALUATE_EVERY, PIECES, WRITTEN = (50, 32, 100) if QUICK else (200, 256, 400)


class Block(nn.Module):
    """Attention to the characters so far, then a net of two layers for each character by itself;
    each sees its input normalised and is added to it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.query_key_value = nn.Linear(WIDTH, 3 * WIDTH)
        self.joined = nn.Linear(WIDTH, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH)
        self.feed_forward = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def attend(self, x: minigrad.Tensor) -> minigrad.Tensor:
        samples, length, _ = x.shape
        heads = self.query_key_value(x).view(samples, length, 3 * HEADS, WIDTH // HEADS)
        query, key, value = heads.transpose(1, 2).chunk(3, dim=1)
        y = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.joined(y.transpose(1, 2).reshape(samples, length, WIDTH))

    def forward(self, x: minigrad.Tensor) -> minigrad.Tensor:
        x = x + self.attend(self.norm1(x))
        return x + self.feed_forward(self.norm2(x))


class GPT(nn.Module):
    """(N, T) numbers of characters to (N, T, vocabulary) scores for the character after each."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.character = nn.Embedding(vocabulary, WIDTH)
        self.place = nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.Sequential(*[Block() for _ in range(LAYERS)])
        self.norm = nn.LayerNorm(WIDTH)
        self.scores = nn.Linear(WIDTH, vocabulary)
        # Small, so that at first every character is about equally likely.
        for embedding in (self.character, self.place):
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, numbers: minigrad.Tensor) -> minigrad.Tensor:
        places = minigrad.arange(numbers.shape[1])
        return self.scores(self.norm(self.blocks(self.character(numbers) + self.place(places))))


def loss_on(net: nn.Module, inputs: minigrad.Tensor, targets: minigrad.Tensor) -> minigrad.Tensor:
    """The mean of -log p(next character), in nats."""
    return functional.cross_entropy(net(inputs).flatten(0, 1), targets.flatten())


@minigrad.no_grad()
def held_out_loss(net: nn.Module, text: datasets.Text) -> float:
    """Over pieces at fixed places all over the held-out text."""
    pieces = min(PIECES, (len(text) - 1) // LENGTH)
    starts = minigrad.arange(pieces).unsqueeze(1) * ((len(text) - 1) // pieces)
    places = starts + minigrad.arange(LENGTH)
    losses = [
        loss_on(net, text.data[each], text.data[each + 1]).item() * len(each)
        for each in places.split(32)
    ]
    return sum(losses) / pieces


@minigrad.no_grad()
def write(net: nn.Module, vocabulary: datasets.Vocabulary, beginning: str) -> str:
    """Goes on from a beginning: each character is drawn by the probabilities that the net gives."""
    written = vocabulary.encode(beginning)
    for _ in range(WRITTEN):
        scores = net(written[-LENGTH:].unsqueeze(0))[0, -1]
        # The sum of probabilities passes a uniform number first at the character that is drawn.
        chances = (scores / 0.8).softmax(0).tolist()
        left, number = minigrad.rand(()).item(), 0
        while number < len(chances) - 1 and (left := left - chances[number]) > 0:
            number += 1
        written = minigrad.cat([written, minigrad.tensor([number])])
    return vocabulary.decode(written)


minigrad.manual_seed(0)
text = datasets.text(*FILES[:1])
training, held_out = text.split(0.1)
net = GPT(len(text.vocabulary))
optimizer = optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
schedule = schedules.ChainedScheduler(
    [
        schedules.WarmupLR(optimizer, STEPS // 20),
        schedules.CosineAnnealingLR(optimizer, STEPS, eta_min=LEARNING_RATE / 20),
    ]
)
parameters = sum(each.numel() for each in net.parameters())
print(f"{text}; {parameters:,} parameters, {STEPS} steps of {BATCH_SIZE} pieces of {LENGTH}")

curve, held_out_curve, start = [], [], time.perf_counter()
for step in tqdm(range(1, STEPS + 1), disable=None):
    optimizer.zero_grad()
    loss = loss_on(net, *training.batch(BATCH_SIZE, LENGTH))
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    curve.append(loss.item())
    if step % EVALUATE_EVERY == 0:
        held_out_curve.append((step, held_out_loss(net, held_out)))
        nats = held_out_curve[-1][1]
        tqdm.write(
            f"step {step:>5}: held-out loss {nats:.3f} nats = {nats / math.log(2):.3f} bits a "
            f"character, {time.perf_counter() - start:.0f} s"
        )
print("\n" + write(net, text.vocabulary, "The "))

matplotlib.use("Agg")
figure, axis = plt.subplots(figsize=(8, 5), layout="constrained")
axis.plot(range(1, STEPS + 1), curve, linewidth=0.5, label="training, each batch")
axis.plot(*zip(*held_out_curve, strict=True), marker="o", markersize=3, label="held-out text")
axis.axhline(math.log(len(text.vocabulary)), color="gray", linestyle=":", label="guessing")
axis.set_xlabel("step")
axis.set_ylabel("nats a character")
axis.legend()
path = Path("runs/tiny_gpt.png")
path.parent.mkdir(exist_ok=True)
figure.savefig(path, dpi=100)
print(f"wrote {path}")
