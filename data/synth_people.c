/* People and animals of the synthetic corpus. */
#include "data/synth_internal.h"

static const char *const children[] = {
    "Mia;f",    "Lily;f",  "Emma;f",   "Anna;f",   "Sara;f",   "Lucy;f",   "Ella;f",   "Nora;f",
    "Ruby;f",   "Rosa;f",  "Ivy;f",    "Clara;f",  "Zoe;f",    "Alice;f",  "Grace;f",  "Molly;f",
    "Sophie;f", "Hanna;f", "Daisy;f",  "Eva;f",    "Julia;f",  "Nina;f",   "Maya;f",   "Amy;f",
    "Kate;f",   "Lena;f",  "Tina;f",   "Ida;f",    "Olive;f",  "Pia;f",    "Greta;f",  "Marta;f",
    "Elsa;f",   "Leah;f",  "Wendy;f",  "Polly;f",  "Bella;f",  "Carmen;f", "Aisha;f",  "Mei;f",
    "Priya;f",  "Yuki;f",  "Tess;f",   "Jane;f",   "Helen;f",  "Flora;f",  "Hazel;f",  "Stella;f",
    "Meg;f",    "Laila;f", "Tom;m",    "Ben;m",    "Max;m",    "Sam;m",    "Leo;m",    "Jack;m",
    "Finn;m",   "Oscar;m", "Noah;m",   "Luke;m",   "Paul;m",   "Peter;m",  "David;m",  "Adam;m",
    "Henry;m",  "Felix;m", "Theo;m",   "Oliver;m", "Jacob;m",  "Simon;m",  "Daniel;m", "Eric;m",
    "Hugo;m",   "Ivan;m",  "Jonas;m",  "Karl;m",   "Liam;m",   "Mark;m",   "Nick;m",   "Owen;m",
    "Philip;m", "Ravi;m",  "Tim;m",    "Victor;m", "Walter;m", "Yusuf;m",  "Ali;m",    "Carlos;m",
    "Diego;m",  "Emil;m",  "George;m", "Harry;m",  "Joe;m",    "Kenji;m",  "Martin;m", "Omar;m",
    "Ralph;m",  "Toby;m",  "Will;m",   "Zack;m",
};

/* What a grown-up of the family is, and is called. */
static const char *const elders[] = {
    "grandmother;f;Grandma", "grandfather;m;Grandpa", "mother;f;Mother",    "father;m;Father",
    "aunt;f;Aunt Rose",      "aunt;f;Aunt Martha",    "uncle;m;Uncle Fred", "uncle;m;Uncle Robert",
    "grandmother;f;Granny",  "grandfather;m;Grandad",
};

static const char *const neighbours[] = {
    "Mrs Brown;f", "Mrs Green;f", "Mrs Hill;f",  "Mrs Baker;f", "Mrs Wood;f",  "Mrs Lane;f",
    "Mrs Stone;f", "Mrs Field;f", "Mr Brown;m",  "Mr White;m",  "Mr Miller;m", "Mr Black;m",
    "Mr Moss;m",   "Mr Rivers;m", "Mr Carter;m", "Mr Young;m",
};

/* A trait, and what shows it. */
static const char *const traits[] = {
    "kind;{A.he} always helped when someone was in trouble",
    "cheerful;{A.he} sang from morning to night",
    "curious;{A.he} asked questions about everything",
    "clever;{A.he} loved to solve hard puzzles",
    "friendly;{A.he} said hello to everyone on the street",
    "lively;{A.he} never sat still for long",
    "quiet;{A.he} liked to listen and watch",
    "gentle;even the shyest birds were not afraid of {A.him}",
    "careful;{A.he} always looked twice before {A.he} jumped",
    "brave;{A.he} was not even afraid of thunder",
    "polite;{A.he} never forgot to say please and thank you",
    "funny;{A.he} could make anyone laugh",
    "hopeful;{A.he} believed that tomorrow would be even better than today",
    "busy;there was always something {A.he} wanted to make or mend",
    "thoughtful;{A.he} knew the birthday of every friend {A.he} had",
    "playful;{A.he} could turn anything into a game",
    "bright;{A.he} remembered every story {A.he} had ever heard",
    "merry;{A.his} laugh could be heard all over the house",
    "dreamy;{A.he} liked to lie in the grass and look at the clouds",
    "helpful;{A.he} carried the bags for {A.his} mother every Saturday",
};

