/* What the questions of the synthetic corpus are about. */
#include "data/synth_internal.h"

static const char *const opposites[] = {
    "hot;cold",    "big;small",      "tall;short",      "old;young",        "fast;slow",
    "wet;dry",     "full;empty",     "heavy;light",     "hard;soft",        "clean;dirty",
    "loud;quiet",  "early;late",     "open;closed",     "happy;sad",        "rich;poor",
    "strong;weak", "thick;thin",     "wide;narrow",     "high;low",         "near;far",
    "sweet;sour",  "bright;dark",    "rough;smooth",    "sharp;blunt",      "deep;shallow",
    "right;wrong", "first;last",     "cheap;expensive", "brave;afraid",     "asleep;awake",
    "tight;loose", "easy;difficult", "broken;whole",    "straight;crooked", "warm;cool",
    "healthy;ill", "friendly;rude",  "safe;dangerous",  "busy;idle",        "polite;impolite",
};

/* A cause, what the child A did because of it (past), and the same after "did". */
static const char *const causes[] = {
    "it began to rain;opened an umbrella;open an umbrella",
    "it was cold outside;put on a warm coat;put on a warm coat",
    "{A.he} was thirsty;drank a glass of water;drink a glass of water",
    "{A.he} was hungry;ate a slice of bread;eat a slice of bread",
    "{A.he} was tired;went to bed early;go to bed early",
    "{A.his} hands were dirty;washed {A.his} hands;wash {A.his} hands",
    "the room was dark;switched on the lamp;switch on the lamp",
    "the plants were dry;watered the plants;water the plants",
    "the dog wanted to go out;opened the door;open the door",
    "the bus was late;walked to school;walk to school",
    "the soup was too hot;waited for a while;wait for a while",
    "{A.his} pencil was blunt;sharpened the pencil;sharpen the pencil",
    "the baby was asleep;spoke in a whisper;speak in a whisper",
    "the path was icy;walked very slowly;walk very slowly",
    "{A.his} shoe was untied;bent down;bend down",
    "the sun was very bright;put on a hat;put on a hat",
    "{A.he} had lost the key;knocked at the door;knock at the door",
    "the shop was closed;went home without bread;go home without bread",
    "{A.his} friend was sad;told a funny story;tell a funny story",
    "the wind was strong;held on to the hat;hold on to the hat",
    "the window was open;felt cold;feel cold",
    "the milk was sour;poured the milk away;pour the milk away",
    "there was a nail in the tyre;pushed the bicycle home;push the bicycle home",
    "the bridge was broken;took the long way;take the long way",
    "{A.he} had a cold;stayed in bed;stay in bed",
    "the fire was going out;put more wood on the fire;put more wood on the fire",
    "{A.he} heard thunder;ran into the house;run into the house",
    "the cat was hungry;put some fish into the bowl;put some fish into the bowl",
    "the book was too high up;stood on a chair;stand on a chair",
    "it was grandmother's birthday;baked a cake;bake a cake",
    "the floor was wet;wiped the floor;wipe the floor",
    "{A.he} could not sleep;counted sheep;count sheep",
    "the bag was too heavy;carried only half of the things;carry only half of the things",
    "the light was red;stopped the bicycle;stop the bicycle",
    "a button had come off;sewed on the button;sew on the button",
    "{A.he} did not know the word;looked in the dictionary;look in the dictionary",
};

/* What happened to A, how it made A feel, and how it did not. */
static const char *const feelings[] = {
    "won the first prize;proud;ashamed",
    "lost {A.his} favourite toy;sad;happy",
    "heard a strange noise in the dark;afraid;bored",
    "got a letter from a good friend;happy;angry",
    "had to wait for hours with nothing to do;bored;proud",
    "broke a friend's cup;sorry;proud",
    "saw a rainbow for the first time;amazed;bored",
    "was pushed and laughed at;angry;cheerful",
    "walked all day without a rest;tired;lively",
    "finished a hard puzzle alone;proud;sad",
    "could not find the way home;worried;calm",
    "had nobody to play with;lonely;merry",
    "got a surprise on {A.his} birthday;happy;sad",
    "forgot {A.his} words on the stage;ashamed;proud",
    "said goodbye to a friend who moved away;sad;glad",
    "was told a very funny joke;cheerful;sad",
    "drank warm milk by the fire;calm;afraid",
    "got help from a stranger;thankful;angry",
    "saw {A.his} tower of blocks fall down;upset;glad",
    "found the key that {A.he} had lost;relieved;upset",
};

