"""Fitted estimators in the formats of other programs: ONNX (extra ``onnx``)."""

from ._comparing import OnnxMismatchError
from ._onnx import to_onnx

__all__ = ["OnnxMismatchError", "to_onnx"]