static const char *const jobs[] = {
    "baker;bakes bread;bread;an oven",
    "farmer;grows corn;corn;a plough",
    "doctor;helps sick people;medicine;a warm coat",
    "teacher;teaches children;books;a piece of chalk",
    "painter;paints walls;paint;a brush",
    "sailor;sails ships;a ship;a rope",
    "gardener;looks after plants;flowers;a spade",
    "cook;makes meals;soup;a pot",
    "tailor;sews clothes;cloth;a needle",
    "carpenter;makes tables and chairs;wood;a saw",
    "fisherman;catches fish;fish;a net",
    "pilot;flies planes;a plane;a map",
    "dentist;looks after teeth;teeth;a small mirror",
    "shoemaker;mends shoes;leather;a hammer",
    "postman;brings letters;letters;a bag",
    "firefighter;puts out fires;fires;a hose",
    "shepherd;looks after sheep;sheep;a long stick",
    "barber;cuts hair;hair;a comb",
    "miller;makes flour;flour;a mill",
    "beekeeper;looks after bees;honey;a veil",
};

/* Animals that live with people: the word, what it did to call, what it likes to eat, its look. */
static const char *const pets[] = {
    "puppy;barked;a bone;[brown|black|white|spotted]",
    "kitten;meowed;a bowl of milk;[grey|black|white|orange]",
    "cat;meowed;a piece of fish;[grey|black|white|striped]",
    "dog;barked;a biscuit;[brown|black|white|shaggy]",
    "rabbit;thumped its foot;a carrot;[white|brown|grey]",
    "parrot;squawked;a nut;[green|red|blue]",
    "hamster;squeaked;a sunflower seed;[golden|brown|white]",
    "duck;quacked;a bit of bread;[white|brown]",
    "goat;bleated;a cabbage leaf;[white|brown|black]",
    "lamb;bleated;a handful of fresh grass;[white|black]",
    "hen;clucked;a handful of corn;[brown|white|red]",
    "guinea pig;squeaked;a slice of cucumber;[brown|white|black]",
    "pony;whinnied;an apple;[brown|grey|white]",
    "canary;chirped;a few seeds;[yellow|orange]",
    "piglet;squealed;an old apple;[pink|spotted]",
};

/* Small wild animals: the word, what it eats, where it lives. */
static const char *const wild[] = {
    "squirrel;nuts;in a tall oak",
    "hedgehog;beetles;under a heap of leaves",
    "sparrow;seeds;in the hedge",
    "robin;crumbs;in the ivy",
    "field mouse;grain;under the roots of a tree",
    "duckling;water plants;at the pond",
    "baby rabbit;clover;in a burrow",
    "young owl;worms;in a hollow tree",
    "fawn;fresh leaves;at the edge of the forest",
    "tortoise;lettuce;behind the stone wall",
    "young fox;berries;in a den on the hill",
    "frog;flies;by the pond",
    "blackbird;worms;in the apple tree",
    "mole;worms;under the lawn",
    "bat;moths;under the roof",
    "pigeon;corn;in the old tower",
};

/* Animals of the fables, who can speak: word, size, home, food. */
static const char *const beasts[] = {
    "rabbit;small;in a burrow under the hill;carrots",
    "mouse;tiny;in a hole under a root;grain",
    "squirrel;small;in an old oak;nuts",
    "hedgehog;small;under a heap of leaves;berries",
    "frog;little;by a green pond;flies",
    "turtle;slow;on the bank of the river;water plants",
    "duck;little;among the reeds;snails",
    "badger;strong;in a deep den;roots",
    "beaver;busy;in a lodge on the river;bark",
    "otter;quick;by the stream;fish",
    "mole;little;under the meadow;worms",
    "deer;gentle;deep in the forest;leaves",
    "goat;white;on a green hill;grass",
    "sheep;woolly;in a wide meadow;clover",
    "hen;plump;behind a red barn;corn",
    "cricket;little;in the tall grass;leaves",
    "robin;small;in a thorn bush;crumbs",
    "lizard;quick;under a warm stone;flies",
};

