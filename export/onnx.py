"""The model as an ONNX graph, built node by node from the weights: no tracing, and no Torch needed.

Inputs `window` (B, L, F) float32, `is_real` (B, L) bool, `state` (B, F) float32; outputs `encoded`, `logits`,
`value`, `forecast`. B is free. The last layer works for the newest state only, like everywhere else.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.numpy_forward import HIDDEN_SCORE, LAYER_NORM_EPS, Weights, position_table
from mlx_rl.artifact.manifest import N_ACTIONS, BaseArchitecture, TransformerArchitecture
from observer.kit.errors import UsageError

OPSET = 17  # the first with LayerNormalization
IR_VERSION = 8  # what opset 17 came with, so that older runtimes read the file too


def write_onnx(path: Path, architecture: TransformerArchitecture | BaseArchitecture, weights: Weights) -> None:
    """Write the model to `path`.

    Raises:
        UsageError: the `onnx` extra is not installed.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401  the certificate runs what is written
    except ImportError:
        raise UsageError("--onnx wants the packages onnx and onnxruntime: pip install 'mlx-rl[onnx]'.") from None

    a, graph = architecture, _Graph(weights)
    encoded = _base(graph, a) if isinstance(a, BaseArchitecture) else _transformer(graph, a)
    seen = graph.add("Concat", "state", encoded, axis=-1)
    graph.name(encoded, "encoded")
    graph.name(graph.linear("policy.out", _two_layers(graph, a.activation, "policy", seen)), "logits")
    value = graph.linear("value.out", _two_layers(graph, a.activation, "value", seen))
    graph.name(graph.add("Squeeze", value, graph.constant(np.array([1]))), "value")
    graph.name(graph.add("Squeeze", graph.linear("forecast.out", seen), graph.constant(np.array([1]))), "forecast")

    make, kinds = onnx.helper, onnx.TensorProto
    inputs = {"window": ("B", a.seq_len, a.n_features), "is_real": ("B", a.seq_len), "state": ("B", a.n_features)}
    outputs = {"encoded": ("B", a.temporal_dim), "logits": ("B", N_ACTIONS), "value": ("B",), "forecast": ("B",)}
    made = make.make_graph(
        graph.nodes,
        a.kind,
        [make.make_tensor_value_info(n, kinds.BOOL if n == "is_real" else kinds.FLOAT, s) for n, s in inputs.items()],
        [make.make_tensor_value_info(n, kinds.FLOAT, s) for n, s in outputs.items()],
        graph.constants,
    )
    model = make.make_model(
        made, opset_imports=[make.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="mlx-rl"
    )
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, str(path))


class _Graph:
    """Nodes and constants as they are added; every tensor is known by its name."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return its output's name."""
        from onnx import helper

        out = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def constant(self, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        out = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), out))
        return out

    def number(self, value: float) -> str:
        return self.constant(np.array(value, np.float32))

    def name(self, tensor: str, output: str) -> None:
        """Make `tensor` the graph's output called `output`."""
        from onnx import helper

        self.nodes.append(helper.make_node("Identity", [tensor], [output]))

    def linear(self, part: str, x: str, *, scale: float = 1.0) -> str:
        made = self.add("MatMul", x, self.constant(self.weights[f"{part}.weight"].T * np.float32(scale)))
        bias = self.weights.get(f"{part}.bias")
        return made if bias is None else self.add("Add", made, self.constant(bias))

    def norm(self, part: str, x: str) -> str:
        scale, shift = (self.constant(self.weights[f"{part}.{which}"]) for which in ("weight", "bias"))
        return self.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=LAYER_NORM_EPS)

    def bend(self, activation: str, x: str) -> str:
        if activation == "relu":
            return self.add("Relu", x)
        if activation == "tanh":
            return self.add("Tanh", x)
        lifted = self.add("Add", self.add("Erf", self.add("Mul", x, self.number(math.sqrt(0.5)))), self.number(1.0))
        return self.add("Mul", self.add("Mul", x, self.number(0.5)), lifted)

    def real_states(self) -> str:
        """The window with zeros where there is no state."""
        shown = self.add("Unsqueeze", "is_real", self.constant(np.array([2])))
        return self.add("Where", shown, "window", self.number(0.0))


def _base(graph: _Graph, a: BaseArchitecture) -> str:
    flat = graph.add("Flatten", graph.real_states(), axis=1)
    return _two_layers(graph, a.activation, "encoder", flat)


def _two_layers(graph: _Graph, activation: str, part: str, x: str) -> str:
    for i in (1, 2):
        x = graph.bend(activation, graph.norm(f"{part}.ln{i}", graph.linear(f"{part}.fc{i}", x)))
    return x


def _transformer(graph: _Graph, a: TransformerArchitecture) -> str:
    is_seen = graph.add("Unsqueeze", "is_real", graph.constant(np.array([1, 2])))  # (B, 1, 1, L)
    places = graph.constant(position_table(a.seq_len, a.d_model))
    x = graph.add("Add", graph.linear("encoder.input", graph.real_states()), places)
    for i in range(a.n_layers):
        layer, is_last = f"encoder.layers.{i}", i == a.n_layers - 1
        told = graph.norm(f"{layer}.ln1", x)
        asking = _newest(graph, told) if is_last else told
        x = _newest(graph, x) if is_last else x
        x = graph.add("Add", x, graph.linear(f"{layer}.out", _attend(graph, a, layer, asking, told, is_seen)))
        hidden = graph.bend(a.activation, graph.linear(f"{layer}.ff1", graph.norm(f"{layer}.ln2", x)))
        x = graph.add("Add", x, graph.linear(f"{layer}.ff2", hidden))
    newest = graph.add("Squeeze", x, graph.constant(np.array([1])))
    return graph.linear("encoder.output", graph.norm("encoder.ln_final", newest))


def _newest(graph: _Graph, x: str) -> str:
    """(B, L, D) -> (B, 1, D), the last token."""
    start, end, axis = (graph.constant(np.array([at])) for at in (-1, np.iinfo(np.int64).max, 1))
    return graph.add("Slice", x, start, end, axis)


def _attend(graph: _Graph, a: TransformerArchitecture, layer: str, asking: str, told: str, is_seen: str) -> str:
    d_head = a.d_model // a.n_heads

    def split(part: str, tokens: str, order: tuple[int, ...], scale: float = 1.0) -> str:
        made = graph.linear(f"{layer}.{part}", tokens, scale=scale)
        heads = graph.add("Reshape", made, graph.constant(np.array([0, 0, a.n_heads, d_head])))
        return graph.add("Transpose", heads, perm=order)

    query = split("query", asking, (0, 2, 1, 3), 1 / math.sqrt(d_head))
    key, value = split("key", told, (0, 2, 3, 1)), split("value", told, (0, 2, 1, 3))
    scores = graph.add("Where", is_seen, graph.add("MatMul", query, key), graph.number(HIDDEN_SCORE))
    mixed = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), value)
    side_by_side = graph.add("Transpose", mixed, perm=(0, 2, 1, 3))
    return graph.add("Reshape", side_by_side, graph.constant(np.array([0, 0, a.d_model])))
