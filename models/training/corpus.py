#!/usr/bin/env python3
"""Writes short children's stories: the same text for the same seed on every machine.

    python3 corpus.py --out train.txt --characters 20000000 --seed 1
    python3 corpus.py --out heldout.txt --characters 200000 --seed 90210

Words, facts and plots were written for this project (words.py, templates.txt); no other text is
used. A line holding only <|end_of_text|> follows every story. It separates stories and is not
part of one.

The language of the templates:

    {a|b|c}      one alternative at random; alternatives may nest or be empty
    <name>       the value of a story variable. One that has no value yet is drawn from the pool of
                 that name and keeps its value to the end of the story.
    <name2>      a further draw from the pool, different from the earlier ones; <name1> is <name>
    <name!>      a fresh draw each time
    <flower.>    a special form: the singular; of <m.> what the hero calls the grown-up ("Mother");
                 of <mhe.>, <mhis.> the pronouns of the worker with the <job>
    ?Sentence    the sentence is used half of the time

    hero         <h> name, <kind>, <he>, <him>, <his>
    friend       <g> name, <gkind>, <ghe>, <ghim>, <ghis>
    grown-up     <m> ("his mother"), <mhe>, <mhim>, <mhis>
"""

import argparse
import dataclasses
import pathlib
import random
import re
from collections.abc import Iterator

import words

SEPARATOR = "\n<|end_of_text|>\n"
HELDOUT_SEED = 90210
HELDOUT_CHARACTERS = 200_000

_TEMPLATES = pathlib.Path(__file__).with_name("templates.txt")
_ALTERNATIVES = re.compile(r"\{([^{}]*)\}")
_VARIABLE = re.compile(r"<([a-z]+)([0-9]*)([!.]?)>")
_ANIMAL_HERO_SHARE = 0.45
_MALE_JOBS = ("fisherman", "postman")


@dataclasses.dataclass
class Section:
    """A section of templates.txt: `needs` is animal, child or any for a plot."""

    name: str
    needs: str
    sentences: list[str]


def read_sections(path: pathlib.Path) -> list[Section]:
    """The sections of a template file, in order."""
    sections: list[Section] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith("@"):
            name, needs = line[1:].split()
            sections.append(Section(name, needs, []))
        elif line.startswith(" "):
            sections[-1].sentences[-1] += " " + line.strip()
        else:
            sections[-1].sentences.append(line)
    return sections


OPENINGS, SECOND_SENTENCES, ENDINGS, *PLOTS = read_sections(_TEMPLATES)


class Story:
    """The variables of one story. All draws come from `rng`, in a fixed order."""

    def __init__(self, rng: random.Random, needs: str) -> None:
        self._rng = rng
        self._values: dict[str, str] = {}
        self._special_forms: dict[str, str] = {}
        animal = needs == "animal" or (needs == "any" and rng.random() < _ANIMAL_HERO_SHARE)
        self._cast_hero(animal)
        self._cast_friend(animal, needs)
        self._cast_grown_up(animal)
        self._draw_facts()

    def _cast_hero(self, animal: bool) -> None:
        sex = self._rng.choice("mf")
        self._cast_character("h", "", sex, animal)
        if animal:
            home, food = words.SPECIES[self._values["kind"]]
            self._values.update(home=home, fav=food)

    def _cast_friend(self, animal: bool, needs: str) -> None:
        sex = self._rng.choice("mf")
        if needs == "any":  # The friend need not be of the same sort.
            animal = self._rng.random() < (0.85 if animal else 0.3)
        self._cast_character("g", "g", sex, animal)

    def _cast_character(self, name_key: str, prefix: str, sex: str, animal: bool) -> None:
        """Draws kind and name, other than those of the hero, and sets the pronouns."""
        values = self._values
        if animal:
            kind = self._rng.choice([kind for kind in words.SPECIES if kind != values.get("kind")])
            names = words.POOLS["pet_name"]
        else:
            kind = "boy" if sex == "m" else "girl"
            names = words.POOLS[kind]
        values[name_key] = self._rng.choice([name for name in names if name != values.get("h")])
        values[prefix + "kind"] = kind
        he, him, his = words.PRONOUNS[sex]
        values.update({prefix + "he": he, prefix + "him": him, prefix + "his": his})

    def _cast_grown_up(self, animal: bool) -> None:
        who, sex = self._rng.choice(words.ANIMAL_GROWN_UPS if animal else words.GROWN_UPS)
        called = who.capitalize()
        if who in ("sister", "brother"):
            who = "big " + who
        he, him, his = words.PRONOUNS[sex]
        self._values.update(m=f"{self._values['his']} {who}", mhe=he, mhim=him, mhis=his)
        self._special_forms["m"] = called

    def _draw_facts(self) -> None:
        """One row of every table of facts, so that a story does not contradict itself."""
        choice = self._rng.choice
        values = self._values
        values["broke"], values["brokehow"], values["fixed"] = choice(words.BREAKS)
        values["seed"], values["plant"], values["yield"] = choice(words.PLANTS)
        values["skill"], values["fail"], values["win"] = choice(words.SKILLS)
        values["fear"], values["help"], values["helped"] = choice(words.FEARS)
        values["block"], values["tool"], values["passed"] = choice(words.OBSTACLES)
        values["noise"], values["where"], values["source"] = choice(words.NOISES)
        values["where2"] = _way_to(values["where"])
        values["job"] = choice(words.POOLS["job"])
        values["goods"], values["jobtool"] = words.CRAFTS[values["job"]]
        worker_sex = "m" if values["job"] in _MALE_JOBS else choice("mf")
        he, _, his = words.PRONOUNS[worker_sex]
        self._special_forms.update(mhe=he, mhis=his)
        values["soup"] = choice(words.SOUPS)
        values["petkind"] = choice(words.PETS)
        values["petn"] = choice(words.POOLS["pet_name"])

    def _value(self, name: str, number: str = "") -> str:
        """The value of a variable; drawn now, unlike earlier draws of its pool, if it has none."""
        key = name + number
        if key not in self._values:
            used = [
                value for other, value in self._values.items()
                if other.rstrip("0123456789") == name
            ]
            self._values[key] = self._rng.choice(
                [entry for entry in words.POOLS[name] if entry not in used]
            )
        return self._values[key]

    def _substitute(self, match: re.Match[str]) -> str:
        name, number, mark = match.groups()
        if mark == "!":
            return self._rng.choice(words.POOLS[name])
        if mark == ".":
            # The flower is drawn whichever form is asked for: the corpus depends on every draw.
            flower = words.FLOWER_SINGULAR[self._value("flower")]
            return flower if name == "flower" else self._special_forms[name]
        return self._value(name, "" if number == "1" else number)

    def fill(self, template: str) -> str:
        """A sentence from a template: alternatives first, from the inside out, then variables."""
        sentence = _replace_all(
            _ALTERNATIVES, lambda match: self._rng.choice(match.group(1).split("|")), template
        )
        return _polish(_replace_all(_VARIABLE, self._substitute, sentence))