static const char *const big_beasts[] = {
    "bear;strong;in a dark cave;honey",
    "wolf;grey;on the far side of the forest;meat",
    "lion;proud;on a rocky hill;meat",
    "fox;clever;in a den under the stones;berries",
    "elephant;huge;near the great river;leaves",
    "horse;tall;in a wooden stable;hay",
    "bull;big;in a wide field;grass",
    "eagle;great;on a high cliff;fish",
    "tiger;striped;in the long grass;meat",
    "camel;patient;at the edge of the desert;thorns",
};

static const char *const gatherers[] = {
    "squirrel;small;in an old oak;nuts",
    "mouse;tiny;in a hole under a root;grain",
    "hedgehog;small;under a heap of leaves;berries",
    "rabbit;small;in a burrow under the hill;carrots",
    "badger;strong;in a deep den;roots",
    "beaver;busy;in a lodge on the river;bark",
    "hen;plump;behind a red barn;corn",
    "hamster;round;under the wheat field;grain",
    "jay;blue;at the top of a beech;acorns",
    "ant;tiny;in a hill of pine needles;seeds",
};

static const char *const idlers[] = {
    "cricket;little", "frog;little", "robin;small", "lizard;quick",  "grasshopper;green",
    "otter;quick",    "duck;little", "weasel;slim", "sparrow;small", "mole;little",
};

static const char *const slow_beasts[] = {
    "turtle", "snail", "hedgehog", "mole", "badger", "duck", "hen", "toad", "porcupine",
};

static const char *const quick_beasts[] = {
    "rabbit", "squirrel", "deer", "otter", "lizard", "mouse", "fox", "hare", "goat", "cat",
};

static const char *const low_beasts[] = {
    "rabbit", "mouse", "hedgehog", "frog", "turtle", "mole", "badger", "hamster", "toad",
};

static const char *const fierce_beasts[] = {
    "bear;strong;in a dark cave",           "wolf;grey;in a den on the far side of the forest",
    "lion;proud;in a cave on a rocky hill", "tiger;striped;in a den above the river",
    "lynx;wild;in a cave under the cliff",  "wild boar;angry;in a hollow under the oaks",
};

static const char *const beast_names[] = {
    "Pip;m",     "Dot;f",    "Hop;m",    "Nibble;m", "Clover;f", "Bramble;m", "Willow;f",
    "Rusty;m",   "Pepper;f", "Fern;f",   "Acorn;m",  "Bruno;m",  "Snow;f",    "Berry;f",
    "Thistle;m", "Poppy;f",  "Button;m", "Honey;f",  "Moss;m",   "Dusty;m",   "Pearl;f",
    "Basil;m",   "Ginger;f", "Barley;m", "Maple;f",  "Tansy;f",  "Patch;m",   "Whisker;m",
    "Sky;f",     "Bubble;f", "Pebble;m", "Violet;f", "Nutmeg;f", "Sunny;f",   "Sandy;f",
    "Ash;m",     "Rowan;m",  "Cinder;f", "Jumper;m", "Plum;f",   "Coco;f",    "Oakley;m",
    "Midge;f",   "Fuzz;m",   "Tully;m",  "Minna;f",  "Otto;m",   "Trudy;f",   "Boris;m",
    "Wilma;f",
};

const struct synth_list synth_people_lists[] = {
    SYNTH_LIST("child", "name;sex", children),
    SYNTH_LIST("elder", "name;sex;call", elders),
    SYNTH_LIST("neighbour", "name;sex", neighbours),
    SYNTH_LIST("trait", "name;proof", traits),
    SYNTH_LIST("job", "name;does;with;needs", jobs),
    SYNTH_LIST("pet", "name;called;treat;look", pets),
    SYNTH_LIST("wild", "name;food;home", wild),
    SYNTH_LIST("beast", "name;size;home;food", beasts),
    SYNTH_LIST("gatherer", "name;size;home;food", gatherers),
    SYNTH_LIST("idler", "name;size", idlers),
    SYNTH_LIST("slowbeast", "name", slow_beasts),
    SYNTH_LIST("quickbeast", "name", quick_beasts),
    SYNTH_LIST("lowbeast", "name", low_beasts),
    SYNTH_LIST("fierce", "name;size;home", fierce_beasts),
    SYNTH_LIST("bigbeast", "name;size;home;food", big_beasts),
    SYNTH_LIST("beastname", "name;sex", beast_names),
};
const size_t synth_people_count = sizeof synth_people_lists / sizeof *synth_people_lists;
