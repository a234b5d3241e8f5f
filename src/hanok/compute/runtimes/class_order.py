"""Whose probability a column of a model's scores is: the order of the model's own labels beside that of its signature.

A model knows its labels by name, or, when it was fitted on `frame.y`, by their numbers in the signature's classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanok.core.errors import ConversionFailed, Corrupt

NOTE = "class_places"  # in a package's notes: for each class of the signature the model's column that is its own
_BOOLEAN = {"False": "0", "True": "1"}
_LABELS = ("classlabels_int64s", "classlabels_ints", "classlabels_strings")
Floats = NDArray[np.float64]


def label_name(value: Any) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def named(labels: Sequence[str], classes: Sequence[str], *, numbers_first: bool = False) -> dict[str, str]:
    """The class that each label is, by its name or by its number. With `numbers_first` labels 0, 1, 2 of the classes
    2, 0, 1 are numbers. Raises ConversionFailed for labels that are neither."""
    if len(set(labels)) < len(labels):
        raise ConversionFailed(f"it has two classes of one name: {', '.join(labels[:10])}")
    plain = [_BOOLEAN.get(label, label) for label in labels]
    by_number = {str(number): name for number, name in enumerate(classes)}
    if numbers_first and sorted(plain) == sorted(by_number):
        return {label: by_number[number] for label, number in zip(labels, plain, strict=True)}
    for found in (labels, plain):
        if sorted(found) == sorted(classes):
            return dict(zip(labels, found, strict=True))
    if sorted(plain) == sorted(by_number):
        return {label: by_number[number] for label, number in zip(labels, plain, strict=True)}
    raise ConversionFailed(
        f"it knows the classes {', '.join(labels[:10])}, and the label has {', '.join(classes[:10])}: fit it on frame.y"
    )


def may_be_either(labels: Sequence[str], classes: Sequence[str]) -> bool:
    """Whether the labels can be names of classes as well as their numbers, and it matters."""
    numbers = [str(i) for i in range(len(classes))]
    return sorted(labels) == sorted(classes) == sorted(numbers) and list(classes) != numbers


def places_of(labels: Sequence[str], names: Mapping[str, str], classes: Sequence[str]) -> list[int]:
    """For each class its place in the labels."""
    own = [names[label] for label in labels]
    return [own.index(c) for c in classes]


def in_order(scores: Floats, places: Sequence[int]) -> Floats:
    """Scores with the columns of the signature's classes; of two classes P(1) alone is given."""
    if sorted(places) != list(range(len(places))):
        raise Corrupt(f"the {NOTE} of this package are no order of classes")
    if scores.ndim == 1:
        return scores if list(places) == [0, 1] else 1.0 - scores
    return scores[:, list(places)] if scores.shape[1] == len(places) else scores


def by_class(
    rows: Sequence[Mapping[Any, float]], classes: Sequence[str], names: Mapping[str, str] | None = None
) -> Floats:
    """One map of label and probability for each row, as columns of the classes."""
    keys = {(names or named([str(k) for k in rows[0]], classes))[str(k)]: k for k in rows[0]}
    return np.array([[row[keys[c]] for c in classes] for row in rows], np.float64)


def check_said(said: Sequence[str], classes: Sequence[str], scores: Floats) -> None:
    """Raises ConversionFailed where the scores have the classes in another order than the labels that the model itself
    gives to the same rows: a class has a lower mean score where the model says that it is this one than elsewhere."""
    told = np.array(said, object)
    for at, name in enumerate(classes):
        own = told == name
        column = scores[:, at] if scores.ndim == 2 else scores if at else 1.0 - scores
        if own.any() and not own.all() and column[own].mean() < column[~own].mean() - 1e-9:
            raise ConversionFailed(
                f"its probability of {name!r} is lower where it says {name!r} itself than where it says another class: "
                "the classes of its scores are in another order than its labels"
            )


# -- labels of an ONNX graph -----------------------------------------------------------------------------------------


def labels_of(model: Any) -> tuple[str, ...]:
    """The labels of an onnx.ModelProto in the order of its tensor of scores; none where it does not say them."""
    graph = model.graph
    maker = {name: node for node in graph.node for name in node.output}
    constants = {i.name: i for i in graph.initializer}
    ends = [o.name for o in sorted(graph.output, key=_is_number)]
    for kinds in (("ZipMap",), ()):  # the last step's labels are those of all steps before it
        for end in ends:
            if found := _nearest(end, maker, constants, kinds):
                return found
    return ()


def gives_maps(model: Any) -> bool:
    """Whether its scores are maps of label and probability, which need no order."""
    return bool([o for o in model.graph.output if _is_number(o)]) and next(
        o.type.HasField("sequence_type") for o in reversed(model.graph.output) if _is_number(o)
    )


def _is_number(output: Any) -> bool:
    """Whether an output holds scores and no labels."""
    return output.type.HasField("sequence_type") or output.type.tensor_type.elem_type in (1, 11)


def _nearest(end: str, maker: Any, constants: Any, kinds: Sequence[str]) -> tuple[str, ...]:
    waiting, seen, names = [end], {end}, dict[str, str]()
    while waiting:
        node = maker.get(waiting.pop(0))
        if node is None:
            continue
        if node.op_type == "LabelEncoder" and not names:
            names = _encoder(node)
        if not kinds or node.op_type in kinds:
            found = _labels(node, constants)
            if found:
                return tuple(names.get(label, label) for label in found)
        waiting += [name for name in node.input if name not in seen]
        seen |= set(node.input)
    return ()


def _labels(node: Any, constants: Any) -> tuple[str, ...]:
    for attribute in node.attribute:
        if attribute.name in _LABELS and (attribute.ints or attribute.strings):
            return (*map(str, attribute.ints), *(v.decode(errors="replace") for v in attribute.strings))
    if node.op_type != "ArrayFeatureExtractor" or node.input[0] not in constants:
        return ()
    from onnx import numpy_helper

    values = numpy_helper.to_array(constants[node.input[0]]).ravel().tolist()
    return tuple(v.decode(errors="replace") if isinstance(v, bytes) else label_name(v) for v in values)


def _encoder(node: Any) -> dict[str, str]:
    """What a LabelEncoder makes of whole numbers."""
    found = {a.name: a for a in node.attribute}
    if "keys_int64s" not in found or "values_strings" not in found:
        return {}
    keys, values = found["keys_int64s"].ints, found["values_strings"].strings
    return {str(k): v.decode(errors="replace") for k, v in zip(keys, values, strict=False)}