def _replace_all(pattern: re.Pattern[str], replacement, text: str) -> str:
    """Replaces until nothing is left to replace."""
    while True:
        replaced = pattern.sub(replacement, text)
        if replaced == text:
            return text
        text = replaced


def _way_to(where: str) -> str:
    """Turns a place ("in the barn") into the way there ("to the barn")."""
    preposition, rest = where.split(" ", 1)
    if preposition in ("at", "in", "near"):
        return f"to {rest}"
    return f"to see what was {where}"


def _polish(sentence: str) -> str:
    """Corrects spaces, "a" before a vowel, and capitals at the start of sentences."""
    sentence = re.sub(r" +", " ", sentence).strip()
    sentence = re.sub(r"\b([Aa]) (?=[aeiou])(?!uni|use|one\b)", r"\1n ", sentence)
    sentence = re.sub(r" ([.,!?])", r"\1", sentence)
    sentence = sentence.replace("....", "...")
    sentence = re.sub(
        r'^("?)([a-z])', lambda match: match.group(1) + match.group(2).upper(), sentence
    )

    def start_of_sentence(match: re.Match[str]) -> str:
        before, letter = match.groups()
        if '"' in before:  # What follows a quotation is who said it.
            return before + letter
        return before + letter.upper()

    # A lower-case word followed by a name and a stop is also who said it, as in `! cried Lily.`
    return re.sub(
        r'([^.][.!?]"? )([a-z])(?![a-z]* (?:<|[A-Z])[a-z]*[.,])', start_of_sentence, sentence
    )


def write_story(rng: random.Random) -> str:
    """One story. Paragraphs are separated by an empty line."""
    plot = rng.choice(PLOTS)
    story = Story(rng, plot.needs)
    paragraphs: list[list[str]] = []
    paragraph = [rng.choice(OPENINGS.sentences)]
    # Every one of these is marked with a question mark, but has a share of its own.
    paragraph += [line[1:] for line in SECOND_SENTENCES.sentences if rng.random() < 0.33]
    shortest = rng.randint(3, 6)
    for line in plot.sentences:
        if line.startswith("?"):
            if rng.random() < 0.5:
                continue
            line = line[1:]
        paragraph.append(line)
        if len(paragraph) >= shortest and rng.random() < 0.45:
            paragraphs.append(paragraph)
            paragraph = []
            shortest = rng.randint(3, 5)
    endings = rng.sample(ENDINGS.sentences, rng.choice([1, 1, 2]))
    endings.sort(key=lambda ending: ending == "The end.")
    paragraphs.append(paragraph + endings)
    return "\n\n".join(
        " ".join(story.fill(template) for template in templates) for templates in paragraphs
    )


def write_stories(seed: int, characters: int) -> Iterator[str]:
    """Stories until their lengths, with 2 more for each, reach `characters`."""
    rng = random.Random(seed)
    written = 0
    while written < characters:
        story = write_story(rng)
        written += len(story) + 2
        yield story


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--characters", type=int, default=20_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with arguments.out.open("w", encoding="utf-8", newline="\n") as file:
        for story in write_stories(arguments.seed, arguments.characters):
            file.write(story + SEPARATOR)


if __name__ == "__main__":
    main()