/* Work and its tool: "to cut paper" takes "scissors". */
static const char *const tools[] = {
    "cut paper;a pair of scissors",
    "sweep the floor;a broom",
    "hit a nail;a hammer",
    "dig a hole;a spade",
    "cut wood;a saw",
    "eat soup;a spoon",
    "write a letter;a pen",
    "unlock the door;a key",
    "tell the time;a clock",
    "sew on a button;a needle",
    "comb {A.his} hair;a comb",
    "paint the wall;a paint brush",
    "carry water;a bucket",
    "reach the roof;a ladder",
    "stay dry in the rain;an umbrella",
    "catch a fish;a net",
    "see in the dark;a lamp",
    "cross the lake;a boat",
    "measure the table;a ruler",
    "dry {A.his} hands;a towel",
    "find the north;a compass",
    "see the stars better;a telescope",
    "weigh the flour;a scale",
    "bake bread;an oven",
    "iron a shirt;an iron",
    "pump up a tyre;a pump",
    "boil water;a kettle",
    "fly a kite;a long string",
    "rake the leaves;a rake",
    "slice the bread;a knife",
};

static const char *const young_animals[] = {
    "dog;puppy;barks",     "cat;kitten;meows",     "cow;calf;moos",     "sheep;lamb;bleats",
    "hen;chick;clucks",    "duck;duckling;quacks", "horse;foal;neighs", "pig;piglet;grunts",
    "goose;gosling;honks", "wolf;cub;howls",       "lion;cub;roars",    "deer;fawn;bells",
    "swan;cygnet;hisses",  "frog;tadpole;croaks",  "owl;owlet;hoots",
};

static const char *const days[] = {
    "Monday;Tuesday;Sunday",     "Tuesday;Wednesday;Monday", "Wednesday;Thursday;Tuesday",
    "Thursday;Friday;Wednesday", "Friday;Saturday;Thursday", "Saturday;Sunday;Friday",
    "Sunday;Monday;Saturday",
};

static const char *const months[] = {
    "January;February;December",
    "February;March;January",
    "March;April;February",
    "April;May;March",
    "May;June;April",
    "June;July;May",
    "July;August;June",
    "August;September;July",
    "September;October;August",
    "October;November;September",
    "November;December;October",
    "December;January;November",
};

/* What a child does: past tense, the form after "did", and the one after "after". */
static const char *const activities[] = {
    "washed the cups;wash the cups",
    "fed the cat;feed the cat",
    "swept the floor;sweep the floor",
    "wrote a letter;write a letter",
    "read a book;read a book",
    "watered the flowers;water the flowers",
    "made the bed;make the bed",
    "cleaned the window;clean the window",
    "went to the market;go to the market",
    "baked some bread;bake some bread",
    "painted a picture;paint a picture",
    "picked some apples;pick some apples",
    "brushed the dog;brush the dog",
    "sang a song;sing a song",
    "played the piano;play the piano",
    "mended the fence;mend the fence",
    "drank some tea;drink some tea",
    "carried in the wood;carry in the wood",
    "built a tower;build a tower",
    "called a friend;call a friend",
    "cut the grass;cut the grass",
    "cooked the soup;cook the soup",
    "folded the clothes;fold the clothes",
    "rode the pony;ride the pony",
    "swam in the lake;swim in the lake",
    "took a nap;take a nap",
    "flew the kite;fly the kite",
    "fed the hens;feed the hens",
    "shelled the peas;shell the peas",
    "raked the leaves;rake the leaves",
    "polished the shoes;polish the shoes",
    "planted a tree;plant a tree",
};

/* Comparative, superlative, the superlative of the opposite. */
static const char *const comparisons[] = {
    "taller;tallest;shortest",    "older;oldest;youngest",     "faster;fastest;slowest",
    "stronger;strongest;weakest", "heavier;heaviest;lightest", "younger;youngest;oldest",
    "shorter;shortest;tallest",   "slower;slowest;fastest",    "lighter;lightest;heaviest",
    "richer;richest;poorest",     "louder;loudest;quietest",   "quieter;quietest;loudest",
};

