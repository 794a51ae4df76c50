/* base/options.h: sources and their precedence, errors word for word, printing and reading back. */
#include "base/memory.h"
#include "base/options.h"
#include "tests/test.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct model {
    size_t hidden_size, layers;
    char *rope_type;
    double rope_factor;
    bool tied;
};

struct train {
    double learning_rate;
    int optimizer, offset;
    struct option_strings data;
    char *name;
    bool shuffle;
};

struct flags {
    struct option_strings config;
    bool quiet;
};

static const char *const optimizers[] = {"adamw", "muon", "sgd", NULL};

static const struct option model_rows[] = {
    {"hidden_size", "--hidden-size", OPTION_SIZE, offsetof(struct model, hidden_size),
     .default_value = "256", .minimum = 1, .maximum = 65536, .help = "width of the model"},
    {"num_layers", NULL, OPTION_SIZE, offsetof(struct model, layers), .default_value = "4",
     .minimum = 1, .help = "blocks"},
    {"rope_scaling.type", NULL, OPTION_STRING, offsetof(struct model, rope_type),
     .help = "kind of scaling"},
    {"rope_scaling.factor", NULL, OPTION_FLOAT, offsetof(struct model, rope_factor),
     .default_value = "1", .help = "factor of the scaling"},
    {"tie_word_embeddings", "--tied", OPTION_BOOL, offsetof(struct model, tied),
     .default_value = "true", .help = "share input and output embeddings"},
};

static const struct option train_rows[] = {
    {"learning_rate", "--learning-rate", OPTION_FLOAT, offsetof(struct train, learning_rate),
     .default_value = "3e-4", .minimum = 0, .maximum = 1, .help = "peak rate"},
    {"optimizer", "--optimizer", OPTION_ENUM, offsetof(struct train, optimizer),
     .default_value = "adamw", .choices = optimizers, .help = "how weights move"},
    {"offset", "--offset", OPTION_INT, offsetof(struct train, offset), .help = "a shift"},
    {"data", "--data", OPTION_STRINGS, offsetof(struct train, data), .placeholder = "PATH...",
     .help = "files to read"},
    {"name", "--name", OPTION_STRING, offsetof(struct train, name), .default_value = "a|b",
     .help = "what to call it | or not"},
    {"shuffle", "--shuffle", OPTION_BOOL, offsetof(struct train, shuffle), .help = "mix"},
};

static const struct option flag_rows[] = {
    {"config", "--config", OPTION_STRINGS, offsetof(struct flags, config), .placeholder = "FILE",
     .help = "configuration", .letter = 'c'},
    {"quiet", "--quiet", OPTION_BOOL, offsetof(struct flags, quiet), .help = "say less",
     .letter = 'q'},
};

struct fixture {
    struct model model;
    struct train train;
    struct flags flags;
    struct option_section sections[3];
    struct options o;
    struct option_strings positionals;
    struct error e;
};

#define ROWS(rows) rows, sizeof rows / sizeof *rows

static struct fixture *open_fixture(void)
{
    struct fixture *f = mem_zero(1, sizeof *f);
    memset(&f->model, 0xA5, sizeof f->model); /* every field must get its default */
    memset(&f->train, 0xA5, sizeof f->train);
    f->sections[0] =
        (struct option_section){"model", ROWS(model_rows), &f->model, "Model", NULL, NULL};
    f->sections[1] =
        (struct option_section){"train", ROWS(train_rows), &f->train, "Training", NULL, NULL};
    f->sections[2] = (struct option_section){"", ROWS(flag_rows), &f->flags, "Other", NULL, NULL};
    f->o = (struct options){f->sections, 3, NULL};
    options_init(&f->o);
    return f;
}

static void close_fixture(struct fixture *f)
{
    options_free(&f->o);
    options_free(&f->o);
    option_strings_free(&f->positionals);
    mem_free(f);
}

static int apply_text(struct fixture *f, const char *text)
{
    struct yaml y;
    assert_ok(yaml_parse(text, strlen(text), &y, &f->e), f->e);
    int code = options_apply_yaml(&f->o, &y, "x.yaml", &f->e);
    yaml_entries_free(&y);
    return code;
}

