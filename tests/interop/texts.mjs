// What both sides read. The first is long: more than 64 tokens for any vocabulary of 2000.
export const texts = [
    "Tom had three red apples and a small blue box. He put one apple in the box because he wanted " +
    "to keep it for his sister Mia. Then he walked to the river, sat down on a stone, and ate the " +
    "other two. When Mia came home she asked: \"Where are the apples?\" Tom said that one was left. " +
    "She smiled, opened the box, and they shared it. What is 12 + 30? The answer is 42. Why did Tom " +
    "keep one? Because he was kind.",
    "Once upon a time",
    "The cat's toys weren't there, they'd gone; I'M SURE YOU'VE SEEN IT'S 1234567 3.14 0x1F.",
    "  two spaces,   three\tand tabs\t\tand trailing  ",
    "line one\nline two\r\n\r\nline four\n\n\n  indented\n",
    "Größe, naïve café, Ångström, Ελληνικά, кириллица, עברית, العربية, हिन्दी, 日本語テキスト, 한국어",
    "emoji 👩‍👩‍👧‍👦 🇩🇪 👍🏽 combining e\u0301 a\u0308 zero\u200bwidth nbsp\u00a0end ½ ² Ⅳ ٣",
    "<s> </s> <|endoftext|> <|im_start|>user\nhi<|im_end|> [INST] <0x41> <unk> <pad>",
    "def f(x):\n    return {\"a\": [1, 2, 3], 'b': x ** 2}  # comment\n\n\nif __name__ == '__main__':\n\tprint(f(2))"
];

export const prompts = ["Once upon a time", "Question: What is 3 + 4?\nAnswer:", "The", "Größe 日本"];
