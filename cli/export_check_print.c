/* What was found about an exported file, printed. */
#include "cli/export_check.h"

#include "cli/colour.h"

static const char *const status_names[] = {"ok", "note", "differs", "left out"};

void export_findings_free(struct export_findings *f)
{
    for (size_t i = 0; i < EXPORT_FINDINGS; i++) {
        buffer_free(&f->items[i].said);
        json_decref(f->items[i].numbers);
    }
}

void export_check_print(const struct export_findings *f)
{
    static const char *const words[] = {"ok", "note", "DIFFERS", "-"};
    static const char *const codes[] = {COLOUR_GREEN, COLOUR_YELLOW, COLOUR_RED, COLOUR_DIM};
    const bool colours = colour_wanted(stdout);
    for (size_t i = 0; i < EXPORT_FINDINGS; i++) {
        const struct export_finding *x = &f->items[i];
        printf("%s%-8s%s %-15s %s\n", colours ? codes[x->status] : "", words[x->status], colours ? COLOUR_NONE : "",
               x->name, x->said.data);
        if (x->advice)
            printf("%24s -> %s\n", "", x->advice);
    }
}

json_t *export_check_json(const struct export_findings *f)
{
    json_t *checks = json_array();
    bool same = true;
    for (size_t i = 0; i < EXPORT_FINDINGS; i++) {
        const struct export_finding *x = &f->items[i];
        json_t *one = json_pack("{s:s, s:s, s:s}", "name", x->name, "status", status_names[x->status], "said",
                                x->said.data);
        if (x->advice)
            json_object_set_new(one, "advice", json_string(x->advice));
        if (x->numbers)
            json_object_set(one, "numbers", x->numbers);
        json_array_append_new(checks, one);
        same &= x->status != CHECK_DIFFERS;
    }
    return json_pack("{s:b, s:o}", "same", same, "checks", checks);
}

int export_check_verdict(const struct export_findings *f, const char *exported, struct error *e)
{
    struct buffer names = {0};
    for (size_t i = 0; i < EXPORT_FINDINGS; i++)
        if (f->items[i].status == CHECK_DIFFERS)
            buffer_printf(&names, "%s%s", names.size ? ", " : "", f->items[i].name);
    int code = names.size ? error_set(e, ERR_FORMAT, "%s is not what it was made from: %s", exported, names.data) : OK;
    buffer_free(&names);
    return code;
}