static int apply_flags(struct fixture *f, const char *line)
{
    char copy[512], *argv[32];
    int argc = 0;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    return options_apply_flags(&f->o, argc, argv, &f->positionals, &f->e);
}

static void defaults_fill_every_field(void **state)
{
    (void)state;
    struct fixture *f = open_fixture();
    assert_int_equal(f->model.hidden_size, 256);
    assert_int_equal(f->model.layers, 4);
    assert_null(f->model.rope_type);
    assert_true(f->model.rope_factor == 1.0);
    assert_true(f->model.tied);
    assert_true(f->train.learning_rate == 3e-4);
    assert_int_equal(f->train.optimizer, 0);
    assert_int_equal(f->train.offset, 0);
    assert_int_equal(f->train.data.count, 0);
    assert_string_equal(f->train.name, "a|b");
    assert_false(f->train.shuffle);
    assert_false(option_given(&f->o, "model", "hidden_size"));
    assert_string_equal(option_where(&f->o, "model", "hidden_size"), "the default");
    close_fixture(f);
}

static void files_set_values(void **state)
{
    (void)state;
    struct fixture *f = open_fixture();
    assert_ok(apply_text(f, "model:\n  hidden_size: 1_024\n  rope_scaling:\n    type: linear\n"
                            "    factor: 2.5\n  tie_word_embeddings: false\n"
                            "train:\n  optimizer: sgd\n  offset: -7\n  data: [a, b]\n  name:\n"),
              f->e);
    assert_int_equal(f->model.hidden_size, 1024);
    assert_string_equal(f->model.rope_type, "linear");
    assert_true(f->model.rope_factor == 2.5);
    assert_false(f->model.tied);
    assert_int_equal(f->train.optimizer, 2);
    assert_int_equal(f->train.offset, -7);
    assert_int_equal(f->train.data.count, 2);
    assert_string_equal(f->train.data.items[1], "b");
    assert_null(f->train.name);
    assert_true(option_given(&f->o, "model", "rope_scaling.type"));
    assert_false(option_given(&f->o, "model", "num_layers"));
    assert_string_equal(option_where(&f->o, "model", "hidden_size"), "x.yaml:2");
    /* a second file replaces lists; a bare section is empty; one value is a list of one */
    assert_ok(apply_text(f, "model:\ntrain:\n  data: c\n"), f->e);
    assert_int_equal(f->train.data.count, 1);
    assert_ok(apply_text(f, "train:\n  data: []\n"), f->e);
    assert_int_equal(f->train.data.count, 0);
    close_fixture(f);
}

