"""Bad calls of activations, losses and embeddings: the type of exception is torch's."""

from __future__ import annotations

import pytest

import minigrad as mg

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]


def _f(m):
    return m.nn.functional


def _int(m, *shape):
    return m.ones(*shape, dtype=m.int64)


BAD = {
    "mse of integers": lambda m: _f(m).mse_loss(m.arange(3), m.arange(3)),
    "l1 of integers": lambda m: _f(m).l1_loss(m.arange(3), m.arange(3)),
    "mse shapes": lambda m: _f(m).mse_loss(m.ones(3), m.ones(2)),
    "mse weight": lambda m: _f(m).mse_loss(m.ones(3), m.ones(3), weight=m.ones(2)),
    "bce dtypes": lambda m: _f(m).binary_cross_entropy(m.ones(3), m.ones(3, dtype=m.float64)),
    "bce shapes": lambda m: _f(m).binary_cross_entropy(m.ones(3), m.ones(2, 3)),
    "bce range": lambda m: _f(m).binary_cross_entropy(m.ones(3) * 2, m.ones(3)),
    "bce range none": lambda m: _f(m).binary_cross_entropy(
        m.ones(3) - 1.5, m.ones(3), reduction="none"
    ),
    "logits dtypes": lambda m: _f(m).binary_cross_entropy_with_logits(m.ones(3), _int(m, 3)),
    "logits shapes": lambda m: _f(m).binary_cross_entropy_with_logits(m.ones(3), m.ones(2, 3)),
    "huber delta": lambda m: _f(m).huber_loss(m.ones(3), m.ones(3), delta=-1.0),
    "huber layer type": lambda m: m.nn.HuberLoss(delta="a"),
    "smooth beta": lambda m: _f(m).smooth_l1_loss(m.ones(3), m.ones(3), beta=-1.0),
    "reduction": lambda m: _f(m).smooth_l1_loss(m.ones(3), m.ones(3), reduction="all"),
    "kl reduction": lambda m: _f(m).kl_div(m.ones(3), m.ones(3), reduction="all"),
    "multi margin dtype": lambda m: _f(m).multi_margin_loss(m.ones(2, 3), m.ones(2)),
    "multi margin range": lambda m: _f(m).multi_margin_loss(m.ones(2, 3), m.tensor([0, 3])),
    "multi margin negative": lambda m: _f(m).multi_margin_loss(m.ones(2, 3), m.tensor([0, -1])),
    "multi margin p": lambda m: _f(m).multi_margin_loss(m.ones(2, 3), _int(m, 2), p=3),
    "multi margin size": lambda m: _f(m).multi_margin_loss(m.ones(2, 3), _int(m, 3)),
    "multi margin dims": lambda m: _f(m).multi_margin_loss(m.ones(2, 3, 2), _int(m, 2)),
    "multi margin weight": lambda m: _f(m).multi_margin_loss(
        m.ones(2, 3), _int(m, 2), weight=m.ones(2)
    ),
    "multilabel size": lambda m: _f(m).multilabel_margin_loss(m.ones(2, 3), _int(m, 2, 2)),
    "multilabel dtype": lambda m: _f(m).multilabel_margin_loss(m.ones(2, 3), m.ones(2, 3)),
    "cosine dims": lambda m: _f(m).cosine_embedding_loss(m.ones(2, 3), m.ones(2, 3), m.ones(())),
    "cosine sizes": lambda m: _f(m).cosine_embedding_loss(m.ones(2, 3), m.ones(2, 3), m.ones(3)),
    "ranking dims": lambda m: _f(m).margin_ranking_loss(m.ones(2, 3), m.ones(2, 3), m.ones(())),
    "triplet dims": lambda m: _f(m).triplet_margin_loss(m.ones(2, 3), m.ones(3), m.ones(2, 3)),
    "triplet margin": lambda m: _f(m).triplet_margin_loss(*[m.ones(2, 3)] * 3, margin=0),
    "gaussian variance": lambda m: _f(m).gaussian_nll_loss(m.ones(3), m.ones(3), -m.ones(3)),
    "gaussian size": lambda m: _f(m).gaussian_nll_loss(m.ones(3), m.ones(3), m.ones(2)),
    "pdist dims": lambda m: _f(m).pdist(m.ones(3)),
    "pdist p": lambda m: _f(m).pdist(m.ones(3, 2), p=-1.0),
    "similarity shapes": lambda m: _f(m).cosine_similarity(m.ones(3, 2), m.ones(4, 2)),
    "similarity integers": lambda m: _f(m).cosine_similarity(_int(m, 3, 2), _int(m, 3, 2)),
    "embedding floats": lambda m: _f(m).embedding(m.ones(3), m.ones(3, 2)),
    "embedding range": lambda m: _f(m).embedding(m.tensor([3]), m.ones(3, 2)),
    "embedding negative": lambda m: _f(m).embedding(m.tensor([-1]), m.ones(3, 2)),
    "embedding vector": lambda m: _f(m).embedding(m.tensor([1]), m.ones(3)),
    "embedding padding": lambda m: _f(m).embedding(m.tensor([1]), m.ones(3, 2), padding_idx=3),
    "bag dims": lambda m: _f(m).embedding_bag(_int(m, 1, 1, 1), m.ones(3, 2)),
    "bag without offsets": lambda m: _f(m).embedding_bag(_int(m, 1), m.ones(3, 2)),
    "bag with offsets": lambda m: _f(m).embedding_bag(_int(m, 1, 1), m.ones(3, 2), m.tensor([0])),
    "bag first offset": lambda m: _f(m).embedding_bag(_int(m, 3), m.ones(3, 2), m.tensor([1])),
    "bag last offset": lambda m: _f(m).embedding_bag(_int(m, 3), m.ones(3, 2), m.tensor([0, 4])),
    "bag mode": lambda m: _f(m).embedding_bag(_int(m, 3), m.ones(3, 2), m.tensor([0]), mode="x"),
    "bag weights": lambda m: _f(m).embedding_bag(
        _int(m, 3), m.ones(3, 2), m.tensor([0]), per_sample_weights=m.ones(3)
    ),
    "bag weights shape": lambda m: _f(m).embedding_bag(
        _int(m, 3), m.ones(3, 2), m.tensor([0]), mode="sum", per_sample_weights=m.ones(2)
    ),
    "bag floats": lambda m: _f(m).embedding_bag(m.ones(3), m.ones(3, 2), m.tensor([0])),
    "bilinear sizes": lambda m: _f(m).bilinear(m.ones(2, 3), m.ones(2, 4), m.ones(5, 3, 3)),
    "bilinear batches": lambda m: _f(m).bilinear(m.ones(2, 3), m.ones(3, 4), m.ones(5, 3, 4)),
    "gelu": lambda m: _f(m).gelu(m.ones(2), approximate="x"),
    "softshrink": lambda m: _f(m).softshrink(m.ones(2), -1.0),
    "glu": lambda m: _f(m).glu(m.ones(3)),
    "glu of a number": lambda m: _f(m).glu(m.ones(())),
    "prelu": lambda m: _f(m).prelu(m.ones(3, 2), m.ones(3)),
    "celu": lambda m: _f(m).celu(m.ones(3), 0.0),
    "hardtanh": lambda m: _f(m).hardtanh(m.ones(3), 2.0, 1.0),
    "rrelu": lambda m: _f(m).rrelu(m.ones(3), 2.0, 1.0),
    "elu of a number": lambda m: _f(m).elu(3),
    "elu of integers": lambda m: _f(m).elu(m.arange(3)),
    "silu of integers": lambda m: _f(m).silu(m.arange(3)),
    "gelu of integers": lambda m: _f(m).gelu(m.arange(3)),
    "softplus of integers": lambda m: _f(m).softplus(m.arange(3)),
    "softmax2d": lambda m: m.nn.Softmax2d()(m.ones(2, 2)),
    "alpha dropout": lambda m: _f(m).alpha_dropout(m.ones(3), 2.0, True),
    "dropout1d": lambda m: _f(m).dropout1d(m.ones(3), 0.5, True),
    "dropout2d": lambda m: _f(m).dropout2d(m.ones(3), 0.5, True),
    "feature dropout": lambda m: _f(m).feature_alpha_dropout(m.ones(3), 0.5, True),
    "gumbel dim": lambda m: _f(m).gumbel_softmax(m.ones(3), dim=2),
    "embedding layer padding": lambda m: m.nn.Embedding(3, 2, padding_idx=3),
    "embedding table": lambda m: m.nn.Embedding.from_pretrained(m.ones(3)),
    "bilinear layer": lambda m: m.nn.Bilinear(0, 1, 1),
    "multi margin layer": lambda m: m.nn.MultiMarginLoss(p=3),
    "triplet layer": lambda m: m.nn.TripletMarginLoss(margin=-1.0),
    "parameter dict key": lambda m: m.nn.ParameterDict()[3],
}


@pytest.mark.parametrize("name", BAD)
def test_errors(name):
    with pytest.raises(Exception) as theirs:
        BAD[name](torch)
    with pytest.raises(theirs.type):
        BAD[name](mg)
