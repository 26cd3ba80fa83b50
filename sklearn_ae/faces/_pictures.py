"""Pictures and videos in files: reading them, and writing what says it is synthetic."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from .._utils.extras import import_extra

PICTURES = (
    *(".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff"),
    ".webp",
)
# Formats that carry a text on what they show.
WRITTEN = (".jpeg", ".jpg", ".png")

SYNTHETIC = "Synthetic picture: faces in it were made or changed by a neural network."
# The IPTC's word for pictures of which a model made parts.
_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about=""
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:dc="http://purl.org/dc/elements/1.1/"
 Iptc4xmpExt:DigitalSourceType="{source}">
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt>
</dc:description></rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""
_IMAGE_DESCRIPTION, _SOFTWARE = 0x010E, 0x0131  # EXIF


def import_pillow() -> Any:
    """Import Pillow, which scikit-image brings, or say what to install."""
    return import_extra("PIL.Image", extra="faces", user="Reading pictures")


def in_colors(picture: NDArray[Any]) -> NDArray[Any]:
    """The picture as (h, w, 3): one that is grey has the same in each colour."""
    return picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)


def to_uint8(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Brightness in [0, 1] as whole numbers to 255."""
    return np.rint(255.0 * np.clip(values, 0.0, 1.0)).astype(np.uint8)


# Reading ------------------------------------------------------------------------------


def list_pictures(folder: Path) -> list[Path]:
    """The picture files of a folder, by name."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES)


def read_picture(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """A picture as uint8 (h, w, 3), turned as its camera was.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    ValueError
        Where it holds no picture.
    """
    image = import_pillow()
    ops = import_extra("PIL.ImageOps", extra="faces", user="Reading pictures")
    try:
        with image.open(path) as file:
            return to_colors(ops.exif_transpose(file))
    except FileNotFoundError:
        if Path(path).is_symlink():
            raise ValueError(
                f"{os.fspath(path)!r} is a link to a file that is not there."
            ) from None
        raise FileNotFoundError(f"There is no file {os.fspath(path)!r}.") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ValueError(f"{os.fspath(path)!r} holds no picture: {error}") from error


def to_colors(picture: Any) -> NDArray[np.uint8]:
    """Pillow's picture of any mode as uint8 (h, w, 3); nothing is white."""
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return in_colors(_to_bytes(np.asarray(picture)))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = import_pillow().new("RGBA", picture.size, "white")
        picture = import_pillow().alpha_composite(white, picture)
    return np.asarray(picture.convert("RGB"))


def _to_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey values of more than a byte, by the range of their type.

    Pillow has 16 bits as 32 as well, and floats have no range: what the values need, of
    those in use.
    """
    ranges = [65535.0, 2.0**32 - 1.0]
    if values.dtype.kind == "f":
        ranges = [1.0, 255.0, *ranges]
    values = np.nan_to_num(values.astype(np.float64))
    low, high = values.min(), values.max()
    for largest in ranges:
        if low >= 0 and high <= largest:
            return to_uint8(values / largest)
    raise ValueError(f"values from {low:g} to {high:g} are no brightness")


# Writing ------------------------------------------------------------------------------


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Let a file appear whole or not at all; an earlier one stays until then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix
    )
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        # A file made by mkstemp is for its owner only; others are as the user wants.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_picture(
    path: str | os.PathLike[str], image: Any, description: str = SYNTHETIC
) -> None:
    """Write a picture whose metadata say that it is synthetic.

    The description stands where programs look for one (EXIF, PNG's text), and as XMP
    with the IPTC's source type of composites that a model had a part in.

    Parameters
    ----------
    path : str or path
        A name that ends in .png, .jpg or .jpeg: formats that carry such words.

    image : array-like of shape (height, width) or (height, width, 3)
        Whole numbers of uint8, or floats in [0, 1].

    description : str, default=SYNTHETIC
        What the metadata say.

    Raises
    ------
    ValueError
        Where the format carries no description, or the picture is none.

    See Also
    --------
    sklearn_ae.FaceSwapper.swap_photo : What makes such pictures.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from PIL import Image
    >>> from sklearn_ae.faces import write_picture
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "grey.png")
    ...     write_picture(path, np.full((8, 8), 0.5))
    ...     print(Image.open(path).text["Description"])
    Synthetic picture: faces in it were made or changed by a neural network.
    """
    pillow = import_pillow()
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in WRITTEN:
        raise ValueError(
            f"Pictures are written as {', '.join(WRITTEN)}, which can say that they "
            f"are synthetic; got {target.name!r}."
        )
    array = np.asarray(image)
    if array.dtype != np.uint8:
        array = to_uint8(array)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    picture = pillow.fromarray(array)
    xmp = _XMP.format(source=_SOURCE, text=escape(description))
    options: dict[str, Any]
    if suffix == ".png":
        png = import_extra("PIL.PngImagePlugin", extra="faces", user="Writing pictures")
        info = png.PngInfo()
        info.add_text("Description", description)
        info.add_text("Software", "sklearn_ae")
        info.add_itxt("XML:com.adobe.xmp", xmp)
        options = {"format": "PNG", "pnginfo": info}
    else:
        exif = picture.getexif()
        exif[_IMAGE_DESCRIPTION] = description
        exif[_SOFTWARE] = "sklearn_ae"
        options = {"format": "JPEG", "quality": 95, "exif": exif, "xmp": xmp.encode()}
    write_atomically(target, lambda temporary: picture.save(temporary, **options))
