"""Draws the playground's sample pictures: simple scenes of our own, so that nothing but the code's licence applies.

Run: python make.py  (needs Pillow; the pictures are committed)
"""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

W, H = 320, 240
HERE = Path(__file__).parent


def sky(top, bottom):
    image = Image.new("RGB", (W, H))
    draw = ImageDraw.Draw(image)
    for y in range(H):
        share = y / H
        draw.line((0, y, W, y), tuple(round(a + (b - a) * share) for a, b in zip(top, bottom, strict=True)))
    return image, draw


def beach():
    image, d = sky((90, 170, 235), (200, 230, 250))
    d.ellipse((235, 25, 285, 75), "#ffe27a")
    d.rectangle((0, 120, W, 175), "#2c7fb8")
    d.rectangle((0, 175, W, H), "#e8cf96")
    d.polygon([(60, 200), (110, 130), (160, 200)], "#d33")
    d.line((110, 130, 110, 225), "#754", 4)
    return image


def mountain():
    image, d = sky((120, 170, 220), (220, 235, 250))
    d.polygon([(0, H), (110, 50), (220, H)], "#6d7680")
    d.polygon([(110, 50), (75, 110), (100, 98), (118, 115), (145, 110)], "#fff")
    d.polygon([(120, H), (230, 80), (W + 40, H)], "#59626c")
    d.polygon([(230, 80), (200, 125), (228, 115), (265, 125)], "#fff")
    d.rectangle((0, 205, W, H), "#f4f7fb")
    return image


def night():
    image, d = sky((8, 12, 40), (30, 30, 80))
    d.ellipse((230, 25, 275, 70), "#f3efcf")
    for n in range(60):
        d.point(((n * 73) % W, (n * 37) % 110), "#fff")
    for n, height in enumerate((90, 130, 70, 150, 110, 80, 140)):
        x = n * 46
        d.rectangle((x, H - height, x + 40, H), "#10131f")
        for wx in range(x + 5, x + 36, 10):
            for wy in range(H - height + 8, H, 16):
                if (wx * wy) % 3:
                    d.rectangle((wx, wy, wx + 5, wy + 8), "#f5cf63")
    return image


def meadow():
    image, d = sky((130, 190, 240), (225, 240, 250))
    d.rectangle((0, 110, W, H), "#4f9a3a")
    for n in range(90):
        x, y = (n * 61) % W, 120 + (n * 47) % 118
        r = 2 + (y - 110) // 25
        d.line((x, y, x, y + 3 * r), "#2f6d22", 2)
        d.ellipse((x - r, y - r, x + r, y + r), ["#e23b4e", "#f7d038", "#fff", "#b25fd0"][n % 4])
    return image


def car():
    image, d = sky((150, 200, 240), (235, 240, 245))
    d.rectangle((0, 130, W, 165), "#6aa84f")
    d.rectangle((0, 165, W, H), "#555")
    for x in range(0, W, 60):
        d.rectangle((x, 200, x + 30, 206), "#eee")
    d.rounded_rectangle((60, 130, 250, 185), 12, "#cc1f1f")
    d.polygon([(95, 132), (120, 98), (195, 98), (222, 132)], "#b01818")
    d.polygon([(106, 130), (124, 105), (155, 105), (155, 130)], "#bfe0f5")
    d.polygon([(162, 130), (162, 105), (190, 105), (208, 130)], "#bfe0f5")
    for x in (100, 210):
        d.ellipse((x - 22, 165, x + 22, 209), "#151515")
        d.ellipse((x - 9, 178, x + 9, 196), "#bbb")
    return image


def boat():
    image, d = sky((110, 180, 235), (215, 235, 250))
    d.rectangle((0, 140, W, H), "#1d6fa5")
    for n in range(40):
        x, y = (n * 83) % W, 150 + (n * 29) % 85
        d.line((x, y, x + 22, y), "#5fa8d3", 2)
    d.polygon([(90, 150), (235, 150), (205, 185), (115, 185)], "#7a4a21")
    d.line((160, 30, 160, 150), "#553", 4)
    d.polygon([(165, 35), (165, 140), (235, 140)], "#fff")
    d.polygon([(155, 50), (155, 140), (105, 140)], "#f0e8da")
    return image


def ball():
    image, d = sky((140, 195, 240), (220, 238, 250))
    d.rectangle((0, 100, W, H), "#3f9142")
    d.rectangle((190, 50, 300, 120), outline="#fff", width=4)
    d.ellipse((70, 130, 150, 210), "#fff", "#222", 2)
    d.regular_polygon((110, 170, 16), 5, fill="#222")
    for x, y in ((82, 150), (138, 150), (92, 198), (130, 198)):
        d.regular_polygon((x, y, 8), 5, fill="#222")
    return image


def house():
    image, d = sky((135, 190, 240), (225, 240, 250))
    d.rectangle((0, 180, W, H), "#5c9b45")
    d.rectangle((90, 110, 230, 200), "#f0dfc0")
    d.polygon([(75, 112), (160, 50), (245, 112)], "#9b3324")
    d.rectangle((145, 145, 175, 200), "#6b4226")
    for x in (105, 190):
        d.rectangle((x, 130, x + 28, 158), "#8ec5e8", "#fff", 3)
    d.rectangle((270, 130, 284, 190), "#6b4226")
    d.ellipse((240, 70, 314, 145), "#3c7a2d")
    return image


for scene in (beach, mountain, night, meadow, car, boat, ball, house):
    picture = scene().filter(ImageFilter.GaussianBlur(0.6)).quantize(64)
    picture.save(HERE / f"{scene.__name__}.png", optimize=True)
