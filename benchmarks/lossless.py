"""Make a lossless dataset of photos: quarters of each, averaged to 32×32 pixels and kept as PNG.

    python benchmarks/lossless.py imagenette/train imagenette/val quarters/
    auditor bench quarters/ --suite standard --profile fast --size 9000

An attack keeps the format of what it poisons, and the JPEG of small pictures removes some triggers
(CTRL hides in chroma that is stored at half of the resolution). Writing such pictures again as PNG
would be no measure: the clean ones keep the traces of their JPEG, which an attack erases. Photos
averaged over 3½ pixels have none left.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from auditor.attacks.copies.encoding import FORMATS

SIDE = 32


def quarters(photo: Image.Image) -> list[Image.Image]:
    """Its four quarters as RGB, ``SIDE`` pixels each."""
    small = photo.convert("RGB").resize((2 * SIDE, 2 * SIDE), Image.Resampling.BOX)
    corners = [(left, top) for top in (0, SIDE) for left in (0, SIDE)]
    return [small.crop((left, top, left + SIDE, top + SIDE)) for left, top in corners]


def main(sources: list[Path], out: Path) -> None:
    """Write ``out``/class/name-quarter.png for every photo of the folders by class ``sources``."""
    for path in sorted(path for source in sources for path in source.glob("*/*")):
        folder = out / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        with Image.open(path, formats=FORMATS) as photo:
            for i, quarter in enumerate(quarters(photo)):
                quarter.save(folder / f"{path.stem}-{i}.png")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: lossless.py FOLDER... OUT")
    main([Path(name) for name in sys.argv[1:-1]], Path(sys.argv[-1]))
