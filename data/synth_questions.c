/* Questions whose answer is stated in the question's own context, or is common knowledge. The
 * answer is one exact string. */
#include "data/synth_internal.h"

const struct synth_question synth_questions[] = {
    /* where things are */
    {4, "A:child B:child o:toy q:treasure s:spot r:spot",
     "[{A} put the {o} {s}. {B} put the {q} {r}.|{B} put the {q} {r}. {A} put the {o} {s}.|The "
     "{o} of {A} is {s}. The {q} of {B} is {r}.] [{A.he} went out to play.|Then they went to "
     "school.|It was Monday.|] Where is the [1:{o}|{q}]?",
     "[1:{s}|{r}]"},
    {4, "A:child B:child o:treasure s:spot r:spot",
     "{A} [put|left] the {o} {s}. Later, {B} found the {o} and put it {r}. [Then {B} went "
     "home.|{A} did not see it.|] Where is the {o} now?",
     "{r}"},
    {3, "A:child B:child p:room q:room | C:child r:room",
     "{A} is {p}. {B} is {q}. [{C} is {r}.|{C} has gone out.] Where is [1:{A}|{B}]?",
     "[1:{p}|{q}]"},
    {3, "A:child B:child p:room q:room s:room",
     "[In the morning, {A} was {p}. In the afternoon, {A.he} was {q}.|{A} was {p} first. Then "
     "{A.he} went out, and now {A.he} is {q}.] {B} was {s} the whole day. Where is {A} now?",
     "{q}"},
    /* who has what */
    {4, "A:child B:child C:child o:toy",
     "{A} had a {o.look} {o}. {A.he} gave it to {B}. [The next day,|Later,|Then] {B} gave it to "
     "{C}. Who [has the {o} now|had the {o} first]?",
     "{C}"},
    {4, "A:child B:child o:toy q:treasure",
     "{A} has a {o}. {B} has a {q}. [Both of them are happy.|They play in the yard.|] Who has the "
     "[1:{o}|{q}]?",
     "[1:{A}|{B}]"},
    {3, "A:child B:child n:pet m:pet",
     "{A} has a {n}, and {B} has a {m}. Does [1:{A}|{B}|{A}|{B}] have a [1:{n}|{n}|{m}|{m}]?",
     "[1:Yes|No|No|Yes]"},
    {3, "A:child B:child N:neighbour o:treasure q:food",
     "{A} found a {o}. {B} bought a {q}. {A} gave the {o} to {N}. Who [1:found|bought] the "
     "[1:{o}|{q}]?",
     "[1:{A}|{B}]"},
    {3, "A:child B:child c:clothes d:clothes x:colour y:colour",
     "{A} is wearing a {x} {c}. {B} is wearing a {y} {d}. What colour is the [1:{c} of {A}|{d} of "
     "{B}]?",
     "[1:{x}|{y}]"},
    /* a little story */
    {7, "A:child p:place n:pet f:food x:activity",
     "{A} went {p.to} with {A.his} {n.look} {n}. Suddenly it began to rain, so they ran home. "
     "There {A} ate a {f} and {x}. [1:Where did {A} go with the {n}|Why did they run home|What "
     "did {A} eat at home|Which animal was with {A}]?",
     "[1:{p.to}|because it began to rain|a {f}|a {n}]"},
    {7, "A:child B:child o:treasure p:place N:neighbour f:food",
     "{A} and {B} found a {o} {p.at}. {B} wanted to keep it, but {A} said that it was not theirs. "
     "They took it to {N}, who had lost it. {N} thanked them and gave each of them a {f}. [1:What "
     "did {A} and {B} find|Who wanted to keep the {o}|Who had lost the {o}|What did {N} give "
     "them|Where was the {o}]?",
     "[1:a {o}|{B}|{N}|a {f}|{p.at}]"},
    {5, "A:child B:child C:child o:toy q:treasure",
     "It was the birthday of {A}. {B} brought {A.him} a {o}. {C} brought {A.him} a {q}. [{A} "
     "thanked them both.|They all ate cake.] The present that {A} liked best was the [1:{o}|{q}]. "
     "Who had brought it?",
     "[1:{B}|{C}]"},
    {7, "A:child B:child f:food h:food",
     "In the morning, {A} put a {f} and a {h} into {A.his} bag. On the way to school, {A.he} gave "
     "the {f} to {B}, who had forgotten {B.his} breakfast. At noon, {A} ate the {h}. [1:What did "
     "{B} get|Why did {A} give {B} the {f}|What did {A} eat at noon]?",
     "[1:the {f}|because {B} had forgotten {B.his} breakfast|the {h}]"},
    {6, "A:child B:child t:tool u:tool s:spot",
     "{A} needed {t.tool} to {t}. {A.he} looked {s}, but {A.he} found only {u.tool} there. Then "
     "{B} brought {A.him} what {A.he} needed. [1:What did {A} need|What did {A} find {s}|Who "
     "helped {A}|What did {B} bring]?",
     "[1:{t.tool}|{u.tool}|{B}|{t.tool}]"},
    {6, "A:child B:child x:wildbeast y:vehicle v:colour w:colour s:wall",
     "{A} painted a {v} {x}. {B} painted a {w} {y}. The teacher hung up the picture of "
     "[1:{A}|{B}|{A}|{B}] {s}. [1:Which picture hangs {s}|Which picture hangs {s}|What colour is "
     "the {y}|What colour is the {x}]?",
     "[1:the {v} {x}|the {w} {y}|{w}|{v}]"},
    {4, "A:child d:day x:activity y:activity",
     "On {d}, {A} {x}. On the next day, {A.he} {y}. On which day did {A} [1:{x.do}|{y.do}]?",
     "[1:{d}|{d.next}]"},
    {5, "A:child n:pet s:spot B:child m:pet r:spot",
     "{A} has a {n}. It sleeps {s}, and it likes {n.treat}. {B} has a {m}. It sleeps {r}, and it "
     "likes {m.treat}. [1:Where does the {n} sleep|What does the {n} like|Where does the {m} "
     "sleep|What does the {m} like]?",
     "[1:{s}|{n.treat}|{r}|{m.treat}]"},
    /* what happened, in which order */
    {5, "A:child x:activity y:activity z:activity",
     "[First {A} {x}. Then {A.he} {y}. In the end, {A.he} {z}.|{A} {x}. After that, {A.he} {y}. "
     "Last of all, {A.he} {z}.] What did {A} do [1:first|last|second]?",
     "{A.he} [1:{x}|{z}|{y}]"},
    {4, "A:child x:activity y:activity",
     "Before {A} {x}, {A.he} {y}. What did {A} do [1:first|last]?", "{A.he} [1:{y}|{x}]"},
    {3, "A:child B:child x:activity y:activity", "While {A} {x}, {B} {y}. What did [1:{A}|{B}] do?",
     "[1:{A.he} {x}|{B.he} {y}]"},
    {3, "A:child B:child x:activity y:activity", "{A} {x}, and {B} {y}. Who [1:{x}|{y}]?",
     "[1:{A}|{B}]"},
    /* why */
    {7, "A:child c:cause B:child x:activity",
     "[{c}, so {A} {c.did}.|{A} {c.did}, because {c}.] {B} {x}. Why did {A} {c.do}?",
     "because {c}"},
    {4, "A:child f:feeling | B:child",
     "[Yesterday,|Today,|On Sunday,|] {A} {f}. [{B} saw it.|{B} was not there.|] How did {A} "
     "feel, [1:{f.felt} or {f.not}|{f.not} or {f.felt}]?",
     "{f.felt}"},
    /* comparing */
    {6, "A:child B:child C:child c:comparison",
     "{A} is {c} than {B}. {B} is {c} than {C}. Who is the [1:{c.most}|{c.least}]?", "[1:{A}|{C}]"},
    {4, "A:child B:child c:comparison",
     "{A} is {c} than {B}. Who is {c}, [1:{A} or {B}|{B} or {A}]?", "{A}"},
    {4, "x:tiny y:medium z:huge",
     "Which is the [1:biggest|smallest|biggest|smallest]: a {y}, a [2:{x} or a {z}|{z} or a {x}]?",
     "the [1:{z}|{x}|{z}|{x}]"},
    {3, "x:tiny y:medium z:huge",
     "Put these in order from small to big: [1:{y}, {x}, {z}|{z}, {y}, {x}|{x}, {z}, {y}|{z}, "
     "{x}, {y}|{y}, {z}, {x}].",
     "{x}, {y}, {z}"},
    /* kinds of things */
    {2, "x:fruit y:handtool z:furniture",
     "Which of these is a [4:fruit|tool|piece of furniture]: [1:{x}, {y} or {z}|{y}, {z} or "
     "{x}|{z}, {x} or {y}|{x}, {z} or {y}]?",
     "[4:{x}|{y}|{z}]"},
    {2, "x:vehicle y:bird z:vegetable",
     "Which of these is a [4:vehicle|bird|vegetable]: [1:{x}, {y} or {z}|{y}, {z} or {x}|{z}, {x} "
     "or {y}|{x}, {z} or {y}]?",
     "[4:{x}|{y}|{z}]"},
    {2, "x:instrument y:garment z:wildbeast",
     "Which of these [4:makes music|can be worn|is an animal]: [1:{x}, {y} or {z}|{y}, {z} or "
     "{x}|{z}, {x} or {y}|{x}, {z} or {y}]?",
     "[4:{x}|{y}|{z}]"},
    {2, "x:fruit y:fruit z:fruit w:instrument",
     "Which one does not belong with the others: [1:{w}, {x}, {y} or {z}|{x}, {w}, {y} or "
     "{z}|{x}, {y}, {w} or {z}|{x}, {y}, {z} or {w}]?",
     "{w}"},
    {2, "x:wildbeast y:wildbeast z:wildbeast w:furniture",
     "Which one does not belong with the others: [1:{w}, {x}, {y} or {z}|{x}, {w}, {y} or "
     "{z}|{x}, {y}, {w} or {z}|{x}, {y}, {z} or {w}]?",
     "{w}"},
    {2, "x:vehicle y:vehicle z:vehicle w:bird",
     "Which one does not belong with the others: [1:{w}, {x}, {y} or {z}|{x}, {w}, {y} or "
     "{z}|{x}, {y}, {w} or {z}|{x}, {y}, {z} or {w}]?",
     "{w}"},
    {2, "x:handtool y:handtool z:handtool w:fruit",
     "Which one does not belong with the others: [1:{w}, {x}, {y} or {z}|{x}, {w}, {y} or "
     "{z}|{x}, {y}, {w} or {z}|{x}, {y}, {z} or {w}]?",
     "{w}"},
    /* common knowledge */
    {3, "o:opposite p:opposite q:opposite",
     "What is the opposite of [1:{o}|{o.other}]: [2:{p}, {q.other} or "
     "[1:{o.other}|{o}]|[1:{o.other}|{o}], {p.other} or {q}|{q}, [1:{o.other}|{o}] or {p}]?",
     "[1:{o.other}|{o}]"},
    {5, "A:child t:tool u:tool v:tool",
     "{A} wants to {t}. What does {A.he} need: [1:{t.tool}, {u.tool} or {v.tool}|{u.tool}, "
     "{t.tool} or {v.tool}|{v.tool}, {u.tool} or {t.tool}]?",
     "{t.tool}"},
    {1, "A:child y:young", "{A} saw a {y} with its young one. What is a young {y} called?",
     "a {y.young}"},
    {3, "A:child y:young z:young x:young",
     "{A} closed {A.his} eyes and listened. One of the animals {y.sound}. Was it [1:a {y}, a {z} "
     "or a {x}|a {z}, a {y} or a {x}|a {x}, a {z} or a {y}]?",
     "a {y}"},
    {3, "A:child d:day x:activity", "{A} {x} on the day [1:after|before] {d}. Which day was it?",
     "[1:{d.next}|{d.before}]"},
    {2, "A:child m:month",
     "The birthday of {A} is in the month [1:after|before] {m}. In which "
     "month is it?",
     "[1:{m.next}|{m.before}]"},
    {1, "A:child m:material", "{A} looks at a {m}. What is it made of?", "{m.of}"},
    {4, "A:child j:job B:child k:job",
     "{A} wants to be a {j} one day, and {B} wants to be a {k}. Who wants to be someone who "
     "[1:{j.does}|{k.does}]?",
     "[1:{A}|{B}]"},
    {3, "N:neighbour j:job", "{N} is a {j}. What does a {j} do?", "a {j} {j.does}"},
    /* counting */
    {3, "x:count y:count z:count | A:child",
     "On the table [there is|{A} sees] a {x}, a {y} and a {z}. How many things are on the table?",
     "three"},
    {3, "A:child x:activity | B:child C:child",
     "[4:{A}|{A} and {B}|{A}, {B} and {C}] {x}. How many children were there?",
     "[4:one|two|three]"},
    {3, "A:child B:child w:food v:food u:food",
     "{A} bought a {w}, a {v} and a {u}. {A.he} gave the {v} to {B}. What does {A} have left?",
     "the {w} and the {u}"},
};
const size_t synth_question_count = sizeof synth_questions / sizeof *synth_questions;
