/* Story plots at home and at school. Every plot is a chain of causes and effects: what is lost is
 * what is found, and feelings follow from events. */
#include "data/synth_internal.h"

const struct synth_plot synth_daily_plots[] = {
    {"lost toy", "A:child o:toy p:place t:trait B:child",
     "<intro> {A.his} favourite thing was a {o.look} {o}. [Every day|Each afternoon|After "
     "school], {A.he} {o.use}.\n"
     "<oneday>, {A} took the {o} {p.to}. There {A.he} {p.play}, and {A.he} had so much fun that "
     "{A.he} [put the {o} down and forgot about it|left the {o} behind without noticing]. [Back "
     "at home|Before supper|At bedtime], {A} [reached for|looked for] the {o}, but it was "
     "[gone|not there]. [<search>, but it was no use. |]{A.he} felt <sad>. `[Where can it "
     "be?|Where did I leave it?|Oh no, my {o} is lost!]` [asked|cried] {A}.\n"
     "{A.his} friend {B} said, `[Let us think. |Do not worry. |]When did you last [see|have] it?` "
     "<think>. `I had it {p.at},` {A.he} said. So the two friends went back {p.to} and looked "
     "[everywhere|carefully|high and low]. At last, {B} saw something {p.spot}. It was the "
     "{o.look} {o}! <thanks> From then on, {A} always [checked that {A.he} had everything|looked "
     "around twice] before {A.he} went home."},

    {"broken thing", "A:child o:fragile t:trait G:elder",
     "<intro> {A.his} {G} had a {o.look} {o} that {G.he} loved very much. [It had been a present "
     "from an old friend.|{G.he} had bought it many years ago.|It had once belonged to {G.his} "
     "own mother.]\n"
     "<oneday>, {A} was [running through the house|playing with a ball in the living room|dancing "
     "around the room|chasing a fly], although {A.he} knew that it was not allowed there. "
     "[Crash!|Bang!|There was a loud crash.] The {o} fell to the floor and broke. {A} stood "
     "still. {A.his} heart beat fast. [{A.he} wanted to hide the pieces|First {A.he} thought of "
     "blaming the cat|{A.he} wanted to run away], but that did not feel right.\n"
     "So {A} went to {A.his} {G} and said, `I broke your {o}. I am so sorry.` {G.call} was silent "
     "for a moment. Then {G.he} said, `I am sad about the {o}, but I am glad that you told me the "
     "truth.` Together they took {o.mend} and mended the {o}. [You could still see where it had "
     "been broken, but {G.call} liked it even better than before.|It was not as good as new, but "
     "it was good enough.] {A} felt [light|better] again. {A.he} had learned that [telling the "
     "truth is hard for a minute, but a lie is heavy for a long time|an honest word can mend more "
     "than glue]."},

    {"baking", "A:child d:dish B:child t:trait G:elder",
     "<intro> <oneday>, {A} wanted to make a {d} for {A.his} {G}, because [it was {G.his} "
     "birthday|{G.he} had been ill for a week|{G.he} was coming home from a long journey|{G.he} "
     "had worked so hard].\n"
     "{A} put on an apron, washed {A.his} hands and got out a big bowl. But when {A.he} opened "
     "the cupboard, one thing was missing: {d.need}. Without {d.need}, there could be no {d}. "
     "`What shall I do now?` asked {A}. [The shop was already closed.|It was too far to walk to "
     "the shop.|There was not a single coin in {A.his} purse.]\n"
     "<idea> {A.he} went next door to {B} and knocked. `I want to make a {d}, but I have no "
     "{d.need},` {A.he} said. `[Of course I will help you,|Take all I have,|We have more than "
     "enough,]` said {B}, `if I may bake with you!` So {B} brought {d.need}, and the two of them "
     "mixed and stirred and laughed. Soon [a sweet smell|a good smell|a warm, lovely smell] "
     "filled the kitchen. When {G.call} saw the {d}, {G.his} eyes shone. `This is the best {d} I "
     "have ever tasted,` said {G.call}. And {A} cut {B} the biggest piece of all."},

    {"messy room", "A:child o:treasure t:trait G:elder",
     "<intro> But {A} had one bad habit. {A.he} never tidied {A.his} room. There were [socks on "
     "the lamp and books in the bed|toys on the floor and crumbs on the chair|papers everywhere "
     "and shoes on the shelf].\n"
     "<oneday>, {A} could not find {A.his} {o.look} {o}. {A.he} needed it [for school|that very "
     "afternoon|for a game with {A.his} friends]. <search>. It was like looking for a needle in a "
     "haystack. `[Maybe somebody took it,|It must have walked away,|It has vanished,]` {A} said "
     "[angrily|sadly|with a sigh]. {A.his} {G} looked at the mess and smiled. `First tidy up,` "
     "said {G.call}, `and then look again.`\n"
     "So {A} put the books on the shelf, the socks in the drawer and the toys in the box. It took "
     "[an hour|all afternoon|a long time]. And when {A} picked up the last "
     "[sock|shirt|blanket|cushion], there lay the {o}! It had been under it all the time. `Nobody "
     "took it,` said {A} and laughed. `My own mess was hiding it.` After that day, {A} tidied the "
     "room every [evening|Saturday], and {A.he} never lost the {o} again."},

    {"saving up", "A:child o:toy t:trait N:neighbour",
     "<intro> In the window of the toy shop stood a {o.look} {o}. {A} wished for it with all "
     "{A.his} heart. But the {o} cost ten coins, and {A} had only [1:two|three|four].\n"
     "`If I want it, I must earn it,` said {A}. So {A.he} went to {N} and asked for work. {N} was "
     "pleased. [2:On Monday, {A} swept the yard. On Tuesday, {A.he} watered the flowers|First {A} "
     "washed the windows. Then {A.he} fed the hens|In the morning, {A} raked the leaves. In the "
     "afternoon, {A.he} carried wood into the shed]. It was hard, and {A.his} [arms|hands|legs] "
     "were <tired>, but {A.he} did not give up. When the work was done, {N} gave {A.him} "
     "[1:eight|seven|six] coins.\n"
     "{A} counted: [1:two and eight make ten|three and seven make ten|four and six make ten]! "
     "{A.he} ran to the shop and bought the {o}. At home, {A.he} {o.use}. [The {o} was even more "
     "precious to {A.him} because {A.he} had worked for it.|`I like it twice as much,` {A.he} "
     "said, `because I earned it myself.`]"},

    {"learning", "A:child s:skill t:trait G:elder",
     "<intro> More than anything, {A} wanted to learn to {s}. {A.his} {G} could do it very well, "
     "and it looked so easy.\n"
     "<oneday>, {A} tried it for the first time, but {s.failed}. {A.he} tried again, and it went "
     "wrong again. `I will never learn it!` cried {A}. {A.he} was [angry|<sad>|tired and cross] "
     "and wanted to stop. {G.call} sat down beside {A.him}. `Do you think I could do it on the "
     "first day?` asked {G.call}. `I failed [a hundred times|more often than I can count]. "
     "Listen: {s.advice}. And practise a little every day.`\n"
     "So {A} practised every day[, in sun and rain|, even when {A.he} did not feel like it|, "
     "before breakfast and after school]. On the [third|fifth|sixth] day, it went a little "
     "better. After [two weeks|a month|three weeks], {A} {s.did}. {A.his} whole family clapped. "
     "{A} was <proud>. `[You see,|Well done,]` said {G.call}, `[step by step, one gets to the top "
     "of the mountain|those who keep trying get there in the end|practice makes the master].`"},

    {"fear", "A:child f:fear t:trait G:elder",
     "<intro> But there was one thing that {A} did not like at all. {A.he} was afraid of {f}. "
     "Whenever {A.he} thought of {f}, {A.his} [knees shook|hands grew cold|heart beat like a "
     "drum].\n"
     "<oneday>, {A} told {A.his} {G} about it. {G.call} did not laugh. `[Everyone is afraid of "
     "something|I was afraid of the same thing when I was little],` {G.he} said. `Do you know "
     "what helped me? Someone told me that {f.comfort}. Come, let us go together, one small step "
     "at a time.` {A} took a deep breath and held {G.his} hand [very tight|tightly].\n"
     "The first step was hard. The second was a little easier. {A} remembered what {G.call} had "
     "said, and slowly {A.his} heart grew calm. And what did {A.he} see then? {f.reward}! [`If I "
     "had stayed at home, I would never have seen this,` said {A}.|{A} was so surprised that "
     "{A.he} forgot to be afraid.] {A} was still a little afraid the next time, but {A.he} knew "
     "now that [being brave means going on although you are afraid|fear grows smaller when you "
     "look at it closely]."},

    {"new child", "A:child B:child o:toy t:trait p:place",
     "<intro> <oneday>, a new {B.boy} came into {A.his} class. {B.his} name was {B}. {B} [came "
     "from a far country|had just moved to the town|did not know anybody], and {B.he} sat alone "
     "at the back and did not say a word.\n"
     "At noon, all the children ran outside, but {B} stayed [by the wall|on the steps|under the "
     "tree] and looked at {B.his} shoes. {A} saw it. {A.he} remembered how [lonely|strange] "
     "{A.he} had felt on {A.his} own first day at school. So {A.he} walked over and said, `Hello, "
     "I am {A}. Would you like to play with my {o}?` {B} looked up. Slowly, a smile came to "
     "{B.his} face. `I have a {o} at home, too,` {B.he} said.\n"
     "They played until the bell rang. After school, {A} showed {B} the way {p.to}, and {p.at} "
     "they {p.play}. `[This morning I wanted to go home,|I was afraid of this day,]` said {B}, "
     "`but now I am glad that I came.` <friendsnow> [It had taken only one friendly word.|And it "
     "had all begun with a simple hello.]"},

    {"too many sweets", "A:child t:trait f:food G:elder",
     "<intro> {A} loved [sweets|cakes|sugar buns] more than anything. <oneday>, there was a big "
     "[birthday party|wedding|summer party] in the village, and on the table stood plates and "
     "plates of [chocolate|honey cake|cream buns|sugar plums].\n"
     "`[Do not eat too much,|One piece is enough,|Eat slowly,]` said {A.his} {G}. But {A} did not "
     "listen. {A.he} ate one piece, then two, then [six|seven|eight]. `They are so good,` {A.he} "
     "said with a full mouth. An hour later, {A} did not feel well at all. {A.his} tummy hurt, "
     "and {A.he} [groaned|turned pale|had to lie down]. When the other children began to "
     "[dance|play games|sing], {A} could not join in.\n"
     "{G.call} brought {A.him} a cup of [mint|warm|weak] tea and sat beside {A.him}. `Now I know "
     "why you said it,` whispered {A}. The next day, the pain was gone. When someone offered "
     "{A.him} a plate of sweets, {A} took only one piece and then ate a {f}. And do you know "
     "what? That one piece tasted better than all the others."},

    {"library book", "A:child t:trait B:child p:place",
     "<intro> Every week, {A} borrowed a book from the library. This time it was a book about "
     "[pirates|whales|the stars|dragons|old castles|wild horses], and it was so exciting that {A} "
     "took it everywhere, even {p.to}.\n"
     "But while {A.he} {p.play}, it began to rain, and the book lay [open|alone] {p.spot}. When "
     "{A} found it, the pages were [wet and wavy|soaked]. {A} was <worried>. `[Put it back on the "
     "shelf and say nothing,|Nobody will notice if you hide it,]` said {B}. {A} shook {A.his} "
     "head. `Then the next reader gets a spoiled book and does not know why,` {A.he} said.\n"
     "{A} dried the book and carried it to the library. With a red face, {A.he} told the "
     "librarian what had happened. The librarian looked at the pages. `[Thank you for being "
     "honest.|It takes courage to tell me that.] You may help me to [put the books back in "
     "order|mend old books|wash the shelves] on Saturday, and then we are even.` So {A} came on "
     "Saturday, and {B} came along to help. [{A.he} liked the work so much that {A.he} came back "
     "the next Saturday, too.|From then on, {A} always carried {A.his} books in a bag that kept "
     "them dry.]"},

    {"noise at night", "A:child t:trait n:pet G:elder",
     "<intro> One [dark|stormy|windy|cold] night, {A} woke up because {A.he} heard a strange "
     "noise. [Scratch, scratch.|Tap, tap.|Thump, thump.] It came from [the kitchen|behind the "
     "back door|the stairs|the shed]. {A} pulled the blanket up to {A.his} nose. `Is it a "
     "[1:ghost|monster|thief]?` {A.he} thought.\n"
     "The noise came again. {A} could not sleep, so {A.he} [woke {A.his} {G}|ran to {A.his} {G}]. "
     "`There is only one way to find out,` said {G.call} and lit a lamp. They walked [slowly|on "
     "tiptoe] towards the noise. {A.his} heart was beating fast. {G.call} held up the lamp, and "
     "{A} looked.\n"
     "There was no [1:ghost|monster|thief]. There was only a small {n.look} {n}, [cold and "
     "hungry|wet and shivering]. It {n.called} softly. `[You poor little thing!|You were more "
     "afraid than I was!]` said {A}. {A.he} gave it {n.treat} and a warm place to sleep. In the "
     "morning, they learned that the {n} belonged to a neighbour, who was <glad> to have it back. "
     "[Since that night, {A} knows that a noise in the dark is often just someone who needs "
     "help.|And {A} was not afraid of noises any more.]"},

    {"quarrel", "A:child B:child o:toy t:trait",
     "<intro> {A} and {A.his} friend {B} both liked to play with the same {o.look} {o}. <oneday>, "
     "they both wanted it at the same time. `It is my turn!` cried {A}. `No, it is mine!` shouted "
     "{B}. {A} pulled on one side, and {B} pulled on the other. [Crack!|Snap!] The {o} broke [in "
     "two|into two pieces].\n"
     "Now nobody could play with it. {A} was angry with {B}, and {B} was angry with {A}. They sat "
     "in two corners of the room and did not talk. [It was very quiet.|The clock ticked.] After a "
     "while, {A} felt more sad than angry. `It was my fault, too,` {A.he} said. `I pulled as hard "
     "as you did.` {B} looked up. `I am sorry,` {B.he} said.\n"
     "They picked up the pieces and [mended the {o} with glue|tied the {o} together with "
     "string|took the {o} to {A.his} father, who helped them to mend it]. Then they made a rule: "
     "[one plays until the sand in the glass has run down, and then it is the turn of the "
     "other|on even days {A} begins, and on odd days {B} begins|they count to a hundred, and then "
     "they change]. Playing in turns was much more fun than playing alone."},

    {"lights out", "A:child t:trait G:elder B:child",
     "<intro> One evening, {A} was [watching a film|reading a book|playing a game] when a great "
     "storm came up. The wind howled, and the rain beat against the windows. Suddenly all the "
     "lights went out.\n"
     "`I cannot see anything!` cried {A}. [It was as dark as inside a sack.|The whole street was "
     "dark.] {A.his} {G} found a candle and lit it. A small, golden light filled the room. `A "
     "tree has fallen on the wires,` said {G.call}. `We must wait until they are mended.` {A} was "
     "bored at first. Then {A.he} held {A.his} hands in front of the candle, and on the wall "
     "there was a [bird|rabbit|dog] made of shadow!\n"
     "{G.call} made [an elephant|a swan|a crocodile], and {A} made [a snail|a wolf|a butterfly]. "
     "They told stories and ate [apples|nuts|bread and honey] by candlelight. When the lights "
     "came back, {A} was almost sorry. [`Can we turn them off again?` {A.he} asked.|{A.he} stood "
     "up and switched them off again.] And the next day, {A.he} told {B}, `The best evening of "
     "the week was the one when the lights went out.`"},

    {"grandparent's story box", "A:child t:trait G:elder o:treasure",
     "<intro> <oneday>, it rained without end, and {A} was bored. {A.his} {G} took {A.him} up to "
     "the attic. There, [under a dusty blanket|behind old chairs|beside the chimney], stood a "
     "wooden chest. `Open it,` said {G.call}.\n"
     "The lid creaked. Inside lay a {o.look} {o}. `What is that for?` asked {A}. {G.call} sat "
     "down. `When I was as small as you,` said {G.call}, `I found this {o} [on the beach|in the "
     "forest|on the road]. I wanted to keep it, because it was so beautiful. But then I saw a "
     "[sailor|woman|man] who was looking for something and was very sad. So I gave it back.`\n"
     "`But why is it here then?` asked {A}. {G.call} smiled. `Many years later, a parcel came. In "
     "it was the {o} and a letter. It said: You were honest when you were little, so now it is "
     "yours.` {A} held the {o} in {A.his} hand. [It seemed to be warm.|It shone in the light of "
     "the lamp.] Outside it was still raining, but {A} was not bored any more. `Tell me another "
     "story,` {A.he} said."},

    {"waiting for mother", "A:child t:trait d:dish B:child",
     "<intro> <oneday>, {A.his} mother had to work late. `You will find {d.need} in the kitchen,` "
     "she had written on a note, `but please wait for me with the cooking.` {A} and {A.his} "
     "cousin {B} were [hungry|very hungry].\n"
     "`Let us surprise her,` said {B}, `and do everything that can be done without the stove.` So "
     "they [washed the dishes|swept the floor] and [laid the table|put flowers on the table]. "
     "They washed and cut [the vegetables|the fruit] and set out the bowls. {A} wanted to light "
     "the stove, but {B} said, `No, she asked us to wait for her.` {A} knew that {B} was right.\n"
     "When the door opened, {A.his} mother was <tired>. But then she saw the clean kitchen and "
     "the table, and her face [lit up|grew bright]. `You have done half of my work!` she said. In "
     "[a short time|half an hour], the three of them had made a {d}, and they ate it together. "
     "[{A} noticed that food tastes best after work.|`I could get used to such surprises,` said "
     "{A.his} mother.]"},
};
const size_t synth_daily_count = sizeof synth_daily_plots / sizeof *synth_daily_plots;
