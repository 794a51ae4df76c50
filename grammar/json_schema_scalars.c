#include "grammar/json_schema_private.h"

#include <math.h>
#include <string.h>

int schema_put_string(struct schema_writer *w, const json_t *schema, struct buffer *out)
{
    static const char *const formats[] = {"date", "time", "date-time", "uuid"};
    const json_t *pattern = json_object_get(schema, "pattern"), *format = json_object_get(schema, "format");
    bool counts = json_object_get(schema, "minLength") || json_object_get(schema, "maxLength");
    if (!!pattern + !!format + counts > 1)
        return schema_error(
            w, "only one of pattern, format and lengths (minLength, maxLength) is supported at a time");
    if (pattern && !json_is_string(pattern))
        return schema_error(w, "pattern: expected a string");
    if (pattern && strlen(json_string_value(pattern)) != json_string_length(pattern))
        return schema_error(w, "pattern: a NUL is written \\\\0 there"); /* the text would end at it */
    if (pattern)
        return gbnf_pattern(w, json_string_value(pattern), out);
    for (size_t i = 0; format && i < 4; i++)
        if (json_is_string(format) && strcmp(json_string_value(format), formats[i]) == 0) {
            buffer_printf(out, "\"\\\"\" %s \"\\\"\"", schema_shared(w, formats[i]));
            return OK;
        }
    if (format)
        return schema_error(w, "format: only date, time, date-time and uuid are supported");
    if (!counts) {
        buffer_string(out, schema_shared(w, "string"));
        return OK;
    }
    size_t low, high;
    int code = schema_counts(w, schema, "minLength", "maxLength", &low, &high);
    if (code)
        return code;
    buffer_printf(out, "\"\\\"\" %s", schema_shared(w, "char"));
    gbnf_counts(out, low, high);
    buffer_string(out, " \"\\\"\"");
    return OK;
}

/* The least and the largest integer within the bounds; infinite where there is none. */
static int get_bounds(struct schema_writer *w, const json_t *schema, double *low, double *high)
{
    static const char *const keys[] = {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"};
    *low = -INFINITY, *high = INFINITY;
    for (int i = 0; i < 4; i++) {
        const json_t *value = json_object_get(schema, keys[i]);
        if (!value)
            continue;
        if (!json_is_number(value))
            return schema_error(w, "%s: expected a number", keys[i]);
        double bound = json_number_value(value);
        if (i == 0)
            *low = fmax(*low, ceil(bound));
        else if (i == 1)
            *low = fmax(*low, floor(bound) + 1);
        else if (i == 2)
            *high = fmin(*high, floor(bound));
        else
            *high = fmin(*high, ceil(bound) - 1);
    }
    return OK;
}

int schema_put_integer(struct schema_writer *w, const json_t *schema, struct buffer *out)
{
    const int64_t usual = 9999999999999999;
    const double most = 9007199254740992.0; /* 2^53: beyond, bounds in f64 are not exact */
    double low, high;
    int code = get_bounds(w, schema, &low, &high);
    if (code)
        return code;
    if (isinf(low) && isinf(high)) {
        buffer_string(out, schema_shared(w, "integer"));
        return OK;
    }
    if ((!isinf(low) && fabs(low) > most) || (!isinf(high) && fabs(high) > most))
        return schema_error(w, "bounds of integers beyond 2^53 are not supported");
    if (low > high)
        return schema_error(w, "no integer is within the bounds");
    gbnf_integers(out, isinf(low) ? -usual : (int64_t)low, isinf(high) ? usual : (int64_t)high);
    return OK;
}

int schema_put_number(struct schema_writer *w, const json_t *schema, struct buffer *out)
{
    const json_t *low = json_object_get(schema, "minimum");
    if (low && !json_is_number(low))
        return schema_error(w, "minimum: expected a number");
    if (json_object_get(schema, "maximum") || json_object_get(schema, "exclusiveMinimum") ||
        json_object_get(schema, "exclusiveMaximum") || (low && json_number_value(low) != 0))
        return schema_error(w,
                            "bounds of numbers that are no integers are not supported, but for \"minimum\": 0");
    buffer_string(out, schema_shared(w, low ? "positive" : "number"));
    return OK;
}
