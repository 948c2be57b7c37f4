"""Rows of layers with parametrized weights, and of the containers."""

from layer_table import Layer


def twice(m):
    layer = m.utils.parametrizations.weight_norm(m.Linear(5, 3))
    return m.utils.parametrizations.orthogonal(
        layer, "weight", "matrix_exp", use_trivialization=False
    )


# Where gradients are not compared with differences, test_parametrize.py does so: the check of this
# table writes to buffers between forward and backward, and these read one in backward.
LAYERS = [
    Layer(lambda m: m.utils.parametrizations.weight_norm(m.Linear(5, 3)), ((4, 5),)),
    Layer(lambda m: m.utils.parametrizations.weight_norm(m.Linear(5, 3), dim=None), ((4, 5),)),
    Layer(lambda m: m.utils.parametrizations.weight_norm(m.Linear(5, 3), "bias"), ((4, 5),)),
    Layer(
        lambda m: m.utils.parametrizations.weight_norm(m.Conv2d(2, 3, 2), dim=1), ((2, 2, 4, 4),)
    ),
    Layer(
        lambda m: m.utils.parametrizations.spectral_norm(m.Linear(5, 3)), ((4, 5),), random=True
    ),
    Layer(
        lambda m: m.utils.parametrizations.spectral_norm(
            m.Conv2d(2, 3, 2), n_power_iterations=3, dim=1
        ),
        ((2, 2, 4, 4),),
        random=True,
    ),
    Layer(lambda m: m.utils.parametrizations.orthogonal(m.Linear(4, 4)), ((3, 4),), smooth=False),
    Layer(lambda m: m.utils.parametrizations.orthogonal(m.Linear(3, 5)), ((4, 3),), smooth=False),
    Layer(lambda m: m.utils.parametrizations.orthogonal(m.Linear(5, 3)), ((4, 5),), smooth=False),
    Layer(
        lambda m: m.utils.parametrizations.orthogonal(m.Linear(5, 3), orthogonal_map="cayley"),
        ((4, 5),),
        smooth=False,
    ),
    Layer(
        lambda m: m.utils.parametrizations.orthogonal(m.Linear(5, 3), orthogonal_map="matrix_exp"),
        ((4, 5),),
        smooth=False,
    ),
    Layer(
        lambda m: m.utils.parametrizations.orthogonal(
            m.Linear(3, 5), orthogonal_map="householder", use_trivialization=False
        ),
        ((4, 3),),
    ),
    Layer(twice, ((4, 5),)),
    Layer(lambda m: m.ModuleList([m.Linear(3, 3), m.ReLU(), m.ReLU()]), ((2, 3),),
          call=lambda module, x: module[1](module[0](x))),
    Layer(lambda m: m.ModuleDict({"a": m.Linear(3, 3), "b": m.Tanh()}), ((2, 3),),
          call=lambda module, x: module["b"](module["a"](x))),
]  # fmt: skip
