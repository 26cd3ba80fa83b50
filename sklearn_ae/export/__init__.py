"""Fitted estimators in the formats of other programs: ONNX (extra ``onnx``)."""

from ._onnx import OnnxMismatchError, to_onnx

__all__ = ["OnnxMismatchError", "to_onnx"]
