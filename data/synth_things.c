/* Things, places, food and weather of the synthetic corpus. */
#include "data/synth_internal.h"

/* A toy one child can carry: its look, and what one does with it ("she ..."). */
static const char *const toys[] = {
    "ball;[red|blue|green|yellow|striped];bounced it against the wall",
    "kite;[red|blue|yellow|green];flew it over the field",
    "doll;[little|pretty|rag];carried it from room to room",
    "toy car;[red|blue|silver|green];raced it along the floor",
    "teddy bear;[brown|soft|old|white];hugged it tight",
    "drum;[red|small|tin];tapped a new beat on it",
    "toy boat;[wooden|blue|white];sailed it in the bath",
    "yo-yo;[yellow|red|wooden];made it climb up and down",
    "toy train;[wooden|green|black];pushed it under the table and out again",
    "toy robot;[silver|blue|tin];made it march across the room",
    "spinning top;[wooden|painted|red];watched it whirl",
    "skipping rope;[red|long|yellow];skipped with it a hundred times",
    "puppet;[wooden|funny|little];put on a show with it",
    "toy truck;[yellow|big|red];filled it with sand",
    "toy horse;[wooden|white|brown];galloped it over the pillows",
    "hoop;[wooden|blue|yellow];rolled it down the lane",
    "music box;[small|silver|painted];listened to its song",
    "toy plane;[silver|white|red];made it swoop and turn",
    "flute;[wooden|small|silver];played a little tune on it",
    "paper crown;[golden|purple|blue];wore it like a king",
    "magnifying glass;[big|round|small];looked at ants and leaves with it",
    "telescope;[brass|small|long];looked at the far hills through it",
};

/* Small things of value that get lost or found. */
static const char *const treasures[] = {
    "key;[brass|small|rusty|old]", "ring;[gold|silver|thin]",      "necklace;[silver|pearl|gold]",
    "watch;[gold|silver|old]",     "purse;[brown|blue|leather]",   "coin;[silver|gold|copper]",
    "brooch;[silver|green|round]", "medal;[bronze|gold|shiny]",    "bracelet;[gold|silver|blue]",
    "pen;[black|silver|blue]",     "whistle;[tin|silver|shiny]",   "locket;[gold|silver|small]",
    "compass;[brass|round|old]",   "bell;[silver|small|brass]",    "wallet;[leather|brown|black]",
    "glove;[red|woollen|grey]",    "earring;[pearl|silver|gold]",  "marble;[green|blue|glass]",
    "thimble;[silver|tin|small]",  "umbrella;[black|red|spotted]",
};

/* Things that can break: how it broke, what mends it. */
static const char *const fragile[] = {
    "vase;[blue|tall|white];[glue|strong glue]",
    "teapot;[white|brown|round];[glue|strong glue]",
    "cup;[blue|white|painted];[glue|strong glue]",
    "plate;[green|white|painted];[glue|strong glue]",
    "lamp;[small|green|old];[a new bulb|a new shade]",
    "picture frame;[wooden|golden|thin];[nails and glue|a little glue]",
    "wooden chair;[small|old|brown];[nails and a hammer|glue and two screws]",
    "clock;[old|small|round];[a new glass|a new hand]",
    "mirror;[round|small|old];[a new glass]",
    "flower pot;[red|clay|big];[a new pot|strong glue]",
    "bowl;[glass|blue|yellow];[glue|strong glue]",
    "toy ship;[white|tall|wooden];[thread and glue|new sails]",
    "basket;[straw|round|brown];[string|fresh straw]",
    "birdhouse;[wooden|green|little];[nails and a hammer|new boards]",
};

static const char *const clothes[] = {
    "hat;[red|blue|green|yellow|white|straw]",
    "scarf;[red|blue|green|yellow|woollen|striped]",
    "coat;[red|blue|green|grey|warm]",
    "sweater;[red|blue|green|yellow|woollen]",
    "jacket;[brown|blue|green|red]",
    "cap;[red|blue|green|black]",
    "raincoat;[yellow|red|blue]",
    "cloak;[purple|green|grey]",
    "belt;[brown|black|leather]",
    "dress;[red|blue|yellow|white]",
    "shirt;[white|blue|green|striped]",
    "skirt;[red|green|blue]",
};