static void flags_and_positionals_mix(void **state)
{
    (void)state;
    struct fixture *f = open_fixture();
    assert_ok(apply_flags(f, "one --hidden-size 8k --tied=false two -q --offset -3 - "
                             "--data a b --name=--odd --data=c -c x.yaml three -- --four"),
              f->e);
    assert_int_equal(f->model.hidden_size, 8000);
    assert_false(f->model.tied);
    assert_true(f->flags.quiet);
    assert_int_equal(f->train.offset, -3);
    assert_string_equal(f->train.name, "--odd");
    assert_int_equal(f->flags.config.count, 1);
    assert_string_equal(f->flags.config.items[0], "x.yaml");
    assert_int_equal(f->train.data.count, 3);
    assert_string_equal(f->train.data.items[2], "c");
    const char *const expected[] = {"one", "two", "-", "three", "--four"};
    assert_int_equal(f->positionals.count, 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(f->positionals.items[i], expected[i]);
    assert_string_equal(option_where(&f->o, "model", "hidden_size"), "--hidden-size");
    assert_ok(apply_flags(f, "--tied --no-shuffle --shuffle --no-tied"), f->e);
    assert_false(f->model.tied);
    assert_true(f->train.shuffle);
    assert_string_equal(option_where(&f->o, "model", "tie_word_embeddings"), "--no-tied");
    close_fixture(f);
}

static void stronger_sources_win_in_any_order(void **state)
{
    (void)state;
    for (int order = 0; order < 6; order++) {
        struct fixture *f = open_fixture();
        static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                         {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
        for (int i = 0; i < 3; i++) {
            if (orders[order][i] == 0)
                assert_ok(apply_text(f, "model: {hidden_size: 1, num_layers: 1}\n"
                                        "train: {name: file, data: [f, g], offset: 1}\n"),
                          f->e);
            else if (orders[order][i] == 1) {
                assert_ok(options_apply_set(&f->o, "model.hidden_size=2", &f->e), f->e);
                assert_ok(options_apply_set(&f->o, "train.name=set", &f->e), f->e);
                assert_ok(options_apply_set(&f->o, "train.data=s", &f->e), f->e);
            } else
                assert_ok(apply_flags(f, "--hidden-size 3 --data x --data y"), f->e);
        }
        assert_int_equal(f->model.hidden_size, 3);
        assert_int_equal(f->model.layers, 1);
        assert_string_equal(f->train.name, "set");
        assert_int_equal(f->train.offset, 1);
        assert_int_equal(f->train.data.count, 2);
        assert_string_equal(f->train.data.items[0], "x");
        assert_string_equal(f->train.data.items[1], "y");
        assert_int_equal(option_source(&f->o, "model", "hidden_size"), OPTION_FROM_FLAG);
        assert_int_equal(option_source(&f->o, "train", "name"), OPTION_FROM_SET);
        assert_int_equal(option_source(&f->o, "train", "offset"), OPTION_FROM_FILE);
        assert_int_equal(option_source(&f->o, "train", "shuffle"), OPTION_FROM_DEFAULT);
        close_fixture(f);
    }
}

static void set_takes_text_and_lists(void **state)
{
    (void)state;
    struct fixture *f = open_fixture();
    assert_ok(options_apply_set(&f->o, "train.name=a=b: [c", &f->e), f->e);
    assert_string_equal(f->train.name, "a=b: [c");
    assert_ok(options_apply_set(&f->o, "train.name=", &f->e), f->e);
    assert_string_equal(f->train.name, "");
    assert_ok(options_apply_set(&f->o, "train.name=null", &f->e), f->e);
    assert_null(f->train.name);
    assert_ok(options_apply_set(&f->o, "train.data=[p, \"q r\"]", &f->e), f->e);
    assert_ok(options_apply_set(&f->o, "train.data=s", &f->e), f->e);
    assert_int_equal(f->train.data.count, 3);
    assert_string_equal(f->train.data.items[1], "q r");
    assert_ok(options_apply_set(&f->o, "model.rope_scaling.factor=8", &f->e), f->e);
    assert_true(f->model.rope_factor == 8.0);
    close_fixture(f);
}

#define REFUSED(call, expected)                                                                    \
    do {                                                                                           \
        assert_int_equal(call, ERR_USAGE);                                                         \
        assert_int_equal(f->e.code, ERR_USAGE);                                                    \
        assert_string_equal(f->e.message, expected);                                               \
    } while (0)

static void unknown_names_suggest(void **state)
{
    (void)state;
    struct fixture *f = open_fixture();
    REFUSED(apply_text(f, "train:\n  name: x\nmodel:\n\n  hiden_size: 3\n"),
            "x.yaml:5: unknown key \"model.hiden_size\"; did you mean \"model.hidden_size\"?");
    REFUSED(apply_text(f, "train:\n  hidden_size: 3\n"),
            "x.yaml:2: unknown key \"train.hidden_size\"; did you mean \"model.hidden_size\"?");
    REFUSED(apply_text(f, "learning_rate: 3\n"),
            "x.yaml:1: unknown key \"learning_rate\"; did you mean \"train.learning_rate\"?");
    REFUSED(apply_text(f, "modle:\n  zzzzzzzz: 3\n"),
            "x.yaml:2: unknown section \"modle\"; did you mean \"model\"?");
    REFUSED(apply_text(f, "model:\n  zzzzzzzz: 3\n"),
            "x.yaml:2: unknown key \"model.zzzzzzzz\"; linnet help --configuration lists all");
    REFUSED(apply_text(f, "quux: 3\n"),
            "x.yaml:1: unknown section \"quux\"; linnet help --configuration lists all");
    REFUSED(apply_text(f, "model: 3\n"),
            "x.yaml:1: \"model\" is a section; write its keys under it, indented");
    REFUSED(apply_text(f, "config: x\n"),
            "x.yaml:1: unknown section \"config\"; linnet help --configuration lists all");
    REFUSED(options_apply_set(&f->o, "train.optimiser=x", &f->e),
            "--set: unknown key \"train.optimiser\"; did you mean \"train.optimizer\"?");
    REFUSED(apply_flags(f, "--hiden-size 3"),
            "unknown flag --hiden-size; did you mean --hidden-size?");
    REFUSED(apply_flags(f, "--no-shufle"), "unknown flag --no-shufle; did you mean --no-shuffle?");
    REFUSED(apply_flags(f, "--no-name"), "unknown flag --no-name; did you mean --name?");
    REFUSED(apply_flags(f, "--zzzzzzzzz=3"), "unknown flag --zzzzzzzzz");
    REFUSED(apply_flags(f, "-z"), "unknown flag -z");
    REFUSED(apply_flags(f, "-cx"), "unknown flag -cx");
    close_fixture(f);
}

static void wrong_values_say_what_was_expected(void **state)
{
    (void)state;
    struct fixture *f = open_fixture();
    REFUSED(apply_text(f, "model:\n  hidden_size: abc\n"),
            "x.yaml:2: model.hidden_size: expected a whole number from 1 to 65536, found \"abc\"");
    REFUSED(apply_text(f, "model: {num_layers: 0}\n"),
            "x.yaml:1: model.num_layers: expected a whole number of at least 1, found \"0\"");
    REFUSED(apply_text(f, "model: {tie_word_embeddings: yes}\n"),
            "x.yaml:1: model.tie_word_embeddings: expected true or false, found \"yes\"");
    REFUSED(apply_text(f, "train: {optimizer: adam}\n"),
            "x.yaml:1: train.optimizer: expected one of adamw, muon, sgd, found \"adam\"");
    REFUSED(apply_text(f, "train: {name: [a]}\n"),
            "x.yaml:1: train.name: expected a single value, found a list");
    REFUSED(apply_text(f, "train: {learning_rate: }\n"),
            "x.yaml:1: train.learning_rate: expected a number from 0 to 1, found \"\"");
    REFUSED(apply_flags(f, "--learning-rate 2"),
            "--learning-rate: expected a number from 0 to 1, found \"2\"");
    REFUSED(apply_flags(f, "--offset=1.5"), "--offset: expected a whole number, found \"1.5\"");
    REFUSED(apply_flags(f, "--shuffle=1"), "--shuffle: expected true or false, found \"1\"");
    REFUSED(apply_flags(f, "--data"), "--data needs a value: --data PATH... (files to read)");
    REFUSED(apply_flags(f, "--offset --shuffle"), "--offset needs a value: --offset N (a shift)");
    REFUSED(apply_flags(f, "-c"), "-c needs a value: -c FILE (configuration)");
    REFUSED(apply_flags(f, "--name \xFFz"), "--name: byte 1 of the text is not valid UTF-8");
    REFUSED(options_apply_set(&f->o, "train.offset", &f->e),
            "--set: expected section.key=value, found \"train.offset\"");
    REFUSED(options_apply_set(&f->o, "train.offset=x", &f->e),
            "--set: train.offset: expected a whole number, found \"x\"");
    REFUSED(options_apply_set(&f->o, "train.data=[a", &f->e),
            "--set: train.data: expected a list such as [a, b], found \"[a\"");
    REFUSED(option_require(&f->o, "train", "data", &f->e), "missing --data PATH...: files to read");
    REFUSED(options_apply_flags(&f->o, 1, (char *[]){"x"}, NULL, &f->e),
            "unexpected argument \"x\"");
    /* nothing of all this was stored, and a weaker source is checked although it loses */
    assert_int_equal(f->model.hidden_size, 256);
    assert_string_equal(f->train.name, "a|b");
    assert_false(option_given(&f->o, "train", "name"));
    assert_ok(apply_flags(f, "--offset 5"), f->e);
    REFUSED(apply_text(f, "train: {offset: x}\n"),
            "x.yaml:1: train.offset: expected a whole number, found \"x\"");
    REFUSED(apply_text(f, "train: {data: [a, ~]}\n"),
            "x.yaml:1: train.data: item 2 of the list is empty");
    close_fixture(f);
}

static void resolved_configuration_reads_back(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "plain",    "",         "null",         "true",         "No",
        "~",        "1",        "-x",           "a: b",         "#c",
        " lead",    "trail ",   "tab\tnl\n",    "quote\"'\\",   "Zürich 日本",
        "\x01\x7F", "\xC2\x85", "\xE2\x80\xA8", "\xEF\xBB\xBF", "\xEF\xBF\xBF",
        "😀",        "[a, b]",   "{a}",          "*a",           "data/x.txt",
        "a,b",      "%x",       "@y",           "\xC2\xA0z",    "---",
    };
    static const double numbers[] = {0.1, 1.0 / 3, 3e-4, DBL_MAX, DBL_MIN, 4.9e-324, -0.0, 1e15};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct fixture *f = open_fixture(), *g = open_fixture();
        mem_free(f->train.name);
        f->train.name = mem_string(texts[i]);
        f->model.rope_type = mem_string(texts[i]);
        option_strings_add(&f->train.data, texts[i]);
        option_strings_add(&f->train.data, "second");
        f->model.rope_factor = numbers[i % 8];
        f->model.hidden_size = 65536 - i;
        f->train.optimizer = (int)(i % 3);
        f->train.offset = -(int)i;
        f->model.tied = i % 2;
        struct buffer text = {0}, again = {0};
        options_print_yaml(&f->o, &text);
        assert_ok(apply_text(g, text.data), g->e);
        assert_string_equal(g->train.name, texts[i]);
        assert_string_equal(g->model.rope_type, texts[i]);
        assert_int_equal(g->train.data.count, 2);
        assert_string_equal(g->train.data.items[0], texts[i]);
        assert_memory_equal(&g->model.rope_factor, &f->model.rope_factor, sizeof(double));
        assert_int_equal(g->model.hidden_size, f->model.hidden_size);
        assert_int_equal(g->train.optimizer, f->train.optimizer);
        assert_int_equal(g->train.offset, f->train.offset);
        assert_int_equal(g->model.tied, f->model.tied);
        options_print_yaml(&g->o, &again);
        assert_string_equal(again.data, text.data);
        buffer_free(&text);
        buffer_free(&again);
        close_fixture(f);
        close_fixture(g);
    }
}

