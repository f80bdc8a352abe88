"""Word lists and tables of facts for the story generator, all written for this project.

Their order matters: the generator draws by position, so another order gives another corpus.
"""


def _words(text: str) -> list[str]:
    """The comma-separated entries of `text`."""
    return [entry.strip() for entry in " ".join(text.split()).split(",")]


# What a story variable is drawn from when a template names it first.
POOLS: dict[str, list[str]] = {
    # Names.
    "girl": _words("""
        Lily, Mia, Anna, Ruby, Ella, Rosie, Clara, Daisy, Nora, Ivy, Maya, Lucy, Emma, Zoe, Hazel,
        Molly, Poppy, Sara, Tess, Nina, June, Alice, Wren, Fern, Dora, Greta, Pearl, Stella, Olive,
        Penny, Holly, Amy, Kate, Bella, Cora, Freya, Gwen, Hana, Iris, Jasmine, Kira, Lena, Marta,
        Nell, Opal, Priya, Rita, Sofia, Tara, Una, Vera, Willa, Yara, Zara
    """),
    "boy": _words("""
        Tom, Ben, Max, Sam, Leo, Finn, Jack, Oliver, Theo, Noah, Henry, Oscar, Hugo, Toby, Milo,
        Felix, Jasper, Eli, Adam, Ravi, Kofi, Luca, Ned, Otto, Peter, Ralph, Simon, Victor, Walter,
        Arlo, Bruno, Casper, Daniel, Emil, Fred, George, Ivan, Jonas, Karl, Liam, Marco, Nils, Owen,
        Paul, Rory, Stan, Tim, Umar, Will, Zack, Archie, Dexter, Edgar, Gus
    """),
    "pet_name": _words("""
        Pip, Bramble, Pebble, Nutmeg, Biscuit, Button, Clover, Dusty, Fidget, Ginger, Hopper,
        Jingle, Mossy, Noodle, Patch, Pepper, Puddle, Rusty, Scamper, Smudge, Snowy, Sparky,
        Thistle, Tumble, Waffle, Whiskers, Ziggy, Acorn, Barley, Cricket, Dapple, Fuzzy, Honey,
        Inky, Juniper, Marble, Pickle, Rascal, Sprout, Twig, Velvet, Willow
    """),
    # Adjectives.
    "trait": _words("""
        kind, brave, curious, clever, cheerful, gentle, shy, lively, quiet, friendly, careful,
        playful, happy, thoughtful, merry, bold, dreamy, helpful, patient, sleepy, silly, honest,
        generous, hopeful, busy
    """),
    "size": _words("little, small, tiny, big, huge, tall, round, long, thin, wide, giant"),
    "colour": _words("""
        red, blue, green, yellow, purple, orange, pink, golden, silver, white, brown, black,
        striped, spotted
    """),
    "nice": _words("""
        beautiful, lovely, shiny, pretty, wonderful, sparkling, bright, special, soft, smooth, fine,
        perfect, magic, splendid, charming, marvelous, delightful, precious, colorful, glittering
    """),
    "sad": _words("""
        sad, upset, worried, unhappy, lonely, gloomy, troubled, miserable, disappointed, heartbroken
    """),
    "glad": _words("""
        happy, glad, proud, cheerful, delighted, joyful, pleased, thankful, excited, thrilled
    """),
    "scared": _words("afraid, scared, frightened, nervous, startled, alarmed, terrified, uneasy"),
    "taste": _words("sweet, warm, tasty, delicious, crunchy, juicy, fresh, yummy, creamy, crispy"),
    "day": _words("""
        sunny, bright, warm, windy, cloudy, cool, breezy, foggy, golden, quiet, fine, chilly,
        lovely, clear
    """),
    "time": _words("morning, afternoon, day, evening"),
    # Adverbs.
    "how": _words("""
        quickly, slowly, carefully, gently, quietly, happily, softly, bravely, eagerly, patiently,
        proudly, nervously, calmly, cheerfully, politely, gladly, boldly, swiftly, warmly
    """),
    # Nouns.
    "toy": _words("""
        ball, doll, kite, teddy bear, toy train, spinning top, wooden horse, puzzle, toy boat, drum,
        rag doll, toy car, music box, jump rope, paper plane, toy robot, marble, yo-yo, puppet, tin
        soldier, toy castle, picture book, stuffed rabbit, rocking horse, toy truck, skipping stone,
        rubber duck, bouncy ball
    """),
    "food": _words("""
        apple pie, soup, bread, honey cake, cookies, pancakes, berry jam, cheese, porridge, muffins,
        plum tart, noodles, rice pudding, corn bread, pumpkin pie, carrot cake, ginger biscuits,
        fruit salad, butter rolls, vegetable stew, jelly, roasted nuts, peach pie, lemon buns,
        cinnamon rolls, sandwiches, tomato soup, waffles, mushroom pie, oat cakes
    """),
    "fruit": _words("""
        apples, pears, plums, cherries, strawberries, blueberries, grapes, peaches, oranges, lemons,
        figs, melons, raspberries, blackberries, apricots, bananas
    """),
    "place": _words("""
        forest, meadow, garden, park, village, river, lake, beach, hill, valley, farm, orchard,
        field, market, woods, harbor, pond, town square, old bridge, stream, playground, mountain
        path
    """),
    "wild": _words("""
        forest, woods, valley, mountains, deep meadow, pine forest, dark woods, misty hills, old
        orchard
    """),
    "flower": _words("""
        roses, daisies, tulips, sunflowers, violets, poppies, lilies, bluebells, buttercups,
        daffodils, marigolds
    """),
    "tree": _words("""
        oak tree, apple tree, willow tree, pine tree, maple tree, cherry tree, birch tree, chestnut
        tree, fig tree
    """),
    "treasure": _words("""
        golden coin, silver key, glass bead, blue feather, smooth pebble, pearl, brass bell, little
        mirror, shiny button, red ribbon, tiny crown, green gem, copper ring, seashell, crystal,
        silver whistle, old compass, painted egg, star-shaped stone
    """),
    "box": _words("""
        wooden box, basket, tin can, leather bag, clay pot, glass jar, old chest, drawer, cardboard
        box, blue bucket
    """),
    "clothes": _words("""
        scarf, coat, hat, sweater, pair of boots, pair of mittens, apron, cape, dress, jacket, pair
        of socks, raincoat
    """),
    "room": _words("""
        kitchen, bedroom, attic, cellar, hallway, living room, workshop, barn, shed, cottage
    """),
    "helper": _words("""
        owl, turtle, crow, goose, toad, badger, hare, stork, heron, beaver, hedgehog, mole, deer,
        goat, squirrel
    """),
    "sky": _words("clouds, stars, moon, rainbow, sunset"),
    "vehicle": _words("boat, train, wagon, sled, cart, bus, truck, balloon, tractor, canoe"),
    "bug": _words("""
        butterfly, ladybug, bee, dragonfly, firefly, beetle, cricket, caterpillar, snail, ant,
        grasshopper, moth
    """),
    "job": _words("""
        baker, farmer, tailor, painter, fisherman, gardener, carpenter, shoemaker, teacher,
        clockmaker, shepherd, potter, miller, postman, blacksmith
    """),
    "number": _words("two, three, four, five, six, seven, eight, nine, ten, a dozen"),
    # Verbs and games.
    "move": _words("""
        walked, ran, skipped, hurried, marched, wandered, hopped, strolled, raced, dashed, tiptoed,
        rushed, trotted
    """),
    "saidh": _words("said, cried, laughed, called, shouted, cheered, squealed"),
    "saids": _words("said, sighed, sobbed, whispered, sniffed, mumbled"),
    "game": _words("""
        hide and seek, tag, catch, leapfrog, hopscotch, marbles, jump rope, follow the leader,
        pirates, treasure hunt
    """),
}

