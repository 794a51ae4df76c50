/* Story plots about helping, giving and giving back. */
#include "data/synth_internal.h"

const struct synth_plot synth_kindness_plots[] = {
    {"hurt animal", "A:child w:wild t:trait G:elder",
     "<intro> <oneday>, {A} found a {w} that lay on the path. It [could not move|was hurt|held up "
     "one foot] and looked at {A.him} with frightened eyes. [A cat had bitten it.|The storm of "
     "the night had hurt it.|A cart had run over its foot.]\n"
     "Very gently, {A} picked it up and carried it home in {A.his} [hat|scarf|jacket]. {A.his} "
     "{G} put a small bandage on it. They made a bed of [hay|soft moss|old wool] in a box. {A} "
     "gave it water and {w.food}. `May I keep it for ever?` asked {A}. {G.call} shook {G.his} "
     "head. `Its home is {w.home}. It belongs there, not in a box.`\n"
     "Day after day, the {w} grew stronger. After [two|three] weeks, it could move again as if "
     "nothing had happened. {A} was <sad>, but {A.he} knew what was right. {A.he} carried the box "
     "outside and opened it. The {w} looked back at {A.him} once, and then it was gone. [1:In the "
     "next spring, {A} saw it again, and it was not alone. It had young ones|The next morning, "
     "{A} saw it close to the house. It did not run away when {A.he} came near|From then on, {A} "
     "put {w.food} outside every evening, and in the morning they were always gone]. [`It has not "
     "forgotten me,` thought {A}.|{A} was happy, because the {w} was free.]"},

    {"found treasure", "A:child o:treasure p:place t:trait N:neighbour",
     "<intro> <oneday>, {A} {p.play} {p.at}. Suddenly {A.he} saw something {p.spot}. It was a "
     "{o.look} {o}! `How beautiful,` said {A}. {A.he} looked around, but there was nobody to be "
     "seen.\n"
     "{A} put the {o} into {A.his} pocket and walked on. But [the {o} seemed to grow heavier with "
     "every step|{A.he} could not be happy about it]. `Someone is looking for it now,` {A.he} "
     "thought. `Someone is sad, because the {o} is gone.` <idea> {A} wrote a note: `Who has lost "
     "a {o}?` {A.he} hung it up on [the big tree|the door of the bakery|the garden gate], where "
     "everyone could read it.\n"
     "In the evening, there was a knock at the door. It was {N}. `I lost my {o} {p.at},` said "
     "{N}. `It was {o.look}. [It belonged to my mother.|I have had it since I was young.|I looked "
     "for it all day.]` {A} gave it back. {N} was so <glad> that [tears came to {N.his} "
     "eyes|{N.he} could hardly speak]. The next day, {N} brought {A.him} [a big apple pie|a "
     "basket of cherries|a book of fairy tales]. But the best thing was the good feeling in "
     "{A.his} heart."},

    {"hungry animal", "A:child n:pet f:food t:trait p:place",
     "<intro> <oneday>, {A} was on the way {p.to}. {A.his} mother had given {A.him} a {f} for the "
     "way. [On a corner|At the gate|Beside the road] sat a thin {n.look} {n}. It had no "
     "[home|owner], and it {n.called} softly.\n"
     "{A} was hungry, too. {A.he} looked at the {f}, and {A.he} looked at the {n}. `[You need it "
     "more than I do,|I had breakfast, and you did not,]` said {A} at last. {A.he} went to the "
     "nearest house and asked for {n.treat}, and in return {A.he} gave the {f} to the [woman|man] "
     "who lived there. The {n} ate everything and followed {A.him} all the way {p.to}.\n"
     "There {A} {p.play} until it was time to go home. But a thick fog had come up, and {A} did "
     "not know the way any more. Then the {n} walked ahead, stopped, and looked back, as if it "
     "wanted to say: come with me. {A} followed it, step by step, until {A.he} saw the light of "
     "{A.his} own house. `Now you have helped me,` said {A}. {A.his} mother [opened the door "
     "wide|was <glad>]. And from that evening on, the {n} had a home."},

    {"old neighbour", "A:child N:neighbour t:trait f:food",
     "<intro> Next door lived {N}, who was very old and lived all alone. [The children said that "
     "{N} was bad-tempered.|Most children were afraid of {N}, because {N.he} never smiled.]\n"
     "<oneday>, {A} saw {N} on the street with a heavy bag. Suddenly the bag tore, and {f.plural} "
     "rolled over the road. Some children laughed. {A} did not laugh. {A.he} ran and picked up "
     "the {f.plural}, one after the other, and carried them to the house. `[My back is not what "
     "it was,|These old hands are not strong any more,]` said {N}. `Will you come in for a "
     "moment?` {A} was a little <worried>, but {A.he} went in.\n"
     "What a surprise! The room was full of [clocks that ticked and sang|ships in bottles|puppets "
     "from all over the world|birds carved of wood]. {N} told {A.him} where each of them came "
     "from, and {N} [smiled|laughed] while {N.he} talked. `Why do you never smile outside?` asked "
     "{A}. `Because nobody ever talks to me there,` answered {N}. From then on, {A} came every "
     "[week|Friday] and carried the shopping, and for that there was always a story. And soon the "
     "other children wanted to come along, too."},

    {"present for elder", "A:child G:elder t:trait o:treasure",
     "<intro> It was nearly the birthday of {A.his} {G}, and {A} had no present yet. In the shop "
     "{A.he} saw a {o.look} {o}, but it was much too expensive.\n"
     "{A} went home and was <sad>. `A present must be something grand,` {A.he} thought. <think>. "
     "What did {G.call} like best? [1:{G.call} liked to sing, but {G.his} eyes had grown weak, "
     "and {G.he} could not read the small words in the song book|{G.call} liked to sit in the "
     "garden, but the old bench had lost its paint and was full of splinters|{G.call} liked to "
     "hear about the old days, but the photographs lay all mixed up in a box]. <idea> For "
     "[three|four|five] days, {A} worked in secret. [1:{A.he} wrote all the songs on big sheets "
     "of paper, in letters as tall as a thumb|{A.he} rubbed the bench until it was smooth and "
     "painted it blue|{A.he} put the photographs in order and glued them into a book].\n"
     "On the birthday, {A} led {G.call} to the present. `It did not cost anything,` {A.he} said "
     "in a low voice. {G.call} looked at it for a long time and then <hug>. `Anyone can buy a "
     "{o},` said {G.call}, `but nobody else could have given me this.` [1:And then they sang the "
     "first song together|And then they sat down on the blue bench in the sun|And then they "
     "looked at every single picture], and {A} was <proud>."},

    {"crying wolf", "A:child N:neighbour B:child t:trait",
     "In a village by the river lived a {A.boy} named {A}, who loved to play tricks. <oneday>, "
     "{A} ran through the streets and shouted, `[1:The barn is on fire|The goats are loose|The "
     "river is rising]! Help!` {N} dropped everything and came running, and so did all the "
     "others. But [1:there was no fire|the goats were all in their pen|the river was as calm as "
     "ever]. {A} laughed until {A.his} belly hurt.\n"
     "`That was not funny,` said {B}. `People came because they wanted to help.` But a week "
     "later, {A} did it again. Again everyone came running, and again it was only a joke. Now the "
     "people were angry. Then, one [windy|stormy|dark] evening, it really happened. [1:{A} saw "
     "flames behind the barn|{A} saw that the gate was open and the goats were running away|{A} "
     "saw the water come over the bank]. `Help! Help!` {A.he} cried. But nobody came. `{A} is "
     "only joking again,` they said.\n"
     "With tears in {A.his} eyes, {A} ran to {B}. `This time it is true!` {A.he} said. {B} looked "
     "at {A.him} closely and believed {A.him}. {B} rang the big bell, and then the people came at "
     "last. It was almost too late, but [1:they put out the fire|they caught all the goats|they "
     "built a wall of sand bags in time]. `I am sorry,` {A} told them all. `I will never call for "
     "help again unless I need it.` And {A} kept that promise, for {A.he} had learned that "
     "[nobody believes a liar, even when he tells the truth|trust is easy to lose and hard to win "
     "back]."},

    {"trade chain", "A:child o:toy t:trait N:neighbour f:food c:warm",
     "<intro> {A} had a {o.look} {o}, but what {A.he} wished for most was a little dog. <oneday>, "
     "{A} met a boy who was crying. `My {o} is broken,` sobbed the boy, `and tomorrow is the big "
     "show.` {A} thought about it and gave him {A.his} own {o}. `Take this {c.look} {c} in "
     "return,` said the boy. `It is all I have.`\n"
     "A little later, {A} met {N}, who was shivering in the cold wind. `Take my {c},` said {A}. "
     "{N} put it on and was warm again. `I have only this basket of {f.plural},` said {N}. `It is "
     "yours.` So {A} walked on with the basket. At the next corner sat a woman with five hungry "
     "children. {A} did not think long and gave them the {f.plural}.\n"
     "The children ate until nothing was left. `You have given us your food,` said the woman. "
     "`What can I give you? Our dog has had puppies, and we cannot feed them all. Would you take "
     "one?` She put a small brown puppy into the arms of {A}. {A} could hardly believe it. {A.he} "
     "had given away [everything|one thing after the other], and in the end {A.he} held just what "
     "{A.he} had wished for. [{A.he} named the puppy Lucky.|The puppy licked {A.his} nose.]"},

    {"team rope", "A:child B:child t:trait N:neighbour",
     "<intro> After [a stormy night|days of rain|a long winter], {N} tried to [1:pull a cart out "
     "of the mud|move a fallen tree off the road|pull a big turnip out of the ground]. But it was "
     "too heavy. `Let me help,` said {A} and pulled, too. It did not move.\n"
     "{A} called {B}, and {B} took hold as well. One, two, three! It [shook|moved a little], but "
     "then it was stuck again. {B} called the baker, and the baker called the postman. Now there "
     "were five of them. They pulled, but everyone pulled at a different time, and it was no use. "
     "`Stop!` cried {A}. `We are strong enough, but we must all pull at the same moment. I will "
     "count, and we pull on three.`\n"
     "`One, two, three!` counted {A}. They all pulled as one, and [1:with a loud squelch, the "
     "cart came free|with a long scrape, the tree rolled aside|with a pop, the turnip came out]. "
     "They all fell backwards [into the mud|onto the grass|on top of each other] and laughed. "
     "[1:{N} gave everyone a ride home in the cart|Everyone took home a piece of the tree for the "
     "stove|{N} cooked a turnip soup that was enough for the whole street]. `Five strong people "
     "could not do it,` said {N}, `but five people together could.`"},

    {"lost pet", "A:child n:pet B:child t:trait p:place",
     "<intro> {A} had a {n.look} {n} that followed {A.him} everywhere. <oneday>, {A} forgot to "
     "close the gate. When {A.he} came back, the {n} was gone.\n"
     "{A} called and called, but there was no answer. `[It is all my fault,|If only I had closed "
     "the gate,]` {A.he} said. {A.his} friend {B} came to help. They asked [the baker|the "
     "postman|the children on the street], and they looked {p.at}, but nobody had seen a {n.look} "
     "{n}. It was getting dark, and {A} was <worried>. `Let us think like a {n},` said {B}. `What "
     "does it like best?` `{n.treat},` answered {A} at once.\n"
     "<idea> They put {n.treat} beside the gate and waited behind the hedge. They hardly dared to "
     "breathe. After a while, something rustled. Out of the bushes came the {n}! It was dirty and "
     "[tired|hungry], and it {n.called} when it saw {A.him}. {A} [hugged it|held it tight] and "
     "did not want to let it go. Then {A.he} shut the gate, and pushed it once more to be sure. "
     "<thanks>"},

    {"shared umbrella", "A:child B:child t:trait c:colour",
     "<intro> <oneday>, dark clouds hung over the school. {A} had brought {A.his} {c} umbrella, "
     "because {A.he} had looked at the sky in the morning. When the bell rang, it was pouring.\n"
     "At the door stood {B}. {B} had [laughed at|made fun of] {A.his} umbrella that very morning, "
     "when the sun was still shining. Now {B.he} had no coat and no umbrella, and {B.he} had a "
     "long way to go. {A} could have walked past. [For a moment, {A.he} wanted to.|That would "
     "have been easy.] But then {A} stopped. `There is room for two,` {A.he} said.\n"
     "They walked close together, and the rain drummed on the umbrella. At first, nobody said "
     "anything. `I am sorry that I laughed,` said {B} after a while. `[It is all right,|I have "
     "already forgotten it,]` answered {A}. They jumped over puddles and talked about "
     "[football|dogs|the stars|their teacher]. When they came to the house of {B}, the sun was "
     "coming out again, and over the roofs stood a rainbow. <friendsnow>"},

    {"sick friend", "A:child B:child t:trait o:toy G:elder",
     "<intro> <oneday>, the chair beside {A} was empty. {A.his} friend {B} was ill and had to "
     "stay in bed for [a week|two weeks]. Nobody was allowed to visit, because the others might "
     "catch the illness.\n"
     "`[How bored {B} must be,|It must be lonely to lie there all day,]` {A} said to {A.his} {G}. "
     "`What can I do if I may not go in?` `You may not go in,` said {G.call}, `but a "
     "[letter|picture] may.` <idea> {A} [drew a picture of the whole class|wrote down everything "
     "that had happened at school|wrote a funny story] and put it through the door. The next day, "
     "{A} stood in front of the window with {A.his} {o} and [did tricks|put on a little play|made "
     "silly faces]. {B} laughed behind the glass, for the first time in days.\n"
     "Every day {A} came back with something new. When {B} was well again, {B.he} said, `[The "
     "medicine was bitter, but your visits were sweet.|I was alone in the room, but I never felt "
     "alone.]` And when {A} had a cold in the winter, guess who stood in front of {A.his} window?"},

    {"race", "A:child B:child t:trait",
     "The day of the big race had come. {A} was the fastest runner of {A.his} class and had "
     "practised for weeks. {B} had never won a race, but {B.he} loved to run.\n"
     "`Ready, steady, go!` called the teacher. {A} ran like the wind and was soon far ahead. "
     "{A.he} could already see the finish. Then {A.he} heard a cry. {A} looked back. {B} had "
     "fallen and held {B.his} knee. The other runners [ran past|did not stop]. {A} looked at the "
     "finish, and {A.he} looked at {B}. It took {A.him} only a moment. {A.he} turned around and "
     "ran back.\n"
     "`[Why are you not running on?|You could have won!]` said {B} with surprise. `Come,` said "
     "{A}, `lean on me.` Arm in arm, they walked the rest of the way. They were the very last. "
     "But when they crossed the line, all the people stood up and clapped, louder than for the "
     "winner. {A} did not get the [golden cup|gold medal] that day. [But {B} made {A.him} one out "
     "of cardboard, and it hangs above {A.his} bed to this day.|`You have won something better,` "
     "said the teacher, and {A} knew what she meant.]"},

    {"music", "A:child N:neighbour t:trait",
     "<intro> {A} was learning to play the [1:trumpet|drums|violin]. Every [afternoon|evening], "
     "{A.he} practised at the open window. It was [very loud|loud and not very beautiful].\n"
     "{N} lived upstairs and knocked on the floor with a broom. `[I cannot sleep!|My head "
     "hurts!|Quiet down there!]` called {N}. {A} stopped. {A.he} did not want to annoy anybody, "
     "but {A.he} wanted to play at the summer concert. [For a day, {A.he} did not play at "
     "all.|{A.he} tried to play very quietly, but that did not work.] Then {A} went upstairs, "
     "knocked on the door and asked, `When would it disturb you the least?`\n"
     "{N} was surprised. Nobody had ever asked before. `Between three and four I go for a walk,` "
     "said {N}. So {A} practised between three and four, and never at any other time. {N} was "
     "content, and {A} was content. On the evening of the concert, {A} looked down from the "
     "stage. In the front row sat {N} and clapped the loudest of all. `[That is my neighbour,|I "
     "heard every note of it grow,]` {N} said to everyone."},

    {"stone soup", "A:child B:child t:trait N:neighbour",
     "<intro> It was a hard winter, and in the village everyone had only a little food. Each "
     "family hid what it had. <winterday>, {A} and {B} put a big pot on the square, filled it "
     "with water, lit a fire and laid a smooth stone in it.\n"
     "`What are you cooking?` asked {N}. `Stone soup,` said {A}. `It is very good. It would be "
     "even better with [1:a carrot|an onion|a potato].` {N} was curious and fetched [1:a "
     "carrot|an onion|a potato]. Then the baker came by. `Stone soup,` said {B}. `It would be "
     "even better with [2:some barley|a few beans|some peas].` The baker had [2:some barley|a few "
     "beans|some peas] at home and fetched [2:it|them|them]. One brought [salt|a bit of butter], "
     "one brought [a cabbage|a piece of meat], and the soup began to smell wonderful.\n"
     "When it was done, {A} took out the stone, and everyone got a full bowl. It was the best "
     "meal that they had had for weeks. `[And all that from a stone!|What a wonderful stone!]` "
     "said the baker. {A} laughed. `It was not the stone,` {A.he} said. `Each of you had too "
     "little for a soup. Together, we had enough.` From then on, they cooked together every "
     "[Sunday|week], and nobody was hungry."},
};
const size_t synth_kindness_count = sizeof synth_kindness_plots / sizeof *synth_kindness_plots;
