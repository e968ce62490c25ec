"""What an ONNX model ends in, read from its nodes without the `onnx` package."""

from __future__ import annotations

from typing import NamedTuple

from shiftproof.adapters._ending import Ending
from shiftproof.adapters._onnx_files import MAX_FIELDS, fields

# Numbers of fields in https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
_GRAPH_OF_MODEL, _NODE_OF_GRAPH, _INPUT, _OUTPUT, _OPERATOR = 7, 1, 1, 2, 4
_LAST: dict[str, Ending] = {
    "Sigmoid": "sigmoid",
    "Softmax": "softmax",
    "LogSoftmax": "linear",
    "Gemm": "linear",
    "MatMul": "linear",
    "Conv": "linear",
}
_SAME_NUMBERS = {"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}


class _Node(NamedTuple):
    operator: str
    inputs: list[str]


def onnx_ending(model: bytes, output: str) -> Ending | None:
    """The operator that an output comes from, where it says anything.

    Args:
        model: Content of the file, which `external_files` has read.
        output: Name of the output.
    """
    nodes = _nodes(model)
    for _ in range(len(nodes)):  # a damaged graph may go round in circles
        node = nodes.get(output)
        if node is None:
            return None
        if node.operator not in _SAME_NUMBERS or not node.inputs:
            return _LAST.get(node.operator)
        output = node.inputs[0]
    return None


def _nodes(model: bytes) -> dict[str, _Node]:
    """By the name of each output."""
    budget = iter(range(MAX_FIELDS))
    found: dict[str, _Node] = {}
    for graph in fields(memoryview(model), budget):
        if graph.number != _GRAPH_OF_MODEL:
            continue
        for field in fields(graph.content, budget):
            if field.number != _NODE_OF_GRAPH:
                continue
            parts = list(fields(field.content, budget))
            inputs, outputs, operators = (
                [str(part.content, "utf-8", "replace") for part in parts if part.number == number]
                for number in (_INPUT, _OUTPUT, _OPERATOR)
            )
            found |= dict.fromkeys(outputs, _Node("".join(operators), inputs))
    return found