# An animal: where it lives, what it likes to eat.
SPECIES: dict[str, tuple[str, str]] = {
    "fox": ("den", "berries"),
    "rabbit": ("burrow", "carrots"),
    "bear": ("cave", "honey"),
    "mouse": ("hole", "cheese"),
    "squirrel": ("nest", "nuts"),
    "duck": ("nest", "bread crumbs"),
    "frog": ("pond", "flies"),
    "cat": ("basket", "fish"),
    "dog": ("kennel", "bones"),
    "owl": ("hollow tree", "moths"),
    "hedgehog": ("leaf pile", "mushrooms"),
    "turtle": ("pond", "lettuce"),
    "pony": ("stable", "apples"),
    "lamb": ("barn", "clover"),
    "pig": ("sty", "corn"),
    "goat": ("shed", "grass"),
    "beaver": ("lodge", "bark"),
    "otter": ("river bank", "fish"),
    "mole": ("tunnel", "worms"),
    "deer": ("thicket", "leaves"),
    "penguin": ("ice cave", "fish"),
    "elephant": ("grove", "bananas"),
    "lion": ("den", "stew"),
    "monkey": ("treetop", "bananas"),
    "raccoon": ("log", "berries"),
    "badger": ("burrow", "roots"),
    "kitten": ("basket", "milk"),
    "puppy": ("kennel", "biscuits"),
    "sparrow": ("nest", "seeds"),
    "robin": ("nest", "worms"),
}

