"""The colours of the postcards, and how the hour changes them."""

from __future__ import annotations

Color = tuple[int, int, int]

WHITE: Color = (255, 255, 255)
LIT_WINDOW: Color = (255, 214, 110)
SKY: dict[str, tuple[Color, Color]] = {
    "day": ((62, 150, 232), (196, 230, 248)),
    "sunset": ((108, 58, 132), (255, 164, 92)),
    "night": ((10, 14, 46), (44, 58, 112)),
}
GREY_SKY: dict[str, Color] = {
    "day": (176, 188, 200),
    "sunset": (176, 128, 128),
    "night": (40, 46, 66),
}
CLOUD: dict[str, Color] = {
    "day": (255, 255, 255),
    "sunset": (255, 196, 170),
    "night": (84, 94, 134),
}
FOG: dict[str, Color] = {
    "day": (240, 243, 246),
    "sunset": (240, 200, 180),
    "night": (120, 130, 158),
}
GROUND: dict[str, Color] = {
    "spring": (138, 206, 100),
    "summer": (66, 150, 66),
    "autumn": (206, 142, 54),
    "winter": (234, 240, 248),
}
LEAF: dict[str, Color] = {
    "spring": (246, 164, 192),
    "summer": (20, 90, 48),
    "autumn": (220, 92, 36),
    "winter": (196, 212, 224),
}
# In summer a tree would be green on green: apples, their colour little changed by the hour.
APPLE: Color = (226, 50, 44)
# What lies on the ground, so that the season shows in every terrain: colour and radius.
MARKS: dict[str, tuple[Color, float]] = {
    "spring": ((250, 120, 190), 1.1),
    "summer": ((24, 96, 44), 1.1),
    "autumn": ((200, 60, 24), 1.1),
    "winter": ((150, 190, 240), 1.4),
}
SHIRT: dict[str, Color] = {
    "red": (226, 62, 58),
    "yellow": (250, 200, 50),
    "blue": (50, 110, 225),
    "white": (245, 245, 245),
}


def mix(a: Color, b: Color, t: float) -> Color:
    """``a`` at ``t`` = 0, ``b`` at ``t`` = 1."""
    r, g, bl = (round(x + (y - x) * t) for x, y in zip(a, b, strict=True))
    return r, g, bl


def shade(color: Color, time: str) -> Color:
    """``color`` as it looks at that time of day."""
    r, g, b = color
    if time == "sunset":
        return mix((int(r * 0.95), int(g * 0.72), int(b * 0.68)), (255, 120, 70), 0.10)
    if time == "night":
        return mix((int(r * 0.38), int(g * 0.42), int(b * 0.58)), (18, 24, 66), 0.15)
    return color
