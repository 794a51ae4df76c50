/* Story plots out of doors: gardens, weather, water, woods and streets. */
#include "data/synth_internal.h"

const struct synth_plot synth_outdoor_plots[] = {
    {"seed", "A:child l:plant t:trait G:elder",
     "<intro> One day in spring, {A.his} {G} gave {A.him} a [tiny|small] seed. `[Plant it and be "
     "patient,|Put it into the earth and take care of it,|There is something big asleep in it,]` "
     "said {G.call}.\n"
     "{A} dug a hole, put the seed in it and covered it with earth. Then {A.he} watered it and "
     "waited. Nothing happened. The next day, {A} looked again. There was still nothing to see "
     "but brown earth. `[The seed is broken,|It does not want to grow,|It must be asleep,]` said "
     "{A}. {A.he} wanted to dig it out, but {G.call} held {A.his} hand. `If you dig it out, it "
     "cannot grow. It is working under the ground, where you cannot see it.`\n"
     "So {A} watered it every [morning|evening] and pulled out the weeds. [A week|Ten days] "
     "later, a small green tip came out of the earth. {A} jumped for joy. It grew and grew, and "
     "by the end of the [summer|year], {l.grown}. `It only needed water, sun and time,` said "
     "{G.call}. `[So do you|So do children].` {A} gave the {l} a little more water and smiled."},

    {"kite in tree", "A:child B:child t:trait c:colour",
     "<intro> {A} had made a {c} kite out of paper and thin sticks. <oneday>, a "
     "[strong|fresh|good] wind was blowing, and {A} ran to the [hill|field|meadow] with {A.his} "
     "friend {B}.\n"
     "Up, up went the kite, until it looked as small as a [bird|stamp|butterfly]. But then the "
     "wind turned. The kite [shook|spun around] and fell into the top of a tall tree. {A} pulled "
     "the string, but it was stuck. [{A.he} threw a stick at it, but that did not help.|{A.he} "
     "jumped, but {A.he} was much too small.] `My beautiful kite!` cried {A}.\n"
     "<think>. [1:`We need something long,` said {B}, and together they fetched a long pole from "
     "the barn. {A} stood on a box and pushed the kite until it came loose|`We need someone "
     "tall,` said {B}, and ran to fetch the tall gardener. He leaned a ladder against the tree, "
     "climbed up and freed the kite|`The wind took it up, so the wind can bring it down,` said "
     "{B}. They waited, and when the next strong wind shook the branches, the kite came loose]. "
     "It floated down and landed at {A.his} feet. There was only a small hole in it, and {A} "
     "closed it with [tape|a piece of paper and some glue]. [`Next time,` said {A}, `I will stay "
     "away from the trees.`|After that, they flew the kite where there were no trees.] And {B} "
     "was allowed to fly it first."},

    {"picnic in rain", "A:child B:child t:trait f:food G:elder",
     "<intro> All week, {A} had looked forward to the picnic. {A} and {A.his} {G} packed a basket "
     "with [bread|sandwiches], cheese, juice and {f.plural}. Then they called {B}, and off they "
     "went [to the lake|to the meadow|up the hill].\n"
     "But just as they [spread|had spread] the blanket on the grass, dark clouds came up. A drop "
     "fell on {A.his} nose. Then came another, and soon it was pouring. They [packed everything "
     "up|threw everything back into the basket] and ran home as fast as they could. They were wet "
     "to the skin, and {A} was <sad>. `Our whole picnic is spoiled,` {A.he} said.\n"
     "`Who says that a picnic must be outside?` asked {B}. <idea> They put on dry clothes and "
     "spread the blanket on the floor of the living room. [They put all the plants of the house "
     "around it, so that it looked like a garden.|{A} drew a big yellow sun and hung it on the "
     "wall.|They built a tent out of chairs and a sheet.] There they ate the {f.plural} and the "
     "cheese and listened to the rain. [`No ants, no wasps, and nobody gets wet,` said {A} and "
     "laughed.|`This is the best picnic of all,` said {G.call}.]"},

    {"snowman", "A:child B:child t:trait c:headgear",
     "<winterday>, {A} looked out of the window. Everything was white! It had snowed all night. "
     "{A} put on warm boots and ran to fetch {B}. `Let us build a snowman!` {A.he} called.\n"
     "They rolled three balls of snow, a big one, a smaller one and a little one. They put them "
     "on top of each other. [Two stones|Two buttons|Two nuts] became the eyes, and a carrot "
     "became the nose. {A} gave the snowman {A.his} own {c.look} {c}. He looked very fine. But in "
     "the afternoon, the sun came out and shone right on the snowman. [His nose began to drip.|He "
     "grew a little smaller.] `He is melting!` cried {A}. {A.he} was <worried>.\n"
     "`It is cold in the shade,` said {B}. `The sun never gets [behind the house|behind the "
     "shed|under the fir tree].` So they fetched a [sledge|wheelbarrow], carried the three balls "
     "over one by one, and built the snowman again in the shade. There he stood for [two "
     "weeks|ten days|a whole week], and every morning, {A} said hello to him. When spring came at "
     "last, only [the carrot and the {c} were|the {c} and a puddle were] left. `[See you next "
     "winter,|Come back next year,]` said {A} and put on the {c}."},

    {"boat drifts", "A:child B:child t:trait c:colour",
     "<intro> {A} had a little {c} boat with a white sail. <summerday>, {A} and {B} went to the "
     "pond and let it swim on a long string.\n"
     "A duck came by and [bit|pulled] at the string, and the knot came open. Slowly, the boat "
     "drifted out to the middle of the pond. {A} stretched out {A.his} arm, but the boat was too "
     "far away. `I will go in and fetch it,` said {A}. `No,` said {B}, `the water is deep, and "
     "you cannot swim yet. [We must find another way.|There must be another way.]`\n"
     "<think>. [1:{A.he} threw a stone behind the boat. The stone made a ring of small waves, and "
     "the waves pushed the boat a little. {B} threw one, too. Wave by wave, the boat came "
     "nearer|They looked at the leaves on the water. All of them drifted to the far side, because "
     "the wind blew that way. So they walked around the pond and waited. After a while, the wind "
     "brought the boat to them|{B} found a long branch under the willow. {A} held on to the tree "
     "with one hand and pulled the boat in with the branch]. At last, {A} [lifted it out of the "
     "water|held it in {A.his} hands again]. `I am glad that you stopped me,` said {A}. {A.he} "
     "tied the string with two knots this time, and the boat made [many|seven|ten] more journeys "
     "that day."},

    {"lost in market", "A:child t:trait G:elder f:food",
     "<intro> <oneday>, {A} went to the market with {A.his} {G}. There were so many things to "
     "see: [heaps of melons|baskets full of fish|cages with hens|flowers in all colours], and a "
     "man who [played the accordion|walked on his hands|sold balloons].\n"
     "{A} stopped to look. When {A.he} turned around, {G.call} was gone. {A} saw [coats and legs "
     "and bags|only strange faces], and {A.his} heart beat fast. First {A.he} wanted to run. But "
     "then {A.he} remembered what {G.call} had always said: `If you lose me, stay where you are. "
     "If we both run around, we will never meet.` So {A} stood still beside a stall and told the "
     "woman who sold {f.plural} there, `I have lost my {G}.`\n"
     "`[That was clever of you,|You are doing the right thing,]` said the woman and gave {A.him} "
     "a {f}. Then she called out in a loud voice, `Here is a {A.boy} named {A}!` It did not take "
     "long until {G.call} came through the crowd and <hug>. `You remembered it,` said {G.call}. "
     "On the way home, {A} did not let go of {G.his} hand. [And the {f} tasted better than any "
     "{f} before.|]"},

    {"hidden gate", "A:child B:child t:trait o:treasure",
     "<intro> Behind {A.his} house was an old wall covered with ivy. <oneday>, {A} lost {A.his} "
     "ball in the leaves. {A.he} reached in to get it and felt something [cold|hard]. It was an "
     "iron handle! `Come quickly,` {A} called to {B}. `There is a door in the wall!`\n"
     "They pulled and pulled, but the door was locked. [For three days, they looked for the "
     "key.|They asked everyone in the street for the key.] At last, {A} asked the oldest woman in "
     "the street. She smiled and opened a tin box. In it lay a {o.look} {o} and a rusty key. "
     "`When I was a child, this was my secret garden,` she said. `Take the key. But promise me "
     "that you will look after it.` They promised it.\n"
     "The key turned, and the door opened with a long creak. Behind it was a garden full of weeds "
     "and thorns. {A} and {B} worked there every day after school. They [pulled out the weeds|cut "
     "back the thorns] and [planted beans and roses|cleaned the little pond]. In [June|summer], "
     "they brought the old woman a chair and led her through the door. She looked at the flowers "
     "for a long time. `It is just as beautiful as it was then,` she said, and she gave the {o} "
     "to {A} and {B}, so that they would always remember the day."},

    {"bees", "A:child t:trait G:elder",
     "<intro> {A.his} {G} kept bees at the end of the garden. <summerday>, {A} wanted to see what "
     "was inside the hive, so {A.he} took a stick and [poked at|knocked on] it.\n"
     "The bees came out, angry and loud. One of them stung {A} on the [hand|arm|nose]. `Ouch!` "
     "cried {A} and ran to the house. {G.call} [pulled out the sting|cooled the spot with water] "
     "and said, `The bees did not want to hurt you. They thought that you wanted to break their "
     "house. What would you do if someone knocked on our house with a big stick?` <think>. `I "
     "would be angry, too,` {A.he} said.\n"
     "The next day, {G.call} gave {A.him} a hat with a veil. They walked to the hive slowly and "
     "quietly, and {G.call} lifted the lid. {A} saw hundreds of bees [building little rooms of "
     "wax|feeding their young|filling the comb with honey]. Not one of them stung. `If you are "
     "calm, they are calm,` said {G.call}. In autumn, there were [ten|twelve|twenty] jars of "
     "golden honey on the shelf, and {A} [planted clover|sowed flowers] for the bees, to say "
     "thank you."},

    {"thin ice", "A:child B:child t:trait n:pet",
     "<winterday>, {A} and {B} walked to the pond with their skates. The ice looked smooth and "
     "shiny. {B} wanted to run onto it at once. `Wait,` said {A}. `It has been cold for only two "
     "days. We must test it first.`\n"
     "{A} threw a [big stone|heavy branch] onto the ice. Crack! It broke through, and the water "
     "came up black and cold. {B} turned pale. `If I had run out there, I would have fallen in,` "
     "{B.he} said. Just then, a {n.look} {n} walked out onto the ice, and the ice broke under it. "
     "The {n} {n.called} and tried to climb out, but it slipped back again and again.\n"
     "`Do not go out there!` said {A}. <idea> [1:They lay a long ladder flat over the ice, and "
     "the {n} climbed onto it|{A.he} tied {A.his} scarf to a long branch and pushed it out, and "
     "the {n} held on to it|They pushed a long board over the ice, and the {n} crawled onto it]. "
     "Carefully, they pulled it to the bank. It was wet and shivering. {B} wrapped it in {B.his} "
     "coat, and they carried it home to the warm stove. Two weeks later, the ice was as thick as "
     "a wall, and then they went skating at last."},

    {"mixing colours", "A:child B:child t:trait",
     "<intro> <oneday>, {A} and {B} wanted to paint the [fence|garden gate|old bench] for the "
     "summer party. It should be [1:green like grass|orange like a pumpkin|purple like a plum]. "
     "But when they opened the tins, there was no [1:green|orange|purple] paint. There was only "
     "[1:blue and yellow|red and yellow|red and blue].\n"
     "`Then it will have two colours,` said {B}, a little <sad>. {A} dipped the brush into the "
     "[1:blue|red|red] paint. A drop of it fell into the tin with the [1:yellow|yellow|blue] "
     "paint. `Oh no! I have spoiled it,` said {A} and stirred to make the drop go away. But then "
     "{A.he} opened {A.his} eyes wide. The paint in the tin had turned [1:green|orange|purple]!\n"
     "`Put in some more!` cried {B}. They mixed and stirred until the colour was just right. Then "
     "they painted until the evening. There was paint on their hands and noses, too. `How did you "
     "get that lovely [1:green|orange|purple]?` asked the neighbours. `By mistake,` said {A} and "
     "laughed. [From then on, they tried out what other colours they could mix.|Some mistakes, "
     "{A} thought, are really discoveries.]"},

    {"echo", "A:child t:trait G:elder",
     "<intro> <oneday>, {A} walked in the mountains with {A.his} {G}. {A} tripped over a stone "
     "and called, `Ouch!` From far away, a voice answered, `Ouch!` {A} was surprised. `Who are "
     "you?` {A.he} shouted. `Who are you?` came the answer.\n"
     "{A} grew angry. `You are [silly|stupid|mean]!` {A.he} shouted. The voice shouted the same "
     "thing back. `Someone is making fun of me,` {A} said to {A.his} {G}. {G.call} smiled. "
     "`Listen,` {G.he} said, and called in a friendly voice, `You are my friend!` And the voice "
     "answered, `You are my friend!`\n"
     "`That is the echo,` said {G.call}. `The rocks throw back whatever you say. [People are "
     "often like that, too.|It is the same with people.] If you shout at them, they shout at you. "
     "If you are kind to them, most of them are kind to you.` {A} put {A.his} hands to {A.his} "
     "mouth and called, `Have a good day!` `Good day!` answered the mountain. {A} waved to it and "
     "walked on, and {A.he} said hello to everyone they met on the way."},

    {"lighthouse", "A:child t:trait G:elder",
     "<intro> {A.his} {G} looked after the lighthouse on the rocks. Every evening, the great lamp "
     "was lit to show the ships the way.\n"
     "One evening in [autumn|November|winter], {G.call} slipped on the wet stairs and hurt "
     "{G.his} foot. A thick fog came up from the sea, and the lamp was still dark. Far out, a "
     "ship's horn could be heard. `Without the light, the ship will run onto the rocks,` said "
     "{G.call}, `and I cannot climb the stairs.` {A} looked up. There were [ninety|a hundred|two "
     "hundred] steps, and {A.he} had never gone up alone in the dark.\n"
     "`I will do it,` said {A}. {A.he} climbed and climbed. {A.his} legs were <tired>, and the "
     "wind [howled|whistled] around the tower. At the top, {A} did everything just as {A.he} had "
     "seen it so often. The great lamp began to shine, and a bright beam went out over the water. "
     "Slowly, the ship turned away from the rocks. The next day, the captain came with a [basket "
     "of oranges|box of chocolate|bag full of nuts]. `Who lit the lamp?` he asked. {G.call} put a "
     "hand on {A.his} shoulder. `The new lighthouse keeper,` said {G.call}."},

    {"fishing", "A:child t:trait G:elder",
     "<intro> <oneday>, {A} went fishing with {A.his} {G}. They rowed out onto the lake when the "
     "[sun was just coming up|mist was still on the water]. {A} threw in the line and looked at "
     "the cork. It did not move.\n"
     "`When does a fish come?` asked {A} after one minute. `When it is quiet,` said {G.call}. {A} "
     "tried to be quiet. But first {A.he} [sang a song|whistled], then {A.he} [rocked the "
     "boat|splashed with {A.his} hand], and then {A.he} dropped the tin box with a bang. The cork "
     "still did not move. `[This is boring,|There are no fish in this lake,]` said {A}. {G.call} "
     "only smiled.\n"
     "At last, {A} sat still and looked around. {A.he} saw [a heron among the reeds|a blue "
     "dragonfly|two otters at play|the clouds in the water], and {A.he} heard [a cuckoo call|the "
     "wind in the leaves|the water lap against the boat]. It was so beautiful that {A} forgot the "
     "cork. And just then it went under! Together, they pulled out a silver fish. It was a very "
     "small one, so they let it swim away again. `We did not bring home a fish,` {A} said in the "
     "evening, `but I have learned how to be quiet.`"},

    {"hot day water", "A:child B:child t:trait N:neighbour",
     "It had not rained for [five|six|seven] weeks. The grass was brown, and the [leaves|flowers] "
     "hung down. <oneday>, {A}, a {t} {A.boy}, saw that the old [linden tree|chestnut tree|apple "
     "tree] on the square was losing its leaves. `It is thirsty,` {A.he} said.\n"
     "{A} fetched a bucket of water from the well and poured it at the foot of the tree. {B} saw "
     "it and laughed. `One bucket for such a big tree? That is like one crumb for an elephant,` "
     "said {B}. `Then help me,` answered {A}, `and it will be two.` {B} thought about it and "
     "fetched a bucket, too. {N} looked out of the window, saw the two children and came with a "
     "third bucket. Soon there was a long row of people from the well to the square, who passed "
     "the buckets from hand to hand.\n"
     "They did so every evening until the rain came at last. The tree kept its leaves. In the hot "
     "days that followed, everyone sat in its cool shade. `[One bucket is little,|One crumb is "
     "little,]` said {B}, `but it was the beginning.` And {A} leaned against the trunk and was "
     "<glad>."},

    {"ducklings", "A:child t:trait G:elder",
     "<oneday>, {A} walked to school with {A.his} {G}. On the busy street, all the cars [stood "
     "still|had to stop]. One driver blew his horn. `What is going on?` asked {A}.\n"
     "Then {A.he} saw it. A mother duck wanted to cross the street with her "
     "[five|six|seven|eight] ducklings. But the last and smallest one could not get up onto the "
     "[kerb|pavement]. It jumped and fell back, jumped and fell back. The mother duck quacked "
     "loudly. She did not want to go on without it. {G.call} held up {G.his} hand so that all the "
     "cars stayed where they were. {A}, who was a {t} {A.boy}, [laid {A.his} school book against "
     "the stone like a small bridge|laid a flat piece of wood against the stone like a small "
     "bridge].\n"
     "The duckling looked at it. Step by step, it walked up and ran to its mother. {A.his} eyes "
     "shone. Even the driver who had blown his horn was smiling now. The ducks walked into the "
     "park in a row and slid into the pond. {A} came to school [five|ten] minutes late. But when "
     "{A.he} told the teacher the reason, she only said, `[Then you have already done something "
     "useful today.|That was a good reason.]`"},
};
const size_t synth_outdoor_count = sizeof synth_outdoor_plots / sizeof *synth_outdoor_plots;