static void configuration_prints_in_table_order(void **state)
{
    (void)state;
    struct fixture *f = open_fixture();
    struct buffer text = {0};
    options_print_yaml(&f->o, &text);
    assert_string_equal(text.data, "model:\n"
                                   "  hidden_size: 256\n"
                                   "  num_layers: 4\n"
                                   "  rope_scaling:\n"
                                   "    type: null\n"
                                   "    factor: 1\n"
                                   "  tie_word_embeddings: true\n"
                                   "train:\n"
                                   "  learning_rate: 0.0003\n"
                                   "  optimizer: adamw\n"
                                   "  offset: 0\n"
                                   "  data: []\n"
                                   "  name: \"a|b\"\n"
                                   "  shuffle: false\n");
    buffer_free(&text);
    close_fixture(f);
}

static void help_is_grouped_and_wrapped(void **state)
{
    (void)state;
    struct fixture *f = open_fixture();
    struct buffer text = {0};
    options_print_help(&f->o, 49, &text);
    assert_string_equal(text.data, "Model:\n"
                                   "  --hidden-size N    width of the model (default\n"
                                   "                     256)\n"
                                   "  --[no-]tied        share input and output\n"
                                   "                     embeddings (default on)\n"
                                   "\n"
                                   "Training:\n"
                                   "  --learning-rate X  peak rate (default 3e-4)\n"
                                   "  --optimizer NAME   how weights move (adamw,\n"
                                   "                     muon or sgd; default adamw)\n"
                                   "  --offset N         a shift\n"
                                   "  --data PATH...     files to read\n"
                                   "  --name S           what to call it | or not\n"
                                   "                     (default a|b)\n"
                                   "  --shuffle          mix\n"
                                   "\n"
                                   "Other:\n"
                                   "  -c, --config FILE  configuration\n"
                                   "  -q, --quiet        say less\n");
    buffer_clear(&text);
    options_print_markdown(&f->o, &text);
    assert_non_null(strstr(text.data, "## `model`: Model\n\n| key | value | default | flag |"));
    assert_non_null(strstr(text.data, "\n| `hidden_size` | a whole number from 1 to 65536 | `256` "
                                      "| `--hidden-size` | width of the model |\n"));
    assert_non_null(strstr(text.data, "| `a\\|b` |"));
    assert_non_null(strstr(text.data, "| what to call it \\| or not |\n"));
    assert_non_null(strstr(text.data, "| `shuffle` | true or false | `false` |"));
    assert_null(strstr(text.data, "config"));
    buffer_free(&text);
    close_fixture(f);
}

