"""Faces in pictures: cutting them out, keeping what was learned, writing the result.

`sklearn_ae.FaceSwapper` learns from crops, and swaps faces in crops, photos and videos.
Here is what stands around it. It needs the extra ``faces``, and for videos ``video``:
``pip install 'sklearn_ae[faces,video]'``.
"""

from ._face_crops import NoFaceError
from ._face_extraction import ExtractedFaces, FaceExtractor, extract_faces
from ._face_pictures import write_picture

__all__ = [
    "ExtractedFaces",
    "FaceExtractor",
    "NoFaceError",
    "extract_faces",
    "write_picture",
]