/* What keeps a person warm, and what a snowman can wear. */
static const char *const warm[] = {
    "scarf;[red|blue|green|yellow|woollen|striped]",
    "coat;[red|blue|green|grey|thick]",
    "sweater;[red|blue|green|yellow|woollen]",
    "jacket;[brown|blue|green|red]",
    "cloak;[purple|green|grey]",
    "blanket;[red|woollen|soft]",
    "cap;[woollen|red|blue]",
    "shawl;[grey|green|woollen]",
};
static const char *const headgear[] = {
    "hat;[red|blue|green|yellow|old]", "scarf;[red|blue|green|woollen|striped]",
    "cap;[red|blue|green|black]",      "straw hat;[yellow|old|broad]",
    "woollen cap;[red|blue|grey]",     "top hat;[black|grey|old]",
};

/* One portion of food: singular, plural. */
static const char *const foods[] = {
    "apple;apples",     "pear;pears",      "sandwich;sandwiches",
    "cookie;cookies",   "bun;buns",        "muffin;muffins",
    "banana;bananas",   "peach;peaches",   "plum;plums",
    "cherry;cherries",  "orange;oranges",  "pancake;pancakes",
    "biscuit;biscuits", "nut;nuts",        "carrot;carrots",
    "cracker;crackers", "fig;figs",        "strawberry;strawberries",
    "egg;eggs",         "lemon;lemons",    "dumpling;dumplings",
    "potato;potatoes",  "tomato;tomatoes", "waffle;waffles",
};

/* What one bakes or cooks: the thing most needed. */
static const char *const dishes[] = {
    "apple cake;apples",      "chocolate cake;chocolate", "cherry pie;cherries",
    "pumpkin soup;a pumpkin", "lemon cake;lemons",        "loaf of bread;flour",
    "plum pie;plums",         "pot of soup;carrots",      "honey cake;honey",
    "carrot cake;carrots",    "pot of jam;strawberries",  "cheese pie;cheese",
    "nut cake;nuts",          "bowl of pudding;milk",     "pot of stew;potatoes",
    "berry pie;berries",      "batch of pancakes;eggs",   "ginger cake;ginger",
};

/* What grows from a seed: what it looked like in the end; plural fruit or flower. */
static const char *const plants[] = {
    "sunflower;it was taller than the fence, with a face as yellow as the sun",
    "pumpkin;it was so big and round that two people had to carry it",
    "tomato plant;it was full of red, shining tomatoes",
    "bean plant;it climbed up the pole and was covered with long green beans",
    "rose;it had one deep red flower that filled the garden with its smell",
    "strawberry plant;it was full of sweet red strawberries",
    "melon;it was as round as a ball and sweet as honey",
    "tulip;it had a flower like a little orange cup",
    "pea plant;its pods were fat and full of sweet peas",
    "cucumber plant;cool green cucumbers hid under its leaves",
    "daisy;it had white petals and a golden heart",
    "apple tree;it was only a little tree, but it had three green leaves and a strong stem",
};

/* Places to play: inside it, towards it, a spot where things hide, what one does there. */
static const char *const places[] = {
    "park;in the park;to the park;[under the bench|behind the slide|beside the fountain|next to "
    "the swings];[ran along the paths|played on the swings|fed the ducks]",
    "garden;in the garden;to the garden;[under the rose bush|behind the shed|beside the water "
    "barrel|between the bean poles];[chased butterflies|looked for snails|picked daisies]",
    "beach;on the beach;to the beach;[behind a rock|beside the old boat|under a heap of "
    "seaweed|in a hole in the sand];[built a sandcastle|collected shells|jumped over the waves]",
    "forest;in the forest;to the forest;[under a fern|behind a fallen log|at the foot of an "
    "oak|beside the stream];[climbed over logs|looked for mushrooms|listened to the birds]",
    "farm;on the farm;to the farm;[behind the barn|in the hay|beside the well|under the "
    "cart];[fed the hens|patted the calves|climbed on the hay]",
    "playground;on the playground;to the playground;[under the seesaw|behind the slide|in the "
    "sandbox|beside the gate];[went down the slide|dug in the sandbox|played tag]",
    "meadow;in the meadow;to the meadow;[in the tall grass|beside a mole hill|under the "
    "willow|behind the wooden gate];[rolled down the hill|made a chain of daisies|ran after the "
    "wind]",
    "market;at the market;to the market;[under an apple cart|behind a heap of cabbages|beside the "
    "bread stall|under a bench];[looked at all the stalls|smelled the fresh bread|listened to the "
    "music]",
    "lake;at the lake;to the lake;[beside the boats|among the reeds|under the wooden pier|behind "
    "a big stone];[threw stones into the water|watched the swans|paddled in the water]",
    "school yard;in the school yard;to the school yard;[behind the big tree|under the "
    "stairs|beside the wall|next to the bicycles];[played hide-and-seek|hopped on one leg|played "
    "tag]",
    "orchard;in the orchard;to the orchard;[behind an apple tree|under a ladder|in a "
    "basket|beside the stone wall];[climbed the trees|picked apples|ran between the trees]",
    "zoo;at the zoo;to the zoo;[under a bench|beside the ticket booth|behind the monkey "
    "house|near the pond];[watched the monkeys|waved to the elephants|counted the penguins]",
    "river bank;on the river bank;to the river bank;[under the bridge|beside a willow|between two "
    "stones|behind the reeds];[skipped stones|made boats of bark|watched the fish]",
    "museum;in the museum;to the museum;[under a chair|beside a statue|behind a door|next to the "
    "stairs];[looked at old bones|drew the statues|counted the paintings]",
};

