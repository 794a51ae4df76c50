/* Phrases the plots share. They speak of the protagonist A and, where they introduce one, use the
 * trait t. */
#include "data/synth_internal.h"

const struct synth_rule synth_rules[] = {
    {"home", "[in a small town|in a quiet village|in a little house on a hill|in a house near the "
             "river|in a tall house with a blue door|at the end of a long street|in an old house "
             "with a green roof|above a small shop|in a yellow house behind the church]"},
    {"intro",
     "[Once there was a {t} [little |young |]{A.boy} named {A}.|There once was a {t} {A.boy} "
     "[named|called] {A}.|{A} was a {t} [little |young |]{A.boy} who lived <home>.|<home> lived a "
     "{t} {A.boy} named {A}.|{A} was a {t} {A.boy}.|Once upon a time, a {t} {A.boy} named {A} "
     "lived <home>.] [{t.proof}.|{t.proof}.|]"},
    {"oneday",
     "[One [sunny|bright|warm|clear|quiet|fine|cool] [morning|afternoon|day]|One "
     "[Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday] [morning|afternoon]|Early one "
     "morning|One day|One day in [spring|summer|autumn]]"},
    {"summerday", "[One [hot|sunny|bright|warm|clear] [summer |]day|One [warm|sunny] "
                  "[morning|afternoon] in [June|July|August]|On a [bright|hot] summer "
                  "[morning|afternoon]]"},
    {"winterday", "[One [cold|frosty|white|clear] winter [morning|day]|One [cold|snowy] day in "
                  "[December|January|February]|On a cold, bright morning in winter]"},
    {"sad", "[sad|very sad|unhappy|close to tears|upset|heavy at heart]"},
    {"glad", "[happy|glad|very happy|full of joy|delighted|as happy as could be]"},
    {"worried", "[worried|very worried|uneasy|afraid]"},
    {"proud", "[proud|very proud|proud and happy|as proud as could be]"},
    {"tired", "[tired|very tired|worn out]"},
    {"search", "[{A.he} looked under the bed and behind the door|{A.he} searched every corner of "
               "the house|{A.he} emptied all the drawers and shook out the blankets|{A.he} looked "
               "in every pocket and under every chair]"},
    {"think", "[{A} thought for a while|{A} sat down and thought hard|{A} closed {A.his} eyes and "
              "thought|{A} rubbed {A.his} chin and thought]"},
    {"idea", "[Then {A.he} had an idea.|Suddenly {A.he} had a good idea.|All at once {A.he} knew "
             "what to do.|Then an idea came to {A.him}.|Soon {A.he} had a plan.]"},
    {"thanks", "[`Thank you!` said {A}.|`Thank you so much!` cried {A}.|{A} thanked {B} with all "
               "{A.his} heart.|`You are a true friend,` said {A}.]"},
    {"bedtime",
     "[That night, {A} fell asleep with a smile.|{A} went home with a warm heart.|It was a day "
     "that {A} never forgot.|At supper, {A} told the whole story to {A.his} family.|In bed that "
     "night, {A} thought about it for a long time.||]"},
    {"hug", "[hugged {A.him}|gave {A.him} a big hug|took {A.him} in {G.his} arms|put an arm "
            "around {A.him}]"},
    {"hours", "[for an hour|for a long time|all afternoon|until noon|until the sun was low]"},
    {"feast", "[bread and cheese|cake and warm milk|soup and fresh bread|pancakes with "
              "honey|apple pie and tea|sandwiches and sweet plums|berries and cream]"},
    {"friendsnow", "[From that day on, {A} and {B} were the best of friends.|After that, {A} and "
                   "{B} did everything together.|And {A} and {B} stayed friends for many years.]"},
};
const size_t synth_rule_count = sizeof synth_rules / sizeof *synth_rules;