static const char *const tiny[] = {
    "ant",  "ladybird",  "grain of rice", "bee", "button",  "pea",  "fly",    "raindrop",
    "ring", "snowflake", "seed",          "pin", "thimble", "coin", "spider", "pearl",
};
static const char *const medium[] = {
    "cat",    "dog",      "goat",   "chair", "bicycle", "sheep",   "table",    "goose",
    "bucket", "suitcase", "barrel", "fox",   "drum",    "pumpkin", "armchair", "wheelbarrow",
};
static const char *const huge[] = {
    "elephant", "house",      "whale",  "ship",     "mountain", "church", "castle", "train",
    "tower",    "lighthouse", "bridge", "windmill", "forest",   "island", "palace", "volcano",
};

/* Things made of a material. */
static const char *const materials[] = {
    "window pane;glass",  "wool scarf;wool",      "brick wall;brick", "wooden spoon;wood",
    "silver ring;silver", "leather boot;leather", "paper boat;paper", "iron gate;iron",
    "clay pot;clay",      "stone bridge;stone",   "straw hat;straw",  "gold coin;gold",
    "snowman;snow",       "sandcastle;sand",      "candle;wax",       "silk ribbon;silk",
    "rubber boot;rubber", "cotton shirt;cotton",
};

static const char *const fruits[] = {
    "apple",  "pear",  "plum",  "banana", "cherry", "peach",
    "orange", "grape", "melon", "fig",    "lemon",  "strawberry",
};
static const char *const vegetables[] = {
    "carrot",   "potato", "onion",  "cabbage", "turnip",
    "cucumber", "leek",   "radish", "pea",     "spinach leaf",
};
static const char *const hand_tools[] = {
    "hammer", "saw",   "spade",  "rake",   "screwdriver",
    "axe",    "drill", "wrench", "chisel", "pair of pliers",
};
static const char *const furniture[] = {
    "chair", "table", "bed", "cupboard", "shelf", "sofa", "desk", "bench", "wardrobe", "stool",
};
static const char *const vehicles[] = {
    "car", "bus", "train", "ship", "bicycle", "tram", "plane", "lorry", "tractor", "ferry", "van",
};
static const char *const birds[] = {
    "robin", "owl",  "swan",    "eagle", "sparrow", "parrot",
    "stork", "crow", "swallow", "gull",  "penguin", "heron",
};
static const char *const instruments[] = {
    "violin", "piano", "drum", "flute", "trumpet", "harp", "guitar", "accordion", "cello", "horn",
};
static const char *const garments[] = {
    "hat", "coat", "scarf", "sock", "shirt", "skirt", "glove", "jacket", "sweater", "dress",
};
static const char *const wild_beasts[] = {
    "lion", "tiger", "elephant", "wolf", "bear", "zebra", "giraffe", "monkey", "camel", "kangaroo",
};

const struct synth_list synth_fact_lists[] = {
    SYNTH_LIST("opposite", "name;other", opposites),
    SYNTH_LIST("cause", "name;did;do", causes),
    SYNTH_LIST("feeling", "name;felt;not", feelings),
    SYNTH_LIST("tool", "name;tool", tools),
    SYNTH_LIST("young", "name;young;sound", young_animals),
    SYNTH_LIST("day", "name;next;before", days),
    SYNTH_LIST("month", "name;next;before", months),
    SYNTH_LIST("activity", "name;do", activities),
    SYNTH_LIST("comparison", "name;most;least", comparisons),
    SYNTH_LIST("tiny", "name", tiny),
    SYNTH_LIST("medium", "name", medium),
    SYNTH_LIST("huge", "name", huge),
    SYNTH_LIST("material", "name;of", materials),
    SYNTH_LIST("fruit", "name", fruits),
    SYNTH_LIST("vegetable", "name", vegetables),
    SYNTH_LIST("handtool", "name", hand_tools),
    SYNTH_LIST("furniture", "name", furniture),
    SYNTH_LIST("vehicle", "name", vehicles),
    SYNTH_LIST("bird", "name", birds),
    SYNTH_LIST("instrument", "name", instruments),
    SYNTH_LIST("garment", "name", garments),
    SYNTH_LIST("wildbeast", "name", wild_beasts),
};
const size_t synth_fact_count = sizeof synth_fact_lists / sizeof *synth_fact_lists;