/* Where a thing can be put, in a house. */
static const char *const spots[] = {
    "in the box",        "in the drawer",      "on the shelf",    "under the bed",
    "in the basket",     "on the table",       "behind the door", "in the cupboard",
    "under the chair",   "on the window sill", "in the bag",      "beside the lamp",
    "on the chair",      "under the table",    "in the chest",    "behind the curtain",
    "in the kitchen",    "in the garden",      "on the stairs",   "under the pillow",
    "next to the clock", "in the barn",        "in the jar",      "in the suitcase",
    "behind the sofa",   "on the piano",       "in the bucket",   "under the blanket",
};

static const char *const rooms[] = {
    "in the kitchen", "in the bedroom", "in the garden", "in the bathroom", "in the hall",
    "in the attic",   "in the cellar",  "in the barn",   "in the garage",   "in the library",
    "in the yard",    "at school",      "at the market", "in the shop",     "on the roof",
};

/* Where a picture hangs in a school. */
static const char *const walls[] = {
    "next to the door", "above the blackboard", "beside the window", "over the book shelf",
    "above the stairs", "in the great hall",    "near the clock",    "at the entrance",
};

static const char *const colours[] = {
    "red", "blue", "green", "yellow", "white", "black", "brown", "orange", "purple", "pink", "grey",
};

/* Things to count and to own: singular, plural. */
static const char *const counts[] = {
    "apple;apples",       "shell;shells",     "marble;marbles",   "stone;stones",
    "book;books",         "pencil;pencils",   "button;buttons",   "flower;flowers",
    "stamp;stamps",       "coin;coins",       "nut;nuts",         "cookie;cookies",
    "egg;eggs",           "plum;plums",       "balloon;balloons", "card;cards",
    "leaf;leaves",        "feather;feathers", "sticker;stickers", "bead;beads",
    "pear;pears",         "carrot;carrots",   "candle;candles",   "cup;cups",
    "ribbon;ribbons",     "star;stars",       "toy car;toy cars", "berry;berries",
    "peach;peaches",      "block;blocks",     "acorn;acorns",     "lemon;lemons",
    "postcard;postcards", "crayon;crayons",   "walnut;walnuts",   "potato;potatoes",
};

/* Animals to count in a field or a pond: singular, plural. */
static const char *const herds[] = {
    "sheep;sheep", "cow;cows",   "horse;horses",   "goat;goats",     "hen;hens",    "duck;ducks",
    "goose;geese", "pig;pigs",   "rabbit;rabbits", "donkey;donkeys", "pony;ponies", "lamb;lambs",
    "calf;calves", "swan;swans", "deer;deer",      "turkey;turkeys",
};

static const char *const holders[] = {
    "box;boxes",  "bag;bags",       "basket;baskets", "jar;jars",     "shelf;shelves",
    "bowl;bowls", "drawer;drawers", "plate;plates",   "crate;crates", "tray;trays",
};

