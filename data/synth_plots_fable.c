/* Fables: plots whose people are animals that can speak. */
#include "data/synth_internal.h"

const struct synth_plot synth_fable_plots[] = {
    {"winter store", "A:beastname a:gatherer B:beastname b:idler",
     "{A} was a {a.size} {a} who lived {a.home}. Next door lived {B}, a {b.size} {b}. All summer "
     "long, {A} carried home food for the winter: {a.food} today, {a.food} tomorrow. `Come and "
     "[dance|play|lie in the sun] with me,` called {B}. `First the work, then the play,` answered "
     "{A}. `The winter will be long.`\n"
     "{B} only laughed. `The winter is far away!` {B.he} said. {B.he} [sang and slept|danced and "
     "dozed] and did not gather anything. Then the leaves fell, the wind grew cold, and one "
     "morning the whole land was white with snow. {B} found nothing to eat any more. {B.he} was "
     "cold and hungry, and {B.he} knocked at {A.his} door.\n"
     "{A} opened it. {A.he} could have said, `I told you so.` But {A.he} said, `Come in and eat "
     "with me. There is enough for two if we are careful.` {B} was ashamed and thanked {A} [many "
     "times|with all {B.his} heart]. All winter long, {B} [swept the floor and kept the fire "
     "burning|told stories by the fire]. And when summer came again, {B} was the first to get up. "
     "`First the work,` said {B}, `and then the dance!`"},

    {"net", "A:beastname a:beast B:beastname b:fierce",
     "Deep in the forest lived {B}, a {b.size} {b}, and everyone was afraid of {B.him}. One "
     "[hot|quiet] day, while {B} was asleep, a {a.size} {a} named {A} stumbled over {B.his} foot. "
     "{B} woke up and was angry. `How dare you wake me?` {B.he} cried.\n"
     "`Please let me go,` begged {A}. `One day I may be able to help you.` {B} laughed so loudly "
     "that the birds flew up. `You, so small, help me? That is the funniest thing I have ever "
     "heard. Well, run along.` And {B.he} let {A} go.\n"
     "[A few days|A week|A month] later, {B} walked into a trap. [A net of thick rope fell over "
     "{B.him}.|Suddenly {B.he} hung in a net.] {B} pulled and raged, but the ropes only became "
     "tighter. {A} heard it and came at once. `Keep still,` {A.he} said, and began to work at the "
     "ropes, one after the other. It took half the night. At last, the net fell apart, and {B} "
     "was free. `I laughed at you,` said {B}, `and you saved my life.` `[Even a small friend can "
     "be a great help,|It is not size that counts,]` said {A}. From that day on, the two of them "
     "were often seen together."},

    {"slow race", "A:beastname a:slowbeast B:beastname b:quickbeast",
     "{B}, a quick young {b}, never stopped talking about how fast {B.he} was. `Nobody can beat "
     "me,` {B.he} said to everyone. `Least of all {A}!` {A} was a {a} who did everything slowly "
     "and carefully. `[Let us race|Let us run] to the old mill,` said {A} calmly. All the animals "
     "laughed.\n"
     "The race began. {B} shot off like an arrow, and soon {A} could not even see {B.him} any "
     "more. Halfway to the mill, {B} looked back. There was nobody behind {B.him}. `I have time "
     "for a [rest|nap|snack],` thought {B}, and {B.he} lay down under a [shady tree|bush]. The "
     "sun was warm, and soon {B.he} was fast asleep.\n"
     "{A} walked on, step after step. {A.he} did not stop to rest. {A.he} walked past the "
     "sleeping {b} without a sound. When {B} woke up, the sun was low. {B} jumped up and ran as "
     "fast as {B.he} could, but it was too late. {A} was already sitting on the steps of the "
     "mill. `How can that be?` cried {B}. `[I am slow, but I kept going,|You are faster, but I "
     "did not stop,]` said {A}. And {B} never boasted again."},

    {"flattery", "A:beastname a:bigbeast B:beastname b:beast f:food",
     "{B}, a {b.size} {b}, had found a fine {f} and was carrying it home in {B.his} mouth. {A}, a "
     "hungry {a}, saw it. `I would like to have that {f},` {A.he} thought, `but how do I get it?` "
     "<idea>\n"
     "`Good morning, {B}!` called {A} in a sweet voice. `How well you look today! Someone told me "
     "that you can sing better than any bird. What a pity that I have never heard it.` {B} was "
     "flattered. {B.he} wanted to show how beautifully {B.he} could sing, and {B.he} opened "
     "{B.his} mouth. Out fell the {f}! It rolled down the hill, right to the feet of {A}.\n"
     "{A} grabbed it and ate it up. `Thank you,` {A.he} said. `Your voice is not bad, but you "
     "should learn not to believe everything that people tell you.` {B} was angry, but most of "
     "all with {B.himself}. The next day, {B.he} found another {f}. Again {A} came and called, "
     "`Dear {B}, you look so fine today! Will you not dance for me?` {B} said nothing at all. "
     "{B.he} walked home, put the {f} in a safe place, and only then {B.he} came back and danced. "
     "`[Fooled once is enough,|I have learned my lesson,]` {B.he} said."},

    {"thorn", "A:beastname a:beast B:beastname b:fierce",
     "One evening, {A}, a {a.size} {a}, heard someone crying in the forest. {A.he} followed the "
     "sound and found {B}, a {b}, under a tree. {A} was afraid, because {B} was so much bigger. "
     "But {B} was holding up one foot, and there was [a long thorn|a splinter|a sharp piece of "
     "glass] in it.\n"
     "`Everyone runs away when I ask for help,` said {B}. {A} trembled a little. `If I pull it "
     "out, it will hurt for a moment,` {A.he} said. `Will you promise to hold still?` {B} "
     "promised it. {A} took hold of it and pulled. {B} [groaned|shut {B.his} eyes], but {B.he} "
     "did not move. And then it was out. {A} washed the foot with water from the stream and laid "
     "cool leaves on it.\n"
     "In the winter, [a flood|a great storm] came, and {A} lost the home that {A.he} had "
     "{a.home}. {A} stood in the cold and did not know where to go. Then {B} came through the "
     "snow. `You can stay with me,` said {B}. `My home is [big enough|warm and dry].` So {A} "
     "spent the winter with {B}, {b.home}, and was safe. `You helped me when everyone else ran "
     "away,` said {B}. `How could I forget that?`"},

    {"bridge", "A:beastname a:beast B:beastname b:beast",
     "Over the river there was a bridge, but it was so narrow that only one could cross it at a "
     "time. One morning, {A} the {a} came from one side and {B} the {b} from the other. In the "
     "middle they met.\n"
     "`Go back,` said {A}, `I was here first.` `No, you go back,` said {B}, `I was here first.` "
     "[They stamped their feet.|They pushed and shoved.|Neither of them would move.] The bridge "
     "began to shake. An old [heron|crow|toad] watched them from the bank. `[If you go on like "
     "this, both of you will get wet,|Two who will not give way will both fall in,]` it said. But "
     "they did not listen. There was a crack, and splash, they both fell into the cold water.\n"
     "Wet and shivering, they climbed out, each on the side where they had started. They looked "
     "at each other, and then they had to laugh. `That was silly,` said {A}. `If one of us had "
     "waited for a minute, both of us would be dry and home by now.` `You go first,` said {B}. So "
     "{A} crossed the bridge, and after that {B} crossed it. Since that day, there is a rule on "
     "the bridge: whoever [sees the other first|comes from the side of the mill] lets the other "
     "pass."},

    {"borrowed colours", "A:beastname a:beast B:beastname b:beast",
     "{A} was a plain grey {a}, and {A.he} did not like it. `If only I were [1:red like the "
     "cherries|blue like the sky|golden like the corn]!` {A.he} sighed. {A.his} friend {B}, a "
     "{b}, said, `I like you just as you are.` But {A} did not listen.\n"
     "{A.he} rolled in [1:crushed berries until {A.he} was red|blue flowers until {A.he} was "
     "blue|yellow clay until {A.he} was yellow] from head to foot. Now all the animals looked at "
     "{A.him}. {A} was <proud>. But a [hawk|weasel] looked at {A.him}, too, because {A.he} could "
     "be seen from far away. It came nearer and nearer. {A} ran and tried to hide among the "
     "stones, but the bright [1:red|blue|yellow] shone through every gap.\n"
     "`Jump into the stream!` called {B}. {A} jumped. The water washed the colour away, and when "
     "{A.he} lay down between the grey stones, nobody could see {A.him} any more. The hunter "
     "searched for a while and then went away, still hungry. {A} felt {A.his} heart beat. `Grey "
     "is a very good colour,` {A.he} whispered. `I told you so,` said {B}, and the two of them "
     "went home together."},

    {"two bowls", "A:beastname a:bigbeast B:beastname b:lowbeast d:dish",
     "{A} the {a} invited {B} the {b} to dinner. {A} had cooked soup, but {A.he} served it on a "
     "tall shelf, so high that {B} could not reach it. {A} ate everything and laughed secretly. "
     "`Does it not taste good?` {A.he} asked. {B} went home hungry.\n"
     "A week later, {B} invited {A}. {B} had made a {d}, and it smelled wonderful. But the table "
     "stood in a hole that was so small that {A} could not get through the door. {A.he} could "
     "only put {A.his} head in. {B} sat inside and ate. `Does it not smell good?` {B.he} asked. "
     "Now {A} was the one who was hungry, and {A.he} was angry. But then {A.he} thought about it. "
     "`It is exactly what I did to you,` {A.he} said. `I am sorry.`\n"
     "{B} put down the spoon. `I did not enjoy it either,` {B.he} said. `It is no fun to eat "
     "while someone else is hungry.` So {B} carried the {d} outside and put it on the grass. "
     "There was room for both of them there. They shared the {d} under the open sky, and it was "
     "the best dinner of all. After that, they ate together every [Sunday|week], always on the "
     "grass."},

    {"lantern", "A:beastname a:beast B:beastname b:beast",
     "{A}, a little {a}, had a lantern with a firefly in it. At night, its green light shone "
     "{a.home}, and {A} was never afraid. But the firefly [sat still|was sad] and its light grew "
     "weaker every day.\n"
     "`What is wrong with you?` asked {A}. `I miss my brothers and sisters,` answered the "
     "firefly. {A} did not want to let it go, because then {A.he} would sit in the dark. {A.he} "
     "asked {B}, the {b}, what to do. `If someone put you in a lantern,` said {B}, `what would "
     "you wish for?` {A} was silent for a long time. Then {A.he} opened the little door. The "
     "firefly flew out, turned in a circle once, and was gone.\n"
     "That night, it was very dark. {A} lay awake and was <sad>. Then something shone outside. "
     "One light, two lights, ten lights, a hundred! The firefly had come back and had brought its "
     "whole family. They danced in front of the door until {A} fell asleep. `[Whoever is free "
     "likes to come back,|What you let go may come back to you,]` said {B} the next day. And the "
     "lantern stayed empty, but the nights were brighter than ever."},

    {"too proud tree", "A:beastname a:beast B:beastname b:beast",
     "At the edge of a field stood a big oak, and beside it grew a thin reed. In the oak tree "
     "lived a proud old crow. `Our oak is so strong that it does not bow to anyone,` said the "
     "crow. {A}, a {a.size} {a}, lived below and listened.\n"
     "One night, a terrible storm came. `Come up and sit in the oak,` called the crow. {A} looked "
     "at the oak, which stood stiff and straight, and at the reed, which bent to the ground. "
     "`No,` said {A}, `I do not trust it.` {A.he} crept under the roots of a low hedge and took "
     "along {B} the {b}, who was wet and afraid. The wind roared. The reed bent down and stood up "
     "again. The oak did not bend. Then there was a terrible crack.\n"
     "In the morning, the oak lay on the ground. The crow sat on a stone, wet through, but alive. "
     "The reed stood there as if nothing had happened. `How did you do that?` asked the crow. `I "
     "gave way a little,` said the reed, `and the wind went by.` {A} and {B} helped the crow to "
     "build a new nest. [This time it was in a willow, which bends with the wind.|It was in a "
     "young birch, which can bend.] And the crow [spoke a little more softly from then on|was not "
     "so proud any more]."},

    {"lost way home", "A:beastname a:beast B:beastname b:beast t:trait",
     "{A} was a very young {a} who lived {a.home} with {A.his} mother. One morning, {A} followed "
     "a [butterfly|dragonfly|blue feather in the wind] and did not look at the way. When it was "
     "gone, {A} did not know where {A.he} was.\n"
     "`Mother!` {A.he} called, but only the wind answered. {A} began to cry. A {b} named {B} "
     "heard it and came out of the bushes. `[Do not cry.|Dry your tears.] What is there near your "
     "home?` {B} asked. {A} thought hard. `There is [1:a big white stone|a tree that was struck "
     "by lightning|a stream with a little waterfall],` {A.he} said. `I do not know it,` said {B}, "
     "`but if we ask everyone we meet, someone will know it.`\n"
     "They asked the snail, but it had never gone so far. They asked the mole, but he could not "
     "see well. Then they asked the swallow, who flew over the whole land every day. `[1:The "
     "white stone|The burnt tree|The waterfall]? It is behind the second hill,` said the swallow. "
     "So they walked over the first hill and over the second hill, and there was [1:the big white "
     "stone|the burnt tree|the waterfall]! {A.his} mother came running and held {A} tight. Then "
     "she gave {B} the best {a.food} she had. `Next time,` said {A}, `I will look at the way as "
     "well as at the [sky|flowers].`"},

    {"seed sharing", "A:beastname a:beast B:beastname b:beast l:plant",
     "{A} the {a} and {B} the {b} found a seed under a bush. `I saw it first,` said {A}. `But I "
     "picked it up,` said {B}. `Let us eat it,` said {B}. `One half for you and one half for me.` "
     "The seed was very small, and half of it would not even have been a bite.\n"
     "`Wait,` said {A}. `I have a better idea. Let us plant it.` {B} was hungry and did not like "
     "to wait, but in the end {B.he} agreed. They dug a hole and put in the seed. {A} carried "
     "water every morning, and {B} pulled out the weeds every evening. When [the snails|the "
     "beetles] came, they took turns to keep watch. In time, a green shoot came up. It was a "
     "{l}!\n"
     "At the end of the summer, {l.grown}. All the animals came to look at it. There were new "
     "seeds, too, so many that nobody could count them. They [kept a handful for the next "
     "spring|put aside the best seeds for the next year] and shared the rest with everyone. `If "
     "we had eaten the seed,` said {B}, `it would have been gone in one bite.` `[Good things need "
     "time,|Those who can wait get more,]` said {A}."},

    {"well and moon", "A:beastname a:beast B:beastname b:fierce",
     "One night, {B}, a {b}, came to the well and looked in. Down in the water lay something "
     "round and yellow. `The moon has fallen into the well!` cried {B}. `We must pull it out, or "
     "the nights will be dark for ever.`\n"
     "{B} fetched a rope with a hook and threw it in. The hook got caught on a stone at the "
     "bottom. {B} thought that it was the moon and pulled with all {B.his} might. Suddenly the "
     "hook came loose, and {B} fell on {B.his} back. There {B.he} lay and looked straight up into "
     "the sky. And what was there? The moon, round and bright. `I have done it!` cried {B}. `I "
     "have thrown it back into the sky!`\n"
     "{A}, a {a.size} {a}, had seen everything. {A.he} did not laugh. `That was kind of you,` "
     "said {A}. `But look into the well once more.` {B} looked, and the moon was there again. {B} "
     "looked up, and it was up there, too. {B.he} looked down and up, down and up. `Is it a "
     "picture, like my face in the pond?` {B.he} asked at last. `Yes,` said {A}. Then they both "
     "laughed, sat down on the edge of the well and looked at the two moons [until morning|for a "
     "long time]."},

    {"choir", "A:beastname a:beast B:beastname b:beast",
     "In the forest, the great summer feast was coming. All the animals were to sing in the "
     "choir. Only {A}, a {a}, did not want to. `My voice is too [low|rough|soft],` {A.he} said. "
     "`I would spoil everything.`\n"
     "{B} the {b} had the finest voice of all and sang the first part. `It does not matter,` {B} "
     "said. But {A} stayed away when the others practised and only listened from behind a tree. "
     "Without noticing it, {A} beat time with {A.his} foot. Tap, tap, tap. It was a steady beat, "
     "as even as a clock. On the evening before the feast, everything went wrong. Some sang too "
     "fast and some too slowly, and in the end everyone was cross.\n"
     "Then {B} heard it: tap, tap, tap. `Who is that?` asked {B} and looked behind the tree. "
     "`That is just what we need!` {B} pulled {A} into the middle and gave {A.him} a hollow "
     "[log|nut shell|gourd]. {A} beat the time, and suddenly all the voices fitted together. On "
     "the day of the feast, there was much applause. `[Not everyone must sing, but everyone is "
     "needed|There is a place for everyone],` said {B}. {A} was <proud>, and {A.he} beat the drum "
     "until late in the night."},

    {"false treasure", "A:beastname a:beast B:beastname b:beast p:food",
     "{A} the {a} heard that a treasure was buried in the old field. {A.he} told {B} the {b} "
     "about it, and the two began to dig at once. They dug [from morning to evening|day after "
     "day], from one end of the field to the other. They found stones and roots, but they did not "
     "find any gold.\n"
     "`Somebody has made fools of us,` said {B}. They were <tired> and dirty. {B} threw down the "
     "spade. A wise old owl sat on the fence post and looked at the dark, loose earth. `Never has "
     "this field been dug so well,` said the owl. `It would be a pity to do nothing with it.` "
     "<think>. Then {A.he} fetched a bag of seed, and they sowed the whole field.\n"
     "The rain came, and the sun came. In [autumn|August], the field stood full of golden corn, "
     "so high that {A} could not see over it. They had enough to eat for the whole winter and "
     "could even trade some of it for {p.plural}. `So there was a treasure in the field after "
     "all,` said {B}. `[Yes, but we had to put it in first,|We only did not know what it looked "
     "like,]` said {A}."},
};
const size_t synth_fable_count = sizeof synth_fable_plots / sizeof *synth_fable_plots;