static bool knows_optim(const char *section, size_t length)
{
    return length == 5 && memcmp(section, "optim", 5) == 0;
}

static void sections_of_other_commands_are_skipped(void **state)
{
    (void)state;
    struct fixture *f = open_fixture();
    REFUSED(apply_text(f, "optim: {beta1: 0.9}\n"),
            "x.yaml:1: unknown section \"optim\"; linnet help --configuration lists all");
    f->o.is_foreign = knows_optim;
    assert_ok(apply_text(f, "optim: {beta1: 0.9}\ntrain: {offset: 3}\n"), f->e);
    assert_int_equal(f->train.offset, 3);
    REFUSED(apply_text(f, "optimm: {beta1: 0.9}\n"),
            "x.yaml:1: unknown section \"optimm\"; linnet help --configuration lists all");
    REFUSED(options_apply_set(&f->o, "optim.beta1=0.5", &f->e),
            "--set: unknown section \"optim\"; linnet help --configuration lists all");
    close_fixture(f);
}

static void a_command_may_offer_some_flags_only(void **state)
{
    (void)state;
    static const char *const some[] = {"offset", "name", NULL};
    struct fixture *f = open_fixture();
    f->sections[1].flags_of = some;
    REFUSED(apply_flags(f, "--optimizer sgd"), "unknown flag --optimizer");
    assert_ok(apply_flags(f, "--offset 4 --name n"), f->e);
    assert_ok(apply_text(f, "train: {optimizer: sgd}\n"), f->e);
    assert_ok(options_apply_set(&f->o, "train.shuffle=true", &f->e), f->e);
    assert_int_equal(f->train.optimizer, 2);
    assert_true(f->train.shuffle);
    REFUSED(option_require(&f->o, "train", "data", &f->e), "missing train.data: files to read");
    struct buffer text = {0};
    options_print_help(&f->o, 80, &text);
    assert_non_null(strstr(text.data, "--offset"));
    assert_null(strstr(text.data, "--optimizer"));
    buffer_clear(&text);
    options_print_yaml(&f->o, &text);
    assert_non_null(strstr(text.data, "optimizer: sgd\n"));
    buffer_free(&text);
    close_fixture(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_fill_every_field),
        cmocka_unit_test(files_set_values),
        cmocka_unit_test(flags_and_positionals_mix),
        cmocka_unit_test(stronger_sources_win_in_any_order),
        cmocka_unit_test(set_takes_text_and_lists),
        cmocka_unit_test(unknown_names_suggest),
        cmocka_unit_test(wrong_values_say_what_was_expected),
        cmocka_unit_test(resolved_configuration_reads_back),
        cmocka_unit_test(configuration_prints_in_table_order),
        cmocka_unit_test(help_is_grouped_and_wrapped),
        cmocka_unit_test(sections_of_other_commands_are_skipped),
        cmocka_unit_test(a_command_may_offer_some_flags_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