/* A skill: to do it; did it; what went wrong at first; what one needs. */
static const char *const skills[] = {
    "ride a bicycle;rode the bicycle all the way down the lane;the bicycle [wobbled|tipped over] "
    "and {A.he} fell into the grass;look ahead and keep pedalling",
    "swim;swam from one side of the pool to the other;{A.he} swallowed water and had to hold on "
    "to the edge;breathe slowly and kick with both legs",
    "whistle;whistled a whole song;only air came out;make your lips small and blow gently",
    "skate;skated once around the whole pond;{A.his} feet slid away and {A.he} sat down hard;bend "
    "your knees and push to the side",
    "juggle three apples;juggled three apples without dropping one;all the apples rolled under "
    "the table;throw each apple only as high as your eyes",
    "tie {A.his} shoes;tied both shoes without any help;the laces came apart again;make a loop "
    "and hold it tight",
    "play the violin;played a whole song on the violin;the violin only scratched and "
    "squeaked;hold the bow lightly and play slowly",
    "knit a scarf;finished a long, warm scarf;the wool was all in knots;count the stitches and "
    "pull them gently",
    "draw a horse;drew a horse that looked ready to jump off the paper;{A.his} horse looked like "
    "a table with a tail;look at a real horse first and draw what you see",
    "climb the rope;climbed to the very top of the rope;{A.he} slid back to the ground;hold the "
    "rope with your feet as well",
    "read;read a whole page aloud;the letters seemed to dance and make no sense;look at one "
    "letter after the other and say it slowly",
    "bake bread;baked a loaf with a crisp brown crust;the bread was as hard as a stone;let the "
    "dough rest until it is twice as big",
    "catch a ball;caught the ball ten times in a row;the ball slipped through {A.his} hands;keep "
    "your eyes on the ball",
    "row a boat;rowed straight across the lake;the boat only turned in circles;pull both oars at "
    "the same time",
    "stand on {A.his} hands;stood on {A.his} hands for as long as it takes to count to ten;{A.he} "
    "fell over like a tree;keep your arms straight and look at the floor",
    "play the piano;played a whole song on the piano;{A.his} fingers hit all the wrong keys;play "
    "with one hand first and then with the other",
};

/* What frightens, why it is not so bad, what is there to see or find in the end. */
static const char *const fears[] = {
    "the dark;the dark is only the day with its eyes closed;a sky full of bright stars",
    "thunder;thunder is only the noise of the clouds and cannot hurt you in here;a rainbow over "
    "the roofs",
    "the deep water;the water will carry you if you lie still;silver fish below {A.him}",
    "the big dog next door;the dog only barks because he wants to play;a wagging tail and two "
    "soft ears",
    "the old cellar;a cellar is only a room with too few windows;a row of jars full of red jam",
    "spiders;a spider is much more afraid of you;a web that shone like silver thread",
    "the high bridge;the bridge has held people for a hundred years;the whole valley with its "
    "tiny houses",
    "the first day of school;everyone there is new on the first day;a girl with a friendly smile "
    "who had kept a seat free",
    "the creaking attic;old wood creaks when it gets warm or cold;a chest full of old costumes",
    "heights;you need not look down if you hold on and look ahead;the wide sea behind the hills",
    "the dentist;the dentist only wants to keep your teeth strong;a clean, bright smile in the "
    "mirror",
    "the forest at dusk;the sounds are only the birds going to bed;a deer with her fawn in the "
    "last light",
};

const struct synth_list synth_thing_lists[] = {
    SYNTH_LIST("toy", "name;look;use", toys),
    SYNTH_LIST("treasure", "name;look", treasures),
    SYNTH_LIST("fragile", "name;look;mend", fragile),
    SYNTH_LIST("clothes", "name;look", clothes),
    SYNTH_LIST("warm", "name;look", warm),
    SYNTH_LIST("headgear", "name;look", headgear),
    SYNTH_LIST("food", "name;plural", foods),
    SYNTH_LIST("dish", "name;need", dishes),
    SYNTH_LIST("plant", "name;grown", plants),
    SYNTH_LIST("place", "name;at;to;spot;play", places),
    SYNTH_LIST("spot", "name", spots),
    SYNTH_LIST("room", "name", rooms),
    SYNTH_LIST("wall", "name", walls),
    SYNTH_LIST("colour", "name", colours),
    SYNTH_LIST("count", "name;plural", counts),
    SYNTH_LIST("herd", "name;plural", herds),
    SYNTH_LIST("holder", "name;plural", holders),
    SYNTH_LIST("skill", "name;did;failed;advice", skills),
    SYNTH_LIST("fear", "name;comfort;reward", fears),
};
const size_t synth_thing_count = sizeof synth_thing_lists / sizeof *synth_thing_lists;
