"""Faces in pictures: cutting them out, keeping what was learned, writing the result.

`sklearn_ae.FaceSwapper` learns from crops, and swaps faces in crops, photos and videos.
Here is what stands around it. It needs the extra ``faces``, and for videos ``video``:
``pip install 'sklearn_ae[faces,video]'``.
"""

from ._crops import NoFaceError
from ._display import Preview, SwapDisplay
from ._extraction import ExtractedFaces, FaceExtractor, extract_faces
from ._files import (
    Checkpoint,
    load_face_swapper,
    resume_training,
    save_face_swapper,
)
from ._pictures import write_picture

__all__ = [
    "Checkpoint",
    "ExtractedFaces",
    "FaceExtractor",
    "NoFaceError",
    "Preview",
    "SwapDisplay",
    "extract_faces",
    "load_face_swapper",
    "resume_training",
    "save_face_swapper",
    "write_picture",
]
