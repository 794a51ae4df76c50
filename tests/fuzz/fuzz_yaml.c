/* Fuzzes base/yaml.h, and what accepts its entries: base/options.h. */
#include "base/options.h"
#include "base/yaml.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct target {
    bool b;
    size_t z;
    int i, choice;
    double f;
    char *s;
    struct option_strings list;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const choices[] = {"one", "two", NULL};
    static const struct option rows[] = {
        {"b", NULL, OPTION_BOOL, offsetof(struct target, b), .help = ""},
        {"z", NULL, OPTION_SIZE, offsetof(struct target, z), .help = ""},
        {"i", NULL, OPTION_INT, offsetof(struct target, i), .help = ""},
        {"f", NULL, OPTION_FLOAT, offsetof(struct target, f), .help = ""},
        {"c", NULL, OPTION_ENUM, offsetof(struct target, choice), .choices = choices, .help = ""},
        {"n.s", NULL, OPTION_STRING, offsetof(struct target, s), .help = ""},
        {"list", NULL, OPTION_STRINGS, offsetof(struct target, list), .help = ""},
    };
    struct target t;
    struct option_section section = {"s", rows, sizeof rows / sizeof *rows, &t, "", NULL, NULL};
    struct options o = {&section, 1, NULL};
    struct yaml y;
    struct error e;
    if (yaml_parse((const char *)data, size, &y, &e) == OK) {
        options_init(&o);
        if (options_apply_yaml(&o, &y, "x", &e) == OK) {
            struct buffer once = {0}, again = {0};
            struct yaml back;
            options_print_yaml(&o, &once);
            if (yaml_parse(once.data, once.size, &back, &e) != OK ||
                options_apply_yaml(&o, &back, "x", &e) != OK)
                __builtin_trap();
            options_print_yaml(&o, &again);
            if (again.size != once.size || __builtin_memcmp(again.data, once.data, once.size))
                __builtin_trap();
            yaml_entries_free(&back);
            buffer_free(&once);
            buffer_free(&again);
        }
        options_free(&o);
    }
    yaml_entries_free(&y);
    return 0;
}