# Something to fear: what helps against it, what the hero then does.
FEARS: list[tuple[str, str, str]] = [
    ("the dark", "a little lamp", "lit a little lamp"),
    ("thunder", "a loud song", "sang a loud song"),
    ("deep water", "a float", "held on to a float"),
    ("big dogs", "a slow, gentle hand", "held out a slow, gentle hand"),
    ("high places", "one small step at a time", "took one small step at a time"),
    ("spiders", "a closer look", "took a closer look"),
    ("loud noises", "soft ear muffs", "put on soft ear muffs"),
    ("shadows", "a bright lantern", "lit a bright lantern"),
    ("new people", "a friendly smile", "tried a friendly smile"),
    ("the wind", "a warm blanket", "wrapped up in a warm blanket"),
]

# Something to learn: what goes wrong first, what success looks like.
SKILLS: list[tuple[str, str, str]] = [
    ("ride a bicycle", "fell into the grass", "rolled down the lane without falling"),
    ("swim", "swallowed a mouthful of water", "swam all the way across the pond"),
    ("skate", "slipped and sat down hard", "glided over the ice like a bird"),
    ("play the flute", "made only a squeak", "played a sweet tune"),
    ("bake bread", "burned the crust", "took a golden loaf from the oven"),
    ("whistle", "blew only air", "whistled a clear note"),
    ("climb the rope", "slid back to the ground", "touched the very top"),
    ("paint a horse", "painted something like a potato", "painted a horse that seemed to run"),
    ("juggle", "dropped all the balls", "kept three balls in the air"),
    ("tie a bow", "made a big knot", "made a neat little bow"),
    ("dance", "stepped on everyone's toes", "twirled around the room"),
    ("read", "mixed up all the letters", "read a whole page out loud"),
    ("row the boat", "went around in circles", "rowed straight to the other side"),
    ("jump over the stream", "landed in the water with a splash", "landed safely on the far side"),
    ("knit", "tangled the yarn", "knitted a long, warm scarf"),
    ("fly a kite", "tore the tail", "sent the kite high above the trees"),
    ("catch a ball", "closed both eyes and missed", "caught the ball with one hand"),
    ("count to one hundred", "forgot what came after twelve", "counted all the way to one hundred"),
]

# A thing that breaks: how it breaks, how it is mended.
BREAKS: list[tuple[str, str, str]] = [
    ("vase", "fell off the table and cracked", "glued the pieces together"),
    ("chair", "lost a leg with a loud snap", "nailed the leg back on"),
    ("teacup", "slipped and broke in two", "stuck the halves together"),
    ("kite", "ripped on a thorn", "patched it with tape"),
    ("clock", "stopped ticking", "turned the tiny wheels until it ticked"),
    ("fence", "fell down in the wind", "hammered in new posts"),
    ("toy train", "lost a wheel", "put on a new wheel"),
    ("blanket", "tore down the middle", "sewed it up with strong thread"),
    ("lantern", "would not glow anymore", "cleaned it and put in a new candle"),
    ("wagon", "cracked its wheel on a rock", "carved a new wheel"),
    ("roof", "began to leak", "covered the hole with straw"),
    ("doll", "lost an arm", "stitched the arm back on"),
]

# A seed: what it becomes, what grows on it.
PLANTS: list[tuple[str, str, str]] = [
    ("bean", "vine", "long green beans"),
    ("sunflower seed", "sunflower", "a round golden face"),
    ("pumpkin seed", "pumpkin plant", "a fat orange pumpkin"),
    ("apple seed", "apple tree", "crisp red apples"),
    ("rose seed", "rose bush", "soft pink roses"),
    ("acorn", "oak tree", "strong green leaves"),
    ("tomato seed", "tomato plant", "shiny red tomatoes"),
    ("strawberry seed", "strawberry plant", "sweet red strawberries"),
    ("tulip bulb", "tulip", "a bright yellow cup"),
    ("cherry stone", "cherry tree", "dark sweet cherries"),
]

