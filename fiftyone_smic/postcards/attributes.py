"""What a postcard shows: independent attributes, and captions composed from them.

Attributes are drawn independently except where the picture forbids it: a river or the sea must
be there for a boat, the sea takes the river's place, and a beach has room for fewer things.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

TIMES = ("day", "sunset", "night")
TERRAINS = ("mountains", "hills", "sea", "desert", "city", "forest")
WEATHERS = ("clear", "cloudy", "rain", "snow", "fog")
SEASONS = ("spring", "summer", "autumn", "winter")
SHIRTS = ("red", "yellow", "blue", "white")
OBJECTS = ("house", "tent", "car", "boat", "balloon", "birds", "tree")
MAX_PEOPLE = 4


@dataclass(frozen=True)
class Attributes:
    """The attributes of one postcard. ``shirt`` is meaningful only where ``people`` > 0."""

    time: str
    terrain: str
    weather: str
    season: str
    river: bool
    people: int
    shirt: str
    house: bool
    tent: bool
    car: bool
    boat: bool
    balloon: bool
    birds: bool
    tree: bool

    def as_dict(self) -> dict[str, str | bool | int]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


CATEGORIES: dict[str, tuple] = {
    "time": TIMES,
    "terrain": TERRAINS,
    "weather": WEATHERS,
    "season": SEASONS,
    "people": tuple(range(MAX_PEOPLE + 1)),
    "shirt": SHIRTS,
}
FLAGS = ("river", *OBJECTS)


def sample_attributes(rng: np.random.Generator) -> Attributes:
    """Draw the attributes of one postcard."""
    terrain = str(rng.choice(TERRAINS))
    sea = terrain == "sea"
    river = bool(rng.random() < 0.42) and not sea
    people = int(rng.choice(MAX_PEOPLE + 1, p=[0.46, 0.18, 0.14, 0.12, 0.10]))
    chance = dict(house=0.28, tent=0.15, car=0.2, balloon=0.2, birds=0.2, tree=0.3)
    flags = {name: bool(rng.random() < p) for name, p in chance.items()}
    flags["boat"] = bool(rng.random() < 0.35) and (river or sea)
    standing = [name for name in ("house", "tent", "car", "tree") if flags[name]]
    room = 4 - (people + 1) // 2 if sea else 4
    for name in rng.permutation(standing)[room:]:
        flags[str(name)] = False
    return Attributes(
        time=str(rng.choice(TIMES, p=[0.46, 0.27, 0.27])),
        terrain=terrain,
        weather=str(rng.choice(WEATHERS, p=[0.42, 0.16, 0.14, 0.14, 0.14])),
        season=str(rng.choice(SEASONS)),
        river=river,
        people=people,
        shirt=str(rng.choice(SHIRTS)),
        **flags,
    )


NUMBERS = ("no", "one", "two", "three", "four")
TERRAIN_WORDS = {
    "mountains": ("snowy mountains", "a mountain landscape", "mountain peaks"),
    "hills": ("rolling hills", "a hilly countryside", "gentle hills"),
    "sea": ("the sea", "a seaside beach", "the ocean shore"),
    "desert": ("a desert", "sand dunes", "desert dunes"),
    "city": ("a city skyline", "a city", "city towers"),
    "forest": ("a forest", "dense woods", "a pine forest"),
}
TIME_WORDS = {
    "day": ("in the daytime", "by day", "under a bright sky"),
    "sunset": ("at sunset", "at dusk", "in the evening glow"),
    "night": ("at night", "after dark", "by night"),
}
WEATHER_WORDS = {
    "clear": ("clear weather", "a clear sky"),
    "cloudy": ("clouds", "a cloudy sky"),
    "rain": ("rain", "rainy weather"),
    "snow": ("falling snow", "snowfall"),
    "fog": ("fog", "mist"),
}
OBJECT_WORDS = {
    "river": ("a river", "a winding river", "a stream"),
    "house": ("a house", "a cottage"),
    "tent": ("a tent", "an orange tent"),
    "car": ("a car", "a teal car"),
    "boat": ("a boat", "a sailboat"),
    "balloon": ("a hot air balloon", "a balloon"),
    "birds": ("birds", "a flock of birds"),
    "tree": ("a tree", "trees"),
}


def compose_caption(attributes: Attributes, rng: np.random.Generator) -> str:
    """Write a caption: always the terrain, most of the rest, in varying order and words."""

    def choose(options: tuple[str, ...]) -> str:
        return options[int(rng.integers(len(options)))]

    brief = rng.random() < 0.15

    def kept() -> bool:
        return not brief or rng.random() < 0.35

    things = [choose(OBJECT_WORDS[n]) for n in FLAGS if getattr(attributes, n) and kept()]
    if attributes.people and kept():
        n = attributes.people
        who = choose(("people", "hikers", "friends") if n > 1 else ("person", "hiker"))
        shirt = f" in {attributes.shirt}" if rng.random() < 0.8 else ""
        things.append(f"{NUMBERS[n]} {who}{shirt}")
    things = [things[i] for i in rng.permutation(len(things))]

    setting = []
    if kept():
        setting.append(choose(TIME_WORDS[attributes.time]))
    if rng.random() < 0.9 and kept():
        setting.append(f"in {attributes.season}")
    if (attributes.weather != "clear" or rng.random() < 0.6) and kept():
        setting.append(f"with {choose(WEATHER_WORDS[attributes.weather])}")
    setting = [setting[i] for i in rng.permutation(len(setting))]

    opening = choose(("a postcard of ", "a picture of ", "an illustration of ", "", ""))
    words = [opening + choose(TERRAIN_WORDS[attributes.terrain])]
    if things:
        listed = ", ".join(things[:-1]) + " and " + things[-1] if len(things) > 1 else things[0]
        inventory = choose(("with ", "featuring ", "and ")) + listed
        words += [inventory, *setting] if rng.random() < 0.5 else [*setting, inventory]
    else:
        words += setting
    if not attributes.people and rng.random() < 0.25:
        words.append(choose(("with nobody around", "with no people")))
    return " ".join(words)
