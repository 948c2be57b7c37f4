"""A recurrent network that spells names: it invents new ones, and tells whose name one is.

What one learns: a GRU reads a name character by character and predicts the next one, so its loss is
the number of bits that a character costs; names of different lengths go through it packed, without
padding; its own predictions, fed back in, spell new names; and because it is told whether the name
is a woman's or a man's, Bayes' rule turns the two probabilities of a name into a classifier. The
names are first names of the census of 1990. The picture goes to runs/names_rnn.png.
"""

import math
import sys
from itertools import pairwise
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from tqdm import tqdm

import minigrad
from minigrad import datasets, nn, optim
from minigrad.nn.functional import cross_entropy, one_hot
from minigrad.nn.utils.rnn import PackedSequence, pack_padded_sequence

QUICK = "--quick" in sys.argv
EPOCHS, HIDDEN, BATCH_SIZE = (3, 48, 128) if QUICK else (20, 128, 64)
BITS = 1 / math.log(2)

minigrad.manual_seed(0)
train, test = datasets.names().split(0.1)
CHARACTERS, CLASSES = len(train.vocabulary), len(train.target_names)


class Speller(nn.Module):
    """Scores of the next character, from all characters so far and the class of the name."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.gru = nn.GRU(CHARACTERS + CLASSES, hidden_size, batch_first=True)
        self.output = nn.Linear(hidden_size, CHARACTERS)

    def encode(self, characters: minigrad.Tensor, target: minigrad.Tensor) -> minigrad.Tensor:
        """Characters (N, L) and classes (N) as vectors (N, L, features) of zeros and ones."""
        classes = one_hot(target, CLASSES).unsqueeze(1)
        classes = classes.expand(-1, characters.shape[1], -1)
        return minigrad.cat([one_hot(characters, CHARACTERS), classes], -1).float()

    def forward(self, input: PackedSequence) -> minigrad.Tensor:
        """Scores (characters of all names, CHARACTERS), packed as the input is."""
        states, _ = self.gru(input)
        return self.output(states.data)


def packed_batch(names, rows, target):
    """Inputs and wanted characters of some names, packed. The end (0) is before the first
    character, too, and is the last that is wanted."""
    wanted = names.data[rows]
    given = minigrad.cat([minigrad.zeros(len(wanted), 1, dtype=minigrad.int64), wanted[:, :-1]], 1)
    lengths = (names.lengths[rows] + 1).tolist()
    inputs, targets = (
        pack_padded_sequence(each, lengths, batch_first=True, enforce_sorted=False)
        for each in (net.encode(given, target), wanted)
    )
    return inputs, targets


def log_likelihood(names, target) -> minigrad.Tensor:
    """log p(name | class) of each name, in bits."""
    with minigrad.no_grad():
        inputs, wanted = packed_batch(names, minigrad.arange(len(names)), target)
        losses = cross_entropy(net(inputs), wanted.data, reduction="none")
    packed = wanted._replace(data=losses)
    each, _ = nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
    return -each.sum(1) * BITS


def bits_per_character(names) -> float:
    characters = (names.lengths + 1).sum().item()
    return -log_likelihood(names, names.target).sum().item() / characters


def pairs(names) -> minigrad.Tensor:
    """Each character and the one before it, of all names, shape (2, number of characters)."""
    spelled = [[0, *names.vocabulary.numbers(name), 0] for name in names.names]
    return minigrad.tensor([pair for numbers in spelled for pair in pairwise(numbers)]).t()


def bigram_bits() -> float:
    """What a character of the test names costs if only the one before it is known."""
    seen = one_hot(pairs(train)[0] * CHARACTERS + pairs(train)[1], CHARACTERS**2).sum(0)
    counts = seen.reshape(CHARACTERS, CHARACTERS) + 1  # none is impossible
    first, second = pairs(test)
    return -(counts / counts.sum(1, keepdim=True)).log2()[first, second].mean().item()


def invent(target: int, count: int, temperature: float = 0.7) -> list[str]:
    """New names of a class: each character is drawn from what the network predicts (by adding
    Gumbel noise to the scores and taking the largest), and is its next input."""
    classes = minigrad.full((count,), target)
    characters = minigrad.zeros(count, 1, dtype=minigrad.int64)
    spelled, state = [], None
    with minigrad.no_grad():
        for _ in range(train.width):
            y, state = net.gru(net.encode(characters, classes), state)
            scores = net.output(y) / temperature
            noise = -(-minigrad.rand(*scores.shape).clamp(1e-9, 1 - 1e-6).log()).log()
            characters = (scores + noise).argmax(-1)
            spelled.append(characters)
    return [train.vocabulary.decode(row) for row in minigrad.cat(spelled, 1).tolist()]


net = Speller(HIDDEN)
optimizer = optim.Adam(net.parameters(), lr=3e-3)
schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
history = []
progress = tqdm(range(1, EPOCHS + 1), desc="epochs", disable=None)
for epoch in progress:
    for rows in minigrad.randperm(len(train)).split(BATCH_SIZE):
        inputs, wanted = packed_batch(train, rows, train.target[rows])
        optimizer.zero_grad()
        loss = cross_entropy(net(inputs), wanted.data)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    schedule.step()
    history.append((bits_per_character(train), bits_per_character(test)))
    progress.write(
        f"epoch {epoch:2d}: bits per character: {history[-1][0]:.3f} of training names, "
        f"{history[-1][1]:.3f} of test names"
    )

baseline = bigram_bits()
print(
    f"\na character of a test name costs {history[-1][1]:.3f} bits; {math.log2(CHARACTERS):.3f} "
    f"without knowledge, {baseline:.3f} knowing the character before it"
)

# Bayes: p(class | name) is in proportion to p(name | class) p(class).
scores = []
for target in range(CLASSES):
    share = (train.target == target).float().mean().log2()
    scores.append(log_likelihood(test, minigrad.full((len(test),), target)) + share)
predicted = minigrad.stack(scores, 1).argmax(1)
accuracy = (predicted == test.target).float().mean().item()
majority = (test.target == 0).float().mean().item()
print(f"whose name it is, right for {accuracy:.1%} of the test names ({majority:.1%} are women's)")

known = set(train.names) | set(test.names)
inventions = {}
for target, label in enumerate(train.target_names):
    fresh = [name for name in dict.fromkeys(invent(target, 60)) if name and name not in known]
    inventions[label] = fresh[:12]
    print(f"{label} names that nobody in the list has: {', '.join(fresh[:12])}")

matplotlib.use("Agg")
figure, axes = plt.subplots(1, 3, figsize=(15, 4.5), layout="constrained")
for curve, label in zip(zip(*history, strict=True), ("training names", "test names"), strict=True):
    axes[0].plot(range(1, EPOCHS + 1), curve, label=label)
axes[0].axhline(baseline, color="grey", linestyle="--", label="bigrams")
axes[0].set(title="Bits per character", xlabel="epoch")
axes[0].legend()
ratio = scores[0] - scores[1]
for target, label in enumerate(test.target_names):
    values = ratio[test.target == target].tolist()
    axes[1].hist(values, bins=40, range=(-10, 10), alpha=0.6, density=True, label=label)
axes[1].axvline(0, color="grey", linestyle="--")
axes[1].set(
    title=f"Whose name: {accuracy:.1%} right", xlabel="log2 p(female | name) / p(male | name)"
)
axes[1].legend()
axes[2].axis("off")
axes[2].set_title("Invented")
for place, (label, names) in enumerate(inventions.items()):
    axes[2].text(0.1 + 0.5 * place, 0.95, "\n".join([f"{label}:", *names]), va="top")
path = Path("runs/names_rnn.png")
path.parent.mkdir(exist_ok=True)
figure.savefig(path, dpi=100)
print(f"wrote {path}")