# An obstacle: the tool that helps, what is done with it.
OBSTACLES: list[tuple[str, str, str]] = [
    ("a wide stream", "a long log", "laid the log across and walked over"),
    ("a steep hill", "a strong rope", "tied the rope to a tree and climbed up"),
    ("a locked gate", "a rusty key", "turned the key until the gate swung open"),
    ("a dark tunnel", "a small candle", "lit the candle and followed its glow"),
    ("a muddy swamp", "flat stones", "stepped from stone to stone"),
    ("a thorny hedge", "a pair of thick gloves", "pushed the thorns aside with the gloves"),
    ("a deep hole", "a wooden ladder", "climbed down one side and up the other"),
    ("a thick fog", "a silver bell", "rang the bell and followed the echo"),
    ("a tall wall", "an empty barrel", "stood on the barrel and looked over"),
    ("a heavy stone", "a long stick", "used the stick to roll the stone away"),
]

# A sound in the night: where it comes from, what it was.
NOISES: list[tuple[str, str, str]] = [
    ("a scratching sound", "behind the door", "a hungry kitten"),
    ("a tapping sound", "at the window", "a branch of the old tree"),
    ("a squeaking sound", "under the bed", "a tiny mouse"),
    ("a rustling sound", "in the closet", "a lost puppy"),
    ("a thumping sound", "in the attic", "a loose shutter"),
    ("a humming sound", "in the garden", "a happy beetle"),
    ("a dripping sound", "in the kitchen", "a leaky tap"),
    ("a hooting sound", "above the roof", "a friendly owl"),
    ("a snoring sound", "in the barn", "an old gray donkey"),
    ("a crunching sound", "near the fence", "a rabbit with a carrot"),
]

# A job: what it makes or deals in, its tool.
CRAFTS: dict[str, tuple[str, str]] = {
    "baker": ("bread", "oven"),
    "farmer": ("corn", "plow"),
    "tailor": ("coats", "needle"),
    "painter": ("pictures", "brush"),
    "fisherman": ("fish", "net"),
    "gardener": ("roses", "spade"),
    "carpenter": ("tables", "hammer"),
    "shoemaker": ("shoes", "little hammer"),
    "teacher": ("lessons", "chalk"),
    "clockmaker": ("clocks", "tiny screwdriver"),
    "shepherd": ("wool", "crook"),
    "potter": ("bowls", "wheel"),
    "miller": ("flour", "mill"),
    "postman": ("letters", "bag"),
    "blacksmith": ("horseshoes", "anvil"),
}

# Grown-ups, with "f" or "m". Animals have fewer of them.
GROWN_UPS: list[tuple[str, str]] = [
    ("mother", "f"),
    ("father", "m"),
    ("grandma", "f"),
    ("grandpa", "m"),
    ("mom", "f"),
    ("dad", "m"),
    ("aunt", "f"),
    ("uncle", "m"),
    ("sister", "f"),
    ("brother", "m"),
]
ANIMAL_GROWN_UPS: list[tuple[str, str]] = [
    ("mother", "f"),
    ("father", "m"),
    ("grandma", "f"),
    ("grandpa", "m"),
    ("mother", "f"),
    ("father", "m"),
]

SOUPS = _words("soup, chicken soup, vegetable soup, carrot soup, noodle soup, tomato soup")
PETS = _words("kitten, puppy, rabbit, duckling, mouse, hedgehog")

FLOWER_SINGULAR: dict[str, str] = {
    "roses": "rose",
    "daisies": "daisy",
    "tulips": "tulip",
    "sunflowers": "sunflower",
    "violets": "violet",
    "poppies": "poppy",
    "lilies": "lily",
    "bluebells": "bluebell",
    "buttercups": "buttercup",
    "daffodils": "daffodil",
    "marigolds": "marigold",
}

# he, him, his.
PRONOUNS: dict[str, tuple[str, str, str]] = {
    "m": ("he", "him", "his"),
    "f": ("she", "her", "her"),
}
