"""The things that a postcard shows, and where they stand.

Things stand on a lattice of slots (8 or 16 units), and rain, snow and ground marks repeat every 16:
a picture's variety lies in *what* is there, which is what a semantic codec keeps, rather than in
pixel positions, which it does not.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from fiftyone_smic.postcards.attributes import Attributes
from fiftyone_smic.postcards.canvas import HORIZON, UNITS, Canvas
from fiftyone_smic.postcards.palette import (
    APPLE,
    CLOUD,
    FOG,
    GREY_SKY,
    GROUND,
    LEAF,
    LIT_WINDOW,
    MARKS,
    SHIRT,
    SKY,
    WHITE,
    Color,
    mix,
    shade,
)

SLOTS = (8, 24, 40, 56)
_STARS = ((5, 4), (15, 10), (21, 3), (30, 7), (35, 14), (46, 4), (51, 11), (60, 6), (10, 17),
          (25, 19), (42, 20), (57, 18))  # fmt: skip


class Scene:
    """One picture in the making: the canvas, the colours of its hour, and its random choices."""

    def __init__(self, attributes: Attributes, rng: np.random.Generator, size: int) -> None:
        self.a = attributes
        self.rng = rng
        grey = {"clear": 0.0, "cloudy": 0.25, "rain": 0.7, "snow": 0.5, "fog": 0.55}
        top, bottom = SKY[attributes.time]
        self.top = mix(top, GREY_SKY[attributes.time], grey[attributes.weather])
        self.bottom = mix(bottom, GREY_SKY[attributes.time], grey[attributes.weather])
        self.c = Canvas(size, np.array([self.top, self.bottom], float))
        self.slots = [int(s) for s in rng.permutation(SLOTS)]
        self.sky_slots = [int(s) for s in rng.permutation(SLOTS)]
        self.river_mid = float(rng.choice([16, 32, 48]))
        self.river_end = float(rng.choice([16, 48]))

    def shade(self, color: Color) -> Color:
        return shade(color, self.a.time)

    @property
    def ground(self) -> Color:
        color = GROUND[self.a.season]
        if self.a.terrain == "desert":
            color = mix((232, 188, 112), color, 0.45)
        elif self.a.terrain == "city":
            color = mix((150, 154, 160), color, 0.5)
        elif self.a.terrain == "sea":
            color = mix((240, 214, 150), color, 0.4)
        return self.shade(color)

    @property
    def water(self) -> Color:
        return mix(self.shade((44, 138, 214)), self.bottom, 0.18)

    @property
    def lit(self) -> Color:
        return LIT_WINDOW if self.a.time != "day" else (120, 170, 210)

    def draw(self) -> Image.Image:
        self.draw_sky()
        getattr(self, f"draw_{self.a.terrain}")()
        self.draw_ground()
        if self.a.river:
            self.draw_river()
        for name in ("balloon", "birds", "boat"):
            if getattr(self.a, name):
                getattr(self, f"draw_{name}")()
        self.draw_standing()
        self.draw_people()
        if self.a.weather in ("rain", "snow"):
            self.draw_falling()
        image = self.c.finish()
        return self.add_fog(image) if self.a.weather == "fog" else image

    def draw_sky(self) -> None:
        c, time, weather = self.c, self.a.time, self.a.weather
        light_slot = self.sky_slots[0]
        if weather in ("clear", "cloudy"):
            if time == "night":
                for i, (x, y) in enumerate(_STARS):
                    c.ellipse(x, y, 0.5 + 0.15 * (i % 2), 0.5 + 0.15 * (i % 2), (255, 250, 220))
                c.ellipse(light_slot, 8, 4.4, 4.4, (246, 240, 206))
                c.ellipse(light_slot + 2, 6.7, 3.7, 3.7, mix(self.top, self.bottom, 0.25))
            elif time == "day":
                c.ellipse(light_slot, 8, 6.4, 6.4, mix(self.top, (255, 236, 150), 0.45))
                c.ellipse(light_slot, 8, 4.6, 4.6, (255, 226, 90))
            else:
                c.ellipse(light_slot, 28, 9.5, 9.5, mix(self.bottom, (255, 210, 110), 0.5))
                c.ellipse(light_slot, 28, 6.8, 6.8, (255, 232, 140))
        cloud = CLOUD[time]
        if weather == "rain":
            cloud = mix(cloud, (70, 80, 96), 0.62)
        elif weather == "snow":
            cloud = mix(cloud, (150, 160, 176), 0.4)
        clouds = {"cloudy": self.sky_slots[1:], "rain": SLOTS, "snow": SLOTS}.get(weather, ())
        for x in clouds:
            for dx, dy, r in ((-4, 0.8, 2.6), (0, -0.6, 3.6), (4, 0.8, 2.8)):
                c.ellipse(x + dx, 7 + dy, r * 1.25, r, cloud)

    def draw_mountains(self) -> None:
        far = mix(self.shade((96, 116, 160)), self.bottom, 0.3)
        for i, x in enumerate((4, 60, 20, 44, 32)):
            height, width = float(self.rng.choice([14, 18, 22])), 15.0
            base, color = HORIZON + 3, mix(far, self.bottom, 0.25 if i < 2 else 0.0)
            self.c.polygon([(x - width, base), (x, base - height), (x + width, base)], color)
            q, cap = 0.36, mix(self.shade((250, 252, 255)), self.bottom, 0.1)
            edge = base - height * (1 - q)
            jag = [(0.35, -1.8), (-0.1, 1.2), (-0.5, -1.6)]
            self.c.polygon(
                [(x - width * q, edge), (x, base - height), (x + width * q, edge)]
                + [(x + width * q * u, edge + v) for u, v in jag],
                cap,
            )

    def _ridge(self, base: float, amplitude: float, color: Color, waves: float) -> None:
        phase = float(self.rng.choice([0.0, 0.25, 0.5, 0.75]))
        xs = np.linspace(0, 1, 49)
        ys = 0.5 + 0.5 * np.sin(2 * np.pi * (waves * xs + phase))
        points = [
            (float(x * UNITS), float(base - amplitude * y)) for x, y in zip(xs, ys, strict=True)
        ]
        self.c.polygon([(0, UNITS), *points, (UNITS, UNITS)], color)

    def draw_hills(self) -> None:
        self._ridge(HORIZON + 1, 11, mix(self.ground, self.bottom, 0.45), 1.0)
        self._ridge(HORIZON + 4, 8, mix(self.ground, self.bottom, 0.22), 1.5)

    def draw_desert(self) -> None:
        self._ridge(HORIZON + 2, 8, mix(self.shade((206, 140, 80)), self.bottom, 0.3), 1.0)
        self._ridge(HORIZON + 4, 6, self.shade((222, 166, 96)), 1.5)

    def draw_forest(self) -> None:
        leaf = mix(LEAF[self.a.season], (28, 92, 58), 0.45)
        for row, color in enumerate(
            (mix(self.shade(leaf), self.bottom, 0.35), mix(self.shade(leaf), (0, 30, 20), 0.12))
        ):
            for i in range(-1, 17):
                height = float(self.rng.choice([12, 16])) - 5 * row
                x, base = i * 4.0 + 2 * row, HORIZON + 3 + row * 1.5
                self.c.polygon([(x - 3.4, base), (x, base - height), (x + 3.4, base)], color)

    def draw_city(self) -> None:
        tones: tuple[Color, ...] = ((92, 102, 132), (130, 126, 146), (164, 148, 158))
        lit = LIT_WINDOW if self.a.time != "day" else (206, 226, 240)
        for i in range(8):
            x, top = i * 8.0, HORIZON + 2 - float(self.rng.choice([8, 12, 16, 20, 24]))
            self.c.box(x, top, x + 7.6, HORIZON + 3, self.shade(tones[int(self.rng.integers(3))]))
            for y in np.arange(top + 2, HORIZON + 1, 4):
                for dx in (1.2, 3.2, 5.2):
                    self.c.box(x + dx, y, x + dx + 1.2, y + 1.6, lit)

    def draw_sea(self) -> None:
        c, shore, foam = self.c, 48, mix(self.water, WHITE, 0.4)
        c.box(0, HORIZON, UNITS, UNITS, self.water)
        for x, y in ((3, 36), (27, 34), (46, 37), (14, 41), (36, 42), (55, 44), (22, 45)):
            c.line([(x, y), (x + 5, y)], foam, 0.6)
        edge = [(float(x), shore + 1.0 * float(np.sin(x * np.pi / 16))) for x in range(0, 67, 2)]
        lifted = [(x, y - 1) for x, y in edge]
        c.polygon([(0, UNITS), *lifted, (66, UNITS)], mix(self.water, WHITE, 0.6))
        c.polygon([(0, UNITS), *edge, (66, UNITS)], self.ground)

    def draw_ground(self) -> None:
        c, sea = self.c, self.a.terrain == "sea"
        if not sea:
            c.box(0, HORIZON + 3, UNITS, UNITS, self.ground)
        if self.a.terrain == "desert":
            green = self.shade((62, 138, 78))
            for x in (16, 48):
                c.line([(x, 39), (x, 33)], green, 1.3)
                c.line([(x - 2, 34.4), (x - 2, 36), (x, 36.4)], green, 0.9)
                c.line([(x + 2, 33.6), (x + 2, 35.4), (x, 35.6)], green, 0.9)
        mark, size = MARKS[self.a.season]
        mark = mix(self.shade(mark), mark, 0.35)
        for y0 in range(32, UNITS, 16):
            for x0 in range(0, UNITS, 16):
                for dx, dy in ((2.5, 4.5), (10.5, 7.5), (6.0, 12.5), (14.0, 14.0)):
                    if y0 + dy > (51 if sea else HORIZON + 5):
                        c.ellipse(x0 + dx, y0 + dy, size, size * 0.8, mark)

    def _river_at(self, y: float) -> tuple[float, float]:
        """Centre and half width of the river at height ``y``."""
        t = float(np.clip((y - HORIZON - 3) / (UNITS - HORIZON - 3), 0, 1))
        bend = float(np.clip((t - 0.4) / 0.6, 0, 1))
        bend = bend * bend * (3 - 2 * bend)
        return self.river_mid + (self.river_end - self.river_mid) * bend, 0.9 + 7 * t**1.4

    def draw_river(self) -> None:
        ys = np.linspace(HORIZON + 3, UNITS + 1, 30)
        path = [(float(y), *self._river_at(float(y))) for y in ys]
        for extra, color in ((1.0, mix(self.ground, (90, 80, 60), 0.3)), (0.0, self.water)):
            left = [(x - w - extra, y) for y, x, w in path]
            right = [(x + w + extra, y) for y, x, w in reversed(path)]
            self.c.polygon(left + right, color)
        for y in (46.0, 53.0, 60.0):
            x, w = self._river_at(y)
            self.c.line([(x - w * 0.4, y), (x + w * 0.3, y)], mix(self.water, WHITE, 0.45), 0.6)

    def draw_balloon(self) -> None:
        x, y = float(self.sky_slots[2]), 18.0
        color = self.shade(((232, 70, 66), (246, 160, 40), (140, 80, 190))[self.rng.integers(3)])
        if self.a.time == "night":
            color = mix(color, (255, 90, 60), 0.25)
        self.c.ellipse(x, y, 5.2, 5.6, color)
        self.c.ellipse(x, y, 2.2, 5.6, mix(color, WHITE, 0.55))
        taper = [(x - 3.4, y + 4), (x + 3.4, y + 4), (x + 1.2, y + 8), (x - 1.2, y + 8)]
        self.c.polygon(taper, color)
        self.c.box(x - 1.3, y + 8.4, x + 1.3, y + 10.3, self.shade((120, 76, 44)))

    def draw_birds(self) -> None:
        x, y = self.sky_slots[3] - 4.0, 17.0
        color = (40, 40, 56) if self.a.time != "night" else (200, 206, 228)
        for dx, dy in ((0, 0), (6, -2.4), (11, 1.2), (4, 4)):
            wing = [(x + dx - 2.4, y + dy - 1.4), (x + dx, y + dy), (x + dx + 2.4, y + dy - 1.4)]
            self.c.line(wing, color, 0.95)

    def draw_boat(self) -> None:
        c = self.c
        if self.a.terrain == "sea":
            x, y = float(self.sky_slots[1]), 43.0
        else:
            y = 57.0
            x = self._river_at(y)[0]
        hull = [(x - 6, y - 1.5), (x + 6, y - 1.5), (x + 4, y + 2), (x - 4, y + 2)]
        c.polygon(hull, self.shade((176, 50, 46)))
        c.line([(x, y - 1), (x, y - 11)], self.shade((90, 60, 40)), 0.7)
        sail = self.shade((255, 252, 240))
        c.polygon([(x + 0.5, y - 10.5), (x + 0.5, y - 2.4), (x + 5.5, y - 2.4)], sail)
        jib = self.shade((230, 225, 210))
        c.polygon([(x - 0.5, y - 8.5), (x - 0.5, y - 2.4), (x - 4, y - 2.4)], jib)

    def _people_columns(self) -> range:
        """First to last of the eight columns people stand in, clear of the river."""
        n = self.a.people
        if self.a.terrain == "sea":
            first = int(self.rng.choice([0, 8 - 2 * ((n + 1) // 2)]))
        elif self.a.river:
            first = (
                int(self.rng.integers(4, 9 - n))
                if self.river_end < 32
                else int(self.rng.integers(0, 5 - n))
            )
        else:
            first = int(self.rng.integers(0, 9 - n))
        return range(first, first + n)

    def draw_standing(self) -> None:
        """House, tent, car and trees: one slot each, on a beach those the people leave free."""
        names = [n for n in ("house", "tent", "car", "tree") if getattr(self.a, n)]
        slots, base = self.slots, 47.0
        self.columns = self._people_columns()
        if self.a.terrain == "sea":
            taken = {SLOTS[i // 2] for i in self.columns}
            slots, base = [s for s in slots if s not in taken], 61.0
        for name, x in zip(names, slots, strict=False):
            getattr(self, f"draw_{name}")(float(x), base)

    def draw_house(self, x: float, y: float) -> None:
        c = self.c
        c.box(x - 5, y - 7, x + 5, y, self.shade((250, 236, 206)))
        roof = [(x - 6.6, y - 7), (x, y - 12.5), (x + 6.6, y - 7)]
        c.polygon(roof, self.shade((196, 68, 56)))
        c.box(x - 1.2, y - 4, x + 1.2, y, self.shade((110, 70, 44)))
        for dx in (-3.3, 3.3):
            c.box(x + dx - 1.1, y - 5.6, x + dx + 1.1, y - 3.4, self.lit)

    def draw_tree(self, x: float, y: float) -> None:
        self.c.box(x - 0.9, y - 6, x + 0.9, y, self.shade((104, 70, 46)))
        for dx, dy, r in ((-2.4, -7, 3.4), (2.4, -7, 3.4), (0, -10, 3.8)):
            self.c.ellipse(x + dx, y + dy, r, r, self.shade(LEAF[self.a.season]))
        if self.a.season == "summer":
            apple = mix(self.shade(APPLE), APPLE, 0.6)
            for right, down in ((-3.2, -6.6), (0.2, -8.6), (3, -7.2), (-1.2, -11.4), (1.6, -11)):
                self.c.ellipse(x + right, y + down, 0.95, 0.95, apple)

    def draw_tent(self, x: float, y: float) -> None:
        orange = self.shade((255, 138, 40))
        if self.a.time != "day":
            orange = mix(orange, (255, 200, 90), 0.5)
        self.c.polygon([(x - 6.5, y), (x, y - 8), (x + 6.5, y)], orange)
        self.c.polygon([(x - 2, y), (x, y - 5.5), (x + 2, y)], self.shade((96, 48, 24)))

    def draw_car(self, x: float, y: float) -> None:
        c, color = self.c, self.shade((30, 160, 150))
        y -= 1.9
        c.box(x - 7, y - 3.6, x + 7, y, color, radius=1.4)
        c.polygon(
            [(x - 4.4, y - 3.4), (x - 2.6, y - 6.6), (x + 3, y - 6.6), (x + 4.8, y - 3.4)], color
        )
        c.box(x - 2.9, y - 5.8, x - 0.1, y - 3.6, self.lit)
        c.box(x + 0.9, y - 5.8, x + 3.1, y - 3.6, self.lit)
        for dx in (-4, 4):
            c.ellipse(x + dx, y, 1.9, 1.9, (26, 26, 34))
            c.ellipse(x + dx, y, 0.8, 0.8, (170, 170, 176))

    def draw_people(self) -> None:
        c, y = self.c, 62.5
        bright = SHIRT[self.a.shirt]
        shirt = mix(self.shade(bright), bright, 0.6)
        for column in self.columns:
            x = 8.0 * column + 4
            skin: Color = ((240, 190, 150), (128, 82, 54))[int(self.rng.random() < 0.4)]
            skin = mix(self.shade(skin), skin, 0.5)
            c.box(x - 1.9, y - 4, x - 0.25, y, (38, 42, 74))
            c.box(x + 0.25, y - 4, x + 1.9, y, (38, 42, 74))
            c.box(x - 2.5, y - 9, x + 2.5, y - 3.6, shirt, radius=0.9)
            c.ellipse(x, y - 11, 2.0, 2.1, skin)
            c.box(x - 2.0, y - 13.2, x + 2.0, y - 11.4, (54, 34, 28), radius=0.8)

    def draw_falling(self) -> None:
        rain = mix((205, 224, 248), self.top, 0.2)
        for y0 in range(0, UNITS, 16):
            for x0 in range(0, UNITS, 16):
                for dx, dy in ((1.5, 2.0), (9.5, 4.5), (5.5, 9.5), (13.5, 12.5)):
                    x, y = x0 + dx, y0 + dy
                    if self.a.weather == "rain":
                        self.c.line([(x, y), (x - 1.1, y + 4.2)], rain, 0.6)
                    else:
                        self.c.ellipse(x, y, 0.95, 0.95, WHITE)

    def add_fog(self, image: Image.Image) -> Image.Image:
        pixels = np.asarray(image, np.float32)
        y = np.linspace(0, UNITS, image.height, endpoint=False)
        density = 0.62 * np.exp(-(((y - HORIZON - 1) / 12.0) ** 2)) + 0.14
        fog = np.array(mix(self.bottom, FOG[self.a.time], 0.65), np.float32)
        pixels = pixels + (fog - pixels) * density[:, None, None].astype(np.float32)
        return Image.fromarray(pixels.round().astype(np.uint8))
